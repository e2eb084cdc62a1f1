/**
 * Contact records: a peer's signed, numbered statement of where it can be reached. Anyone can verify one and nobody but
 * the peer can make one, so whoever hands it out need not be trusted.
 *
 *     signature 64 | payload: { id, seq, issued, ttl, strategies[], services[], gone? } in deterministic CBOR
 *
 * What is signed is "egtp contact record 1", a zero byte, and the payload. Fields and kinds of strategy that are not
 * known here are passed over, so that a later version can add some.
 *
 * @see docs/spec.md, "Contact record"
 */
import { decodeBody, encodeBody } from "./body.ts";
import { concatBytes } from "./bytes.ts";
import { signatureBytes, type VerifySignature, verifyEd25519 } from "./ed25519.ts";
import { WireError } from "./errors.ts";
import {
  type Millis,
  maxContactRecordBytes,
  maxContactRecordTtlMs,
  maxServiceNameBytes,
  maxServices,
  maxStrategies,
} from "./limits.ts";
import { type PeerId, peerIdToBytes } from "./peer-id.ts";
import { SignedFormat } from "./signed-format.ts";

/** One way to reach a peer. */
export type Strategy =
  /** `host`: a name or an IP address, an IPv6 one without brackets. */
  | { readonly kind: "tcp"; readonly host: string; readonly port: number }
  /** `url`: ws: or wss:, without user, password or fragment. */
  | { readonly kind: "websocket"; readonly url: string }
  /** `relay`: the peer that keeps a mailbox for it. */
  | { readonly kind: "relay"; readonly relay: PeerId }
  /** Of a transport that only some peers have. `kind`: "x-" and 1 to 30 of a-z, 0-9 and "-". `address`: 1 to 253 printable ASCII. */
  | { readonly kind: OwnStrategyKind; readonly address: string };

/** No kind that begins so will ever be of this specification. */
export type OwnStrategyKind = `x-${string}`;

export interface ContactRecord {
  readonly id: PeerId;
  /** The higher one replaces the lower. */
  readonly seq: number;
  readonly issued: Millis;
  /** Valid for so long from `issued`. */
  readonly ttl: Millis;
  /** In the order that the peer prefers, at most 16. */
  readonly strategies: readonly Strategy[];
  /** Kinds of service it offers to others, such as "relay"; at most 16 of 32 bytes. */
  readonly services: readonly string[];
  /** A goodbye: the peer does not expect to be reached any more. Without strategies and services. */
  readonly gone: boolean;
}

const format = new SignedFormat("contact record", "EGTP_WIRE_BAD_RECORD");

/**
 * Makes a signed contact record.
 *
 * @param sign - Signs with the key that `fields.id` names; gets the message, returns the 64 bytes.
 * @returns The record, at most `maxContactRecordBytes`.
 * @throws {@link WireError} `EGTP_WIRE_BAD_RECORD` for fields that no verifier would accept, `EGTP_WIRE_TOO_LARGE`.
 * @see docs/spec.md, "Contact record"
 */
export function signContactRecord(fields: ContactRecord, sign: (message: Uint8Array) => Uint8Array): Uint8Array {
  const { id, seq, issued, ttl, services, gone } = fields;
  const strategies = fields.strategies.map((strategy) =>
    strategy.kind === "relay" ? { kind: "relay", relay: peerIdToBytes(strategy.relay) } : { ...strategy },
  );
  const plain = { id: peerIdToBytes(id), seq, issued, ttl, strategies, services, gone: gone ? true : undefined };
  readFields(plain);
  const payload = encodeBody(plain);
  const bytes = signatureBytes + payload.length;
  if (bytes > maxContactRecordBytes) throw tooLong(bytes);
  return concatBytes(format.sign(payload, sign), payload);
}

/**
 * Reads a signed contact record and checks that its peer signed it and that it is valid.
 *
 * @param bytes - Exactly one record, at most `maxContactRecordBytes`. Borrowed: neither kept nor changed.
 * @param now - Milliseconds since the Unix epoch, from the caller's clock. `undefined`: it need not be valid now, as when a peer
 *   looks for the number of its own last record.
 * @param verify - A faster verifier that gives the same answers; by default the portable one.
 * @returns The record, its strategies in the order its peer prefers.
 * @throws {@link WireError} `EGTP_WIRE_TRUNCATED`, `EGTP_WIRE_TRAILING_BYTES`, `EGTP_WIRE_TOO_LARGE`,
 *   `EGTP_WIRE_BAD_RECORD`, `EGTP_WIRE_BAD_SIGNATURE`, `EGTP_WIRE_EXPIRED`, `EGTP_WIRE_NOT_YET_VALID`.
 * @see docs/spec.md, "Contact record"
 */
