/**
 * What a relay and its clients say to each other: the message types, and the layouts of those whose bodies are raw bytes
 * because one of them travels for every envelope.
 *
 * A relay is an ordinary peer, so each of these travels sealed, numbered and receipted like any message. What is passed along
 * is an envelope, which the relay holds without reading it.
 *
 * Decoders take any bytes and give a value or a {@link RelayError} `EGTP_RELAY_BAD_MESSAGE`. Views they return borrow what they
 * were given.
 *
 * @see docs/spec.md, "Relay"
 */
import {
  ByteReader,
  ByteWriter,
  defineMessage,
  type Millis,
  minEnvelopeBytes,
  peerIdBytes,
  WireError,
} from "@egtp/wire";
import * as z from "zod/mini";
import { RelayError } from "./errors.ts";
import { clientRunBytes, mailboxTagBytes, mailIdBytes, maxAcknowledgeRanges, maxCollectBytes } from "./limits.ts";

// ---- Structured bodies ----
//
// Few kinds of schema, since each kind is code that a page loads.

const count = z.custom<number>((value) => Number.isSafeInteger(value) && (value as number) >= 0, "Not a count");
const bytesOf = (length: number) =>
  z.custom<Uint8Array>((value) => value instanceof Uint8Array && value.length === length, `Not ${length} bytes`);

const publishedLimits = z.object({
  /** Mails that one mailbox holds, and bytes of their envelopes. */
  maxMessages: count,
  maxBytes: count,
  /** How long a mail is kept. */
  ttlMs: count,
  /** Bytes of an envelope that is still taken. */
  maxEnvelopeBytes: count,
  /** Mails of one sender that one mailbox holds, and bytes of their envelopes. */
  maxSenderMessages: count,
  maxSenderBytes: count,
  /** Who may register. */
  access: z.literal(["open", "allow-list"]),
});

/** What a relay lets its clients do. */
export type PublishedLimits = z.infer<typeof publishedLimits>;

const registration = z.union([
  z.object({
    /** Mail is handed over to this run from now on, beginning with the oldest. */
    state: z.literal("active"),
    tag: bytesOf(mailboxTagBytes),
    limits: publishedLimits,
    waiting: z.object({ messages: count, bytes: count }),
    /** Another run with the same key was active until now. */
    replaced: z.boolean(),
    /** The numbers of its mail have gaps that mean nothing: nothing is missing between two that come after each other. */
    gaps: z.boolean(),
  }),
  /** A newer run with the same key is active. */
  z.object({ state: z.literal("superseded") }),
  z.object({ state: z.literal("refused"), reason: z.literal(["not-allowed", "full"]) }),
]);

/** What became of a registration. */
export type Registration = z.infer<typeof registration>;

const nothing = z.object({});

/** Asks for the {@link PublishedLimits}. The body is empty. */
export const limitsRequest = defineMessage("relay/limits", { reply: publishedLimits });

/**
 * Asks the relay to keep mail for us, or to go on doing so. `first`: said once by each run. `standby`: nothing is to be handed
 * over, as another relay does that with the same mailbox.
 */
export const registerRequest = defineMessage("relay/register", {
  body: z.object({ run: bytesOf(clientRunBytes), first: z.boolean(), standby: z.boolean() }),
  reply: registration,
});

/** No new mail is to be taken for us; what waits stays until we collect it. */
export const unregisterRequest = defineMessage("relay/unregister", { body: nothing, reply: nothing });

/** Asks for the mail with numbers above `after`. It marks nothing. The reply is raw: {@link decodeCollected}. */
export const collectRequest = defineMessage("relay/collect", {
  body: z.object({ after: count, maxBytes: count }),
});

// ---- Raw bodies ----

/** An envelope for somebody else. Raw: {@link encodePassAlong}; the reply too: {@link decodePassAlongStatus}. */
export const passAlongRequest = defineMessage("relay/pass-along");

/** A mail for its owner. Raw: {@link decodeMail}. */
export const mailMessage = defineMessage("relay/message");

/** Mail that the relay may forget. Raw: {@link encodeAcknowledgement}. */
export const acknowledgeMessage = defineMessage("relay/acknowledge");

/** @param recipient - The bytes of its peer ID. Both are copied. */
export function encodePassAlong(recipient: Uint8Array, envelope: Uint8Array): Uint8Array {
  const body = new Uint8Array(peerIdBytes + envelope.length);
  body.set(recipient);
  body.set(envelope, peerIdBytes);
  return body;
}

