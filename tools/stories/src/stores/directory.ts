/** A metatracker's directory under trial: records replace each other. What was kept is there, or one that came after it. */
import type { LmdbDirectoryStore } from "@egtp/metatracker/lmdb";
import { peerIdFromTrustedBytes } from "@egtp/wire";
import { contentOf, numberOf } from "./content.ts";
import type { Promises } from "./promises.ts";

const peers = Array.from({ length: 40 }, (_, n) => peerIdFromTrustedBytes(new Uint8Array(32).fill(n + 1)));
const forEver = Number.MAX_SAFE_INTEGER;

export class DirectoryTrial {
  readonly #store: LmdbDirectoryStore;
  readonly #promises: Promises;
  #seq = 1;

  constructor(store: LmdbDirectoryStore, promises: Promises) {
    this.#store = store;
    this.#promises = promises;
  }

  /** @throws when a record is missing or another than it was. */
  check(): void {
    if (this.#store.damagedRecords > 0) throw new Error(`${this.#store.damagedRecords} records are damaged`);
    const kept = peers.map(() => 0);
    for (const [seq] of this.#promises.earlier("record")) kept[seq! % peers.length] = seq!;
    for (const [at, peer] of peers.entries()) {
      const record = this.#store.get(peer);
      const found = record === undefined ? 0 : numberOf(record.bytes, `record ${at}`);
      if (found < kept[at]! || (record !== undefined && record.seq !== found)) {
        throw new Error(`record ${at} is ${found}, and ${kept[at]} was kept`);
      }
      this.#seq = Math.max(this.#seq, found + 1);
    }
  }

  /** Puts records until the process ends. */
  async work(): Promise<never> {
    for (;;) {
      const seq = this.#seq++;
      const peer = peers[seq % peers.length]!;
      const kept = { peer, seq, bytes: contentOf(seq), services: [], validUntil: forEver, keepUntil: forEver };
      const other = this.#store.put(kept);
      if (other !== undefined) throw new Error(`record ${seq} was not taken for ${other.seq}`);
      this.#promises.note("record", seq);
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  close(): Promise<void> {
    return this.#store.close();
  }
}
