/**
 * Sends and requests of the program, from the call until the promise settles: encoding, waiting for room in the outbox,
 * signals and soft timeouts.
 *
 * The way of a raw message without options costs a promise and what delivery makes of it: no closure, no timer. Deadlines
 * live in delivery; a message that still waits for room has its own here.
 *
 * Bounds: what delivery takes in, and `maxWaitingSends`, `maxWaitingSendsTotal`, `maxWaitingBytesTotal` beyond it.
 */
import { decodeMessageReply, encodeMessageBody, type MessageType, type Millis, type PeerId } from "@egtp/wire";
import type { RequestOptions, SendOptions, SendOutcome } from "./api.ts";
import type { MessageId } from "./delivery/message-id.ts";
import { neverLeft } from "./delivery/outcome.ts";
import type { Delivery, Draft, Outcome, Outgoing, StrategyFailure } from "./delivery.ts";
import {
  AbortedError,
  BacklogFullError,
  NodeStoppedError,
  RejectedError,
  RouteError,
  TimeoutError,
  UnreachableError,
} from "./errors.ts";
import type { EventHub } from "./events.ts";
import type { NodeLimits } from "./limits.ts";
import type { NodeSchedule } from "./schedule.ts";

type AnyType = MessageType<unknown, unknown, unknown, unknown>;
type Mutable<T> = { -readonly [K in keyof T]: T[K] };

export interface CallsOptions {
  readonly limits: NodeLimits;
  readonly defaultDeadlineMs: Millis;
  readonly maxOutboxAgeMs: Millis;
  /** Whether sends outlive this run when they do not say. */
  readonly keepOutbox: boolean;
  /** The ID of one of our messages. */
  readonly messageId: (outgoing: Outgoing) => MessageId;
  readonly events: EventHub;
  readonly schedule: NodeSchedule;
  /** The time of this turn; what was brought about leaves at its end. */
  readonly turn: () => Millis;
  /** Something new is to be sent to the peer: it may be tried at once. */
  readonly urge: (peer: PeerId) => void;
  /** Writes what is staged. @returns `undefined` when it is kept already; rejects when it could not be, which was reported. */
  readonly commit: () => Promise<void> | undefined;
  /** Whether the link to the peer takes no more for now. */
  readonly isCongested: (peer: PeerId) => boolean;
  /** Why the peer could not be reached lately. */
  readonly failures: (peer: PeerId) => readonly StrategyFailure[];
}

/** A call that needs more than its outcome: a request, or a send with a signal. */
class Call {
  readonly peer: PeerId;
  readonly type: AnyType;
  readonly isRequest: boolean;
  readonly timeoutMs: Millis;
  readonly resolve: (value: never) => void;
  readonly reject: (error: unknown) => void;
  signal: AbortSignal | undefined;
  onAbort: (() => void) | undefined;
  cancelSoftTimer: (() => void) | undefined;
  outgoing: Outgoing | undefined;
  isOver = false;

  constructor(
    peer: PeerId,
    type: AnyType,
    isRequest: boolean,
    timeoutMs: Millis,
    resolve: (value: never) => void,
    reject: (error: unknown) => void,
  ) {
    this.peer = peer;
    this.type = type;
    this.isRequest = isRequest;
    this.timeoutMs = timeoutMs;
    this.resolve = resolve;
    this.reject = reject;
  }

  /** Takes away what watches over it. @returns False when it was over already. */
  end(): boolean {
    if (this.isOver) return false;
    this.isOver = true;
    this.cancelSoftTimer?.();
    if (this.onAbort !== undefined) this.signal?.removeEventListener("abort", this.onAbort);
    return true;
  }
}

/** What settles a message: the resolve function of a plain send, or its call. Nothing for one that an earlier run sent. */
type Context = ((outcome: SendOutcome) => void) | Call;

/** A message that waits for room. */
interface Waiting {
  readonly draft: Draft;
  readonly context: Context;
}

/** What waits for room in the outbox for one peer. */
class Backlog {
  readonly sends: Waiting[] = [];
  readonly ready = new Set<Waiter>();
}

