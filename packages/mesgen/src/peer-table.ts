/**
 * The registries of one run: peers, the sessions and early windows in use, pending offers. It keeps the store's two maps and
 * what is beside them in step, and erases keys when they leave; it decides nothing about the protocol (see mesgen.ts).
 *
 * Everything here is bounded by the maps: whatever leaves them leaves here.
 */

import type { AcceptedOffer, Counterparty, PendingOffer, SessionMaps, SessionRecord } from "@egtp/session-store";
import { counterLimit, type Millis, type OfferId, type PeerId, peerIdToBytes, type SessionId } from "@egtp/wire";
import type { MesgenLimits } from "./limits.ts";
import {
  createPeerState,
  EarlyWindow,
  type LivePending,
  type LiveSession,
  type PeerState,
  type SendingHalf,
} from "./peer-state.ts";
import { ReplayWindow } from "./replay-window.ts";

/** Keys of peers that are kept as bytes. */
const maxIds = 1_024;

/** What is kept of a key that opens envelopes: counters at or above its limit raise that first. */
type Limited = SessionRecord | AcceptedOffer;

export class PeerTable {
  readonly #maps: SessionMaps;
  readonly #limits: MesgenLimits;
  readonly #states = new Map<PeerId, PeerState>();
  /** At most `maxIds`; then it begins anew. */
  readonly #ids = new Map<PeerId, Uint8Array>();
  readonly #sessions = new Map<SessionId, LiveSession>();
  readonly #early = new Map<OfferId, EarlyWindow>();
  /** Pending offers of this run; one that was loaded is in the maps alone. */
  readonly #pendings = new Map<OfferId, PeerState>();
  /** Sessions behind the front that still have a sending key. */
  readonly #fading = new Set<LiveSession>();
  /** Whose counter limit is ahead of what was read. What leaves the maps stays here until the limits are lowered. */
  readonly #ahead = new Map<Limited, { readonly counterparty: Counterparty; readonly window: ReplayWindow }>();
  #lowerAt: Millis | undefined;
  /** Peers with a deadline: an envelope owed, or a probe running. */
  readonly timed = new Set<PeerState>();
  #serial = 0;

