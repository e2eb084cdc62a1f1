/**
 * A kept record as bytes, for stores that keep it outside of this process:
 *
 *     version 1, seq u64, valid until u64, keep until u64, services, the record
 */
import { ByteReader, ByteWriter, decodeUtf8, encodeUtf8, type PeerId, WireError } from "@egtp/wire";
import type { KeptRecord } from "./directory-store.ts";

const version = 1;

export function encodeKeptRecord({ seq, bytes, services, validUntil, keepUntil }: KeptRecord): Uint8Array {
  const writer = new ByteWriter(64 + bytes.length).u8(version).u64(seq).u64(validUntil).u64(keepUntil);
  writer.varint(services.length);
  for (const service of services) {
    const name = encodeUtf8(service);
    writer.varint(name.length).put(name);
  }
  return writer.put(bytes).bytes();
}

/**
 * @param value - The record's from now on: its bytes are a part of it.
 * @returns `undefined` for what is none of this version.
 */
export function decodeKeptRecord(peer: PeerId, value: Uint8Array): KeptRecord | undefined {
  try {
    const reader = new ByteReader(value);
    if (reader.u8() !== version) return undefined;
    const [seq, validUntil, keepUntil] = [reader.u64(), reader.u64(), reader.u64()];
    const count = reader.varint();
    // Each takes a byte or more, so there are never more than there are bytes.
    if (count > reader.remaining) return undefined;
    const services: string[] = [];
    for (let i = 0; i < count; i++) {
      const service = decodeUtf8(reader.take(reader.varint()));
      if (service === undefined) return undefined;
      services.push(service);
    }
    return { peer, seq, bytes: reader.take(reader.remaining), services, validUntil, keepUntil };
  } catch (error) {
    if (error instanceof WireError) return undefined;
    throw error;
  }
}
