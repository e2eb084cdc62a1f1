/**
 * Every size, count and duration of delivery, with its unit and its reason: first what the protocol fixes, then what we
 * chose and a caller may change.
 *
 * @see docs/spec.md, "Delivery"
 */
import type { Millis } from "@egtp/wire";

// ---- Fixed by the protocol: both sides must agree.

/** W: no number in flight is this much or more above the oldest unsettled one, so a receiver's memory is bounded. */
export const windowSize = 65_536;

/** Names of message types that one run of a node may use, and that a receiver remembers per peer and run. */
export const maxTypeNames = 1_024;

/**
 * What remains for a message whose frame states nothing. Senders state nothing when at least half of that remains, as for
 * nearly every message that its program gave no deadline: three bytes in each. The recipient then errs on the long side.
 */
export const impliedRemainingMs: Millis = 60_000;

/** Epochs of one peer whose handled marks are remembered. */
export const maxEpochs = 64;

/**
 * Epochs of one peer of which only that is remembered that something of them was handled: a name and a time each. Beyond,
 * no earlier epoch is taken for new until the oldest of them is past.
 */
export const maxForgottenEpochs = 256;

/** No message of an epoch comes again so long after something of it was handled: senders keep messages no longer. */
export const epochMemoryMs: Millis = 21 * 24 * 60 * 60 * 1_000;

// ---- Chosen by us.

/**
 * The last numbers of the window, kept for replies: they never wait for outbox space, so two peers whose windows are
 * full of requests can still answer each other.
 */
export const replyReserve = windowSize / 4;

/** The numbers that messages and requests may span. */
export const messageSpan = windowSize - replyReserve;

/** A receipt waits this long for something to ride on. */
export const receiptDelayMs: Millis = 25;

/** Receipts that a relay may have lost are said again so often, as long as their peer is not heard. */
export const maxToldAgain = 8;

/**
 * What is asked for again so long after a receipt told of it: that receipt did not arrive, as long as nothing shows that any did.
 * As long as the first retransmission time: sooner, the two may have crossed.
 */
export const unheardAfterMs: Millis = 1_000;

/** It leaves at once when so many envelopes came in since the last one, */
export const receiptEnvelopes = 32;

/** or so many bytes: two full envelopes, of which none has quite 64 KiB for messages. */
export const receiptBytes = 120 * 1024;

/** The retransmission time before anything was measured; then srtt + 4 * rttvar + receiptDelayMs, within these bounds. */
export const initialRtoMs: Millis = 1_000;
export const minRtoMs: Millis = 250;
export const maxRtoMs: Millis = 60_000;

/** What was received and not handled is asked after from so long on, */
export const minAskMs: Millis = 1_000;

/** with doubling pauses up to here: a handler may well take minutes. */
export const maxAskMs: Millis = 300_000;

/**
 * Of what lies in mailboxes the peer is asked when it was not heard for so long, although that is one more mail: a mailbox may have
 * thrown it away, or the answer to it. With some questions more, all well before a request gives up, after 30 s;
 */
const mailAskMs: Millis = 5_000;

/** again whenever it was silent for twice as long, and so often in all: over 11 minutes. It may just be away. */
const maxMailAsks = 8;

/** When to ask next after so many questions of which none was answered. */
export function mailAskIntervalMs(asked: number): Millis {
  return asked < maxMailAsks ? mailAskMs * 2 ** Math.max(0, asked - 1) : Infinity;
}

/** Each way to the peer is tried so often before the next, since the peer can tell that it is not heard only when it is asked twice. */
export const triesOfWay = 2;

/**
 * Messages of up to so many parts leave in the order in which they were sent, among the small ones: an envelope on its way
 * to a relay has up to 5. Larger ones take turns, so that nothing waits for them.
 */
export const orderedParts = 5;

/** Bytes that one timeout sends again: one envelope. */
export const resendBytes = 60_000;

/** Gaps in the handled numbers of an epoch. Beyond, only what closes a gap is taken in, so marks stay cheap to write. */
export const maxHandledRanges = 8_192;

/**
 * Epochs of one peer that are kept ready in memory; marks of older ones are fetched from the maps when needed. One with
 * rejections stays, since the maps do not know them.
 */
export const maxOpenEpochs = 4;

/**
 * Earlier runs of which messages leave at one time, the first ones first: half of the epochs that their recipient remembers,
 * so that none makes it forget another that is still in use.
 */
export const maxEarlierAtOnce = maxEpochs / 2;

/** A conversation whose only memory is what it rejected, or whose peer left, may be forgotten after this time, when the table is full. */
export const rejectionMemoryMs: Millis = 600_000;

/** The bounds of one `Delivery`. */
export interface DeliveryLimits {
  /** Unsettled messages and requests to one peer; replies are not counted. At most `messageSpan`. */
  readonly maxOutboxMessages: number;
  /** Bytes of their bodies. A message that is alone may exceed it. */
  readonly maxOutboxBytes: number;
  /** The same over all peers, without exception. */
  readonly maxOutboxBytesTotal: number;
  /** No message is kept longer, whatever deadline was asked for. As long as a mailbox keeps mail: 21 days. */
  readonly maxOutboxAgeMs: Millis;
  /** The deadline of a message for which none was given. */
  readonly defaultDeadlineMs: Millis;
  /** Bytes of one body, sent or received. */
  readonly maxMessageBytes: number;
  /** Messages of one peer that were received and not yet handled, and replies to it that it has not confirmed. */
  readonly maxHeldMessages: number;
  /** Bytes of those, with what was announced of messages in parts. */
  readonly maxHeldBytes: number;
  /** The same over all peers. Beyond, those that hold most give up what waits, for those that hold less. */
  readonly maxHeldBytesTotal: number;
  /** Peers about whom something is kept in memory. */
  readonly maxConversations: number;
}

export const defaultDeliveryLimits: DeliveryLimits = {
  maxOutboxMessages: 32_768,
  maxOutboxBytes: 16 * 1024 * 1024,
  maxOutboxBytesTotal: 256 * 1024 * 1024,
  maxOutboxAgeMs: epochMemoryMs,
  defaultDeadlineMs: 60_000,
  maxMessageBytes: 4 * 1024 * 1024,
  maxHeldMessages: windowSize,
  maxHeldBytes: 32 * 1024 * 1024,
  maxHeldBytesTotal: 512 * 1024 * 1024,
  maxConversations: 16_384,
};
