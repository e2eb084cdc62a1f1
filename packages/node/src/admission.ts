/**
 * Who may cost us work before anything about an envelope is known to be true.
 *
 * An envelope of an unknown session names a sender, and answering it costs a handshake, a lookup, dials and bytes; an
 * offer costs three key agreements. Before any of that, buckets are asked: the link's, its source's, and one for its
 * class. The link and the source come first, so a source can empty no bucket but its own and its share of the common one.
 *
 * Classes, from the best: envelopes on a link that answered a challenge; sources from which an offer proved authentic;
 * senders that are known here; strangers. Each has buckets of its own, so a flood of strangers leaves known peers alone.
 * A name is only a claim, so a known sender has a bucket per name: who forges it starves that name only, and not on links
 * or from sources that proved themselves. What turns out authentic gives its tokens back.
 *
 * Bounds: `maxSources` sources and as many names. A bucket that leaves its table returns full, so the tables hold the
 * most recently used, and the common buckets hold whatever the tables forget.
 *
 * @see docs/spec.md, "Limits"
 */
import type { Millis, PeerId } from "@egtp/wire";

/** What an envelope would cost: a key agreement, or an answer to something unreadable. */
export type AdmissionWork = "handshake" | "answer";

/** How many tokens a bucket holds, and how many come back in a second. */
export interface BucketRate {
  readonly burst: number;
  readonly perSecond: number;
}

export interface AdmissionRates {
  /** One link that is not authenticated. Its answers and handshakes are counted apart, as everywhere. */
  readonly link: BucketRate;
  /** One link that answered a challenge. */
  readonly authenticatedLink: BucketRate;
  /** One source: an IPv4 address, or a /64 of IPv6. */
  readonly source: BucketRate;
  /** One sender that is known here, by the name it claims. */
  readonly knownPeer: BucketRate;
  /** All strangers together: at 0.3 ms for a handshake, an eighth of one core. */
  readonly strangers: BucketRate;
  /** All known senders, and sources that proved themselves, together. */
  readonly known: BucketRate;
}

export const defaultAdmissionRates: AdmissionRates = {
  link: { burst: 8, perSecond: 4 },
  authenticatedLink: { burst: 64, perSecond: 32 },
  source: { burst: 64, perSecond: 32 },
  knownPeer: { burst: 16, perSecond: 4 },
  strangers: { burst: 512, perSecond: 400 },
  known: { burst: 1_024, perSecond: 800 },
};

/** Tokens that come back with time. */
export class TokenBucket {
  readonly #rate: BucketRate;
  #tokens: number;
  #at: Millis;

  constructor(rate: BucketRate, now: Millis) {
    this.#rate = rate;
    this.#tokens = rate.burst;
    this.#at = now;
  }

  /** Whether there is a token. */
  has(now: Millis): boolean {
    const passed = now - this.#at;
    if (passed > 0) this.#tokens = Math.min(this.#rate.burst, this.#tokens + (passed / 1_000) * this.#rate.perSecond);
    this.#at = now;
    return this.#tokens >= 1;
  }

  take(): void {
    this.#tokens -= 1;
  }

  giveBack(): void {
    this.#tokens = Math.min(this.#rate.burst, this.#tokens + 1);
  }
}

/** One bucket for each kind of work. */
export type Buckets = Readonly<Record<AdmissionWork, TokenBucket>>;

/** Where an envelope came from. */
export interface Asker {
  /** From `forLink` or `forAuthenticatedLink`. */
  readonly buckets: Buckets;
  readonly isAuthenticated: boolean;
  readonly source: string;
}

interface Source {
  readonly buckets: Buckets;
  /** When an offer that came from it proved authentic; it counts as proven for `provenMs` after. */
  provenAt: Millis;
}

/** What was taken for one envelope, to be given back when it proves authentic. */
export interface Grant {
  readonly buckets: readonly TokenBucket[];
  readonly source: string;
}

/** How long a source counts as proven. */
const provenMs: Millis = 60 * 60_000;

