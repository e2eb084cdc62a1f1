/**
 * Records as bytes: `version (1) | fields | CRC-32C of key, version and fields (4, big-endian)`. Numbers are unsigned
 * LEB128 varints, IDs and keys stand with their fixed lengths, lists begin with their count. `decodeRecord` gives a
 * record, or the reason why the bytes are none: a damaged store is an everyday case and never throws.
 *
 *     m                      tag 8 | bornAt | bornWithIdentity 1 | lastStamp | floor of all unknown peers
 *     c:<peer>               usedOrder | floor | minStamp | flags 1 | [theirTag 8] | [pending] | sessions | accepted |
 *                            [forgotten epochs]
 *     h:<peer>:<epoch>       base | usedAt | ranges as (gap from the previous end, length)
 *     f:<peer>               floor
 *     o:<peer>:<epoch>:<number as 14 hexadecimal digits>
 *                            typeNumber | length, name | sentAt | deadlineAt | storedDeadlineAt | flags 1 |
 *                            [relay 32 | until] | length, body
 *
 * Private to this package: what the store keeps is encoded here and nowhere else, so only this page knows versions.
 */

import {
  ByteReader,
  ByteWriter,
  decodeTypeName,
  type Epoch,
  encodeTypeName,
  epochBytes,
  fromHex,
  type Millis,
  type OfferId,
  offerBytes,
  type PeerId,
  peerIdBytes,
  peerIdFromTrustedBytes,
  peerIdToBytes,
  type SessionId,
  type StoreTag,
  sessionIdBytes,
  storeTagBytes,
  toHex,
  WireError,
} from "@egtp/wire";
import { recordChecksum } from "./checksum.ts";
import { hashBytes, keyBytes, numberDigits } from "./limits.ts";
import type {
  AcceptedOffer,
  DamagedRecord,
  ForgottenEpoch,
  HandledMarks,
  KeptMessage,
  MessageName,
  PendingOffer,
  SessionRecord,
} from "./records.ts";

/** About the store itself. */
export interface MetaRecord {
  readonly tag: StoreTag;
  readonly bornAt: Millis;
  readonly bornWithIdentity: boolean;
  readonly lastStamp: Millis;
  /** The floor of every peer that has no floor of its own any more. */
  readonly commonFloor: Millis;
}

/** A counterparty without its handled marks, which change much more often and are records of their own. */
export interface CounterpartyRecord {
  /** A number that grows with every use: the order in which counterparties leave. */
  readonly usedOrder: number;
  /** Whether anything authentic was ever seen of it. */
  readonly proven: boolean;
  readonly floor: Millis;
  readonly minStamp: Millis;
  readonly theirTag: StoreTag | undefined;
  readonly pending: PendingOffer | undefined;
  readonly sessions: readonly SessionRecord[];
  readonly accepted: readonly AcceptedOffer[];
  readonly forgottenEpochs: readonly ForgottenEpoch[];
}

export type DecodedRecord =
  | ({ readonly kind: "meta" } & MetaRecord)
  | ({ readonly kind: "counterparty"; readonly peer: PeerId } & CounterpartyRecord)
  | { readonly kind: "marks"; readonly peer: PeerId; readonly marks: HandledMarks }
  | { readonly kind: "floor"; readonly peer: PeerId; readonly floor: Millis }
  | { readonly kind: "message"; readonly message: KeptMessage };

export const metaKey = "m";
export const counterpartyKey = (peer: PeerId): string => `c:${peer}`;
export const marksKey = (peer: PeerId, epoch: Epoch): string => `h:${peer}:${epoch}`;
export const floorKey = (peer: PeerId): string => `f:${peer}`;
export const messageKey = ({ peer, epoch, number }: MessageName): string =>
  `o:${peer}:${epoch}:${number.toString(16).padStart(numberDigits, "0")}`;

const recordVersion = 1;
const hasTheirTag = 1;
const hasPending = 2;
const isProven = 4;
const hasForgotten = 8;
const isInitiator = 1;
const hasEarlyKey = 1;
const isEstablished = 1;
const isStored = 2;

