/**
 * What an application that must do everything once keeps: a line on disk for each effect, by message ID.
 *
 * A message whose receipt was lost with a process is handed over again, under the same ID; the log knows it. Lines are
 * written before the handler returns, so that no message counts as handled whose effect is not there. They survive
 * `kill -9`; to survive a power cut they would also have to be flushed.
 */
import { closeSync, openSync, readFileSync, writeSync } from "node:fs";
import type { MessageId } from "@egtp/node";

/** One line of the log. */
export interface Effect {
  readonly messageId: string;
  /** What was done, such as `note 17`. */
  readonly what: string;
}

export class EffectsLog {
  /** Messages that were handed over again and had been done before. */
  handedOverAgain = 0;
  /** Effects that an earlier run recorded. */
  readonly countAtStart: number;
  readonly #file: number;
  readonly #done: Set<string>;

  constructor(path: string) {
    this.#done = new Set(readEffects(path).map(({ messageId }) => messageId));
    this.countAtStart = this.#done.size;
    this.#file = openSync(path, "a", 0o600);
  }

  get count(): number {
    return this.#done.size;
  }

  /**
   * Does something, unless the message that asks for it was done before.
   *
   * @param act - What can be repeated without harm should the process die before the line is written.
   */
  once(messageId: MessageId, what: string, act?: () => void): void {
    if (this.#done.has(messageId)) {
      this.handedOverAgain += 1;
      return;
    }
    act?.();
    writeSync(this.#file, `${messageId} ${what}\n`);
    this.#done.add(messageId);
  }

  close(): void {
    closeSync(this.#file);
  }
}

/** The lines of a log; none when there is no such file. A line that its process did not finish is left out. */
export function readEffects(path: string): Effect[] {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if ((error as { code?: unknown }).code === "ENOENT") return [];
    throw error;
  }
  const lines = text.slice(0, text.lastIndexOf("\n") + 1).split("\n");
  return lines.flatMap((line) => {
    const gap = line.indexOf(" ");
    return gap < 0 ? [] : [{ messageId: line.slice(0, gap), what: line.slice(gap + 1) }];
  });
}
