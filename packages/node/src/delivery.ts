/**
 * Delivery: reliable messages, requests and replies above anything that seals and carries envelopes, such as
 * `@egtp/mesgen` on any medium. It numbers, packs, receipts, re-sends, drops duplicates and bounds what it keeps.
 *
 * It does no I/O and reads no clock: time comes in with each call, envelopes' contents go in and out as bytes, and
 * {@link DeliverySink} is told what happened. One turn of whoever drives it:
 *
 *     for each envelope that was opened:   received = delivery.receive(opened.peer, opened, now)
 *     marks = delivery.mark(now)           // closes what was handled so far
 *     await maps.commit()                  // nothing to wait for with a store in memory
 *     delivery.committed(marks, now)       // now receipts and replies may tell of it
 *     for each peer of delivery.takeDue(now):
 *       while delivery.wants(peer, now).any and the link takes more:
 *         if not delivery.fill(peer, carrier, writer, now): break
 *         send(mesgen.seal(carrier, writer.bytes(), now))
 *     at delivery.nextDeadline:            delivery.tick(now), and takeDue again
 *
 * What a draft asks to be kept outlives this run: the maps hold it, and the next delivery above them goes on with it.
 *
 * @see docs/spec.md, "Delivery"
 */
import type { KeptMessage, SessionMaps } from "@egtp/session-store";
import { type Epoch, encodeTypeName, FrameReader, type FrameWriter, type Millis, type PeerId } from "@egtp/wire";
import { Conversation } from "./delivery/conversation.ts";
import { DeadlineHeap } from "./delivery/deadline-heap.ts";
import { DeliveryClosedError, MessageTooLargeError, OutboxFullError } from "./delivery/errors.ts";
import type { Delivered, Inbox, Received } from "./delivery/inbox.ts";
import type { Incoming } from "./delivery/incoming.ts";
import { type DeliverySink, Ledger } from "./delivery/ledger.ts";
import { type DeliveryLimits, defaultDeliveryLimits, maxTypeNames, messageSpan } from "./delivery/limits.ts";
import type { DeliveryCarrier } from "./delivery/outbox.ts";
import type { RejectReason, Stored, StrategyFailure } from "./delivery/outcome.ts";
import { type Draft, Outgoing, partsOf } from "./delivery/outgoing.ts";
import type { Flight } from "./delivery/send-window.ts";

export { DeliveryClosedError, MessageTooLargeError, OutboxFullError, type OutboxScope } from "./delivery/errors.ts";
export type { Delivered, Received } from "./delivery/inbox.ts";
export type { Incoming, Verdict } from "./delivery/incoming.ts";
export type { DeliverySink } from "./delivery/ledger.ts";
export { type DeliveryLimits, defaultDeliveryLimits, maxTypeNames, windowSize } from "./delivery/limits.ts";
export { Mail } from "./delivery/mail.ts";
export { type MessageId, messageIdOf } from "./delivery/message-id.ts";
export type { DeliveryCarrier } from "./delivery/outbox.ts";
export type { Outcome, RejectReason, Stored, StrategyFailure } from "./delivery/outcome.ts";
export type { Draft, Outgoing } from "./delivery/outgoing.ts";
export type { Flight } from "./delivery/send-window.ts";

export interface DeliveryOptions {
  /** Of this run, as mesgen's handshakes name it. Random and never used before, or numbers would be taken for old ones. */
  readonly epoch: Epoch;
  /** Where handled marks are kept, and messages that are to outlive this run. Those of earlier runs are taken from there. */
  readonly maps: SessionMaps;
  readonly sink: DeliverySink;
  readonly limits?: Partial<DeliveryLimits>;
}

/** What an envelope to a peer would carry now. */
export interface Wants {
  /** There is something to say. */
  readonly any: boolean;
  /** Among it messages or replies: only these may begin a new handshake. */
  readonly application: boolean;
  /** The messages may all not travel as early data: without an established session none of them can leave. */
  readonly establishedOnly: boolean;
  /** Among it something that the peer receipts as soon as it comes: messages, replies or a probe. */
  readonly asks: boolean;
}

