/**
 * Walks over the frames of one envelope, in place and without an allocation for each: millions of small messages pass
 * through it every second.
 *
 * @see docs/spec.md, "Frames"
 */
import { ByteReader, viewOf } from "./bytes.ts";
import { WireError } from "./errors.ts";
import {
  type FrameKind,
  flagBase,
  flagPart,
  flagToEnd,
  kindOfByte,
  messageFlagDeadline,
  messageFlagName,
  messageFlagRequest,
  partLength,
  type RejectedEntry,
  receiptFlagComplete,
  rejectedFlagVouch,
  replyFlagEpoch,
} from "./frame.ts";
import { type Epoch, epochFromBytes, sessionIdFromBytes, storeTagFromBytes } from "./ids.ts";
import {
  epochBytes,
  linkChallengeBytes,
  type Millis,
  maxContactRecordBytes,
  maxReceiptRanges,
  maxRejectedEntries,
  maxTypeNameBytes,
  sessionIdBytes,
  storeTagBytes,
} from "./limits.ts";
import { decodeTypeName } from "./type-name.ts";

const noRanges: readonly number[] = [];
const noEntries: readonly RejectedEntry[] = [];

/**
 * Walks over a run of frames. After `next()` returned `true`, `kind` names the frame and the fields that belong to that
 * kind hold its content, until the next call; the other fields hold leftovers.
 *
 * Any bytes give a run of frames or a {@link WireError}. After an error the reader is at its end. An error in a later
 * frame does not take back earlier ones: whoever must not act on half an envelope walks over it twice.
 */
export class FrameReader {
  kind: FrameKind = "prompt";

  /** message, reply: its number. rejection: the number of the message that was refused. */
  number = 0;
  /** message, reply: the number of its first part, which names the whole; `number` when it came whole. */
  firstNumber = 0;
  /** message, reply: the lowest number that the sender has not settled. probe: where it begins. */
  base = 0;
  /** message: its type as a number, which a name was bound to earlier in this epoch, or is in this frame. */
  typeNumber = 0;
  /** message: the name of its type, 1 to 128 bytes of UTF-8, when it travels along. */
  name: string | undefined = undefined;
  /** message: how long its sender still waits for it, when it has a deadline. */
  remainingMs: Millis | undefined = undefined;
  /** message: whether a reply is awaited. */
  isRequest = false;
  /** message, reply: which part it is, from 0; `undefined` when it came whole. */
  partIndex: number | undefined = undefined;
  /** message, reply: bytes of the whole body. Not yet allocated by anyone: it is only what the sender says. */
  totalBytes = 0;
  /** reply: the number of the message that it answers. */
  requestNumber = 0;

  /**
   * receipt, rejection: whose numbers it speaks of. reply: the request's epoch, when not the one the session names.
   * earlierEpoch: what the base and the numbers after it belong to, instead of the epoch that the session names.
   */
  epoch: Epoch | undefined = undefined;
  /** receipt: what arrived, as ascending pairs [from, to), at most 256, with gaps between. */
  received: readonly number[] = noRanges;
  /** receipt: what was handled, likewise. */
  handled: readonly number[] = noRanges;
  /** receipt: whether it answers a probe: what lies in [`from`, `to`) and is not listed did not arrive. */
  isComplete = false;
  /** probe, complete receipt: the numbers it speaks of, [`from`, `to`). */
  from = 0;
  to = 0;

  /** rejection: why. */
  code = 0;
  /** close: why. */
  reason = 0;
  /** rejectedList: 1 to 16 entries. */
  entries: readonly RejectedEntry[] = noEntries;

  /** Where `body` lies in the bytes being read. */
  bodyStart = 0;
  bodyEnd = 0;

  #in: ByteReader;
  #frameOffset = 0;
  #baseKnown = false;
  #base = 0;
  /** An earlier epoch may no longer be named: one was, or a base was given. */
  #epochSettled = false;

  /** @param bytes - The plaintext of one envelope. Borrowed for as long as frames are read. */
  constructor(bytes: Uint8Array) {
    this.#in = new ByteReader(bytes);
  }

  /** Begins again with other bytes. */
  reset(bytes: Uint8Array): void {
    this.#in = new ByteReader(bytes);
    this.#frameOffset = 0;
    this.#baseKnown = false;
    this.#epochSettled = false;
  }

  /** The bytes being read. */
  get bytes(): Uint8Array {
    return this.#in.bytes;
  }

