/**
 * Two deliveries and the world between them: a network that loses, repeats, reorders and delays envelopes as a seed
 * tells it, virtual time, stores that need time to write, and peers that crash and come back with or without what they
 * had stored, messages they kept among it.
 *
 * In the place of mesgen stand sessions without cryptography that behave as far as delivery can notice: early data
 * under an offer, a session once it is accepted, and carriers that the other side cannot read after it lost its store.
 */
import { MemorySessionStore, SessionMaps } from "@egtp/session-store";
import {
  type Epoch,
  FrameReader,
  FrameWriter,
  type MessageFields,
  type PeerId,
  partBytes,
  peerIdFromTrustedBytes,
} from "@egtp/wire";
import {
  Delivery,
  type DeliveryLimits,
  type Draft,
  type Flight,
  type Incoming,
  Mail,
  type MessageId,
  messageIdOf,
  type Outcome,
  type Outgoing,
  type Received,
  type Verdict,
} from "../src/delivery.ts";

export function random(seed: number): () => number {
  let state = (seed * 2_654_435_761 + 97) >>> 0 || 1;
  return () => {
    state ^= state << 13;
    state >>>= 0;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state / 4_294_967_296;
  };
}

interface Session {
  readonly id: string;
  readonly isOffer: boolean;
  readonly madeAt: number;
  /** By peer: the epoch that the session names. */
  readonly epochs: Map<PeerId, Epoch>;
}

export interface Envelope {
  readonly from: PeerId;
  readonly session: Session;
  /** Names of carriers that the sender cannot read. */
  readonly rejected: readonly string[];
  readonly frames: Uint8Array;
  readonly sentAt: number;
}

export interface Network {
  loss: number;
  repeat: number;
  reorder: number;
  latencyMs: number;
}

/** What is known of one message that was sent. */
export interface Sent {
  readonly outgoing: Outgoing;
  readonly id: MessageId;
  /** The run of the sender. */
  readonly run: number;
  readonly isKept: boolean;
  /** What the present run of its sender knows. */
  outcome: Outcome | { readonly state: "replied"; readonly body: Uint8Array } | undefined;
  /** What a run knew that crashed before it had written that. */
  before: Sent["outcome"];
  settledAt: number;
  /** The run that sent it left nothing of it to later ones. */
  isGone: boolean;
}

export class World {
  readonly seed: number;
  readonly random: () => number;
  now = 1_000_000;
  readonly network: Network = { loss: 0, repeat: 0, reorder: 0, latencyMs: 5 };
  readonly violations: string[] = [];
  /** Envelopes that were sent, all in all. */
  sent = 0;
  /** Sees every envelope; `false` drops it. */
  tap: (envelope: Envelope) => boolean = () => true;
  readonly peers: Peer[] = [];
  #events: { at: number; order: number; run: () => void }[] = [];
  #order = 0;

  constructor(seed = 1) {
    this.seed = seed;
    this.random = random(seed);
  }

  chance(probability: number): boolean {
    return this.random() < probability;
  }