export function verifyContactRecord(
  bytes: Uint8Array,
  now: Millis | undefined,
  verify: VerifySignature = verifyEd25519,
): ContactRecord {
  if (bytes.length <= signatureBytes) throw format.error("EGTP_WIRE_TRUNCATED", `of ${bytes.length} bytes`);
  if (bytes.length > maxContactRecordBytes) throw tooLong(bytes.length);
  const payload = bytes.subarray(signatureBytes);
  const record = readFields(decodePayload(payload));
  const until = record.issued + record.ttl;
  format.judge({ ...record, until }, payload, bytes.subarray(0, signatureBytes), now, verify);
  return record;
}

function decodePayload(payload: Uint8Array): unknown {
  try {
    return decodeBody(payload);
  } catch (cause) {
    if (cause instanceof WireError && cause.code === "EGTP_WIRE_TRAILING_BYTES") throw cause;
    throw format.bad("its payload is not a body", cause);
  }
}

function readFields(value: unknown): ContactRecord {
  const fields = format.object(value, "the payload");
  const id = format.peerId(fields.id, "its peer");
  const seq = format.integer(fields.seq, 0, Number.MAX_SAFE_INTEGER, "seq");
  const issued = format.integer(fields.issued, 0, Number.MAX_SAFE_INTEGER - maxContactRecordTtlMs, "issued");
  const ttl = format.integer(fields.ttl, 1, maxContactRecordTtlMs, "ttl");
  const strategies = format.array(fields.strategies, maxStrategies, "strategies").flatMap(readStrategy);
  const services = format.array(fields.services, maxServices, "services").map(readService);
  if (fields.gone !== undefined && fields.gone !== true) throw format.bad("gone is not true");
  const gone = fields.gone === true;
  if (gone && (strategies.length > 0 || services.length > 0)) throw format.bad("a goodbye with strategies or services");
  return { id, seq, issued, ttl, strategies, services, gone };
}

/** One strategy, or none when its kind is not known. */
function readStrategy(value: unknown): Strategy[] {
  const fields = format.object(value, "a strategy");
  switch (fields.kind) {
    case "tcp": {
      const { host } = fields;
      if (typeof host !== "string" || !/^[A-Za-z0-9._:-]{1,253}$/.test(host)) throw format.bad("a host that is none");
      return [{ kind: "tcp", host, port: format.integer(fields.port, 1, 65_535, "port") }];
    }
    case "websocket": {
      const { url } = fields;
      if (typeof url !== "string" || !isWebSocketUrl(url)) throw format.bad("a WebSocket URL that is none");
      return [{ kind: "websocket", url }];
    }
    case "relay":
      return [{ kind: "relay", relay: format.peerId(fields.relay, "a relay") }];
    default:
      if (typeof fields.kind !== "string") throw format.bad("a strategy without a kind");
      return isOwnStrategyKind(fields.kind) ? [{ kind: fields.kind, address: addressOf(fields.address) }] : [];
  }
}

/**
 * Whether a text is the URL of a WebSocket as contact records hold it: ws: or wss:, without user, password or fragment, and
 * only printable ASCII, since a URL parser silently drops or rewrites other characters.
 */
export function isWebSocketUrl(text: string): boolean {
  if (!/^wss?:\/\/[!-~]+$/.test(text)) return false;
  try {
    const url = new URL(text);
    return url.username === "" && url.password === "" && url.hash === "";
  } catch {
    return false;
  }
}

/** Whether a kind of strategy is one of its users, not of the specification. */
export function isOwnStrategyKind(kind: string): kind is OwnStrategyKind {
  return /^x-[a-z0-9-]{1,30}$/.test(kind);
}

function addressOf(value: unknown): string {
  if (typeof value !== "string" || !/^[ -~]{1,253}$/.test(value)) throw format.bad("an address that is none");
  return value;
}

function readService(value: unknown): string {
  if (typeof value !== "string" || !/^[a-z0-9](?:[a-z0-9./_-]*)$/.test(value) || value.length > maxServiceNameBytes) {
    throw format.bad("a service name that is none");
  }
  return value;
}

function tooLong(bytes: number): WireError {
  return format.error("EGTP_WIRE_TOO_LARGE", `of ${bytes} bytes`);
}
