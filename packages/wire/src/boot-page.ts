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
import { decodeUtf8, encodeUtf8 } from "./bytes.ts";
import { type VerifySignature, verifyEd25519 } from "./ed25519.ts";
import type { WireError } from "./errors.ts";
import {
  type Millis,
  maxBootPageBytes,
  maxBootPageLifeMs,
  maxBootPageRecords,
  maxContactRecordBytes,
} from "./limits.ts";
import { type PeerId, peerIdToBytes } from "./peer-id.ts";
import { SignedFormat } from "./signed-format.ts";

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

const format = new SignedFormat("boot page", "EGTP_WIRE_BAD_BOOT_PAGE");

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
  const json = { v: 1, payload: toBase64Url(payload), signature: toBase64Url(format.sign(payload, sign)) };
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
  const json = format.object(parseJson(bytes), "it");
  if (json.v !== 1) {
    if (!Number.isSafeInteger(json.v)) throw format.bad("it has no version");
    throw format.error("EGTP_WIRE_UNKNOWN_VERSION", `of version ${String(json.v)}`);
  }
  const payload = bytesOf(json.payload, "payload");
  const signature = bytesOf(json.signature, "signature");
  const page = readFields(decodePayload(payload));
  format.judge({ ...page, until: page.expires }, payload, signature, now, verify);
  return page;
}

function parseJson(bytes: Uint8Array): unknown {
  const text = decodeUtf8(bytes);
  if (text === undefined) throw format.bad("it is not text in UTF-8");
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw format.bad("it is not JSON", cause);
  }
}

function decodePayload(payload: Uint8Array): unknown {
  try {
    return decodeBody(payload);
  } catch (cause) {
    throw format.bad("its payload is not a body", cause);
  }
}

function readFields(value: unknown): BootPage {
  const { id, seq, issued, expires, records } = format.object(value, "its payload");
  const from = format.integer(issued, 0, Number.MAX_SAFE_INTEGER - maxBootPageLifeMs, "issued");
  return {
    id: format.peerId(id, "its publisher's ID"),
    seq: format.integer(seq, 0, Number.MAX_SAFE_INTEGER, "seq"),
    issued: from,
    expires: format.integer(expires, from + 1, from + maxBootPageLifeMs, "expires"),
    records: format.array(records, maxBootPageRecords, "records").map(recordOf),
  };
}

function recordOf(value: unknown): Uint8Array {
  if (!(value instanceof Uint8Array) || value.length > maxContactRecordBytes) {
    throw format.bad(`a record is not at most ${maxContactRecordBytes} bytes`);
  }
  return value;
}

function bytesOf(value: unknown, what: string): Uint8Array {
  const bytes = typeof value === "string" ? fromBase64Url(value) : undefined;
  if (bytes === undefined) throw format.bad(`${what} is not base64url`);
  return bytes;
}

function tooLarge(bytes: number): WireError {
  return format.error("EGTP_WIRE_TOO_LARGE", `of ${bytes} bytes`);
}
