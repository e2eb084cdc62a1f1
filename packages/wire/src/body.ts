/**
 * Message bodies with structure: plain values to deterministic CBOR and back.
 *
 * Each value has exactly one encoding, and what is decoded equals what was encoded, types included. docs/body-values.md
 * is the table of what a body may hold. Where RFC 8949, section 4.2, leaves a choice: every number that is not a safe
 * integer is a 64-bit float, and a bigint is always a bignum (tag 2 or 3), so that it comes back as a bigint.
 *
 * @see docs/spec.md, "Bodies"
 */
import { type DecodeOptions, decodeFirst, type EncodeOptions, encode, Token, Tokenizer, Type } from "cborg";
import { compareBytes, decodeUtf8, fromHex, toHex, viewOf } from "./bytes.ts";
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
  const problem = problemOf(value, 0);
  if (problem !== undefined) throw badBody(`A body cannot hold this: value${problem}`);
  try {
    return encode(value, encodeOptions);
  } catch (cause) {
    // The value changed while it was read, or answers differently each time.
    throw badBody("A body could not be encoded", cause);
  }
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
  const data = viewOf(bytes, 0, bytes.length);
  let value: unknown;
  let rest: Uint8Array;
  try {
    [value, rest] = decodeFirst(data, { ...decodeOptions, tokenizer: new StrictTokenizer(data, decodeOptions) });
  } catch (cause) {
    if (cause instanceof WireError) throw cause;
    throw badBody("Not the deterministic encoding of a body", cause);
  }
  if (rest.length > 0) throw new WireError("EGTP_WIRE_TRAILING_BYTES", `${rest.length} bytes follow the body`);
  return value;
}

const loneSurrogate = /\p{Surrogate}/u;

/** Where in the value something does not belong, and what it is; `undefined` when all is well. */
function problemOf(value: unknown, depth: number): string | undefined {
  switch (typeof value) {
    case "boolean":
    case "bigint":
      return undefined;
    case "number":
      return Number.isFinite(value) ? undefined : ` is ${value}`;
    case "string":
      return loneSurrogate.test(value) ? " is text with half a surrogate pair" : undefined;
    case "object":
      return value === null ? undefined : problemOfObject(value, depth);
    default:
      return ` is of type ${typeof value}`;
  }
}

function problemOfObject(value: object, depth: number): string | undefined {
  if (value instanceof Uint8Array) return undefined;
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? " is an invalid date" : undefined;
  // Also ends the walk through a value that contains itself.
  if (depth === maxBodyDepth) return ` is nested deeper than ${maxBodyDepth}`;
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) {
      const problem = problemOf(value[i], depth + 1);
      if (problem !== undefined) return `[${i}]${problem}`;
    }
    return undefined;
  }
  if (!isPlainObject(value)) return ` is an instance of ${value.constructor?.name || "a class"}`;
  if (Object.getOwnPropertySymbols(value).length > 0) return " has a symbol as key";
  for (const [key, item] of Object.entries(value)) {
    if (loneSurrogate.test(key)) return " has a key with half a surrogate pair";
    const problem = item === undefined ? undefined : problemOf(item, depth + 1);
    if (problem !== undefined) return `.${key}${problem}`;
  }
  return undefined;
}

