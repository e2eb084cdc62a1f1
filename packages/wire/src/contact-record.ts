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
import { concatBytes, encodeUtf8 } from "./bytes.ts";
import { signatureBytes, type VerifySignature, verifyEd25519 } from "./ed25519.ts";
import { WireError } from "./errors.ts";
import {
  type Millis,
  maxClockSkewMs,
  maxContactRecordBytes,
  maxContactRecordTtlMs,
  maxServiceNameBytes,
  maxServices,
  maxStrategies,
} from "./limits.ts";
import { type PeerId, peerIdFromBytes, peerIdToBytes } from "./peer-id.ts";

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

const signingDomain = encodeUtf8("egtp contact record 1\0");

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
  if (signatureBytes + payload.length > maxContactRecordBytes) {
    throw new WireError("EGTP_WIRE_TOO_LARGE", `A contact record of ${signatureBytes + payload.length} bytes`);
  }
  const signature = sign(concatBytes(signingDomain, payload));
  if (signature.length !== signatureBytes) throw new RangeError(`A signature of ${signature.length} bytes`);
  return concatBytes(signature, payload);
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
  if (bytes.length <= signatureBytes) {
    throw new WireError("EGTP_WIRE_TRUNCATED", `A contact record of ${bytes.length} bytes`);
  }
  if (bytes.length > maxContactRecordBytes) {
    throw new WireError("EGTP_WIRE_TOO_LARGE", `A contact record of ${bytes.length} bytes`);
  }
  const payload = bytes.subarray(signatureBytes);
  const record = readFields(decodePayload(payload));
  // Before the signature, which costs a thousand times as much to check.
  if (now !== undefined && now >= record.issued + record.ttl) {
    throw new WireError("EGTP_WIRE_EXPIRED", `A contact record that was valid until ${record.issued + record.ttl}`);
  }
  if (now !== undefined && record.issued > now + maxClockSkewMs) {
    throw new WireError("EGTP_WIRE_NOT_YET_VALID", `A contact record that was issued at ${record.issued}`);
  }
  if (!verify(peerIdToBytes(record.id), concatBytes(signingDomain, payload), bytes.subarray(0, signatureBytes))) {
    throw new WireError("EGTP_WIRE_BAD_SIGNATURE", `A contact record that ${record.id} did not sign`);
  }
  return record;
}

function decodePayload(payload: Uint8Array): unknown {
  try {
    return decodeBody(payload);
  } catch (cause) {
    if (cause instanceof WireError && cause.code === "EGTP_WIRE_TRAILING_BYTES") throw cause;
    throw badRecord("its payload is not a body", cause);
  }
}

function readFields(value: unknown): ContactRecord {
  const fields = objectOf(value, "the payload");
  const id = peerIdOf(fields.id);
  const seq = integerOf(fields.seq, 0, Number.MAX_SAFE_INTEGER, "seq");
  const issued = integerOf(fields.issued, 0, Number.MAX_SAFE_INTEGER - maxContactRecordTtlMs, "issued");
  const ttl = integerOf(fields.ttl, 1, maxContactRecordTtlMs, "ttl");
  const strategies = arrayOf(fields.strategies, maxStrategies, "strategies").flatMap(readStrategy);
  const services = arrayOf(fields.services, maxServices, "services").map(readService);
  if (fields.gone !== undefined && fields.gone !== true) throw badRecord("gone is not true");
  const gone = fields.gone === true;
  if (gone && (strategies.length > 0 || services.length > 0)) throw badRecord("a goodbye with strategies or services");
  return { id, seq, issued, ttl, strategies, services, gone };
}

/** One strategy, or none when its kind is not known. */
function readStrategy(value: unknown): Strategy[] {
  const fields = objectOf(value, "a strategy");
  switch (fields.kind) {
    case "tcp": {
      const { host } = fields;
      if (typeof host !== "string" || !/^[A-Za-z0-9._:-]{1,253}$/.test(host)) throw badRecord("a host that is none");
      return [{ kind: "tcp", host, port: integerOf(fields.port, 1, 65_535, "port") }];
    }
    case "websocket": {
      const { url } = fields;
      if (typeof url !== "string" || !isWebSocketUrl(url)) throw badRecord("a WebSocket URL that is none");
      return [{ kind: "websocket", url }];
    }
    case "relay":
      return [{ kind: "relay", relay: peerIdOf(fields.relay) }];
    default:
      if (typeof fields.kind !== "string") throw badRecord("a strategy without a kind");
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
  if (typeof value !== "string" || !/^[ -~]{1,253}$/.test(value)) throw badRecord("an address that is none");
  return value;
}

function readService(value: unknown): string {
  if (typeof value !== "string" || !/^[a-z0-9](?:[a-z0-9./_-]*)$/.test(value) || value.length > maxServiceNameBytes) {
    throw badRecord("a service name that is none");
  }
  return value;
}

function peerIdOf(value: unknown): PeerId {
  if (!(value instanceof Uint8Array)) throw badRecord("a peer ID that is not bytes");
  try {
    return peerIdFromBytes(value);
  } catch (cause) {
    throw badRecord("a peer ID that is none", cause);
  }
}

function objectOf(value: unknown, what: string): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value) || value instanceof Uint8Array) {
    throw badRecord(`${what} is not a map`);
  }
  return value as Record<string, unknown>;
}

function arrayOf(value: unknown, most: number, what: string): readonly unknown[] {
  if (!Array.isArray(value) || value.length > most) throw badRecord(`${what} is not an array of at most ${most}`);
  return value;
}

function integerOf(value: unknown, least: number, most: number, what: string): number {
  if (!Number.isSafeInteger(value) || (value as number) < least || (value as number) > most) {
    throw badRecord(`${what} is not an integer from ${least} to ${most}`);
  }
  return value as number;
}

function badRecord(what: string, cause?: unknown): WireError {
  return new WireError("EGTP_WIRE_BAD_RECORD", `Not a contact record: ${what}`, { cause });
}
