/**
 * Ways to one peer through relays of which nothing came: what left by them was not receipted, or what was told was asked for again.
 * A relay that answers well and throws everything away looks just so. They go behind all others, for longer each time, and are
 * never given up: nothing tells such a relay from one whose mailbox its owner does not empty.
 *
 * Bounds: `maxDoubts`; the one that was doubted first leaves.
 */
import type { Millis } from "@egtp/wire";
import type { NodeLimits } from "./limits.ts";

/** As many as a contact record names strategies. */
const maxDoubts = 16;

interface Doubt {
  readonly at: Millis;
  readonly forMs: Millis;
}

export class Doubts {
  /** By the names of strategies, the one that was doubted last at the end. */
  readonly #ways = new Map<string, Doubt>();
  /** When the last one was raised. */
  raisedAt: Millis = -Infinity;

  raise(way: string, { failedStrategyMs, maxDoubtMs }: NodeLimits, now: Millis): void {
    const before = this.#ways.get(way)?.forMs;
    const forMs = before === undefined ? failedStrategyMs : Math.min(2 * before, maxDoubtMs);
    this.raisedAt = now;
    this.#ways.delete(way);
    this.#ways.set(way, { at: now, forMs });
    for (const first of this.#ways.keys()) {
      if (this.#ways.size <= maxDoubts) break;
      this.#ways.delete(first);
    }
  }

  /** Since when a way goes behind others; `undefined` when it does not. */
  since(way: string, now: Millis): Millis | undefined {
    const doubt = this.#ways.get(way);
    return doubt !== undefined && now - doubt.at < doubt.forMs ? doubt.at : undefined;
  }
}
