/**
 * CRC-32C (Castagnoli), the checksum on every record. It finds damage by disks and crashes: every burst of up to 32
 * bits, and all but one in four billion of what is worse. It is no protection against someone who may write the file.
 */

const table = makeTable();

/**
 * The CRC-32C of a key and the bytes under it, so that a value which strays to another key is found too.
 *
 * @param key - Printable ASCII.
 * @returns An unsigned 32-bit number.
 */
export function recordChecksum(key: string, bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (let i = 0; i < key.length; i++) crc = table[(crc ^ key.charCodeAt(i)) & 0xff]! ^ (crc >>> 8);
  for (let i = 0; i < bytes.length; i++) crc = table[(crc ^ bytes[i]!) & 0xff]! ^ (crc >>> 8);
  return ~crc >>> 0;
}

function makeTable(): Uint32Array {
  const made = new Uint32Array(256);
  for (let i = 0; i < 256; i++) {
    let crc = i;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
    made[i] = crc;
  }
  return made;
}
