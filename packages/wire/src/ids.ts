/**
 * The short random names of the protocol as text: lower-case hexadecimal, one type each, so that none is taken for
 * another. Text because it can be the key of a map.
 *
 * Peer IDs are not here: they are keys, see peer-id.ts.
 */
import { toHex } from "./bytes.ts";
import { epochBytes, sessionIdBytes, storeTagBytes } from "./limits.ts";

/** The name of a session: 16 bytes, the truncated hash of its whole handshake. */
export type SessionId = string & { readonly __brand: "SessionId" };

/** The name of an offer: 16 bytes, the truncated hash of the handshake up to the offer. */
export type OfferId = string & { readonly __brand: "OfferId" };

/** The name of one run of a node, within which its messages are numbered: 8 bytes. */
export type Epoch = string & { readonly __brand: "Epoch" };

/** The name of one life of a session store: 8 bytes. */
export type StoreTag = string & { readonly __brand: "StoreTag" };

/** @param bytes - Exactly 16, else `RangeError`. */
export function sessionIdFromBytes(bytes: Uint8Array): SessionId {
  return nameFromBytes(bytes, sessionIdBytes) as SessionId;
}

/** @param bytes - Exactly 16, else `RangeError`. */
export function offerIdFromBytes(bytes: Uint8Array): OfferId {
  return nameFromBytes(bytes, sessionIdBytes) as OfferId;
}

/** @param bytes - Exactly 8, else `RangeError`. */
export function epochFromBytes(bytes: Uint8Array): Epoch {
  return nameFromBytes(bytes, epochBytes) as Epoch;
}

/** @param bytes - Exactly 8, else `RangeError`. */
export function storeTagFromBytes(bytes: Uint8Array): StoreTag {
  return nameFromBytes(bytes, storeTagBytes) as StoreTag;
}

function nameFromBytes(bytes: Uint8Array, length: number): string {
  if (bytes.length !== length) throw new RangeError(`Expected ${length} bytes, got ${bytes.length}`);
  return toHex(bytes);
}
