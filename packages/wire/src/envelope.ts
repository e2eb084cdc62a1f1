/**
 * The envelope: the unit on a link. A clear header that a relay may read, and a sealed rest that it may not.
 *
 *     version+type 1 | flags 1 | sender 32 or 80 | session or offer ID 16 | counter 8 | [offer or acceptance 80] | ciphertext
 *
 * All bytes before the ciphertext are its associated data. Nothing is encrypted or decrypted here, and the sender is
 * not checked to be a valid peer ID: that costs a square root, so it waits until someone has paid for it.
 *
 * @see docs/spec.md, "Envelope"
 */
import { viewOf } from "./bytes.ts";
import { WireError } from "./errors.ts";
import {
  acceptanceBytes,
  authTagBytes,
  counterLimit,
  maxPlaintextBytes,
  offerBytes,
  peerIdBytes,
  protocolVersion,
  sealedSenderBytes,
  sessionIdBytes,
} from "./limits.ts";

export type EnvelopeType = "data" | "offer" | "acceptance";

/** What stands in the clear before the ciphertext. */
export interface EnvelopeHeader {
  readonly type: EnvelopeType;
  /** The sender's ID, 32 bytes, or its sealed form, 80. */
  readonly sender: Uint8Array;
  /** The session ID, or for an offer the offer ID, 16 bytes. */
  readonly id: Uint8Array;
  /** The number that this key uses once, below 2^32. */
  readonly counter: number;
  /** The offer or acceptance, 80 bytes; `undefined` for data. */
  readonly handshake: Uint8Array | undefined;
}

/** A decoded envelope. Every byte field is a view of the envelope's memory. */
export interface Envelope extends EnvelopeHeader {
  readonly version: number;
  /** Whether `sender` is sealed. */
  readonly sealedSender: boolean;
  /** The whole header: the associated data of the ciphertext. */
  readonly header: Uint8Array;
  /** With its tag of 16 bytes. */
  readonly ciphertext: Uint8Array;
}

const typeData = 1;
const typeOffer = 2;
const typeAcceptance = 3;
const flagSealedSender = 0x01;
const senderOffset = 2;

/** Bytes of the header of such an envelope. */
export function envelopeHeaderBytes(type: EnvelopeType, sealed: boolean): number {
  const sender = sealed ? sealedSenderBytes : peerIdBytes;
  const handshake = type === "data" ? 0 : type === "offer" ? offerBytes : acceptanceBytes;
  return senderOffset + sender + sessionIdBytes + 8 + handshake;
}

/**
 * Reads an envelope without opening it.
 *
 * @param bytes - Exactly one envelope. Borrowed: the result is made of views of it.
 * @throws {@link WireError} `EGTP_WIRE_TRUNCATED`, `EGTP_WIRE_TOO_LARGE`, `EGTP_WIRE_UNKNOWN_VERSION`,
 *   `EGTP_WIRE_UNKNOWN_TYPE`, `EGTP_WIRE_BAD_FLAGS`, `EGTP_WIRE_BAD_COUNTER`.
 * @see docs/spec.md, "Envelope"
 */
