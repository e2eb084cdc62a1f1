/**
 * The name of a message type on the wire: 1 to 128 bytes of UTF-8 without control characters, which could forge lines in
 * somebody's log.
 *
 * @see docs/spec.md, "Frames"
 */
import { decodeUtf8, encodeUtf8 } from "./bytes.ts";
import { maxTypeNameBytes } from "./limits.ts";

const unwanted = /[\p{Cc}\p{Surrogate}]/u;

/** The bytes of a name, or `undefined` when it is not one. */
export function encodeTypeName(name: string): Uint8Array | undefined {
  // A character is at least a byte: what is far too long is not encoded first.
  if (name.length > maxTypeNameBytes || unwanted.test(name)) return undefined;
  const bytes = encodeUtf8(name);
  return bytes.length === 0 || bytes.length > maxTypeNameBytes ? undefined : bytes;
}

/** The name, or `undefined` when the bytes are not one. */
export function decodeTypeName(bytes: Uint8Array): string | undefined {
  if (bytes.length === 0 || bytes.length > maxTypeNameBytes) return undefined;
  const name = decodeUtf8(bytes);
  return name === undefined || unwanted.test(name) ? undefined : name;
}
