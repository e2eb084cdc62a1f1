/** The story as it happens, one line for each event: when, who, what. */
import type { Colour, Paint } from "@egtp/metatracker/command";
import type { Progress } from "@egtp/terminal";

export type Teller = "demo" | "alice" | "bob";

const colours: Readonly<Record<Teller, Colour>> = { demo: "yellow", alice: "cyan", bob: "magenta" };

export class Timeline {
  readonly #write: (line: string) => void;
  readonly #paint: Paint;
  readonly #progress: Progress | undefined;
  readonly #startedAt = performance.now();

  /** @param progress - In a terminal: below the lines it shows how far the story is. */
  constructor(write: (line: string) => void, paint: Paint, progress?: Progress) {
    this.#write = (line) => {
      progress?.clear();
      write(line);
    };
    this.#paint = paint;
    this.#progress = progress?.isLive ? progress : undefined;
  }

  /** Since the beginning. */
  get elapsedMs(): number {
    return performance.now() - this.#startedAt;
  }

  /** How much is done, from 0 to 1. */
  progress(text: string, share: number): void {
    if (share < 1) this.#progress?.tell(text, share);
    else this.#progress?.clear();
  }

  /** A line without a time. */
  say(text: string, colour?: Colour): void {
    this.#write(colour === undefined ? text : this.#paint(colour, text));
  }

  tell(who: Teller, text: string, colour?: Colour): void {
    const time = this.#paint("dim", `${(this.elapsedMs / 1000).toFixed(2).padStart(6)} s`);
    const name = this.#paint(colours[who], who.padEnd(5));
    this.#write(`${time}  ${name}  ${colour === undefined ? text : this.#paint(colour, text)}`);
  }
}

export function count(n: number): string {
  return n.toLocaleString("en-US");
}

export function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

export function duration(ms: number): string {
  return ms < 1000 ? `${Math.max(0, ms).toFixed(0)} ms` : `${(ms / 1000).toFixed(2)} s`;
}

/** The first characters of an ID, enough to tell two apart. */
export function short(peer: string): string {
  return `${peer.slice(0, 8)}…`;
}
