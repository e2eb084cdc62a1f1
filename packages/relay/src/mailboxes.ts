/**
 * The mailboxes of one relay: who is registered, what waits for whom, what else is taken in, and the count of everything. A
 * core without I/O: it is handed the time and the random source, and holds no envelopes; a store around it keeps those.
 *
 * A mail is taken in as *held*: numbered, and in memory at most. `keep` makes it stored. Either may be acknowledged. Every
 * mail ends in exactly one count, see {@link MailboxCounts}.
 *
 * Bounds: `MailboxLimits`. Nothing is dropped to make room.
 *
 * @see docs/spec.md, "Relay"
 */
import { equalBytes, type Millis, type PeerId } from "@egtp/wire";
import { type MailboxLimits, mailboxTagBytes, mailIdBytes } from "./limits.ts";
import { MailIndex } from "./mail-index.ts";
import type { Acknowledged, Deposit, MailboxCounts, MailboxState, OwnerRun } from "./mailbox-store.ts";
import { type OwnerRuns, registerRun } from "./owner-runs.ts";
import type { Refusal } from "./protocol.ts";

/** What one sender has in one mailbox. */
interface Share {
  readonly sender: PeerId;
  readonly isStranger: boolean;
  readonly slot: number;
  messages: number;
  bytes: number;
}

/** @typeParam Kept - What the store around keeps with it. */
export class Mailbox<Kept> implements MailboxState, OwnerRuns {
  readonly owner: PeerId;
  readonly tag: Uint8Array;
  isOpen = true;
  /** The number that the next mail gets. */
  next = 1;
  /** When its owner was last heard of. */
  contactAt: Millis;
  bytes = 0;
  readonly index = new MailIndex();
  readonly kept: Kept;

  run: string | undefined;
  superseded: readonly string[] = noRuns;

  /** By sender, strangers apart. Only those with mail here, so bounded by it; absent when there are none. */
  shares: Map<string, Share> | undefined;
  /** The same by slot, as the index names them. */
  slots: (Share | undefined)[] | undefined;
  strangerMessages = 0;
  strangerBytes = 0;

  constructor(owner: PeerId, tag: Uint8Array, contactAt: Millis, kept: Kept) {
    this.owner = owner;
    this.tag = tag;
    this.contactAt = contactAt;
    this.kept = kept;
  }

  get messages(): number {
    return this.index.length;
  }

  get firstNumber(): number {
    return this.index.length === 0 ? this.next : this.index.number(0);
  }
}

const noRuns: readonly string[] = [];

/** The store around, and what it must do in consequence. */
export interface MailboxesHost<Kept> {
  /** What it keeps with a new mailbox. */
  readonly keptWithNew: () => Kept;
  /** A mail is not there any more. */
  readonly mailGone: (mailbox: Mailbox<Kept>, number: number) => void;
  /** A mailbox is not there any more. Its mails went before it. */
  readonly mailboxGone: (mailbox: Mailbox<Kept>) => void;
}

export type Registered<Kept> =
  | { readonly state: "active"; readonly mailbox: Mailbox<Kept>; readonly replaced: boolean }
  | { readonly state: "superseded" | "full" };

export interface Admitted<Kept> {
  readonly mailbox: Mailbox<Kept>;
  readonly number: number;
  readonly until: Millis;
}

type Ending = "acknowledged" | "expired" | "dropped" | "withdrawn";

