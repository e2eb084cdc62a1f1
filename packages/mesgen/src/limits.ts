/**
 * Sizes, counts and durations of the session layer. What the protocol fixes stands in `@egtp/wire`; these we chose, and
 * peers with other values understand each other. They satisfy: mail's time to live <= early key life < offer life < session life.
 *
 * @see docs/spec.md, "Limits"
 */
import type { Millis } from "@egtp/wire";

/** How far below the highest counter an unseen one is still accepted: RFC 6479 windows of WireGuard have 8,128. */
export const replayWindowSize = 8_128;

/**
 * How far above our clock the stamp of an offer, or the floor that a peer tells, counts for something, a thousand years: more than
 * any clock is wrong by, and little enough that what is counted on from there is exact.
 */
export const maxStampLeadMs: Millis = 1_000 * 365 * 24 * 60 * 60 * 1_000;

export interface MesgenLimits {
  /** Counters saved ahead: after a crash this many at most are refused, and one commit is awaited per so many envelopes. */
  readonly counterLeap: number;
  /** A limit that was raised is lowered to what was read by then this much later: what a crash refuses is of seconds. */
  readonly lowerLimitsMs: number;
  /** An answer to an unreadable envelope leaves at once, the next to the same peer no sooner than this; then doubling. */
  readonly answerIntervalMs: number;
  /** The longest distance between two answers to one peer. */
  readonly maxAnswerIntervalMs: number;
  /** A session that an answer went out on and under which nothing authentic came back for so long is set aside. */
  readonly probeTimeoutMs: number;
  /** An unaccepted offer is re-sent verbatim for so long; longer than a mailbox keeps mail (21 days). */
  readonly offerLifeMs: number;
  /** Receive keys of offers we accepted are kept for so long: as long as a mailbox keeps mail. */
  readonly earlyKeyLifeMs: number;
  /** A session older than this is removed; longer than the life of an offer. */
  readonly sessionLifeMs: number;
  /** The next application message after this age of the preferred session begins a new handshake. */
  readonly rekeyAfterMs: number;
  /** The same, by envelopes sealed under it. */
  readonly rekeyAfterEnvelopes: number;
  /** Sending keys live on for so long behind the front, for offers that cross; then they are erased. */
  readonly sendingKeyGraceMs: number;
}

const minuteMs = 60_000;
const dayMs = 24 * 60 * minuteMs;

export const defaultMesgenLimits: MesgenLimits = {
  counterLeap: 4_096,
  lowerLimitsMs: 5_000,
  answerIntervalMs: 500,
  maxAnswerIntervalMs: minuteMs,
  probeTimeoutMs: 1_000,
  offerLifeMs: 22 * dayMs,
  earlyKeyLifeMs: 21 * dayMs,
  sessionLifeMs: 45 * dayMs,
  rekeyAfterMs: dayMs,
  rekeyAfterEnvelopes: 2 ** 24,
  sendingKeyGraceMs: minuteMs,
};
