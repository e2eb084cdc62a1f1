/**
 * The name of a peer: its Ed25519 public key, written as 52 characters of z-base-32.
 *
 * A peer ID that exists as a `PeerId` is valid: canonical and on the curve. z-base-32 takes five bits at a time, the
 * highest first, from an alphabet chosen to be read aloud; the last character carries one bit and four zeros.
 *
 * @see docs/spec.md, "Identity"
 */
import { x25519PublicKeyOf } from "./birational-map.ts";
import { asciiText, encodeUtf8 } from "./bytes.ts";
import { WireError } from "./errors.ts";
import { peerIdBytes, peerIdTextLength } from "./limits.ts";

/** The name of a peer: 52 characters of z-base-32, known to be the canonical encoding of a point on the curve, not of low order. */
export type PeerId = string & { readonly __brand: "PeerId" };

const alphabetCodes = encodeUtf8("ybndrfg8ejkmcpqxot1uwisza345h769");
/** The value of a character of the alphabet by its code; 255 for everything else below 128. */
const valueOfCode = new Uint8Array(128).fill(255);
for (let value = 0; value < 32; value++) valueOfCode[alphabetCodes[value]!] = value;

/**
 * Reads a peer ID from text: exactly its 52 characters, lower case, the unused bits zero, a canonical point on the curve, not of low order.
 *
 * @throws {@link WireError} `EGTP_WIRE_BAD_PEER_ID`.
 */
export function parsePeerId(text: string): PeerId {
  const problem = problemOf(text);
  if (problem !== undefined) throw new WireError("EGTP_WIRE_BAD_PEER_ID", `Not a peer ID: ${problem}`);
  return text as PeerId;
}

/** Whether {@link parsePeerId} would accept it. */
export function isPeerId(text: unknown): text is PeerId {
  return problemOf(text) === undefined;
}

/**
 * The peer ID of a public key that came from outside.
 *
 * @param bytes - Borrowed.
 * @throws {@link WireError} `EGTP_WIRE_BAD_PEER_ID` unless they are 32 bytes, canonical, on the curve and not of low order.
 */
export function peerIdFromBytes(bytes: Uint8Array): PeerId {
  if (bytes.length !== peerIdBytes) {
    throw new WireError("EGTP_WIRE_BAD_PEER_ID", `Not a peer ID: ${bytes.length} bytes instead of ${peerIdBytes}`);
  }
  const id = encode(bytes);
  if (!isUsable(id, bytes)) throw new WireError("EGTP_WIRE_BAD_PEER_ID", `Not a peer ID: ${notAPoint}`);
  return id;
}

/** The peer ID of a public key that is known to be valid: our own, or one that was checked before. 32 bytes. */
export function peerIdFromTrustedBytes(bytes: Uint8Array): PeerId {
  if (bytes.length !== peerIdBytes) throw new RangeError(`Expected ${peerIdBytes} bytes, got ${bytes.length}`);
  return encode(bytes);
}

/** The public key, 32 bytes in new memory. */
export function peerIdToBytes(id: PeerId): Uint8Array {
  const bytes = new Uint8Array(peerIdBytes);
  let held = 0;
  let bits = 0;
  let at = 0;
  for (let i = 0; i < peerIdTextLength; i++) {
    held = (held << 5) | valueOfCode[id.charCodeAt(i)]!;
    bits += 5;
    if (bits >= 8) {
      bits -= 8;
      bytes[at++] = held >> bits;
      held &= (1 << bits) - 1;
    }
  }
  return bytes;
}

/** Orders peer IDs by the bytes of their keys, as unsigned numbers from the first: negative, zero or positive. */
export function comparePeerIds(a: PeerId, b: PeerId): number {
  if (a === b) return 0;
  for (let i = 0; i < peerIdTextLength; i++) {
    const difference = valueOfCode[a.charCodeAt(i)]! - valueOfCode[b.charCodeAt(i)]!;
    if (difference !== 0) return difference;
  }
  return 0;
}

const notAPoint = "the key is not the canonical encoding of a point of the curve's large group";

/** IDs that were found usable, the latest last: the same few come again and again, and the curve costs a lot to ask. */
const usable = new Set<string>();
const maxUsable = 256;

function isUsable(id: string, key: Uint8Array): boolean {
  if (usable.has(id)) return true;
  if (x25519PublicKeyOf(key) === null) return false;
  usable.add(id);
  if (usable.size > maxUsable) {
    for (const oldest of usable) {
      usable.delete(oldest);
      break;
    }
  }
  return true;
}

function problemOf(text: unknown): string | undefined {
  if (typeof text !== "string") return "it is not text";
  if (text.length !== peerIdTextLength) return `${text.length} characters instead of ${peerIdTextLength}`;
  for (let i = 0; i < peerIdTextLength; i++) {
    if ((valueOfCode[text.charCodeAt(i)] ?? 255) > 31) return `character ${i + 1} is not one of z-base-32`;
  }
  if ((valueOfCode[text.charCodeAt(peerIdTextLength - 1)]! & 0b1111) !== 0) return "its unused last bits are not zero";
  return isUsable(text, peerIdToBytes(text as PeerId)) ? undefined : notAPoint;
}

/** Where the text is prepared. */
const codes = new Uint8Array(peerIdTextLength);

function encode(bytes: Uint8Array): PeerId {
  let held = 0;
  let bits = 0;
  let at = 0;
  for (let i = 0; i < peerIdBytes; i++) {
    held = (held << 8) | bytes[i]!;
    bits += 8;
    while (bits >= 5) {
      bits -= 5;
      codes[at++] = alphabetCodes[held >> bits]!;
      held &= (1 << bits) - 1;
    }
  }
  codes[at] = alphabetCodes[held << 4]!;
  return asciiText(codes) as PeerId;
}