const wantsOf: readonly Wants[] = Array.from({ length: 16 }, (_, bits) => ({
  any: (bits & 1) !== 0,
  application: (bits & 2) !== 0,
  establishedOnly: (bits & 4) !== 0,
  asks: (bits & 8) !== 0,
}));

/** Marks that `mark` closed and `committed` opens: what of them may be told to peers. */
export type MarkGeneration = number;

interface Batch {
  readonly generation: MarkGeneration;
  readonly inboxes: readonly Inbox[];
  readonly replies: readonly Outgoing[];
}

/** How many conversations are looked at to find one that can be forgotten. */
const evictionTries = 32;
const noBytes = new Uint8Array(0);
const nobody: readonly PeerId[] = [];

export class Delivery {
  readonly epoch: Epoch;
  readonly limits: DeliveryLimits;
  /** The envelope that was filled last. */
  flight: Flight | undefined;
  readonly #ledger: Ledger;
  readonly #sink: DeliverySink;
  /** By peer, in the order in which they are looked at for being forgotten. Bounded by `maxConversations`. */
  readonly #conversations = new Map<PeerId, Conversation>();
  /** Bounded by `maxTypeNames`. */
  readonly #typeNumbers = new Map<string, number>();
  readonly #deadlines = new DeadlineHeap<Conversation>();
  #ready: Conversation[] = [];
  /** Peers for whom something lies in mailboxes, as far as is known. Bounded by the conversations. */
  readonly inMailboxes = new Set<PeerId>();
  /** Peers whose sender was told that the outbox is full. */
  readonly #starved = new Set<PeerId>();
  /** New conversations number from here, above all that was forgotten. */
  #firstNumber = 1;
  #generation: MarkGeneration = 0;
  readonly #batches: Batch[] = [];
  readonly #reader = new FrameReader(noBytes);
  /** The conversation of the envelope that is being taken in. */
  #reading: Conversation | undefined = undefined;
  #isNotifying = false;
  #isClosed = false;

  constructor(options: DeliveryOptions) {
    this.epoch = options.epoch;
    this.limits = { ...defaultDeliveryLimits, ...options.limits };
    if (partsOf(this.limits.maxMessageBytes) > messageSpan)
      throw new RangeError("maxMessageBytes is beyond the window");
    this.#sink = options.sink;
    this.#ledger = new Ledger(options.epoch, options.maps, this.limits, options.sink);
    this.#takeKept(options.maps.takeMessages());
  }

  // ---- Sending.

