/**
 * A simulated network of links that lose, delay, reorder and repeat, and mailboxes where a peer's envelopes wait while it is
 * away. Everything that passes can be recorded, for an attacker to replay.
 */

import type { PeerId } from "@egtp/wire";
import type { Clock } from "./clock.ts";
import type { Random } from "./random.ts";

export interface Faults {
  /** Probabilities for each envelope. */
  readonly loss: number;
  readonly repeat: number;
  readonly reorder: number;
  /** Of arriving minutes late. */
  readonly lateness: number;
  readonly latencyMs: number;
}

export const noFaults: Faults = { loss: 0, repeat: 0, reorder: 0, lateness: 0, latencyMs: 20 };

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

export class Network {
  faults: Faults = noFaults;
  /** Envelopes and bytes sent, repeats not counted. */
  sent = 0;
  sentBytes = 0;
  readonly recorded: Recorded[] = [];
  /** Pairs that cannot reach each other, in this direction. */
  readonly cut = new Set<string>();

  readonly #clock: Clock;
  readonly #random: Random;
  readonly #stations = new Map<PeerId, Station>();
  /** Peers whose envelopes wait in a mailbox while they are away. */
  readonly #mailboxes = new Map<PeerId, Recorded[]>();

  constructor(clock: Clock, random: Random) {
    this.#clock = clock;
    this.#random = random;
  }

  attach(peer: PeerId, station: Station, withMailbox: boolean): void {
    this.#stations.set(peer, station);
    if (withMailbox) this.#mailboxes.set(peer, []);
  }

  send(from: PeerId, to: PeerId, envelope: Uint8Array): void {
    this.sent += 1;
    this.sentBytes += envelope.length;
    const passing: Recorded = { from, to, envelope: envelope.slice(), sentAt: this.#clock.now };
    this.recorded.push(passing);
    if (this.recorded.length > maxRecorded) this.recorded.splice(0, 100);
    const { loss, repeat, lateness } = this.faults;
    if (this.cut.has(`${from} ${to}`)) return;
    const mailbox = this.#mailboxes.get(to);
    if (mailbox !== undefined && (!this.#isUp(to) || this.#random.chance(lateness))) {
      mailbox.push(passing);
      return;
    }
    if (this.#random.chance(loss)) return;
    this.#carry(passing);
    if (this.#random.chance(repeat)) this.#carry(passing);
  }

  /** Hands a peer what waits for it, oldest first, or in any order when that is a fault of the day. */
  collect(peer: PeerId): void {
    const mailbox = this.#mailboxes.get(peer);
    if (mailbox === undefined || mailbox.length === 0 || !this.#isUp(peer)) return;
    this.#mailboxes.set(peer, []);
    if (this.#random.chance(this.faults.reorder)) {
      for (let i = mailbox.length - 1; i > 0; i--) {
        const j = this.#random.below(i + 1);
        [mailbox[i], mailbox[j]] = [mailbox[j] as Recorded, mailbox[i] as Recorded];
      }
    }
    for (const passing of mailbox) {
      this.#hand(passing);
      if (this.#random.chance(this.faults.repeat)) this.#hand(passing);
    }
  }

  #carry(passing: Recorded): void {
    const { reorder, lateness, latencyMs } = this.faults;
    let delay = latencyMs * (0.5 + this.#random.unit());
    if (this.#random.chance(reorder)) delay += this.#random.unit() * 30 * latencyMs;
    if (this.#random.chance(lateness)) delay += this.#random.unit() * 600_000;
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

  #isUp(peer: PeerId): boolean {
    return this.#stations.get(peer)?.up === true;
  }
}
