/**
 * Every size, count and duration of the directory, with its unit and its reason: first what the protocol fixes, then
 * what we chose and a caller may change.
 *
 * @see docs/spec.md, "Metatracker"
 */
import type { BucketRate } from "@egtp/node";
import type { Millis } from "@egtp/wire";

// ---- Fixed by the protocol ----

/** Records in one answer to a list request: a choice for whoever asks, in one small message. */
export const maxListed = 16;

// ---- The server's ----

export interface DirectoryLimits {
  /** Records kept, goodbyes included; what was published longest ago makes room. Some 100 MB with all that belongs to them. */
  readonly maxRecords: number;
  /** Bytes of the records kept. An ordinary one has 300. */
  readonly maxBytes: number;
}

export const defaultDirectoryLimits: DirectoryLimits = {
  maxRecords: 100_000,
  maxBytes: 64 * 1024 * 1024,
};

/** How much the peers that ask may cost. A peer is known once it published here; all others share buckets, too. */
export interface MetatrackerRates {
  /** Records brought by one peer. It brings the same one every two minutes, and a new one when its ways in change. */
  readonly publish: BucketRate;
  /** Look-ups and lists of one peer. A busy one begins many conversations at once. */
  readonly ask: BucketRate;
  /** Records brought by all strangers together: at 0.1 ms for a signature, a twentieth of one core. */
  readonly strangersPublish: BucketRate;
  /** Look-ups and lists of all strangers together: a tenth of one core. */
  readonly strangersAsk: BucketRate;
}

export const defaultMetatrackerRates: MetatrackerRates = {
  publish: { burst: 16, perSecond: 0.5 },
  ask: { burst: 1_000, perSecond: 200 },
  strangersPublish: { burst: 2_000, perSecond: 500 },
  strangersAsk: { burst: 10_000, perSecond: 5_000 },
};

/** Peers whose buckets are remembered, and that they are known; the least recently heard leaves. A few megabytes. */
export const maxAskers = 16_384;

/** How often what is out of date is looked for: nothing depends on it but memory. */
export const sweepMs: Millis = 60_000;

// ---- Boot pages

/** Redirects that are followed for one page: to another name, to TLS, to a content network. */
export const maxBootPageRedirects = 3;

export interface BootPageLimits {
  /** How long one page may take: a slow line, not a server that sends a byte now and then. */
  readonly pageMs: Millis;
  /** How often a page is loaded again, give or take a tenth: a new metatracker is known everywhere after so long. */
  readonly refreshMs: Millis;
  /** After a page could not be loaded it is tried again so soon, then ever later, */
  readonly minRetryMs: Millis;
  /** but no later than this. */
  readonly maxRetryMs: Millis;
  /** When no metatracker answers, pages are loaded anew at once, though no more often than this, and ever more rarely. */
  readonly minRefreshMs: Millis;
}

export const defaultBootPageLimits: BootPageLimits = {
  pageMs: 10_000,
  refreshMs: 60 * 60_000,
  minRetryMs: 5_000,
  maxRetryMs: 10 * 60_000,
  minRefreshMs: 30_000,
};

// ---- The client's

export interface LookupLimits {
  /** On how many metatrackers a record is placed, and how many are asked for it: one may be down and one may lie. */
  readonly copies: number;
  /** How long one metatracker may take before another is asked in its place. */
  readonly askMs: Millis;
  /** How long answers are awaited that would be better to have, when there is one to go on with. */
  readonly patienceMs: Millis;
  /** How many metatrackers are asked for peers that offer a service: each knows only some. */
  readonly discoverFrom: number;

  /** How long an answer is given out again without asking; */
  readonly cacheMs: Millis;
  /** and how long that nobody knows a peer: it may publish at any moment. */
  readonly missMs: Millis;
  /** An answer that was of no use is not asked for again within so long: a busy program would ask without end. */
  readonly minRefreshMs: Millis;
  /** Answers kept, the least recently used leaving. 1 KB each. */
  readonly maxCached: number;

  /**
   * How often our record is brought again to where it should be, give or take a fifth: a metatracker that lost everything
   * knows us again after so long. It costs a small message, and its receiver no signature.
   */
  readonly recheckMs: Millis;
  /** So soon, then ever later, when not all of them took it. */
  readonly minRetryMs: Millis;
}

export const defaultLookupLimits: LookupLimits = {
  copies: 3,
  askMs: 4_000,
  patienceMs: 500,
  discoverFrom: 5,
  cacheMs: 60_000,
  missMs: 2_000,
  minRefreshMs: 500,
  maxCached: 1_024,
  recheckMs: 2 * 60_000,
  minRetryMs: 10_000,
};
