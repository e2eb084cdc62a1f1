/** The story as it happens, one line for each event: when, who, what. */
import type { Colour, Paint } from "./paint.ts";

export type Teller = "demo" | "alice" | "bob";

const colours: Readonly<Record<Teller, Colour>> = { demo: "yellow", alice: "cyan", bob: "magenta" };

export class Timeline {
  readonly #write: (line: string) => void;
  readonly #paint: Paint;
  readonly #startedAt = performance.now();

  constructor(write: (line: string) => void, paint: Paint) {
    this.#write = write;
    this.#paint = paint;
  }

  /** Since the beginning. */
  get elapsedMs(): number {
    return performance.now() - this.#startedAt;
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
