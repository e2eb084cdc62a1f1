/**
 * What a node writes to its session store at the end of a turn, and what it says and takes in while that does not work: receipts
 * and replies speak only of what is kept, and nothing more is taken in that could not be.
 */
import type { Millis } from "@egtp/wire";
import type { Endpoint } from "./endpoint.ts";
import type { EventHub } from "./events.ts";
import type { NodeSchedule } from "./schedule.ts";

export interface StoreWritesOptions {
  readonly endpoint: Endpoint;
  readonly events: EventHub;
  readonly schedule: NodeSchedule;
  /** The time of this turn; what was brought about leaves at its end. */
  readonly turn: () => Millis;
}

export class StoreWrites {
  readonly #options: StoreWritesOptions;
  /** A write failed and none succeeded since; marks up to this generation wait for one. */
  #isBroken = false;
  #unsettled = 0;

  constructor(options: StoreWritesOptions) {
    this.#options = options;
  }

  /** What is taken in now could be handed over again after a crash, or receipted without being kept. */
  get isBroken(): boolean {
    return this.#isBroken;
  }

  /** Writes what receipts and replies wait for. */
  settle(now: Millis): void {
    const { endpoint, turn } = this.#options;
    const settling = endpoint.settle(now);
    settling?.commit.then(
      () => endpoint.committed(settling.generation, turn()),
      (error: unknown) => {
        this.#unsettled = Math.max(this.#unsettled, settling.generation);
        this.failed(error);
      },
    );
  }

  /** Writes what is staged. @returns `undefined` when it is kept already; rejects when it could not be. */
  commit(): Promise<void> | undefined {
    const commit = this.#options.endpoint.maps.commit();
    commit?.catch((error: unknown) => this.failed(error));
    return commit;
  }

  /** Writes what nothing waits for, and what could not be written before. */
  write(now: Millis): void {
    const { endpoint } = this.#options;
    const writing = endpoint.tick(now);
    if (writing !== undefined) {
      writing.then(
        () => this.#works(),
        (error: unknown) => this.failed(error),
      );
    } else if (this.#isBroken && !endpoint.maps.dirty) this.#works();
  }

  failed(error: unknown): void {
    const { events, schedule, turn } = this.#options;
    this.#isBroken = true;
    turn();
    if (!events.wants("store")) return;
    events.emit({ kind: "store", at: schedule.now(), state: "failed", key: undefined, error });
  }

  /** Everything that was ever to be written is. */
  #works(): void {
    if (!this.#isBroken) return;
    this.#isBroken = false;
    this.#options.endpoint.committed(this.#unsettled, this.#options.turn());
  }
}
