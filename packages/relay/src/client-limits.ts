/**
 * Every size, count and duration of a relay's client, with its unit and its reason. All of them are chosen.
 *
 * @see docs/spec.md, "Relay"
 */
import { checkedLimits, type Millis } from "@egtp/wire";

export interface RelayClientLimits {
  // ---- Reaching relays
  /** How long a relay may take to say its limits before it counts as out of reach: a slow dial and a round trip. */
  readonly reachMs: Millis;
  /** How long it may take over one envelope; it answers after a push that nobody acknowledged, and a write to disk. */
  readonly passAlongMs: Millis;

  // ---- Passing along
  /** Envelopes given to one relay of which it has not said what became, over all recipients, and their bytes: less than the
   * node keeps for one peer. */
  readonly maxUnderWay: number;
  readonly maxUnderWayBytes: number;
  /**
   * Bytes and envelopes of one recipient from which `send` says stop, and at which `drain` says go on. A recipient acknowledges
   * nothing of a message in parts before it has all of them, so there must be room for one that came half and a whole one.
   */
  readonly highWaterBytes: number;
  readonly lowWaterBytes: number;
  readonly highWaterEnvelopes: number;
  readonly lowWaterEnvelopes: number;
  /** A relay that says "too fast" is given nothing for so long, then one envelope; when it says so again, twice as long, */
  readonly slowDownMs: Millis;
  /** up to this. */
  readonly maxSlowDownMs: Millis;
  /** When it has taken nothing for so long, it does not want more from us: the envelope counts as refused. */
  readonly tooSlowMs: Millis;
  /** A way through a relay that nothing took for so long is closed; as long as a link. */
  readonly idleMs: Millis;
  /** How long a way that closes waits for the relay's last words. */
  readonly closingMs: Millis;

  // ---- Registrations
  /** How long `start` waits for the first registrations, so that the first contact record names the relays. */
  readonly startMs: Millis;
  /** How long a relay may take over a registration, a collection or an acknowledgement. */
  readonly registerMs: Millis;
  /** A registration is renewed after this: it finds out what is broken, and keeps the link from being closed as idle. */
  readonly refreshMs: Millis;
  /** A relay that failed is tried again after so long, doubling, with jitter so that its clients do not return all at once, */
  readonly minRetryMs: Millis;
  /** up to this. */
  readonly maxRetryMs: Millis;
  /** A relay that refused us is asked again after this. */
  readonly refusedMs: Millis;
  /** A relay that was lost is still advertised for so long: one that restarts is not worth two new contact records. */
  readonly unadvertiseMs: Millis;
  /** After so long another takes its place. */
  readonly replaceMs: Millis;
  /** When a relay came back and more are live than needed, the worst is left after this: senders know old records for a while. */
  readonly leaveMs: Millis;
  /** Relays with which something is kept: live, lost, refused. The one that was lost first makes room. */
  readonly maxRegistrations: number;
  /** Relays that were found and are not used. */
  readonly maxCandidates: number;
  /** Relays are discovered anew after this; when too few are live, after `minDiscoverMs`, doubling. */
  readonly discoverMs: Millis;
  readonly minDiscoverMs: Millis;

  // ---- Mail
  /** When mail waits and none is pushed for so long it is collected. Also the first pause after mail was not taken in, */
  readonly collectMs: Millis;
  /** which doubles up to this. */
  readonly maxCollectMs: Millis;
  /** Mail whose number is too high for the order is kept back for so long, for those before it to come. */
  readonly gapMs: Millis;
  /** Mails of one relay that are being taken in or kept back; beyond it they are collected later. */
  readonly maxMails: number;
  /** Numbers of one mailbox that were acknowledged and may come again, when the acknowledgement was lost. */
  readonly maxDone: number;
  /** Acknowledgements to one relay that are on their way. What comes meanwhile goes into the next. */
  readonly maxAcknowledging: number;
}

const secondMs = 1_000;
const minuteMs = 60_000;
const mebibyte = 1024 * 1024;

export const defaultRelayClientLimits: RelayClientLimits = {
  reachMs: 10 * secondMs,
  passAlongMs: 10 * secondMs,
  maxUnderWay: 1_024,
  maxUnderWayBytes: 12 * mebibyte,
  highWaterBytes: 8 * mebibyte,
  lowWaterBytes: 6 * mebibyte,
  highWaterEnvelopes: 512,
  lowWaterEnvelopes: 256,
  slowDownMs: 100,
  maxSlowDownMs: 2 * secondMs,
  tooSlowMs: 15 * secondMs,
  idleMs: 5 * minuteMs,
  closingMs: 2 * secondMs,
  startMs: 2 * secondMs,
  registerMs: 10 * secondMs,
  refreshMs: minuteMs,
  minRetryMs: 500,
  maxRetryMs: 2 * minuteMs,
  refusedMs: 10 * minuteMs,
  unadvertiseMs: 3 * secondMs,
  replaceMs: 5 * secondMs,
  leaveMs: 60 * minuteMs,
  maxRegistrations: 8,
  maxCandidates: 32,
  discoverMs: 60 * minuteMs,
  minDiscoverMs: 5 * secondMs,
  collectMs: secondMs,
  maxCollectMs: minuteMs,
  gapMs: 250,
  maxMails: 4_096,
  maxDone: 16_384,
  maxAcknowledging: 4,
};

/** The defaults with the caller's changes. @throws `RangeError` for a limit that cannot work. */
export function relayClientLimits(changes: Partial<RelayClientLimits> = {}): RelayClientLimits {
  return checkedLimits(defaultRelayClientLimits, changes);
}
