/**
 * A simulated disk for one peer's session store. What was written is there after a crash; what was staged and not yet
 * committed is not. Snapshots can be taken and put back, as a restored backup or a cloned machine would.
 */

import type { SessionStore } from "@egtp/session-store";

export class Disk {
  #content = new Map<string, Uint8Array>();
  readonly #snapshots: Map<string, Uint8Array>[] = [];

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
}

function atOnce(apply: () => void): undefined {
  apply();
}
