/**
 * Message bodies with structure: plain values to deterministic CBOR and back.
 *
 * Each value has exactly one encoding, and what is decoded equals what was encoded, types included. docs/body-values.md
 * is the table of what a body may hold. Where RFC 8949, section 4.2, leaves a choice: every number that is not a safe
 * integer is a 64-bit float, and a bigint is always a bignum (tag 2 or 3), so that it comes back as a bigint.
 *
 * Written by hand, like the other binary formats: of CBOR it is the part that has one form for each value, and whatever has
 * another form is refused where it is read.
 *
 * @see docs/spec.md, "Bodies"
 */
import { ByteReader, ByteWriter, compareBytes, decodeUtf8, encodeUtf8, fromHex, toHex } from "./bytes.ts";
import { WireError } from "./errors.ts";
import { maxBodyDepth } from "./limits.ts";

/**
 * Encodes a value.
 *
 * @returns New bytes.
 * @throws {@link WireError} `EGTP_WIRE_BAD_BODY` for a value that a body cannot hold; the message says which and where.
 * @see docs/spec.md, "Bodies"
 */
export function encodeBody(value: unknown): Uint8Array {
  const output = new ByteWriter();
  const problem = write(output, value, 0);
  if (problem !== undefined) throw badBody(`A body cannot hold this: value${problem}`);
  return output.bytes().slice();
}

/**
 * Decodes a value. Only the encoding that {@link encodeBody} would have made is accepted.
 *
 * @param bytes - Exactly one value. Borrowed: byte strings in the result are copies.
 * @returns The value. It owns its memory, which is at most a small multiple of the length of `bytes`.
 * @throws {@link WireError} `EGTP_WIRE_BAD_BODY`, `EGTP_WIRE_TRAILING_BYTES`.
 * @see docs/spec.md, "Bodies"
 */
export function decodeBody(bytes: Uint8Array): unknown {
  const input = new ByteReader(bytes);
  let value: unknown;
  try {
    value = read(input, 0);
  } catch (cause) {
    if (cause instanceof WireError && cause.code !== "EGTP_WIRE_BAD_BODY") throw badBody(cause.message, cause);
    throw cause;
  }
  if (input.remaining > 0) {
    throw new WireError("EGTP_WIRE_TRAILING_BYTES", `${input.remaining} bytes follow the body`);
  }
  return value;
}

/** The high three bits of an item's first byte. */
const majorType = { unsigned: 0, negative: 1, bytes: 2, text: 3, array: 4, map: 5, tag: 6, other: 7 } as const;
const falseByte = 0xf4;
const trueByte = 0xf5;
const nullByte = 0xf6;
const float64Byte = 0xfb;
const tagDate = 1;
const tagPositiveBignum = 2;
const tagNegativeBignum = 3;

const loneSurrogate = /\p{Surrogate}/u;
const float = new DataView(new ArrayBuffer(8));
const floatBytes = new Uint8Array(float.buffer);

// ---- Writing ----

/** Writes one item. Returns where in the value something does not belong, and what it is; `undefined` when all is well. */
function write(output: ByteWriter, value: unknown, depth: number): string | undefined {
  switch (typeof value) {
    case "boolean":
      output.u8(value ? trueByte : falseByte);
      return undefined;
    case "bigint":
      writeHead(output, majorType.tag, value < 0n ? tagNegativeBignum : tagPositiveBignum);
      writeBytes(output, majorType.bytes, magnitudeBytes(value < 0n ? -1n - value : value));
      return undefined;
    case "number":
      if (!Number.isFinite(value)) return ` is ${value}`;
      writeNumber(output, value);
      return undefined;
    case "string":
      if (loneSurrogate.test(value)) return " is text with half a surrogate pair";
      writeBytes(output, majorType.text, encodeUtf8(value));
      return undefined;
    case "object":
      if (value !== null) return writeObject(output, value, depth);
      output.u8(nullByte);
      return undefined;
    default:
      return ` is of type ${typeof value}`;
  }
}

