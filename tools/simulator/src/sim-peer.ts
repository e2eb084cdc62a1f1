/**
 * One peer of a run: the real cores in the real endpoint, driven turn by turn as a running node drives them, on a simulated
 * network, disk and clock. It can crash, come back with its store kept, lost or rolled back, and have its clock set.
 */

import type { CryptoProvider, Identity, Mesgen, MesgenOptions } from "@egtp/mesgen";
import type { Delivery, DeliveryOptions, DeliverySink, Incoming, Outgoing } from "@egtp/node/delivery";
import { Endpoint } from "@egtp/node/endpoint";
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
  readonly violate: (property: string, detail: string) => void;
  readonly log: (line: () => string) => void;
}

/** Virtual time zero, as a peer with a perfect clock sees it. */
export const epochMs = 1_800_000_000_000;
/** A turn of the event loop. */
const turnMs = 0.01;

export class SimPeer implements Station {
  readonly name: string;
  readonly identity: Identity;
  readonly disk = new Disk();
  up = false;
  /** Process lives begun. */
  life = 0;
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
    const { crypto, cores } = this.#world;
    this.#offsetMs = this.#machineOffsetMs;
    const now = this.now();
    const maps = SessionMaps.open(this.disk.open(), {
      now: Math.max(0, Math.floor(now - bornAgoMs)),
      random: (count) => crypto.randomBytes(count),
      bornWithIdentity: false,
    });
    void maps.commit();
    const mesgen = new cores.Mesgen({ identity: this.identity, maps, crypto, limits: { counterLeap: 32 } });
    const delivery = new cores.Delivery({ epoch: mesgen.epoch, maps, sink: this.#sink(), limits: {} });
    this.endpoint = new Endpoint({ mesgen, delivery, maps });
    this.up = true;
    this.life += 1;
    this.#timerAt = Infinity;
    this.#world.log(() => `${this.name} starts, life ${this.life}, store ${this.storeLife}`);
    this.#world.network.collect(this.id);
  }

  crash(kind: CrashKind, downMs: number): void {
    if (!this.up) return;
    this.up = false;
    this.#world.log(() => `${this.name} ends, store ${kind}`);
    for (const entry of this.#unsettled.values()) entry.orphaned = true;
    this.#unsettled.clear();
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
    } else if (kind === "torn") this.disk.tear(this.#chance());
    else if (kind === "flipped") this.disk.flip(this.#chance());
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
    const now = this.now();
    const outgoing = this.endpoint.delivery.enqueue(
      to,
      {
        type: isRequest ? "sim/ask" : "sim/tell",
        body: entry.body,
        request: isRequest,
        deadlineAt: now + deadlineMs,
        established: entry.needsSession,
        context: entry,
      },
      now,
    );
    this.#unsettled.set(outgoing, entry);
    this.#world.log(
      () => `${this.name} is asked to send message ${entry.serial}, number ${outgoing.number}, ${size} bytes`,
    );
    this.#planTurn();
    return entry;
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
      room: () => {},
    };
  }

  #settled(outgoing: Outgoing, state: string): void {
    const entry = this.#unsettled.get(outgoing);
    this.#unsettled.delete(outgoing);
    if (entry === undefined) return;
    if (entry.outcome !== undefined) this.#world.violate("P1", `message ${entry.serial} settled twice`);
    entry.outcome = state;
    entry.endedAt = this.#world.clock.now;
    if (state === "delivered" && entry.handovers.length === 0) {
      this.#world.violate("P1", `message ${entry.serial} is said to be delivered and never was`);
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
    };
    this.#world.log(() => `${this.name} is handed message ${entry.serial}`);
    if (incoming.early && entry.needsSession) violate("P4", `message ${entry.serial} came early and must not`);
    if (this.#isReplay) violate("P2", `an envelope that was opened before delivered message ${entry.serial}`);
    const before = entry.handovers.at(-1);
    if (before !== undefined) this.#judgeRepeat(entry, before, handover);
    entry.handovers.push(handover);
    const chance = this.#chance(incoming.body.length);
    if (chance.chance(0.9)) {
      if (entry.isRequest) this.endpoint.delivery.reply(incoming, entry.body, this.now());
      return "handled";
    }
    // A handler that takes its time.
    const { life } = this;
    clock.after(chance.unit() * 3_000, () => {
      if (!this.up || this.life !== life) return;
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
    else if (entry.outcome === "delivered" && (entry.endedAt ?? 0) < (this.#passing?.sentAt ?? 0)) {
      // What was under way when the receipt came may still arrive; nothing may be sent again after it.
      violate("P2", `message ${entry.serial} was sent and handed over again after its handled receipt`);
    }
    if (before.messageId !== again.messageId) violate("P2", `message ${entry.serial} came again under another ID`);
  }
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