  /**
   * Takes in a message or request and gives it its number. It leaves with the next `fill`.
   *
   * @throws {@link OutboxFullError}, {@link MessageTooLargeError}, {@link DeliveryClosedError}; `RangeError` for a type
   *   name that is none, or one too many for this run; `TypeError` when it cannot be kept.
   */
  enqueue(peer: PeerId, draft: Draft, now: Millis): Outgoing {
    if (this.#isClosed) throw new DeliveryClosedError();
    const { body } = draft;
    const { limits } = this;
    const { maps } = this.#ledger;
    if (draft.keep === true && draft.request === true)
      throw new TypeError("A request cannot be kept: its reply would find nobody");
    if (draft.keep === true && maps.forgets)
      throw new TypeError("Nothing can be kept: the session store forgets everything");
    if (body.length > limits.maxMessageBytes) throw new MessageTooLargeError(body.length, limits.maxMessageBytes);
    const typeNumber = this.#typeNumbers.get(draft.type) ?? this.#numberType(draft.type);
    const conversation = this.#conversation(peer, now);
    if (conversation === undefined) {
      this.#starved.add(peer);
      throw new OutboxFullError(peer, "conversations");
    }
    const { outbox } = conversation;
    const fits = this.#ledger.outboxBytes + body.length <= limits.maxOutboxBytesTotal;
    if (!fits || !outbox.hasRoom(body.length)) {
      this.#starved.add(peer);
      throw new OutboxFullError(peer, fits ? "peer" : "total");
    }
    const latest = now + limits.maxOutboxAgeMs;
    const asked = draft.deadlineAt ?? now + limits.defaultDeadlineMs;
    const deadlineAt = Math.min(asked, latest);
    const storedDeadlineAt = Math.max(deadlineAt, Math.min(draft.storedDeadlineAt ?? asked, latest));
    const outgoing = new Outgoing(peer, draft, typeNumber, body, deadlineAt, storedDeadlineAt, 0, undefined);
    outbox.add(outgoing);
    if (draft.keep === true) {
      outgoing.sentAt = now;
      outgoing.isKept = true;
      this.#ledger.kept++;
      maps.keepMessage(outgoing);
    }
    if (outgoing.deadlineAt < conversation.wakeAt) this.#deadlines.wake(conversation, outgoing.deadlineAt);
    if (!conversation.isReady) this.#makeReady(conversation);
    return outgoing;
  }

  /** Whether a message with a body of so many bytes finds room. If not, the sink hears `room` when it may. */
  hasRoom(peer: PeerId, bytes: number): boolean {
    const outbox = this.#conversations.get(peer)?.outbox;
    const has =
      this.#ledger.outboxBytes + bytes <= this.limits.maxOutboxBytesTotal &&
      (outbox === undefined || outbox.hasRoom(bytes));
    if (!has) this.#starved.add(peer);
    return has;
  }

  /** Unsettled messages and requests to the peer, also of earlier runs. */
  outboxSize(peer: PeerId): { readonly messages: number; readonly bytes: number } {
    const { messages = 0, bytes = 0 } = this.#conversations.get(peer)?.outbox.load ?? {};
    return { messages, bytes };
  }

  /** Unsettled messages that the store keeps, of this run and of earlier ones. */
  get keptMessages(): number {
    return this.#ledger.kept;
  }

  /**
   * Lets go on what earlier runs kept: until then it waits, as long as its recipient is not heard. How it ends is told to the
   * sink, of messages that nobody here sent: they have no context.
   */
  resume(): void {
    for (const conversation of this.#conversations.values()) {
      if (!conversation.isReady && !conversation.outboxes.isQuiet) this.#makeReady(conversation);
    }
  }

  /** Gives a message up: nothing more is heard of it. It may still arrive if it left already. */
  cancel(outgoing: Outgoing, now: Millis): void {
    const outbox = this.#conversations.get(outgoing.peer)?.outboxes.of(outgoing.epoch);
    if (outbox === undefined || outgoing.isDone) return;
    outbox.cancel(outgoing, now);
    this.#notify();
  }

  /**
   * The peers to whom an envelope should leave now. Each is named once: whoever cannot send to one now asks `wants`
   * when he can, for it is named again only when something new is due.
   */
  takeDue(now: Millis): readonly PeerId[] {
    if (this.#ready.length === 0) return [];
    const ready = this.#ready;
    this.#ready = [];
    const peers: PeerId[] = [];
    for (const conversation of ready) {
      conversation.isReady = false;
      if (conversation.hasSomethingToSay(now)) peers.push(conversation.peer);
    }
    return peers;
  }

  /**
   * Peers of whom nothing shows that what leaves for them arrives, though it was sent twice or more, or asked after: it had better
   * leave by another way. Each is named once, until there is more that shows so.
   */
  takeUnheard(): readonly PeerId[] {
    const { unheard } = this.#ledger;
    if (unheard.size === 0) return nobody;
    const peers = [...unheard];
    unheard.clear();
    for (const peer of peers) this.#conversations.get(peer)?.inbox.tellsAnew();
    return peers;
  }

  /** Something else than messages was said to the peer again and again without an answer. */
  doubt(peer: PeerId): void {
    this.#ledger.unheard.add(peer);
  }

  /** What an envelope to the peer would carry now. */
  wants(peer: PeerId, now: Millis): Wants {
    const conversation = this.#conversations.get(peer);
    if (conversation === undefined) return wantsOf[0]!;
    const { outboxes, inbox } = conversation;
    const application = outboxes.hasMessages;
    const asks = application || outboxes.wantsProbe;
    const any = asks || inbox.isDue(now);
    const establishedOnly = application && outboxes.onlyEstablished;
    return wantsOf[(any ? 1 : 0) | (application ? 2 : 0) | (establishedOnly ? 4 : 0) | (asks ? 8 : 0)]!;
  }

  /**
   * Begins the writer anew and fills it with the frames of one envelope: rejections, receipts, messages, a probe. What
   * else the envelope shall carry is written after this, or lies before the writer's buffer.
   *
   * @param carrier - What the envelope travels under.
   * @param writer - With room for at least one part, 16,384 bytes.
   * @param isRelayed - It is for a relay: one of `passed`, `stored`, `returned` and `lost` will be told of `flight`.
   * @returns Whether anything was written. If not, nothing that waits can travel under this carrier.
   */
  fill(peer: PeerId, carrier: DeliveryCarrier, writer: FrameWriter, now: Millis, isRelayed = false): boolean {
    const conversation = this.#conversations.get(peer);
    if (conversation === undefined) {
      writer.reset();
      return false;
    }
    const { outboxes, inbox } = conversation;
    const outbox = outboxes.next(carrier);
    if (outbox.isEarlier) writer.reset(outbox.base, outbox.epoch);
    else writer.reset(outbox.base);
    inbox.fill(writer, now);
    const hasAnswers = writer.length > 0;
    this.flight = outbox.fill(carrier, writer, isRelayed, now);
    this.flight.hasAnswers = hasAnswers;
    this.#wake(conversation, now);
    return writer.length > 0;
  }

  // ---- What became of an envelope that was given to a relay.

  /** The way to the relay broke before it said so: what was in it leaves again. */
  lost(peer: PeerId, flight: Flight, now: Millis): void {
    this.#tell(peer, now, ({ outboxes, inbox }) => {
      outboxes.of(flight.epoch)?.lost(flight);
      if (flight.hasAnswers) inbox.tellAgain(now);
    });
  }

