/**
 * Hands the mail of one owner to its node, oldest first, as long as it is connected: what waits in the mailbox, and what is
 * passed on at once because nothing waits before it.
 *
 * A mail is *out* from the moment it is handed over until it is acknowledged; at most a window of them is. What the owner's
 * node did not take in is handed over again when the owner registers again, and what it took in and did not acknowledge when
 * another run of it does: one that handles slowly knows what it has, and can collect what it lacks. A failure ends the
 * pushing, so that nothing is sent to somebody who is not there; as an owner that is there need not have noticed it, it is
 * tried again a few times, ever more rarely.
 *
 * Bounds: `maxPushMessages` for what is out, whose bytes the mailbox bounds, and `maxPushBytes` for what its owner's node has
 * not taken in; one mail may exceed them. An owner acknowledges nothing of a long message before all of it came, so what was
 * taken in must not keep the rest back.
 */
import type { Millis, PeerId } from "@egtp/wire";
import type { RelayServerLimits } from "./limits.ts";
import type { MailboxStore, StoredMail } from "./mailbox-store.ts";

/** Mails that are asked of the store at once. */
const collectMessages = 256;

export interface PushHost {
  readonly limits: RelayServerLimits;
  readonly store: MailboxStore;
  readonly now: () => Millis;
  readonly isLinked: (owner: PeerId) => boolean;
  /** Whether more may be on its way, over all owners. If not, the owner is pumped when it may. */
  readonly hasRoom: (owner: OwnerPush) => boolean;
  /** Sends a mail. Resolves whether the owner's node took it in; never rejects. */
  readonly send: (owner: PeerId, body: Uint8Array) => Promise<boolean>;
  /** Runs a task when the present turn is over. */
  readonly defer: (task: () => void) => void;
  /** Runs a task later. @returns Cancels it. */
  readonly setTimer: (task: () => void, delayMs: Millis) => () => void;
  /** A held mail was acknowledged. */
  readonly passed: (held: Held) => void;
  /** The store could not be read. */
  readonly failed: (error: unknown) => void;
}

/** A mail that was handed over and not acknowledged. */
interface Out {
  readonly bytes: number;
  /** The owner's node has not said yet that it took it in. */
  isSending: boolean;
}

/** A mail that is in memory alone, and for which whoever passed it along waits. */
export interface Held {
  readonly owner: OwnerPush;
  readonly number: number;
  readonly bytes: number;
  /** When it is written down, if it was not acknowledged. */
  readonly until: Millis;
  /** Its sender was answered. */
  isOver: boolean;
  readonly answer: (reply: Uint8Array) => void;
}

export class OwnerPush {
  readonly peer: PeerId;
  /** By number. Most owners are idle most of the time, so there are no tables for what is not there. */
  #held: Map<number, Held> | undefined;
  #out: Map<number, Out> | undefined;
  readonly #host: PushHost;
  /** Bytes of those that the owner's node has not taken in. */
  #sendingBytes = 0;
  /** The run of its process that registered last. */
  #run = "";
  /** The newest mail that was handed over since the owner last registered. */
  #cursor = 0;
  /** There may be mail above it. */
  #hasMore = false;
  /** The store is being asked, or a turn waited for. */
  #isPumping = false;
  /** Nothing is handed over before the owner registers again, or the next try. */
  #isAway = true;
  /** Another relay hands it over. */
  #isStandby = false;
  /** Until the next try after a failure; each waits twice as long as the one before. */
  #retryMs: Millis;
  #cancelRetry: (() => void) | undefined;
  #isOver = false;

  constructor(peer: PeerId, host: PushHost) {
    this.peer = peer;
    this.#host = host;
    this.#retryMs = host.limits.minPushRetryMs;
  }

