/**
 * One peer of a run: the real cores in the real endpoint, driven turn by turn as a running node drives them, on a simulated
 * network, disk and clock. It can crash, come back with its store kept, lost or rolled back, and have its clock set.
 */

import type { CryptoProvider, Identity, Mesgen, MesgenLimits, MesgenOptions } from "@egtp/mesgen";
import type { Delivery, DeliveryLimits, DeliveryOptions, DeliverySink, Incoming, Outgoing } from "@egtp/node/delivery";
import type { Endpoint, EndpointOptions } from "@egtp/node/endpoint";
import { SessionMaps } from "@egtp/session-store";
import { decodeEnvelope, type Millis, type PeerId, toHex } from "@egtp/wire";
import type { Clock } from "./clock.ts";
import { Disk } from "./disk.ts";
import type { Entry, Ledger } from "./ledger.ts";
import type { Network, Recorded, Station } from "./network.ts";
import type { Random } from "./random.ts";

/** The classes under test: the real ones, or ones broken on purpose. */
export interface Cores {
  readonly Mesgen: new (options: MesgenOptions) => Mesgen;
  readonly Delivery: new (options: DeliveryOptions) => Delivery;
  readonly Endpoint: new (options: EndpointOptions) => Endpoint;
}

/** Of a run: small ones let it come across what takes long otherwise. */
export interface RunLimits {
  readonly mesgen: Partial<MesgenLimits>;
  readonly delivery: Partial<DeliveryLimits>;
}

/**
 * What becomes of a store when its process ends. `stopped`: not a crash but an orderly end, as a node stops. `torn`: the last write
 * is there in part. `flipped`: bits of what was written are others.
 */
export type CrashKind = "kept" | "lost" | "rolled back" | "stopped" | "torn" | "flipped";

export interface Surroundings {
  readonly clock: Clock;
  readonly network: Network;
  readonly ledger: Ledger;
  readonly random: Random;
  readonly cores: Cores;
  readonly crypto: CryptoProvider;
  readonly limits: RunLimits;
  /** Told of each message that is handed over. */
  readonly onHandover: (peer: SimPeer) => void;
  /** Told of each start. */
  readonly onStart: (peer: SimPeer) => void;
  readonly violate: (property: string, detail: string) => void;
  readonly log: (line: () => string) => void;
}

/** Virtual time zero, as a peer with a perfect clock sees it. */
export const epochMs = 1_800_000_000_000;
/** A turn of the event loop. */
const turnMs = 0.01;
/** A handler takes so long at most. */
export const slowestMs = 3_000;

export class SimPeer implements Station {
  readonly name: string;
  readonly identity: Identity;
  readonly disk = new Disk();
  up = false;
  /** Process lives begun. */
  life = 0;
  /** Raised when the store forgets something. */
  storeLife = 0;
  rollbacks = 0;
  endpoint!: Endpoint;

  readonly #world: Surroundings;
  readonly #random: Random;
  #offsetMs: number;
  /** What the machine's clock shows beside true time; a process takes it over when it starts, or when it is ahead. */
  #machineOffsetMs: number;
  #turnPlanned = false;
  #timerAt = Infinity;
  /** Envelopes that were opened here in any life: none of them may deliver anything again. */
  readonly #opened = new Set<string>();
  /** The envelope at hand is one of those. */
  #isReplay = false;
  /** The envelope that was last at hand. */
  #passing: Recorded | undefined;
  readonly #unsettled = new Map<Outgoing, Entry>();
  /** Until there is room in the outbox. */
  #waiting: { readonly entry: Entry; readonly deadlineAt: Millis }[] = [];

  constructor(world: Surroundings, name: string, identity: Identity, offsetMs: number) {
    this.#world = world;
    this.#random = world.random.fork();
    this.name = name;
    this.identity = identity;
    this.#offsetMs = offsetMs;
    this.#machineOffsetMs = offsetMs;
  }

  get id(): PeerId {
    return this.identity.peer;
  }