  /** Its recipient acknowledged it. */
  passed(peer: PeerId, flight: Flight, now: Millis): void {
    this.#tell(peer, now, ({ outboxes }) => outboxes.of(flight.epoch)?.passed(flight, now));
  }

  /** The relay keeps it: until the peer is heard nothing of it is sent again. */
  stored(peer: PeerId, flight: Flight, stored: Stored, now: Millis): void {
    this.#tell(peer, now, ({ outboxes }) => outboxes.of(flight.epoch)?.stored(flight, stored, now));
  }

  /** The relay did not take it: what was in it waits again, as if it had not left. */
  returned(peer: PeerId, flight: Flight, now: Millis): void {
    this.#tell(peer, now, ({ outboxes }) => outboxes.of(flight.epoch)?.returned(flight));
  }

  /** The peer collects its mail at these relays: what lies in mailboxes elsewhere leaves again. */
  forsake(peer: PeerId, relays: ReadonlySet<PeerId>, now: Millis): void {
    this.#tell(peer, now, ({ outboxes }) => outboxes.each((outbox) => outbox.forsake(relays)));
  }

  // ---- Receiving.

  /**
   * Takes in the frames of one envelope that was opened. Messages are handed to the sink before it returns.
   *
   * @param opened - Its frames are given over: handlers get views of them.
   */
  receive(peer: PeerId, opened: Delivered, now: Millis): Received {
    const conversation = this.#conversation(peer, now);
    // Not receipted, so the peer sends it again later.
    if (conversation === undefined) {
      opened.mail?.refuse();
      opened.mail?.release();
      return { unplaced: false, fault: undefined };
    }
    conversation.isFresh = true;
    const outer = this.#reading;
    const reader = outer === undefined ? this.#reader : new FrameReader(opened.frames);
    this.#reading = conversation;
    try {
      reader.reset(opened.frames);
      return conversation.inbox.receive(reader, opened, now);
    } finally {
      this.#reading = outer;
      if (outer === undefined) reader.reset(noBytes);
      this.#after(conversation, now);
      this.#notify();
    }
  }

