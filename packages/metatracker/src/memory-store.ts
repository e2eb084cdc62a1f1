/** A directory in memory: after a restart its peers publish again. */
import { checkedLimits, equalBytes, type Millis, type PeerId } from "@egtp/wire";
import type { DirectorySize, DirectoryStore, KeptRecord } from "./directory-store.ts";
import { MetatrackerError } from "./errors.ts";
import { type DirectoryLimits, defaultDirectoryLimits } from "./limits.ts";
import { type RandomBelow, RecordTable, randomBelow } from "./record-table.ts";

export class MemoryDirectoryStore implements DirectoryStore {
  readonly kind = "memory";
  readonly #table: RecordTable;
  #isClosed = false;

  /** @param random - Chooses whom `offering` names; a test gives one that can be repeated. */
  constructor(limits: Partial<DirectoryLimits> = {}, random: RandomBelow = randomBelow) {
    this.#table = new RecordTable(checkedLimits(defaultDirectoryLimits, limits), random);
  }

  get size(): DirectorySize {
    return this.#table.size;
  }

  get(peer: PeerId): KeptRecord | undefined {
    return this.#table.get(peer);
  }

  put(record: KeptRecord): KeptRecord | undefined {
    if (this.#isClosed) throw new MetatrackerError("EGTP_DIRECTORY_CLOSED", "The directory was closed");
    const { kept } = this.#table.put(record);
    return equalBytes(kept.bytes, record.bytes) ? undefined : kept;
  }

  offering(service: string, max: number, now: Millis): KeptRecord[] {
    return this.#table.offering(service, max, now);
  }

  expire(now: Millis): number {
    return this.#table.expire(now).length;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
  }
}
