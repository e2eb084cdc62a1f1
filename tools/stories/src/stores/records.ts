/**
 * A session store under trial: batches one after the other, several under way. What is found must be what the first so many of
 * them leave, whole, and as many as were promised at least.
 */
import type { SessionStore, StoreEntry } from "@egtp/session-store";
import { contentOf, numberOf } from "./content.ts";
import type { Promises } from "./promises.ts";

/** Batches under way. */
const window = 16;
/** A batch writes one key of each ring: keys are written again and again, each ring in another rhythm. */
const rings = [97, 89, 83] as const;

export class RecordsTrial {
  readonly #store: SessionStore;
  readonly #promises: Promises;
  readonly #kind: string;
  #next = 1;

  constructor(store: SessionStore, promises: Promises, kind: string) {
    this.#store = store;
    this.#promises = promises;
    this.#kind = kind;
  }

  /** @throws when something is missing that was promised, or a batch is there in part. */
  check(): void {
    const promised = this.#promises.earlier(this.#kind).reduce((most, [number]) => Math.max(most, number!), 0);
    const found = new Map<string, number>();
    for (const [key, value] of this.#store.load()) found.set(key, numberOf(value, `${this.#kind} ${key}`));
    for (let last = promised; last <= promised + window; last++) {
      if (!isLeftBy(last, found)) continue;
      this.#next = last + 1;
      // What is found now is there for good, whether it was promised or not.
      this.#promises.note(this.#kind, last);
      return;
    }
    throw new Error(`${this.#kind}: ${promised} batches were promised, and what is there is not what they left`);
  }

  /** Writes until the process ends. */
  async work(): Promise<never> {
    const writer = async (): Promise<never> => {
      for (;;) {
        const number = this.#next++;
        // One that is done at once gives others their turn.
        await (this.#store.write(batchOf(number)) ?? new Promise((resolve) => setImmediate(resolve)));
        this.#promises.note(this.#kind, number);
      }
    };
    return Promise.race(Array.from({ length: window }, writer));
  }

  close(): Promise<void> {
    return this.#store.close();
  }
}

function batchOf(number: number): StoreEntry[] {
  return rings.map((size, ring) => [
    keyOf(ring, number % size),
    isRemoval(ring, number) ? undefined : contentOf(number),
  ]);
}

function keyOf(ring: number, place: number): string {
  return `${ring}:${place}`;
}

function isRemoval(ring: number, number: number): boolean {
  return ring === 2 && number % 3 === 0;
}

function isLeftBy(last: number, found: ReadonlyMap<string, number>): boolean {
  let count = 0;
  for (const [ring, size] of rings.entries()) {
    for (let number = Math.max(1, last - size + 1); number <= last; number++) {
      const key = keyOf(ring, number % size);
      if (isRemoval(ring, number) ? found.has(key) : found.get(key) !== number) return false;
      if (!isRemoval(ring, number)) count += 1;
    }
  }
  return count === found.size;
}
