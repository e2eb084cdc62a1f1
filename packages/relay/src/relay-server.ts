/**
 * A relay: a part of an ordinary node that keeps mailboxes for peers that registered with it, takes envelopes for them from
 * anybody, and hands these over.
 *
 * An envelope for an owner that is connected, with nothing waiting before it, is handed over at once and held in memory; when
 * the owner acknowledges it in time, whoever passed it along hears "passed" and nothing was written. Everything else is
 * written down first, and its sender hears "stored". Only the first 32 bytes of what was passed along are read.
 *
 * Every envelope passed along is counted once, see {@link RelayStats}.
 *
 * Bounds: `RelayServerLimits`, and those of the mailboxes.
 *
 * @see docs/spec.md, "Relay"
 */
import {
  type EgtpNode,
  type NodeEvent,
  type NodeOptions,
  type NodePart,
  type NodeSchedule,
  type ReceivedMessage,
  type SendOptions,
  systemSchedule,
} from "@egtp/node";
import { type Millis, type PeerId, peerIdBytes, peerIdFromTrustedBytes, toHex } from "@egtp/wire";
import { KnownElsewhere } from "./known-elsewhere.ts";
import { mailboxTagBytes, mailIdBytes, maxCollectBytes, type RelayServerLimits, relayServerLimits } from "./limits.ts";
import type { Deposited, MailboxCounts, MailboxStore, MaybePromise, StoredMail } from "./mailbox-store.ts";
import { MemoryMailboxStore } from "./memory-store.ts";
import { type Held, OwnerPush, type PushHost } from "./owner-push.ts";
import {
  acknowledgeMessage,
  collectedBytes,
  collectRequest,
  decodeAcknowledgement,
  decodeMail,
  decodePassAlong,
  encodeCollected,
  encodePassAlongStatus,
  limitsRequest,
  mailMessage,
  type PublishedLimits,
  passAlongRequest,
  type Refusal,
  type Registration,
  refusals,
  registerRequest,
  unregisterRequest,
} from "./protocol.ts";
import { SenderRates } from "./sender-rates.ts";
import { TokenBucket } from "./token-bucket.ts";

/** Who may have a mailbox. */
export type RelayAccess = "open" | { readonly allow: readonly PeerId[] };

export interface RelayServerOptions {
  /** Where mailboxes are. Given over: the relay closes it. Default: memory. */
  readonly store?: MailboxStore;
  readonly limits?: Partial<RelayServerLimits>;
  /** Default: `open`. */
  readonly access?: RelayAccess;
}

/**
 * Counts since the relay was made. At any time
 *
 *     in = mailboxes.passed + mailboxes.stored + mailboxes.held + refused
 *
 * and what was stored is accounted for by the mailboxes, see {@link MailboxCounts}.
 */
export interface RelayStats {
  /** Envelopes passed along. */
  readonly in: number;
  /** Of those, not taken, by reason. */
  readonly refused: Readonly<Record<Refusal, number>>;
  /** Requests that were none. */
  readonly malformed: number;
  /** Mails handed over, and how many were not taken in. */
  readonly pushed: number;
  readonly missed: number;
  /** Numbers acknowledged that nobody knows. */
  readonly unknown: number;
  readonly registrations: Readonly<Record<"active" | "superseded" | "not-allowed" | "full", number>>;
  /** Times that the store failed. */
  readonly storeFailures: number;
  readonly mailboxes: MailboxCounts;

  /** Owners that registered since the relay started, and bytes of mail on their way to them. */
  readonly owners: number;
  readonly pushBytes: number;
  readonly senders: number;
}

/** Makes a relay, to be given to a node as one of its `parts`; let the node say so: `services: ["relay"]`. */
export function relayServer(options: RelayServerOptions = {}): RelayServer {
  return new RelayServer(options);
}

type RawMessage = ReceivedMessage<Uint8Array>;

const passedReply = encodePassAlongStatus({ state: "passed" }, 0);
const refusedReplies = Object.fromEntries(
  refusals.slice(1).map((refusal) => [refusal!, encodePassAlongStatus({ state: "refused", refusal: refusal! }, 0)]),
) as Record<Refusal, Uint8Array>;

