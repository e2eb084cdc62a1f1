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

/** How long mail may be kept: as long as its recipient keeps the keys that read it. */
export const maxMailTtlMs: Millis = 21 * 24 * 60 * 60 * 1_000;

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
  /** Mails in all, which take 20 bytes of memory each, and bytes of their envelopes on disk; a cluster counts all that it stores. */
  readonly maxTotalMessages: number;
  readonly maxTotalBytes: number;
  /** Bytes of the longest envelope that is taken. */
  readonly maxEnvelopeBytes: number;
  /** How long a mail is kept, at most `maxMailTtlMs`. */
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
  ttlMs: maxMailTtlMs,
  registrationMs: 30 * dayMs,
  freshMs: 150_000,
};

/** The defaults with the caller's changes. @throws `RangeError` for a limit that cannot work. */
export function mailboxLimits(changes: Partial<MailboxLimits> = {}): MailboxLimits {
  const limits = checked({ ...defaultMailboxLimits, ...changes });
  if (limits.ttlMs > maxMailTtlMs) throw new RangeError(`ttlMs must be at most ${maxMailTtlMs}, not ${limits.ttlMs}`);
  return limits;
}

/** The bounds of what one relay does with mailboxes that it shares with others. */
export interface SharedStoreLimits {
  /**
   * What others added to a mailbox is known after so long at most: so much more than its bounds may get into it. Its record is
   * read anew likewise.
   */
  readonly syncMs: Millis;
  /** Before mail is refused for want of room the mailbox is compared with the engine, unless that was done so lately. */
  readonly compareMs: Millis;
  /** The last contact in the record is so old at most: no write for each of an owner's refreshes. */
  readonly contactStepMs: Millis;
  /** A mailbox whose mail is handed over is followed until nothing was asked of it for so long: two and a half refreshes. */
  readonly followMs: Millis;
  /** A run that asked so long ago takes no mailbox over: it may be gone, and the one that has it newer. */
  readonly takeOverMs: Millis;
  /** Shortly after the following began something may have been missed, as other servers hear of it later. */
  readonly settleMs: Millis;
  /** What is known of a mailbox is forgotten when it was not used for so long, or when more are known than this. */
  readonly forgetMs: Millis;
  readonly maxKnownMailboxes: number;
  /** Bytes of mail kept for one owner, and for all, between the engine's telling and the handing over. */
  readonly maxTailBytes: number;
  /** What was acknowledged is taken out of the engine after this, or when it is so many mails: together, as each by itself costs more. */
  readonly removeAfterMs: Millis;
  readonly removeAtOnce: number;
  /** Mails that the engine is being told to take away: beyond, acknowledgements wait. */
  readonly maxRemoving: number;
  /** A question that the engine did not answer is asked again after this, doubling, with half of it at random, */
  readonly minRetryMs: Millis;
  /** up to this, */
  readonly maxRetryMs: Millis;
  /** for so long: the engine may choose a new leader, which takes 5 to 8 s, and a sender waits 10 s for a relay's answer. */
  readonly giveUpMs: Millis;
}

export const defaultSharedStoreLimits: SharedStoreLimits = {
  syncMs: 10_000,
  compareMs: 1_000,
  contactStepMs: 10 * 60_000,
  followMs: 150_000,
  takeOverMs: 2_000,
  settleMs: 500,
  forgetMs: 10 * 60_000,
  maxKnownMailboxes: 65_536,
  maxTailBytes: 2 * mebibyte,
  removeAfterMs: 20,
  removeAtOnce: 512,
  maxRemoving: 4_096,
  minRetryMs: 50,
  maxRetryMs: 1_000,
  giveUpMs: 9_000,
};

/** How much of something may be had at once, and in a second ever after. */
export interface Rate {
  readonly burst: number;
  readonly perSecond: number;
}

/** What one sender, or several together, may pass along. */
export interface SenderRate {
  readonly messages: Rate;
  /** Of envelopes. */
  readonly bytes: Rate;
}

/** The bounds of a relay beside those of its mailboxes. */
export interface RelayServerLimits {
  /** Mail handed to an owner that is connected waits so long for its acknowledgement before it is written down. */
  readonly acknowledgeMs: Millis;
  /** Bytes of envelopes that wait so, over all owners: they are in memory alone. Beyond, mail is written down at once. */
  readonly maxHeldBytes: number;

  /**
   * Mails handed to one owner and not acknowledged, and bytes of those not taken in: more than one busy sender has under way
   * to it (8 MiB), and less than a node keeps for one peer. What is more is written down and waits in its mailbox.
   */
  readonly maxPushMessages: number;
  readonly maxPushBytes: number;
  /** Bytes of mail on their way to owners, over all of them. */
  readonly maxPushBytesTotal: number;
  /** Bytes that are read for one owner before others have a turn. */
  readonly pushTurnBytes: number;
  /** A mail that its owner's node did not take in for so long was missed. */
  readonly pushMs: Millis;
  /**
   * What was missed is handed over again after the first, and each time after twice as long, up to the second: from then on
   * an owner that is alive has registered again, and nothing is tried before it does.
   */
  readonly minPushRetryMs: Millis;
  readonly maxPushRetryMs: Millis;

  /** A sender that is registered here. */
  readonly registeredSender: SenderRate;
  /** One that is not, which need not be a person: anybody can make up senders. */
  readonly stranger: SenderRate;
  /** All of those together. */
  readonly strangers: SenderRate;
  /** Senders whose rates are remembered; the least recently seen leaves. */
  readonly maxSenders: number;
  /** Questions whether a sender is registered at another relay that shares the mailboxes. What was answered is believed for so long. */
  readonly senderLookUps: Rate;
  readonly knownSenderMs: Millis;
  /** New mailboxes. */
  readonly newMailboxes: Rate;

  /** How often what is too old is looked for. */
  readonly expireEveryMs: Millis;
}

export const defaultRelayServerLimits: RelayServerLimits = {
  acknowledgeMs: 500,
  maxHeldBytes: 64 * mebibyte,
  maxPushMessages: 4_096,
  maxPushBytes: 12 * mebibyte,
  maxPushBytesTotal: 128 * mebibyte,
  pushTurnBytes: 512 * 1024,
  pushMs: 15_000,
  minPushRetryMs: 1_000,
  maxPushRetryMs: 60_000,
  registeredSender: {
    messages: { burst: 200_000, perSecond: 100_000 },
    bytes: { burst: 256 * mebibyte, perSecond: 128 * mebibyte },
  },
  stranger: {
    messages: { burst: 20_000, perSecond: 10_000 },
    bytes: { burst: 64 * mebibyte, perSecond: 32 * mebibyte },
  },
  strangers: {
    messages: { burst: 100_000, perSecond: 50_000 },
    bytes: { burst: 256 * mebibyte, perSecond: 128 * mebibyte },
  },
  maxSenders: 65_536,
  senderLookUps: { burst: 1_000, perSecond: 100 },
  knownSenderMs: 10 * 60_000,
  newMailboxes: { burst: 1_000, perSecond: 20 },
  expireEveryMs: 60_000,
};

/** The defaults with the caller's changes. @throws `RangeError` for a limit that cannot work. */
export function relayServerLimits(changes: Partial<RelayServerLimits> = {}): RelayServerLimits {
  return checked({ ...defaultRelayServerLimits, ...changes });
}

function checked<Limits extends object>(limits: Limits): Limits {
  for (const [name, value] of Object.entries(limits)) {
    if (typeof value === "number" && !(value > 0)) throw new RangeError(`${name} must be above 0, not ${value}`);
  }
  return limits;
}
