/**
 * Boot pages: a signed list of contact records of metatrackers and relays, by which whoever knows nobody yet begins. A page
 * lies on any web server, which need not be trusted.
 *
 *     { "v": 1, "payload": base64url, "signature": base64url }
 *
 * in JSON, where the payload is { id, seq, issued, expires, records[] } in deterministic CBOR. What is signed is
 * "egtp boot page 1", a zero byte, and the payload. Fields that are not known here are passed over, so that a later
 * version can add some. The records are not looked into: each is verified by whoever uses it.
 *
 * @see docs/spec.md, "Boot page"
 */
import { fromBase64Url, toBase64Url } from "./base64url.ts";
import { decodeBody, encodeBody } from "./body.ts";
import { concatBytes, decodeUtf8, encodeUtf8 } from "./bytes.ts";
import { signatureBytes, type VerifySignature, verifyEd25519 } from "./ed25519.ts";
import { WireError } from "./errors.ts";
import {
  type Millis,
  maxBootPageBytes,
  maxBootPageLifeMs,
  maxBootPageRecords,
  maxClockSkewMs,
  maxContactRecordBytes,
} from "./limits.ts";
import { type PeerId, peerIdFromBytes, peerIdToBytes } from "./peer-id.ts";

export interface BootPage {
  /** Who publishes it. */
  readonly id: PeerId;
  /** The higher one of the same publisher replaces the lower. */
  readonly seq: number;
  readonly issued: Millis;
  /** Not valid from then on. */
  readonly expires: Millis;
  /** Contact records as their peers signed them, not verified; at most 256. */
  readonly records: readonly Uint8Array[];
}

const signingDomain = encodeUtf8("egtp boot page 1\0");

/**
 * Makes a signed boot page.
 *
 * @param sign - Signs with the key that `fields.id` names; gets the message, returns the 64 bytes.
 * @returns The page as a web server hands it out: JSON in UTF-8, at most `maxBootPageBytes`.
 * @throws {@link WireError} `EGTP_WIRE_BAD_BOOT_PAGE` for fields that no verifier would accept, `EGTP_WIRE_TOO_LARGE`.
 * @see docs/spec.md, "Boot page"
 */
export function signBootPage(fields: BootPage, sign: (message: Uint8Array) => Uint8Array): Uint8Array {
  const { id, seq, issued, expires, records } = fields;
  const plain = { id: peerIdToBytes(id), seq, issued, expires, records };
  readFields(plain);
  const payload = encodeBody(plain);
  const signature = sign(concatBytes(signingDomain, payload));
  if (signature.length !== signatureBytes) throw new RangeError(`A signature of ${signature.length} bytes`);
  const json = { v: 1, payload: toBase64Url(payload), signature: toBase64Url(signature) };
  const page = encodeUtf8(`${JSON.stringify(json)}\n`);
  if (page.length > maxBootPageBytes) throw tooLarge(page.length);
  return page;
}

/**
 * Reads a boot page and checks that its publisher signed it and that it is valid.
 *
 * @param bytes - The whole page, at most `maxBootPageBytes`. Borrowed: neither kept nor changed.
 * @param now - Milliseconds since the Unix epoch, from the caller's clock. `undefined`: it need not be valid now, as when only
 *   its number counts any more.
 * @param verify - A faster verifier that gives the same answers; by default the portable one.
 * @returns The page. Whether its publisher is the right one is for the caller to say.
 * @throws {@link WireError} `EGTP_WIRE_TOO_LARGE`, `EGTP_WIRE_BAD_BOOT_PAGE`, `EGTP_WIRE_UNKNOWN_VERSION`,
 *   `EGTP_WIRE_BAD_SIGNATURE`, `EGTP_WIRE_EXPIRED`, `EGTP_WIRE_NOT_YET_VALID`.
 * @see docs/spec.md, "Boot page"
 */
