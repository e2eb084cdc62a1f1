/**
 * What the links of one transport have in common: limits, clock, and a timer that looks at all of them now and then, since a
 * timer for each link would be a good part of what an idle one costs.
 *
 * Bounds: the links of the transport.
 */
import type { TransportClock } from "./transport-clock.ts";
import type { TransportLimits } from "./transport-limits.ts";

/** A link that wants to be looked at. */
export interface Watched {
  look(now: number): void;
}

export class LinkWatch {
  readonly limits: TransportLimits;
  readonly clock: TransportClock;
  readonly #lookMs: number;
  readonly #links = new Set<Watched>();
  #cancelTimer: (() => void) | undefined;

  constructor(limits: TransportLimits, clock: TransportClock) {
    this.limits = limits;
    this.clock = clock;
    this.#lookMs = Math.min(limits.idleMs / 2, limits.stalledMs / 2, limits.keepAliveMs / 3);
  }

  add(link: Watched): void {
    this.#links.add(link);
    if (this.#cancelTimer === undefined) this.#arm();
  }

  delete(link: Watched): void {
    this.#links.delete(link);
    if (this.#links.size > 0) return;
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
  }

  #arm(): void {
    this.#cancelTimer = this.clock.setTimer(() => {
      const now = this.clock.now();
      for (const link of this.#links) link.look(now);
      if (this.#links.size > 0) this.#arm();
      else this.#cancelTimer = undefined;
    }, this.#lookMs);
  }
}
