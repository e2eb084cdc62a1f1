/**
 * How far long work is: one line with a bar that is drawn over itself in a terminal, and plain lines now and then in a log. It
 * belongs on standard error, so that results can go into a pipe.
 */
import { paintFor } from "@egtp/metatracker/command";

export interface ProgressStream {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

export interface ProgressOptions {
  /** Default: standard error. */
  readonly stream?: ProgressStream;
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Milliseconds of a clock that only goes forward. */
  readonly now?: () => number;
}

const barWidth = 20;
const eraseLine = "\r\x1b[K";

export class Progress {
  /** Whether there is a line that is drawn over itself: in a terminal that can, and not in CI. */
  readonly isLive: boolean;
  /** More often nothing is written, so it may be told more often. */
  readonly everyMs: number;
  readonly #stream: ProgressStream;
  readonly #bar: (share: number) => string;
  readonly #now: () => number;
  readonly #startedAt: number;
  #writtenAt: number;
  #isShown = false;

  constructor({ stream = process.stderr, env = process.env, now = () => performance.now() }: ProgressOptions = {}) {
    this.isLive = stream.isTTY === true && env.TERM !== "dumb" && !env.CI;
    this.everyMs = this.isLive ? 100 : 5_000;
    this.#stream = stream;
    this.#now = now;
    this.#startedAt = now();
    this.#writtenAt = this.isLive ? Number.NEGATIVE_INFINITY : this.#startedAt; // what is short says nothing in a log
    const paint = paintFor(stream, env);
    this.#bar = (share) => {
      const done = Math.round(share * barWidth);
      return paint("green", "█".repeat(done)) + paint("dim", "░".repeat(barWidth - done));
    };
  }

  /**
   * @param text - One line.
   * @param share - How much is done, from 0 to 1, where that is known.
   */
  tell(text: string, share?: number): void {
    const now = this.#now();
    if (now - this.#writtenAt < this.everyMs) return;
    this.#writtenAt = now;
    if (!this.isLive) {
      this.#stream.write(`${text}\n`);
      return;
    }
    const columns = this.#stream.columns || 80; // 0 where nobody told it its size
    if (share === undefined) {
      this.#show(text.slice(0, columns - 1));
      return;
    }
    const part = Math.min(1, Math.max(0, share));
    const words = `${`${Math.floor(part * 100)} %`.padStart(6)}${this.#rest(part, now)}  ${text}`;
    this.#show(this.#bar(part) + words.slice(0, Math.max(0, columns - 1 - barWidth)));
  }

  /** Takes the line away, so that something else can be written. The next word brings it back. */
  clear(): void {
    if (!this.#isShown) return;
    this.#isShown = false;
    this.#writtenAt = Number.NEGATIVE_INFINITY;
    this.#stream.write(eraseLine);
  }

  #show(line: string): void {
    this.#isShown = true;
    this.#stream.write(eraseLine + line);
  }

  /** What is left, if it goes on as it went; too early that would be a guess. */
  #rest(share: number, now: number): string {
    const elapsedMs = now - this.#startedAt;
    if (share < 0.02 || share === 1 || elapsedMs < 2_000) return "";
    const seconds = Math.ceil((elapsedMs * (1 - share)) / share / 1_000);
    return seconds < 120 ? `, ${seconds} s left` : `, ${Math.round(seconds / 60)} min left`;
  }
}
