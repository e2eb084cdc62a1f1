/** Starts crash-writer.ts and speaks with it. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface, type Interface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { StoreEntry } from "../src/index.ts";

export class Child {
  readonly #process: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  readonly #reader: Interface;
  readonly #exited: Promise<unknown>;

  /**
   * @param options.fileLimit - No file may grow beyond so many blocks, as if the disk were full.
   * @param options.kind - What it opens. Default: a session store.
   */
  constructor(
    folder: string,
    { fileLimit, kind = "sessions" }: { fileLimit?: number | undefined; kind?: "sessions" | "records" } = {},
  ) {
    const main = fileURLToPath(new URL("crash-writer.ts", import.meta.url));
    const root = fileURLToPath(new URL("../../..", import.meta.url));
    const args = ["--conditions=@egtp/source", "--import", "tsx", main, folder, kind];
    const limited = ["-c", `ulimit -f ${fileLimit}; exec "$0" "$@"`, process.execPath, ...args];
    const [command, all] = fileLimit === undefined ? [process.execPath, args] : ["sh", limited];
    this.#process = spawn(command, all, { cwd: root, stdio: ["pipe", "pipe", "inherit"] });
    this.#process.stdin!.on("error", () => {}); // what was not read when it was killed
    this.#exited = once(this.#process, "exit");
    this.#reader = createInterface({ input: this.#process.stdout! });
    this.#lines = this.#reader[Symbol.asyncIterator]();
  }

  get pid(): number {
    return this.#process.pid!;
  }

  /** The next line it says, or `undefined` once it ended. */
  async said(): Promise<string | undefined> {
    return (await this.#lines.next()).value;
  }

  write(batch: readonly StoreEntry[]): void {
    const line = batch.map(([key, value]) => [key, value === undefined ? null : Buffer.from(value).toString("hex")]);
    this.#process.stdin!.write(`${JSON.stringify(line)}\n`);
  }

  async kill(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    this.#process.kill(signal);
    await this.#exited;
  }
}
