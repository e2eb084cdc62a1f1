/** What was done, by message ID, on disk: a message that comes again after a crash finds that it was done. */
import { appendFile, readFile } from "node:fs/promises";

export class DoneOnce {
  readonly #path: string;
  readonly #done: Set<string>;

  static async open(path: string): Promise<DoneOnce> {
    const text = await readFile(path, "utf8").catch(() => "");
    return new DoneOnce(path, new Set(text.split("\n")));
  }

  private constructor(path: string, done: Set<string>) {
    this.#path = path;
    this.#done = done;
  }

  /** Does something, unless it was done before. Where it has effects elsewhere, write both in one transaction. */
  async once(messageId: string, effect: () => void): Promise<void> {
    if (this.#done.has(messageId)) return;
    effect();
    this.#done.add(messageId);
    await appendFile(this.#path, `${messageId}\n`, { flush: true });
  }
}
