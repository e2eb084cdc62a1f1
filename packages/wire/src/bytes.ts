/**
 * Plain work on bytes: hexadecimal, comparison, varints, and the reader and writer that the binary formats share.
 *
 * It knows nothing of the protocol except how a varint looks: unsigned LEB128 in its shortest form, at most 2^53 - 1.
 *
 * @see docs/spec.md, "Notation"
 */
import { WireError } from "./errors.ts";
import { maxVarintBytes } from "./limits.ts";

const utf8 = new TextEncoder();
const strictUtf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

const hexDigits = "0123456789abcdef";
/** The character codes of the two digits of each byte. */
const hexCodes = new Uint8Array(512);
for (let byte = 0; byte < 256; byte++) {
  hexCodes[2 * byte] = hexDigits.charCodeAt(byte >> 4);
  hexCodes[2 * byte + 1] = hexDigits.charCodeAt(byte & 15);
}
/** The value of a lower-case hexadecimal digit by its character code; 255 for everything else below 128. */
const hexValueOfCode = new Uint8Array(128).fill(255);
for (let value = 0; value < 16; value++) hexValueOfCode[hexDigits.charCodeAt(value)] = value;

/** Where the text of 16 bytes is prepared: the length of every session ID, looked up for every envelope. */
const codesOf16 = new Uint8Array(32);

/** The lower-case hexadecimal text of the bytes, two digits each. */
export function toHex(bytes: Uint8Array): string {
  const codes = bytes.length === 16 ? codesOf16 : new Uint8Array(2 * bytes.length);
  for (let i = 0; i < bytes.length; i++) {
    const pair = 2 * bytes[i]!;
    codes[2 * i] = hexCodes[pair]!;
    codes[2 * i + 1] = hexCodes[pair + 1]!;
  }
  return asciiText(codes);
}

/**
 * Reads lower-case hexadecimal text.
 *
 * @throws {@link WireError} `EGTP_WIRE_BAD_HEX` for an odd length or any other character.
 */
export function fromHex(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length >> 1);
  let valid = text.length % 2 === 0;
  for (let i = 0; i < bytes.length; i++) {
    const high = hexValueOfCode[text.charCodeAt(2 * i)] ?? 255;
    const low = hexValueOfCode[text.charCodeAt(2 * i + 1)] ?? 255;
    if ((high | low) > 15) valid = false;
    bytes[i] = (high << 4) | low;
  }
  if (!valid) throw new WireError("EGTP_WIRE_BAD_HEX", "Not lower-case hexadecimal text of whole bytes");
  return bytes;
}

/** All parts, one after the other, in new memory. */
export function concatBytes(...parts: readonly Uint8Array[]): Uint8Array {
  let length = 0;
  for (const part of parts) length += part.length;
  const joined = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return joined;
}

/** Whether both hold the same bytes. The time it takes tells where they differ: not for secrets. */
export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** Orders byte strings as unsigned bytes, a prefix before what it begins: negative, zero or positive. Not for secrets. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const shorter = Math.min(a.length, b.length);
  for (let i = 0; i < shorter; i++) if (a[i] !== b[i]) return a[i]! - b[i]!;
  return a.length - b.length;
}

/** A plain `Uint8Array` over part of the same memory, whatever subclass `bytes` is. */
export function viewOf(bytes: Uint8Array, start: number, end: number): Uint8Array {
  return new Uint8Array(bytes.buffer, bytes.byteOffset + start, end - start);
}

/** Bytes that `value` takes as a varint. */
export function varintLength(value: number): number {
  if (value < 0x80) return 1;
  if (value < 0x4000) return 2;
  if (value < 0x20_0000) return 3;
  if (value < 0x1000_0000) return 4;
  if (value < 2 ** 35) return 5;
  if (value < 2 ** 42) return 6;
  return value < 2 ** 49 ? 7 : 8;
}

/**
 * Writes a varint.
 *
 * @param value - A safe integer, zero or more; trusted.
 * @param into - Has {@link varintLength} bytes of room at `at`.
 * @returns The offset after it.
 */
export function writeVarint(value: number, into: Uint8Array, at: number): number {
  if (value < 0x80) {
    into[at] = value;
    return at + 1;
  }
  let rest = value;
  let offset = at;
  while (rest >= 0x8000_0000) {
    into[offset++] = (rest % 0x80) | 0x80;
    rest = Math.floor(rest / 0x80);
  }
  while (rest >= 0x80) {
    into[offset++] = (rest & 0x7f) | 0x80;
    rest >>>= 7;
  }
  into[offset++] = rest;
  return offset;
}

/** The text of character codes below 128. Made in one piece, unlike a text put together digit by digit. */
export function asciiText(codes: Uint8Array): string {
  return strictUtf8.decode(codes);
}

/** The UTF-8 of well-formed text. */
export function encodeUtf8(text: string): Uint8Array {
  return utf8.encode(text);
}

/** The text, or `undefined` when the bytes are not UTF-8. A byte order mark is kept like any other character. */
export function decodeUtf8(bytes: Uint8Array): string | undefined {
  try {
    return strictUtf8.decode(bytes);
  } catch {
    return undefined;
  }
}

