/**
 * The turns of a node: whatever is brought about within one turn of the event loop leaves when it ends, in one flush. What is
 * due later has a timer.
 */
import type { Millis } from "@egtp/wire";
import type { NodeSchedule } from "./schedule.ts";

export class Turns {
  readonly #schedule: NodeSchedule;
  readonly #flush: () => void;
  #isBegun = false;
  #at: Millis = 0;
  #cancelTimer: (() => void) | undefined;
  #timerAt: Millis = Infinity;
  #isStopped = false;

  constructor(schedule: NodeSchedule, flush: () => void) {
    this.#schedule = schedule;
    this.#flush = flush;
  }

  get isStopped(): boolean {
    return this.#isStopped;
  }

  /** The time of this turn, at the end of which there is a flush. */
  begin(): Millis {
    if (this.#isBegun) return this.#at;
    this.#at = this.#schedule.now();
    if (this.#isStopped) return this.#at;
    this.#isBegun = true;
    this.#schedule.defer(this.#end);
    return this.#at;
  }

  readonly #end = (): void => {
    this.#isBegun = false;
    if (!this.#isStopped) this.#flush();
  };

  /** Flushes then, if not before. */
  comeAgain(at: Millis, now: Millis): void {
    // One that comes too early finds nothing to do and is armed anew.
    if (at >= this.#timerAt || this.#isStopped) return;
    this.#cancelTimer?.();
    this.#timerAt = at;
    this.#cancelTimer = this.#schedule.setTimer(() => {
      this.#timerAt = Infinity;
      this.#cancelTimer = undefined;
      if (!this.#isStopped) this.#flush();
    }, at - now);
  }

  /** Nothing is flushed by itself any more. */
  stop(): void {
    this.#isStopped = true;
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
  }
}