export class Mailboxes<Kept> {
  readonly limits: MailboxLimits;
  readonly #random: (length: number) => Uint8Array;
  readonly #host: MailboxesHost<Kept>;
  /** At most `maxMailboxes`. */
  readonly #mailboxes = new Map<PeerId, Mailbox<Kept>>();
  readonly #counts = {
    taken: 0,
    passed: 0,
    stored: 0,
    withdrawn: 0,
    found: 0,
    delivered: 0,
    expired: 0,
    dropped: 0,
    held: 0,
    waiting: 0,
    bytes: 0,
  };

  constructor(limits: MailboxLimits, random: (length: number) => Uint8Array, host: MailboxesHost<Kept>) {
    this.limits = limits;
    this.#random = random;
    this.#host = host;
  }

  counts(): MailboxCounts {
    return { ...this.#counts, elsewhere: 0, mailboxes: this.#mailboxes.size };
  }

  find(owner: PeerId): Mailbox<Kept> | undefined {
    return this.#mailboxes.get(owner);
  }

  // ---- Registrations

  register(owner: PeerId, run: OwnerRun, now: Millis): Registered<Kept> {
    let mailbox = this.#mailboxes.get(owner);
    if (mailbox === undefined) {
      if (this.#mailboxes.size >= this.limits.maxMailboxes) return { state: "full" };
      mailbox = new Mailbox(owner, this.#random(mailboxTagBytes).slice(), now, this.#host.keptWithNew());
      this.#mailboxes.set(owner, mailbox);
    }
    const isLive = now - mailbox.contactAt < this.limits.freshMs;
    const runs = registerRun(mailbox, run, isLive);
    if (runs === undefined) return { state: "superseded" };
    const replaced = isLive && mailbox.run !== undefined && mailbox.run !== run.id;
    mailbox.run = runs.run;
    mailbox.superseded = runs.superseded;
    mailbox.isOpen = true;
    mailbox.contactAt = now;
    return { state: "active", mailbox, replaced };
  }

  unregister(owner: PeerId): Mailbox<Kept> | undefined {
    const mailbox = this.#mailboxes.get(owner);
    if (mailbox === undefined) return undefined;
    mailbox.isOpen = false;
    mailbox.run = undefined;
    this.#forgetClosed(mailbox);
    return mailbox;
  }

  /** Puts back a mailbox that was there before. @throws `RangeError` when it is there. */
  restore(owner: PeerId, tag: Uint8Array, contactAt: Millis): Mailbox<Kept> {
    if (this.#mailboxes.has(owner)) throw new RangeError("A mailbox that is there already");
    const mailbox = new Mailbox(owner, tag, contactAt, this.#host.keptWithNew());
    this.#mailboxes.set(owner, mailbox);
    return mailbox;
  }

  /** Gives up a mailbox with all that is in it. */
  #giveUp(mailbox: Mailbox<Kept>): void {
    this.#take(mailbox, 0, mailbox.messages, "expired");
    mailbox.isOpen = false;
    this.#forgetClosed(mailbox);
  }

  #forgetClosed(mailbox: Mailbox<Kept>): void {
    if (mailbox.isOpen || mailbox.messages > 0 || this.#mailboxes.get(mailbox.owner) !== mailbox) return;
    this.#mailboxes.delete(mailbox.owner);
    this.#host.mailboxGone(mailbox);
  }

  // ---- Mail

  /** Gives a mail its number and its place, as held. */
  admit(owner: PeerId, { sender, isStranger, body }: Deposit, now: Millis): Admitted<Kept> | Refusal {
    const { limits } = this;
    const mailbox = this.#mailboxes.get(owner);
    if (mailbox === undefined || !mailbox.isOpen) return "unregistered";
    const bytes = body.length - mailIdBytes;
    if (bytes > limits.maxEnvelopeBytes) return "too-large";
    if (mailbox.messages >= limits.maxMessages || mailbox.bytes + bytes > limits.maxBytes) {
      this.#expireMail(mailbox, now);
      if (mailbox.messages >= limits.maxMessages || mailbox.bytes + bytes > limits.maxBytes) return "mailbox-full";
    }
    const { held, waiting, bytes: totalBytes } = this.#counts;
    if (held + waiting >= limits.maxTotalMessages || totalBytes + bytes > limits.maxTotalBytes) return "mailbox-full";
    const share = mailbox.shares?.get(shareKey(sender, isStranger));
    if ((share?.messages ?? 0) >= limits.maxSenderMessages || (share?.bytes ?? 0) + bytes > limits.maxSenderBytes) {
      return "sender-quota";
    }
    if (
      isStranger &&
      (mailbox.strangerMessages >= limits.maxStrangerMessages ||
        mailbox.strangerBytes + bytes > limits.maxStrangerBytes)
    ) {
      return "sender-quota";
    }
    const number = mailbox.next;
    const until = this.#place(mailbox, number, bytes, now + limits.ttlMs, sender, isStranger);
    this.#counts.taken += 1;
    return { mailbox, number, until };
  }

  /** Puts back a mail that was there before, as stored; numbers of a mailbox ascend. */
  restoreMail(
    mailbox: Mailbox<Kept>,
    mail: { number: number; bytes: number; until: Millis; sender: PeerId; isStranger: boolean },
  ): void {
    this.#place(mailbox, mail.number, mail.bytes, mail.until, mail.sender, mail.isStranger);
    mailbox.index.setKept(mailbox.messages - 1);
    this.#counts.found += 1;
    this.#counts.held -= 1;
    this.#counts.waiting += 1;
  }

  /** @returns Until when it is kept: no mail goes before one that is older. */
  #place(
    mailbox: Mailbox<Kept>,
    number: number,
    bytes: number,
    until: Millis,
    sender: PeerId,
    isStranger: boolean,
  ): Millis {
    const { index } = mailbox;
    const last = index.length - 1;
    index.push(
      number,
      bytes,
      last < 0 ? until : Math.max(until, index.until(last)),
      slotOf(mailbox, sender, isStranger),
    );
    const share = mailbox.slots![index.slot(last + 1)]!;
    share.messages += 1;
    share.bytes += bytes;
    if (isStranger) {
      mailbox.strangerMessages += 1;
      mailbox.strangerBytes += bytes;
    }
    mailbox.next = number + 1;
    mailbox.bytes += bytes;
    this.#counts.held += 1;
    this.#counts.bytes += bytes;
    return index.until(last + 1);
  }

  /** A held mail is stored now. @returns Until when; `undefined` when it is not there. */
  keep(mailbox: Mailbox<Kept>, number: number): Millis | undefined {
    const i = mailbox.index.find(number);
    if (i < 0) return undefined;
    if (mailbox.index.isHeld(i)) {
      mailbox.index.setKept(i);
      this.#counts.held -= 1;
      this.#counts.waiting += 1;
      this.#counts.stored += 1;
    }
    return mailbox.index.until(i);
  }

  /** A held mail could not be stored. */
  withdraw(mailbox: Mailbox<Kept>, number: number): void {
    this.#end(mailbox, number, "withdrawn");
  }

  /** A stored mail turned out to be lost. */
  drop(mailbox: Mailbox<Kept>, number: number): void {
    this.#end(mailbox, number, "dropped");
  }

  /** Of mail that is not even known any more. */
  countDropped(mails: number): void {
    this.#counts.found += mails;
    this.#counts.dropped += mails;
  }

  acknowledge(owner: PeerId, tag: Uint8Array, ranges: readonly number[]): Acknowledged {
    const mailbox = this.#mailboxes.get(owner);
    const isOurs = mailbox !== undefined && equalBytes(mailbox.tag, tag);
    let acknowledged = 0;
    let unknown = 0;
    for (let r = 0; r < ranges.length; r += 2) {
      const from = ranges[r]!;
      const to = ranges[r + 1]!;
      if (!isOurs) {
        unknown += to - from;
        continue;
      }
      const first = Math.max(1, from);
      const end = Math.min(mailbox.next, to);
      unknown += to - from - Math.max(0, end - first);
      const i = mailbox.index.firstFrom(first);
      const j = mailbox.index.firstFrom(Math.max(first, end));
      acknowledged += j - i;
      this.#take(mailbox, i, j, "acknowledged");
    }
    if (isOurs) this.#forgetClosed(mailbox);
    return { acknowledged, unknown };
  }

  /** Numbers above `after`, oldest first, within bounds; one at least if there is any. Expired mail goes before. */
  collect(
    mailbox: Mailbox<Kept>,
    after: number,
    room: { maxMessages: number; maxBytes: number },
    now: Millis,
  ): number[] {
    this.#expireMail(mailbox, now);
    const { index } = mailbox;
    const numbers: number[] = [];
    let bytes = 0;
    for (let i = index.firstFrom(after + 1); i < index.length && numbers.length < room.maxMessages; i++) {
      bytes += index.bytes(i);
      if (bytes > room.maxBytes && numbers.length > 0) break;
      numbers.push(index.number(i));
    }
    return numbers;
  }

  /** Gives up mail whose time is over, and mailboxes whose owners were not heard of for too long. */
  expire(now: Millis): void {
    for (const mailbox of this.#mailboxes.values()) {
      if (now - mailbox.contactAt >= this.limits.registrationMs) this.#giveUp(mailbox);
      else if (mailbox.messages > 0) this.#expireMail(mailbox, now);
      else {
        // Memory for what is not there.
        mailbox.shares = undefined;
        mailbox.slots = undefined;
      }
    }
  }

  #expireMail(mailbox: Mailbox<Kept>, now: Millis): void {
    const { index } = mailbox;
    let over = 0;
    while (over < index.length && index.until(over) <= now) over += 1;
    if (over === 0) return;
    this.#take(mailbox, 0, over, "expired");
    this.#forgetClosed(mailbox);
  }

  #end(mailbox: Mailbox<Kept>, number: number, ending: Ending): void {
    const i = mailbox.index.find(number);
    if (i < 0) return;
    this.#take(mailbox, i, i + 1, ending);
    this.#forgetClosed(mailbox);
  }

  /** Takes mails [from, to) of the index away and counts them. */
  #take(mailbox: Mailbox<Kept>, from: number, to: number, ending: Ending): void {
    const { index } = mailbox;
    const counts = this.#counts;
    for (let i = from; i < to; i++) {
      const bytes = index.bytes(i);
      leaveShare(mailbox, index.slot(i), bytes);
      mailbox.bytes -= bytes;
      counts.bytes -= bytes;
      if (index.isHeld(i)) {
        counts.held -= 1;
        if (ending === "acknowledged") counts.passed += 1;
        else counts.withdrawn += 1;
      } else {
        counts.waiting -= 1;
        if (ending === "acknowledged") counts.delivered += 1;
        else if (ending === "expired") counts.expired += 1;
        else counts.dropped += 1;
      }
      this.#host.mailGone(mailbox, index.number(i));
    }
    index.remove(from, to);
  }
}