/** Made by `{}`, `JSON.parse` or `Object.create(null)`, in this realm or another. */
function isPlainObject(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

const tagDate = 1;
const tagPositiveBignum = 2;
const tagNegativeBignum = 3;

/**
 * The default order of keys is kept: shorter first, then bytewise. For text keys, whose length stands in front, it is
 * the bytewise order of RFC 8949.
 */
const encodeOptions: EncodeOptions = {
  float64: true,
  ignoreUndefinedProperties: true,
  typeEncoders: {
    number: (value: number) => (Object.is(value, -0) ? new Token(Type.float, value) : null),
    bigint: (value: bigint) => [
      new Token(Type.tag, value < 0n ? tagNegativeBignum : tagPositiveBignum),
      new Token(Type.bytes, magnitudeBytes(value < 0n ? -1n - value : value)),
    ],
    Date: (value: Date) => [new Token(Type.tag, tagDate), secondsToken(value.getTime() / 1_000)],
  },
};

function secondsToken(seconds: number): Token {
  if (!Number.isSafeInteger(seconds)) return new Token(Type.float, seconds);
  return new Token(seconds < 0 ? Type.negint : Type.uint, seconds);
}

/** The big-endian bytes without leading zeros; none for zero. */
function magnitudeBytes(value: bigint): Uint8Array {
  if (value === 0n) return new Uint8Array(0);
  const digits = value.toString(16);
  return fromHex(digits.length % 2 === 0 ? digits : `0${digits}`);
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

const decodeOptions: DecodeOptions = {
  strict: true,
  allowIndefinite: false,
  allowUndefined: false,
  allowNaN: false,
  allowInfinity: false,
  allowBigInt: false,
  tags: {
    [tagDate]: (decode) => dateOf(decode()),
    [tagPositiveBignum]: (decode) => magnitudeOf(decode()),
    [tagNegativeBignum]: (decode) => -1n - magnitudeOf(decode()),
  },
};

/** An array or object whose end has not been read. */
interface OpenItem {
  readonly isMap: boolean;
  /** Items still to come; a pair counts as two. */
  missing: number;
  /** Where the encoding of the latest key lies; empty before the first. */
  keyStart: number;
  keyEnd: number;
}

/**
 * Gives the decoder one token after the other and refuses what it would let pass: other widths of float, integers as
 * floats, keys out of order or repeated, text that is not UTF-8, and depth.
 */
class StrictTokenizer extends Tokenizer {
  readonly #open: OpenItem[] = [];
  #afterTag = false;

  override next(): Token {
    const { data } = this;
    const start = this.pos();
    const first = data[start]!;
    if (first === 0xf9 || first === 0xfa) throw badBody("A float of fewer than 64 bits");
    let token = super.next();
    const { type } = token;
    if (type === Type.string) token = strictText(token, data, start, first);
    else if (type === Type.float) refuseInteger(token.value);

    const parent = this.#open.at(-1);
    if (parent?.isMap === true && parent.missing % 2 === 0) {
      if (type !== Type.string) throw badBody("A key that is not text");
      this.#refuseOrder(parent, start, this.pos());
    }
    const isContainer = type === Type.array || type === Type.map;
    if (type === Type.tag) {
      // The decoder calls itself for every tag too: one inside another could go as deep as there are bytes.
      if (this.#afterTag) throw badBody("A tag on a tag");
      this.#afterTag = true;
      return token;
    }
    this.#afterTag = false;
    if (isContainer && this.#open.length === maxBodyDepth) throw badBody(`Nested deeper than ${maxBodyDepth}`);
    if (isContainer && token.value > 0) {
      const isMap = type === Type.map;
      this.#open.push({ isMap, missing: token.value * (isMap ? 2 : 1), keyStart: 0, keyEnd: 0 });
    } else {
      this.#complete();
    }
    return token;
  }

  /** Counts one complete item, and whatever is complete with it. */
  #complete(): void {
    let parent = this.#open.at(-1);
    while (parent !== undefined && --parent.missing === 0) {
      this.#open.pop();
      parent = this.#open.at(-1);
    }
  }

  #refuseOrder(parent: OpenItem, start: number, end: number): void {
    const previous = this.data.subarray(parent.keyStart, parent.keyEnd);
    if (previous.length > 0 && compareBytes(previous, this.data.subarray(start, end)) >= 0) {
      throw badBody("Keys that are not in order, or repeated");
    }
    parent.keyStart = start;
    parent.keyEnd = end;
  }
}

/** The decoder replaces what is not UTF-8 and drops a byte order mark. Plain ASCII, the usual case, is left alone. */
function strictText(token: Token, data: Uint8Array, start: number, first: number): Token {
  const encodedLength = token.encodedLength ?? 0;
  const minor = first & 31;
  const headBytes = minor < 24 ? 1 : 1 + 2 ** (minor - 24);
  const text: string = token.value;
  if (text.length === encodedLength - headBytes && !text.includes("\ufffd")) return token;
  const exact = decodeUtf8(data.subarray(start + headBytes, start + encodedLength));
  if (exact === undefined) throw badBody("Text that is not UTF-8");
  return new Token(Type.string, exact, encodedLength);
}

function refuseInteger(value: unknown): void {
  if (Number.isSafeInteger(value) && !Object.is(value, -0)) throw badBody("An integer encoded as a float");
}

function badBody(message: string, cause?: unknown): WireError {
  return new WireError("EGTP_WIRE_BAD_BODY", message, { cause });
}
