/**
 * Time for tests: it stands still while there is something to do, and then moves to the next timer. Hours pass at once, nothing
 * sleeps, and what happens happens in the same order each time.
 */
import type { Millis } from "@egtp/wire";
import { type NodeSchedule, systemDefer } from "./schedule.ts";

interface Timer {
  readonly at: Millis;
  readonly serial: number;
  readonly task: () => void;
}

/** The schedule of nodes, and the clock of the memory network that they share. */
export class VirtualTime implements NodeSchedule {
  #now: Millis;
  #serial = 0;
  readonly #turns: (() => void)[] = [];
  readonly #timers = new Set<Timer>();
  readonly #defer = systemDefer();

  /** @param now - Where it begins: milliseconds since the Unix epoch. */
  constructor(now: Millis = 1_800_000_000_000) {
    this.#now = now;
  }

  now(): Millis {
    return this.#now;
  }

  defer(task: () => void): void {
    this.#turns.push(task);
  }

  setTimer(task: () => void, delayMs: Millis): () => void {
    const timer: Timer = { at: this.#now + Math.ceil(Math.max(0, delayMs)), serial: ++this.#serial, task };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  /** How many timers are set. */
  get timers(): number {
    return this.#timers.size;
  }

  /**
   * Lets things happen until the condition holds.
   *
   * @param mostMs - So much time passes at most.
   * @throws `Error` when nothing is left to happen in that time.
   */
  async run(condition: () => boolean, mostMs: Millis = 600_000): Promise<void> {
    const end = this.#now + mostMs;
    await this.#settled();
    while (!condition()) {
      if (!this.#step(end)) throw new Error("Nothing is left to happen in time, and the condition does not hold");
      await this.#settled();
    }
  }

  /** Lets so much time pass, with all that happens in it. */
  async pass(ms: Millis): Promise<void> {
    const end = this.#now + ms;
    await this.#settled();
    while (this.#step(end)) await this.#settled();
    this.#now = end;
  }

  /** Waits for a promise while things happen. Rejects as it does, or when it is not settled in `mostMs`. */
  async of<T>(promise: Promise<T>, mostMs?: Millis): Promise<T> {
    let isOver = false;
    const over = (): void => {
      isOver = true;
    };
    promise.then(over, over);
    await this.run(() => isOver, mostMs);
    return promise;
  }

  #step(end: Millis): boolean {
    const turn = this.#turns.shift();
    if (turn !== undefined) {
      turn();
      return true;
    }
    let first: Timer | undefined;
    for (const timer of this.#timers) {
      if (first === undefined || timer.at < first.at || (timer.at === first.at && timer.serial < first.serial))
        first = timer;
    }
    if (first === undefined || first.at > end) return false;
    this.#timers.delete(first);
    this.#now = Math.max(this.#now, first.at);
    first.task();
    return true;
  }

  /** Every promise that can go on has gone on. */
  #settled(): Promise<void> {
    return new Promise((resolve) => this.#defer(resolve));
  }
}
