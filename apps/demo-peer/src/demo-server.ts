/**
 * A server of the demo in a process of its own: the same program that anybody would start, `egtp-metatracker` or
 * `egtp-relay`. What it says of itself is read from its log.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { DemoError } from "./errors.ts";

/** A line of its log. */
export type LogLine = Readonly<Record<string, unknown>>;

export class DemoServer {
  readonly name: string;
  readonly #process: ChildProcess;
  readonly #lines: LogLine[] = [];
  readonly #waiting: { readonly event: string; readonly resolve: (line: LogLine) => void }[] = [];
  readonly #rejects = new Set<(error: DemoError) => void>();
  readonly #gone: Promise<void>;
  #failure: DemoError | undefined;
  #isStopping = false;

  /** @param program - Its package, whose only command is meant. */
  constructor(name: string, program: string, args: readonly string[]) {
    this.name = name;
    this.#process = spawn(process.execPath, [commandOf(program), ...args, "--json"], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    for (const stream of [this.#process.stdout!, this.#process.stderr!]) {
      createInterface({ input: stream }).on("line", (text) => this.#hear(text));
    }
    this.#process.on("error", (cause) => this.#fail(`The process of the ${name} cannot be used`, cause));
    this.#gone = new Promise((resolve) => {
      this.#process.on("exit", (code, signal) => {
        this.#fail(`The process of the ${name} ended (${signal ?? code}): ${this.#lastWords()}`);
        resolve();
      });
    });
  }

  get pid(): number | undefined {
    return this.#process.pid;
  }

  /** The first line of its log with this event. Rejects with {@link DemoError} when it ends before. */
  line(event: string): Promise<LogLine> {
    const said = this.#lines.find((line) => line.event === event);
    if (said !== undefined) return Promise.resolve(said);
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    return new Promise((resolve, reject) => {
      this.#waiting.push({ event, resolve });
      this.#rejects.add(reject);
    });
  }

  /** Asks it to stop. Resolves when it is gone. */
  stop(): Promise<void> {
    this.#isStopping = true;
    this.#process.kill("SIGTERM");
    return this.#gone;
  }

  /** `kill -9`. Resolves when it is gone. */
  kill(): Promise<void> {
    this.#isStopping = true;
    this.#process.kill("SIGKILL");
    return this.#gone;
  }

  #hear(text: string): void {
    let line: LogLine;
    try {
      line = JSON.parse(text) as LogLine;
    } catch {
      line = { event: "text", message: text };
    }
    // The first lines name it, the last ones say why it ended.
    if (this.#lines.length >= 64) this.#lines.splice(32, 1);
    this.#lines.push(line);
    for (const waiting of this.#waiting.filter(({ event }) => event === line.event)) {
      this.#waiting.splice(this.#waiting.indexOf(waiting), 1);
      waiting.resolve(line);
    }
  }

  #lastWords(): string {
    const message = this.#lines.at(-1)?.message;
    return typeof message === "string" ? message : "it said nothing";
  }

  #fail(message: string, cause?: unknown): void {
    if (this.#isStopping || this.#failure !== undefined) return;
    this.#failure = new DemoError("EGTP_DEMO_PROCESS_ENDED", message, { cause });
    for (const reject of this.#rejects) reject(this.#failure);
    this.#rejects.clear();
  }
}

/** The file of the command that a package brings. */
function commandOf(program: string): string {
  const file = createRequire(import.meta.url).resolve(`${program}/package.json`);
  return join(dirname(file), "dist/nodejs/main.js");
}