export function encodeMeta(meta: MetaRecord): Uint8Array {
  const out = new RecordWriter();
  out.hex(meta.tag, storeTagBytes);
  out.number(meta.bornAt);
  out.byte(meta.bornWithIdentity ? 1 : 0);
  out.number(meta.lastStamp);
  out.number(meta.commonFloor);
  return out.finish(metaKey);
}

export function encodeCounterparty(key: string, record: CounterpartyRecord): Uint8Array {
  const { pending, theirTag, forgottenEpochs } = record;
  const out = new RecordWriter();
  out.number(record.usedOrder);
  out.number(record.floor);
  out.number(record.minStamp);
  out.byte(
    (theirTag === undefined ? 0 : hasTheirTag) |
      (pending === undefined ? 0 : hasPending) |
      (record.proven ? isProven : 0) |
      (forgottenEpochs.length === 0 ? 0 : hasForgotten),
  );
  if (theirTag !== undefined) out.hex(theirTag, storeTagBytes);
  if (pending !== undefined) {
    out.hex(pending.id, sessionIdBytes);
    out.raw(pending.message, offerBytes);
    out.raw(pending.ephemeralSecret, keyBytes);
    out.raw(pending.chainingKey, hashBytes);
    out.raw(pending.hash, hashBytes);
    out.number(pending.stamp);
    out.number(pending.createdAt);
    out.number(pending.expiresAt);
  }
  out.number(record.sessions.length);
  for (const session of record.sessions) {
    out.hex(session.id, sessionIdBytes);
    out.hex(session.offerId, sessionIdBytes);
    out.byte(session.role === "initiator" ? isInitiator : 0);
    out.raw(session.receiveKey, keyBytes);
    out.hex(session.theirEpoch, epochBytes);
    out.number(session.stamp);
    out.number(session.createdAt);
    out.number(session.counterLimit);
  }
  out.number(record.accepted.length);
  for (const offer of record.accepted) {
    out.hex(offer.offerId, sessionIdBytes);
    out.hex(offer.sessionId, sessionIdBytes);
    out.byte(offer.earlyKey === undefined ? 0 : hasEarlyKey);
    if (offer.earlyKey !== undefined) out.raw(offer.earlyKey, keyBytes);
    out.hex(offer.theirEpoch, epochBytes);
    out.number(offer.stamp);
    out.number(offer.acceptedAt);
    out.number(offer.counterLimit);
    out.number(offer.earlyFloor);
  }
  if (forgottenEpochs.length > 0) {
    out.number(forgottenEpochs.length);
    for (const { epoch, usedAt } of forgottenEpochs) {
      out.hex(epoch, epochBytes);
      out.number(usedAt);
    }
  }
  return out.finish(key);
}

export function encodeMarks(key: string, marks: HandledMarks): Uint8Array {
  const out = new RecordWriter();
  const { base, ranges } = marks;
  out.number(base);
  out.number(marks.usedAt);
  out.number(ranges.length >>> 1);
  let end = base;
  for (let i = 0; i + 1 < ranges.length; i += 2) {
    out.number(ranges[i]! - end);
    out.number(ranges[i + 1]! - ranges[i]!);
    end = ranges[i + 1]!;
  }
  return out.finish(key);
}

export function encodeFloor(key: string, floor: Millis): Uint8Array {
  const out = new RecordWriter();
  out.number(floor);
  return out.finish(key);
}

export function encodeMessage(key: string, message: KeptMessage): Uint8Array {
  const { stored } = message;
  const name = encodeTypeName(message.type);
  if (name === undefined) throw new TypeError("A stored message has a type name");
  const out = new RecordWriter();
  out.number(message.typeNumber);
  out.number(name.length);
  out.raw(name, name.length);
  out.number(Math.floor(message.sentAt));
  out.number(Math.ceil(message.deadlineAt));
  out.number(Math.ceil(message.storedDeadlineAt));
  out.byte((message.established ? isEstablished : 0) | (stored === undefined ? 0 : isStored));
  if (stored !== undefined) {
    out.raw(peerIdToBytes(stored.relay), peerIdBytes);
    out.number(Math.floor(stored.until));
  }
  out.number(message.body.length);
  out.raw(message.body, message.body.length);
  return out.finish(key);
}

