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
  #offsetMs: number;
  /** Of each disk, what was begun and is not done, in order. */
  readonly #writes: (() => void)[][] = [];

  /** @param offsetMs - What the machine's clock shows beside true time. */
  constructor(clock: Clock, offsetMs: number) {
    this.#clock = clock;
    this.#offsetMs = offsetMs;
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

  /**
   * A disk of this process.
   *
   * @param writeMs - How long a write takes; 0: it is done at once.
   * @returns What lets a write take effect when the disk has done it. What a process writes after its end goes nowhere.
   */
  disk(writeMs: number): (apply: () => void) => Promise<void> | undefined {
    const writes: (() => void)[] = [];
    this.#writes.push(writes);
    return (apply) => {
      if (!this.isAlive) return new Promise(() => {});
      if (writeMs === 0) {
        apply();
        return undefined;
      }
      writes.push(apply);
      return new Promise((resolve) => {
        this.#clock.after(writeMs, () => {
          if (!this.isAlive) return;
          writes.shift()?.();
          resolve();
        });
      });
    };
  }

  /** @param choose - How many of the writes that were under way a disk still did, given how many there are. */
  kill(choose: (limit: number) => number): void {
    this.isAlive = false;
    for (const writes of this.#writes) for (const apply of writes.splice(0, choose(writes.length + 1))) apply();
  }
}
