/**
 * Frames: what the plaintext of an envelope is made of. Here are their layout and their kinds; frame-reader.ts walks over
 * a run of them, frame-writer.ts fills a buffer with them.
 *
 * These three know how frames look, not what they mean: which numbers are plausible is for the delivery layer to say.
 *
 *     00                      padding, skipped
 *     01                      receipt         epoch 8 | flags 1 | [from, length] | received ranges | handled ranges
 *     02                      rejection       epoch 8 | number | code 1
 *     03                      rejected list   count 1 | entries: ID 16 | flags 1 | [store tag 8 | floor 8]
 *     04                      contact record  length | bytes
 *     05, 06                  link challenge, link response: 8 bytes
 *     07                      close           reason 1
 *     08                      probe           base | span
 *     09                      prompt
 *     0a                      earlier epoch   epoch 8
 *     01ffffff (in bits)      message         [base] delta | type | [name] | [remaining ms] | [index, total] | [length] | body
 *     10ffffff (in bits)      reply           [base] delta | [epoch 8] | request number | [index, total] | [length] | body
 *
 * Numbers without a size are varints. A floor is 8 bytes big-endian. An earlier epoch stands before the first message,
 * reply or probe, whose base and numbers are then of that epoch of the sender.
 *
 * @see docs/spec.md, "Frames"
 */
import type { OfferId, SessionId, StoreTag } from "./ids.ts";
import { type Millis, partBytes } from "./limits.ts";

export type FrameKind =
  | "message"
  | "reply"
  | "receipt"
  | "rejection"
  | "rejectedList"
  | "contactRecord"
  | "linkChallenge"
  | "linkResponse"
  | "close"
  | "probe"
  | "prompt"
  | "earlierEpoch";

/** Why a close was sent. Others are read as a goodbye. */
export const closeReason = {
  /** The peer stops, or forgets this session. */
  goodbye: 0,
  /** Another run with the same key came after the one that this goes to. The session stays. */
  superseded: 1,
} as const;

/** One entry of a rejected list: a session or an offer that its sender cannot use. */
export interface RejectedEntry {
  readonly id: SessionId | OfferId;
  /** What the maker of a stale offer needs for the next one; both or neither. */
  readonly vouch: { readonly tag: StoreTag; readonly floor: Millis } | undefined;
}

export const frameReceipt = 0x01;
export const frameRejection = 0x02;
export const frameRejectedList = 0x03;
export const frameContactRecord = 0x04;
export const frameLinkChallenge = 0x05;
export const frameLinkResponse = 0x06;
export const frameClose = 0x07;
export const frameProbe = 0x08;
export const framePrompt = 0x09;
export const frameEarlierEpoch = 0x0a;
export const frameMessage = 0x40;
export const frameReply = 0x80;

export const flagBase = 0x01;
export const flagToEnd = 0x04;
export const flagPart = 0x08;
export const messageFlagName = 0x02;
export const messageFlagDeadline = 0x10;
export const messageFlagRequest = 0x20;
export const replyFlagEpoch = 0x02;
export const replyFlags = flagBase | replyFlagEpoch | flagToEnd | flagPart;
export const receiptFlagComplete = 0x01;
export const rejectedFlagVouch = 0x01;

/** The kind of frame that begins with this byte; `undefined` for padding and for what no frame begins with. */
export const kindOfByte: readonly (FrameKind | undefined)[] = Array.from({ length: 256 }, (_, byte) => {
  if (byte >> 6 === 1) return "message";
  if (byte >> 6 === 2) return (byte & 0x3f & ~replyFlags) === 0 ? "reply" : undefined;
  switch (byte) {
    case frameReceipt:
      return "receipt";
    case frameRejection:
      return "rejection";
    case frameRejectedList:
      return "rejectedList";
    case frameContactRecord:
      return "contactRecord";
    case frameLinkChallenge:
      return "linkChallenge";
    case frameLinkResponse:
      return "linkResponse";
    case frameClose:
      return "close";
    case frameProbe:
      return "probe";
    case framePrompt:
      return "prompt";
    case frameEarlierEpoch:
      return "earlierEpoch";
    default:
      return undefined;
  }
});

/** Bytes that this part must have; -1 when there is no such part. A message in parts has at least two. */
export function partLength(index: number, totalBytes: number): number {
  const last = Math.ceil(totalBytes / partBytes) - 1;
  if (last < 1 || index > last) return -1;
  return index < last ? partBytes : totalBytes - last * partBytes;
}
