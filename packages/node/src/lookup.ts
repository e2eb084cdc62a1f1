/**
 * The seam to whoever knows contact records: metatrackers, a shared folder, a table in memory. Nothing it says is
 * believed: the node verifies every record.
 *
 * @see docs/spec.md, "Contact record"
 */
import { EgtpError, type Millis, type PeerId, verifyContactRecord } from "@egtp/wire";
import type { EgtpNode } from "./api.ts";

export interface Lookup {
  /** For reports. */
  readonly kind: string;

  /** Called once when the node has started and may send: for one that asks other nodes. */
  start?(node: EgtpNode): Promise<void>;

  /**
   * The newest signed contact record that it knows of a peer, at most `maxContactRecordBytes`.
   *
   * @returns `undefined` when it knows none.
   * @throws an `EgtpError` when it could not find out.
   */
  lookUp(peer: PeerId, options: { readonly signal: AbortSignal }): Promise<Uint8Array | undefined>;

  /**
   * Makes a record of ours known. Absent: it can only be read.
   *
   * @param record - Signed. Borrowed until the promise settles.
   */
  publish?(record: Uint8Array, options: { readonly signal: AbortSignal }): Promise<void>;

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
  readonly #records = new Map<PeerId, { readonly seq: number; readonly bytes: Uint8Array }>();

  constructor(now: () => Millis = Date.now) {
    this.#now = now;
  }

  lookUp(peer: PeerId): Promise<Uint8Array | undefined> {
    return Promise.resolve(this.#records.get(peer)?.bytes);
  }

  /** @throws {@link WireError} when it is not a valid record. */
  async publish(record: Uint8Array): Promise<void> {
    const { id, seq } = verifyContactRecord(record, this.#now());
    if (seq > (this.#records.get(id)?.seq ?? -1)) this.#records.set(id, { seq, bytes: record.slice() });
  }
}
