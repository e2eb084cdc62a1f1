/**
 * Mailboxes that several relays share: each relay asks the same engine, by way of a {@link MailLog}, and keeps nothing of its
 * own that cannot be read again. What is said to be stored is kept by a quorum of the engine's servers.
 *
 * The number of a mail is the engine's: it ascends, and has gaps. Mail is never held in memory alone, for then it would have none.
 *
 * What is used up of a mailbox is counted by each relay for itself, and compared with the engine now and then. So the bounds of one
 * sender and those in bytes may be exceeded by what other relays take within `syncMs`; the engine itself bounds the mails of a
 * mailbox. Nothing is refused on old knowledge.
 *
 * Bounds: `SharedStoreLimits`, `MailboxLimits`.
 *
 * @see docs/design/relay-cluster.md
 */
import { StoreError } from "@egtp/session-store";
import { equalBytes, type Millis, type PeerId, toHex } from "@egtp/wire";
import {
  defaultSharedStoreLimits,
  type MailboxLimits,
  mailboxLimits,
  mailboxTagBytes,
  mailIdBytes,
  type SharedStoreLimits,
} from "./limits.ts";
import type { ListedMail, LoggedMail, MailFacts, MailLog, ReadRoom } from "./mail-log.ts";
import { MailTail } from "./mail-tail.ts";
import { decodeMailboxRecord, encodeMailboxRecord, type MailboxRecord } from "./mailbox-record.ts";
import type {
  Acknowledged,
  CollectRoom,
  Deposit,
  Deposited,
  MailboxCounts,
  MailboxState,
  MailboxStore,
  OwnerRun,
  Registering,
  StoredMail,
} from "./mailbox-store.ts";
import { type OwnerRuns, registerRun } from "./owner-runs.ts";
import { writeMailId } from "./protocol.ts";
import { type SharedCounts, SharedMailbox } from "./shared-mailbox.ts";

export interface SharedStoreOptions {
  readonly limits?: Partial<MailboxLimits>;
  readonly sharedLimits?: Partial<SharedStoreLimits>;
  /** What a simulation brings of its own. */
  readonly seams?: Partial<SharedStoreSeams>;
}

/** What the store needs of its surroundings. Default: the platform's. */
export interface SharedStoreSeams {
  readonly random: (length: number) => Uint8Array;
  readonly now: () => Millis;
  /** Runs a task later. @returns Cancels it. */
  readonly setTimer: (task: () => void, delayMs: Millis) => () => void;
}

const systemSeams: SharedStoreSeams = {
  random: (length) => crypto.getRandomValues(new Uint8Array(length)),
  now: Date.now,
  setTimer: (task, delayMs) => {
    const timer = setTimeout(task, delayMs);
    return () => clearTimeout(timer);
  },
};

