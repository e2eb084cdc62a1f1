/** Tokens that come back with time: how much of something may be had. */
import type { Millis } from "@egtp/wire";
import type { Rate } from "./limits.ts";

export class TokenBucket {
  readonly #rate: Rate;
  #tokens: number;
  #at: Millis;

  constructor(rate: Rate, now: Millis) {
    this.#rate = rate;
    this.#tokens = rate.burst;
    this.#at = now;
  }

  /** Whether so many tokens are there; more than a full bucket holds count as a full bucket. */
  has(count: number, now: Millis): boolean {
    const { burst, perSecond } = this.#rate;
    const passed = now - this.#at;
    if (passed > 0) this.#tokens = Math.min(burst, this.#tokens + (passed / 1_000) * perSecond);
    this.#at = now;
    return this.#tokens >= Math.min(count, burst);
  }

  take(count: number): void {
    this.#tokens -= count;
  }
}
