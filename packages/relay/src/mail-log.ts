/**
 * The seam between mailboxes that several relays share and the engine that keeps them: a log of mails, numbered by the engine
 * and kept by a quorum, and a small record for each mailbox, replaced by compare-and-set.
 *
 * Every method rejects when the engine did not answer, or not in time. Then nobody knows whether it was done; each can be asked
 * again: an append has a name, a save names what it replaces, a removal is of numbers.
 */
import type { Millis, PeerId } from "@egtp/wire";

/** What is known of a mail beside its envelope. */
export interface MailFacts {
  readonly sender: PeerId;
  readonly isStranger: boolean;
  /** Of the envelope. */
  readonly bytes: number;
  readonly until: Millis;
}

export interface ListedMail extends MailFacts {
  /** Ascends over all mailboxes of the engine, so those of one have gaps. Never given twice. */
  readonly number: number;
}

export interface LoggedMail extends ListedMail {
  /** Room for the mail ID, 16 bytes, then the envelope. Given over. */
  readonly body: Uint8Array;
}

/** A mail that was just stored. */
export interface FollowedMail extends LoggedMail {
  /** Of the newest mail that was in the same mailbox before it; 0 for none. */
  readonly previous: number;
}

/** A mailbox's record, and what to name when it is replaced. */
export interface LoggedRecord {
  readonly value: Uint8Array;
  readonly revision: number;
}

export interface MailLog {
  /**
   * Adds a mail behind all others. Adding it again under the same ID, within two minutes, gives the same number.
   *
   * @returns Its number once a quorum has it; `full` when the mailbox holds as many as the engine allows.
   */
  append(owner: PeerId, mail: MailFacts, body: Uint8Array, id: string): Promise<number | "full">;

  /** The mail with this number or the first above it. Sees all that was stored before it was asked. */
  next(owner: PeerId, number: number): Promise<LoggedMail | undefined>;

  /** Mails with this number or above, without a hole, within bounds. It may lag behind {@link next} and give fewer. */
  read(owner: PeerId, number: number, room: ReadRoom): Promise<readonly LoggedMail[]>;

  /** Of all mails with this number or above what is known of them. It may lag behind {@link next}. */
  list(owner: PeerId, number: number): Promise<readonly ListedMail[]>;

  /**
   * Takes mails away, in this order. One that is gone already is no failure. When a leader dies meanwhile, some of them may stay
   * though it resolves.
   */
  remove(owner: PeerId, numbers: readonly number[]): Promise<void>;

  /**
   * Tells of each mail of one owner that is stored from now on, in order, as far as the network brings it: a hole is seen by
   * what `previous` says of the next.
   *
   * @returns Ends it.
   */
  follow(owner: PeerId, onMail: (mail: FollowedMail) => void): Promise<() => void>;

  /** Told when something that is followed may have been missed. One listener at a time. */
  watchGaps(onGap: () => void): void;

  /** Mails of all mailboxes, and bytes of them. */
  totals(): Promise<{ readonly messages: number; readonly bytes: number }>;

  load(owner: PeerId): Promise<LoggedRecord | undefined>;

  /**
   * Writes a mailbox's record.
   *
   * @param revision - Of the one that it replaces; `undefined`: there is none.
   * @returns Its revision; `conflict` when there is another one by now; `full` when there is no room for another mailbox.
   */
  save(owner: PeerId, value: Uint8Array, revision: number | undefined): Promise<number | "conflict" | "full">;

  /** Takes a record away, unless it was replaced meanwhile. */
  forget(owner: PeerId, revision: number): Promise<void>;

  close(): Promise<void>;
}

/** How much is read at once. */
export interface ReadRoom {
  readonly maxMessages: number;
  /** Bytes of envelopes. */
  readonly maxBytes: number;
}
