/**
 * What one run of a node knows of a peer beside what the store keeps: sending keys, replay windows, the pending offer's
 * standing, what the peer must be told. All of it is gone after a restart, which is what makes sending keys of loaded
 * sessions impossible rather than forbidden.
 */

import type { PendingOffer, SessionRecord } from "@egtp/session-store";
import type { Epoch, Millis, PeerId, RejectedEntry } from "@egtp/wire";
import type { DhKeyPair } from "./crypto.ts";
import type { MesgenLimits } from "./limits.ts";
import { ReplayWindow } from "./replay-window.ts";

/** The half of a session that sends. A session that was loaded from the store has none. */
export interface SendingHalf {
  readonly key: Uint8Array;
  nextCounter: number;
  /** The acceptance field, added to every envelope until the initiator is seen under the session's keys. */
  acceptance: Uint8Array | undefined;
  /** The sealed sender of this session, made when first needed and reused within it (rule R7). */
  sealedSender: Uint8Array | undefined;
}

/** A session in use in this run. */
export interface LiveSession {
  readonly record: SessionRecord;
  readonly state: PeerState;
  readonly window: ReplayWindow;
  /**
   * Of a loaded session: which of the counters that the window refuses have been answered in this run. An authentic one is
   * answered as unreadable, each once.
   */
  readonly refused: ReplayWindow | undefined;
  sending: SendingHalf | undefined;
  /** Its handshake was begun in this run, or answered in it: our half names this run's epoch. */
  readonly isOfThisRun: boolean;
  /** An authentic envelope came under it in this run. */
  confirmed: boolean;
  /** We moved it to our front, following the leader, and it did not leave that since. */
  followed: boolean;
  /** Already put on the rejected list for want of a sending key. */
  named: boolean;
  /** When it left the front with its sending key; the key is erased a while later. */
  leftFrontAt: Millis | undefined;
  /** Order of creation within this run; compared instead of clocks. */
  readonly serial: number;
}

/** The pending offer of this run. One that was loaded stays in the store alone: it can be completed, not sent on. */
export interface LivePending {
  readonly record: PendingOffer;
  readonly ephemeral: DhKeyPair;
  readonly earlyKey: Uint8Array;
  nextCounter: number;
  sealedSender: Uint8Array | undefined;
  /** Goes before the sessions of the list when choosing. */
  preferred: boolean;
  /** The peer said that it cannot use it: never sent on again. */
  yielded: boolean;
  /** It vouched for an offer of the peer once (spec, "Fresh offers", c). */
  vouched: boolean;
  /** The rejected list that its first envelope carried. */
  listed: readonly RejectedEntry[] | undefined;
  readonly serial: number;
}

/** An accepted offer's early window: one object, for there is one to every session. */
export class EarlyWindow extends ReplayWindow {
  /** As in {@link LiveSession}. */
  readonly refused: ReplayWindow | undefined;

  /** @param loadedLimit - The saved limit of an offer that was accepted in an earlier run. */
  constructor(loadedLimit?: number) {
    super(loadedLimit ?? 0);
    this.refused = loadedLimit === undefined ? undefined : new ReplayWindow();
  }
}

/** The session on which an unreadable envelope was answered, until something authentic comes back under it. */
export interface Probe {
  readonly session: LiveSession;
  /** When it is set aside; `Infinity` for one that nothing has come under yet. */
  readonly deadline: Millis;
  failed: boolean;
}

export interface PeerState {
  readonly peer: PeerId;
  pending: LivePending | undefined;
  /** What the peer must be told is unusable here. At most 16, oldest leaves. */
  rejected: readonly RejectedEntry[] | undefined;
  /** Serial at which "needs session resent" was set; undefined while it is not. */
  needsResent: number | undefined;
  probe: Probe | undefined;
  /** When an envelope is owed to the peer, whether or not the layer above has something to say. */
  owedAt: Millis | undefined;
  answers: AnswerLimiter | undefined;
  /** The epoch of the peer that was last seen first in this run, */
  epoch: Epoch | undefined;
  /** and those before it; at most 7. */
  earlierEpochs: readonly Epoch[] | undefined;
  /** Sessions left over from an earlier run have been named to the peer. */
  restoredNamed: boolean;
}

/** Answers to unreadable envelopes of one peer: the first at once, then ever rarer. It delays, it drops nothing. */
export class AnswerLimiter {
  #nextAt = 0;
  #lastAt = 0;
  #intervalMs: number;
  readonly #limits: MesgenLimits;

  constructor(limits: MesgenLimits) {
    this.#limits = limits;
    this.#intervalMs = limits.answerIntervalMs;
  }

  /** When the next answer may leave. */
  nextAt(now: Millis): Millis {
    // A clock that went back must not silence us.
    if (now < this.#lastAt || now - this.#lastAt > 10 * this.#intervalMs) {
      this.#intervalMs = this.#limits.answerIntervalMs;
      if (now < this.#lastAt) this.#nextAt = now;
    }
    return Math.max(now, this.#nextAt);
  }

  /** Notes that an answer left. */
  answered(now: Millis): void {
    this.#lastAt = now;
    this.#nextAt = now + this.#intervalMs;
    this.#intervalMs = Math.min(2 * this.#intervalMs, this.#limits.maxAnswerIntervalMs);
  }
}

export function createPeerState(peer: PeerId): PeerState {
  return {
    peer,
    pending: undefined,
    rejected: undefined,
    needsResent: undefined,
    probe: undefined,
    owedAt: undefined,
    answers: undefined,
    epoch: undefined,
    earlierEpochs: undefined,
    restoredNamed: false,
  };
}

/**
 * Notes an epoch of the peer; true when another one was known before and this one is new: the peer started anew.
 *
 * @param newStore - It is certain by its store. An earlier run that goes on beside a later one has another store, too.
 */
export function noteEpoch(state: PeerState, epoch: Epoch, newStore = false): boolean {
  const known = state.epoch;
  if (known === epoch || state.earlierEpochs?.includes(epoch) === true) return false;
  if (known !== undefined) state.earlierEpochs = (state.earlierEpochs ?? []).slice(-6).concat(known);
  state.epoch = epoch;
  return known !== undefined || newStore;
}