export class RelayServer implements NodePart {
  readonly #store: MailboxStore;
  readonly #limits: RelayServerLimits;
  readonly #allowed: ReadonlySet<PeerId> | undefined;
  /** Set when the node starts. */
  #node!: EgtpNode;
  #schedule!: NodeSchedule;
  #tell: (event: NodeEvent) => void = () => {};
  #rates!: SenderRates;
  #knownElsewhere!: KnownElsewhere;
  #newMailboxes!: TokenBucket;
  #pushHost!: PushHost;
  #pushOptions!: SendOptions;
  #handlers: (() => void)[] = [];
  #cancelExpiry: (() => void) | undefined;

  /** Owners that registered with this run. Bounded by the mailboxes; those that are idle and away leave in time. */
  readonly #owners = new Map<PeerId, OwnerPush>();
  /** Held mail, the first whose time is over first; those that are over stay until their time. Bounded by `maxHeldBytes`. */
  #held: Held[] = [];
  #heldHead = 0;
  #heldBytes = 0;
  #cancelHeldTimer: (() => void) | undefined;
  #pushBytes = 0;
  /** Owners for whose mail there was no room, the longest waiting first. */
  readonly #waitingForRoom = new Set<OwnerPush>();
  /** Envelopes that the store is asked to take. */
  #depositing = 0;
  #onIdle: (() => void) | undefined;

  #storeFailure: unknown;