export class SharedMailboxStore implements MailboxStore {
  readonly limits: MailboxLimits;
  readonly hasGaps = true;
  readonly #log: MailLog;
  readonly #shared: SharedStoreLimits;
  readonly #seams: SharedStoreSeams;
  /** This start of a relay, in the records that it writes and the names of what it adds. */
  readonly #writer: string;
  #added = 0;
  /** Those in use. Bounded by `maxKnownMailboxes`, but for those in which something is under way. */
  readonly #boxes = new Map<PeerId, SharedMailbox>();
  readonly #loading = new Map<PeerId, Promise<SharedMailbox>>();
  readonly #counts: SharedCounts = {
    taken: 0,
    passed: 0,
    stored: 0,
    withdrawn: 0,
    found: 0,
    delivered: 0,
    expired: 0,
    dropped: 0,
    elsewhere: 0,
    held: 0,
    waiting: 0,
    bytes: 0,
  };
  #totals = { messages: 0, bytes: 0, at: -Infinity };
  /** Mailboxes with mails to be taken out of the engine, and about how many those are. */
  readonly #leaving = new Set<SharedMailbox>();
  #leavingMails = 0;
  #isRemovalDue = false;
  readonly #removing = new Set<Promise<void>>();
  #removingMails = 0;
  readonly #pauses = new Set<() => void>();
  #isClosed = false;
  #closing: Promise<void> | undefined;
  #onMail: (owner: PeerId) => void = () => {};

  constructor(log: MailLog, { limits, sharedLimits, seams }: SharedStoreOptions = {}) {
    this.limits = mailboxLimits(limits);
    this.#log = log;
    this.#shared = { ...defaultSharedStoreLimits, ...sharedLimits };
    this.#seams = { ...systemSeams, ...seams };
    this.#writer = toHex(this.#seams.random(8));
    log.watchGaps(() => {
      for (const [owner, { tail }] of this.#boxes) {
        if (tail === undefined) continue;
        tail.gap();
        this.#onMail(owner);
      }
    });
  }

  // ---- Registrations

  register(owner: PeerId, run: OwnerRun, now: Millis): Promise<Registering> {
    const askedAt = this.#seams.now();
    this.#box(owner).askedRun = run.id;
    return this.#inTurn(owner, async (box) => {
      let replaced = false;
      for (;;) {
        await this.#load(box);
        const known = this.#isGivenUp(box, now) ? undefined : box.record;
        const isLive = known !== undefined && this.#isLive(box, known, now);
        const runs = registerRun(known ?? noRuns, run, isLive);
        // A newer one asked while the engine was silent.
        if (runs === undefined || box.askedRun !== run.id) return { state: "superseded" };
        const takesOver = known?.run !== undefined && known.run !== run.id;
        if (takesOver && this.#seams.now() - askedAt > this.#shared.takeOverMs) throw askedLongAgo();
        replaced ||= isLive && known?.run !== undefined && known.run !== run.id;
        const isOld = known !== undefined && now - known.contactAt >= this.#contactStepMs;
        if (known === undefined || !known.isOpen || runs !== known || isOld) {
          const tag = known?.tag ?? this.#seams.random(mailboxTagBytes).slice();
          const saved = await this.#save(box, { ...runsOf(runs), tag, isOpen: true, contactAt: now });
          if (saved === "full") return { state: "full" };
          if (saved === "conflict") continue;
        }
        box.heardAt = now;
        await this.#compare(box);
        // An owner that registers gets what nobody told of: that the mailbox was empty, and followed since, is no proof.
        box.tail?.gap();
        return { state: "active", mailbox: box.state!, replaced };
      }
    });
  }

  unregister(owner: PeerId, _now: Millis): Promise<void> {
    return this.#inTurn(owner, async (box) => {
      for (;;) {
        await this.#load(box);
        if (!box.isOpen) return;
        const { tag, contactAt, superseded } = box.record!;
        const saved = await this.#save(box, { run: undefined, superseded, tag, isOpen: false, contactAt });
        if (saved === "conflict") continue;
        await this.#forgetClosed(box);
        return;
      }
    });
  }

  async find(owner: PeerId): Promise<MailboxState | undefined> {
    const box = await this.#ready(owner);
    if (!box.isOpen && box.turn === undefined) await this.#load(box);
    return box.state;
  }

  async isRegistered(peer: PeerId): Promise<boolean> {
    const logged = await this.#log.load(peer);
    const record = logged === undefined ? undefined : decodeMailboxRecord(logged.value);
    return record?.isOpen === true && this.#seams.now() - record.contactAt < this.limits.registrationMs;
  }

  /** When the run that has it was heard of lately. What another relay heard is in the record, but seldom written. */
  #isLive({ heardAt }: SharedMailbox, { contactAt, writer }: MailboxRecord, now: Millis): boolean {
    const { freshMs } = this.limits;
    if (heardAt !== undefined && now - heardAt < freshMs) return true;
    const isOurs = writer === this.#writer && heardAt !== undefined;
    return now - contactAt < (isOurs ? freshMs : freshMs + this.#contactStepMs);
  }

  #isGivenUp({ record, heardAt = -Infinity }: SharedMailbox, now: Millis): boolean {
    return record !== undefined && now - Math.max(record.contactAt, heardAt) >= this.limits.registrationMs;
  }

  get #contactStepMs(): Millis {
    return Math.min(this.#shared.contactStepMs, this.limits.registrationMs / 10);
  }

  // ---- Mail

  async deposit(owner: PeerId, mail: Deposit, _mayHold: boolean, now: Millis): Promise<Deposited> {
    const bytes = mail.body.length - mailIdBytes;
    if (bytes > this.limits.maxEnvelopeBytes) return { state: "refused", refusal: "too-large" };
    const known = this.#boxes.get(owner);
    const box = known !== undefined && this.#isFresh(known) ? known : await this.#ready(owner);
    if (!box.isOpen) {
      // Another relay may have registered it a moment ago.
      await this.#inTurn(owner, () => this.#load(box));
      if (!box.isOpen) return { state: "refused", refusal: "unregistered" };
    }
    return this.#admit(box, mail, bytes, now);
  }

  async #admit(box: SharedMailbox, mail: Deposit, bytes: number, now: Millis): Promise<Deposited> {
    const { sender, isStranger, body } = mail;
    box.usedAt = this.#seams.now();
    let refusal = box.refusal(mail, bytes, this.limits) ?? this.#fullInAll(bytes);
    if (refusal !== undefined) {
      this.#expireMails(box, now);
      // Others may have taken something out.
      const { compareMs } = this.#shared;
      if (this.#seams.now() - box.comparedAt >= compareMs) await this.#compare(box);
      if (this.#seams.now() - this.#totals.at >= compareMs) await this.#countAll();
      refusal = box.refusal(mail, bytes, this.limits) ?? this.#fullInAll(bytes);
      if (refusal !== undefined) return { state: "refused", refusal };
    }
    const facts: MailFacts = { sender, isStranger, bytes, until: box.until(now, this.limits.ttlMs) };
    box.add(facts);
    this.#added += 1;
    const id = `${this.#writer}-${this.#added}`;
    let number: number | "full";
    try {
      number = await this.#asked(() => this.#log.append(box.owner, facts, body, id));
      if (number === "full") this.#removeLeaving();
      if (number === "full" && this.#removing.size > 0) {
        // What was acknowledged a moment ago may be there still.
        await Promise.all(this.#removing);
        number = await this.#asked(() => this.#log.append(box.owner, facts, body, id));
      }
    } catch (error) {
      box.notAdded(facts);
      throw error;
    }
    if (number === "full") {
      box.notAdded(facts);
      box.comparedAt = -Infinity;
      return { state: "refused", refusal: "mailbox-full" };
    }
    const isTold = box.tail !== undefined && number <= box.highest;
    box.added({ ...facts, number });
    this.#totals.messages += 1;
    this.#totals.bytes += bytes;
    if (!isTold) {
      // Whoever follows it has not heard of it, and perhaps never will.
      box.tail?.gap();
      this.#onMail(box.owner);
    }
    return { state: "stored", number, until: facts.until };
  }

  /** Everything is stored. */
  async keep(owner: PeerId, number: number): Promise<Millis | undefined> {
    const box = await this.#ready(owner);
    return box.has(number) ? box.until(0, 0) : undefined;
  }

  async collect(owner: PeerId, after: number, room: CollectRoom, now: Millis): Promise<readonly StoredMail[]> {
    const box = await this.#ready(owner);
    const { record } = box;
    if (record === undefined || this.#isClosed) return [];
    box.usedAt = this.#seams.now();
    this.#expireMails(box, now);
    const tail = await this.#follow(box);
    return box.reading(async () => {
      for (let last = after; ; ) {
        const mails = tail.take(last, room) ?? (await this.#read(box, tail, last, room));
        if (mails.length === 0) return [];
        const waiting = mails.filter((mail) => box.know(mail));
        this.#expireMails(box, now);
        const given = waiting.filter(({ number }) => box.has(number));
        for (const { number, body } of given) writeMailId(record.tag, number, body, 0);
        if (given.length > 0) return given;
        last = mails.at(-1)!.number;
      }
    });
  }

  async #read(box: SharedMailbox, tail: MailTail, after: number, room: ReadRoom): Promise<readonly LoggedMail[]> {
    const { gaps } = tail;
    const first = await this.#asked(() => this.#log.next(box.owner, after + 1));
    if (first === undefined) {
      tail.nothingAbove(after, gaps);
      return [];
    }
    const rest = { maxMessages: room.maxMessages - 1, maxBytes: room.maxBytes - first.bytes };
    if (rest.maxMessages <= 0 || rest.maxBytes <= 0) return [first];
    const mails = await this.#asked(() => this.#log.read(box.owner, first.number + 1, rest));
    return [first, ...mails];
  }

  async acknowledge(owner: PeerId, tag: Uint8Array, ranges: readonly number[]): Promise<Acknowledged> {
    const box = await this.#ready(owner);
    const isOurs = box.record !== undefined && equalBytes(box.record.tag, tag);
    // Another relay may have handed it over.
    if (isOurs && ranges.some((number) => number > box.highest + 1)) await this.#sync(box);
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
      const end = Math.min(box.highest + 1, to);
      unknown += to - from - Math.max(0, end - first);
      for (const number of numbersIn(box, first, end)) {
        if (!box.drop(number, "delivered")) continue;
        acknowledged += 1;
      }
    }
    this.#removeSoon(box, acknowledged);
    if (isOurs && !box.isOpen && box.messages === 0) await this.#inTurn(owner, () => this.#forgetClosed(box));
    while (this.#removingMails > this.#shared.maxRemoving) await Promise.race(this.#removing);
    return { acknowledged, unknown };
  }

  /** Lets the engine take mails away, many at once. Nobody waits for it: what was acknowledged may come again. */
  #removeSoon(box: SharedMailbox, mails: number): void {
    if (mails === 0) return;
    this.#leaving.add(box);
    this.#leavingMails += mails;
    const { removeAfterMs, removeAtOnce } = this.#shared;
    if (this.#leavingMails >= removeAtOnce) this.#removeLeaving();
    else if (!this.#isRemovalDue) {
      this.#isRemovalDue = true;
      this.#after(removeAfterMs, () => {
        this.#isRemovalDue = false;
        this.#removeLeaving();
      });
    }
  }

  #removeLeaving(): void {
    for (const box of this.#leaving) this.#remove(box, box.takeLeaving());
    this.#leaving.clear();
    this.#leavingMails = 0;
  }

  #remove(box: SharedMailbox, numbers: readonly number[]): void {
    if (numbers.length === 0) return;
    this.#removingMails += numbers.length;
    const removing = this.#asked(() => this.#log.remove(box.owner, numbers))
      .then(
        () => {
          this.#totals.messages -= numbers.length;
        },
        // They come again.
        () => {},
      )
      .finally(() => {
        for (const number of numbers) box.left(number);
        this.#removingMails -= numbers.length;
        this.#removing.delete(removing);
      });
    this.#removing.add(removing);
  }

  // ---- Time

  async expire(now: Millis): Promise<void> {
    const { followMs, forgetMs } = this.#shared;
    const at = this.#seams.now();
    for (const box of this.#boxes.values()) {
      this.#expireMails(box, now);
      if (this.#isGivenUp(box, now)) await this.#giveUp(box, now);
      const idleMs = at - box.usedAt;
      if (box.tail !== undefined && idleMs >= followMs) this.#unfollow(box);
      if (idleMs >= forgetMs) this.#forget(box);
    }
  }

  #expireMails(box: SharedMailbox, now: Millis): void {
    const over = box.over(now);
    if (over.length === 0) return;
    for (const number of over) box.drop(number, "expired");
    this.#removeSoon(box, over.length);
  }

  /** The owner stayed away, unless another relay has heard of it. */
  async #giveUp(box: SharedMailbox, now: Millis): Promise<void> {
    await this.#inTurn(box.owner, async () => {
      await this.#load(box);
      if (!this.#isGivenUp(box, now)) return;
      await this.#compare(box);
      const left = box.from(0);
      for (const number of left) box.drop(number, "expired");
      this.#removeSoon(box, left.length);
      const { tag, contactAt, superseded } = box.record!;
      const saved = await this.#save(box, { run: undefined, superseded, tag, isOpen: false, contactAt });
      if (saved !== "conflict") await this.#forgetClosed(box);
    });
  }

  watch(onMail: (owner: PeerId) => void): void {
    this.#onMail = onMail;
  }

  counts(): MailboxCounts {
    return { ...this.#counts, mailboxes: this.#boxes.size };
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#removeLeaving();
    await Promise.all(this.#removing);
    this.#isClosed = true;
    for (const endPause of this.#pauses) endPause();
    for (const box of this.#boxes.values()) this.#unfollow(box);
    await this.#log.close();
  }

  // ---- Following

  async #follow(box: SharedMailbox): Promise<MailTail> {
    if (box.tail !== undefined) return box.tail;
    const { maxTailBytes, settleMs } = this.#shared;
    const tail = new MailTail(maxTailBytes);
    box.tail = tail;
    try {
      tail.stop = await this.#asked(() =>
        this.#log.follow(box.owner, (mail) => {
          if (box.tail !== tail) return;
          tail.push(mail);
          box.know(mail);
          this.#onMail(box.owner);
        }),
      );
    } catch (error) {
      if (box.tail === tail) box.tail = undefined;
      throw error;
    }
    if (box.tail !== tail) tail.stop();
    else {
      this.#after(settleMs, () => {
        if (box.tail !== tail) return;
        tail.gap();
        this.#onMail(box.owner);
      });
    }
    return tail;
  }

  #unfollow(box: SharedMailbox): void {
    box.tail?.stop();
    box.tail = undefined;
  }

  // ---- Knowing

  #isFresh(box: SharedMailbox): boolean {
    const { syncMs } = this.#shared;
    const now = this.#seams.now();
    return box.turn === undefined && now - box.loadedAt < syncMs && now - box.syncedAt < syncMs;
  }

  /** A mailbox of which is known what there is to know, by now or lately. */
  async #ready(owner: PeerId): Promise<SharedMailbox> {
    const known = this.#boxes.get(owner);
    if (known !== undefined && this.#isFresh(known)) return known;
    let loading = this.#loading.get(owner);
    if (loading === undefined) {
      loading = this.#inTurn(owner, async (box) => {
        const { syncMs } = this.#shared;
        if (this.#seams.now() - box.loadedAt >= syncMs) await this.#load(box);
        if (box.record !== undefined && this.#seams.now() - box.syncedAt >= syncMs) await this.#sync(box);
        return box;
      }).finally(() => this.#loading.delete(owner));
      this.#loading.set(owner, loading);
    }
    return loading;
  }

  /** Calls that read or change the record of one mailbox, one after the other. */
  #inTurn<Result>(owner: PeerId, run: (box: SharedMailbox) => Promise<Result>): Promise<Result> {
    const box = this.#box(owner);
    box.usedAt = this.#seams.now();
    const done = (box.turn ?? Promise.resolve()).then(() => run(box));
    const turn = done
      .catch(() => {})
      .then(() => {
        if (box.turn === turn) box.turn = undefined;
      });
    box.turn = turn;
    return done;
  }

  #box(owner: PeerId): SharedMailbox {
    let box = this.#boxes.get(owner);
    if (box === undefined) {
      this.#makeRoom();
      box = new SharedMailbox(owner, this.#counts);
      this.#boxes.set(owner, box);
    }
    return box;
  }

  /** Forgets the mailbox that is known for the longest time, of those with which nothing is done. */
  #makeRoom(): void {
    if (this.#boxes.size < this.#shared.maxKnownMailboxes) return;
    const usedBefore = this.#seams.now() - 2 * this.#shared.giveUpMs;
    for (const box of this.#boxes.values()) {
      if (box.tail === undefined && box.usedAt < usedBefore && this.#forget(box)) return;
    }
  }

  #forget(box: SharedMailbox): boolean {
    if (box.turn !== undefined || box.adding > 0) return false;
    this.#unfollow(box);
    for (const number of box.from(0)) box.drop(number, "elsewhere");
    return this.#boxes.delete(box.owner);
  }

  async #load(box: SharedMailbox): Promise<void> {
    const logged = await this.#asked(() => this.#log.load(box.owner));
    box.record = logged === undefined ? undefined : decodeMailboxRecord(logged.value);
    box.revision = logged?.revision;
    box.loadedAt = this.#seams.now();
  }

  async #save(box: SharedMailbox, changes: Omit<MailboxRecord, "writer">): Promise<"saved" | "conflict" | "full"> {
    const record: MailboxRecord = { ...changes, writer: this.#writer };
    const saved = await this.#asked(() => this.#log.save(box.owner, encodeMailboxRecord(record), box.revision));
    if (typeof saved === "string") return saved;
    box.record = record;
    box.revision = saved;
    box.loadedAt = this.#seams.now();
    return "saved";
  }

  async #forgetClosed(box: SharedMailbox): Promise<void> {
    if (box.isOpen || box.revision === undefined) return;
    await this.#compare(box);
    if (box.messages > 0) return;
    const { revision } = box;
    await this.#asked(() => this.#log.forget(box.owner, revision));
    box.record = undefined;
    box.revision = undefined;
  }

  /** Learns of the mails that others added. */
  async #sync(box: SharedMailbox): Promise<void> {
    const at = this.#seams.now();
    await box.reading(async () => {
      const mails = await this.#asked(() => this.#log.list(box.owner, box.syncedTo + 1));
      this.#know(box, mails, at);
    });
  }

  /** Learns of all mails that are there, and of those that are not. */
  async #compare(box: SharedMailbox): Promise<void> {
    const at = this.#seams.now();
    const before = box.from(0);
    await box.reading(async () => {
      const mails = await this.#asked(() => this.#log.list(box.owner, 1));
      const there = new Set(mails.map(({ number }) => number));
      for (const number of before) if (!there.has(number)) box.drop(number, "elsewhere");
      this.#know(box, mails, at);
    });
    box.comparedAt = at;
  }

  #know(box: SharedMailbox, mails: readonly ListedMail[], at: Millis): void {
    for (const mail of mails) {
      box.know(mail);
      box.syncedTo = Math.max(box.syncedTo, mail.number);
    }
    box.syncedAt = at;
  }

  #fullInAll(bytes: number): "mailbox-full" | undefined {
    const { maxTotalMessages, maxTotalBytes } = this.limits;
    const isFull = this.#totals.messages >= maxTotalMessages || this.#totals.bytes + bytes > maxTotalBytes;
    return isFull ? "mailbox-full" : undefined;
  }

  async #countAll(): Promise<void> {
    const at = this.#seams.now();
    this.#totals = { ...(await this.#asked(() => this.#log.totals())), at };
  }

  // ---- Asking again

  /** Asks the engine until it answers. Its servers may be choosing a leader. */
  async #asked<Answer>(ask: () => Promise<Answer>): Promise<Answer> {
    const { minRetryMs, maxRetryMs, giveUpMs } = this.#shared;
    const until = this.#seams.now() + giveUpMs;
    for (let pauseMs = minRetryMs; ; pauseMs = Math.min(2 * pauseMs, maxRetryMs)) {
      if (this.#isClosed) throw new StoreError("EGTP_STORE_CLOSED", "The mailboxes are closed.");
      try {
        return await ask();
      } catch (cause) {
        if (this.#isClosed || this.#seams.now() + pauseMs >= until) throw unreachable(cause);
      }
      const jitter = 1 - this.#seams.random(1)[0]! / 512;
      await new Promise<void>((resolve) => this.#after(pauseMs * jitter, resolve));
    }
  }

  /** At once when the store is closed. */
  #after(delayMs: Millis, task: () => void): void {
    const run = (): void => {
      cancel();
      this.#pauses.delete(run);
      task();
    };
    const cancel = this.#seams.setTimer(run, delayMs);
    this.#pauses.add(run);
  }
}

const noRuns: OwnerRuns = { run: undefined, superseded: [] };

function runsOf({ run, superseded }: OwnerRuns): OwnerRuns {
  return { run, superseded };
}

/** The known mails in a range that may be very long. */
function numbersIn(box: SharedMailbox, from: number, to: number): readonly number[] {
  if (to - from > box.messages) return box.from(from).filter((number) => number < to);
  return Array.from({ length: Math.max(0, to - from) }, (_, i) => from + i);
}

function unreachable(cause: unknown): StoreError {
  return new StoreError("EGTP_STORE_UNREACHABLE", "The cluster that keeps the mailboxes did not answer.", {
    cause,
    hint: "Check that most of its servers run and that this one reaches them. It is asked again with the next mail.",
  });
}

/** Whoever asked may have been restarted since, and have registered at another relay: it would lose its mailbox to the dead. */
function askedLongAgo(): StoreError {
  return unreachable(new Error("A run asked for the mailbox of another too long ago"));
}
