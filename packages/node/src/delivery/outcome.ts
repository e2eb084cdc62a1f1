/** How the sending of a message ends: exactly one of these, once. */
import type { Millis, PeerId } from "@egtp/wire";

/** Why the peer did not handle a message. */
export type RejectReason =
  /** A limit of the peer for this sender. */
  | "quota"
  | "too-large"
  /** No handler takes this type, or not in this way (early, late). */
  | "not-accepted"
  /** The handler threw, or its promise was rejected. */
  | "handler-failed"
  /** The peer's memory of duplicates has no place for the number, so it could not prove anything about it. */
  | "not-placed"
  /** The peer handled the request, then restarted before its reply arrived. Asking again may handle it twice. */
  | "reply-lost"
  /** A code of a later version. */
  | "unknown";

const codes: Readonly<Record<RejectReason, number>> = {
  unknown: 0,
  quota: 1,
  "too-large": 2,
  "not-accepted": 3,
  "handler-failed": 4,
  "not-placed": 5,
  "reply-lost": 6,
};
const reasons = Object.keys(codes) as RejectReason[];

/**
 * To a number of an earlier epoch below the watermark: the run that gave it settled it. Its sender knows no more of that
 * than that it was told then.
 */
export const settledCode = 7;

/** The byte that stands for a reason in a rejection frame. */
export function codeOfReason(reason: RejectReason): number {
  return codes[reason];
}

export function reasonOfCode(code: number): RejectReason {
  return reasons.find((reason) => codes[reason] === code) ?? "unknown";
}

/** Why one way to a peer failed. */
export interface StrategyFailure {
  /** What was tried, as the user would name it: `tcp 192.0.2.1:4000`. */
  readonly strategy: string;
  readonly error: unknown;
  /** It could be reached that way, and a relay would not take anything for it. */
  readonly rejected?: RejectReason | undefined;
}

/** A relay keeps it for its recipient. */
export interface Stored {
  readonly state: "stored";
  readonly relay: PeerId;
  /** By our clock. */
  readonly until: Millis;
}

export type Outcome =
  /** The handler of the peer returned. */
  | { readonly state: "delivered" }
  | { readonly state: "rejected"; readonly reason: RejectReason }
  /** It lay in a mailbox when delivery was closed. */
  | Stored
  /** It was still on its way when delivery was closed, and the store has it: the next run goes on with it. */
  | { readonly state: "kept" }
  /** It left, and its deadline passed, or delivery was closed, while nothing was known of it. It may have been handled. */
  | { readonly state: "expired" }
  /** It never left this machine. The reasons are empty when delivery was told none: at the deadline, and when it is closed. */
  | { readonly state: "unreachable"; readonly reasons: readonly StrategyFailure[] };

export const delivered: Outcome = { state: "delivered" };
export const kept: Outcome = { state: "kept" };
export const expired: Outcome = { state: "expired" };
export const neverLeft: Outcome = { state: "unreachable", reasons: [] };
