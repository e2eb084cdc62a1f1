/**
 * A running peer: the cores below and the parts beside this file put together, started, stopped, and offered to a program.
 *
 * Nothing is shared between nodes but what their owner gives to both (rule R8).
 */
import { type CryptoProvider, defaultCryptoProvider, type Identity, Mesgen, MesgenError } from "@egtp/mesgen";
import { forgetfulSessionStore, SessionMaps } from "@egtp/session-store";
import {
  EgtpError,
  type Epoch,
  type MessageType,
  type Millis,
  type PeerId,
  parsePeerId,
  type Strategy,
  type VerifySignature,
  WireError,
} from "@egtp/wire";
import { Admission } from "./admission.ts";
import type {
  DiscoverRequest,
  EgtpNode,
  Handler,
  LinkState,
  LookUpRequest,
  NodeStats,
  ReadyOptions,
  RequestOptions,
  SendOptions,
  SendOutcome,
  SessionState,
  StopOptions,
} from "./api.ts";
import { Calls } from "./calls.ts";
import { ContactBook } from "./contact-book.ts";
import { Delivery, messageIdOf } from "./delivery.ts";
import { Endpoint } from "./endpoint.ts";
import { EnvelopeMemory } from "./envelope-memory.ts";
import { NodeStoppedError } from "./errors.ts";
import { EventHub, type EventOptions, type NodeEvent } from "./events.ts";
import { Handlers } from "./handlers.ts";
import { type NodeLimits, nodeLimits } from "./limits.ts";
import type { Lookup } from "./lookup.ts";
import type { NodeOptions, NodePart } from "./options.ts";
import { Publisher } from "./publisher.ts";
import { Router } from "./router.ts";
import { type NodeSchedule, systemSchedule } from "./schedule.ts";
import type { Served, Transport } from "./transport.ts";

/**
 * Makes a node, a running peer. It does nothing before `start`, but sends and handlers may be prepared.
 *
 *     await using node = await createNode({ identity: createIdentity(), transports: [tcp()] });
 *     node.handle(ping, ({ from, body }) => `${body.n} from ${from}`);
 *     await node.start();
 *
 * @param options - Only `identity` is required: sessions are then kept in memory, and nothing can be reached yet.
 * @throws {@link StoreError} when the session store cannot be read.
 */
export async function createNode(options: NodeOptions): Promise<EgtpNode> {
  return new RunningNode(options);
}

/**
 * Identities that had a store in this process. An identity is as old as its first store only once: what was sent to it
 * before its second one must not be taken for new.
 */
const identitiesWithStore = new WeakSet<Identity>();

/** Peers that `discover` gives when it is not told how many. */
const defaultDiscovered = 16;

type AnyType = MessageType<unknown, unknown, unknown, unknown>;

class RunningNode implements EgtpNode {
  readonly peerId: PeerId;
  readonly epoch: Epoch;
  readonly #options: NodeOptions;
  readonly #limits: NodeLimits;
  readonly #schedule: NodeSchedule;
  readonly #transports: readonly Transport[];
  readonly #lookup: Lookup | undefined;
  readonly #parts: readonly NodePart[];
  /** The last one first. */
  readonly #startedParts: NodePart[] = [];
  readonly #maps: SessionMaps;
  readonly #mesgen: Mesgen;
  readonly #delivery: Delivery;
  readonly #events = new EventHub();
  readonly #book: ContactBook;
  readonly #handlers: Handlers;
  readonly #calls: Calls;
  readonly #router: Router;
  readonly #publisher: Publisher;

  #state: "new" | "running" | "stopped" = "new";
  readonly #served: Served[] = [];
  /** Ways in besides those of the transports. */
  #advertised: readonly Strategy[] = [];
  /** The parts have started: from now on a change of the ways in is published. */
  #isPublishing = false;
  /** Types that got a handler in this turn. */
  readonly #retries = new Set<string>();
  #lastPeer: PeerId | undefined;
  /** That nobody else runs with our identity; gives what ends that. */
  #claim: Promise<() => Promise<void>> | undefined;
  /** Messages that earlier runs had kept. */
  readonly #resumed: number;
  #stopping: Promise<void> | undefined;

