/**
 * The contact records that this node knows: verified, the highest number of each peer, the least recently used leaving.
 *
 * @see docs/spec.md, "Contact record"
 */
import {
  type ContactRecord,
  equalBytes,
  type Millis,
  type PeerId,
  type VerifySignature,
  verifyContactRecord,
  WireError,
} from "@egtp/wire";

interface Entry {
  readonly record: ContactRecord;
  readonly bytes: Uint8Array;
}

export class ContactBook {
  readonly #entries = new Map<PeerId, Entry>();
  readonly #max: number;
  readonly #verify: VerifySignature;
  /** Told of each record that is taken in, and of the one that it takes the place of. */
  onNews: (record: ContactRecord, before: ContactRecord | undefined) => void = () => {};

  /** @param max - Records kept. */
  constructor(max: number, verify: VerifySignature) {
    this.#max = max;
    this.#verify = verify;
  }

  /** The newest valid record of a peer. One that is out of date is forgotten. */
  get(peer: PeerId, now: Millis): ContactRecord | undefined {
    return this.#find(peer, now)?.record;
  }

  /** The same as it was signed. Borrowed. */
  bytes(peer: PeerId, now: Millis): Uint8Array | undefined {
    return this.#find(peer, now)?.bytes;
  }

  #find(peer: PeerId, now: Millis): Entry | undefined {
    const entry = this.#entries.get(peer);
    if (entry === undefined) return undefined;
    this.#entries.delete(peer);
    if (now >= entry.record.issued + entry.record.ttl) return undefined;
    this.#entries.set(peer, entry);
    return entry;
  }

  /**
   * Takes in a record from outside.
   *
   * @param bytes - Borrowed.
   * @param peer - Whose it must be, if that is known.
   * @returns The newest record that is known of its peer now.
   * @throws {@link WireError} what `verifyContactRecord` throws, and `EGTP_WIRE_BAD_RECORD` when it is another peer's.
   */
  learn(bytes: Uint8Array, peer: PeerId | undefined, now: Millis): ContactRecord {
    const record = this.#read(bytes, peer, now);
    const known = this.#entries.get(record.id)?.record;
    if (known !== undefined && known.seq >= record.seq) return known;
    this.#keep(record, bytes);
    return record;
  }

  /**
   * Takes in a record in the place of one that leads nowhere, whichever is newer: a peer may have forgotten its number, together
   * with those who should remind it. Throws like {@link learn}.
   */
  replace(bytes: Uint8Array, peer: PeerId, now: Millis): void {
    const record = this.#read(bytes, peer, now);
    if (this.#entries.get(peer)?.record !== record) this.#keep(record, bytes);
  }

  #read(bytes: Uint8Array, peer: PeerId | undefined, now: Millis): ContactRecord {
    if (peer !== undefined) {
      const known = this.#entries.get(peer);
      if (known !== undefined && equalBytes(known.bytes, bytes)) return known.record;
    }
    const record = verifyContactRecord(bytes, now, this.#verify);
    if (peer !== undefined && record.id !== peer) {
      throw new WireError("EGTP_WIRE_BAD_RECORD", `A contact record of ${record.id} instead of ${peer}`);
    }
    return record;
  }

  #keep(record: ContactRecord, bytes: Uint8Array): void {
    const before = this.#entries.get(record.id)?.record;
    this.#entries.delete(record.id);
    this.#entries.set(record.id, { record, bytes: bytes.slice() });
    for (const oldest of this.#entries.keys()) {
      if (this.#entries.size <= this.#max) break;
      this.#entries.delete(oldest);
    }
    this.onNews(record, before);
  }
}