  /** Where the current frame begins. */
  get frameOffset(): number {
    return this.#frameOffset;
  }

  /** Where the next frame, or padding, begins. */
  get offset(): number {
    return this.#in.offset;
  }

  /** message, reply, contactRecord, linkChallenge, linkResponse: what it carries, a new view at each call. */
  get body(): Uint8Array {
    return viewOf(this.#in.bytes, this.bodyStart, this.bodyEnd);
  }

  /**
   * The kind of the next frame without reading it; `undefined` at the end.
   *
   * @throws {@link WireError} `EGTP_WIRE_UNKNOWN_FRAME`.
   */
  peek(): FrameKind | undefined {
    const input = this.#in;
    const { bytes } = input;
    let at = input.offset;
    while (at < bytes.length && bytes[at] === 0) at++;
    input.offset = at;
    if (at >= bytes.length) return undefined;
    return kindOfByte[bytes[at]!] ?? this.#unknown(bytes[at]!);
  }

  /**
   * Reads the next frame.
   *
   * @returns `false` at the end.
   * @throws {@link WireError} `EGTP_WIRE_UNKNOWN_FRAME`, `EGTP_WIRE_BAD_FRAME`, `EGTP_WIRE_TRUNCATED`,
   *   `EGTP_WIRE_TOO_LARGE`, `EGTP_WIRE_BAD_NUMBER`.
   */
  next(): boolean {
    const kind = this.peek();
    if (kind === undefined) return false;
    const input = this.#in;
    this.#frameOffset = input.offset;
    this.kind = kind;
    try {
      if (kind === "message") this.#message(input);
      else if (kind === "reply") this.#reply(input);
      else this.#other(kind, input);
    } catch (error) {
      input.offset = input.bytes.length;
      throw error;
    }
    return true;
  }

  #message(input: ByteReader): void {
    const flags = input.bytes[input.offset++]!;
    this.#number(flags, input);
    this.typeNumber = input.varint();
    this.name = (flags & messageFlagName) === 0 ? undefined : readName(input);
    this.remainingMs = (flags & messageFlagDeadline) === 0 ? undefined : input.varint();
    this.isRequest = (flags & messageFlagRequest) !== 0;
    this.#content(flags, input);
  }

