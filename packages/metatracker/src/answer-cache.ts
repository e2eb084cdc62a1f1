/**
 * Answers of metatrackers that may be given out again for a while: a record, or that nobody knows the peer.
 *
 * Bounded by `maxCached`; the least recently used leaves.
 */
import type { Millis, PeerId } from "@egtp/wire";
import type { LookupLimits } from "./limits.ts";

/** A verified record as it was signed. */
export interface FoundRecord {
  readonly peer: PeerId;
  readonly bytes: Uint8Array;
  readonly seq: number;
  readonly validUntil: Millis;
}

interface Answer {
  /** `undefined`: nobody knows the peer. */
  readonly found: FoundRecord | undefined;
  /** What was known to be of no use when it was asked for. */
  readonly tried: number | undefined;
  readonly askedAt: Millis;
  readonly freshUntil: Millis;
}

export class AnswerCache {
  readonly #limits: LookupLimits;
  readonly #answers = new Map<PeerId, Answer>();

  constructor(limits: LookupLimits) {
    this.#limits = limits;
  }

  /**
   * @param tried - The number of a record that is of no use: then only a newer one will do, or an answer to this very
   *   question that is so young that asking anew would bring nothing else.
   * @returns `undefined` when somebody has to be asked.
   */
  find(peer: PeerId, tried: number | undefined, now: Millis): { readonly found: FoundRecord | undefined } | undefined {
    const answer = this.#answers.get(peer);
    if (answer === undefined) return undefined;
    this.#answers.delete(peer);
    if (now >= answer.freshUntil) return undefined;
    this.#answers.set(peer, answer);
    if (tried === undefined || (answer.found !== undefined && answer.found.seq > tried)) return answer;
    const wasAsked = answer.tried !== undefined && answer.tried >= tried;
    return wasAsked && now - answer.askedAt < this.#limits.minRefreshMs ? answer : undefined;
  }

  keep(peer: PeerId, found: FoundRecord | undefined, tried: number | undefined, now: Millis): void {
    const { cacheMs, missMs, maxCached } = this.#limits;
    const freshUntil = found === undefined ? now + missMs : Math.min(now + cacheMs, found.validUntil);
    this.#answers.delete(peer);
    this.#answers.set(peer, { found, tried, askedAt: now, freshUntil });
    for (const oldest of this.#answers.keys()) {
      if (this.#answers.size <= maxCached) break;
      this.#answers.delete(oldest);
    }
  }
}
