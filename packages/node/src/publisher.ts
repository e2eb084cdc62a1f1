/**
 * Our own contact record: made when the ways in are known, numbered above whatever was published before, published, and
 * made anew when the ways change, and now and then.
 *
 * @see docs/spec.md, "Contact record"
 */
import type { Identity } from "@egtp/mesgen";
import {
  EgtpError,
  type Millis,
  maxStrategies,
  type Strategy,
  signContactRecord,
  type VerifySignature,
  verifyContactRecord,
  WireError,
} from "@egtp/wire";
import { RouteError } from "./errors.ts";
import type { EventHub } from "./events.ts";
import type { NodeLimits } from "./limits.ts";
import type { Lookup } from "./lookup.ts";
import type { NodeSchedule } from "./schedule.ts";

export interface PublisherOptions {
  readonly identity: Identity;
  readonly verify: VerifySignature;
  readonly lookup: Lookup | undefined;
  readonly services: readonly string[];
  readonly schedule: NodeSchedule;
  readonly limits: NodeLimits;
  readonly events: EventHub;
  /** Runs something that is given up after a time, or when the node stops. */
  readonly withTime: <T>(timeMs: Millis, run: (signal: AbortSignal) => Promise<T>) => Promise<T>;
  readonly onRecord: (record: Uint8Array | undefined) => void;
}

/** How often a number is raised at once. */
const maxAttempts = 3;

export class Publisher {
  readonly #options: PublisherOptions;
  #strategies: readonly Strategy[] = [];
  #seq = 0;
  /** What runs now, and whether it must run again after it. */
  #running: Promise<void> | undefined;
  #isStale = false;
  #cancelTimer: (() => void) | undefined;
  #isStopped = false;

  constructor(options: PublisherOptions) {
    this.#options = options;
  }

  /** Publishes a record with these ways in, best first. Resolves when that was done, or could not be. */
  publish(strategies: readonly Strategy[]): Promise<void> {
    this.#strategies = strategies;
    return this.#publish();
  }

  stop(): void {
    this.#isStopped = true;
    this.#cancelTimer?.();
  }

  /** After `stop`: publishes a goodbye in place of our record, if there is one. Rejects when it could not be made known. */
  async sayGoodbye(): Promise<void> {
    const { lookup } = this.#options;
    await this.#running;
    if (lookup?.publish !== undefined && this.#seq > 0) await this.#makeKnown(lookup, true);
  }

  #publish(): Promise<void> {
    this.#isStale = true;
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  async #run(): Promise<void> {
    while (this.#isStale && !this.#isStopped) {
      this.#isStale = false;
      await this.#publishOnce();
    }
  }

  async #publishOnce(): Promise<void> {
    const { lookup, schedule, limits, events, onRecord } = this.#options;
    this.#cancelTimer?.();
    if (this.#strategies.length === 0 && this.#seq === 0) return;
    let error: EgtpError | undefined;
    // A record without what the lookup knows of its number is better than none: peers take it in with the first message.
    onRecord(this.#sign(Math.max(this.#seq, Math.floor(schedule.now()))));
    if (lookup?.publish !== undefined) {
      try {
        await this.#raiseSeq(lookup);
        await this.#makeKnown(lookup);
      } catch (cause) {
        error = cause instanceof EgtpError ? cause : new RouteError("EGTP_LOOKUP_FAILED", { cause });
      }
    }
    if (this.#isStopped) return;
    if (lookup?.publish !== undefined && events.wants("published")) {
      events.emit({ kind: "published", at: schedule.now(), seq: this.#seq, strategies: this.#strategies, error });
    }
    const { contactTtlMs, republishMs, maxRetryMs } = limits;
    const againMs = Math.min(contactTtlMs / 3, republishMs, error === undefined ? Infinity : maxRetryMs);
    this.#cancelTimer = schedule.setTimer(() => void this.#publish(), againMs);
  }

  /** Publishes above every record of ours that shows itself. */
  async #makeKnown(lookup: Lookup, gone = false): Promise<void> {
    const { limits, withTime, onRecord } = this.#options;
    for (let attempt = 1; ; attempt += 1) {
      const record = this.#sign(this.#seq + 1, gone);
      onRecord(record);
      const newer = await withTime(limits.lookupMs, (signal) => lookup.publish!(record, { signal }));
      if (newer === undefined) return;
      if (attempt === maxAttempts) throw new RouteError("EGTP_RECORD_CONTESTED");
      this.#raiseAbove(newer);
    }
  }

  /** A node that forgot the number of its last record finds it where it was published. */
  async #raiseSeq(lookup: Lookup): Promise<void> {
    const { identity, limits, withTime } = this.#options;
    const bytes = await withTime(limits.lookupMs, (signal) => lookup.lookUp(identity.peer, { signal })).catch(
      (error: unknown) => {
        // What cannot be read there is replaced; where nobody answers the number by the clock must do.
        if (error instanceof EgtpError) return undefined;
        throw error;
      },
    );
    if (bytes !== undefined) this.#raiseAbove(bytes);
  }

  #raiseAbove(bytes: Uint8Array): void {
    const { identity, verify } = this.#options;
    try {
      // One that is out of date, or from the future for a clock that went back, has a number too.
      const record = verifyContactRecord(bytes, undefined, verify);
      if (record.id === identity.peer) this.#seq = Math.max(this.#seq, record.seq);
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
    }
  }

  /** Signs a record with as many of the strategies as fit into one. */
  #sign(seq: number, gone = false): Uint8Array {
    const { identity, schedule, limits, services } = this.#options;
    this.#seq = seq;
    const strategies = gone ? [] : this.#strategies.slice(0, maxStrategies);
    for (;;) {
      try {
        return signContactRecord(
          {
            id: identity.peer,
            seq,
            issued: Math.floor(schedule.now()),
            ttl: limits.contactTtlMs,
            strategies,
            services: gone ? [] : services,
            gone,
          },
          (message) => identity.keys.sign(message),
        );
      } catch (error) {
        if (!(error instanceof WireError) || error.code !== "EGTP_WIRE_TOO_LARGE" || strategies.length === 0)
          throw error;
        strategies.pop();
      }
    }
  }
}