function writeObject(output: ByteWriter, value: object, depth: number): string | undefined {
  if (value instanceof Uint8Array) {
    writeBytes(output, majorType.bytes, value);
    return undefined;
  }
  if (value instanceof Date) {
    const seconds = value.getTime() / 1_000;
    if (Number.isNaN(seconds)) return " is an invalid date";
    writeHead(output, majorType.tag, tagDate);
    writeNumber(output, seconds);
    return undefined;
  }
  // Also ends the walk through a value that contains itself.
  if (depth === maxBodyDepth) return ` is nested deeper than ${maxBodyDepth}`;
  if (Array.isArray(value)) {
    writeHead(output, majorType.array, value.length);
    for (let i = 0; i < value.length; i++) {
      const problem = write(output, value[i], depth + 1);
      if (problem !== undefined) return `[${i}]${problem}`;
    }
    return undefined;
  }
  if (!isPlainObject(value)) return ` is an instance of ${value.constructor?.name || "a class"}`;
  if (Object.getOwnPropertySymbols(value).length > 0) return " has a symbol as key";
  const properties: { readonly name: string; readonly key: Uint8Array; readonly item: unknown }[] = [];
  for (const [name, item] of Object.entries(value)) {
    if (loneSurrogate.test(name)) return " has a key with half a surrogate pair";
    if (item !== undefined) properties.push({ name, key: encodeUtf8(name), item });
  }
  // The bytewise order of their encodings, which begin with their lengths.
  properties.sort((a, b) => a.key.length - b.key.length || compareBytes(a.key, b.key));
  writeHead(output, majorType.map, properties.length);
  for (const { name, key, item } of properties) {
    writeBytes(output, majorType.text, key);
    const problem = write(output, item, depth + 1);
    if (problem !== undefined) return `.${name}${problem}`;
  }
  return undefined;
}