function shareKey(sender: PeerId, isStranger: boolean): string {
  return isStranger ? `?${sender}` : sender;
}

function slotOf(mailbox: Mailbox<unknown>, sender: PeerId, isStranger: boolean): number {
  const key = shareKey(sender, isStranger);
  mailbox.shares ??= new Map();
  mailbox.slots ??= [];
  const { shares, slots } = mailbox;
  let share = shares.get(key);
  if (share === undefined) {
    const free = slots.indexOf(undefined);
    const slot = free < 0 ? slots.length : free;
    share = { sender, isStranger, slot, messages: 0, bytes: 0 };
    shares.set(key, share);
    slots[slot] = share;
  }
  return share.slot;
}

function leaveShare(mailbox: Mailbox<unknown>, slot: number, bytes: number): void {
  const slots = mailbox.slots!;
  const share = slots[slot]!;
  share.messages -= 1;
  share.bytes -= bytes;
  if (share.isStranger) {
    mailbox.strangerMessages -= 1;
    mailbox.strangerBytes -= bytes;
  }
  if (share.messages > 0) return;
  mailbox.shares!.delete(shareKey(share.sender, share.isStranger));
  slots[slot] = undefined;
  while (slots.length > 0 && slots[slots.length - 1] === undefined) slots.pop();
}
