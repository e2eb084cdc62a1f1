/**
 * What one relay knows of a mailbox that it shares with others: its record, the mails that wait, and what of it is used up. The
 * engine has the truth; this is as old as it was last compared with that, and everything in it can be read again.
 *
 * Every mail that is known here is in exactly one count, see {@link MailboxCounts}.
 *
 * Bounds: `MailboxLimits` for the mails of one mailbox, and the store for all of them.
 */
import type { Millis, PeerId } from "@egtp/wire";
import type { MailboxLimits } from "./limits.ts";
import type { ListedMail, MailFacts } from "./mail-log.ts";
import type { MailTail } from "./mail-tail.ts";
import type { MailboxRecord } from "./mailbox-record.ts";
import type { MailboxCounts, MailboxState } from "./mailbox-store.ts";
import type { Refusal } from "./protocol.ts";

export type SharedCounts = { -readonly [Count in Exclude<keyof MailboxCounts, "mailboxes">]: number };

interface Share {
  messages: number;
  bytes: number;
}

/** Why a mail is known here no more. */
type Leaving = "delivered" | "expired" | "elsewhere";

export class SharedMailbox {
  readonly owner: PeerId;
  record: MailboxRecord | undefined;
  /** Of the record; `undefined`: there is none. */
  revision: number | undefined;
  /** When the owner was last heard of here. */
  heardAt: Millis | undefined;
  /** When the record was last read, and the mails compared: with what others added, and with all that is there. */
  loadedAt: Millis = -Infinity;
  syncedAt: Millis = -Infinity;
  comparedAt: Millis = -Infinity;
  usedAt: Millis = -Infinity;
  /** All mails up to this number that were there when the mails were last compared are known. */
  syncedTo = 0;
  tail: MailTail | undefined;
  /** The run that asked last to be registered here. */
  askedRun: string | undefined;
  /** Calls that change the record take turns. */
  turn: Promise<unknown> | undefined;
  /** Mails that are being added: in the shares, and not among the mails. */
  adding = 0;
  bytes = 0;

  readonly #counts: SharedCounts;
  readonly #mails = new Map<number, ListedMail>();
  /** Gone, though the engine still has them: to be taken out of it, and those of which it is asked that. */
  #leaving: number[] = [];
  readonly #left = new Set<number>();
  /** What the engine is being asked to show: it may show what it has taken out meanwhile. */
  #reads = 0;
  #leftMeanwhile: number[] = [];
  /** By sender, strangers apart. */
  readonly #shares = new Map<string, Share>();
  readonly #strangers: Share = { messages: 0, bytes: 0 };
  /** What left while mails were being added: one of them may have, before the engine answered for it. */
  readonly #gone = new Set<number>();
  #highest = 0;
  /** Of those that wait; 0 when there are none. */
  #newest = 0;
  #lastUntil: Millis = 0;
  /** No mail is over before. */
  #soonestUntil: Millis = Infinity;

  constructor(owner: PeerId, counts: SharedCounts) {
    this.owner = owner;
    this.#counts = counts;
  }

  /** The highest number known to have been given. */
  get highest(): number {
    return this.#highest;
  }

  get messages(): number {
    return this.#mails.size;
  }

  get isOpen(): boolean {
    return this.record?.isOpen === true;
  }

