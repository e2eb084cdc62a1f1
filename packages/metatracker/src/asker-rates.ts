/**
 * What those who ask a metatracker may cost it. Each has buckets of its own; whoever has not published here yet draws from
 * buckets that all strangers share, besides, so that no number of throwaway identities costs more than those hold, and
 * peers that are known go on being served meanwhile.
 *
 * Bounds: {@link maxAskers} peers, the least recently heard leaving. One that comes back has full buckets and is a stranger.
 */
import { TokenBucket } from "@egtp/node";
import type { Millis, PeerId } from "@egtp/wire";
import { type MetatrackerRates, maxAskers } from "./limits.ts";

export type AskedWork = "publish" | "ask";

interface Asker {
  readonly publish: TokenBucket;
  readonly ask: TokenBucket;
  isKnown: boolean;
}

export class AskerRates {
  readonly #rates: MetatrackerRates;
  readonly #strangers: Readonly<Record<AskedWork, TokenBucket>>;
  readonly #askers = new Map<PeerId, Asker>();

  constructor(rates: MetatrackerRates, now: Millis) {
    this.#rates = rates;
    this.#strangers = {
      publish: new TokenBucket(rates.strangersPublish, now),
      ask: new TokenBucket(rates.strangersAsk, now),
    };
  }

  /** Peers remembered. */
  get size(): number {
    return this.#askers.size;
  }

  /** Takes what the work costs. @returns False when there is not enough: then nothing was taken. */
  take(work: AskedWork, peer: PeerId, now: Millis): boolean {
    const asker = this.#asker(peer, now);
    const buckets = asker.isKnown ? [asker[work]] : [asker[work], this.#strangers[work]];
    if (!buckets.every((bucket) => bucket.has(now))) return false;
    for (const bucket of buckets) bucket.take();
    return true;
  }

  /** The peer's record is kept here. */
  know(peer: PeerId, now: Millis): void {
    this.#asker(peer, now).isKnown = true;
  }

  #asker(peer: PeerId, now: Millis): Asker {
    let asker = this.#askers.get(peer);
    if (asker === undefined) {
      const { publish, ask } = this.#rates;
      asker = { publish: new TokenBucket(publish, now), ask: new TokenBucket(ask, now), isKnown: false };
      for (const oldest of this.#askers.keys()) {
        if (this.#askers.size < maxAskers) break;
        this.#askers.delete(oldest);
      }
    } else this.#askers.delete(peer);
    this.#askers.set(peer, asker);
    return asker;
  }
}
