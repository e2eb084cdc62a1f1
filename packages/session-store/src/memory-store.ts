/**
 * A store in memory: for tests, and for peers that may forget everything when they stop. Hand the same store to a
 * later {@link SessionMaps} to play a restart. It is the plain twin of the stores on disk.
 */

import { StoreError } from "./errors.ts";
import type { SessionStore, StoreEntry } from "./session-store.ts";

export class MemorySessionStore implements SessionStore {
  readonly #records: Map<string, Uint8Array>;
  #closed = false;

  /** @param records - What it holds from the start; copied. */
  constructor(records: Iterable<readonly [string, Uint8Array]> = []) {
    this.#records = new Map();
    for (const [key, value] of records) this.#records.set(key, value.slice());
  }

  load(): Iterable<readonly [key: string, value: Uint8Array]> {
    this.#closed = false;
    return this.#records;
  }

  /** Keeps the batch at once and always returns `undefined`. */
  write(batch: readonly StoreEntry[]): undefined {
    if (this.#closed) {
      throw new StoreError("EGTP_STORE_CLOSED", "The memory store was written to after it was closed.", {
        hint: "Commit before closing; to go on, open new session maps on the store.",
      });
    }
    for (const [key, value] of batch) {
      if (value === undefined) this.#records.delete(key);
      else this.#records.set(key, value);
    }
  }

  /** Keeps the content: `load` opens it again. */
  async close(): Promise<void> {
    this.#closed = true;
  }

  /** An independent copy of the present state, as a disk would hold it after a crash or in a backup. */
  snapshot(): MemorySessionStore {
    return new MemorySessionStore(this.#records);
  }
}

/** For a peer that lives in memory alone: keeps nothing at all, and costs nothing. */
export const forgetfulSessionStore: SessionStore = {
  forgets: true,
  load: () => [],
  write: () => undefined,
  close: async () => {},
};
