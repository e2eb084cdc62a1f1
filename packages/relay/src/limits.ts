/**
 * Every size, count and duration of the relay protocol and of a relay's mailboxes, with its unit and its reason: first what
 * the protocol fixes, then what we chose and a relay may change.
 *
 * @see docs/spec.md, "Relay"
 */
import { type Millis, maxEnvelopeBytes } from "@egtp/wire";

// ---- Fixed by the protocol ----

/** Bytes of a mailbox's tag: random for each mailbox made, so that numbers of an earlier one are never taken for its own. */
export const mailboxTagBytes = 8;

/** Bytes of a client's run: random for each start, so that two processes with one key are told apart. */
export const clientRunBytes = 8;

/** Bytes before the envelope in a mail handed over: tag 8, number 8. */
export const mailIdBytes = 16;

/** Ranges in one acknowledgement, as many as in a receipt. */
export const maxAcknowledgeRanges = 256;

/** Bytes of a reply to a collect request: some dozens of full envelopes, and a message that fits every node's bounds. */
export const maxCollectBytes = 1024 * 1024;

// ---- Chosen by us ----

/** Runs that were superseded and are remembered of one mailbox: more processes with one key are not told apart. */
export const maxSupersededRuns = 8;

/** The bounds of a relay's mailboxes. */
export interface MailboxLimits {
  /** Mailboxes in all. One without mail takes about 1 KiB of memory. */
  readonly maxMailboxes: number;
  /** Mails that one mailbox holds, and bytes of their envelopes. */
  readonly maxMessages: number;
  readonly maxBytes: number;
  /** Of these, from one sender: whoever sends too much finds the mailbox full before others do. */
  readonly maxSenderMessages: number;
  readonly maxSenderBytes: number;
  /** Of these, from all that are not registered here: anybody can make up senders. */
  readonly maxStrangerMessages: number;
  readonly maxStrangerBytes: number;
  /** Mails in all, which take 20 bytes of memory each, and bytes of their envelopes on disk. */
  readonly maxTotalMessages: number;
  readonly maxTotalBytes: number;
  /** Bytes of the longest envelope that is taken. */
  readonly maxEnvelopeBytes: number;
  /** How long a mail is kept: as long as its sender remembers it and its recipient can read it. */
  readonly ttlMs: Millis;
  /** A mailbox whose owner was not heard of for so long is given up, with what is in it. */
  readonly registrationMs: Millis;
  /** An owner's run counts as live for so long after it was heard of: two and a half times the pause of its refreshes. */
  readonly freshMs: Millis;
}

const dayMs = 24 * 60 * 60 * 1_000;
const mebibyte = 1024 * 1024;

export const defaultMailboxLimits: MailboxLimits = {
  maxMailboxes: 65_536,
  maxMessages: 10_000,
  maxBytes: 64 * mebibyte,
  maxSenderMessages: 5_000,
  maxSenderBytes: 32 * mebibyte,
  maxStrangerMessages: 5_000,
  maxStrangerBytes: 32 * mebibyte,
  maxTotalMessages: 4_000_000,
  maxTotalBytes: 16 * 1024 * mebibyte,
  maxEnvelopeBytes,
  ttlMs: 21 * dayMs,
  registrationMs: 30 * dayMs,
  freshMs: 150_000,
};

/** The defaults with the caller's changes. @throws `RangeError` for a limit that cannot work. */
export function mailboxLimits(changes: Partial<MailboxLimits> = {}): MailboxLimits {
  const limits = { ...defaultMailboxLimits, ...changes };
  for (const [name, value] of Object.entries(limits)) {
    if (!(value > 0)) throw new RangeError(`${name} must be a number above 0, not ${value}`);
  }
  return limits;
}
