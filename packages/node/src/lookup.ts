/**
 * The seam to whoever knows contact records: metatrackers, a shared folder, a table in memory. Nothing it says is
 * believed: the node verifies every record.
 *
 * @see docs/spec.md, "Contact record"
 */
import { type ContactRecord, EgtpError, equalBytes, type Millis, type PeerId, verifyContactRecord } from "@egtp/wire";
import type { EgtpNode } from "./api.ts";
import type { NodeOptions } from "./options.ts";

export interface LookUpOptions {
  readonly signal: AbortSignal;
  /**
   * The number of the record that was just tried in vain, or is of no use: only a newer one helps, so one that keeps
   * answers asks anew.
   */
  readonly tried?: number | undefined;
}

export interface DiscoverOptions {
  readonly signal: AbortSignal;
  readonly max: number;
}

export interface Lookup {
  /** For reports. */
  readonly kind: string;

  /**
   * Called once when the node has started and may send: for one that asks other nodes.
   *
   * @param options - What the node was made from.
   */
  start?(node: EgtpNode, options: NodeOptions): Promise<void>;

  /**
   * The newest signed contact record that it knows of a peer, at most `maxContactRecordBytes`.
   *
   * @returns `undefined` when it knows none.
   * @throws an `EgtpError` when it could not find out.
   */
  lookUp(peer: PeerId, options: LookUpOptions): Promise<Uint8Array | undefined>;

  /**
   * Signed contact records of peers that offer a service, in no promised order. Absent: it does not know.
   *
   * @returns At most `max`.
   * @throws an `EgtpError` when it could not find out.
   */
  discover?(service: string, options: DiscoverOptions): Promise<readonly Uint8Array[]>;

  /**
   * Makes a record of ours known. Absent: it can only be read.
   *
   * @param record - Signed. Borrowed until the promise settles.
   * @returns Another record of ours that is known there, when its number is not lower: one above it must be published.
   * @throws an `EgtpError` when it could not be made known.
   */
  publish?(record: Uint8Array, options: { readonly signal: AbortSignal }): Promise<Uint8Array | undefined>;

  /** Called when the node stops. */
  close?(): Promise<void>;
}

/** A lookup that could not find out, or could not publish. */
export class LookupError extends EgtpError {
  override readonly name: string = "LookupError";
  declare readonly code: "EGTP_LOOKUP_BAD_RECORD" | "EGTP_LOOKUP_IO";
  /** Where the record was looked for. */
  readonly place: string;

  constructor(code: "EGTP_LOOKUP_BAD_RECORD" | "EGTP_LOOKUP_IO", place: string, options: { cause?: unknown } = {}) {
    super(
      code,
      code === "EGTP_LOOKUP_BAD_RECORD"
        ? `What stands in ${place} is not a contact record of that peer`
        : `Cannot read or write ${place}`,
      {
        cause: options.cause,
        hint:
          code === "EGTP_LOOKUP_BAD_RECORD"
            ? "Remove it; its peer publishes a new one. See the cause."
            : "Check that the place exists and may be read and written. See the cause.",
      },
    );
    this.place = place;
  }
}

/**
 * Records in the memory of this process, for tests and for nodes that live together. It holds one for each peer that
 * publishes here, the newest.
 */
export class MemoryLookup implements Lookup {
  readonly kind = "memory";
  readonly #now: () => Millis;
  readonly #records = new Map<PeerId, { readonly record: ContactRecord; readonly bytes: Uint8Array }>();

  constructor(now: () => Millis = Date.now) {
    this.#now = now;
  }

  lookUp(peer: PeerId): Promise<Uint8Array | undefined> {
    return Promise.resolve(this.#records.get(peer)?.bytes);
  }

  discover(service: string, { max }: Pick<DiscoverOptions, "max">): Promise<readonly Uint8Array[]> {
    const now = this.#now();
    const found: Uint8Array[] = [];
    for (const { record, bytes } of this.#records.values()) {
      if (found.length >= max) break;
      if (record.services.includes(service) && now < record.issued + record.ttl) found.push(bytes);
    }
    return Promise.resolve(found);
  }

  /** @throws {@link WireError} when it is not a valid record. */
  async publish(bytes: Uint8Array): Promise<Uint8Array | undefined> {
    const record = verifyContactRecord(bytes, this.#now());
    const known = this.#records.get(record.id);
    if (known !== undefined && known.record.seq >= record.seq) {
      return equalBytes(known.bytes, bytes) ? undefined : known.bytes;
    }
    this.#records.set(record.id, { record, bytes: bytes.slice() });
    return undefined;
  }
}