/**
 * Reads one record of the store.
 *
 * @param value - Borrowed: what is kept of it is copied.
 * @returns The record, or why it is none.
 */
export function decodeRecord(key: string, value: Uint8Array): DecodedRecord | DamagedRecord["reason"] {
  const end = value.length - 4;
  if (end < 1) return "checksum";
  const stored = ((value[end]! << 24) | (value[end + 1]! << 16) | (value[end + 2]! << 8) | value[end + 3]!) >>> 0;
  if (stored !== recordChecksum(key, value.subarray(0, end))) return "checksum";
  if (value[0] !== recordVersion) return "version";
  const parts = /^(?:m|([cf]):([a-z0-9]{52})|([ho]):([a-z0-9]{52}):([0-9a-f]{16})(?::([0-9a-f]{14}))?)$/.exec(key);
  if (parts === null) return "format";
  const kind = parts[1] ?? parts[3] ?? "m";
  if ((kind === "o") !== (parts[6] !== undefined)) return "format";
  const peer = (parts[2] ?? parts[4] ?? "") as PeerId;
  try {
    const input = new RecordReader(value.subarray(1, end));
    let record: DecodedRecord;
    if (kind === "m") record = { kind: "meta", ...readMeta(input) };
    else if (kind === "c") record = { kind: "counterparty", peer, ...readCounterparty(input) };
    else if (kind === "h") record = { kind: "marks", peer, marks: readMarks(input, parts[5] as Epoch) };
    else if (kind === "o") {
      const number = Number.parseInt(parts[6]!, 16);
      record = { kind: "message", message: readMessage(input, peer, parts[5] as Epoch, number) };
    } else record = { kind: "floor", peer, floor: input.number() };
    input.end();
    return record;
  } catch (error) {
    if (error instanceof WireError) return "format";
    throw error;
  }
}

function readMeta(input: RecordReader): MetaRecord {
  return {
    tag: input.hex(storeTagBytes) as StoreTag,
    bornAt: input.number(),
    bornWithIdentity: input.flags(1) === 1,
    lastStamp: input.number(),
    commonFloor: input.number(),
  };
}

function readCounterparty(input: RecordReader): CounterpartyRecord {
  const usedOrder = input.number();
  const floor = input.number();
  const minStamp = input.number();
  const flags = input.flags(hasTheirTag | hasPending | isProven | hasForgotten);
  return {
    usedOrder,
    proven: (flags & isProven) !== 0,
    floor,
    minStamp,
    theirTag: flags & hasTheirTag ? (input.hex(storeTagBytes) as StoreTag) : undefined,
    pending: flags & hasPending ? readPending(input) : undefined,
    sessions: input.list(readSession),
    accepted: input.list(readAccepted),
    forgottenEpochs: flags & hasForgotten ? input.list(readForgotten) : [],
  };
}

function readPending(input: RecordReader): PendingOffer {
  return {
    id: input.hex(sessionIdBytes) as OfferId,
    message: input.copy(offerBytes),
    ephemeralSecret: input.copy(keyBytes),
    chainingKey: input.copy(hashBytes),
    hash: input.copy(hashBytes),
    stamp: input.number(),
    createdAt: input.number(),
    expiresAt: input.number(),
  };
}

function readSession(input: RecordReader): SessionRecord {
  return {
    id: input.hex(sessionIdBytes) as SessionId,
    offerId: input.hex(sessionIdBytes) as OfferId,
    role: input.flags(isInitiator) === isInitiator ? "initiator" : "responder",
    receiveKey: input.copy(keyBytes),
    theirEpoch: input.hex(epochBytes) as Epoch,
    stamp: input.number(),
    createdAt: input.number(),
    counterLimit: input.number(),
  };
}

function readAccepted(input: RecordReader): AcceptedOffer {
  return {
    offerId: input.hex(sessionIdBytes) as OfferId,
    sessionId: input.hex(sessionIdBytes) as SessionId,
    earlyKey: input.flags(hasEarlyKey) === hasEarlyKey ? input.copy(keyBytes) : undefined,
    theirEpoch: input.hex(epochBytes) as Epoch,
    stamp: input.number(),
    acceptedAt: input.number(),
    counterLimit: input.number(),
    earlyFloor: input.number(),
  };
}

