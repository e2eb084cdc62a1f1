/** Noise's nonce for ChaCha20-Poly1305: 4 zero bytes, then the counter as 8 bytes little-endian. */

/**
 * Writes the nonce of a counter over the 12 bytes of `into`.
 *
 * @throws RangeError when the counter is not an integer from 0 to 2^53-1: a rounded counter would be used twice.
 */
export function writeNonce(into: DataView, counter: number): void {
  if (!Number.isSafeInteger(counter) || counter < 0) throw new RangeError(`not a counter: ${counter}`);
  into.setUint32(4, counter >>> 0, true);
  into.setUint32(8, Math.floor(counter / 2 ** 32), true);
}