  at(delayMs: number, run: () => void): void {
    const event = { at: this.now + delayMs, order: this.#order++, run };
    let index = this.#events.length;
    while (index > 0 && this.#events[index - 1]!.at > event.at) index--;
    this.#events.splice(index, 0, event);
  }

  /** Lets time pass. */
  run(forMs: number): void {
    const end = this.now + forMs;
    for (let guard = 0; ; guard++) {
      if (guard > 200_000) throw new Error(`Seed ${this.seed}: time does not pass`);
      const event = this.#events[0];
      const deadline = Math.min(...this.peers.map((peer) => peer.nextDeadline));
      const next = Math.min(event?.at ?? Infinity, deadline);
      if (next > end) break;
      this.now = Math.max(this.now, next);
      if (event !== undefined && event.at <= next) {
        this.#events.shift();
        event.run();
      } else {
        for (const peer of this.peers) if (peer.nextDeadline <= this.now) peer.tick();
      }
    }
    this.now = end;
  }

  /** Lets time pass until nobody has anything to do, for so long at most. */
  settle(forMs: number): void {
    const end = this.now + forMs;
    while (this.now < end && (this.#events.length > 0 || this.peers.some((peer) => peer.nextDeadline < Infinity))) {
      this.run(Math.min(1_000, end - this.now));
    }
  }

  transmit(envelope: Envelope, to: Peer): void {
    this.sent++;
    if (!this.tap(envelope)) return;
    const { loss, repeat, reorder, latencyMs } = this.network;
    if (this.chance(loss)) return;
    for (let copies = this.chance(repeat) ? 2 : 1; copies > 0; copies--) {
      const extra = this.chance(reorder) ? this.random() * 20 * latencyMs : 0;
      this.at(latencyMs + extra, () => to.receive(envelope));
    }
  }

  violate(what: string): void {
    this.violations.push(`seed ${this.seed}, ${this.now}: ${what}`);
  }
}

const writer = new FrameWriter(new Uint8Array(65_000));

interface Letter {
  readonly envelope: Envelope;
  readonly sender: Peer;
  readonly flight: Flight | undefined;
  /** Of the sender, when it was given to the relay. */
  readonly delivery: Delivery;
  isJudged: boolean;
  /** The run of the owner that it was pushed to. */
  pushedTo: number;
}

/** What a relay keeps for a peer, from oldest to newest, and the relay that says so to senders. */
export class Mailbox {
  readonly owner: Peer;
  readonly letters: Letter[] = [];
  /** Of the envelopes: refused, forgotten after they were stored, cut off from their senders before they heard. */
  refuses = 0;
  forgets = 0;
  cuts = 0;
  readonly relay: PeerId = peerIdFromTrustedBytes(new Uint8Array(32).fill(9));
  /** How long it waits for the owner until it tells the sender that it keeps it. */
  patienceMs = 50;
  /** How long a letter lies there until the owner comes for it. */
  pollMs = 0;

  constructor(owner: Peer) {
    this.owner = owner;
  }

  give(sender: Peer, envelope: Envelope, flight: Flight | undefined): void {
    const { world } = this.owner;
    const { delivery } = sender;
    const letter: Letter = { envelope, sender, flight, delivery, isJudged: false, pushedTo: 0 };
    world.at(world.network.latencyMs, () => {
      if (world.chance(this.refuses)) {
        this.#judge(letter, (to, of, now) => to.returned(this.owner.id, of, now));
        return;
      }
      this.letters.push(letter);
      if (world.chance(this.cuts)) this.#judge(letter, (to, of, now) => to.lost(this.owner.id, of, now));
      if (this.pollMs === 0) this.#push(letter);
      else world.at(this.pollMs, () => this.#push(letter));
      world.at(this.patienceMs, () => {
        if (!this.letters.includes(letter)) return;
        const stored = { state: "stored", relay: this.relay, until: world.now + 3_600_000 } as const;
        this.#judge(letter, (to, of, now) => to.stored(this.owner.id, of, stored, now));
        if (world.chance(this.forgets)) this.letters.splice(this.letters.indexOf(letter), 1);
      });
    });
  }

  /** The owner is back: everything is handed over again, oldest first. */
  hand(): void {
    for (const letter of this.letters) this.#push(letter);
  }

  #push(letter: Letter): void {
    const { owner } = this;
    const { world } = owner;
    world.at(world.network.latencyMs, () => {
      const { runs } = owner;
      if (!owner.isUp || letter.pushedTo === runs || !this.letters.includes(letter)) return;
      letter.pushedTo = runs;
      const settle = (isTaken: boolean): void => {
        if (owner.runs !== runs || !owner.isUp) return;
        letter.pushedTo = 0;
        if (!isTaken) world.at(100, () => this.#push(letter));
        else if (this.letters.includes(letter)) {
          this.letters.splice(this.letters.indexOf(letter), 1);
          this.#judge(letter, (to, of, now) => to.passed(owner.id, of, now));
        }
      };
      owner.receive(letter.envelope, new Mail(settle));
    });
  }

  #judge(letter: Letter, tell: (to: Delivery, of: Flight, now: number) => void): void {
    const { world } = this.owner;
    const { sender, delivery, flight } = letter;
    if (letter.isJudged) return;
    letter.isJudged = true;
    world.at(world.network.latencyMs, () => {
      if (sender.delivery !== delivery || !sender.isUp) return;
      if (flight !== undefined) tell(delivery, flight, world.now);
      sender.turn(true);
    });
  }
}

export class Peer {
  readonly world: World;
  readonly id: PeerId;
  other!: Peer;
  store = new MemorySessionStore();
  maps!: SessionMaps;
  delivery!: Delivery;
  epoch!: Epoch;
  /** Counts starts. */
  runs = 0;
  isUp = true;
  /** A link that carries nothing for a while. */
  isLinked = true;
  /** Where envelopes for this peer go; without one over the link. */
  mailbox: Mailbox | undefined;
  /** Of the store. */
  #bornAt = 0;
  /** How long the store takes to write. */
  commitMs = 0;
  /** Messages are kept. */
  keeps = false;
  /** Changes that nothing waits for are written this much later. */
  writeBehindMs = 1_000;
  #isWriting = false;
  readonly limits: Partial<DeliveryLimits>;

  /** Handlers by type; without one a message waits. */
  readonly handlers = new Map<string, (incoming: Incoming, peer: Peer) => Verdict>();
  readonly sent: Sent[] = [];
  readonly #sentById = new Map<MessageId, Sent>();
  /** Whether messages that this peer did not send may come from it: some tests write envelopes by hand. */
  isForged = false;
  /** Everything that was handed over, in order. */
  readonly delivered: {
    readonly id: MessageId;
    readonly type: string;
    readonly body: Uint8Array;
    readonly early: boolean;
  }[] = [];
  /** By message ID, the starts in which it was handed over. */
  readonly handedOver = new Map<MessageId, number[]>();
  roomCalls = 0;
  unplaced = 0;
  readonly faults: string[] = [];

  /** Sessions that can be read here: survives a crash with the store. */
  #readable = new Map<string, Session>();
  #offer: Session | undefined;
  #session: Session | undefined;
  #restart = new Set<Epoch>();
  #reject: string[] = [];
  #named = new Set<string>();
  #lost = new Set<string>();
  #epochHeard: Epoch | undefined;
  #receiving: Envelope | undefined;
  /** Told to be in a mailbox, in order. */
  readonly stored: Outgoing[] = [];

  constructor(world: World, number: number, limits: Partial<DeliveryLimits> = {}) {
    this.world = world;
    this.id = peerIdFromTrustedBytes(new Uint8Array(32).fill(number));
    this.limits = limits;
    world.peers.push(this);
    this.start();
  }

  start(): void {
    const { world } = this;
    this.runs++;
    this.isUp = true;
    this.epoch = (this.id.charCodeAt(20).toString(16).padStart(4, "0") +
      this.runs.toString(16).padStart(12, "0")) as Epoch;
    this.maps = SessionMaps.open(this.store, {
      now: Math.floor(world.now),
      random: (n) => new Uint8Array(n).fill(this.runs),
    });
    this.delivery = new Delivery({
      epoch: this.epoch,
      maps: this.maps,
      limits: this.limits,
      sink: {
        deliver: (incoming) => this.#deliver(incoming),
        settled: (outgoing, outcome) => this.#settled(outgoing, outcome),
        replied: (outgoing, body) => this.#settled(outgoing, { state: "replied", body: body.slice() }),
        stored: (outgoing) => this.stored.push(outgoing),
        room: () => this.roomCalls++,
      },
    });
    this.#isWriting = false;
    this.delivery.resume();
    this.mailbox?.hand();
    this.soon();
  }

  /** A stop in order: what was to be kept is, and the next run begins some time later. */
  stop(downMs: number): void {
    void this.maps.commit();
    this.delivery.close(true);
    void this.maps.commit();
    this.crash("kept", downMs);
  }

  /** kill -9, and a start some time later. */
  crash(keep: "kept" | "lost", downMs: number): void {
    this.isUp = false;
    this.store = keep === "kept" ? this.store.snapshot() : new MemorySessionStore();
    const left = new Set(this.keptIds());
    for (const sent of this.sent) {
      const isLeft = left.has(sent.id);
      if (isLeft && sent.outcome !== undefined) {
        sent.before = sent.outcome;
        sent.outcome = undefined;
      } else if (!isLeft && sent.outcome === undefined) sent.isGone = true;
    }
    if (keep === "lost") {
      this.#readable.clear();
      this.#bornAt = this.world.now;
    }
    this.#offer = undefined;
    this.#session = undefined;
    this.#reject = [];
    this.#named.clear();
    this.#lost.clear();
    this.#restart.clear();
    this.#epochHeard = undefined;
    this.world.at(downMs, () => this.start());
  }

  /** The IDs of all messages that the store keeps. */
  keptIds(): MessageId[] {
    const keys = [...this.store.load()].map(([key]) => key.split(":"));
    return keys
      .filter(([kind]) => kind === "o")
      .map(([, , epoch, number]) => messageIdOf(this.id, epoch as Epoch, Number.parseInt(number!, 16)));
  }

  get nextDeadline(): number {
    return this.isUp ? (this.delivery.nextDeadline ?? Infinity) : Infinity;
  }

  send(type: string, body: Uint8Array, options: Partial<Draft> = {}): Sent {
    const keep = options.keep ?? (this.keeps && options.request !== true);
    const sent = { run: this.runs, isKept: keep, outcome: undefined, settledAt: Infinity, isGone: false } as {
      -readonly [K in keyof Sent]: Sent[K];
    };
    const draft = { type, body, context: sent, keep, ...options };
    sent.outgoing = this.delivery.enqueue(this.other.id, draft, this.world.now);
    sent.id = messageIdOf(this.id, this.epoch, sent.outgoing.number);
    this.sent.push(sent);
    this.#sentById.set(sent.id, sent);
    this.soon();
    return sent;
  }

  handle(type: string, handler: (incoming: Incoming, peer: Peer) => Verdict): void {
    this.handlers.set(type, handler);
    this.delivery.retry(type, this.world.now);
    this.soon();
  }

  /** A handler that returns after a while. */
  handleLater(type: string, delayMs: () => number): void {
    this.handle(type, (incoming) => {
      const { delivery } = this;
      this.world.at(delayMs(), () => {
        if (this.delivery !== delivery || !this.isUp) return;
        if (incoming.isRequest) delivery.reply(incoming, incoming.body, this.world.now);
        else delivery.handled(incoming, this.world.now);
        this.turn();
      });
      return "pending";
    });
  }

  unlink(): void {
    this.isLinked = false;
  }

  relink(): void {
    this.isLinked = true;
    if (!this.isUp) return;
    this.delivery.linkLost(this.other.id, this.world.now);
    this.turn(true);
  }

  tick(): void {
    this.delivery.tick(this.world.now);
    this.turn();
  }

  soon(): void {
    const { delivery } = this;
    this.world.at(0, () => {
      if (this.delivery === delivery && this.isUp) this.turn();
    });
  }

  /** What ends a turn of the event loop: commit, then send. */
  turn(force = false): void {
    const { delivery, world } = this;
    if (delivery.mustCommit) {
      const marks = delivery.mark(world.now);
      if (this.commitMs === 0) {
        void this.maps.commit();
        delivery.committed(marks, world.now);
      } else {
        world.at(this.commitMs, () => {
          if (this.delivery !== delivery || !this.isUp) return;
          void this.maps.commit();
          delivery.committed(marks, world.now);
          this.turn();
        });
      }
    }
    const due = delivery.takeDue(world.now);
    if (force || due.length > 0) this.flush();
    this.#writeBehind();
  }

  #writeBehind(): void {
    const { delivery, world, maps } = this;
    if (!this.keeps || this.#isWriting || !maps.dirty) return;
    this.#isWriting = true;
    world.at(this.writeBehindMs, () => {
      if (this.delivery !== delivery || !this.isUp) return;
      this.#isWriting = false;
      void maps.commit();
    });
  }

  receive(envelope: Envelope, mail?: Mail): void {
    if (!this.isUp) return;
    const { delivery, world } = this;
    const { session } = envelope;
    const known = this.#readable.has(session.id) || this.#offer === session;
    const isStale = session.isOffer ? session.madeAt < this.#bornAt : session.epochs.get(this.id) !== this.epoch;
    if (!known && isStale) {
      this.#refuse(session.id);
      mail?.release();
      this.flush(true);
      return;
    }
    this.#readable.set(session.id, session);
    const ours = session.epochs.get(this.id);
    const theirs = session.epochs.get(envelope.from)!;
    if (ours === undefined && !this.#restart.has(theirs)) {
      // An offer: answered with a session between this run and its maker's.
      this.#restart.add(theirs);
      const made: Session = {
        id: `s:${[theirs, this.epoch].sort().join(":")}`,
        isOffer: false,
        madeAt: world.now,
        epochs: new Map([
          [this.id, this.epoch],
          [envelope.from, theirs],
        ]),
      };
      this.#readable.set(made.id, made);
      if (!this.#lost.has(made.id)) this.#session = made;
    } else if (ours === this.epoch && !this.#lost.has(session.id)) this.#session = session;
    else if (ours !== undefined && ours !== this.epoch) this.#refuse(session.id);
    if (this.#epochHeard !== undefined && this.#epochHeard < theirs) delivery.peerRestarted(this.other.id, world.now);
    if (this.#epochHeard === undefined || this.#epochHeard < theirs) this.#epochHeard = theirs;
    for (const id of envelope.rejected) {
      this.#lost.add(id);
      if (this.#session?.id === id) this.#session = undefined;
      if (this.#offer?.id === id) this.#offer = undefined;
    }
    delivery.carrierLost(this.other.id, envelope.rejected, world.now);
    this.#receiving = envelope;
    const received = delivery.receive(
      this.other.id,
      {
        carrier: session.id,
        early: session.isOffer,
        theirEpoch: theirs,
        ourEpoch: ours,
        frames: envelope.frames.slice(),
        mail,
      },
      world.now,
    );
    if (received.fault !== undefined) this.faults.push(received.fault.message);
    if (received.unplaced) {
      this.unplaced++;
      this.#named.delete(session.id);
      this.#refuse(session.id);
    }
    this.turn(this.#reject.length > 0);
  }

  /** Sends whatever there is to say. */
  flush(force = false): void {
    const { delivery, world } = this;
    if (!this.isLinked) return;
    for (let forced = force || this.#reject.length > 0; forced || delivery.wants(this.other.id, world.now).any; ) {
      const session = this.#carrier();
      const wrote = delivery.fill(
        this.other.id,
        { id: session.id, early: session.isOffer, theirEpoch: session.epochs.get(this.other.id) },
        writer,
        world.now,
        this.other.mailbox !== undefined,
      );
      if (!wrote && !forced && !delivery.wants(this.other.id, world.now).establishedOnly) break;
      const rejected = this.#reject;
      this.#reject = [];
      const envelope = { from: this.id, session, rejected, frames: writer.bytes().slice(), sentAt: world.now };
      if (this.other.mailbox === undefined) world.transmit(envelope, this.other);
      else {
        world.sent++;
        if (world.tap(envelope)) this.other.mailbox.give(this, envelope, wrote ? delivery.flight : undefined);
      }
      if (!wrote) break;
      forced = false;
    }
  }

  #carrier(): Session {
    if (this.#session !== undefined) return this.#session;
    this.#offer ??= {
      id: `o:${this.epoch}:${this.world.sent}`,
      isOffer: true,
      madeAt: this.world.now,
      epochs: new Map([[this.id, this.epoch]]),
    };
    return this.#offer;
  }

  #refuse(id: string): void {
    if (this.#named.has(id) || this.#reject.length >= 16) return;
    this.#named.add(id);
    this.#reject.push(id);
    // It may be lost on its way.
    this.world.at(1_500, () => this.#named.delete(id));
  }

  #deliver(incoming: Incoming): Verdict {
    const handler = this.handlers.get(incoming.type);
    if (handler === undefined) return "wait";
    const id = incoming.messageId;
    const before = this.handedOver.get(id) ?? [];
    if (before.includes(this.runs)) this.world.violate(`P2: ${id} handed over twice in one run`);
    const sent = this.other.#sentById.get(id);
    if (this.other.isForged) {
      // Nothing is known of it.
    } else if (sent === undefined) this.world.violate(`P4: ${id} was never sent`);
    else if (sent.outcome?.state === "delivered" || sent.outcome?.state === "replied") {
      // Without its marks a peer cannot know that a receipt crossed the copy which is just arriving.
      const crossed = this.#bornAt > 0 && sent.settledAt >= this.#receiving!.sentAt;
      if (!crossed) this.world.violate(`P2: ${id} handed over again although its sender knows that it was handled`);
    } else if (this.#bornAt === 0 && sent.before?.state === "delivered") {
      this.world.violate(`P2: ${id} handed over again although its receiver knows that it was handled`);
    }
    this.handedOver.set(id, [...before, this.runs]);
    this.delivered.push({ id, type: incoming.type, body: incoming.body.slice(), early: incoming.early });
    return handler(incoming, this);
  }

  #settled(outgoing: Outgoing, outcome: NonNullable<Sent["outcome"]>): void {
    const id = messageIdOf(this.id, outgoing.epoch, outgoing.number);
    const sent = (outgoing.context as Sent | undefined) ?? this.#sentById.get(id);
    if (sent === undefined) return;
    if (sent.outcome !== undefined) this.world.violate(`${sent.id} settled twice`);
    sent.outcome = outcome;
    sent.settledAt = this.world.now;
    const ran = this.other.handedOver.has(sent.id);
    if (!ran && (outcome.state === "delivered" || outcome.state === "replied")) {
      this.world.violate(`${sent.id} is ${outcome.state} and never ran`);
    }
  }
}

export function pair(options: { seed?: number; limits?: Partial<DeliveryLimits> } = {}): {
  world: World;
  alice: Peer;
  bob: Peer;
} {
  const world = new World(options.seed);
  const alice = new Peer(world, 1, options.limits);
  const bob = new Peer(world, 2, options.limits);
  alice.other = bob;
  bob.other = alice;
  return { world, alice, bob };
}

export function bytes(length: number, fill = 7): Uint8Array {
  return new Uint8Array(length).fill(fill);
}

/** A message of a stranger comes, by default number 1. */
export function tell(to: Peer, stranger: number, ...messages: Partial<MessageFields>[]): Received {
  return mailTo(to, stranger, undefined, ...messages);
}

/** The same out of a mailbox. */
export function mailTo(
  to: Peer,
  stranger: number,
  mail: Mail | undefined,
  ...messages: Partial<MessageFields>[]
): Received {
  writer.reset(1);
  for (const fields of messages) writer.message({ number: 1, typeNumber: 0, body: bytes(1), ...fields });
  const theirEpoch = stranger.toString(16).padStart(16, "0") as Epoch;
  const opened = { carrier: "s", early: true, theirEpoch, frames: writer.bytes().slice(), mail };
  return to.delivery.receive(peerIdFromTrustedBytes(bytes(32, stranger)), opened, to.world.now);
}

/** A stranger sends the first part of a long message, and no more. */
export function announce(to: Peer, stranger: number, totalBytes: number): void {
  tell(to, stranger, { name: "note", body: bytes(partBytes), remainingMs: 2 ** 40, partIndex: 0, totalBytes });
}

/** The frames of an envelope, as far as tests look at them. */
export function framesOf(envelope: Envelope): {
  kind: string;
  number: number;
  base: number;
  name: string | undefined;
  partIndex: number | undefined;
  isRequest: boolean;
  from: number;
  to: number;
  received: readonly number[];
  handled: readonly number[];
  isComplete: boolean;
  /** Of an earlier epoch and of what speaks of ours. */
  epoch: Epoch | undefined;
  code: number;
}[] {
  const reader = new FrameReader(envelope.frames);
  const frames = [];
  while (reader.next()) {
    const { kind, number, base, name, partIndex, isRequest, from, to, received, handled, isComplete, epoch, code } =
      reader;
    const ranges = { from, to, received, handled, isComplete };
    frames.push({ kind, number, base, name, partIndex, isRequest, ...ranges, epoch, code });
  }
  return frames;
}
