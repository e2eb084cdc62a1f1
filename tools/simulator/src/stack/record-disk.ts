/**
 * A simulated disk for the records of a service, such as a relay's mailboxes: the file that its store would open in a folder.
 * What was written is there after a crash, unless it is lost or its bits flip.
 */

import type { RecordFile, RecordFileOptions, StoreEntry } from "@egtp/session-store/record-file";
import type { Random } from "../random.ts";
import type { Process } from "./process.ts";

/** What a store uses of a file. */
export type Records = Pick<RecordFile, "report" | "get" | "entries" | "keys" | "write" | "close">;

export class RecordDisk {
  #content = new Map<string, Uint8Array>();
  /** Records whose checksum is wrong. */
  readonly #damaged = new Set<string>();

  readonly #writeMs: number;

  /** @param writeMs - How long a write takes. */
  constructor(writeMs: number) {
    this.#writeMs = writeMs;
  }

  async open(process: Process, { load, onDamagedRecord = () => {} }: RecordFileOptions): Promise<Records> {
    const content = this.#content;
    const commit = process.disk(this.#writeMs);
    const read = (key: string): Uint8Array | undefined => {
      if (!this.#damaged.has(key)) return content.get(key)?.slice();
      if (content.has(key)) onDamagedRecord(key);
      return undefined;
    };
    const keys = ({ from, to, max = Infinity }: { from: string; to: string; max?: number }): string[] => {
      const within = [...content.keys()].filter((key) => key >= from && key < to);
      return within.sort((a, b) => (a < b ? -1 : 1)).slice(0, max);
    };
    if (load !== undefined) {
      load.begin();
      for (const key of keys(load)) {
        const value = read(key);
        if (value !== undefined) load.record(key, value);
      }
    }
    return {
      report: { uncleanStop: true, setAside: undefined },
      get: read,
      keys,
      entries: (range) =>
        keys(range).flatMap((key) => {
          const value = read(key);
          return value === undefined ? [] : [[key, value] as const];
        }),
      write: async (batch: readonly StoreEntry[]) => {
        await commit(() => {
          for (const [key, value] of batch) {
            this.#damaged.delete(key);
            if (value === undefined) content.delete(key);
            else content.set(key, value.slice());
          }
        });
      },
      close: () => Promise.resolve(),
    };
  }

  erase(): void {
    this.#content = new Map();
    this.#damaged.clear();
  }

  /** Bits flip in some records. @returns Whether in any. */
  flip(random: Random): boolean {
    const share = 0.3 * random.unit();
    for (const key of this.#content.keys()) if (random.chance(share)) this.#damaged.add(key);
    return this.#damaged.size > 0;
  }
}