  constructor(options: NodeOptions) {
    const { identity, limits = {}, sealedSender = false, keepOutbox = false, lookup } = options;
    const store = options.sessions ?? forgetfulSessionStore;
    if (keepOutbox && store.forgets === true) {
      throw new TypeError("keepOutbox needs a session store that does not forget: give one as sessions");
    }
    const crypto: CryptoProvider = options.crypto ?? defaultCryptoProvider;
    this.#schedule = options.schedule ?? systemSchedule();
    this.#limits = nodeLimits(limits.node);
    this.#options = options;
    this.#parts = options.parts ?? [];
    this.#transports = [...(options.transports ?? []), ...this.#parts.flatMap(({ transport }) => transport ?? [])];
    this.#lookup = lookup;
    this.peerId = identity.peer;
    const now = this.#schedule.now();
    this.#maps = SessionMaps.open(store, {
      now,
      random: (length) => crypto.randomBytes(length),
      bornWithIdentity: identity.isNew && !identitiesWithStore.has(identity),
      ...(limits.store !== undefined && { limits: limits.store }),
    });
    identitiesWithStore.add(identity);
    const memory = new EnvelopeMemory();
    this.#mesgen = new Mesgen({
      identity,
      maps: this.#maps,
      crypto,
      sealedSender,
      allocate: memory.take,
      ...(limits.sessions !== undefined && { limits: limits.sessions }),
    });
    this.epoch = this.#mesgen.epoch;
    const turn = (): Millis => this.#router.turn();
    this.#handlers = new Handlers({ events: this.#events, schedule: this.#schedule, turn });
    this.#delivery = new Delivery({
      epoch: this.epoch,
      maps: this.#maps,
      sink: {
        deliver: (incoming) => this.#handlers.deliver(incoming),
        settled: (outgoing, outcome) => this.#calls.settled(outgoing, outcome),
        replied: (outgoing, body) => this.#calls.replied(outgoing, body),
        stored: (outgoing) => this.#calls.keptByRelay(outgoing),
        room: (peer) => this.#calls.room(peer),
      },
      ...(limits.delivery !== undefined && { limits: limits.delivery }),
    });
    this.#handlers.delivery = this.#delivery;
    this.#calls = new Calls({
      limits: this.#limits,
      defaultDeadlineMs: this.#delivery.limits.defaultDeadlineMs,
      maxOutboxAgeMs: this.#delivery.limits.maxOutboxAgeMs,
      keepOutbox,
      messageId: ({ epoch, number }) => messageIdOf(this.peerId, epoch, number),
      events: this.#events,
      schedule: this.#schedule,
      turn,
      urge: (peer) => this.#router.urge(peer),
      commit: () => this.#router.commit(),
      isCongested: (peer) => this.#router.isCongested(peer),
      failures: (peer) => this.#router.failures(peer),
    });
    this.#calls.delivery = this.#delivery;
    this.#resumed = this.#delivery.keptMessages;
    const verify: VerifySignature = (key, message, signature) => crypto.verify(key, message, signature);
    this.#book = new ContactBook(this.#limits.maxContactRecords, verify);
    this.#router = new Router({
      endpoint: new Endpoint({ mesgen: this.#mesgen, delivery: this.#delivery, maps: this.#maps }),
      transports: this.#transports,
      lookup,
      book: this.#book,
      admission: new Admission(limits.admission ?? {}, this.#limits.maxSources, now),
      schedule: this.#schedule,
      limits: this.#limits,
      events: this.#events,
      allowPrivateAddresses: options.allowPrivateAddresses ?? false,
      sealedSender,
      randomBytes: (length) => crypto.randomBytes(length),
      left: (envelope) => memory.give(envelope),
      host: {
        beforeFlush: (at) => this.#beforeFlush(at),
        afterFlush: () => this.#calls.turned(),
        unreachable: (peer, reasons) => this.#calls.unreachablePeer(peer, reasons),
      },
    });
    this.#publisher = new Publisher({
      identity,
      verify,
      lookup,
      services: options.services ?? [],
      schedule: this.#schedule,
      limits: this.#limits,
      events: this.#events,
      withTime: (timeMs, run) => this.#router.connector.withTime(timeMs, run),
      onRecord: (record) => {
        this.#router.ownRecord = record;
      },
    });
  }

  // ---- Life

  async start(): Promise<void> {
    if (this.#state !== "new") throw new NodeStoppedError("stopped");
    this.#state = "running";
    try {
      this.#claim = this.#options.identity.claim?.();
      if (this.#claim !== undefined) {
        await this.#claim;
        this.#checkRunning();
      }
      for (const transport of this.#transports) {
        const served = await transport.serve(
          { peer: this.peerId },
          (link) => this.#router.accept(link, transport),
          (envelope, source) => this.#router.takeMail(envelope, source),
        );
        this.#served.push(served);
        this.#checkRunning();
      }
      this.#tellDamage();
      this.#router.turn();
      await this.#lookup?.start?.(this, this.#options);
      for (const part of this.#parts) {
        this.#checkRunning();
        this.#startedParts.unshift(part);
        await part.start(this, this.#options, (event) => this.#events.emit(event));
      }
      this.#checkRunning();
      this.#delivery.resume();
      this.#router.turn();
    } catch (error) {
      await this.#stopServing();
      await this.stop();
      throw error;
    }
    this.#isPublishing = true;
    // Whoever asks for us the moment after should find us; a directory that does not answer holds nobody up.
    await this.#atMost(this.#publisher.publish(this.#strategies()), this.#limits.firstPublishMs);
  }

  /** @throws {@link NodeStoppedError} when it was stopped while it started. */
  #checkRunning(): void {
    if (this.#state !== "running") throw new NodeStoppedError("stopped");
  }

  stop({ goodbye = false }: StopOptions = {}): Promise<void> {
    // Not in the midst of a turn: a handler may be calling.
    this.#stopping ??= Promise.resolve().then(() => this.#stop(goodbye));
    return this.#stopping;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  async #stop(goodbye: boolean): Promise<void> {
    const { stopMs } = this.#limits;
    const wasRunning = this.#state === "running";
    this.#publisher.stop();
    if (goodbye && wasRunning) {
      await this.#atMost(
        this.#publisher.sayGoodbye().catch(() => {}),
        stopMs,
      );
    }
    const parts: Promise<void>[] = [];
    for (const part of this.#startedParts.splice(0)) {
      const stopping = part.stop().catch(() => {});
      parts.push(stopping);
      await this.#atMost(stopping, stopMs);
    }
    this.#state = "stopped";
    const linkless = wasRunning ? this.#router.stop() : Promise.resolve();
    this.#handlers.close(new NodeStoppedError("stopped"));
    this.#calls.stop();
    this.#delivery.close(this.#delivery.keptMessages > 0 && (await this.#keepsAll()));
    await this.#atMost(Promise.all([linkless, this.#stopServing()]), stopMs);
    this.#events.close();
    try {
      await this.#lookup?.close?.();
    } finally {
      this.#mesgen.lowerLimits();
      try {
        await this.#maps.close();
      } finally {
        await this.#giveIdentityFree();
      }
    }
    // One may have waited for a disk all that time: what it holds is free for others when we say that we stopped.
    await Promise.all(parts);
  }

  async #giveIdentityFree(): Promise<void> {
    const giveFree = await this.#claim?.catch(() => undefined); // `start` said why not
    await giveFree?.();
  }

  /** Writes what is staged. @returns Whether the store has everything now. */
  async #keepsAll(): Promise<boolean> {
    let isKept = false;
    const keep = async (): Promise<void> => {
      await this.#maps.commit();
      isKept = true;
    };
    await this.#atMost(
      keep().catch(() => {}),
      this.#limits.stopMs,
    );
    return isKept;
  }

  async #stopServing(): Promise<void> {
    await Promise.all(this.#served.splice(0).map((served) => served.stop()));
  }

  /** Waits for something, but no longer than a time. */
  async #atMost(something: Promise<unknown>, timeMs: Millis): Promise<void> {
    let cancelTimer = (): void => {};
    const time = new Promise<void>((resolve) => {
      cancelTimer = this.#schedule.setTimer(resolve, timeMs);
    });
    try {
      await Promise.race([something, time]);
    } finally {
      cancelTimer();
    }
  }

  #tellDamage(): void {
    if (!this.#events.wants("store")) return;
    const at = this.#schedule.now();
    for (const { key, reason } of this.#maps.damaged) {
      this.#events.emit({ kind: "store", at, state: "damaged", key, error: reason });
    }
  }

  #beforeFlush(now: Millis): Millis {
    for (const type of this.#retries) this.#delivery.retry(type, now);
    this.#retries.clear();
    return this.#calls.expire(now);
  }

  // ---- Messages

  handle<BodyIn, BodyOut, ReplyIn, ReplyOut>(
    type: MessageType<BodyIn, BodyOut, ReplyIn, ReplyOut>,
    handler: Handler<BodyOut, ReplyIn>,
  ): () => void {
    const remove = this.#handlers.register(type as AnyType, handler as Handler<unknown, unknown>);
    this.#retries.add(type.name);
    if (this.#state === "running") this.#router.turn();
    return remove;
  }

  send<BodyIn>(
    peer: PeerId,
    type: MessageType<BodyIn, unknown, unknown, unknown>,
    body: NoInfer<BodyIn>,
    options?: SendOptions,
  ): Promise<SendOutcome> {
    if (this.#state !== "running" || peer !== this.#lastPeer) {
      const error = this.#problemWith(peer);
      if (error !== undefined) return Promise.reject(error);
    }
    return this.#calls.send(peer, type as AnyType, body, options);
  }

  request<BodyIn, ReplyOut>(
    peer: PeerId,
    type: MessageType<BodyIn, unknown, unknown, ReplyOut>,
    body: NoInfer<BodyIn>,
    options?: RequestOptions,
  ): Promise<ReplyOut> {
    if (this.#state !== "running" || peer !== this.#lastPeer) {
      const error = this.#problemWith(peer);
      if (error !== undefined) return Promise.reject(error);
    }
    return this.#calls.request(peer, type as AnyType, body, options) as Promise<ReplyOut>;
  }

  ready(peer: PeerId, { signal }: ReadyOptions = {}): Promise<void> {
    return this.#calls.ready(peer, signal);
  }

  /** Why nothing can be sent to whoever that is. */
  #problemWith(peer: PeerId): EgtpError | undefined {
    if (this.#state !== "running") return new NodeStoppedError(this.#state);
    if (peer === this.peerId) return new MesgenError("EGTP_MESGEN_SELF", "This is our own ID.");
    if (!this.#router.knows(peer)) {
      try {
        parsePeerId(peer);
      } catch (error) {
        if (error instanceof EgtpError) return error;
        throw error;
      }
    }
    this.#lastPeer = peer;
    return undefined;
  }

  // ---- Surroundings

  get contactRecord(): Uint8Array | undefined {
    return this.#router.ownRecord;
  }

  learn(record: Uint8Array): PeerId {
    const { id } = this.#book.learn(record, undefined, this.#schedule.now());
    this.#router.retry(id);
    return id;
  }

  async lookUp(peer: PeerId, { signal, tried }: LookUpRequest = {}): Promise<Uint8Array | undefined> {
    const id = parsePeerId(peer);
    const known = this.#book.get(id, this.#schedule.now());
    const isOfUse = known !== undefined && known.seq > (tried ?? -1);
    const lookup = this.#lookup;
    if (isOfUse || lookup === undefined) return this.#book.bytes(id, this.#schedule.now());
    const bytes = await this.#withSignal(signal, (given) => lookup.lookUp(id, { signal: given, tried }));
    if (bytes !== undefined) this.#book.learn(bytes, id, this.#schedule.now());
    return this.#book.bytes(id, this.#schedule.now());
  }

  async discover(
    service: string,
    { signal, max = defaultDiscovered }: DiscoverRequest = {},
  ): Promise<readonly PeerId[]> {
    const lookup = this.#lookup;
    if (lookup?.discover === undefined) return [];
    const found = await this.#withSignal(signal, (given) => lookup.discover!(service, { signal: given, max }));
    const now = this.#schedule.now();
    const peers = new Set<PeerId>();
    for (const bytes of found.slice(0, max)) {
      try {
        const record = this.#book.learn(bytes, undefined, now);
        if (!record.gone && record.services.includes(service) && record.id !== this.peerId) peers.add(record.id);
      } catch (error) {
        // What a lookup says is not believed: a record that does not verify is passed over.
        if (!(error instanceof WireError)) throw error;
      }
    }
    return [...peers];
  }

  /** Runs a lookup for as long as its caller says, or as long as ours may take. */
  #withSignal<T>(signal: AbortSignal | undefined, run: (signal: AbortSignal) => Promise<T>): Promise<T> {
    return signal === undefined ? this.#router.connector.withTime(this.#limits.lookupMs, run) : run(signal);
  }

  introduce(peer: PeerId, strategies: readonly Strategy[]): void {
    this.#router.introduce(parsePeerId(peer), strategies);
  }

  advertise(strategies: readonly Strategy[]): void {
    this.#advertised = [...strategies];
    if (this.#isPublishing) void this.#publisher.publish(this.#strategies());
  }

  #strategies(): Strategy[] {
    return [...this.#served.flatMap(({ strategies }) => strategies), ...this.#advertised];
  }

  // ---- Watching

  events(options: EventOptions = {}): AsyncIterableIterator<NodeEvent> {
    return this.#events.stream(options);
  }

  links(): readonly LinkState[] {
    return this.#router.links();
  }

  isLinked(peer: PeerId): boolean {
    return this.#router.isLinked(peer);
  }

  sessions(peer: PeerId): readonly SessionState[] {
    return this.#mesgen.sessions(peer);
  }

  stats(): NodeStats {
    const router = this.#router;
    const calls = this.#calls;
    return {
      envelopesIn: router.envelopesIn,
      envelopesOut: router.envelopesOut,
      bytesIn: router.bytesIn,
      bytesOut: router.bytesOut,
      messagesIn: this.#handlers.messagesIn,
      messagesOut: calls.messagesOut,
      delivered: calls.delivered,
      stored: calls.stored,
      rejected: calls.rejected,
      expired: calls.expired,
      unreachable: calls.unreachable,
      resumed: this.#resumed,
      drops: { ...router.drops },
      unreadable: router.unreadable,
      handshakes: this.#mesgen.handshakes,
      dials: router.connector.dials,
      links: router.links().length,
      routes: router.routes,
      sessions: this.#maps.sessionCount,
      waitingSends: calls.waitingSends,
      kept: this.#delivery.keptMessages,
    };
  }
}