  readonly #counts = {
    in: 0,
    malformed: 0,
    pushed: 0,
    missed: 0,
    unknown: 0,
    storeFailures: 0,
    refused: Object.fromEntries(refusals.slice(1).map((refusal) => [refusal!, 0])) as Record<Refusal, number>,
    registrations: { active: 0, superseded: 0, "not-allowed": 0, full: 0 },
  };

  constructor({ store, limits, access = "open" }: RelayServerOptions) {
    this.#store = store ?? new MemoryMailboxStore();
    this.#limits = relayServerLimits(limits);
    this.#allowed = access === "open" ? undefined : new Set(access.allow);
  }

  // ---- A part of a node

  async start(node: EgtpNode, options: NodeOptions, tell: (event: NodeEvent) => void): Promise<void> {
    const schedule = options.schedule ?? systemSchedule();
    this.#node = node;
    this.#schedule = schedule;
    this.#tell = tell;
    this.#rates = new SenderRates(this.#limits, schedule.now());
    this.#knownElsewhere = new KnownElsewhere(this.#store, this.#limits, schedule.now());
    this.#newMailboxes = new TokenBucket(this.#limits.newMailboxes, schedule.now());
    this.#pushOptions = { timeoutMs: this.#limits.pushMs, prompt: false };
    this.#pushHost = {
      limits: this.#limits,
      store: this.#store,
      now: () => schedule.now(),
      isLinked: (owner) => node.isLinked(owner),
      hasRoom: (owner) => this.#hasPushRoom(owner),
      send: (owner, body) => this.#push(owner, body),
      defer: (task) => schedule.defer(task),
      setTimer: (task, delayMs) => schedule.setTimer(task, delayMs),
      passed: (held) => this.#answer(held, passedReply),
      failed: (error) => this.#storeFailed(error),
    };
    this.#store.watch((owner) => this.#owners.get(owner)?.moreMail());
    this.#handlers = [
      node.handle(limitsRequest, () => this.publishedLimits),
      node.handle(registerRequest, ({ from, body }) => this.#register(from, body)),
      node.handle(unregisterRequest, ({ from }) => this.#unregister(from)),
      node.handle(passAlongRequest, (request) => this.#passAlong(request)),
      node.handle(collectRequest, ({ from, body }) => this.#collect(from, body.after, body.maxBytes)),
      node.handle(acknowledgeMessage, (message) => this.#acknowledge(message)),
    ];
    await this.#expire();
  }

  async stop(): Promise<void> {
    for (const remove of this.#handlers) remove();
    this.#handlers = [];
    this.#cancelExpiry?.();
    this.#cancelHeldTimer?.();
    for (const owner of this.#owners.values()) owner.end();
    // What is in memory alone is written, and its senders are told while the node still can.
    for (const held of this.#held.splice(0)) if (!held.isOver) this.#writeDown(held);
    if (this.#depositing > 0) {
      await new Promise<void>((resolve) => {
        this.#onIdle = resolve;
      });
    }
    await this.#store.close();
  }

  /** What it lets its clients do. */
  get publishedLimits(): PublishedLimits {
    const { maxMessages, maxBytes, ttlMs, maxEnvelopeBytes, maxSenderMessages, maxSenderBytes } = this.#store.limits;
    const access = this.#allowed === undefined ? "open" : "allow-list";
    return { maxMessages, maxBytes, ttlMs, maxEnvelopeBytes, maxSenderMessages, maxSenderBytes, access };
  }

  /** Why the store failed, until it works again. */
  get storeFailure(): unknown {
    return this.#storeFailure;
  }

  stats(): RelayStats {
    return {
      ...this.#counts,
      refused: { ...this.#counts.refused },
      registrations: { ...this.#counts.registrations },
      mailboxes: this.#store.counts(),
      owners: this.#owners.size,
      pushBytes: this.#pushBytes,
      senders: this.#rates?.size ?? 0,
    };
  }

  // ---- Owners

  async #register(
    peer: PeerId,
    { run, first, standby }: { run: Uint8Array; first: boolean; standby: boolean },
  ): Promise<Registration> {
    const { registrations } = this.#counts;
    if (this.#allowed?.has(peer) === false) {
      registrations["not-allowed"] += 1;
      return { state: "refused", reason: "not-allowed" };
    }
    const now = this.#schedule.now();
    if ((await this.#store.find(peer)) === undefined) {
      if (!this.#newMailboxes.has(1, now)) {
        registrations.full += 1;
        return { state: "refused", reason: "full" };
      }
      this.#newMailboxes.take(1);
    }
    const id = toHex(run);
    const registered = await this.#store.register(peer, { id, isFirst: first }, now);
    registrations[registered.state] += 1;
    if (registered.state === "full") return { state: "refused", reason: "full" };
    if (registered.state === "superseded") return { state: "superseded" };
    const { mailbox, replaced } = registered;
    let owner = this.#owners.get(peer);
    if (owner === undefined) {
      owner = new OwnerPush(peer, this.#pushHost);
      this.#owners.set(peer, owner);
    }
    const { tag, messages, bytes } = mailbox;
    const waiting = { messages, bytes };
    // The answer leaves first, so that its owner knows the mailbox before there is mail from it.
    this.#schedule.defer(() => {
      if (this.#owners.get(peer) !== owner) return;
      if (standby) owner.standBy();
      else owner.begin(id);
    });
    const gaps = this.#store.hasGaps === true;
    return { state: "active", tag: tag.slice(), limits: this.publishedLimits, waiting, replaced, gaps };
  }

  async #unregister(peer: PeerId): Promise<Record<string, never>> {
    const owner = this.#owners.get(peer);
    owner?.end();
    this.#owners.delete(peer);
    // Of what is held for it nobody would hear any more that it was acknowledged.
    for (const held of this.#held) if (held.owner === owner && !held.isOver) this.#writeDown(held);
    await this.#store.unregister(peer, this.#schedule.now());
    return {};
  }

  #acknowledge({ from, body }: RawMessage): MaybePromise<void> {
    const { tag, ranges } = this.#decoded(() => decodeAcknowledgement(body));
    const answer = this.#store.acknowledge(from, tag, ranges);
    return settled(answer, (acknowledged) => {
      this.#counts.unknown += acknowledged.unknown;
      // Those of another tag would be other mails.
      if (acknowledged.acknowledged > 0) this.#owners.get(from)?.acknowledged(ranges);
    });
  }

  async #collect(peer: PeerId, after: number, maxBytes: number): Promise<Uint8Array> {
    const mailbox = await this.#store.find(peer);
    if (mailbox === undefined) return encodeCollected({ tag: noTag, mails: [] });
    const tag = mailbox.tag.slice();
    const room = { maxMessages: maxCollectBytes / mailIdBytes, maxBytes: Math.min(maxBytes, maxCollectBytes) };
    const mails = await this.#store.collect(peer, after, room, this.#schedule.now());
    return encodeCollected({ tag, mails: fitting(mails).map(({ body }) => decodeMail(body)) });
  }

  // ---- Passing along

  #passAlong({ from, body }: RawMessage): MaybePromise<Uint8Array> {
    const { recipient: key, envelope } = this.#decoded(() => decodePassAlong(body));
    const counts = this.#counts;
    counts.in += 1;
    const bytes = envelope.length;
    if (bytes > this.#store.limits.maxEnvelopeBytes) return this.#refuse("too-large");
    const now = this.#schedule.now();
    const isRegisteredHere = this.#owners.has(from);
    const isStranger = !isRegisteredHere && !this.#knownElsewhere.has(from);
    if (!this.#rates.take(from, isStranger, bytes, now)) return this.#refuse("too-fast");
    const recipient = peerIdFromTrustedBytes(key);
    if (this.#allowed?.has(recipient) === false) return this.#refuse("not-allowed");
    const owner = this.#owners.get(recipient);
    const mail = { sender: from, isStranger, body: mailBodyOf(body) };
    const mayHold = owner?.canPass(bytes) === true && this.#heldBytes + bytes <= this.#limits.maxHeldBytes;
    this.#depositing += 1;
    let deposited: MaybePromise<Deposited>;
    try {
      deposited = this.#store.deposit(recipient, mail, mayHold, now);
    } catch (error) {
      return this.#notDeposited(error);
    }
    if (!(deposited instanceof Promise)) return this.#deposited(recipient, mail.body, deposited, now);
    if (!mayHold) owner?.moreMail();
    return deposited.then(
      (done) => {
        if (!isRegisteredHere && done.state === "stored") this.#knownElsewhere.learn(from, now);
        return this.#deposited(recipient, mail.body, done, now);
      },
      (error: unknown) => this.#notDeposited(error),
    );
  }

  #deposited(recipient: PeerId, body: Uint8Array, done: Deposited, now: Millis): MaybePromise<Uint8Array> {
    if (done.state === "held") return this.#hold(recipient, done.number, body, now);
    this.#depositDone();
    if (done.state === "refused") return this.#refuse(done.refusal);
    this.#storeFailure = undefined;
    return this.#storedReply(done.until);
  }

  #notDeposited(error: unknown): Uint8Array {
    this.#depositDone();
    this.#storeFailed(error);
    return this.#refuse("store-failed");
  }

  #depositDone(): void {
    this.#depositing -= 1;
    if (this.#depositing === 0) this.#onIdle?.();
  }

  // ---- Held mail

  /** Hands a held mail over. Its sender waits until it is acknowledged, or written down. */
  #hold(recipient: PeerId, number: number, body: Uint8Array, now: Millis): Promise<Uint8Array> {
    // One that left while the store took its time is handed nothing: it is written down in a while.
    const owner = this.#owners.get(recipient) ?? new OwnerPush(recipient, this.#pushHost);
    return new Promise((answer) => {
      const until = now + this.#limits.acknowledgeMs;
      const held: Held = { owner, number, bytes: body.length, until, isOver: false, answer };
      owner.hold(held);
      this.#heldBytes += held.bytes;
      if (this.#handlers.length === 0) {
        // The relay stopped while its store took it: nobody is handed it any more.
        this.#writeDown(held);
        return;
      }
      this.#held.push(held);
      this.#armHeldTimer();
      // Something may have come before it while the store took its time.
      if (owner.canPass(0)) owner.pass(number, body);
      else owner.moreMail();
    });
  }

  #armHeldTimer(): void {
    if (this.#cancelHeldTimer !== undefined) return;
    const next = this.#held[this.#heldHead];
    if (next === undefined) return;
    this.#cancelHeldTimer = this.#schedule.setTimer(() => {
      this.#cancelHeldTimer = undefined;
      const now = this.#schedule.now();
      for (let held = this.#held[this.#heldHead]; held !== undefined && (held.isOver || held.until <= now); ) {
        if (!held.isOver) this.#writeDown(held);
        this.#heldHead += 1;
        held = this.#held[this.#heldHead];
      }
      this.#held.splice(0, this.#heldHead);
      this.#heldHead = 0;
      this.#armHeldTimer();
    }, next.until - this.#schedule.now());
  }

  #writeDown(held: Held): void {
    const { owner, number } = held;
    let keeping: MaybePromise<Millis | undefined>;
    try {
      keeping = this.#store.keep(owner.peer, number);
    } catch (error) {
      this.#notKept(held, error);
      return;
    }
    void settled(
      keeping,
      (until) => {
        if (held.isOver) return;
        this.#answer(held, until === undefined ? this.#refuse("unregistered") : this.#storedReply(until));
      },
      (error) => this.#notKept(held, error),
    );
  }

  #notKept(held: Held, error: unknown): void {
    this.#storeFailed(error);
    if (!held.isOver) this.#answer(held, this.#refuse("store-failed"));
  }

  #answer(held: Held, reply: Uint8Array): void {
    held.isOver = true;
    held.owner.release(held);
    this.#heldBytes -= held.bytes;
    held.answer(reply);
    this.#depositDone();
  }

  // ---- Pushing

  /** @returns Whether the owner's node took the mail in. */
  #push(owner: PeerId, body: Uint8Array): Promise<boolean> {
    this.#counts.pushed += 1;
    this.#pushBytes += body.length;
    const end = (isTaken: boolean): boolean => {
      this.#pushBytes -= body.length;
      if (!isTaken) this.#counts.missed += 1;
      this.#pumpNext();
      return isTaken;
    };
    return this.#node.send(owner, mailMessage, body, this.#pushOptions).then(
      ({ state }) => end(state === "delivered"),
      () => end(false),
    );
  }

  #hasPushRoom(owner: OwnerPush): boolean {
    if (this.#pushBytes < this.#limits.maxPushBytesTotal) return true;
    this.#waitingForRoom.add(owner);
    return false;
  }

  #pumpNext(): void {
    for (const owner of this.#waitingForRoom) {
      if (this.#pushBytes >= this.#limits.maxPushBytesTotal) return;
      this.#waitingForRoom.delete(owner);
      owner.pump();
    }
  }

  // ---- Everything else

  async #expire(): Promise<void> {
    try {
      await this.#store.expire(this.#schedule.now());
    } catch (error) {
      this.#storeFailed(error);
    }
    for (const [peer, owner] of this.#owners) {
      if (owner.isIdle && !this.#node.isLinked(peer)) this.#owners.delete(peer);
      else owner.trim();
    }
    if (this.#handlers.length === 0) return;
    this.#cancelExpiry = this.#schedule.setTimer(() => void this.#expire(), this.#limits.expireEveryMs);
  }

  #refuse(refusal: Refusal): Uint8Array {
    this.#counts.refused[refusal] += 1;
    return refusedReplies[refusal];
  }

  #storedReply(until: Millis): Uint8Array {
    return encodePassAlongStatus({ state: "stored", until }, this.#schedule.now());
  }

  #decoded<Value>(decode: () => Value): Value {
    try {
      return decode();
    } catch (error) {
      this.#counts.malformed += 1;
      throw error;
    }
  }

  #storeFailed(error: unknown): void {
    this.#counts.storeFailures += 1;
    this.#storeFailure = error;
    this.#tell({ kind: "store", at: this.#schedule.now(), state: "failed", key: undefined, error });
  }
}

const noTag = new Uint8Array(mailboxTagBytes);

/**
 * The mail with room for its ID before the envelope, in place of the second half of the recipient's ID. A small one is copied,
 * so as not to keep the large envelope alive that it came in.
 */
function mailBodyOf(body: Uint8Array): Uint8Array {
  const mail = body.subarray(peerIdBytes - mailIdBytes);
  return body.buffer.byteLength > 4 * body.length ? mail.slice() : mail;
}

/** The first of them that fit into one reply. */
function fitting(mails: readonly StoredMail[]): readonly StoredMail[] {
  let count = 0;
  let bytes = collectedBytes([]);
  for (const { body } of mails) {
    bytes += collectedBytes([body.length - mailIdBytes]) - collectedBytes([]);
    if (bytes > maxCollectBytes) break;
    count += 1;
  }
  return mails.slice(0, count);
}

/** Goes on with a value, at once if it is there. */
function settled<In, Out>(
  value: MaybePromise<In>,
  goOn: (value: In) => Out,
  failed?: (error: unknown) => Out,
): MaybePromise<Out> {
  return value instanceof Promise ? value.then(goOn, failed) : goOn(value);
}