export class Admission {
  refused = 0;
  readonly #rates: AdmissionRates;
  readonly #maxSources: number;
  readonly #sources = new Map<string, Source>();
  readonly #names = new Map<PeerId, Buckets>();
  readonly #strangers: Buckets;
  readonly #known: Buckets;

  constructor(rates: Partial<AdmissionRates>, maxSources: number, now: Millis) {
    this.#rates = { ...defaultAdmissionRates, ...rates };
    this.#maxSources = maxSources;
    this.#strangers = newBuckets(this.#rates.strangers, now);
    this.#known = newBuckets(this.#rates.known, now);
  }

  /** The buckets of a new link, which keeps them. */
  forLink(now: Millis): Buckets {
    return new LinkBuckets(this.#rates.link, now);
  }

  /** The buckets of a link that answered a challenge. */
  forAuthenticatedLink(now: Millis): Buckets {
    return new LinkBuckets(this.#rates.authenticatedLink, now);
  }

  /**
   * Asks for work on an envelope.
   *
   * @param sender - The name it claims, when that is in the clear.
   * @param isKnown - Whether the node has ever had something authentic from that name.
   * @returns What was taken; `undefined` when it is refused, and then nothing was.
   */
  ask(work: AdmissionWork, asker: Asker, sender: PeerId | undefined, isKnown: boolean, now: Millis): Grant | undefined {
    const asked = [asker.buckets[work]];
    if (!asker.isAuthenticated) {
      const source = this.#source(asker.source, now);
      asked.push(source.buckets[work]);
      const isProven = now - source.provenAt < provenMs;
      if (isKnown && sender !== undefined && !isProven) asked.push(this.#named(sender, now)[work]);
      asked.push((isKnown || isProven ? this.#known : this.#strangers)[work]);
    }
    for (const bucket of asked) {
      if (!bucket.has(now)) {
        this.refused += 1;
        return undefined;
      }
    }
    for (const bucket of asked) bucket.take();
    return { buckets: asked, source: asker.source };
  }

  /** The envelope was an authentic offer or acceptance: it costs its source nothing. */
  proved(grant: Grant, now: Millis): void {
    for (const bucket of grant.buckets) bucket.giveBack();
    this.#source(grant.source, now).provenAt = now;
  }

  #source(name: string, now: Millis): Source {
    let source = this.#sources.get(name);
    if (source === undefined) source = { buckets: newBuckets(this.#rates.source, now), provenAt: -Infinity };
    else this.#sources.delete(name);
    this.#sources.set(name, source);
    dropOldest(this.#sources, this.#maxSources);
    return source;
  }

  #named(name: PeerId, now: Millis): Buckets {
    let buckets = this.#names.get(name);
    if (buckets === undefined) buckets = newBuckets(this.#rates.knownPeer, now);
    else this.#names.delete(name);
    this.#names.set(name, buckets);
    dropOldest(this.#names, this.#maxSources);
    return buckets;
  }
}

/** The same, made when they are asked: most links live on one session, and there are many links. */
class LinkBuckets implements Buckets {
  readonly #rate: BucketRate;
  readonly #since: Millis;
  #handshake: TokenBucket | undefined;
  #answer: TokenBucket | undefined;

  constructor(rate: BucketRate, now: Millis) {
    this.#rate = rate;
    this.#since = now;
  }

  get handshake(): TokenBucket {
    this.#handshake ??= new TokenBucket(this.#rate, this.#since);
    return this.#handshake;
  }

  get answer(): TokenBucket {
    this.#answer ??= new TokenBucket(this.#rate, this.#since);
    return this.#answer;
  }
}

function newBuckets(rate: BucketRate, now: Millis): Buckets {
  return { handshake: new TokenBucket(rate, now), answer: new TokenBucket(rate, now) };
}

/** The first of a map is the least recently used one. */
function dropOldest<K>(map: Map<K, unknown>, most: number): void {
  for (const oldest of map.keys()) {
    if (map.size <= most) return;
    map.delete(oldest);
  }
}
