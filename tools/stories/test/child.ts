/** A process that a story started: its exit, and what it said last. */
import type { ChildProcess } from "node:child_process";

export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stderr: string;
}

/** What runs Node.js, in a network namespace if one is named; signals to the process reach Node.js itself. */
export function nodeIn(namespace: string | undefined): readonly [command: string, ...args: string[]] {
  return namespace === undefined ? [process.execPath] : ["ip", "netns", "exec", namespace, process.execPath];
}

export class Child {
  readonly name: string;
  readonly process: ChildProcess;
  readonly ended: Promise<Ended>;
  /** Rejects when it ends without having been told to. Whoever waits for something of it waits for this, too. */
  readonly failed: Promise<never>;
  #isToEnd = false;

  constructor(name: string, child: ChildProcess) {
    this.name = name;
    this.process = child;
    let stderr = "";
    child.stderr!.setEncoding("utf8").on("data", (text: string) => {
      stderr += text;
    });
    this.ended = new Promise((resolve, reject) => {
      child.on("error", reject);
      child.on("close", (code, signal) => resolve({ code, signal, stderr }));
    });
    this.failed = this.ended.then((ended) => {
      if (this.#isToEnd) throw new Error(`${name} ended, as it was told`);
      throw new Error(`${name} ended with ${ended.signal ?? ended.code}: ${ended.stderr}`);
    });
    this.failed.catch(() => {});
  }

  /** Ends it with a signal. */
  end(signal: NodeJS.Signals): Promise<Ended> {
    this.#isToEnd = true;
    this.process.kill(signal);
    return this.ended;
  }

  orFailed<T>(promise: Promise<T>): Promise<T> {
    return Promise.race([promise, this.failed]);
  }
}
