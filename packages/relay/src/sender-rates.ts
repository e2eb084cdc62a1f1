/**
 * How fast senders may pass mail along. Whoever is registered here has a rate of its own. Strangers have less, each and all
 * together: anybody can make up as many as they like, and a sealed sender is one, so that one of them must not shut out others.
 *
 * Bounds: `maxSenders`. A stranger that is forgotten comes back with full buckets, but there is one for all of them.
 */
import type { Millis, PeerId } from "@egtp/wire";
import type { RelayServerLimits, SenderRate } from "./limits.ts";
import { TokenBucket } from "./token-bucket.ts";

class Buckets {
  readonly #messages: TokenBucket;
  readonly #bytes: TokenBucket;

  constructor(rate: SenderRate, now: Millis) {
    this.#messages = new TokenBucket(rate.messages, now);
    this.#bytes = new TokenBucket(rate.bytes, now);
  }

  has(bytes: number, now: Millis): boolean {
    return this.#messages.has(1, now) && this.#bytes.has(bytes, now);
  }

  take(bytes: number): void {
    this.#messages.take(1);
    this.#bytes.take(bytes);
  }
}

interface Sender {
  readonly isStranger: boolean;
  readonly buckets: Buckets;
  usedAt: Millis;
}

/** A sender moves to the end of the table, where those are that leave last, so often at most. */
const touchMs: Millis = 1_000;

export class SenderRates {
  readonly #limits: RelayServerLimits;
  readonly #senders = new Map<PeerId, Sender>();
  readonly #strangers: Buckets;

  constructor(limits: RelayServerLimits, now: Millis) {
    this.#limits = limits;
    this.#strangers = new Buckets(limits.strangers, now);
  }

  get size(): number {
    return this.#senders.size;
  }

  /** Takes the tokens for one envelope. @returns False when there are not enough: then none were taken. */
  take(sender: PeerId, isStranger: boolean, bytes: number, now: Millis): boolean {
    const { buckets } = this.#sender(sender, isStranger, now);
    if (!buckets.has(bytes, now) || (isStranger && !this.#strangers.has(bytes, now))) return false;
    buckets.take(bytes);
    if (isStranger) this.#strangers.take(bytes);
    return true;
  }

  #sender(name: PeerId, isStranger: boolean, now: Millis): Sender {
    const known = this.#senders.get(name);
    if (known?.isStranger === isStranger && now - known.usedAt < touchMs) return known;
    const { registeredSender, stranger, maxSenders } = this.#limits;
    const sender =
      known?.isStranger === isStranger
        ? known
        : { isStranger, buckets: new Buckets(isStranger ? stranger : registeredSender, now), usedAt: now };
    sender.usedAt = now;
    this.#senders.delete(name);
    this.#senders.set(name, sender);
    for (const oldest of this.#senders.keys()) {
      if (this.#senders.size <= maxSenders) break;
      this.#senders.delete(oldest);
    }
    return sender;
  }
}
