/**
 * A program of a test in a process of its own. Each order is a line of its input, in JSON, and it answers each by one line of its
 * output, in JSON too.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../../..", import.meta.url));

export class OrderedChild<Order, Answer> {
  readonly #process: ChildProcess;
  readonly #answers: AsyncIterator<string>;

  /** @param main - The source file of the program. */
  constructor(main: URL) {
    const args = ["--conditions=@egtp/source", "--import", "tsx", fileURLToPath(main)];
    this.#process = spawn(process.execPath, args, { cwd: root, stdio: ["pipe", "pipe", "inherit"] });
    this.#answers = createInterface({ input: this.#process.stdout! })[Symbol.asyncIterator]();
  }

  /** One after another: answers come in the order of the orders. Rejects when the program ends instead. */
  async order(order: Order): Promise<Answer> {
    this.#process.stdin!.write(`${JSON.stringify(order)}\n`);
    const { value, done } = await this.#answers.next();
    if (done === true) throw new Error("The program ended without an answer");
    return JSON.parse(value) as Answer;
  }

  /** Ends it. */
  async kill(): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    const exited = once(this.#process, "exit");
    this.#process.kill("SIGKILL");
    await exited;
  }
}