/**
 * The same without a copy, when the envelope has memory of its own with room for that. What lies before it in a larger piece
 * may be another envelope.
 *
 * @param envelope - Given over, with the 32 bytes before it, as a relayed link asks for.
 */
export function encodePassAlongInPlace(recipient: Uint8Array, envelope: Uint8Array): Uint8Array {
  const { buffer, byteOffset, length } = envelope;
  if (byteOffset !== peerIdBytes || buffer.byteLength !== peerIdBytes + length) {
    return encodePassAlong(recipient, envelope);
  }
  const body = new Uint8Array(buffer);
  body.set(recipient);
  return body;
}

export interface PassAlong {
  /** 32 bytes; whether they are a peer ID was not checked. */
  readonly recipient: Uint8Array;
  readonly envelope: Uint8Array;
}

/** Reads `recipient 32 | envelope`. */
export function decodePassAlong(body: Uint8Array): PassAlong {
  if (body.length < peerIdBytes + minEnvelopeBytes) throw bad("relay/pass-along", `${body.length} bytes`);
  return { recipient: body.subarray(0, peerIdBytes), envelope: body.subarray(peerIdBytes) };
}

/** Why a relay did not take an envelope, by its code. */
export const refusals = [
  undefined,
  /** Its recipient is not registered here. */
  "unregistered",
  "mailbox-full",
  /** This sender's share of the mailbox is used up. */
  "sender-quota",
  "too-large",
  "not-allowed",
  /** This sender passes along faster than the relay lets it. */
  "too-fast",
  /** The relay could not write it down. */
  "store-failed",
] as const;

export type Refusal = Exclude<(typeof refusals)[number], undefined>;

/** What became of an envelope that was passed along. */
export type PassAlongStatus =
  /** Its recipient acknowledged it. */
  | { readonly state: "passed" }
  /** It waits in the mailbox of its recipient, until then by the clock of whoever writes or reads this. */
  | { readonly state: "stored"; readonly until: Millis }
  | { readonly state: "refused"; readonly refusal: Refusal };

const passedCode = 0;
const storedCode = 1;
const refusedCode = 2;

/** @param now - The writer's clock: what travels is the time that remains, for clocks disagree. */
export function encodePassAlongStatus(status: PassAlongStatus, now: Millis): Uint8Array {
  switch (status.state) {
    case "passed":
      return Uint8Array.of(passedCode);
    case "stored":
      return new ByteWriter(9)
        .u8(storedCode)
        .u64(Math.max(0, Math.floor(status.until - now)))
        .bytes();
    case "refused":
      return Uint8Array.of(refusedCode, refusals.indexOf(status.refusal));
  }
}

/** @param now - The reader's clock. */
export function decodePassAlongStatus(reply: Uint8Array, now: Millis): PassAlongStatus {
  return read("relay/pass-along", reply, (input) => {
    const code = input.u8();
    if (code === passedCode) return { state: "passed" };
    if (code === storedCode) {
      const until = now + input.u64();
      // It is kept and counted with: what no clock reaches says nothing.
      if (until > Number.MAX_SAFE_INTEGER) throw bad("relay/pass-along", "a time that never comes");
      return { state: "stored", until };
    }
    if (code !== refusedCode) throw bad("relay/pass-along", `status ${code}`);
    const reason = input.u8();
    const refusal = refusals[reason];
    if (refusal === undefined) throw bad("relay/pass-along", `refusal ${reason}`);
    return { state: "refused", refusal };
  });
}

export interface Mail {
  readonly tag: Uint8Array;
  /** Counts from 1 in the mailbox with that tag. */
  readonly number: number;
  readonly envelope: Uint8Array;
}

/** Writes `tag 8 | number 8`, the name of a mail, which stands before its envelope. */
export function writeMailId(tag: Uint8Array, number: number, into: Uint8Array, at: number): void {
  into.set(tag, at);
  let rest = number;
  for (let i = at + mailIdBytes - 1; i >= at + mailboxTagBytes; i--) {
    into[i] = rest % 0x100;
    rest = Math.floor(rest / 0x100);
  }
}

/** Reads `mail ID 16 | envelope`. */
export function decodeMail(body: Uint8Array): Mail {
  return read("relay/message", body, (input) => {
    const tag = input.take(mailboxTagBytes);
    const number = input.u64();
    if (number === 0) throw bad("relay/message", "number 0");
    return { tag, number, envelope: takeEnvelope("relay/message", input, input.remaining) };
  });
}

