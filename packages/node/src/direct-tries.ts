/**
 * A peer that is spoken to through a relay: when the direct ways to it are tried again beside that. Only what is sent asks whether
 * it is time, so there is no timer, and nothing is tried while nothing is said. The pauses double, and begin anew when nothing
 * was tried for long though it might have been. What is newly known of how to reach the peer is tried with the next envelope.
 *
 * @see docs/spec.md, "Contact record"
 */
import type { Millis } from "@egtp/wire";
import type { NodeLimits } from "./limits.ts";

export class DirectTries {
  readonly #limits: NodeLimits;
  /** Nothing is tried before. */
  #dueAt: Millis = -Infinity;
  #pauseMs: Millis;
  #triedAt: Millis = -Infinity;
  #isUnderWay = false;

  constructor(limits: NodeLimits) {
    this.#limits = limits;
    this.#pauseMs = limits.minDirectRetryMs;
  }

  /** One begun try has not ended. */
  get isUnderWay(): boolean {
    return this.#isUnderWay;
  }

  /** A link through a relay came about: the direct ways failed a moment ago, or took too long. */
  relayed(now: Millis): void {
    if (now < this.#dueAt) return;
    this.#forgetOld(now);
    this.#dueAt = now + this.#limits.minDirectRetryMs;
  }

  /** A way is known that was not before. */
  news(): void {
    const { minDirectRetryMs } = this.#limits;
    this.#pauseMs = minDirectRetryMs;
    this.#dueAt = Math.min(this.#dueAt, this.#triedAt + minDirectRetryMs);
  }

  /** Something leaves through a relay. @returns Whether the direct ways are to be tried now; then call {@link ended}. */
  begin(now: Millis): boolean {
    if (this.#isUnderWay || now < this.#dueAt) return false;
    this.#forgetOld(now);
    this.#isUnderWay = true;
    this.#triedAt = now;
    this.#pauseMs = Math.min(2 * this.#pauseMs, this.#limits.maxDirectRetryMs);
    this.#dueAt = now + this.#pauseMs;
    return true;
  }

  ended(): void {
    this.#isUnderWay = false;
  }

  /** What failed so long ago says nothing. */
  #forgetOld(now: Millis): void {
    const { minDirectRetryMs, maxDirectRetryMs } = this.#limits;
    if (now - this.#dueAt >= maxDirectRetryMs) this.#pauseMs = minDirectRetryMs;
  }
}
