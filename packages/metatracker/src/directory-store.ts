/**
 * What a directory is kept in: the newest contact record of each peer. A store knows no signatures and reads no clock;
 * {@link Directory} does. It proves itself with the suite in `@egtp/metatracker/conformance`.
 *
 * Methods give their answer at once or in a promise. Several processes may share one store: then `put` compares and
 * replaces in one step.
 */
import type { Millis, PeerId } from "@egtp/wire";

/** A value at once, or later. */
export type MaybePromise<T> = T | Promise<T>;

/** A record as it is kept. The bytes of the record are never changed. */
export interface KeptRecord {
  readonly peer: PeerId;
  readonly seq: number;
  /** As it was signed. */
  readonly bytes: Uint8Array;
  /** What its peer offers by it. */
  readonly services: readonly string[];
  /** From then on it says nothing any more. */
  readonly validUntil: Millis;
  /** Until then it is kept nevertheless, so that nothing that it replaced can come back. */
  readonly keepUntil: Millis;
}

export interface DirectoryStore {
  /** For reports. */
  readonly kind: string;

  /** What is kept now, for reports; a shared store may be a little behind. */
  readonly size: DirectorySize;

  get(peer: PeerId): MaybePromise<KeptRecord | undefined>;

  /**
   * Keeps a record in place of one with a lower number, until the later of both `keepUntil`. A full store makes room by
   * forgetting what was put longest ago; to put again what is kept counts as putting it.
   *
   * @param record - Not changed afterwards by anyone.
   * @returns `undefined` once it is kept, as firmly as this store keeps anything; else the record that stands in its way:
   *   another one, whose number is not lower. Throws or rejects when it could not be kept.
   */
  put(record: KeptRecord): MaybePromise<KeptRecord | undefined>;

  /** Some of those that offer a service and are valid at `now`: at most `max`, chosen at random. */
  offering(service: string, max: number, now: Millis): MaybePromise<readonly KeptRecord[]>;

  /** Forgets what need not be kept at `now`. @returns How many. */
  expire(now: Millis): MaybePromise<number>;

  /** Waits for what was put, then gives the place free. Calling it twice does no harm. */
  close(): Promise<void>;
}

export interface DirectorySize {
  readonly records: number;
  /** Of the records as they were signed. */
  readonly bytes: number;
  /** Records that made room for others since the store was opened. */
  readonly displaced: number;
}

/** Goes on with an answer: at once if it is there. */
export function whenThere<T, U>(answer: MaybePromise<T>, goOn: (value: T) => MaybePromise<U>): MaybePromise<U> {
  return answer instanceof Promise ? answer.then((value) => goOn(value)) : goOn(answer);
}
