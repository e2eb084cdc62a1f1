/**
 * Which bytes are a well-formed Ed25519 point or scalar. Libraries differ here: some reduce what is out of range, some
 * ignore a sign bit that means nothing. Every provider asks these functions first, so that all give the same verdict.
 * Whether a point lies on the curve is not asked here. All inputs are public; nothing here is constant-time.
 */

/** The order of the base point, L = 2^252 + 27742317777372353535851937790883648493, little-endian. */
const order = Uint8Array.from([
  0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0, 0, 0, 0,
  0, 0, 0, 0, 0, 0, 0, 0, 0x10,
]);

/** Whether the 32 bytes at `offset` are a scalar below the group order. */
export function isCanonicalScalar(bytes: Uint8Array, offset: number): boolean {
  for (let i = 31; i >= 0; i--) {
    const difference = bytes[offset + i]! - order[i]!;
    if (difference !== 0) return difference < 0;
  }
  return false;
}

/**
 * Whether the 32 bytes at `offset` encode a y-coordinate below 2^255-19, with the sign bit clear where x is 0, that is
 * for y = 1 and y = -1.
 */
export function isCanonicalPoint(bytes: Uint8Array, offset: number): boolean {
  const low = bytes[offset]!;
  const high = bytes[offset + 31]!;
  if ((high & 0x7f) === 0x7f && low >= 0xec && allEqual(bytes, offset + 1, offset + 31, 0xff)) {
    return low === 0xec && high < 0x80; // 0xec is y = -1
  }
  if (high === 0x80 && low === 1) return !allEqual(bytes, offset + 1, offset + 31, 0);
  return true;
}

function allEqual(bytes: Uint8Array, start: number, end: number, value: number): boolean {
  for (let i = start; i < end; i++) if (bytes[i] !== value) return false;
  return true;
}

/** Whether a key and a signature have their sizes and hold only canonical values. */
export function isWellFormedSignature(publicKey: Uint8Array, signature: Uint8Array): boolean {
  return (
    publicKey.length === 32 &&
    signature.length === 64 &&
    isCanonicalPoint(publicKey, 0) &&
    isCanonicalPoint(signature, 0) &&
    isCanonicalScalar(signature, 32)
  );
}