/** Whoever asked to be told when there is room for a peer. */
interface Waiter {
  readonly peer: PeerId;
  resolve: () => void;
}

// A promise whose two functions are handed out: made without a closure of its own.
let givenResolve: (value: never) => void;
let givenReject: (error: unknown) => void;
function give(resolve: (value: never) => void, reject: (error: unknown) => void): void {
  givenResolve = resolve;
  givenReject = reject;
}

const alreadyReady = Promise.resolve();
/** A commit that failed is tried again after this. */
const storeRetryMs: Millis = 1_000;
/** What a message costs beside its body, for the bytes of a turn. */
const messageShare = 64;

export class Calls {
  messagesOut = 0;
  delivered = 0;
  stored = 0;
  rejected = 0;
  expired = 0;
  unreachable = 0;
  /** Set once, before the first call. */
  delivery!: Delivery;
  readonly #options: CallsOptions;
  readonly #limits: NodeLimits;
  readonly #events: EventHub;
  readonly #backlogs = new Map<PeerId, Backlog>();
  #waitingSends = 0;
  #waitingBytes = 0;
  /** No message that waits has an earlier deadline. */
  #expiryAt: Millis = Infinity;
  /** Messages in mailboxes whose senders still hope for more. Bounded by the outbox. */
  #soft: Outgoing[] = [];
  /** None of them is content before. */
  #softAt: Millis = Infinity;
  #isStopping = false;
  /** What was sent in this turn, with a share for each message. */
  #turnBytes = 0;
  #turnWaiters = new Set<Waiter>();
  /** Filled anew for each message; delivery copies what it needs. */
  readonly #draft: Mutable<Draft> = {
    type: "",
    body: new Uint8Array(0),
    request: false,
    established: false,
    prompt: true,
    keep: false,
    failFast: true,
    deadlineAt: 0,
    storedDeadlineAt: 0,
    softAt: 0,
    context: undefined,
  };

  constructor(options: CallsOptions) {
    this.#options = options;
    this.#limits = options.limits;
    this.#events = options.events;
  }

  get waitingSends(): number {
    return this.#waitingSends;
  }

  // ---- Beginning

  send(peer: PeerId, type: AnyType, body: unknown, options: SendOptions | undefined): Promise<SendOutcome> {
    if (type.body === undefined && body instanceof Uint8Array) return this.#send(peer, type, body, options);
    let encoded: Uint8Array | Promise<Uint8Array>;
    try {
      encoded = encodeMessageBody(type, body);
    } catch (error) {
      return Promise.reject(error);
    }
    if (!(encoded instanceof Promise)) return this.#send(peer, type, encoded, options);
    return encoded.then((bytes) => this.#send(peer, type, bytes, options));
  }

  #send(peer: PeerId, type: AnyType, body: Uint8Array, options: SendOptions | undefined): Promise<SendOutcome> {
    const promise = new Promise<SendOutcome>(give);
    const resolve = givenResolve as (outcome: SendOutcome) => void;
    const reject = givenReject;
    const now = this.#options.turn();
    const timeoutMs = options?.timeoutMs ?? this.#options.defaultDeadlineMs;
    const draft = this.#draft;
    draft.type = type.name;
    draft.body = body;
    draft.request = false;
    draft.established = type.established;
    draft.prompt = options?.prompt ?? true;
    draft.keep = options?.keep ?? this.#options.keepOutbox;
    draft.failFast = options?.failFast ?? true;
    draft.deadlineAt = now + timeoutMs;
    draft.storedDeadlineAt = options?.timeoutMs === undefined ? now + this.#options.maxOutboxAgeMs : draft.deadlineAt;
    draft.softAt = now + (options?.softTimeoutMs ?? this.#limits.softTimeoutMs);
    if (options?.signal === undefined) this.#enqueue(peer, draft, resolve, reject, now);
    else {
      const call = new Call(peer, type, false, timeoutMs, givenResolve, reject);
      this.#watch(call, options.signal);
      if (!call.isOver) this.#enqueue(peer, draft, call, reject, now);
    }
    return promise;
  }

  request(peer: PeerId, type: AnyType, body: unknown, options: RequestOptions | undefined): Promise<unknown> {
    let encoded: Uint8Array | Promise<Uint8Array>;
    try {
      encoded = encodeMessageBody(type, body);
    } catch (error) {
      return Promise.reject(error);
    }
    if (!(encoded instanceof Promise)) return this.#request(peer, type, encoded, options);
    return encoded.then((bytes) => this.#request(peer, type, bytes, options));
  }

  #request(peer: PeerId, type: AnyType, body: Uint8Array, options: RequestOptions | undefined): Promise<unknown> {
    const promise = new Promise<unknown>(give);
    const timeoutMs = options?.timeoutMs ?? this.#limits.requestTimeoutMs;
    const call = new Call(peer, type, true, timeoutMs, givenResolve, givenReject);
    const now = this.#options.turn();
    if (options?.signal !== undefined) this.#watch(call, options.signal);
    if (call.isOver) return promise;
    const draft = this.#draft;
    draft.type = type.name;
    draft.body = body;
    draft.request = true;
    draft.established = type.established;
    draft.prompt = true;
    draft.keep = false;
    draft.failFast = options?.failFast ?? true;
    draft.deadlineAt = draft.storedDeadlineAt = now + timeoutMs;
    draft.softAt = Infinity;
    this.#enqueue(peer, draft, call, call.reject, now);
    const { softTimeoutMs, onSoftTimeout } = options ?? {};
    if (softTimeoutMs !== undefined && onSoftTimeout !== undefined && !call.isOver) {
      call.cancelSoftTimer = this.#options.schedule.setTimer(() => {
        call.cancelSoftTimer = undefined;
        onSoftTimeout();
      }, softTimeoutMs);
    }
    return promise;
  }

  /**
   * Resolves when the outbox for the peer has room for a while. A producer that awaits it before each send lets the loop
   * turn after some hundred kilobytes, so that they leave and receipts come in while it goes on.
   *
   * Who waits is bounded by the program's calls, and waits until a signal, or the deadlines of what fills the outbox, at most.
   */
  ready(peer: PeerId, signal: AbortSignal | undefined): Promise<void> {
    if (signal?.aborted === true) return Promise.reject(new AbortedError(signal.reason));
    if (this.#isStopping) return alreadyReady;
    const waitsForTurn = this.#turnBytes >= this.#limits.maxTurnBytes;
    const backlog = this.#backlogs.get(peer);
    if (!waitsForTurn && backlog === undefined && this.delivery.hasRoom(peer, 0)) return alreadyReady;
    return new Promise((resolve, reject) => {
      const waiter: Waiter = { peer, resolve };
      if (waitsForTurn) this.#turnWaiters.add(waiter);
      else this.#backlog(peer, backlog).ready.add(waiter);
      if (signal === undefined) return;
      const giveUp = (): void => {
        this.#forgetWaiter(waiter);
        reject(new AbortedError(signal.reason));
      };
      signal.addEventListener("abort", giveUp, { once: true });
      waiter.resolve = () => {
        signal.removeEventListener("abort", giveUp);
        resolve();
      };
    });
  }

  #forgetWaiter(waiter: Waiter): void {
    if (this.#turnWaiters.delete(waiter)) return;
    const backlog = this.#backlogs.get(waiter.peer);
    if (backlog === undefined) return;
    backlog.ready.delete(waiter);
    if (backlog.ready.size + backlog.sends.length === 0) this.#backlogs.delete(waiter.peer);
  }

  /** What was sent in this turn has left, as far as links took it. */
  turned(): void {
    this.#turnBytes = 0;
    if (this.#turnWaiters.size === 0) return;
    const waiters = this.#turnWaiters;
    this.#turnWaiters = new Set();
    for (const waiter of waiters) {
      const { peer } = waiter;
      if (this.#options.isCongested(peer)) this.#turnWaiters.add(waiter);
      else if (this.delivery.hasRoom(peer, 0) && !this.#backlogs.has(peer)) waiter.resolve();
      else this.#backlog(peer, this.#backlogs.get(peer)).ready.add(waiter);
    }
  }

  // ---- Into the outbox

  #enqueue(peer: PeerId, draft: Mutable<Draft>, context: Context, reject: (error: unknown) => void, now: Millis): void {
    const { body } = draft;
    try {
      if (this.#backlogs.size > 0 || !this.delivery.hasRoom(peer, body.length)) {
        if (this.#mustWait(peer, body.length)) {
          this.#wait(peer, { ...draft, context }, context, reject);
          return;
        }
      }
      draft.context = context;
      const outgoing = this.delivery.enqueue(peer, draft, now);
      if (typeof context !== "function") context.outgoing = outgoing;
      this.messagesOut += 1;
      this.#turnBytes += body.length + messageShare;
      this.#options.urge(peer);
    } catch (error) {
      if (typeof context !== "function") context.end();
      reject(error);
    } finally {
      draft.context = undefined;
    }
  }

  /** Whether something waits before it, or there is no room. What can never fit is refused by `enqueue`. */
  #mustWait(peer: PeerId, bytes: number): boolean {
    if (bytes > this.delivery.limits.maxMessageBytes) return false;
    return (this.#backlogs.get(peer)?.sends.length ?? 0) > 0 || !this.delivery.hasRoom(peer, bytes);
  }

  #wait(peer: PeerId, draft: Draft, context: Context, reject: (error: unknown) => void): void {
    const { maxWaitingSends, maxWaitingSendsTotal, maxWaitingBytesTotal } = this.#limits;
    const backlog = this.#backlog(peer, this.#backlogs.get(peer));
    const { length } = draft.body;
    if (
      backlog.sends.length >= maxWaitingSends ||
      this.#waitingSends >= maxWaitingSendsTotal ||
      this.#waitingBytes + length > maxWaitingBytesTotal
    ) {
      if (typeof context !== "function") context.end();
      reject(new BacklogFullError(peer, backlog.sends.length));
      return;
    }
    backlog.sends.push({ draft, context });
    this.#waitingSends += 1;
    this.#waitingBytes += length;
    if (draft.deadlineAt! < this.#expiryAt) this.#expiryAt = draft.deadlineAt!;
  }

  #backlog(peer: PeerId, known: Backlog | undefined): Backlog {
    if (known !== undefined) return known;
    const backlog = new Backlog();
    this.#backlogs.set(peer, backlog);
    return backlog;
  }

  /** For delivery: there is room again. */
  room(peer: PeerId): void {
    const backlog = this.#backlogs.get(peer);
    if (backlog === undefined) return;
    const now = this.#options.turn();
    let taken = 0;
    for (const { draft, context } of backlog.sends) {
      const isOver = typeof context !== "function" && context.isOver;
      if (!isOver && draft.deadlineAt! > now) {
        if (!this.delivery.hasRoom(peer, draft.body.length)) break;
        try {
          const outgoing = this.delivery.enqueue(peer, draft, now);
          if (typeof context !== "function") context.outgoing = outgoing;
          this.messagesOut += 1;
        } catch (error) {
          this.#fail(context, error);
        }
      } else if (!isOver) this.#settle(context, draft.type, draft.body.length, peer, neverLeft, undefined);
      taken += 1;
      this.#waitingSends -= 1;
      this.#waitingBytes -= draft.body.length;
    }
    backlog.sends.splice(0, taken);
    if (backlog.sends.length > 0 || !this.delivery.hasRoom(peer, 0)) return;
    this.#backlogs.delete(peer);
    for (const waiter of backlog.ready) waiter.resolve();
  }

  /** Ends what waited for room until its deadline. @returns When to call again. */
  expire(now: Millis): Millis {
    if (now >= this.#expiryAt) {
      this.#expiryAt = Infinity;
      this.#takeWaiting((draft) => {
        if (draft.deadlineAt! <= now) return true;
        if (draft.deadlineAt! < this.#expiryAt) this.#expiryAt = draft.deadlineAt!;
        return false;
      }, neverLeft);
    }
    if (now >= this.#softAt) this.#content(now);
    return Math.min(this.#expiryAt, this.#softAt);
  }

  /** Nothing can leave for the peer: what waits for room need not wait any longer. */
  unreachablePeer(peer: PeerId, reasons: readonly StrategyFailure[]): void {
    if (this.#waitingSends === 0) return;
    this.#takeWaiting((draft, other) => other === peer && draft.failFast === true, { state: "unreachable", reasons });
  }

  #takeWaiting(condition: (draft: Draft, peer: PeerId) => boolean, outcome: Outcome): void {
    for (const [peer, backlog] of this.#backlogs) {
      const taken = backlog.sends.filter(({ draft }) => condition(draft, peer));
      if (taken.length === 0) continue;
      const left = backlog.sends.filter((waiting) => !taken.includes(waiting));
      backlog.sends.splice(0, backlog.sends.length, ...left);
      for (const { draft, context } of taken) {
        this.#waitingSends -= 1;
        this.#waitingBytes -= draft.body.length;
        this.#settle(context, draft.type, draft.body.length, peer, outcome, undefined);
      }
    }
  }

  // ---- Ending

  /** For delivery: a message ended. */
  settled(outgoing: Outgoing, outcome: Outcome): void {
    const { context, type, body, peer } = outgoing;
    this.#settle(context as Context | undefined, type, body.length, peer, outcome, outgoing);
  }

  /** For delivery: a mailbox has it. Whoever sent it waits for more until the soft timeout. */
  keptByRelay(outgoing: Outgoing): void {
    if (outgoing.isRequest || outgoing.context === undefined) return;
    this.#soft.push(outgoing);
    this.#softAt = Math.min(this.#softAt, outgoing.softAt);
    // Soon enough, and many at once.
    this.#options.turn();
  }

  /** Settles as stored what still is, and whose soft timeout has passed. What becomes of it later is an event. */
  #content(now: Millis): void {
    const soft = this.#soft;
    const kept: Outgoing[] = [];
    this.#soft = [];
    this.#softAt = Infinity;
    for (const outgoing of soft) {
      if (outgoing.isDone || outgoing.stored === undefined) continue;
      if (now < outgoing.softAt) {
        this.#soft.push(outgoing);
        this.#softAt = Math.min(this.#softAt, outgoing.softAt);
      } else if (outgoing.isKept) kept.push(outgoing);
      else this.#settleStored(outgoing);
    }
    if (kept.length > 0) this.#contentKept(kept, now);
  }

  /** What is kept settles as stored when the store has it, too: as long as that fails it waits. */
  #contentKept(kept: readonly Outgoing[], now: Millis): void {
    const settle = (): void => {
      for (const outgoing of kept) this.#settleStored(outgoing);
    };
    const commit = this.#options.commit();
    if (commit === undefined) settle();
    else {
      commit.then(settle, () => {
        this.#soft.push(...kept);
        this.#softAt = Math.min(this.#softAt, now + storeRetryMs);
        this.#options.turn();
      });
    }
  }

  #settleStored(outgoing: Outgoing): void {
    const { stored, isDone, context, peer, type, body } = outgoing;
    if (isDone || stored === undefined) return;
    // Whoever sent it may do with its memory what it likes now.
    outgoing.ownBody();
    this.#settle(context as Context, type, body.length, peer, stored, outgoing);
  }

  /**
   * @param context - Absent for what an earlier run sent.
   * @param outgoing - Absent for what never got a number.
   */
  #settle(
    context: Context | undefined,
    type: string,
    bytes: number,
    peer: PeerId,
    ended: Outcome,
    outgoing: Outgoing | undefined,
  ): void {
    let outcome: SendOutcome;
    switch (ended.state) {
      case "delivered":
        this.delivered += 1;
        outcome = ended;
        break;
      case "rejected":
        this.rejected += 1;
        outcome = ended;
        break;
      case "stored":
        this.stored += 1;
        outcome = { ...ended, messageId: this.#options.messageId(outgoing!) };
        break;
      case "kept":
        outcome = { ...ended, messageId: this.#options.messageId(outgoing!) };
        break;
      case "expired":
        this.expired += 1;
        outcome = ended;
        break;
      case "unreachable":
        this.unreachable += 1;
        outcome = ended.reasons.length === 0 ? { state: "unreachable", reasons: this.#reasonsFor(peer) } : ended;
        break;
    }
    if (this.#events.wants("message")) this.#tell(peer, type, bytes, outcome.state, outgoing);
    if (typeof context === "function") context(outcome);
    else if (context?.end() === true) {
      if (!context.isRequest) context.resolve(outcome as never);
      else context.reject(this.#errorOf(context, outcome));
    }
  }

  /** Why something never left, when whoever ended it did not know. */
  #reasonsFor(peer: PeerId): readonly StrategyFailure[] {
    const reasons = this.#isStopping ? [] : this.#options.failures(peer);
    if (reasons.length > 0) return reasons;
    const error = new RouteError(this.#isStopping ? "EGTP_NODE_STOPPING" : "EGTP_NOT_IN_TIME");
    return [{ strategy: "none", error }];
  }

  #errorOf({ peer, type, timeoutMs }: Call, outcome: SendOutcome): Error {
    if (outcome.state === "rejected") return new RejectedError(peer, type.name, outcome.reason);
    if (this.#isStopping) return new NodeStoppedError("stopped");
    if (outcome.state === "unreachable") return new UnreachableError(peer, outcome.reasons);
    return new TimeoutError(peer, type.name, timeoutMs, this.#options.failures(peer));
  }

  /** For delivery: a request got its reply. */
  replied(outgoing: Outgoing, body: Uint8Array): void {
    const call = outgoing.context as Call;
    this.delivered += 1;
    if (this.#events.wants("message")) {
      this.#tell(outgoing.peer, call.type.name, outgoing.body.length, "replied", outgoing);
    }
    if (!call.end()) return;
    if (call.type.reply === undefined) {
      call.resolve(ownBytes(body) as never);
      return;
    }
    try {
      // A promise, when the validator takes its time.
      call.resolve(decodeMessageReply(call.type, body) as never);
    } catch (error) {
      call.reject(error);
    }
  }

  /** Nothing is begun any more; what delivery ends from now on ended because the node stops. */
  stop(): void {
    this.#isStopping = true;
    this.#takeWaiting(() => true, neverLeft);
    const backlogs = [...this.#backlogs.values()];
    this.#backlogs.clear();
    for (const waiter of this.#turnWaiters) waiter.resolve();
    this.#turnWaiters.clear();
    for (const { ready } of backlogs) for (const waiter of ready) waiter.resolve();
  }

  #fail(context: Context, error: unknown): void {
    if (typeof context !== "function") {
      if (context.end()) context.reject(error);
      // A plain send resolves, and a promise that rejects stays rejected.
    } else context(Promise.reject(error) as never);
  }

  #watch(call: Call, signal: AbortSignal): void {
    if (signal.aborted) {
      call.end();
      call.reject(new AbortedError(signal.reason));
      return;
    }
    call.signal = signal;
    call.onAbort = () => {
      if (!call.end()) return;
      if (call.outgoing !== undefined) this.delivery.cancel(call.outgoing, this.#options.turn());
      call.reject(new AbortedError(signal.reason));
    };
    signal.addEventListener("abort", call.onAbort);
  }

  #tell(
    peer: PeerId,
    type: string,
    bytes: number,
    outcome: Outcome["state"] | "replied",
    outgoing: Outgoing | undefined,
  ): void {
    this.#events.emit({
      kind: "message",
      at: this.#options.schedule.now(),
      direction: "out",
      peer,
      type,
      messageId: outgoing === undefined ? undefined : this.#options.messageId(outgoing),
      outcome,
      bytes,
    });
  }
}

/** A short reply should not keep the whole envelope it came in. */
function ownBytes(bytes: Uint8Array): Uint8Array {
  return bytes.buffer.byteLength > 4 * bytes.length ? bytes.slice() : bytes;
}