/** Mails of one mailbox, oldest first. */
export interface Collected {
  readonly tag: Uint8Array;
  readonly mails: readonly { readonly number: number; readonly envelope: Uint8Array }[];
}

/** Bytes that a mail takes in a reply to a collect request, beside its envelope: number 8, length 4. */
const collectedHeaderBytes = 12;

/** Bytes of the reply that holds envelopes of these lengths. */
export function collectedBytes(envelopeBytes: Iterable<number>): number {
  let bytes = mailboxTagBytes;
  for (const each of envelopeBytes) bytes += collectedHeaderBytes + each;
  return bytes;
}

/** @param collected - Numbers ascend; in all at most {@link maxCollectBytes}. */
export function encodeCollected({ tag, mails }: Collected): Uint8Array {
  const writer = new ByteWriter(collectedBytes(mails.map(({ envelope }) => envelope.length)));
  writer.put(tag);
  for (const { number, envelope } of mails) writer.u64(number).u32(envelope.length).put(envelope);
  return writer.bytes();
}

export function decodeCollected(reply: Uint8Array): Collected {
  if (reply.length > maxCollectBytes) throw bad("relay/collect", `${reply.length} bytes`);
  return read("relay/collect", reply, (input) => {
    const tag = input.take(mailboxTagBytes);
    const mails: { number: number; envelope: Uint8Array }[] = [];
    let previous = 0;
    while (input.remaining > 0) {
      const number = input.u64();
      if (number <= previous) throw bad("relay/collect", `number ${number} after ${previous}`);
      mails.push({ number, envelope: takeEnvelope("relay/collect", input, input.u32()) });
      previous = number;
    }
    return { tag, mails };
  });
}

/** Mails of one mailbox by their numbers. */
export interface Acknowledgement {
  readonly tag: Uint8Array;
  /** Ascending pairs [from, to) with gaps between, at most {@link maxAcknowledgeRanges}. */
  readonly ranges: readonly number[];
}

export function encodeAcknowledgement({ tag, ranges }: Acknowledgement): Uint8Array {
  const pairs = ranges.length / 2;
  if (!Number.isInteger(pairs) || pairs > maxAcknowledgeRanges) throw new RangeError(`${pairs} ranges`);
  const writer = new ByteWriter(mailboxTagBytes + 16 * (pairs + 1)).put(tag).varint(pairs);
  let end = 0;
  for (let i = 0; i < ranges.length; i += 2) {
    const [from, to] = [ranges[i]!, ranges[i + 1]!];
    if (!(to > from && (from > end || i === 0))) throw new RangeError("Ranges must ascend, with gaps");
    writer.varint(from - end).varint(to - from);
    end = to;
  }
  return writer.bytes();
}

export function decodeAcknowledgement(body: Uint8Array): Acknowledgement {
  return read("relay/acknowledge", body, (input) => {
    const tag = input.take(mailboxTagBytes);
    const pairs = input.varint();
    if (pairs > maxAcknowledgeRanges) throw bad("relay/acknowledge", `${pairs} ranges`);
    const ranges: number[] = [];
    let end = 0;
    for (let i = 0; i < pairs; i++) {
      const gap = input.varint();
      const length = input.varint();
      if (length === 0) throw bad("relay/acknowledge", "a range of nothing");
      if (gap === 0 && i > 0) throw bad("relay/acknowledge", "two ranges that touch");
      const from = end + gap;
      end = from + length;
      if (end > Number.MAX_SAFE_INTEGER) throw bad("relay/acknowledge", "a number above 2^53 - 1");
      ranges.push(from, end);
    }
    return { tag, ranges };
  });
}

function takeEnvelope(type: string, input: ByteReader, length: number): Uint8Array {
  if (length < minEnvelopeBytes) throw bad(type, `an envelope of ${length} bytes`);
  return input.take(length);
}

/** Reads the whole of the bytes, in the words of this package. */
function read<Value>(type: string, bytes: Uint8Array, readFields: (input: ByteReader) => Value): Value {
  try {
    const input = new ByteReader(bytes);
    const value = readFields(input);
    input.end();
    return value;
  } catch (error) {
    if (error instanceof WireError) throw bad(type, error.message, error);
    throw error;
  }
}

function bad(type: string, what: string, cause?: WireError): RelayError {
  return new RelayError("EGTP_RELAY_BAD_MESSAGE", `Not what "${type}" looks like: ${what}`, { cause });
}