/** Made by `{}`, `JSON.parse` or `Object.create(null)`, in this realm or another. */
function isPlainObject(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

/** The first byte of an item, and its argument in the shortest form. */
function writeHead(output: ByteWriter, major: number, argument: number): void {
  const first = major << 5;
  if (argument < 24) output.u8(first | argument);
  else if (argument < 0x100) output.u8(first | 24).u8(argument);
  else if (argument < 0x1_0000)
    output
      .u8(first | 25)
      .u8(argument >> 8)
      .u8(argument);
  else if (argument < 0x1_0000_0000) output.u8(first | 26).u32(argument);
  else output.u8(first | 27).u64(argument);
}

function writeBytes(output: ByteWriter, major: number, bytes: Uint8Array): void {
  writeHead(output, major, bytes.length);
  output.put(bytes);
}

function writeNumber(output: ByteWriter, value: number): void {
  if (isInteger(value)) {
    if (value >= 0) writeHead(output, majorType.unsigned, value);
    else writeHead(output, majorType.negative, -1 - value);
  } else {
    float.setFloat64(0, value);
    output.u8(float64Byte).put(floatBytes);
  }
}

/** Whether a number travels as an integer. */
function isInteger(value: number): boolean {
  return Number.isSafeInteger(value) && !Object.is(value, -0);
}

/** The big-endian bytes without leading zeros; none for zero. */
function magnitudeBytes(value: bigint): Uint8Array {
  if (value === 0n) return new Uint8Array(0);
  const digits = value.toString(16);
  return fromHex(digits.length % 2 === 0 ? digits : `0${digits}`);
}

// ---- Reading ----

/** Reads one item, which lies within `depth` arrays and objects. */
function read(input: ByteReader, depth: number): unknown {
  const first = input.u8();
  const major = first >> 5;
  if (major === majorType.other) return readOther(input, first);
  const argument = readArgument(input, first & 31);
  switch (major) {
    case majorType.unsigned:
      return argument;
    case majorType.negative:
      if (argument === Number.MAX_SAFE_INTEGER) throw badBody("An integer below -(2^53 - 1)");
      return -1 - argument;
    case majorType.bytes:
      return input.take(argument).slice();
    case majorType.text: {
      const text = decodeUtf8(input.take(argument));
      if (text === undefined) throw badBody("Text that is not UTF-8");
      return text;
    }
    case majorType.tag:
      return readTagged(input, argument, depth);
    default:
      if (depth === maxBodyDepth) throw badBody(`Nested deeper than ${maxBodyDepth}`);
      return major === majorType.array ? readArray(input, argument, depth + 1) : readMap(input, argument, depth + 1);
  }
}

function readArgument(input: ByteReader, minor: number): number {
  if (minor < 24) return minor;
  let argument: number;
  let least: number;
  if (minor === 24) [argument, least] = [input.u8(), 24];
  else if (minor === 25) [argument, least] = [input.u8() * 0x100 + input.u8(), 0x100];
  else if (minor === 26) [argument, least] = [input.u32(), 0x1_0000];
  else if (minor === 27) [argument, least] = [input.u64(), 0x1_0000_0000];
  else throw badBody("An item of indefinite length");
  if (argument < least) throw badBody("A number in a longer form than it needs");
  return argument;
}

function readOther(input: ByteReader, first: number): unknown {
  if (first === falseByte) return false;
  if (first === trueByte) return true;
  if (first === nullByte) return null;
  if (first !== float64Byte) throw badBody(`An item that begins with ${toHex(Uint8Array.of(first))}`);
  floatBytes.set(input.take(8));
  const value = float.getFloat64(0);
  if (!Number.isFinite(value) || isInteger(value)) throw badBody("A float that is an integer, or not finite");
  return value;
}

/** However many items are announced, memory is taken only for those that are there. */
function readArray(input: ByteReader, count: number, depth: number): unknown[] {
  const items: unknown[] = [];
  for (let i = 0; i < count; i++) items.push(read(input, depth));
  return items;
}

function readMap(input: ByteReader, count: number, depth: number): object {
  const properties: Record<string, unknown> = {};
  let previous: Uint8Array | undefined;
  for (let i = 0; i < count; i++) {
    const start = input.offset;
    const key = read(input, depth);
    if (typeof key !== "string") throw badBody("A key that is not text");
    const encoded = input.bytes.subarray(start, input.offset);
    if (previous !== undefined && compareBytes(previous, encoded) >= 0) {
      throw badBody("Keys that are not in order, or repeated");
    }
    previous = encoded;
    const value = read(input, depth);
    if (key !== "__proto__") properties[key] = value;
    else Object.defineProperty(properties, key, { value, enumerable: true, writable: true, configurable: true });
  }
  return properties;
}

function readTagged(input: ByteReader, tag: number, depth: number): unknown {
  // One inside another could go as deep as there are bytes.
  if (input.bytes[input.offset]! >> 5 === majorType.tag) throw badBody("A tag on a tag");
  const content = read(input, depth);
  switch (tag) {
    case tagDate:
      return dateOf(content);
    case tagPositiveBignum:
      return magnitudeOf(content);
    case tagNegativeBignum:
      return -1n - magnitudeOf(content);
    default:
      throw badBody(`Tag ${tag}`);
  }
}

function magnitudeOf(bytes: unknown): bigint {
  if (!(bytes instanceof Uint8Array)) throw badBody("A bignum that is not a byte string");
  if (bytes.length === 0) return 0n;
  if (bytes[0] === 0) throw badBody("A bignum with a leading zero");
  return BigInt(`0x${toHex(bytes)}`);
}

function dateOf(seconds: unknown): Date {
  if (typeof seconds !== "number") throw badBody("A date that is not a number");
  const nearest = Math.round(seconds * 1_000);
  // Many thousand years away a second has so few digits left that the product can be one off.
  for (const milliseconds of [nearest, nearest - 1, nearest + 1]) {
    const date = new Date(milliseconds);
    if (Object.is(date.getTime() / 1_000, seconds)) return date;
  }
  throw badBody("A date out of range or finer than a millisecond");
}

function badBody(message: string, cause?: unknown): WireError {
  return new WireError("EGTP_WIRE_BAD_BODY", message, { cause });
}
