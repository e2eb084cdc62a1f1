/**
 * What is done to the peers of a run, one act after another: somebody is asked to send, a process is killed, a link is cut, an
 * attacker strikes. Acts are numbered, and each has chance of its own, so that a failure can be told with the few that show it.
 */

import type { Clock } from "./clock.ts";
import type { Random } from "./random.ts";

export class Script {
  /** Acts so far, those left out among them. */
  count = 0;
  isActing = false;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #only: ReadonlySet<number> | undefined;

  /** @param only - The numbers of the acts that take place; `undefined`: all. */
  constructor(clock: Clock, random: Random, only: ReadonlySet<number> | undefined) {
    this.#clock = clock;
    this.#random = random;
    this.#only = only;
  }

  act(what: (random: Random) => void): void {
    const number = this.count++;
    const random = this.#random.fork();
    if (this.#only?.has(number) === false) return;
    this.isActing = true;
    what(random);
    this.isActing = false;
  }

  /** Acts at random distances until an instant. */
  every(meanMs: number, until: number, what: (random: Random) => void): void {
    const pace = this.#random.fork();
    const again = (): void => {
      if (this.#clock.now >= until) return;
      this.act(what);
      this.#clock.after(meanMs * (0.5 + pace.unit()), again);
    };
    this.#clock.after(meanMs * pace.unit(), again);
  }
}