  constructor(maps: SessionMaps, limits: MesgenLimits) {
    this.#maps = maps;
    this.#limits = limits;
    maps.onEvict((counterparty) => this.#forget(counterparty));
  }

  /** Numbers what happens within this run, so that no clock has to. */
  nextSerial(): number {
    this.#serial += 1;
    return this.#serial;
  }

  // ---- Peers

  knownState(peer: PeerId): PeerState | undefined {
    return this.#states.get(peer);
  }

  /** The key of a peer, 32 bytes, of which only those lately used are kept. Borrowed. */
  idOf(peer: PeerId): Uint8Array {
    let id = this.#ids.get(peer);
    if (id === undefined) {
      if (this.#ids.size >= maxIds) this.#ids.clear();
      id = peerIdToBytes(peer);
      this.#ids.set(peer, id);
    }
    return id;
  }

  /** The state of a peer, made with its counterparty when it is new. */
  state(peer: PeerId, now: Millis): PeerState {
    let state = this.#states.get(peer);
    if (state === undefined) {
      this.#maps.ensure(peer, now);
      state = createPeerState(peer);
      this.#states.set(peer, state);
    }
    return state;
  }

  #forget(counterparty: Counterparty): void {
    for (const session of counterparty.sessions) this.#drop(session);
    for (const { offerId, earlyKey } of counterparty.accepted) {
      earlyKey?.fill(0);
      this.#early.delete(offerId);
    }
    counterparty.pending?.ephemeralSecret.fill(0);
    const state = this.#states.get(counterparty.peer);
    if (state !== undefined) this.forgetState(state);
  }

  forgetState(state: PeerState): void {
    if (state.pending !== undefined) this.#pendings.delete(state.pending.record.id);
    this.timed.delete(state);
    this.#states.delete(state.peer);
  }

  // ---- Sessions

  /** A session by its ID, also one that was loaded: that one reads from its saved limit on, and cannot send. */
  session(id: SessionId, now: Millis): LiveSession | undefined {
    const live = this.#sessions.get(id);
    if (live !== undefined) return live;
    const found = this.#maps.findSession(id);
    if (found === undefined) return undefined;
    const { counterparty, session: record } = found;
    const session = liveSession(record, this.state(counterparty.peer, now), undefined, true);
    this.#sessions.set(id, session);
    return session;
  }

  /** The first of the list that can be sent on: the preferred one. */
  front(counterparty: Counterparty): LiveSession | undefined {
    for (const record of counterparty.sessions) {
      const session = this.#sessions.get(record.id);
      if (session?.sending !== undefined && session.sending.nextCounter < counterLimit) return session;
    }
    return undefined;
  }

  isFront(session: LiveSession, counterparty: Counterparty): boolean {
    return counterparty.sessions[0] === session.record;
  }

  /** Enters a session into both maps. An ID that exists already is refused, and nothing changes. */
  addSession(
    counterparty: Counterparty,
    record: SessionRecord,
    sending: SendingHalf | undefined,
    index: number,
    now: Millis,
  ): LiveSession | undefined {
    if (this.#maps.findSession(record.id) !== undefined) return undefined;
    const displaced = this.front(counterparty);
    for (const dropped of this.#maps.insertSession(counterparty, record, index)) this.#drop(dropped);
    const session = liveSession(record, this.state(counterparty.peer, now), sending, false, this.nextSerial());
    this.#sessions.set(record.id, session);
    this.#noteAhead(counterparty, record, session.window, now);
    const front = this.front(counterparty);
    if (displaced !== undefined && displaced !== front) this.#fade(displaced, now);
    if (sending !== undefined && session !== front) this.#fade(session, now);
    return session;
  }

  /** The place in the list behind all sessions that were made in this run after the given moment of it. */
  placeSince(counterparty: Counterparty, serial: number): number {
    const index = counterparty.sessions.findIndex(({ id }) => (this.#sessions.get(id)?.serial ?? 0) < serial);
    return index < 0 ? counterparty.sessions.length : index;
  }

  moveToFront(counterparty: Counterparty, session: LiveSession, now: Millis): void {
    const displaced = this.front(counterparty);
    this.#maps.moveToFront(counterparty, session.record.id);
    this.#unfade(session);
    if (displaced !== undefined && displaced !== session) this.#fade(displaced, now);
  }

  removeSession(counterparty: Counterparty, id: SessionId): void {
    const removed = this.#maps.removeSession(counterparty, id);
    if (removed !== undefined) this.#drop(removed);
  }

  eraseSendingKey(session: LiveSession): void {
    session.sending?.key.fill(0);
    session.sending = undefined;
    this.#fading.delete(session);
  }

  /** Erases the sending keys whose time behind the front is over. */
  eraseFaded(now: Millis): void {
    for (const session of this.#fading) {
      if (now - (session.leftFrontAt ?? now) < this.#limits.sendingKeyGraceMs) continue;
      const counterparty = this.#maps.get(session.state.peer);
      // Those before it lost their keys meanwhile.
      if (counterparty !== undefined && this.front(counterparty) === session) this.#unfade(session);
      else this.eraseSendingKey(session);
    }
  }

  get nextFadeAt(): Millis | undefined {
    let next: Millis | undefined;
    for (const { leftFrontAt } of this.#fading) {
      const at = (leftFrontAt ?? 0) + this.#limits.sendingKeyGraceMs;
      if (next === undefined || at < next) next = at;
    }
    return next;
  }

  #fade(session: LiveSession, now: Millis): void {
    if (session.sending === undefined) return;
    session.leftFrontAt = now;
    // What took its place may have been on its way for long: if the leader comes back to this one, it is followed again.
    session.followed = false;
    this.#fading.add(session);
  }

  #unfade(session: LiveSession): void {
    session.leftFrontAt = undefined;
    this.#fading.delete(session);
  }

  /** Erases the keys of a session that left the maps. */
  #drop({ id, receiveKey }: SessionRecord): void {
    receiveKey.fill(0);
    const session = this.#sessions.get(id);
    if (session === undefined) return;
    this.eraseSendingKey(session);
    if (session.state.probe?.session === session) session.state.probe = undefined;
    this.#sessions.delete(id);
  }

  // ---- Accepted offers

  /** The early window of an offer remembered as accepted; of a loaded one, from its saved limit on. */
  earlyWindow(offer: AcceptedOffer): EarlyWindow {
    let early = this.#early.get(offer.offerId);
    if (early === undefined) {
      early = new EarlyWindow(offer.counterLimit);
      this.#early.set(offer.offerId, early);
    }
    return early;
  }

  /** Remembers an offer that is being accepted, under the envelope that brought it. */
  rememberAccepted(counterparty: Counterparty, offer: AcceptedOffer, counter: number, now: Millis): void {
    const before = counterparty.accepted;
    this.#maps.rememberAccepted(counterparty, offer);
    const early = new EarlyWindow();
    early.mark(counter);
    this.#early.set(offer.offerId, early);
    this.#noteAhead(counterparty, offer, early, now);
    for (const { offerId } of before) {
      if (this.#maps.findAccepted(offerId) === undefined) this.#early.delete(offerId);
    }
  }

  forgetEarlyKey(counterparty: Counterparty, offer: AcceptedOffer): void {
    offer.earlyKey?.fill(0);
    offer.earlyKey = undefined;
    this.#early.delete(offer.offerId);
    this.#maps.touch(counterparty);
  }

  // ---- Counter limits

  /** Raises the limit above a counter, with some to spare, so that few envelopes have to wait for a commit. */
  raiseLimit(counterparty: Counterparty, record: Limited, window: ReplayWindow, counter: number, now: Millis): void {
    record.counterLimit = counter + this.#limits.counterLeap;
    this.#maps.touch(counterparty);
    this.#noteAhead(counterparty, record, window, now);
  }

  #noteAhead(counterparty: Counterparty, record: Limited, window: ReplayWindow, now: Millis): void {
    this.#ahead.set(record, { counterparty, window });
    this.#lowerAt ??= now + this.#limits.lowerLimitsMs;
  }

  /**
   * Lowers limits that are ahead to what was read, when it is time. That is safe at any time, written at once or later:
   * what was read stays below, and whatever comes at or above the limit raises it first.
   */
  lowerLimits(now: Millis): void {
    if (this.#lowerAt === undefined) return;
    const { lowerLimitsMs } = this.#limits;
    if (this.#lowerAt - now > lowerLimitsMs) this.#lowerAt = now + lowerLimitsMs; // the clock went back
    if (now >= this.#lowerAt) this.lowerAllLimits();
  }

  lowerAllLimits(): void {
    for (const [record, { counterparty, window }] of this.#ahead) {
      record.counterLimit = window.next;
      this.#maps.touch(counterparty);
    }
    this.#ahead.clear();
    this.#lowerAt = undefined;
  }

  get nextLowerAt(): Millis | undefined {
    return this.#lowerAt;
  }

  // ---- Pending offers

  /** Our pending offer of that ID, of this run or loaded, with the peer it was made to. */
  pending(
    id: OfferId,
    now: Millis,
  ): { state: PeerState; record: PendingOffer; live: LivePending | undefined } | undefined {
    const state = this.#pendings.get(id);
    if (state?.pending !== undefined) return { state, record: state.pending.record, live: state.pending };
    const found = this.#maps.findPending(id);
    if (found === undefined) return undefined;
    return { state: this.state(found.counterparty.peer, now), record: found.offer, live: undefined };
  }

  setPending(counterparty: Counterparty, state: PeerState, pending: LivePending): void {
    this.clearPending(state);
    state.pending = pending;
    this.#pendings.set(pending.record.id, state);
    this.#maps.setPending(counterparty, pending.record);
  }

  /** Takes the pending offer away and erases its keys; also one that was loaded. */
  clearPending(state: PeerState): void {
    const { pending } = state;
    if (pending !== undefined) {
      this.#pendings.delete(pending.record.id);
      pending.earlyKey.fill(0);
      state.pending = undefined;
    }
    const counterparty = this.#maps.get(state.peer);
    if (counterparty?.pending === undefined) return;
    counterparty.pending.ephemeralSecret.fill(0);
    this.#maps.setPending(counterparty, undefined);
  }
}

function liveSession(
  record: SessionRecord,
  state: PeerState,
  sending: SendingHalf | undefined,
  isLoaded: boolean,
  serial = 0,
): LiveSession {
  return {
    record,
    state,
    window: new ReplayWindow(isLoaded ? record.counterLimit : 0),
    refused: isLoaded ? new ReplayWindow() : undefined,
    sending,
    isOfThisRun: sending !== undefined,
    confirmed: false,
    followed: false,
    named: false,
    leftFrontAt: undefined,
    serial,
  };
}
