/**
 * Ed25519 as EGTP uses it: strict, and the same on every machine. The one file that imports the curve library.
 *
 * tweetnacl checks the cofactorless equation and that R is in canonical form, but accepts S at or above the group order
 * and public keys that are not canonical; both are closed here. Whether a key lies on the curve at all is computed
 * here with big integers, an order of magnitude faster than by the library, because every peer ID that is read as text
 * is asked.
 *
 * @see docs/spec.md, "Identity"
 */
import nacl from "tweetnacl";
import { fromHex, toHex } from "./bytes.ts";
import { peerIdBytes } from "./limits.ts";

/** Bytes of an Ed25519 signature: R 32, S 32. */
export const signatureBytes = 64;

/** Checks a signature. The time it takes depends on its arguments, which are public. */
export type VerifySignature = (publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array) => boolean;

/** The order of the base point, 2^252 + 27742317777372353535851937790883648493, little-endian. */
const groupOrder = fromHex("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010");

/**
 * Checks an Ed25519 signature: the key canonical and on the curve, S below the group order, R canonical, and the
 * equation without cofactor.
 *
 * @param publicKey - Any bytes; the answer is `false` unless they are a valid key of 32.
 * @param signature - Any bytes; the answer is `false` unless they are 64.
 */
export function verifyEd25519(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  if (publicKey.length !== peerIdBytes || signature.length !== signatureBytes) return false;
  if (!isCanonicalPoint(publicKey) || !isBelow(signature.subarray(32), groupOrder)) return false;
  return nacl.sign.detached.verify(message, signature, publicKey);
}

/** Whether the bytes are the canonical encoding of a point on the curve, of whatever order. */
export function isEd25519PublicKey(bytes: Uint8Array): boolean {
  return bytes.length === peerIdBytes && isCanonicalPoint(bytes) && isOnCurve(bytes);
}

/** The y of the eight points whose order divides the cofactor, canonical, without the sign of x. */
const lowOrderY: ReadonlySet<string> = new Set([
  "0000000000000000000000000000000000000000000000000000000000000000",
  "0100000000000000000000000000000000000000000000000000000000000000",
  "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
  "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
  "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
]);

/** Whether a canonical key is of low order: nobody shares a secret with it, and anyone can sign for it. */
export function isLowOrderKey(bytes: Uint8Array): boolean {
  const y = bytes.slice();
  y[31]! &= 0x7f;
  return lowOrderY.has(toHex(y));
}

/**
 * Whether 32 bytes encode a point canonically, if they encode one at all: y below 2^255 - 19, and no sign on an x of
 * zero (which only the two points with y = 1 and y = -1 have).
 */
function isCanonicalPoint(bytes: Uint8Array): boolean {
  const sign = bytes[31]! >> 7;
  const top = bytes[31]! & 0x7f;
  const bottom = bytes[0]!;
  if (top === 0x7f && areAll(bytes, 0xff)) {
    if (bottom >= 0xed) return false;
    if (bottom === 0xec && sign === 1) return false;
  }
  return !(sign === 1 && top === 0 && bottom === 1 && areAll(bytes, 0));
}

const fieldPrime = 2n ** 255n - 19n;
/** The d of the curve -x^2 + y^2 = 1 + d x^2 y^2. */
const curveD = 0x52036cee2b6ffe738cc740797779e89800700a4d4141d8ab75eb4dca135978a3n;

/** Whether an x belongs to this y: whether (y^2 - 1) / (d y^2 + 1) is a square. The denominator is never zero. */
function isOnCurve(bytes: Uint8Array): boolean {
  const y = BigInt(`0x${toHex(bytes.toReversed())}`) & (2n ** 255n - 1n);
  const yy = (y * y) % fieldPrime;
  // u / v is a square when u v is.
  const product = ((yy + fieldPrime - 1n) * (curveD * yy + 1n)) % fieldPrime;
  if (product === 0n) return true;
  // Euler: to the power of (p - 1) / 2 = 2^254 - 10 = 16 (2^250 - 1) + 6.
  const to2 = square(product, 1);
  const to3 = (to2 * product) % fieldPrime;
  const ones4 = (square(to3, 2) * to3) % fieldPrime; // onesN: to the power of 2^N - 1
  const ones5 = (square(ones4, 1) * product) % fieldPrime;
  const ones10 = (square(ones5, 5) * ones5) % fieldPrime;
  const ones20 = (square(ones10, 10) * ones10) % fieldPrime;
  const ones40 = (square(ones20, 20) * ones20) % fieldPrime;
  const ones50 = (square(ones40, 10) * ones10) % fieldPrime;
  const ones100 = (square(ones50, 50) * ones50) % fieldPrime;
  const ones200 = (square(ones100, 100) * ones100) % fieldPrime;
  const ones250 = (square(ones200, 50) * ones50) % fieldPrime;
  return (square(ones250, 4) * square(to3, 1)) % fieldPrime === 1n;
}

/** The value squared so many times over. */
function square(value: bigint, times: number): bigint {
  let result = value;
  for (let i = 0; i < times; i++) result = (result * result) % fieldPrime;
  return result;
}

/** Whether all bytes between the first and the last are `value`. */
function areAll(bytes: Uint8Array, value: number): boolean {
  for (let i = 1; i < 31; i++) if (bytes[i] !== value) return false;
  return true;
}

/** Whether little-endian `a` is below little-endian `b` of the same length. */
function isBelow(a: Uint8Array, b: Uint8Array): boolean {
  for (let i = a.length - 1; i >= 0; i--) if (a[i] !== b[i]) return a[i]! < b[i]!;
  return false;
}
