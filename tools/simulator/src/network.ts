/**
 * A simulated network of links that lose, delay, reorder and repeat, and mailboxes where a peer's envelopes wait while it is
 * away. Everything that passes can be recorded, for an attacker to replay.
 */

import type { PeerId } from "@egtp/wire";
import type { Clock } from "./clock.ts";
import type { Random } from "./random.ts";

/** What a line can do. */
export interface Line {
  readonly bitsPerSecond: number;
  /** One way. */
  readonly latencyMs: number;
  /** Probability for each envelope. */
  readonly loss: number;
}

export interface Faults extends Line {
  /** How much the latency varies: 1: from half of it to half more, 0: not at all, so that all goes in step. */
  readonly jitter: number;
  /** Probabilities for each envelope. */
  readonly repeat: number;
  readonly reorder: number;
  /** Of arriving minutes late. */
  readonly lateness: number;
}

/** From good Wi-Fi down to what hardly is a link any more: round trips of 16 to 800 ms. */
export const ladder: readonly Line[] = [
  { bitsPerSecond: 100_000_000, latencyMs: 8, loss: 0.001 },
  { bitsPerSecond: 16_000_000, latencyMs: 20, loss: 0.005 },
  { bitsPerSecond: 4_000_000, latencyMs: 60, loss: 0.02 },
  { bitsPerSecond: 1_000_000, latencyMs: 150, loss: 0.08 },
  { bitsPerSecond: 256_000, latencyMs: 400, loss: 0.25 },
];

export const noFaults: Faults = {
  bitsPerSecond: Infinity,
  latencyMs: 20,
  jitter: 1,
  loss: 0,
  repeat: 0,
  reorder: 0,
  lateness: 0,
};

export interface Recorded {
  readonly from: PeerId;
  readonly to: PeerId;
  readonly envelope: Uint8Array;
  readonly sentAt: number;
  /** It reached its recipient: when it comes again, it is a replay. */
  arrived?: boolean;
}

export interface Station {
  readonly up: boolean;
  arrive(passing: Recorded): void;
}

/** What an attacker may have kept, at most; the oldest leave. */
const maxRecorded = 400;
/** What would have to wait longer for its turn on a line is lost. */
const maxQueueMs = 3_000;

export class Network {
  faults: Faults = noFaults;
  /** What lies between two peers in one direction, where it is not that. */
  readonly lines = new Map<string, Line>();
  /** Envelopes and bytes sent, repeats not counted. */
  sent = 0;
  sentBytes = 0;
  readonly recorded: Recorded[] = [];

  readonly #clock: Clock;
  readonly #random: Random;
  readonly #stations = new Map<PeerId, Station>();
  readonly #numbers = new Map<PeerId, number>();
  /** Peers whose envelopes wait in a mailbox while they are away. */
  readonly #mailboxes = new Map<PeerId, Recorded[]>();
  /** Directions in which nothing passes, and how often that was asked for. */
  readonly #cuts = new Map<string, number>();
  /** Until when a line is taken by what was sent before. */
  readonly #busyUntil = new Map<string, number>();

  constructor(clock: Clock, random: Random) {
    this.#clock = clock;
    this.#random = random;
  }

  attach(peer: PeerId, station: Station, withMailbox: boolean): void {
    this.#numbers.set(peer, this.#stations.size);
    this.#stations.set(peer, station);
    if (withMailbox) this.#mailboxes.set(peer, []);
  }

  /** Lets nothing pass in one direction. @returns What ends it. */
  cut(from: PeerId, to: PeerId): () => void {
    const way = wayOf(from, to);
    this.#cuts.set(way, (this.#cuts.get(way) ?? 0) + 1);
    return () => {
      const cuts = this.#cuts.get(way);
      if (cuts !== undefined) this.#cuts.set(way, cuts - 1);
    };
  }

  /** Everything passes again. */
  heal(): void {
    this.#cuts.clear();
    this.lines.clear();
    this.faults = noFaults;
  }

