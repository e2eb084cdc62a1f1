/**
 * The directory: takes in contact records that their peers signed, and answers who can be reached where and who offers
 * what. It does no I/O of its own and reads no clock: records and the time come in, answers go out, a store keeps what is
 * to be kept. It trusts nobody: a record counts if its peer signed it, and the one with the higher number wins.
 *
 * @see docs/spec.md, "Metatracker"
 */
import {
  equalBytes,
  type Millis,
  type PeerId,
  type VerifySignature,
  verifyContactRecord,
  verifyEd25519,
  WireError,
} from "@egtp/wire";
import { type DirectoryStore, type KeptRecord, type MaybePromise, whenThere } from "./directory-store.ts";
import type { Publication, RefusalReason } from "./protocol.ts";

export interface DirectoryOptions {
  readonly store: DirectoryStore;
  /** A faster verifier that gives the same answers; by default the portable one. */
  readonly verify?: VerifySignature;
}

/** Whether a record says where its peer is, or that it is gone for good. */
export type RecordKind = "hello" | "goodbye";

export class Directory {
  readonly #store: DirectoryStore;
  readonly #verify: VerifySignature;

  constructor(options: DirectoryOptions) {
    this.#store = options.store;
    this.#verify = options.verify ?? verifyEd25519;
  }

  /**
   * Takes in a record.
   *
   * @param bytes - Borrowed.
   * @param from - Who brought it, and whose it must be: else one peer could bring any number of them.
   */
  publish(kind: RecordKind, bytes: Uint8Array, from: PeerId, now: Millis): MaybePromise<Publication> {
    // What is kept already is brought again every few minutes: that costs no signature.
    return whenThere(this.#store.get(from), (known) => {
      const isKnown = known !== undefined && now < known.validUntil && equalBytes(known.bytes, bytes);
      const record = isKnown ? known : this.#check(kind, bytes, from, now);
      if (typeof record === "string") return refused(record);
      return whenThere(this.#store.put(record), (standing) =>
        standing === undefined ? kept : { state: "older", record: standing.bytes },
      );
    });
  }

  /** The record of a peer, a goodbye too, as it was signed; `undefined` when none is known that is valid. */
  lookUp(peer: PeerId, now: Millis): MaybePromise<Uint8Array | undefined> {
    return whenThere(this.#store.get(peer), (record) =>
      record !== undefined && now < record.validUntil ? record.bytes : undefined,
    );
  }

  /** Whether there is a record of that peer, valid or not. */
  knows(peer: PeerId): MaybePromise<boolean> {
    return whenThere(this.#store.get(peer), (record) => record !== undefined);
  }

  /** Records of peers that offer a service, at most `max`, chosen at random. */
  list(service: string, max: number, now: Millis): MaybePromise<Uint8Array[]> {
    return whenThere(this.#store.offering(service, max, now), (records) => records.map(({ bytes }) => bytes));
  }

  /** Forgets what is out of date: called now and then. @returns How many. */
  sweep(now: Millis): MaybePromise<number> {
    return this.#store.expire(now);
  }

  #check(kind: RecordKind, bytes: Uint8Array, from: PeerId, now: Millis): KeptRecord | RefusalReason {
    try {
      const { id, seq, issued, ttl, services, gone } = verifyContactRecord(bytes, now, this.#verify);
      if (id !== from) return "not-yours";
      if (gone !== (kind === "goodbye")) return "invalid";
      const validUntil = issued + ttl;
      return {
        peer: id,
        seq,
        bytes: bytes.slice(),
        services: [...new Set(services)],
        validUntil,
        keepUntil: validUntil,
      };
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      if (error.code === "EGTP_WIRE_EXPIRED") return "expired";
      return error.code === "EGTP_WIRE_NOT_YET_VALID" ? "not-yet-valid" : "invalid";
    }
  }
}

const kept: Publication = { state: "kept" };

export function refused(reason: RefusalReason): Publication {
  return { state: "refused", reason };
}