  #reply(input: ByteReader): void {
    const flags = input.bytes[input.offset++]!;
    this.#number(flags, input);
    this.epoch = (flags & replyFlagEpoch) === 0 ? undefined : epochFromBytes(input.take(epochBytes));
    this.requestNumber = input.varint();
    this.#content(flags, input);
  }

  /** The base of the envelope, given once with its first message or reply, and the number. */
  #number(flags: number, input: ByteReader): void {
    const hasBase = (flags & flagBase) !== 0;
    if (hasBase === this.#baseKnown) {
      throw badFrame(hasBase ? "A second base in one envelope" : "The first number of an envelope has no base");
    }
    if (hasBase) {
      this.#base = input.varint();
      this.#baseKnown = true;
      this.#epochSettled = true;
    }
    this.base = this.#base;
    const number = this.#base + input.varint();
    if (number > Number.MAX_SAFE_INTEGER) throw badFrame("A message number above 2^53 - 1");
    this.number = number;
  }

  /** Index and total of a part, and the body with or without its length. */
  #content(flags: number, input: ByteReader): void {
    let partIndex: number | undefined;
    let totalBytes = 0;
    if ((flags & flagPart) !== 0) {
      partIndex = input.varint();
      totalBytes = input.varint();
    }
    const length = (flags & flagToEnd) === 0 ? input.varint() : input.remaining;
    const start = input.offset;
    if (length > input.remaining) throw new WireError("EGTP_WIRE_TRUNCATED", "The bytes end inside a body");
    input.offset = start + length;
    this.bodyStart = start;
    this.bodyEnd = start + length;
    this.partIndex = partIndex;
    if (partIndex === undefined) {
      this.firstNumber = this.number;
      this.totalBytes = length;
      return;
    }
    if (partIndex > this.number) throw badFrame("A part whose first number is below zero");
    if (length !== partLength(partIndex, totalBytes)) {
      throw badFrame(`Part ${partIndex} of ${totalBytes} bytes has ${length} bytes`);
    }
    this.firstNumber = this.number - partIndex;
    this.totalBytes = totalBytes;
  }

  #other(kind: Exclude<FrameKind, "message" | "reply">, input: ByteReader): void {
    input.offset += 1;
    switch (kind) {
      case "receipt":
        this.#receipt(input);
        return;
      case "rejection":
        this.epoch = epochFromBytes(input.take(epochBytes));
        this.number = input.varint();
        this.code = input.u8();
        return;
      case "rejectedList":
        this.entries = readRejectedEntries(input);
        return;
      case "contactRecord": {
        const length = input.varint();
        if (length > maxContactRecordBytes) {
          throw new WireError("EGTP_WIRE_TOO_LARGE", `A contact record of ${length} bytes`);
        }
        this.#fixedBody(length, input);
        return;
      }
      case "linkChallenge":
      case "linkResponse":
        this.#fixedBody(linkChallengeBytes, input);
        return;
      case "close":
        this.reason = input.u8();
        return;
      case "probe": {
        this.#epochSettled = true;
        this.base = input.varint();
        this.from = this.base;
        const span = input.varint();
        if (span === 0) throw badFrame("A probe of nothing");
        this.to = sumOf(this.from, span);
        return;
      }
      case "prompt":
        return;
      case "earlierEpoch":
        if (this.#epochSettled) throw badFrame("An earlier epoch after another, or after the first base");
        this.#epochSettled = true;
        this.epoch = epochFromBytes(input.take(epochBytes));
        return;
    }
  }

  #receipt(input: ByteReader): void {
    this.epoch = epochFromBytes(input.take(epochBytes));
    const flags = input.u8();
    if ((flags & ~receiptFlagComplete) !== 0) throw badFrame(`A receipt with flags ${flags}`);
    this.isComplete = flags === receiptFlagComplete;
    this.from = 0;
    this.to = 0;
    if (this.isComplete) {
      this.from = input.varint();
      this.to = sumOf(this.from, input.varint());
    }
    this.received = readRanges(input);
    this.handled = readRanges(input);
  }

  #fixedBody(length: number, input: ByteReader): void {
    if (input.remaining < length) throw new WireError("EGTP_WIRE_TRUNCATED", "The bytes end inside a frame");
    this.bodyStart = input.offset;
    input.offset += length;
    this.bodyEnd = input.offset;
  }

  #unknown(byte: number): never {
    this.#in.offset = this.#in.bytes.length;
    throw new WireError("EGTP_WIRE_UNKNOWN_FRAME", `A frame that begins with 0x${byte.toString(16).padStart(2, "0")}`);
  }
}

function readName(input: ByteReader): string {
  const length = input.varint();
  if (length === 0 || length > maxTypeNameBytes) throw badFrame(`A type name of ${length} bytes`);
  const name = decodeTypeName(input.take(length));
  if (name === undefined) throw badFrame("A type name that is not UTF-8 or has control characters");
  return name;
}

/** The count is checked first; the list then grows with what is read. */
function readRanges(input: ByteReader): number[] {
  const count = input.varint();
  if (count > maxReceiptRanges) throw badFrame(`A receipt with ${count} ranges`);
  const ranges: number[] = [];
  let end = 0;
  for (let i = 0; i < count; i++) {
    const gap = input.varint();
    const length = input.varint();
    if (length === 0) throw badFrame("A range of nothing");
    if (gap === 0 && i > 0) throw badFrame("Two ranges that touch");
    const from = sumOf(end, gap);
    end = sumOf(from, length);
    ranges.push(from, end);
  }
  return ranges;
}

function readRejectedEntries(input: ByteReader): RejectedEntry[] {
  const count = input.u8();
  if (count === 0 || count > maxRejectedEntries) throw badFrame(`A rejected list of ${count} entries`);
  const entries: RejectedEntry[] = [];
  for (let i = 0; i < count; i++) {
    const id = sessionIdFromBytes(input.take(sessionIdBytes));
    const flags = input.u8();
    if ((flags & ~rejectedFlagVouch) !== 0) throw badFrame(`A rejected entry with flags ${flags}`);
    const vouch = flags === 0 ? undefined : { tag: storeTagFromBytes(input.take(storeTagBytes)), floor: input.u64() };
    entries.push({ id, vouch });
  }
  return entries;
}

function sumOf(a: number, b: number): number {
  const sum = a + b;
  if (sum > Number.MAX_SAFE_INTEGER) throw badFrame("A number above 2^53 - 1");
  return sum;
}

function badFrame(message: string): WireError {
  return new WireError("EGTP_WIRE_BAD_FRAME", message);
}