  /** Nothing is known that is not in the mailbox, and nothing is about to be done. */
  get isIdle(): boolean {
    const isWaiting = this.#isPumping || this.#cancelRetry !== undefined;
    return (this.#out?.size ?? 0) === 0 && (this.#held?.size ?? 0) === 0 && !isWaiting;
  }

  /** Gives memory back that is not needed now. */
  trim(): void {
    if (this.#out?.size === 0) this.#out = undefined;
    if (this.#held?.size === 0) this.#held = undefined;
  }

  /** A mail is in memory alone until it is answered for. Bounded by what is out, and by `maxHeldBytes`. */
  hold(held: Held): void {
    this.#held ??= new Map();
    this.#held.set(held.number, held);
  }

  /** It is in memory alone no more. */
  release({ number }: Held): void {
    this.#held?.delete(number);
  }

  /**
   * The owner is here: everything is handed over again but what is on its way, or was taken in by this run.
   *
   * @param run - Of the owner's process.
   */
  begin(run: string): void {
    if (this.#isOver) return;
    if (run !== this.#run) {
      for (const [number, { isSending }] of this.#out ?? []) if (!isSending) this.#out!.delete(number);
      this.#run = run;
    }
    this.#isStandby = false;
    this.#endRetry();
    this.#retryMs = this.#host.limits.minPushRetryMs;
    this.#fromTheOldest();
  }

  /** Another relay hands the mail of the same mailbox over, until the owner registers otherwise. */
  standBy(): void {
    this.#isStandby = true;
    this.#isAway = true;
    this.#endRetry();
    // What is out is that relay's now: it comes again when this one begins.
    this.#run = "";
  }

  /** Hands nothing over ever again. */
  end(): void {
    this.#isOver = true;
    this.#isAway = true;
    this.#endRetry();
  }

  /** There is mail for it. */
  moreMail(): void {
    this.#hasMore = true;
    this.pump();
  }

  /** Whether a mail can be handed over before it is written down: the owner is here and nothing waits. */
  canPass(bytes: number): boolean {
    if (this.#isAway || this.#hasMore || this.#isPumping) return false;
    const { maxPushMessages, maxPushBytes } = this.#host.limits;
    if ((this.#out?.size ?? 0) >= maxPushMessages || this.#sendingBytes + bytes > maxPushBytes) return false;
    return this.#host.hasRoom(this) && this.#isHere();
  }

  /** Hands a mail over. @param body - Mail ID 16, then the envelope. */
  pass(number: number, body: Uint8Array): void {
    const out: Out = { bytes: body.length, isSending: true };
    this.#cursor = number;
    this.#out ??= new Map();
    this.#out.set(number, out);
    this.#sendingBytes += out.bytes;
    void this.#host.send(this.peer, body).then((isTaken) => {
      out.isSending = false;
      this.#sendingBytes -= out.bytes;
      if (!isTaken && this.#out?.get(number) === out) this.#missed(number);
      else {
        if (isTaken) this.#retryMs = this.#host.limits.minPushRetryMs;
        this.pump();
      }
    });
  }

  /** Hands over what waits, as far as there is room. */
  pump(): void {
    const { limits, store } = this.#host;
    let read = 0;
    while (this.#hasMore && !this.#isPumping && !this.#isAway) {
      const maxMessages = Math.min(collectMessages, limits.maxPushMessages - (this.#out?.size ?? 0));
      const maxBytes = Math.min(limits.pushTurnBytes, limits.maxPushBytes - this.#sendingBytes);
      // What is taken in or acknowledged makes room.
      if (maxMessages <= 0 || maxBytes <= 0 || !this.#host.hasRoom(this) || !this.#isHere()) return;
      if (read >= limits.pushTurnBytes) {
        this.#isPumping = true;
        this.#host.defer(() => {
          this.#isPumping = false;
          this.pump();
        });
        return;
      }
      this.#hasMore = false;
      try {
        const mails = store.collect(this.peer, this.#cursor, { maxMessages, maxBytes }, this.#host.now());
        if (mails instanceof Promise) {
          this.#await(mails);
          return;
        }
        read += this.#take(mails);
      } catch (error) {
        this.#couldNotRead(error);
      }
    }
  }

  /** The owner acknowledged mails. @param ranges - Ascending pairs [from, to). */
  acknowledged(ranges: readonly number[]): void {
    const known = (this.#out?.size ?? 0) + (this.#held?.size ?? 0);
    for (let r = 0; r < ranges.length; r += 2) {
      const from = ranges[r]!;
      const to = ranges[r + 1]!;
      if (to - from <= known) {
        for (let number = from; number < to; number++) this.#acknowledged(number);
        continue;
      }
      for (const number of [...(this.#out?.keys() ?? []), ...(this.#held?.keys() ?? [])]) {
        if (number >= from && number < to) this.#acknowledged(number);
      }
    }
    this.pump();
  }

  #acknowledged(number: number): void {
    this.#out?.delete(number);
    const held = this.#held?.get(number);
    if (held !== undefined) this.#host.passed(held);
  }

  #isHere(): boolean {
    if (!this.#host.isLinked(this.peer)) this.#rest();
    return !this.#isAway;
  }

  #missed(number: number): void {
    this.#out?.delete(number);
    this.#hasMore = true;
    this.#rest();
  }

  /** Hands nothing over for a while, and after some tries until its owner registers again. */
  #rest(): void {
    this.#isAway = true;
    const { limits, setTimer } = this.#host;
    if (this.#isOver || this.#isStandby || this.#cancelRetry !== undefined || this.#retryMs > limits.maxPushRetryMs)
      return;
    this.#cancelRetry = setTimer(() => {
      this.#cancelRetry = undefined;
      this.#fromTheOldest();
    }, this.#retryMs);
    this.#retryMs *= 2;
  }

  #endRetry(): void {
    this.#cancelRetry?.();
    this.#cancelRetry = undefined;
  }

  #fromTheOldest(): void {
    this.#cursor = 0;
    this.#isAway = false;
    this.moreMail();
  }

  #await(collecting: Promise<readonly StoredMail[]>): void {
    this.#isPumping = true;
    const after = this.#cursor;
    collecting.then(
      (mails) => {
        this.#isPumping = false;
        // It went away, or begins with the oldest again: then that comes first.
        if (this.#isAway || this.#cursor !== after) this.#hasMore = true;
        else this.#take(mails);
        this.pump();
      },
      (error: unknown) => {
        this.#isPumping = false;
        this.#couldNotRead(error);
      },
    );
  }

  /** @returns Bytes of what was handed over. */
  #take(mails: readonly StoredMail[]): number {
    let bytes = 0;
    if (mails.length > 0) this.#hasMore = true;
    for (const { number, body } of mails) {
      if (this.#out?.has(number) === true) this.#cursor = number;
      else {
        this.pass(number, body);
        bytes += body.length;
      }
    }
    return bytes;
  }

  #couldNotRead(error: unknown): void {
    this.#hasMore = true;
    this.#rest();
    this.#host.failed(error);
  }
}