  /** As a running node tells the time: it never goes back, and forward with the machine's clock. */
  now(): Millis {
    return Math.floor(epochMs + this.#world.clock.now + this.#offsetMs);
  }

  /** Chance of this peer, here and now. */
  #chance(of = 0): Random {
    return this.#random.at(this.#world.clock.now, of);
  }

  // ---- Life

  /** @param bornAgoMs - For a store that begins here: how long ago by this peer's clock it was born. */
  start(bornAgoMs = 0): void {
    const { crypto, cores, limits } = this.#world;
    this.#offsetMs = this.#machineOffsetMs;
    const now = this.now();
    const maps = SessionMaps.open(this.disk.open(), {
      now: Math.max(0, Math.floor(now - bornAgoMs)),
      random: (count) => crypto.randomBytes(count),
      bornWithIdentity: false,
    });
    void maps.commit();
    const mesgen = new cores.Mesgen({
      identity: this.identity,
      maps,
      crypto,
      limits: { counterLeap: 32, ...limits.mesgen },
    });
    const delivery = new cores.Delivery({ epoch: mesgen.epoch, maps, sink: this.#sink(), limits: limits.delivery });
    this.endpoint = new cores.Endpoint({ mesgen, delivery, maps });
    this.up = true;
    this.life += 1;
    this.#timerAt = Infinity;
    this.#world.log(() => `${this.name} starts, life ${this.life}, store ${this.storeLife}`);
    this.#world.network.collect(this.id);
    this.#world.onStart(this);
  }

  crash(kind: CrashKind, downMs: number): void {
    if (!this.up) return;
    this.up = false;
    this.#world.log(() => `${this.name} ends, store ${kind}`);
    for (const entry of this.#unsettled.values()) entry.orphaned = true;
    this.#unsettled.clear();
    for (const { entry } of this.#waiting.splice(0)) entry.orphaned = true;
    if (kind === "stopped") {
      this.endpoint.mesgen.lowerLimits();
      void this.endpoint.maps.commit();
    } else if (kind === "lost") {
      this.disk.erase();
      this.storeLife += 1;
    } else if (kind === "rolled back" && this.disk.rollBack((count) => this.#chance().below(count))) {
      this.rollbacks += 1;
      // What lies between a snapshot and its silent restoration is excepted.
      this.#opened.clear();
    } else if (kind === "torn" || kind === "flipped") {
      if (kind === "torn") this.disk.tear(this.#chance());
      else this.disk.flip(this.#chance());
      this.storeLife += 1;
    }
    this.#world.clock.after(downMs, () => this.start());
  }

  setClock(byMs: number): void {
    this.#machineOffsetMs += byMs;
    this.#offsetMs = Math.max(this.#offsetMs, this.#machineOffsetMs);
    if (this.up) this.#wake();
  }

  /** Writes what is staged, as a node does now and then. */
  save(): void {
    if (!this.up) return;
    void this.endpoint.maps.commit();
    if (this.#chance().chance(0.3)) this.disk.snapshot();
  }

  // ---- Traffic

  send(to: PeerId, size: number, isRequest: boolean, deadlineMs: number): Entry | undefined {
    if (!this.up) return undefined;
    const { ledger, clock } = this.#world;
    const entry = ledger.enter(this.id, to, clock.now, size, isRequest, this.#chance(size).chance(0.1));
    this.#world.log(() => `${this.name} is asked to send message ${entry.serial}, ${size} bytes`);
    this.#waiting.push({ entry, deadlineAt: this.now() + deadlineMs });
    this.#enqueueWaiting();
    return entry;
  }

  /** Lets what waits for room in an outbox have it, in the order of sending. */
  #enqueueWaiting(): void {
    const { delivery } = this.endpoint;
    const now = this.now();
    const full = new Set<PeerId>();
    const before = this.#waiting.length;
    this.#waiting = this.#waiting.filter(({ entry, deadlineAt }) => {
      const { to, body, isRequest, needsSession } = entry;
      if (deadlineAt <= now) {
        this.#end(entry, "unreachable");
        return false;
      }
      if (full.has(to) || !delivery.hasRoom(to, body.length)) {
        full.add(to);
        return true;
      }
      const type = isRequest ? "sim/ask" : "sim/tell";
      const draft = { type, body, request: isRequest, deadlineAt, established: needsSession, context: entry };
      this.#unsettled.set(delivery.enqueue(to, draft, now), entry);
      return false;
    });
    if (this.#waiting.length < before) this.#planTurn();
  }

  /** @param injected - An attacker put it there. */
  arrive(passing: Recorded, injected = false): void {
    if (!this.up) return;
    const { envelope } = passing;
    this.#passing = passing;
    const name = nameOf(envelope);
    this.#isReplay = this.#opened.has(name);
    const received = this.endpoint.receive(envelope, this.now());
    this.#isReplay = false;
    if (received.kind === "opened") this.#opened.add(name);
    this.#world.log(() => `${this.name} ${describe(received)} ${label(envelope)}${injected ? " (injected)" : ""}`);
    if (received.kind === "opened" && received.fault !== undefined) {
      this.#world.violate("P4", `${this.name} found fault with an authentic envelope: ${received.fault.message}`);
    }
    this.#planTurn();
  }

  #planTurn(): void {
    if (this.#turnPlanned) return;
    this.#turnPlanned = true;
    const { life } = this;
    this.#world.clock.after(turnMs, () => {
      this.#turnPlanned = false;
      if (this.up && this.life === life) this.#turn();
    });
  }

  #turn(): void {
    const { endpoint } = this;
    const { network } = this.#world;
    const now = this.now();
    void endpoint.tick(now);
    endpoint.settle(now);
    for (const peer of endpoint.takeDue(now)) {
      for (let count = 0; count < 64; count++) {
        const envelope = endpoint.next(peer, now);
        if (envelope === undefined) break;
        this.#world.log(() => `${this.name} sends ${label(envelope)}`);
        network.send(this.id, peer, envelope);
      }
    }
    this.#wake();
  }

  /** Keeps one timer, at the next deadline by this peer's clock. */
  #wake(): void {
    const deadline = this.endpoint.nextDeadline;
    if (deadline === undefined) return;
    const { clock } = this.#world;
    const at = clock.now + Math.max(1, deadline - this.now());
    if (at >= this.#timerAt && this.#timerAt > clock.now) return;
    this.#timerAt = at;
    const { life } = this;
    clock.at(at, () => {
      if (!this.up || this.life !== life || this.#timerAt > clock.now) return;
      this.#timerAt = Infinity;
      this.#turn();
    });
  }

  #sink(): DeliverySink {
    return {
      deliver: (incoming) => this.#deliver(incoming),
      settled: (outgoing, outcome) => {
        // The reply died with the run that made it; the message itself was handled.
        const isReplyLost = outcome.state === "rejected" && outcome.reason === "reply-lost";
        this.#settled(outgoing, isReplyLost ? "delivered" : outcome.state);
      },
      replied: (outgoing, body) => {
        const entry = this.#unsettled.get(outgoing);
        if (entry !== undefined && !sameBytes(body, entry.body)) {
          this.#world.violate("P4", `${this.name} got a reply that nobody made`);
        }
        this.#settled(outgoing, "delivered");
      },
      stored: () => {},
      room: () => this.#enqueueWaiting(),
    };
  }

  #settled(outgoing: Outgoing, state: string): void {
    const entry = this.#unsettled.get(outgoing);
    this.#unsettled.delete(outgoing);
    if (entry !== undefined) this.#end(entry, state);
  }

  #end(entry: Entry, state: string): void {
    if (entry.outcome !== undefined) this.#world.violate("P1", `message ${entry.serial} settled twice`);
    entry.outcome = state;
    entry.endedAt = this.#world.clock.now;
    if (state === "delivered" && !entry.handovers.some(({ isFinished }) => isFinished)) {
      this.#world.violate("P1", `message ${entry.serial} is said to be delivered, and no handler has finished with it`);
    }
    if (state === "unreachable" && entry.handovers.length > 0) {
      this.#world.violate("P1", `message ${entry.serial} is said not to have left and was handed over`);
    }
  }

  #deliver(incoming: Incoming): "handled" | "pending" {
    const { ledger, clock, violate } = this.#world;
    const entry = ledger.find(incoming.body);
    if (entry === undefined || entry.to !== this.id || entry.from !== incoming.peer) {
      violate("P4", `${this.name} was handed something that ${incoming.peer} did not send it`);
      return "handled";
    }
    const handover = {
      life: this.life,
      storeLife: this.storeLife,
      rollbacks: this.rollbacks,
      messageId: incoming.messageId,
      at: clock.now,
      isFinished: false,
    };
    this.#world.log(() => `${this.name} is handed message ${entry.serial}`);
    if (incoming.early && entry.needsSession) violate("P4", `message ${entry.serial} came early and must not`);
    if (this.#isReplay) violate("P2", `an envelope that was opened before delivered message ${entry.serial}`);
    const before = entry.handovers.at(-1);
    if (before !== undefined) this.#judgeRepeat(entry, before, handover);
    entry.handovers.push(handover);
    this.#world.onHandover(this);
    const chance = this.#chance(incoming.body.length);
    if (chance.chance(0.9)) {
      handover.isFinished = true;
      if (entry.isRequest) this.endpoint.delivery.reply(incoming, entry.body, this.now());
      return "handled";
    }
    // A handler that takes its time.
    const { life } = this;
    clock.after(chance.unit() * slowestMs, () => {
      if (!this.up || this.life !== life) return;
      handover.isFinished = true;
      if (entry.isRequest) this.endpoint.delivery.reply(incoming, entry.body, this.now());
      else this.endpoint.delivery.handled(incoming, this.now());
      this.#planTurn();
    });
    return "pending";
  }

  /** P2: once in a process life; again after a crash only if the sender had not heard that it was handled. */
  #judgeRepeat(entry: Entry, before: Entry["handovers"][number], again: Entry["handovers"][number]): void {
    const { violate } = this.#world;
    if (before.rollbacks !== again.rollbacks) return; // What lies between a snapshot and its silent restoration is excepted.
    if (before.life === again.life) violate("P2", `message ${entry.serial} was handed over twice in one process life`);
    else if (entry.outcome === "delivered" && !wasRestoredSince(entry, again.rollbacks)) {
      // What was under way when the receipt came may still arrive at a store that forgot; nothing may be sent again after it.
      const isForgotten = before.storeLife !== again.storeLife;
      if (!isForgotten || (entry.endedAt ?? 0) < (this.#passing?.sentAt ?? 0)) {
        violate("P2", `message ${entry.serial} was handed over again after its handled receipt`);
      }
    }
    if (before.messageId !== again.messageId) violate("P2", `message ${entry.serial} came again under another ID`);
  }
}

/** Whether the store that knew of the handled receipt was replaced by an older one: whoever began anew then may not have ended. */
function wasRestoredSince({ endedAt, handovers }: Entry, rollbacks: number): boolean {
  return handovers.find((handover) => handover.rollbacks === rollbacks)!.at > endedAt!;
}

function describe(received: ReturnType<Endpoint["receive"]>): string {
  if (received.kind === "dropped") return `drops as ${received.reason}`;
  return received.kind === "opened" ? `opens${received.early ? " early" : ""}` : "cannot read";
}

function nameOf(envelope: Uint8Array): string {
  try {
    const { id, counter } = decodeEnvelope(envelope);
    return `${toHex(id)}#${counter}`;
  } catch {
    return "";
  }
}

function label(envelope: Uint8Array): string {
  try {
    const { type, id, counter } = decodeEnvelope(envelope);
    return `${type} ${toHex(id).slice(0, 6)}#${counter}, ${envelope.length} bytes`;
  } catch {
    return `${envelope.length} bytes of no envelope`;
  }
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