function readForgotten(input: RecordReader): ForgottenEpoch {
  return { epoch: input.hex(epochBytes) as Epoch, usedAt: input.number() };
}

function readMarks(input: RecordReader, epoch: Epoch): HandledMarks {
  const base = input.number();
  const usedAt = input.number();
  let end = base;
  const pairs = input.list((each) => {
    const from = end + each.number();
    end = from + each.number();
    return [from, end];
  });
  if (!Number.isSafeInteger(end)) throw new WireError("EGTP_WIRE_BAD_NUMBER", "A mark is above 2^53 - 1");
  return { epoch, base, ranges: pairs.flat(), usedAt };
}

function readMessage(input: RecordReader, peer: PeerId, epoch: Epoch, number: number): KeptMessage {
  if (!Number.isSafeInteger(number)) throw new WireError("EGTP_WIRE_BAD_NUMBER", "A message number above 2^53 - 1");
  const typeNumber = input.number();
  const type = decodeTypeName(input.copy(input.number()));
  if (type === undefined) throw new WireError("EGTP_WIRE_BAD_FRAME", "Not a type name");
  const sentAt = input.number();
  const deadlineAt = input.number();
  const storedDeadlineAt = input.number();
  const flags = input.flags(isEstablished | isStored);
  return {
    peer,
    epoch,
    number,
    type,
    typeNumber,
    established: (flags & isEstablished) !== 0,
    sentAt,
    deadlineAt,
    storedDeadlineAt,
    stored:
      flags & isStored ? { relay: peerIdFromTrustedBytes(input.copy(peerIdBytes)), until: input.number() } : undefined,
    body: input.copy(input.number()),
  };
}

/** A writer of one record, which refuses what could not be read back. */
class RecordWriter {
  readonly #out = new ByteWriter();

  constructor() {
    this.#out.u8(recordVersion);
  }

  byte(value: number): void {
    this.#out.u8(value);
  }

  number(value: number): void {
    if (!Number.isSafeInteger(value) || value < 0) {
      throw new TypeError(`A stored number is a whole one from 0 to 2^53 - 1, not ${value}`);
    }
    this.#out.varint(value);
  }

  raw(value: Uint8Array, expectedBytes: number): void {
    if (value.length !== expectedBytes) {
      throw new TypeError(`A stored field has ${expectedBytes} bytes here, not ${value.length}`);
    }
    this.#out.put(value);
  }

  hex(value: string, expectedBytes: number): void {
    this.raw(fromHex(value), expectedBytes);
  }

  finish(key: string): Uint8Array {
    this.#out.u32(recordChecksum(key, this.#out.bytes()));
    const record = this.#out.bytes().slice();
    this.#out.bytes().fill(0); // the keys in it leave no second copy
    return record;
  }
}

/** A reader of one record. It throws a `WireError` when the fields run out or make no sense. */
class RecordReader {
  readonly #in: ByteReader;

  constructor(fields: Uint8Array) {
    this.#in = new ByteReader(fields);
  }

  number(): number {
    return this.#in.varint();
  }

  /** One byte, in which only the bits of `allowed` may be set. */
  flags(allowed: number): number {
    const flags = this.#in.u8();
    if (flags & ~allowed) throw new WireError("EGTP_WIRE_BAD_FLAGS", "A record has unknown flags");
    return flags;
  }

  /** As many as the record says, each of one byte or more, so they are never more than there are bytes. */
  list<T>(read: (input: RecordReader) => T): readonly T[] {
    const count = this.#in.varint();
    if (count > this.#in.remaining) throw new WireError("EGTP_WIRE_TRUNCATED", "A record promises more than it holds");
    return Array.from({ length: count }, () => read(this));
  }

  hex(length: number): string {
    return toHex(this.#in.take(length));
  }

  /** A copy of its own: the record is borrowed. */
  copy(length: number): Uint8Array {
    return this.#in.take(length).slice();
  }

  end(): void {
    this.#in.end();
  }
}
