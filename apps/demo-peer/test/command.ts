/** The built command in a process of its own, as a user or a script sees it. */
import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { TestContext } from "vitest";

const main = fileURLToPath(new URL("../dist/main.js", import.meta.url));

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export class Command {
  readonly ended: Promise<Ended>;
  /** Prints what it printed. */
  readonly show: () => void;
  readonly #process: ChildProcess;
  readonly #lines: string[] = [];
  readonly #waiting: { readonly matches: (line: string) => boolean; readonly resolve: (line: string) => void }[] = [];

  constructor(args: readonly string[], env: NodeJS.ProcessEnv = process.env) {
    const child = spawn(process.execPath, [main, ...args], { env });
    this.#process = child;
    let stderr = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      stderr += text;
    });
    createInterface({ input: child.stdout }).on("line", (line) => {
      this.#lines.push(line);
      for (const waiting of this.#waiting.filter(({ matches }) => matches(line))) {
        this.#waiting.splice(this.#waiting.indexOf(waiting), 1);
        waiting.resolve(line);
      }
    });
    this.show = () => console.log(`${args.join(" ")}\n${this.#lines.join("\n")}\n${stderr}`);
    this.ended = new Promise((resolve) => {
      child.on("close", (code) => resolve({ code, stdout: this.#lines.join("\n"), stderr }));
    });
  }

  /** The first line that matches, past or to come. Rejects when the command ends without it. */
  line(matches: (line: string) => boolean): Promise<string> {
    const found = this.#lines.find(matches);
    if (found !== undefined) return Promise.resolve(found);
    return new Promise((resolve, reject) => {
      this.#waiting.push({ matches, resolve });
      void this.ended.then(({ code, stderr }) =>
        reject(new Error(`It ended with ${code} before that line: ${stderr}`)),
      );
    });
  }

  /** The first object with that event, of a command that prints JSON. */
  async event(name: string): Promise<Record<string, unknown>> {
    return JSON.parse(await this.line((line) => line.startsWith(`{"event":"${name}"`))) as Record<string, unknown>;
  }

  type(line: string): void {
    this.#process.stdin!.write(`${line}\n`);
  }

  endInput(): void {
    this.#process.stdin!.end();
  }

  signal(name: NodeJS.Signals): void {
    this.#process.kill(name);
  }
}

/** The commands of one test, which shows what they printed when it fails. */
export class Commands {
  readonly #all: Command[] = [];

  constructor({ onTestFailed }: TestContext) {
    onTestFailed(() => {
      for (const command of this.#all) command.show();
    });
  }

  start(...args: readonly string[]): Command {
    const command = new Command(args);
    this.#all.push(command);
    return command;
  }

  /** Runs a command to its end. */
  run(...args: readonly string[]): Promise<Ended> {
    return this.runWith({}, ...args);
  }

  /** The same, with more in its environment. */
  runWith(env: Readonly<Record<string, string>>, ...args: readonly string[]): Promise<Ended> {
    const command = new Command(args, { ...process.env, ...env });
    this.#all.push(command);
    command.endInput();
    return command.ended;
  }
}
