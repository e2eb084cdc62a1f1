/** What one run of whole nodes has in it: a clock, a network, stations, and a note of every promise that was broken. */

import { type CryptoProvider, defaultCryptoProvider } from "@egtp/mesgen";
import type { metatrackers } from "@egtp/metatracker";
import type { MemoryDirectoryStore, metatrackerServer } from "@egtp/metatracker/server";
import type { createNode, Lookup, NodeEvent } from "@egtp/node";
import { type MemoryHop, MemoryNetwork } from "@egtp/node/memory";
import type { relayClient } from "@egtp/relay";
import type { LmdbMailboxStore } from "@egtp/relay/lmdb";
import type { relayServer, SharedMailboxStore } from "@egtp/relay/server";
import { Clock, EventStorm } from "../clock.ts";
import { NonceWatch, simulatedCrypto, watched } from "../crypto.ts";
import { type Entry, Ledger } from "../ledger.ts";
import type { Line } from "../network.ts";
import { Random } from "../random.ts";
import { Script } from "../script.ts";
import { actMark, type Violation } from "../world.ts";
import { EnvelopeWatch, label } from "./envelope-watch.ts";
import type { MailEngine } from "./mail-engine.ts";
import type { StackMetatracker } from "./stack-metatracker.ts";
import type { Patience, StackPeer } from "./stack-peer.ts";
import type { StackRelay } from "./stack-relay.ts";
import type { Station } from "./station.ts";

/** What is under test: the real functions, or ones broken on purpose. */
export interface Stack {
  readonly createNode: typeof createNode;
  readonly relayClient: typeof relayClient;
  readonly relayServer: typeof relayServer;
  readonly openMailboxes: typeof LmdbMailboxStore.open;
  readonly SharedMailboxStore: typeof SharedMailboxStore;
  readonly metatrackers: typeof metatrackers;
  readonly metatrackerServer: typeof metatrackerServer;
  readonly MemoryDirectoryStore: typeof MemoryDirectoryStore;
}

export interface StackWorldOptions {
  readonly stack: Stack;
  /** Use the real cryptography instead of the simulator's. */
  readonly realCrypto?: boolean;
  readonly trace?: boolean;
  /** The numbers of the acts that take place; default: all. */
  readonly acts?: ReadonlySet<number> | undefined;
}

/** What the network does to those who use it. Links are like TCP: what breaks, breaks as a whole. */
export interface Weather {
  readonly latencyMs: number;
  /** Probability for each envelope to be lost with its link staying open. */
  readonly loss: number;
  /** A line as slow and lossy as this between any two places. A link sends again what is lost, and so it only takes longer. */
  readonly line?: Line | undefined;
}

export const fairWeather: Weather = { latencyMs: 20, loss: 0 };

/** Something that travelled, as an attacker may have recorded it. */
export interface RecordedHop {
  readonly from: string;
  readonly to: string;
  readonly envelope: Uint8Array;
}

/** What a packet costs beside an envelope. */
const linkOverheadBytes = 60;
/** What an attacker may have kept, at most; the oldest leave. */
const maxRecorded = 400;
/** Things that may happen in a second: beyond it something answers itself. */
const maxEventsPerSecond = 50_000;

export class StackWorld {
  readonly clock = new Clock();
  readonly ledger = new Ledger();
  readonly patience = new Map<Entry, Patience>();
  readonly random: Random;
  readonly crypto: CryptoProvider;
  readonly network: MemoryNetwork;
  readonly script: Script;
  readonly watch = new EnvelopeWatch(this);
  readonly stack: Stack;
  readonly peers: StackPeer[] = [];
  readonly relays: StackRelay[] = [];
  readonly metatrackers: StackMetatracker[] = [];
  readonly violations: Violation[] = [];
  readonly lines: string[] = [];
  readonly recorded: RecordedHop[] = [];
  weather: Weather = fairWeather;
  /** Where the relays keep their mail together; `undefined`: each on a disk of its own. */
  engine: MailEngine | undefined;
  /** Envelopes that travelled, by `from>to`. */
  readonly hops = new Map<string, number>();
  hopCount = 0;
  readonly #trace: boolean;
  readonly #chance: Random;
  /** Until when a line is taken by what was sent before. */
  readonly #busyUntil = new Map<string, number>();