  /** Something of the peer was opened that has nothing for delivery in it. */
  heard(peer: PeerId, now: Millis): void {
    this.#tell(peer, now, ({ outboxes }) => outboxes.afterEnvelope(now));
  }

  /** The handler of a message returned. */
  handled(incoming: Incoming, now: Millis): void {
    const conversation = this.#of(incoming);
    if (conversation === undefined) return;
    conversation.inbox.handled(incoming);
    this.#after(conversation, now);
  }

  /** A message will not be handled: its sender hears why, and it is not run again while this process lives. */
  failed(incoming: Incoming, reason: RejectReason, now: Millis): void {
    const conversation = this.#of(incoming);
    if (conversation === undefined) return;
    conversation.inbox.failed(incoming, reason);
    this.#after(conversation, now);
  }

  /**
   * Answers a request, which is handled with that; a message that awaits no reply is just handled. The reply leaves when the handled mark is committed; it waits for no
   * room, for it is bounded by the requests that are taken in.
   *
   * @param body - Kept until the peer has it: it must not change.
   * @throws {@link MessageTooLargeError}: call `failed` instead.
   */
  reply(incoming: Incoming, body: Uint8Array, now: Millis): void {
    const { limits } = this;
    if (body.length > limits.maxMessageBytes) throw new MessageTooLargeError(body.length, limits.maxMessageBytes);
    const conversation = this.#of(incoming);
    if (conversation === undefined || incoming.isDone) return;
    if (!incoming.isRequest) {
      this.handled(incoming, now);
      return;
    }
    const { peer, number, epoch, deadlineAt } = incoming;
    conversation.inbox.replied(incoming);
    if (deadlineAt > now && !this.#isClosed) {
      const latest = now + (deadlineAt === Infinity ? limits.defaultDeadlineMs : limits.maxOutboxAgeMs);
      const until = Math.min(deadlineAt, latest);
      const reply = new Outgoing(peer, undefined, 0, body, until, until, number, epoch);
      this.#ledger.guardedReplies.push(reply);
      conversation.guardedReplies++;
    }
    if (conversation !== this.#reading) this.#after(conversation, now);
  }

  /** A handler for this type was registered: hands over what waited for one. */
  retry(type: string, now: Millis): void {
    for (const conversation of this.#conversations.values()) {
      if (!conversation.inbox.hasWaiting) continue;
      conversation.inbox.retry(type);
      this.#after(conversation, now);
    }
    this.#notify();
  }

  // ---- Handled marks.

  /** Whether messages were handled, or replied to, of which nothing may be said before the marks are committed. */
  get mustCommit(): boolean {
    return this.#ledger.touched.length > 0 || this.#ledger.guardedReplies.length > 0;
  }

  /**
   * Stages the marks of everything handled so far in the maps. Then commit the maps, and when that is done call
   * `committed` with what this returned. A store that keeps nothing over a crash needs no commit: call `committed` at
   * once. Several may be under way.
   */
  mark(now: Millis): MarkGeneration {
    const ledger = this.#ledger;
    if (!this.mustCommit) return this.#generation;
    for (const inbox of ledger.touched) inbox.beginCommit(now);
    this.#batches.push({ generation: ++this.#generation, inboxes: ledger.touched, replies: ledger.guardedReplies });
    ledger.touched = [];
    ledger.guardedReplies = [];
    return this.#generation;
  }

  /** The marks up to this generation are kept: receipts and replies that tell of them may leave. */
  committed(generation: MarkGeneration, now: Millis): void {
    while (this.#batches.length > 0 && this.#batches[0]!.generation <= generation) {
      const { inboxes, replies } = this.#batches.shift()!;
      for (const reply of replies) {
        const conversation = this.#conversations.get(reply.peer);
        if (conversation === undefined || this.#isClosed) continue;
        conversation.guardedReplies--;
        conversation.outbox.add(reply);
      }
      // Whoever replied also handled: its inbox is among these.
      for (const inbox of inboxes) {
        inbox.committed(now);
        const conversation = this.#conversations.get(inbox.peer);
        if (conversation !== undefined) this.#after(conversation, now);
      }
    }
  }

  // ---- What the surroundings report.

  /** The link to the peer broke: what it was not heard to have received leaves again. */
  linkLost(peer: PeerId, now: Millis): void {
    this.#tell(peer, now, ({ outboxes }) => outboxes.each((outbox) => outbox.linkLost()));
  }

  /** The peer cannot read these sessions or offers of ours: what last travelled under them leaves again. */
  carrierLost(peer: PeerId, ids: readonly string[], now: Millis): void {
    if (ids.length > 0) this.#tell(peer, now, ({ outboxes }) => outboxes.each((outbox) => outbox.carrierLost(ids)));
  }

  /** The peer runs anew: whatever it has not handled leaves again, and requests that it had not replied to. */
  peerRestarted(peer: PeerId, now: Millis): void {
    this.#tell(peer, now, ({ outboxes }) => outboxes.each((outbox) => outbox.peerRestarted(now)));
  }

  /** Whether something that never left for the peer may have to fail fast. */
  mustFailFast(peer: PeerId): boolean {
    return this.#conversations.get(peer)?.outbox.mustFailFast === true;
  }

  /** No strategy reaches the peer now: settles what asked to fail fast and never left; the rest waits on. */
  unreachable(peer: PeerId, reasons: readonly StrategyFailure[], now: Millis): void {
    this.#tell(peer, now, (conversation) => conversation.outbox.unreachable(reasons, now));
  }

  // ---- Time.

  /** When `tick` must be called. It may be too early, which does no harm, and so does a late call. */
  get nextDeadline(): Millis | undefined {
    return this.#deadlines.nextDeadline;
  }

  /** Does what time brings: expiry, re-sends, probes, receipts that waited long enough. Ask `takeDue` afterwards. */
  tick(now: Millis): void {
    for (;;) {
      const conversation = this.#deadlines.takeDue(now);
      if (conversation === undefined) break;
      conversation.outboxes.each((outbox) => outbox.tick(now));
      conversation.inbox.tick(now);
      this.#after(conversation, now);
    }
    this.#notify();
  }

  /**
   * Ends everything: what never left settles as unreachable, the rest as expired, for nobody knows whether it was
   * handled. Nothing can be sent any more; handlers may still call `handled`, without effect on any peer.
   *
   * @param keeps - All that is staged in the maps was committed: then what is kept settles as that and stays for the next run.
   *   False: it is given up.
   */
  close(keeps = false): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    for (const conversation of this.#conversations.values()) {
      conversation.outboxes.each((outbox) => outbox.close(keeps));
      this.#deadlines.remove(conversation);
    }
    this.#ready = [];
    this.#starved.clear();
    this.#notify();
  }

  // ---- Conversations.

  /** @param messages - In the order of peers, epochs and numbers. Bounded by the outboxes that they come from. */
  #takeKept(messages: readonly KeptMessage[]): void {
    for (let from = 0; from < messages.length; ) {
      const { peer } = messages[from]!;
      let to = from + 1;
      while (messages[to]?.peer === peer) to++;
      const conversation = new Conversation(peer, this.#ledger, this.#firstNumber);
      conversation.outboxes.resume(messages.slice(from, to), this.#ledger);
      this.#conversations.set(peer, conversation);
      if (conversation.outboxes.hasStored) this.inMailboxes.add(peer);
      this.#deadlines.wake(conversation, conversation.outboxes.nextDeadline);
      from = to;
    }
  }

  #conversation(peer: PeerId, now: Millis): Conversation | undefined {
    const known = this.#conversations.get(peer);
    if (known !== undefined) return known;
    if (this.#conversations.size >= this.limits.maxConversations && !this.#forgetOne(now)) return undefined;
    const conversation = new Conversation(peer, this.#ledger, this.#firstNumber);
    this.#conversations.set(peer, conversation);
    return conversation;
  }

  /**
   * Forgets a conversation in which nothing is under way and that was not used lately, else one whose peer left. What the peer may count on is
   * kept: handled marks are in the maps, and its numbers are never given out again, because every conversation that
   * begins later numbers from above them.
   */
  #forgetOne(now: Millis): boolean {
    let found: Conversation | undefined;
    let abandoned: Conversation | undefined;
    let tries = 0;
    for (const [peer, conversation] of this.#conversations) {
      if (tries++ >= evictionTries) break;
      if (conversation.isForgettable(now)) {
        found ??= conversation;
        if (!conversation.isFresh) {
          found = conversation;
          break;
        }
      } else if (abandoned === undefined && conversation.isAbandoned(now)) abandoned = conversation;
      // To the end, to be looked at again after all others.
      conversation.isFresh = false;
      this.#conversations.delete(peer);
      this.#conversations.set(peer, conversation);
    }
    found ??= abandoned;
    if (found === undefined) return false;
    found.inbox.giveUpIdle();
    this.#conversations.delete(found.peer);
    this.inMailboxes.delete(found.peer);
    this.#deadlines.remove(found);
    this.#firstNumber = Math.max(this.#firstNumber, found.outbox.window.top);
    return true;
  }

  #of(incoming: Incoming): Conversation | undefined {
    return this.#conversations.get(incoming.peer);
  }

  #tell(peer: PeerId, now: Millis, what: (conversation: Conversation) => void): void {
    const conversation = this.#conversations.get(peer);
    if (conversation === undefined) return;
    what(conversation);
    this.#after(conversation, now);
    this.#notify();
  }