  get state(): MailboxState | undefined {
    const { record } = this;
    if (record === undefined || (!record.isOpen && this.#mails.size === 0)) return undefined;
    let firstNumber = this.#highest + 1;
    let bytes = 0;
    for (const mail of this.#mails.values()) {
      firstNumber = Math.min(firstNumber, mail.number);
      bytes += mail.bytes;
    }
    return { tag: record.tag, isOpen: record.isOpen, messages: this.#mails.size, bytes, firstNumber };
  }

  has(number: number): boolean {
    return this.#mails.has(number);
  }

  /** Mails with these numbers or above. */
  from(number: number): readonly number[] {
    return [...this.#mails.keys()].filter((each) => each >= number);
  }

  /** Mails whose time is over. */
  over(now: Millis): readonly number[] {
    if (now < this.#soonestUntil) return [];
    this.#soonestUntil = Infinity;
    const over: number[] = [];
    for (const { number, until } of this.#mails.values()) {
      if (until <= now) over.push(number);
      else this.#soonestUntil = Math.min(this.#soonestUntil, until);
    }
    return over;
  }

  /** Until when a mail is kept that is added now: no mail goes before one that is older. */
  until(now: Millis, ttlMs: Millis): Millis {
    this.#lastUntil = Math.max(this.#lastUntil, now + ttlMs);
    return this.#lastUntil;
  }

  /** Why a mail has no room. */
  refusal({ sender, isStranger }: MailFacts | Sender, bytes: number, limits: MailboxLimits): Refusal | undefined {
    if (this.#mails.size + this.adding >= limits.maxMessages || this.bytes + bytes > limits.maxBytes) {
      return "mailbox-full";
    }
    const share = this.#shares.get(shareKey(sender, isStranger));
    if ((share?.messages ?? 0) >= limits.maxSenderMessages || (share?.bytes ?? 0) + bytes > limits.maxSenderBytes) {
      return "sender-quota";
    }
    const { messages, bytes: strangerBytes } = this.#strangers;
    if (isStranger && (messages >= limits.maxStrangerMessages || strangerBytes + bytes > limits.maxStrangerBytes)) {
      return "sender-quota";
    }
    return undefined;
  }

  // ---- Mails that are added here

  add(mail: MailFacts): void {
    this.adding += 1;
    this.#counts.taken += 1;
    this.#counts.held += 1;
    this.#occupy(mail, 1);
  }

  /** It is stored. It may be known already, as others tell of it too, or be gone. */
  added(mail: ListedMail): void {
    this.#endAdding(mail);
    const { number } = mail;
    this.#highest = Math.max(this.#highest, number);
    this.#counts.stored += 1;
    // Counted as found, when the engine told of it before it answered.
    if (this.#mails.has(number) || this.#gone.delete(number)) this.#counts.found -= 1;
    else this.#place(mail);
    if (this.adding === 0) this.#gone.clear();
  }

  /** It could not be stored, or nobody knows. */
  notAdded(mail: MailFacts): void {
    this.#endAdding(mail);
    this.#counts.withdrawn += 1;
    if (this.adding === 0) this.#gone.clear();
  }

  #endAdding(mail: MailFacts): void {
    this.adding -= 1;
    this.#counts.held -= 1;
    this.#occupy(mail, -1);
  }

  // ---- Mails that the engine shows

  /** @returns Whether it waits: it is not on its way out. */
  know(mail: ListedMail): boolean {
    const { number, until } = mail;
    this.#highest = Math.max(this.#highest, number);
    this.#lastUntil = Math.max(this.#lastUntil, until);
    if (this.#left.has(number)) return false;
    if (!this.#mails.has(number)) {
      this.#place(mail);
      this.#counts.found += 1;
    }
    return true;
  }

  #place({ number, sender, isStranger, bytes, until }: ListedMail): void {
    const mail = { number, sender, isStranger, bytes, until };
    this.#mails.set(number, mail);
    this.#newest = Math.max(this.#newest, number);
    this.#soonestUntil = Math.min(this.#soonestUntil, until);
    this.#occupy(mail, 1);
    this.#counts.waiting += 1;
  }

  /**
   * It is to be taken out of the engine, unless others saw to that.
   *
   * @returns Whether it was known.
   */
  drop(number: number, why: Leaving): boolean {
    const mail = this.#mails.get(number);
    if (mail === undefined) return false;
    this.#mails.delete(number);
    if (number === this.#newest) this.#newest = this.from(0).reduce((newest, each) => Math.max(newest, each), 0);
    if (this.adding > 0) this.#gone.add(number);
    this.#occupy(mail, -1);
    this.#counts.waiting -= 1;
    this.#counts[why] += 1;
    if (why !== "elsewhere") {
      this.#leaving.push(number);
      this.#left.add(number);
    }
    return true;
  }

  /**
   * What the engine is to be asked to take out now, in this order. What is newer than all that waits stays there until that is gone or
   * newer mail comes: nats-server 2.9 loses sight of the mails of a subject when the newest is taken out before the others.
   */
  takeLeaving(): readonly number[] {
    const newest = this.#mails.size === 0 ? Infinity : this.#newest;
    const now = this.#leaving.filter((number) => number < newest);
    this.#leaving = this.#leaving.filter((number) => number > newest);
    return now.sort((a, b) => a - b);
  }

  /** The engine has taken it out, or could not: then it shows it again. */
  left(number: number): void {
    if (this.#reads > 0) this.#leftMeanwhile.push(number);
    else this.#left.delete(number);
  }

  /** Asks the engine to show mails, and learns of them. */
  async reading<Result>(read: () => Promise<Result>): Promise<Result> {
    this.#reads += 1;
    try {
      return await read();
    } finally {
      this.#reads -= 1;
      if (this.#reads === 0) for (const number of this.#leftMeanwhile.splice(0)) this.#left.delete(number);
    }
  }

  #occupy({ sender, isStranger, bytes }: MailFacts, sign: 1 | -1): void {
    const key = shareKey(sender, isStranger);
    const share = this.#shares.get(key) ?? { messages: 0, bytes: 0 };
    for (const each of isStranger ? [share, this.#strangers] : [share]) {
      each.messages += sign;
      each.bytes += sign * bytes;
    }
    if (share.messages > 0) this.#shares.set(key, share);
    else this.#shares.delete(key);
    this.bytes += sign * bytes;
    this.#counts.bytes += sign * bytes;
  }
}

interface Sender {
  readonly sender: PeerId;
  readonly isStranger: boolean;
}

function shareKey(sender: PeerId, isStranger: boolean): string {
  return isStranger ? `?${sender}` : sender;
}
