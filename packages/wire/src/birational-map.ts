/**
 * The birational map from the Edwards curve of Ed25519 to the Montgomery curve of X25519, u = (1 + y) / (1 - y), with
 * the check that the point is on the curve. Written with `bigint`, which takes a thirtieth of the time of arithmetic on
 * limbs in JavaScript; ed2curve is its plain twin in the tests. Not constant-time: for public keys only.
 */
import { isCanonicalPoint } from "./ed25519-encoding.ts";

const p = 2n ** 255n - 19n;
const d = 37095705934669439343138083508754565189542113879843219016388785533085940283555n;

/**
 * @returns The u-coordinate, 32 bytes, or `null` when the key is not 32 bytes, not canonical or not on the curve. The image
 *   of y = 1, which has none, is 0, like that of y = -1.
 */
export function montgomeryImage(ed25519PublicKey: Uint8Array): Uint8Array | null {
  if (ed25519PublicKey.length !== 32 || !isCanonicalPoint(ed25519PublicKey, 0)) return null;
  const y = decodeCoordinate(ed25519PublicKey);
  const ySquared = (y * y) % p;
  const denominator = (d * ySquared + 1n) % p;
  // x^2 = (y^2 - 1) / denominator has a root exactly when the product of the two is a square.
  const product = ((ySquared - 1n + p) * denominator) % p;
  if (product === 0n) return new Uint8Array(32); // y = 1 or -1
  // One power serves twice: times the product it is the Legendre symbol, and where that is 1 it is the inverse.
  const inverse = powerForInverseRoot(product);
  if ((inverse * product) % p !== 1n) return null;
  // 1 / (1 - y) = -(1 + y) * denominator / product
  const onePlusY = 1n + y;
  const u = p - ((((((onePlusY * onePlusY) % p) * denominator) % p) * inverse) % p);
  return encodeCoordinate(u % p);
}

/** The u-coordinates of the images of the eight points of low order: with them every shared secret is zero. */
const lowOrderImages: readonly bigint[] = [
  0n,
  1n,
  325606250916557431795983626356110631294008115727848805560023387167927233504n,
  39382357235489614581723060781553021112529911719440698176882885853963445705823n,
];

/**
 * The X25519 public key of an Ed25519 public key.
 *
 * @returns 32 bytes, or `null` when the key is not 32 bytes, not canonical, not on the curve, or of low order: then nobody
 *   shares a secret with it, and anyone can sign for it.
 */
export function x25519PublicKeyOf(ed25519PublicKey: Uint8Array): Uint8Array | null {
  const image = montgomeryImage(ed25519PublicKey);
  return image === null || lowOrderImages.includes(decodeCoordinate(image)) ? null : image;
}

/** x^((p-3)/2); (p-3)/2 = 2^254 - 11 = (2^250 - 1) * 2^4 + 5. */
function powerForInverseRoot(x: bigint): bigint {
  const x2 = (square(x, 1) * x) % p; // x^(2^2 - 1), and so on
  const x4 = (square(x2, 2) * x2) % p;
  const x5 = (square(x4, 1) * x) % p;
  const x10 = (square(x5, 5) * x5) % p;
  const x20 = (square(x10, 10) * x10) % p;
  const x40 = (square(x20, 20) * x20) % p;
  const x50 = (square(x40, 10) * x10) % p;
  const x100 = (square(x50, 50) * x50) % p;
  const x200 = (square(x100, 100) * x100) % p;
  const x250 = (square(x200, 50) * x50) % p;
  return (((square(x250, 4) * square(x, 2)) % p) * x) % p;
}

function square(x: bigint, times: number): bigint {
  let result = x;
  for (let i = 0; i < times; i++) result = (result * result) % p;
  return result;
}

function decodeCoordinate(bytes: Uint8Array): bigint {
  const view = new DataView(bytes.buffer, bytes.byteOffset, 32);
  let value = view.getBigUint64(24, true) & 0x7fff_ffff_ffff_ffffn; // without the sign bit
  for (const offset of [16, 8, 0]) value = (value << 64n) | view.getBigUint64(offset, true);
  return value;
}

function encodeCoordinate(value: bigint): Uint8Array {
  const bytes = new Uint8Array(32);
  const view = new DataView(bytes.buffer);
  for (let i = 0, rest = value; i < 32; i += 8, rest >>= 64n) view.setBigUint64(i, BigInt.asUintN(64, rest), true);
  return bytes;
}