  send(from: PeerId, to: PeerId, envelope: Uint8Array): void {
    this.sent += 1;
    this.sentBytes += envelope.length;
    const passing: Recorded = { from, to, envelope: envelope.slice(), sentAt: this.#clock.now };
    this.recorded.push(passing);
    if (this.recorded.length > maxRecorded) this.recorded.splice(0, 100);
    const way = wayOf(from, to);
    const line = this.lines.get(way) ?? this.faults;
    const { repeat, lateness, jitter } = this.faults;
    const chance = this.#random.at(this.#number(from), this.#number(to), this.#clock.now, envelope.length);
    if ((this.#cuts.get(way) ?? 0) > 0) return;
    const mailbox = this.#mailboxes.get(to);
    if (mailbox !== undefined && (!this.#isUp(to) || chance.chance(lateness))) {
      mailbox.push(passing);
      return;
    }
    if (chance.chance(line.loss)) return;
    const queuedMs = this.#queue(way, line, envelope.length);
    if (queuedMs > maxQueueMs) return;
    const delayMs = (): number => queuedMs + line.latencyMs * (1 + jitter * (chance.unit() - 0.5));
    this.#carry(passing, delayMs(), chance);
    if (chance.chance(repeat)) this.#carry(passing, delayMs(), chance);
  }

  /** Hands a peer what waits for it, oldest first, or in any order when that is a fault of the day. */
  collect(peer: PeerId): void {
    const mailbox = this.#mailboxes.get(peer);
    if (mailbox === undefined || mailbox.length === 0 || !this.#isUp(peer)) return;
    this.#mailboxes.set(peer, []);
    const chance = this.#random.at(this.#number(peer), this.#clock.now);
    if (chance.chance(this.faults.reorder)) {
      for (let i = mailbox.length - 1; i > 0; i--) {
        const j = chance.below(i + 1);
        [mailbox[i], mailbox[j]] = [mailbox[j] as Recorded, mailbox[i] as Recorded];
      }
    }
    for (const passing of mailbox) {
      this.#hand(passing);
      if (chance.chance(this.faults.repeat)) this.#hand(passing);
    }
  }

  /** Its envelopes wait elsewhere from now on. What waits in the mailbox it had comes by and by, or never. */
  moveMailbox(peer: PeerId): void {
    const left = this.#mailboxes.get(peer);
    if (left === undefined) return;
    this.#mailboxes.set(peer, []);
    const chance = this.#random.at(this.#number(peer), this.#clock.now);
    if (chance.chance(0.5)) return;
    for (const passing of left) this.#clock.after(chance.unit() * 120_000, () => this.#hand(passing));
  }

  /** How long until all of it has left, behind what was sent before. */
  #queue(way: string, { bitsPerSecond }: Line, bytes: number): number {
    if (bitsPerSecond === Infinity) return 0;
    const { now } = this.#clock;
    const doneAt = Math.max(now, this.#busyUntil.get(way) ?? 0) + (8_000 * bytes) / bitsPerSecond;
    if (doneAt - now <= maxQueueMs) this.#busyUntil.set(way, doneAt);
    return doneAt - now;
  }

  #carry(passing: Recorded, delayMs: number, chance: Random): void {
    const { reorder, lateness, latencyMs } = this.faults;
    let delay = delayMs;
    if (chance.chance(reorder)) delay += chance.unit() * 30 * latencyMs;
    if (chance.chance(lateness)) delay += chance.unit() * 600_000;
    this.#clock.after(delay, () => this.#hand(passing));
  }

  #hand(passing: Recorded): void {
    if (this.#isUp(passing.to)) {
      passing.arrived = true;
      this.#stations.get(passing.to)?.arrive(passing);
    } else this.#mailboxes.get(passing.to)?.push(passing);
  }

  /** The attacker keeps only what it can replay: what never arrived is no more than late when it comes. */
  forgetLost(): void {
    const arrived = this.recorded.filter((passing) => passing.arrived === true);
    this.recorded.splice(0, this.recorded.length, ...arrived);
  }

  /** Of a station, for its share of chance. */
  #number(peer: PeerId): number {
    return this.#numbers.get(peer) ?? -1;
  }

  #isUp(peer: PeerId): boolean {
    return this.#stations.get(peer)?.up === true;
  }
}

export function wayOf(from: PeerId, to: PeerId): string {
  return `${from} ${to}`;
}