export function decodeEnvelope(bytes: Uint8Array): Envelope {
  if (bytes.length === 0) throw new WireError("EGTP_WIRE_TRUNCATED", "An envelope of no bytes");
  const first = bytes[0]!;
  const version = first >> 4;
  // The version decides the rest: an envelope of another one is never called damaged.
  if (version !== protocolVersion) {
    throw new WireError("EGTP_WIRE_UNKNOWN_VERSION", `An envelope of version ${version}`);
  }
  const typeNumber = first & 15;
  if (typeNumber < typeData || typeNumber > typeAcceptance) {
    throw new WireError("EGTP_WIRE_UNKNOWN_TYPE", `An envelope of type ${typeNumber}`);
  }
  const type = typeNumber === typeData ? "data" : typeNumber === typeOffer ? "offer" : "acceptance";
  if (bytes.length < 2) throw new WireError("EGTP_WIRE_TRUNCATED", "An envelope of one byte");
  const flags = bytes[1]!;
  if ((flags & ~flagSealedSender) !== 0) {
    throw new WireError("EGTP_WIRE_BAD_FLAGS", `An envelope with flags ${flags}`);
  }
  const sealedSender = flags === flagSealedSender;
  const idOffset = senderOffset + (sealedSender ? sealedSenderBytes : peerIdBytes);
  const counterOffset = idOffset + sessionIdBytes;
  const handshakeOffset = counterOffset + 8;
  const headerBytes =
    handshakeOffset + (typeNumber === typeData ? 0 : typeNumber === typeOffer ? offerBytes : acceptanceBytes);
  if (bytes.length < headerBytes + authTagBytes) {
    throw new WireError("EGTP_WIRE_TRUNCATED", `An envelope of ${bytes.length} bytes, its header needs ${headerBytes}`);
  }
  if (bytes.length > headerBytes + maxPlaintextBytes + authTagBytes) {
    throw new WireError("EGTP_WIRE_TOO_LARGE", `An envelope of ${bytes.length} bytes`);
  }
  const high =
    bytes[counterOffset]! | bytes[counterOffset + 1]! | bytes[counterOffset + 2]! | bytes[counterOffset + 3]!;
  if (high !== 0) throw new WireError("EGTP_WIRE_BAD_COUNTER", "An envelope whose counter is 2^32 or more");
  const counter =
    bytes[counterOffset + 4]! * 0x100_0000 +
    ((bytes[counterOffset + 5]! << 16) | (bytes[counterOffset + 6]! << 8) | bytes[counterOffset + 7]!);
  return {
    version,
    type,
    sealedSender,
    sender: viewOf(bytes, senderOffset, idOffset),
    id: viewOf(bytes, idOffset, counterOffset),
    counter,
    handshake: typeNumber === typeData ? undefined : viewOf(bytes, handshakeOffset, headerBytes),
    header: viewOf(bytes, 0, headerBytes),
    ciphertext: viewOf(bytes, headerBytes, bytes.length),
  };
}

/**
 * Writes a header at the start of `into`, where the ciphertext is then to follow.
 *
 * @param into - Written in place, at least {@link envelopeHeaderBytes} long.
 * @returns The length of the header.
 * @throws `RangeError` when a field has the wrong size or there is no room.
 */
export function encodeEnvelopeHeader(fields: EnvelopeHeader, into: Uint8Array): number {
  const { type, sender, id, counter, handshake } = fields;
  const sealed = sender.length === sealedSenderBytes;
  const headerBytes = envelopeHeaderBytes(type, sealed);
  const handshakeBytes = type === "data" ? 0 : type === "offer" ? offerBytes : acceptanceBytes;
  if (!sealed && sender.length !== peerIdBytes) throw new RangeError(`A sender of ${sender.length} bytes`);
  if (id.length !== sessionIdBytes) throw new RangeError(`An ID of ${id.length} bytes`);
  if ((handshake?.length ?? 0) !== handshakeBytes) {
    throw new RangeError(`A handshake of ${handshake?.length ?? 0} bytes in an envelope of type ${type}`);
  }
  if (!Number.isInteger(counter) || counter < 0 || counter >= counterLimit) throw new RangeError(`Counter ${counter}`);
  if (into.length < headerBytes) throw new RangeError(`A header of ${headerBytes} bytes into ${into.length}`);

  const typeNumber = type === "data" ? typeData : type === "offer" ? typeOffer : typeAcceptance;
  into[0] = (protocolVersion << 4) | typeNumber;
  into[1] = sealed ? flagSealedSender : 0;
  into.set(sender, senderOffset);
  let at = senderOffset + sender.length;
  into.set(id, at);
  at += sessionIdBytes;
  into[at] = into[at + 1] = into[at + 2] = into[at + 3] = 0;
  into[at + 4] = counter >>> 24;
  into[at + 5] = counter >>> 16;
  into[at + 6] = counter >>> 8;
  into[at + 7] = counter;
  if (handshake !== undefined) into.set(handshake, at + 8);
  return headerBytes;
}
