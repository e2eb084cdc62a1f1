/** What the stores under trial are filled with: each number has its bytes, so that what is found can be judged. */

export function contentOf(number: number): Uint8Array {
  const bytes = new Uint8Array(8 + ((number * 7_919) % 3_000));
  for (let i = 8; i < bytes.length; i++) bytes[i] = number + i;
  new DataView(bytes.buffer).setUint32(4, number);
  return bytes;
}

/** The number whose bytes these are. @throws when they are those of none. */
export function numberOf(bytes: Uint8Array, what: string): number {
  const number = bytes.length < 8 ? -1 : new DataView(bytes.buffer, bytes.byteOffset).getUint32(4);
  if (number < 0 || Buffer.compare(bytes, contentOf(number)) !== 0) throw new Error(`${what} holds what nobody wrote`);
  return number;
}
