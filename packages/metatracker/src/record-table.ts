/**
 * The records of a store in memory, with an index by service: what the memory store is, and what the LMDB store holds
 * beside its file.
 *
 * Bounds: `maxRecords` and `maxBytes`; what was put longest ago makes room. The index has at most 16 entries for a record.
 */
import type { Millis, PeerId } from "@egtp/wire";
import type { DirectorySize, KeptRecord } from "./directory-store.ts";

/** A whole number from 0, below `limit`, any of them as likely. */
export type RandomBelow = (limit: number) => number;

export const randomBelow: RandomBelow = (limit) => Math.floor(Math.random() * limit);

export interface TableLimits {
  readonly maxRecords: number;
  readonly maxBytes: number;
}

/** What `put` did. */
export interface TablePut {
  /** What is in the table now under that peer: it, or what stands in its way. */
  readonly kept: KeptRecord;
  /** Whether the table was changed, other than in its order. */
  readonly isNew: boolean;
  /** Records that made room. */
  readonly displaced: readonly KeptRecord[];
}

export class RecordTable {
  readonly #limits: TableLimits;
  readonly #random: RandomBelow;
  /** In the order of putting, the oldest first. */
  readonly #records = new Map<PeerId, KeptRecord>();
  readonly #offers = new Map<string, PeerList>();
  #bytes = 0;
  #displaced = 0;

  constructor(limits: TableLimits, random: RandomBelow) {
    this.#limits = limits;
    this.#random = random;
  }

  get size(): DirectorySize {
    return { records: this.#records.size, bytes: this.#bytes, displaced: this.#displaced };
  }

  get(peer: PeerId): KeptRecord | undefined {
    return this.#records.get(peer);
  }

  put(record: KeptRecord): TablePut {
    const { peer } = record;
    const known = this.#records.get(peer);
    if (known !== undefined && known.seq >= record.seq) {
      this.#records.delete(peer);
      this.#records.set(peer, known);
      return { kept: known, isNew: false, displaced: [] };
    }
    const keepUntil = Math.max(record.keepUntil, known?.keepUntil ?? 0);
    const kept = keepUntil === record.keepUntil ? record : { ...record, keepUntil };
    this.remove(peer);
    this.#records.set(peer, kept);
    this.#bytes += kept.bytes.length;
    for (const service of kept.services) this.#list(service).add(peer);
    return { kept, isNew: true, displaced: this.#makeRoom() };
  }

  offering(service: string, max: number, now: Millis): KeptRecord[] {
    const found: KeptRecord[] = [];
    const list = this.#offers.get(service);
    // Each turn picks one of those that were not picked yet, which stand behind `at`.
    for (let at = 0; list !== undefined && at < list.size && found.length < max; at += 1) {
      const record = this.#records.get(list.swap(at, at + this.#random(list.size - at)))!;
      if (now < record.validUntil) found.push(record);
    }
    return found;
  }

  /** @returns Those it forgot. */
  expire(now: Millis): KeptRecord[] {
    const forgotten = [...this.#records.values()].filter(({ keepUntil }) => now >= keepUntil);
    for (const { peer } of forgotten) this.remove(peer);
    return forgotten;
  }

  remove(peer: PeerId): void {
    const record = this.#records.get(peer);
    if (record === undefined) return;
    this.#records.delete(peer);
    this.#bytes -= record.bytes.length;
    for (const service of record.services) {
      const list = this.#list(service);
      list.remove(peer);
      if (list.size === 0) this.#offers.delete(service);
    }
  }

  #makeRoom(): KeptRecord[] {
    const { maxRecords, maxBytes } = this.#limits;
    const displaced: KeptRecord[] = [];
    for (const oldest of this.#records.values()) {
      if (this.#records.size <= maxRecords && this.#bytes <= maxBytes) break;
      this.remove(oldest.peer);
      displaced.push(oldest);
    }
    this.#displaced += displaced.length;
    return displaced;
  }

  #list(service: string): PeerList {
    let list = this.#offers.get(service);
    if (list === undefined) {
      list = new PeerList();
      this.#offers.set(service, list);
    }
    return list;
  }
}

/** Peers in no order, each once, from which one can be picked by its place. */
class PeerList {
  readonly #peers: PeerId[] = [];
  readonly #places = new Map<PeerId, number>();

  get size(): number {
    return this.#peers.length;
  }

  add(peer: PeerId): void {
    if (this.#places.has(peer)) return;
    this.#places.set(peer, this.#peers.length);
    this.#peers.push(peer);
  }

  remove(peer: PeerId): void {
    const place = this.#places.get(peer);
    if (place === undefined) return;
    this.swap(place, this.#peers.length - 1);
    this.#peers.pop();
    this.#places.delete(peer);
  }

  /** Lets two change places. @returns The one that is at `a` now. */
  swap(a: number, b: number): PeerId {
    const [first, second] = [this.#peers[a]!, this.#peers[b]!];
    this.#peers[a] = second;
    this.#peers[b] = first;
    this.#places.set(second, a);
    this.#places.set(first, b);
    return second;
  }
}