export function verifyBootPage(
  bytes: Uint8Array,
  now: Millis | undefined,
  verify: VerifySignature = verifyEd25519,
): BootPage {
  if (bytes.length > maxBootPageBytes) throw tooLarge(bytes.length);
  const json = objectOf(parseJson(bytes), "it");
  if (json.v !== 1) {
    if (!Number.isSafeInteger(json.v)) throw badPage("it has no version");
    throw new WireError("EGTP_WIRE_UNKNOWN_VERSION", `A boot page of version ${String(json.v)}`);
  }
  const payload = bytesOf(json.payload, "payload");
  const signature = bytesOf(json.signature, "signature");
  const page = readFields(decodePayload(payload));
  // Before the signature, which costs a thousand times as much to check.
  if (now !== undefined && now >= page.expires) {
    throw new WireError("EGTP_WIRE_EXPIRED", `A boot page that was valid until ${page.expires}`);
  }
  if (now !== undefined && page.issued > now + maxClockSkewMs) {
    throw new WireError("EGTP_WIRE_NOT_YET_VALID", `A boot page that was issued at ${page.issued}`);
  }
  if (!verify(peerIdToBytes(page.id), concatBytes(signingDomain, payload), signature)) {
    throw new WireError("EGTP_WIRE_BAD_SIGNATURE", `A boot page that ${page.id} did not sign`);
  }
  return page;
}

function parseJson(bytes: Uint8Array): unknown {
  const text = decodeUtf8(bytes);
  if (text === undefined) throw badPage("it is not text in UTF-8");
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw badPage("it is not JSON", cause);
  }
}

function decodePayload(payload: Uint8Array): unknown {
  try {
    return decodeBody(payload);
  } catch (cause) {
    throw badPage("its payload is not a body", cause);
  }
}

function readFields(value: unknown): BootPage {
  const { id, seq, issued, expires, records } = objectOf(value, "its payload");
  const from = integerOf(issued, 0, Number.MAX_SAFE_INTEGER - maxBootPageLifeMs, "issued");
  if (!Array.isArray(records) || records.length > maxBootPageRecords) {
    throw badPage(`records is not an array of at most ${maxBootPageRecords}`);
  }
  return {
    id: publisherOf(id),
    seq: integerOf(seq, 0, Number.MAX_SAFE_INTEGER, "seq"),
    issued: from,
    expires: integerOf(expires, from + 1, from + maxBootPageLifeMs, "expires"),
    records: records.map(recordOf),
  };
}

function publisherOf(value: unknown): PeerId {
  if (!(value instanceof Uint8Array)) throw badPage("its publisher's ID is not bytes");
  try {
    return peerIdFromBytes(value);
  } catch (cause) {
    throw badPage("its publisher's ID is none", cause);
  }
}

function recordOf(value: unknown): Uint8Array {
  if (!(value instanceof Uint8Array) || value.length > maxContactRecordBytes) {
    throw badPage(`a record is not at most ${maxContactRecordBytes} bytes`);
  }
  return value;
}

function objectOf(value: unknown, what: string): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value) || value instanceof Uint8Array) {
    throw badPage(`${what} is not an object`);
  }
  return value as Record<string, unknown>;
}

function bytesOf(value: unknown, what: string): Uint8Array {
  const bytes = typeof value === "string" ? fromBase64Url(value) : undefined;
  if (bytes === undefined) throw badPage(`${what} is not base64url`);
  return bytes;
}

function integerOf(value: unknown, least: number, most: number, what: string): number {
  if (!Number.isSafeInteger(value) || (value as number) < least || (value as number) > most) {
    throw badPage(`${what} is not an integer from ${least} to ${most}`);
  }
  return value as number;
}

function badPage(what: string, cause?: unknown): WireError {
  return new WireError("EGTP_WIRE_BAD_BOOT_PAGE", `Not a boot page: ${what}`, { cause });
}

function tooLarge(bytes: number): WireError {
  return new WireError("EGTP_WIRE_TOO_LARGE", `A boot page of ${bytes} bytes`);
}
