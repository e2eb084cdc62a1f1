/**
 * Fills a buffer with frames, in place: millions of small messages pass through it every second.
 *
 * @see docs/spec.md, "Frames"
 */
import { fromHex, varintLength, viewOf, writeVarint } from "./bytes.ts";
import {
  flagBase,
  flagPart,
  flagToEnd,
  frameClose,
  frameContactRecord,
  frameEarlierEpoch,
  frameLinkChallenge,
  frameLinkResponse,
  frameMessage,
  frameProbe,
  framePrompt,
  frameReceipt,
  frameRejectedList,
  frameRejection,
  frameReply,
  messageFlagDeadline,
  messageFlagName,
  messageFlagRequest,
  partLength,
  type RejectedEntry,
  receiptFlagComplete,
  rejectedFlagVouch,
  replyFlagEpoch,
} from "./frame.ts";
import type { Epoch, OfferId, SessionId, StoreTag } from "./ids.ts";
import {
  epochBytes,
  linkChallengeBytes,
  type Millis,
  maxContactRecordBytes,
  maxReceiptRanges,
  maxRejectedEntries,
  sessionIdBytes,
  storeTagBytes,
} from "./limits.ts";
import { encodeTypeName } from "./type-name.ts";

/** A message or one part of it, ready to be written. Keep one object of one shape where many are written. */
export interface MessageFields {
  /** Its number, not below the writer's base. */
  readonly number: number;
  readonly typeNumber: number;
  /** The whole body, or the bytes of this part: exactly `partBytes`, in the last part the rest. */
  readonly body: Uint8Array;
  /** The name of the type, when the recipient may not know the number yet. */
  readonly name?: string | undefined;
  readonly remainingMs?: Millis | undefined;
  readonly isRequest?: boolean | undefined;
  /** For a part: which, from 0, and the bytes of the whole body. */
  readonly partIndex?: number | undefined;
  readonly totalBytes?: number | undefined;
  /** The body reaches to the end of the envelope: its length is left out and no other frame fits. */
  readonly toEnd?: boolean | undefined;
}

/** A reply or one part of it, ready to be written. */
export interface ReplyFields {
  readonly number: number;
  /** The number of the message that is answered. */
  readonly requestNumber: number;
  readonly body: Uint8Array;
  /** The epoch of the request, when it is not the one that the session names. */
  readonly epoch?: Epoch | undefined;
  readonly partIndex?: number | undefined;
  readonly totalBytes?: number | undefined;
  readonly toEnd?: boolean | undefined;
}

/** A receipt, ready to be written. Ranges are ascending pairs [from, to) with gaps between, at most 256. */
export interface ReceiptFields {
  readonly epoch: Epoch;
  readonly received: readonly number[];
  readonly handled: readonly number[];
  /** Of a receipt that answers a probe: what lies in [from, to) and is not listed did not arrive. */
  readonly complete?: { readonly from: number; readonly to: number } | undefined;
}

/** Bodies up to here are copied byte by byte, which is faster than the call that copies more. */
const smallBodyBytes = 48;

/**
 * Fills a buffer with frames. A method returns `false` and writes nothing when there is not enough room; a frame that
 * could never be right throws `RangeError`.
 */
export class FrameWriter {
  readonly #buffer: Uint8Array;
  #length = 0;
  #base = 0;
  #baseWritten = false;
  /** To be written before the first base. */
  #earlierEpoch: Epoch | undefined = undefined;
  #ended = false;

  /** @param buffer - Owned by the caller, written in place. */
  constructor(buffer: Uint8Array) {
    this.#buffer = buffer;
  }

  /**
   * Begins an envelope.
   *
   * @param base - The lowest number that the sender has not settled: travels with the first message or reply.
   * @param earlierEpoch - What the base and all numbers belong to, when it is not the epoch that the session names:
   *   travels before the first message, reply or probe.
   */
  reset(base = 0, earlierEpoch?: Epoch): void {
    this.#length = 0;
    this.#base = base;
    this.#baseWritten = false;
    this.#earlierEpoch = earlierEpoch;
    this.#ended = false;
  }

  /** Bytes written. */
  get length(): number {
    return this.#length;
  }

