/**
 * Ed25519 as EGTP uses it: strict, and the same on every machine. The one file of this package that imports the curve library.
 *
 * tweetnacl checks the cofactorless equation and that R is in canonical form, but accepts S at or above the group order
 * and public keys that are not canonical; both are closed here. Whether a key lies on the curve at all is computed
 * with big integers, an order of magnitude faster than by the library, because every peer ID that is read as text
 * is asked.
 *
 * @see docs/spec.md, "Identity"
 */
import nacl from "tweetnacl";
import { montgomeryImage } from "./birational-map.ts";
import { isWellFormedSignature } from "./ed25519-encoding.ts";

/** Bytes of an Ed25519 signature: R 32, S 32. */
export const signatureBytes = 64;

/** Checks a signature. The time it takes depends on its arguments, which are public. */
export type VerifySignature = (publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array) => boolean;

/**
 * Checks an Ed25519 signature: the key canonical and on the curve, S below the group order, R canonical, and the
 * equation without cofactor.
 *
 * @param publicKey - Any bytes; the answer is `false` unless they are a valid key of 32.
 * @param signature - Any bytes; the answer is `false` unless they are 64.
 */
export function verifyEd25519(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  return isWellFormedSignature(publicKey, signature) && nacl.sign.detached.verify(message, signature, publicKey);
}

/** Whether the bytes are the canonical encoding of a point on the curve, of whatever order. */
export function isEd25519PublicKey(bytes: Uint8Array): boolean {
  return montgomeryImage(bytes) !== null;
}