  constructor(seed: number, options: StackWorldOptions) {
    this.random = new Random(seed);
    this.#trace = options.trace ?? false;
    this.stack = options.stack;
    const watch = new NonceWatch();
    const random = this.random.fork();
    this.crypto =
      options.realCrypto === true ? watched(defaultCryptoProvider, watch, random) : simulatedCrypto(random, watch);
    this.#chance = this.random.fork();
    this.script = new Script(this.clock, this.random.fork(), options.acts);
    this.network = new MemoryNetwork({
      crypto: this.crypto,
      schedule: (task, hop) => this.#carry(task, hop),
    });
    this.network.drop = ({ from, to, envelope }) => {
      if (!this.#chanceOf(from, to, envelope?.length ?? 0, 1).chance(this.weather.loss)) return false;
      this.log(() => `${from} > ${to}: ${label(envelope!)} is lost`);
      return true;
    };
  }

  violate = (property: string, detail: string): void => {
    // The first of each property tells enough.
    if (this.violations.some((other) => other.property === property)) return;
    this.log(() => `VIOLATION ${property}: ${detail}`);
    this.violations.push({ property, detail, at: this.clock.now });
  };

  log = (line: () => string): void => {
    if (!this.#trace) return;
    const mark = this.script.isActing ? actMark : " ";
    this.lines.push(`${this.clock.now.toFixed(2).padStart(12)} ${mark} ${line()}`);
  };

  logEvent(name: string, event: NodeEvent): void {
    this.log(() => `${name}: ${this.#named(describe(event))}`);
  }

  /** Everything that is to be run. */
  get stations(): readonly Station[] {
    return [...this.metatrackers, ...this.relays, ...this.peers];
  }

  /** How a station finds others: by asking the metatrackers, of which it is told. */
  lookupFor(station: Station): Lookup {
    const others = this.metatrackers.filter((metatracker) => metatracker !== station);
    const random = this.#chance.at(station.life, numberOf(station.name));
    return this.stack.metatrackers({
      random: () => random.unit(),
      metatrackers: others.map(({ id, strategy }) => ({ peer: id, strategies: [strategy] })),
    });
  }

  /** Whether nobody waits for it any more, but the store of its sender keeps it. */
  isKept(entry: Entry): boolean {
    return this.peers.some((peer) => peer.keeps(entry));
  }

  other(than: StackPeer, random: Random = this.random): StackPeer {
    return random.pick(this.peers.filter((peer) => peer !== than));
  }

  /** Told of each envelope that is given to a relay. */
  onPost: (relay: StackRelay) => void = () => {};
  /** Ends what is cut off now. */
  readonly heals: (() => void)[] = [];

  /**
   * Lets nothing pass between two places for a while.
   *
   * @param how - `told`: links break, and no new ones come about. Else what is sent is on its way until it is over.
   */
  cutOff(a: Station, b: Station, how: "both ways" | "one way" | "told", forMs: number): void {
    const { network } = this;
    this.log(() => `${a.name} and ${b.name} are cut off from each other, ${how}, for ${forMs.toFixed(0)} ms`);
    const ends =
      how === "told"
        ? [network.block(a.name, b.name)]
        : [network.hold(a.name, b.name), ...(how === "both ways" ? [network.hold(b.name, a.name)] : [])];
    if (how === "told") network.cut(a.name, b.name);
    let isOver = false;
    const heal = (): void => {
      if (isOver) return;
      isOver = true;
      this.log(() => `${a.name} and ${b.name} are connected again`);
      for (const end of ends) end();
    };
    this.heals.push(heal);
    this.clock.after(forMs, heal);
  }

  /** Lets everything happen that is planned up to an instant, and whatever follows from it. */
  async runUntil(until: number): Promise<void> {
    const { clock } = this;
    let count = 0;
    let since = clock.now;
    await settled();
    while (clock.step(until)) {
      await settled();
      count += 1;
      if (clock.now - since < 1_000) {
        if (count > maxEventsPerSecond) throw new EventStorm(maxEventsPerSecond);
      } else {
        since = clock.now;
        count = 0;
      }
    }
    clock.moveTo(until);
  }

  pass(ms: number): Promise<void> {
    return this.runUntil(this.clock.now + ms);
  }

  /** The text with names in the place of peer IDs. */
  #named(text: string): string {
    return this.stations.reduce((named, { id, name }) => named.replaceAll(id, name), text);
  }

  #carry(task: () => void, hop: MemoryHop): void {
    const { from, to, envelope } = hop;
    if (envelope !== undefined) {
      const way = `${from}>${to}`;
      this.hops.set(way, (this.hops.get(way) ?? 0) + 1);
      this.hopCount += 1;
      this.recorded.push({ from, to, envelope: envelope.slice() });
      if (this.recorded.length > maxRecorded) this.recorded.splice(0, 100);
      this.log(() => `${from} > ${to}: ${label(envelope)}`);
    }
    const { latencyMs, line } = this.weather;
    const bytes = linkOverheadBytes + (envelope?.length ?? 0);
    const chance = this.#chanceOf(from, to, bytes, 0);
    const delayMs = line === undefined ? latencyMs : this.#alongLine(`${from}>${to}`, line, bytes, chance);
    this.clock.after(delayMs * (0.5 + chance.unit()), task);
  }

  #chanceOf(from: string, to: string, bytes: number, what: number): Random {
    return this.#chance.at(numberOf(from), numberOf(to), this.clock.now, bytes, what);
  }

  #alongLine(way: string, { bitsPerSecond, latencyMs, loss }: Line, bytes: number, chance: Random): number {
    const { now } = this.clock;
    const leftAt = Math.max(now, this.#busyUntil.get(way) ?? 0) + (8_000 * bytes) / bitsPerSecond;
    this.#busyUntil.set(way, leftAt);
    let delayMs = leftAt - now + latencyMs;
    while (chance.chance(loss)) delayMs += 2 * latencyMs;
    return delayMs;
  }
}

/**
 * Every promise that can go on has gone on: what is put there to be done next is done when no promise has anything left to do,
 * and the event loop need not turn for it.
 */
function settled(): Promise<void> {
  return new Promise((resolve) => process.nextTick(resolve));
}

/** Of a station's name, which is short. */
function numberOf(name: string): number {
  return name.charCodeAt(0) * 256 + (name.charCodeAt(1) || 0);
}

function describe(event: NodeEvent): string {
  const { kind, at: _at, ...rest } = event;
  return `${kind} ${JSON.stringify(rest, (_key, value: unknown) => (value instanceof Error ? String(value) : value))}`;
}
