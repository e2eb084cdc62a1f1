/**
 * The seam between a relay and the place where its mailboxes are: in memory, in a file, or in a cluster that several relays
 * share. A store decides what is taken in, numbers it and keeps it; the relay hands it over and answers its senders.
 *
 * Methods may answer at once or later, and calls for one mailbox take effect in the order they were made. What a store cannot
 * do at the moment it rejects with a `StoreError`; the relay then refuses the mail and goes on. A store proves itself with
 * the suite in `@egtp/relay/conformance`.
 */
import type { Millis, PeerId } from "@egtp/wire";
import type { MailboxLimits } from "./limits.ts";
import type { Refusal } from "./protocol.ts";

export type MaybePromise<Value> = Value | Promise<Value>;

/** A mailbox as it is now. */
export interface MailboxState {
  /** Random, made with the mailbox. Borrowed. */
  readonly tag: Uint8Array;
  /** Whether new mail is taken. */
  readonly isOpen: boolean;
  /** Mail that waits: not acknowledged yet. */
  readonly messages: number;
  readonly bytes: number;
  /** Of the oldest one that waits, or the next to be given. */
  readonly firstNumber: number;
}

/** One start of an owner's client. */
export interface OwnerRun {
  /** 8 bytes in hexadecimal. */
  readonly id: string;
  /** Said once by each: it takes the mailbox over from every other one. */
  readonly isFirst: boolean;
}

export type Registering =
  | { readonly state: "active"; readonly mailbox: MailboxState; readonly replaced: boolean }
  /** A newer run with the same key is live. */
  | { readonly state: "superseded" }
  /** There is no room for another mailbox. */
  | { readonly state: "full" };

/** An envelope to be kept. */
export interface Deposit {
  readonly sender: PeerId;
  /** It is not registered here, so it may have been made up for this mail. */
  readonly isStranger: boolean;
  /** 16 bytes to be filled with the ID of the mail, then the envelope. Given over: it is neither read nor changed any more. */
  readonly body: Uint8Array;
}

export type Deposited =
  /** It survives whatever the store survives. */
  | { readonly state: "stored"; readonly number: number; readonly until: Millis }
  /** It is in memory until {@link MailboxStore.keep} is called. */
  | { readonly state: "held"; readonly number: number }
  | { readonly state: "refused"; readonly refusal: Refusal };

/** A mail that waits. */
export interface StoredMail {
  readonly number: number;
  /** Mail ID 16, then the envelope. Borrowed: not to be changed. */
  readonly body: Uint8Array;
}

/** How much is wanted at once. At least one mail is given if there is any. */
export interface CollectRoom {
  readonly maxMessages: number;
  /** Bytes of envelopes. */
  readonly maxBytes: number;
}

/** What became of the numbers in an acknowledgement. */
export interface Acknowledged {
  readonly acknowledged: number;
  /** Of another tag, or never given out. */
  readonly unknown: number;
}

/** Counts since the store was opened; the last group is of now. At any time these hold:
 *
 *     taken = passed + stored + withdrawn + held
 *     found + stored = delivered + expired + dropped + elsewhere + waiting
 *
 * Of a store that several relays share they are of what this one knows.
 */
export interface MailboxCounts {
  /** Mail taken in. */
  readonly taken: number;
  /** Acknowledged before it was written. */
  readonly passed: number;
  /** Written, or for a store in memory put away. */
  readonly stored: number;
  /** Taken back because it could not be written, or its mailbox was given up before. */
  readonly withdrawn: number;
  /** There when the store was opened, or stored by another relay. */
  readonly found: number;
  /** Stored, and acknowledged by its owner. */
  readonly delivered: number;
  /** Its time, or that of its mailbox, was over. */
  readonly expired: number;
  /** Lost by damage. */
  readonly dropped: number;
  /** Of a shared store: taken out by another relay, or not looked at here any more. */
  readonly elsewhere: number;

  readonly mailboxes: number;
  readonly held: number;
  readonly waiting: number;
  /** Bytes of envelopes that wait or are held. */
  readonly bytes: number;
}

export interface MailboxStore {
  /** Its bounds, which the relay publishes. */
  readonly limits: MailboxLimits;
  /** The numbers of one mailbox have gaps, as those of a store that counts over all mailboxes. Without it they have none. */
  readonly hasGaps?: boolean;

  /** Makes or opens a mailbox, or notes that its owner is there. It survives whatever the store survives. */
  register(owner: PeerId, run: OwnerRun, now: Millis): MaybePromise<Registering>;

  /** Takes no new mail for the owner. What waits stays; an empty mailbox goes. */
  unregister(owner: PeerId, now: Millis): MaybePromise<void>;

  find(owner: PeerId): MaybePromise<MailboxState | undefined>;

  /** Of a store that several relays share: whether a peer is registered, at whichever of them. Asks once, and remembers nothing. */
  isRegistered?(peer: PeerId): Promise<boolean>;

  /**
   * Takes mail in, behind all that waits.
   *
   * @param mayHold - The owner is about to be handed it: writing it down can wait for {@link keep}. A store that cannot hold
   *   stores it.
   */
  deposit(owner: PeerId, mail: Deposit, mayHold: boolean, now: Millis): MaybePromise<Deposited>;

  /**
   * Stores a held mail.
   *
   * @returns Until when; `undefined` when it is not there any more. A mail that was acknowledged meanwhile is gone too. It rejects,
   *   or throws, when the mail cannot be stored: then it is withdrawn.
   */
  keep(owner: PeerId, number: number): MaybePromise<Millis | undefined>;

  /** Mail with numbers above `after`, oldest first, held mail included. It marks nothing. */
  collect(owner: PeerId, after: number, room: CollectRoom, now: Millis): MaybePromise<readonly StoredMail[]>;

  /** @param ranges - Ascending pairs [from, to) with gaps between. */
  acknowledge(owner: PeerId, tag: Uint8Array, ranges: readonly number[]): MaybePromise<Acknowledged>;

  /** Gives up what is too old. Called now and then. */
  expire(now: Millis): MaybePromise<void>;

  /** Told of every owner for whom mail is there that was stored, not held, by whichever relay. One listener at a time. */
  watch(onMail: (owner: PeerId) => void): void;

  counts(): MailboxCounts;

  /** Waits for what was written and gives the place free. Held mail is forgotten. Calling it twice does no harm. */
  close(): Promise<void>;
}
