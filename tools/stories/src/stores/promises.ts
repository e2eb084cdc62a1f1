/** What the stores under trial promised, a line for each, on disk before another word is said. */
import { openSync, readFileSync, writeSync } from "node:fs";

export class Promises {
  readonly #file: number;
  readonly #onNote: (count: number) => void;
  readonly #earlier = new Map<string, number[][]>();

  #count = 0;

  /** @param onNote - Told how many were noted in this run. */
  constructor(path: string, onNote: (count: number) => void) {
    this.#onNote = onNote;
    let text = "";
    try {
      text = readFileSync(path, "utf8");
    } catch (error) {
      if ((error as { code?: unknown }).code !== "ENOENT") throw error;
    }
    for (const line of text.split("\n").slice(0, -1)) {
      const [kind = "", ...numbers] = line.split(" ");
      const known = this.#earlier.get(kind);
      if (known === undefined) this.#earlier.set(kind, [numbers.map(Number)]);
      else known.push(numbers.map(Number));
    }
    this.#file = openSync(path, "a", 0o600);
  }

  /** Those of a kind that earlier runs noted, in their order. */
  earlier(kind: string): readonly (readonly number[])[] {
    return this.#earlier.get(kind) ?? [];
  }

  note(kind: string, ...numbers: readonly number[]): void {
    writeSync(this.#file, `${kind} ${numbers.join(" ")}\n`);
    this.#onNote(++this.#count);
  }
}
