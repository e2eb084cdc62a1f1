/**
 * A simulated disk for one peer's session store. What was written is there after a crash; what was staged and not yet
 * committed is not. Snapshots can be taken and put back, as a restored backup or a cloned machine would. And it can fail: the
 * last write is torn, or bits flip.
 */

import type { SessionStore } from "@egtp/session-store";
import type { Random } from "./random.ts";

export class Disk {
  #content = new Map<string, Uint8Array>();
  readonly #snapshots: Map<string, Uint8Array>[] = [];
  /** Keys that were written last, together. */
  #last: readonly string[] = [];

  /**
   * A store on this disk. The one before it must not be used any more: its process is gone.
   *
   * @param commit - Lets a batch take effect, at once or later; default: at once.
   */
  open(commit: (apply: () => void) => Promise<void> | undefined = atOnce): SessionStore {
    return {
      load: () => [...this.#content],
      write: (batch) =>
        commit(() => {
          this.#last = batch.map(([key]) => key);
          for (const [key, value] of batch) {
            if (value === undefined) this.#content.delete(key);
            else this.#content.set(key, value.slice());
          }
        }),
      close: () => Promise.resolve(),
    };
  }

  /** Keeps the last six. */
  snapshot(): void {
    this.#snapshots.push(new Map(this.#content));
    if (this.#snapshots.length > 6) this.#snapshots.shift();
  }

  /** @param choose - Which of the snapshots, given how many there are. */
  rollBack(choose: (count: number) => number): boolean {
    const chosen = this.#snapshots[choose(this.#snapshots.length)];
    if (chosen === undefined) return false;
    this.#content = new Map(chosen);
    return true;
  }

  erase(): void {
    this.#content = new Map();
  }

  /** Of some records of the last write only a part is there. */
  tear(random: Random): void {
    for (const key of this.#last) {
      const value = this.#content.get(key);
      if (value === undefined || random.chance(0.4)) continue;
      this.#content.set(key, value.slice(0, random.below(value.length)));
    }
  }

  /** A bit flips in some records. */
  flip(random: Random): void {
    const share = random.pick([0.05, 0.3, 1]);
    for (const [key, value] of this.#content) {
      if (value.length === 0 || !random.chance(share)) continue;
      const flipped = value.slice();
      const at = random.below(flipped.length);
      flipped[at] = flipped[at]! ^ (1 << random.below(8));
      this.#content.set(key, flipped);
    }
  }
}

function atOnce(apply: () => void): undefined {
  apply();
}