/** Reads fixed fields and varints one after the other. Its views borrow the bytes it was given. */
export class ByteReader {
  readonly bytes: Uint8Array;
  /** Where the next field begins. */
  offset = 0;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }

  /** Bytes not yet read. */
  get remaining(): number {
    return this.bytes.length - this.offset;
  }

  /** @throws {@link WireError} `EGTP_WIRE_TRUNCATED`. */
  u8(): number {
    const value = this.bytes[this.offset];
    if (value === undefined) throw truncated(1, 0);
    this.offset += 1;
    return value;
  }

  /** Four bytes, big-endian. @throws {@link WireError} `EGTP_WIRE_TRUNCATED`. */
  u32(): number {
    this.#need(4);
    const { bytes, offset } = this;
    this.offset = offset + 4;
    return bytes[offset]! * 0x100_0000 + ((bytes[offset + 1]! << 16) | (bytes[offset + 2]! << 8) | bytes[offset + 3]!);
  }

  /** Eight bytes, big-endian. @throws {@link WireError} `EGTP_WIRE_TRUNCATED`; `EGTP_WIRE_BAD_NUMBER` above 2^53 - 1. */
  u64(): number {
    this.#need(8);
    const high = this.u32();
    const low = this.u32();
    if (high > 0x1f_ffff) throw new WireError("EGTP_WIRE_BAD_NUMBER", "A number is above 2^53 - 1");
    return high * 0x1_0000_0000 + low;
  }

  /** An unsigned LEB128 number. @throws {@link WireError} `EGTP_WIRE_TRUNCATED`, `EGTP_WIRE_BAD_NUMBER`. */
  varint(): number {
    const { bytes, offset } = this;
    const first = bytes[offset]!;
    if (first < 0x80) {
      this.offset = offset + 1;
      return first;
    }
    let value = 0;
    let scale = 1;
    for (let at = offset; at < offset + maxVarintBytes; at++) {
      if (at >= bytes.length) throw new WireError("EGTP_WIRE_TRUNCATED", "The bytes end inside a varint");
      const byte = bytes[at]!;
      if (byte < 0x80) {
        if (byte === 0 && at > offset) throw badVarint();
        // Doubles are exact up to 2^53, and what is above cannot round to below.
        value += byte * scale;
        if (value > Number.MAX_SAFE_INTEGER) throw badVarint();
        this.offset = at + 1;
        return value;
      }
      value += (byte & 0x7f) * scale;
      scale *= 0x80;
    }
    throw badVarint();
  }

  /** The next `count` bytes as a view. @throws {@link WireError} `EGTP_WIRE_TRUNCATED`. */
  take(count: number): Uint8Array {
    this.#need(count);
    const start = this.offset;
    this.offset = start + count;
    return viewOf(this.bytes, start, this.offset);
  }

  /** @throws {@link WireError} `EGTP_WIRE_TRAILING_BYTES` unless everything was read. */
  end(): void {
    if (this.remaining > 0) {
      throw new WireError("EGTP_WIRE_TRAILING_BYTES", `${this.remaining} bytes follow the end`);
    }
  }

  #need(count: number): void {
    if (this.remaining < count) throw truncated(count, this.remaining);
  }
}

function badVarint(): WireError {
  return new WireError("EGTP_WIRE_BAD_NUMBER", "A varint is not in its shortest form or is above 2^53 - 1");
}

function truncated(wanted: number, had: number): WireError {
  return new WireError("EGTP_WIRE_TRUNCATED", `Expected ${wanted} more bytes, found ${had}`);
}

/** Writes fixed fields and varints one after the other into memory that grows. */
export class ByteWriter {
  #bytes: Uint8Array<ArrayBuffer>;
  #length = 0;

  /** @param capacity - Bytes to begin with; the writer grows when they are used up. */
  constructor(capacity = 256) {
    this.#bytes = new Uint8Array(capacity);
  }

  /** Bytes written. */
  get length(): number {
    return this.#length;
  }

  u8(value: number): this {
    this.#reserve(1);
    this.#bytes[this.#length++] = value;
    return this;
  }

  /** Four bytes, big-endian. */
  u32(value: number): this {
    this.#reserve(4);
    const bytes = this.#bytes;
    const at = this.#length;
    bytes[at] = value >>> 24;
    bytes[at + 1] = value >>> 16;
    bytes[at + 2] = value >>> 8;
    bytes[at + 3] = value;
    this.#length = at + 4;
    return this;
  }

  /** Eight bytes, big-endian. @param value - A safe integer, zero or more. */
  u64(value: number): this {
    return this.u32(Math.floor(value / 0x1_0000_0000)).u32(value % 0x1_0000_0000);
  }

  /** @param value - A safe integer, zero or more. */
  varint(value: number): this {
    this.#reserve(8);
    this.#length = writeVarint(value, this.#bytes, this.#length);
    return this;
  }

  /** @param bytes - Copied. */
  put(bytes: Uint8Array): this {
    this.#reserve(bytes.length);
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
    return this;
  }

  /** What was written, as a view of the writer's memory: good until the next write. */
  bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  #reserve(count: number): void {
    const needed = this.#length + count;
    if (needed <= this.#bytes.length) return;
    const grown = new Uint8Array(Math.max(needed, 2 * this.#bytes.length));
    grown.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = grown;
  }
}