  #numberType(type: string): number {
    if (encodeTypeName(type) === undefined) throw new RangeError(`Not a type name: ${JSON.stringify(type)}`);
    const number = this.#typeNumbers.size;
    if (number >= maxTypeNames) throw new RangeError(`More than ${maxTypeNames} message types in one run`);
    this.#typeNumbers.set(type, number);
    return number;
  }

  /** Looks again at when a conversation must be woken, and whether it has something to say. */
  #after(conversation: Conversation, now: Millis): void {
    conversation.outboxes.prune();
    if (conversation.outboxes.hasStored) this.inMailboxes.add(conversation.peer);
    else this.inMailboxes.delete(conversation.peer);
    this.#wake(conversation, now);
    if (!conversation.isReady && conversation.hasSomethingToSay(now)) this.#makeReady(conversation);
  }

  #wake(conversation: Conversation, now: Millis): void {
    if (this.#isClosed) return;
    const at = conversation.nextDeadline(now);
    if (at < conversation.wakeAt) this.#deadlines.wake(conversation, at);
  }

  #makeReady(conversation: Conversation): void {
    conversation.isReady = true;
    this.#ready.push(conversation);
  }

  /** Tells owners what was settled, and who may send again. They may call back; what that settles is told too. */
  #notify(): void {
    if (this.#isNotifying) return;
    const { finished, stored } = this.#ledger;
    this.#isNotifying = true;
    try {
      for (let i = 0; i < finished.length; i++) {
        const outgoing = finished[i]!;
        if (outgoing.reply !== undefined) this.#sink.replied(outgoing, outgoing.reply);
        else this.#sink.settled(outgoing, outgoing.outcome!);
      }
      for (let i = 0; i < stored.length; i++) if (!stored[i]!.isDone) this.#sink.stored(stored[i]!);
      if (this.#starved.size > 0) this.#feed();
    } finally {
      finished.length = 0;
      stored.length = 0;
      this.#isNotifying = false;
    }
    const { sinkError } = this.#ledger;
    if (sinkError === undefined) return;
    this.#ledger.sinkError = undefined;
    throw sinkError;
  }

  #feed(): void {
    const isRoomy = 4 * this.#ledger.outboxBytes <= 3 * this.limits.maxOutboxBytesTotal;
    if (!isRoomy) return;
    // Not those who starve again: what comes next may need more room than there is.
    const starving = [...this.#starved];
    for (const peer of starving) {
      if (this.#conversations.get(peer)?.outbox.isRoomy === false) continue;
      this.#starved.delete(peer);
      this.#sink.room(peer);
    }
  }
}
