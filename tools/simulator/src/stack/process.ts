/**
 * One life of a process on a simulated machine: its clock, its turns and timers, its writes to the disk. All of it ends when
 * the process is killed, in the midst of whatever it did.
 */

import type { NodeSchedule } from "@egtp/node";
import type { Millis } from "@egtp/wire";
import type { Clock } from "../clock.ts";
import { epochMs } from "../sim-peer.ts";

/** A turn of the event loop. */
const turnMs = 0.01;

export class Process implements NodeSchedule {
  isAlive = true;
  readonly #clock: Clock;
  readonly #writeMs: number;
  #offsetMs: number;
  /** Begun and not yet on the disk, in order. */
  readonly #writes: (() => void)[] = [];

  /**
   * @param offsetMs - What the machine's clock shows beside true time.
   * @param writeMs - How long a write to the disk takes; 0: it is done at once.
   */
  constructor(clock: Clock, offsetMs: number, writeMs: number) {
    this.#clock = clock;
    this.#offsetMs = offsetMs;
    this.#writeMs = writeMs;
  }

  now(): Millis {
    return Math.floor(epochMs + this.#clock.now + this.#offsetMs);
  }

  /** The machine's clock was set. As in a running node the time goes forward with it and never back. */
  setClock(offsetMs: number): void {
    this.#offsetMs = Math.max(this.#offsetMs, offsetMs);
  }

  defer(task: () => void): void {
    this.#clock.after(turnMs, () => {
      if (this.isAlive) task();
    });
  }

  setTimer(task: () => void, delayMs: Millis): () => void {
    let isCancelled = false;
    this.#clock.after(delayMs, () => {
      if (this.isAlive && !isCancelled) task();
    });
    return () => {
      isCancelled = true;
    };
  }

  /** Lets a write take effect when the disk has done it. What a process writes after its end goes nowhere. */
  readonly commit = (apply: () => void): Promise<void> | undefined => {
    if (!this.isAlive) return new Promise(() => {});
    if (this.#writeMs === 0) {
      apply();
      return undefined;
    }
    this.#writes.push(apply);
    return new Promise((resolve) => {
      this.#clock.after(this.#writeMs, () => {
        if (!this.isAlive) return;
        this.#writes.shift()?.();
        resolve();
      });
    });
  };

  /** @param choose - How many of the writes that were under way the disk still did, given how many there are. */
  kill(choose: (limit: number) => number): void {
    this.isAlive = false;
    const done = this.#writes.splice(0, choose(this.#writes.length + 1));
    for (const apply of done) apply();
    this.#writes.length = 0;
  }
}