  /** Bytes left. */
  get room(): number {
    return this.#ended ? 0 : this.#buffer.length - this.#length;
  }

  /** What was written: a view of the caller's buffer. */
  bytes(): Uint8Array {
    return viewOf(this.#buffer, 0, this.#length);
  }

  message(fields: MessageFields): boolean {
    const { number, typeNumber, body, name, remainingMs, partIndex } = fields;
    const delta = number - this.#base;
    if (!(delta >= 0)) throw new RangeError(`Number ${number} is below the base ${this.#base}`);
    const length = body.length;
    const toEnd = fields.toEnd === true;
    let flags = frameMessage;
    let size = this.#epochLength + 1 + varintLength(delta) + varintLength(typeNumber) + length;
    if (!this.#baseWritten) {
      flags |= flagBase;
      size += varintLength(this.#base);
    }
    if (toEnd) flags |= flagToEnd;
    else size += varintLength(length);
    if (fields.isRequest === true) flags |= messageFlagRequest;
    let nameBytes: Uint8Array | undefined;
    if (name !== undefined) {
      nameBytes = encodeName(name);
      flags |= messageFlagName;
      size += varintLength(nameBytes.length) + nameBytes.length;
    }
    if (remainingMs !== undefined) {
      flags |= messageFlagDeadline;
      size += varintLength(remainingMs);
    }
    if (partIndex !== undefined) {
      flags |= flagPart;
      size += partFieldsLength(partIndex, fields.totalBytes, number, length);
    }
    if (size > this.room) return false;

    const buffer = this.#buffer;
    let at = this.#begin(flags, delta);
    at = writeVarint(typeNumber, buffer, at);
    if (nameBytes !== undefined) {
      at = writeVarint(nameBytes.length, buffer, at);
      buffer.set(nameBytes, at);
      at += nameBytes.length;
    }
    if (remainingMs !== undefined) at = writeVarint(remainingMs, buffer, at);
    this.#finish(at, partIndex, fields.totalBytes, toEnd, body);
    return true;
  }

  reply(fields: ReplyFields): boolean {
    const { number, requestNumber, body, epoch, partIndex } = fields;
    const delta = number - this.#base;
    if (!(delta >= 0)) throw new RangeError(`Number ${number} is below the base ${this.#base}`);
    const length = body.length;
    const toEnd = fields.toEnd === true;
    let flags = frameReply;
    let size = this.#epochLength + 1 + varintLength(delta) + varintLength(requestNumber) + length;
    if (!this.#baseWritten) {
      flags |= flagBase;
      size += varintLength(this.#base);
    }
    if (toEnd) flags |= flagToEnd;
    else size += varintLength(length);
    if (epoch !== undefined) {
      flags |= replyFlagEpoch;
      size += epochBytes;
    }
    if (partIndex !== undefined) {
      flags |= flagPart;
      size += partFieldsLength(partIndex, fields.totalBytes, number, length);
    }
    if (size > this.room) return false;

    const buffer = this.#buffer;
    let at = this.#begin(flags, delta);
    if (epoch !== undefined) at = putName(epoch, epochBytes, buffer, at);
    at = writeVarint(requestNumber, buffer, at);
    this.#finish(at, partIndex, fields.totalBytes, toEnd, body);
    return true;
  }

  receipt(fields: ReceiptFields): boolean {
    const { epoch, received, handled, complete } = fields;
    let size = 1 + epochBytes + 1 + rangesLength(received) + rangesLength(handled);
    if (complete !== undefined) size += varintLength(complete.from) + varintLength(complete.to - complete.from);
    if (size > this.room) return false;
    const buffer = this.#buffer;
    let at = this.#length;
    buffer[at++] = frameReceipt;
    at = putName(epoch, epochBytes, buffer, at);
    buffer[at++] = complete === undefined ? 0 : receiptFlagComplete;
    if (complete !== undefined) {
      at = writeVarint(complete.from, buffer, at);
      at = writeVarint(complete.to - complete.from, buffer, at);
    }
    at = putRanges(received, buffer, at);
    this.#length = putRanges(handled, buffer, at);
    return true;
  }

  /** @param code - 0 to 255. */
  rejection(epoch: Epoch, number: number, code: number): boolean {
    if (1 + epochBytes + varintLength(number) + 1 > this.room) return false;
    const buffer = this.#buffer;
    let at = this.#length;
    buffer[at++] = frameRejection;
    at = putName(epoch, epochBytes, buffer, at);
    at = writeVarint(number, buffer, at);
    buffer[at++] = code;
    this.#length = at;
    return true;
  }

  /** @param entries - 1 to 16. */
  rejectedList(entries: readonly RejectedEntry[]): boolean {
    if (entries.length === 0 || entries.length > maxRejectedEntries) {
      throw new RangeError(`A rejected list of ${entries.length} entries`);
    }
    let size = 2;
    for (const { vouch } of entries) size += sessionIdBytes + 1 + (vouch === undefined ? 0 : storeTagBytes + 8);
    if (size > this.room) return false;
    const buffer = this.#buffer;
    let at = this.#length;
    buffer[at++] = frameRejectedList;
    buffer[at++] = entries.length;
    for (const { id, vouch } of entries) {
      at = putName(id, sessionIdBytes, buffer, at);
      buffer[at++] = vouch === undefined ? 0 : rejectedFlagVouch;
      if (vouch !== undefined) {
        at = putName(vouch.tag, storeTagBytes, buffer, at);
        at = putU64(vouch.floor, buffer, at);
      }
    }
    this.#length = at;
    return true;
  }

  /** @param record - A signed contact record, at most 1,024 bytes. */
  contactRecord(record: Uint8Array): boolean {
    if (record.length > maxContactRecordBytes) throw new RangeError(`A contact record of ${record.length} bytes`);
    if (1 + varintLength(record.length) + record.length > this.room) return false;
    const buffer = this.#buffer;
    buffer[this.#length] = frameContactRecord;
    const at = writeVarint(record.length, buffer, this.#length + 1);
    buffer.set(record, at);
    this.#length = at + record.length;
    return true;
  }

  /** @param challenge - 8 bytes. */
  linkChallenge(challenge: Uint8Array): boolean {
    return this.#eight(frameLinkChallenge, challenge);
  }

  /** @param challenge - The 8 bytes that were received. */
  linkResponse(challenge: Uint8Array): boolean {
    return this.#eight(frameLinkResponse, challenge);
  }

  /** @param reason - 0 to 255. */
  close(reason: number): boolean {
    if (this.room < 2) return false;
    this.#buffer[this.#length] = frameClose;
    this.#buffer[this.#length + 1] = reason;
    this.#length += 2;
    return true;
  }

  /** Asks for a complete receipt over [base, base + span). @param span - At least 1. */
  probe(base: number, span: number): boolean {
    if (!(span >= 1)) throw new RangeError(`A probe of ${span} numbers`);
    if (this.#epochLength + 1 + varintLength(base) + varintLength(span) > this.room) return false;
    let at = this.#writeEpoch();
    this.#buffer[at++] = frameProbe;
    at = writeVarint(base, this.#buffer, at);
    this.#length = writeVarint(span, this.#buffer, at);
    return true;
  }

  /** Asks that the receipt for this envelope leaves at once. */
  prompt(): boolean {
    if (this.room < 1) return false;
    this.#buffer[this.#length++] = framePrompt;
    return true;
  }

  /** Bytes that mean nothing and hide how long the rest is. */
  padding(count: number): boolean {
    if (count > this.room) return false;
    this.#buffer.fill(0, this.#length, this.#length + count);
    this.#length += count;
    return true;
  }

  /** Appends frames that were written elsewhere; trusted to be whole, and to have a base and an epoch if they need them. */
  raw(frames: Uint8Array): boolean {
    if (frames.length > this.room) return false;
    this.#buffer.set(frames, this.#length);
    this.#length += frames.length;
    return true;
  }

  get #epochLength(): number {
    return this.#earlierEpoch === undefined ? 0 : 1 + epochBytes;
  }

  /** Names the earlier epoch, if that is still to be done. @returns Where to go on. */
  #writeEpoch(): number {
    const at = this.#length;
    const epoch = this.#earlierEpoch;
    if (epoch === undefined) return at;
    this.#earlierEpoch = undefined;
    this.#buffer[at] = frameEarlierEpoch;
    return putName(epoch, epochBytes, this.#buffer, at + 1);
  }

  /** The first byte, the base if it was not yet given, and the number. */
  #begin(flags: number, delta: number): number {
    const buffer = this.#buffer;
    let at = this.#writeEpoch();
    buffer[at++] = flags;
    if (!this.#baseWritten) {
      at = writeVarint(this.#base, buffer, at);
      this.#baseWritten = true;
    }
    return writeVarint(delta, buffer, at);
  }

  /** Part fields, length, body: the end of a message or reply. */
  #finish(
    start: number,
    partIndex: number | undefined,
    totalBytes: number | undefined,
    toEnd: boolean,
    body: Uint8Array,
  ): void {
    const buffer = this.#buffer;
    const length = body.length;
    let at = start;
    if (partIndex !== undefined) {
      at = writeVarint(partIndex, buffer, at);
      at = writeVarint(totalBytes ?? 0, buffer, at);
    }
    if (toEnd) this.#ended = true;
    else at = writeVarint(length, buffer, at);
    if (length <= smallBodyBytes) {
      for (let i = 0; i < length; i++) buffer[at + i] = body[i]!;
    } else {
      buffer.set(body, at);
    }
    this.#length = at + length;
  }

  #eight(first: number, bytes: Uint8Array): boolean {
    if (bytes.length !== linkChallengeBytes) throw new RangeError(`A challenge of ${bytes.length} bytes`);
    if (1 + linkChallengeBytes > this.room) return false;
    this.#buffer[this.#length] = first;
    this.#buffer.set(bytes, this.#length + 1);
    this.#length += 1 + linkChallengeBytes;
    return true;
  }
}

function partFieldsLength(index: number, totalBytes: number | undefined, number: number, bodyLength: number): number {
  if (totalBytes === undefined || index > number || partLength(index, totalBytes) !== bodyLength) {
    throw new RangeError(`Part ${index} of ${totalBytes} bytes, number ${number}, with ${bodyLength} bytes`);
  }
  return varintLength(index) + varintLength(totalBytes);
}

function encodeName(name: string): Uint8Array {
  const bytes = encodeTypeName(name);
  if (bytes === undefined) throw new RangeError("Not a type name");
  return bytes;
}

function rangesLength(ranges: readonly number[]): number {
  const count = ranges.length / 2;
  if (!Number.isInteger(count) || count > maxReceiptRanges) throw new RangeError(`A receipt with ${count} ranges`);
  let size = varintLength(count);
  let end = 0;
  for (let i = 0; i < ranges.length; i += 2) {
    const from = ranges[i]!;
    const to = ranges[i + 1]!;
    if (!(to > from && (from > end || i === 0))) throw new RangeError("Ranges of a receipt must ascend, with gaps");
    size += varintLength(from - end) + varintLength(to - from);
    end = to;
  }
  return size;
}

function putRanges(ranges: readonly number[], into: Uint8Array, start: number): number {
  let at = writeVarint(ranges.length / 2, into, start);
  let end = 0;
  for (let i = 0; i < ranges.length; i += 2) {
    at = writeVarint(ranges[i]! - end, into, at);
    at = writeVarint(ranges[i + 1]! - ranges[i]!, into, at);
    end = ranges[i + 1]!;
  }
  return at;
}

function putName(name: SessionId | OfferId | Epoch | StoreTag, length: number, into: Uint8Array, at: number): number {
  const bytes = fromHex(name);
  if (bytes.length !== length) throw new RangeError(`A name of ${bytes.length} bytes instead of ${length}`);
  into.set(bytes, at);
  return at + length;
}

function putU64(value: number, into: Uint8Array, at: number): number {
  const high = Math.floor(value / 0x1_0000_0000);
  for (let i = 0; i < 4; i++) {
    into[at + i] = high >>> (24 - 8 * i);
    into[at + 4 + i] = (value % 0x1_0000_0000) >>> (24 - 8 * i);
  }
  return at + 8;
}
