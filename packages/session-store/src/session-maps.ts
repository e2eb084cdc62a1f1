/**
 * The two maps of the proposal (rule R4): per counterparty an ordered list of sessions, and the map from session ID
 * to session whose keys are exactly the listed IDs. With them stands what docs/spec.md, "Receiving" to "State that survives", need:
 * offers remembered as accepted, the pending offer, floors, store tags, handled marks, counter limits saved ahead. And, if
 * delivery says so, messages of ours that are to outlive the run that sent them.
 *
 * Every change is in memory at once and staged; `commit` writes all that is staged as one batch, each key once. What
 * must be on disk before something else happens awaits `commit`; everything else rides along, or waits for a timer
 * of the caller's. No I/O here but through the {@link SessionStore}, no clock, no random source of its own.
 *
 * Bounds: {@link StoreLimits}. The least recently used counterparty leaves and its floor stays; those that never
 * proved themselves have a bound of their own and leave first among themselves. Kept messages are bounded by delivery's
 * outbox, and stay until they are dropped.
 */

import {
  type Epoch,
  type Millis,
  type OfferId,
  type PeerId,
  type SessionId,
  type StoreTag,
  storeTagBytes,
  toHex,
} from "@egtp/wire";
import { DuplicateIdError, StoreError } from "./errors.ts";
import { defaultStoreLimits, type StoreLimits } from "./limits.ts";
import {
  type CounterpartyRecord,
  counterpartyKey,
  type DecodedRecord,
  decodeRecord,
  encodeCounterparty,
  encodeFloor,
  encodeMarks,
  encodeMessage,
  encodeMeta,
  floorKey,
  marksKey,
  messageKey,
  metaKey,
} from "./record-codec.ts";
import type {
  AcceptedOffer,
  Counterparty,
  DamagedRecord,
  ForgottenEpoch,
  HandledMarks,
  KeptMessage,
  MessageName,
  PendingOffer,
  SessionRecord,
} from "./records.ts";
import type { SessionStore, StoreEntry } from "./session-store.ts";

export interface FoundSession {
  readonly counterparty: Counterparty;
  readonly session: SessionRecord;
}

export interface FoundOffer {
  readonly counterparty: Counterparty;
  readonly offer: AcceptedOffer;
}

export interface FoundPending {
  readonly counterparty: Counterparty;
  readonly offer: PendingOffer;
}

export interface SessionMapsOptions {
  /** The caller's clock: the birth of the store if it is new or must forget what it accepted. */
  readonly now: Millis;
  /** Random bytes from a cryptographic source; used for the store's tag. */
  readonly random: (byteCount: number) => Uint8Array;
  /** True only when the identity was made together with this store; read only when the store is empty. */
  readonly bornWithIdentity?: boolean;
  readonly limits?: Partial<StoreLimits>;
}

export class SessionMaps {
  /** Records that were unusable at start. They are left out; see {@link SessionMaps.open} for what follows. */
  readonly damaged: readonly DamagedRecord[];

  readonly #store: SessionStore;
  readonly #random: (byteCount: number) => Uint8Array;
  readonly #limits: StoreLimits;
  /** Bounded by the layers built on these maps: each adds one. */
  readonly #evictionListeners: ((counterparty: Counterparty) => void)[] = [];

  readonly #byPeer = new Map<PeerId, State>();
  /** Whose they are: what they are stands in the short lists there. */
  readonly #sessions = new Map<SessionId, State>();
  readonly #accepted = new Map<OfferId, State>();
  readonly #pending = new Map<OfferId, State>();
  /** Floors of counterparties that left, oldest first; bounded by `maxFloors`. */
  readonly #floors = new Map<PeerId, Millis>();
  /** By key. Bounded by delivery's outbox, and by what of it the store still has to forget. */
  readonly #messages = new Map<string, KeptState>();
  /** Those of earlier runs, until somebody takes them. */
  #earlierMessages: readonly KeptMessage[] = [];
  readonly #proven = new UseOrder();
  readonly #strangers = new UseOrder();

  #tag = "" as StoreTag;
  #bornAt: Millis = 0;
  #bornWithIdentity = false;
  #lastStamp: Millis = 0;
  #commonFloor: Millis = 0;
  #latestNow: Millis;
  #usedOrder = 0;

  #metaStaged = false;
  readonly #staged = new Set<State>();
  readonly #stagedFloors = new Set<PeerId>();
  readonly #stagedMessages = new Set<string>();
  readonly #removedKeys = new Set<string>();
  #inFlight: Promise<void> | undefined;
  #closed: Promise<void> | undefined;

  /**
   * Reads a store and makes the maps from it. An empty store gets a tag and a birth, staged for the first commit.
   *
   * When a record is unusable that could have guarded against a replay (all but handled marks and kept messages), the
   * store takes a new tag and birth, as after a total loss, so that every older offer is stale whatever was forgotten;
   * sessions that were read stay.
   *
   * @param store - Given over: closed by {@link SessionMaps.close}.
   */
  static open(store: SessionStore, options: SessionMapsOptions): SessionMaps {
    return new SessionMaps(store, options);
  }

  private constructor(store: SessionStore, options: SessionMapsOptions) {
    this.#store = store;
    this.#random = options.random;
    this.#limits = { ...defaultStoreLimits, ...options.limits };
    this.#latestNow = options.now;
    this.damaged = this.#load(options.bornWithIdentity ?? false);
  }

  /** Nothing outlives the process: messages cannot be kept. */
  get forgets(): boolean {
    return this.#store.forgets === true;
  }

  /** Made at the birth of the store; a store that lost anything has another. */
  get tag(): StoreTag {
    return this.#tag;
  }

  get bornAt(): Millis {
    return this.#bornAt;
  }

  /** True when no offer can be older than the store because the identity is not. */
  get bornWithIdentity(): boolean {
    return this.#bornWithIdentity;
  }

  /** The highest stamp given to an offer of ours. Setting it stages it. */
  get lastStamp(): Millis {
    return this.#lastStamp;
  }

  set lastStamp(stamp: Millis) {
    this.#lastStamp = stamp;
    this.#metaStaged = true;
  }

  /** How many counterparties are kept. */
  get size(): number {
    return this.#byPeer.size;
  }

  /** How many sessions are listed, over all counterparties. */
  get sessionCount(): number {
    return this.#sessions.size;
  }

  /**
   * Adds a listener that is told of each counterparty that left (least recently used, or {@link SessionMaps.forget}), so
   * that what is kept elsewhere for it, sending keys above all, is erased. Called after it left; must not change the maps.
   */
  onEvict(listener: (counterparty: Counterparty) => void): void {
    this.#evictionListeners.push(listener);
  }

  /** All counterparties, in no promised order. */
  counterparties(): IterableIterator<Counterparty> {
    return this.#byPeer.values();
  }

  /** The counterparty, which becomes the most recently used. */
  get(peer: PeerId): Counterparty | undefined {
    const state = this.#byPeer.get(peer);
    if (state !== undefined) this.#use(state);
    return state;
  }

  /** The counterparty, made if there is none; another may leave for it. It becomes the most recently used. */
  ensure(peer: PeerId, now: Millis): Counterparty {
    if (now > this.#latestNow) this.#latestNow = now;
    const known = this.#byPeer.get(peer);
    if (known !== undefined) {
      this.#use(known);
      return known;
    }
    const state = new State(peer);
    state.floor = this.floorOf(peer);
    if (this.#floors.delete(peer)) this.#stagedFloors.add(peer);
    this.#add(state);
    this.#stage(state);
    this.#evictBeyond(this.#strangers, this.#limits.maxStrangers);
    return state;
  }

  /** The session of that ID. The caller checks that its counterparty is the envelope's sender. */
  findSession(id: SessionId): FoundSession | undefined {
    const counterparty = this.#sessions.get(id);
    const session = counterparty?.sessions.find((listed) => listed.id === id);
    return counterparty === undefined || session === undefined ? undefined : { counterparty, session };
  }

  /** The offer of that ID that was accepted here. The caller checks whose it is. */
  findAccepted(id: OfferId): FoundOffer | undefined {
    const counterparty = this.#accepted.get(id);
    const offer = counterparty?.accepted.find((remembered) => remembered.offerId === id);
    return counterparty === undefined || offer === undefined ? undefined : { counterparty, offer };
  }

  /** Our unaccepted offer of that ID. The caller checks to whom it was made. */
  findPending(id: OfferId): FoundPending | undefined {
    const counterparty = this.#pending.get(id);
    const offer = counterparty?.pending;
    return counterparty === undefined || offer === undefined ? undefined : { counterparty, offer };
  }

  /**
   * Lists a session, by default at the front.
   *
   * @param record - Kept as it is, not copied: it belongs to the maps from now on.
   * @param index - Its place, 0 the front; one beyond the list's end or bound means the last place.
   * @returns The sessions that were dropped from the end for it, for the caller to erase their keys.
   * @throws {@link DuplicateIdError} when the ID is listed already, whoever the counterparty; nothing changes.
   * @throws {@link StoreError} `EGTP_STORE_GONE` when the counterparty left the store.
   */
  insertSession(counterparty: Counterparty, record: SessionRecord, index = 0): readonly SessionRecord[] {
    const state = this.#present(counterparty);
    if (this.#sessions.has(record.id)) throw new DuplicateIdError("session", record.id);
    this.#prove(state);
    const { sessions } = state;
    const at = Math.max(0, Math.min(index, sessions.length, this.#limits.maxSessions - 1));
    // Not spread: that leaves room in each of many small lists.
    const listed = sessions.slice(0, at).concat(record, sessions.slice(at));
    const dropped = listed.length > this.#limits.maxSessions ? listed.splice(this.#limits.maxSessions) : [];
    state.sessions = listed;
    this.#sessions.set(record.id, state);
    for (const session of dropped) this.#sessions.delete(session.id);
    this.#changed(state);
    return dropped;
  }

  /** @returns Whether the list changed: false when the session is not listed there or leads already. */
  moveToFront(counterparty: Counterparty, id: SessionId): boolean {
    const state = counterparty as State;
    const at = state.sessions.findIndex((session) => session.id === id);
    if (at <= 0) return false;
    const moved = state.sessions[at]!;
    state.sessions = [moved, ...state.sessions.slice(0, at), ...state.sessions.slice(at + 1)];
    this.#changed(state);
    return true;
  }

  /** @returns The session that is not listed any more, or `undefined` when it was not. */
  removeSession(counterparty: Counterparty, id: SessionId): SessionRecord | undefined {
    const state = counterparty as State;
    const removed = state.sessions.find((session) => session.id === id);
    if (removed === undefined) return undefined;
    state.sessions = state.sessions.filter((session) => session !== removed);
    this.#sessions.delete(id);
    this.#changed(state);
    return removed;
  }

  /**
   * Remembers an offer as accepted. Beyond `maxAccepted` the one with the lowest stamp is forgotten, which may be this
   * one, and the floor rises to its stamp: a forgotten offer is stale.
   *
   * @param offer - Kept as it is, not copied.
   * @throws {@link DuplicateIdError} when it is remembered already: an offer is accepted once.
   * @throws {@link StoreError} `EGTP_STORE_GONE` when the counterparty left the store.
   */
  rememberAccepted(counterparty: Counterparty, offer: AcceptedOffer): void {
    const state = this.#present(counterparty);
    if (this.#accepted.has(offer.offerId)) throw new DuplicateIdError("accepted offer", offer.offerId);
    this.#prove(state);
    let at = state.accepted.length;
    while (at > 0 && state.accepted[at - 1]!.stamp > offer.stamp) at--;
    const kept = state.accepted.slice(0, at).concat(offer, state.accepted.slice(at));
    this.#accepted.set(offer.offerId, state);
    while (kept.length > this.#limits.maxAccepted) {
      const forgotten = kept.shift()!;
      this.#accepted.delete(forgotten.offerId);
      if (forgotten.stamp > state.floor) state.floor = forgotten.stamp;
    }
    state.accepted = kept;
    this.#changed(state);
  }

  /**
   * Puts our offer in the place of the pending one, or takes it away.
   *
   * @throws {@link DuplicateIdError} when another pending offer has that ID.
   * @throws {@link StoreError} `EGTP_STORE_GONE` when an offer is set for a counterparty that left the store.
   */
  setPending(counterparty: Counterparty, offer: PendingOffer | undefined): void {
    const state = offer === undefined ? (counterparty as State) : this.#present(counterparty);
    const before = state.pending;
    if (before === offer) return;
    if (offer !== undefined) {
      if (offer.id !== before?.id && this.#pending.has(offer.id)) throw new DuplicateIdError("pending offer", offer.id);
    }
    if (before !== undefined) this.#pending.delete(before.id);
    if (offer !== undefined) this.#pending.set(offer.id, state);
    state.pending = offer;
    this.#changed(state);
  }

  /**
   * Stages a counterparty of which a field was set, and makes it the most recently used. One that left the store stays
   * away.
   */
  touch(counterparty: Counterparty): void {
    this.#changed(counterparty as State);
  }

  /** Stages the handled marks of an epoch that were added, changed or deleted in {@link Counterparty.epochs}. */
  touchMarks(counterparty: Counterparty, epoch: Epoch): void {
    const state = counterparty as State;
    if (state.order === undefined) return;
    if (state.epochs.has(epoch)) this.#prove(state);
    this.#use(state);
    if (this.forgets) return;
    if (state.stagedMarks === undefined) state.stagedMarks = new Set([epoch]);
    else state.stagedMarks.add(epoch);
    this.#staged.add(state);
  }

  /**
   * Stages a message to be kept, or what changed of it: it is there for the next run unless it is dropped.
   *
   * @param message - Referred to until it is dropped, and read when it is written: its body must not change.
   */
  keepMessage(message: KeptMessage): void {
    const key = messageKey(message);
    const state = this.#messages.get(key);
    if (state === undefined) this.#messages.set(key, { message, isWritten: false });
    else state.message = message;
    this.#stagedMessages.add(key);
  }

  /** Stages that a message is kept no longer. One that was never written costs no write. */
  dropMessage(name: MessageName): void {
    const key = messageKey(name);
    const state = this.#messages.get(key);
    if (state === undefined) return;
    state.message = undefined;
    if (state.isWritten) this.#stagedMessages.add(key);
    else {
      this.#messages.delete(key);
      this.#stagedMessages.delete(key);
    }
  }

  /** Hands over, once, the messages that earlier runs kept, in the order of peer, epoch and number. They stay kept. */
  takeMessages(): readonly KeptMessage[] {
    const messages = this.#earlierMessages;
    this.#earlierMessages = [];
    return messages;
  }

  /**
   * The stamp up to which offers of a peer are stale: of the counterparty, else the one kept when it left, else the
   * common floor, into which kept floors go that were dropped for want of room.
   */
  floorOf(peer: PeerId): Millis {
    return this.#byPeer.get(peer)?.floor ?? this.#floors.get(peer) ?? this.#commonFloor;
  }

  /** Whether something is staged that no commit has handed to the store yet. */
  get dirty(): boolean {
    return (
      this.#metaStaged ||
      this.#staged.size > 0 ||
      this.#stagedFloors.size > 0 ||
      this.#stagedMessages.size > 0 ||
      this.#removedKeys.size > 0
    );
  }

  /**
   * Writes everything staged as one batch. Call it once per turn and await it before anything that relies on what
   * was staged: an acceptance, a handed-over message, a handled receipt.
   *
   * @returns `undefined` when all that was ever staged is kept; else a promise for that. If it rejects, what it was
   *   to write is staged again, and a later commit tries anew.
   */
  commit(): Promise<void> | undefined {
    if (!this.dirty) return this.#inFlight;
    if (this.#store.forgets === true) {
      this.#unstage();
      return undefined;
    }
    const batch = this.#takeBatch();
    let written: Promise<void> | undefined;
    try {
      written = this.#store.write(batch);
    } catch (error) {
      this.#stageAgain(batch);
      return Promise.reject(error);
    }
    if (written === undefined) return this.#inFlight;
    const before = this.#inFlight;
    const settled: Promise<void> = Promise.all([before, written]).then(
      () => {
        if (this.#inFlight === settled) this.#inFlight = undefined;
      },
      async (error: unknown) => {
        if (this.#inFlight === settled) this.#inFlight = undefined;
        const kept = await written.then(
          () => true,
          () => false,
        );
        if (!kept) this.#stageAgain(batch);
        throw error;
      },
    );
    this.#inFlight = settled;
    return settled;
  }

  /**
   * Forgets every counterparty, floor and kept message and takes a new tag: a total loss, on purpose. For a peer that is told that
   * its store was restored from a backup.
   *
   * @param now - The birth of the store from now on; by default the latest time the maps were told.
   */
  forget(now: Millis = this.#latestNow): void {
    const gone = [...this.#byPeer.values()];
    for (const state of gone) this.#drop(state);
    for (const peer of this.#floors.keys()) this.#stagedFloors.add(peer);
    this.#floors.clear();
    this.#commonFloor = 0;
    this.#earlierMessages = [];
    for (const { message } of this.#messages.values()) if (message !== undefined) this.dropMessage(message);
    this.#beBorn(Math.max(now, this.#latestNow), false);
    for (const state of gone) this.#tellEvicted(state);
  }

  /** Writes what is staged and closes the store. Calling it twice does no harm. */
  close(): Promise<void> {
    this.#closed ??= (async () => {
      try {
        await this.commit();
      } finally {
        await this.#store.close();
      }
    })();
    return this.#closed;
  }

  #load(bornWithIdentity: boolean): DamagedRecord[] {
    const damaged: DamagedRecord[] = [];
    const counterparties: Extract<DecodedRecord, { kind: "counterparty" }>[] = [];
    const marks = new Map<PeerId, HandledMarks[]>();
    const messages: (readonly [key: string, message: KeptMessage])[] = [];
    const leave = (key: string, reason: DamagedRecord["reason"]) => {
      damaged.push({ key, reason });
      this.#removedKeys.add(key);
    };
    let empty = true;
    let born = false;
    for (const [key, value] of this.#store.load()) {
      empty = false;
      const record = decodeRecord(key, value);
      if (typeof record === "string") leave(key, record);
      else if (record.kind === "counterparty") counterparties.push(record);
      else if (record.kind === "marks") marks.set(record.peer, [...(marks.get(record.peer) ?? []), record.marks]);
      else if (record.kind === "floor") this.#floors.set(record.peer, record.floor);
      else if (record.kind === "message") messages.push([key, record.message]);
      else {
        born = true;
        this.#tag = record.tag;
        this.#bornAt = record.bornAt;
        this.#bornWithIdentity = record.bornWithIdentity;
        this.#lastStamp = record.lastStamp;
        this.#commonFloor = record.commonFloor;
      }
    }
    messages.sort(([a], [b]) => (a < b ? -1 : 1));
    for (const [key, message] of messages) this.#messages.set(key, { message, isWritten: true });
    this.#earlierMessages = messages.map(([, message]) => message);
    counterparties.sort((a, b) => a.usedOrder - b.usedOrder);
    for (const record of counterparties) {
      if (this.#restore(record, marks.get(record.peer) ?? [])) marks.delete(record.peer);
      else leave(counterpartyKey(record.peer), "format");
    }
    // Marks whose counterparty was damaged still prevent that a message is handed over twice, so they bring one back.
    for (const [peer, orphans] of marks) {
      this.#restore({ peer, usedOrder: 0, floor: this.floorOf(peer), ...emptyCounterparty }, orphans);
      this.#stage(this.#byPeer.get(peer)!);
    }
    if (!empty && !born && !this.#removedKeys.has(metaKey)) damaged.push({ key: metaKey, reason: "missing" });
    if (empty) this.#beBorn(this.#latestNow, bornWithIdentity);
    else if (damaged.some(({ key }) => !/^[ho]:/.test(key))) this.#beBorn(this.#latestNow, false);
    this.#evictBeyond(this.#proven, this.#limits.maxCounterparties);
    this.#evictBeyond(this.#strangers, this.#limits.maxStrangers);
    this.#trimFloors();
    return damaged;
  }

  /** Takes in a loaded counterparty; refuses one that would break the invariant, for its checksum may be luck. */
  #restore(record: CounterpartyRecord & { readonly peer: PeerId }, marks: readonly HandledMarks[]): boolean {
    const state = new State(record.peer);
    const repeated =
      new Set(record.sessions.map((session) => session.id)).size < record.sessions.length ||
      new Set(record.accepted.map((offer) => offer.offerId)).size < record.accepted.length ||
      record.sessions.some((session) => this.#sessions.has(session.id)) ||
      record.accepted.some((offer) => this.#accepted.has(offer.offerId)) ||
      (record.pending !== undefined && this.#pending.has(record.pending.id));
    if (repeated) return false;
    state.floor = record.floor;
    state.minStamp = record.minStamp;
    state.theirTag = record.theirTag;
    state.pending = record.pending;
    state.forgottenEpochs = record.forgottenEpochs.length === 0 ? none : record.forgottenEpochs;
    state.sessions = record.sessions.slice(0, this.#limits.maxSessions);
    state.accepted = record.accepted.slice(Math.max(0, record.accepted.length - this.#limits.maxAccepted));
    for (const offer of record.accepted.slice(0, record.accepted.length - state.accepted.length)) {
      state.floor = Math.max(state.floor, offer.stamp);
    }
    for (const session of state.sessions) this.#sessions.set(session.id, state);
    for (const offer of state.accepted) this.#accepted.set(offer.offerId, state);
    if (state.pending !== undefined) this.#pending.set(state.pending.id, state);
    this.#usedOrder = Math.max(this.#usedOrder, record.usedOrder);
    this.#add(state, record.usedOrder);
    for (const mark of marks) state.epochs.set(mark.epoch, mark);
    if (record.proven) {
      state.proven = true;
      this.#strangers.remove(state);
      this.#proven.add(state);
    } else if (marks.length > 0) this.#prove(state);
    return true;
  }

  #beBorn(now: Millis, bornWithIdentity: boolean): void {
    this.#tag = toHex(this.#random(storeTagBytes)) as StoreTag;
    this.#bornAt = now;
    this.#bornWithIdentity = bornWithIdentity;
    this.#metaStaged = true;
  }

  #present(counterparty: Counterparty): State {
    const state = counterparty as State;
    if (state.order !== undefined) return state;
    throw new StoreError("EGTP_STORE_GONE", `Counterparty ${state.peer} is not in the store any more.`, {
      hint: "It was the least recently used, or everything was forgotten. Ask for it again with ensure().",
    });
  }

  #add(state: State, usedOrder = ++this.#usedOrder): void {
    this.#byPeer.set(state.peer, state);
    state.usedOrder = usedOrder;
    this.#strangers.add(state);
  }

  #use(state: State): void {
    const { order } = state;
    if (order === undefined || order.newest === state) return;
    order.remove(state);
    order.add(state);
    state.usedOrder = ++this.#usedOrder;
  }

  /** Something authentic was seen of it: it counts among the proven from now on. */
  #prove(state: State): void {
    if (state.proven || state.order === undefined) return;
    state.proven = true;
    this.#strangers.remove(state);
    this.#proven.add(state);
    this.#stage(state);
    this.#evictBeyond(this.#proven, this.#limits.maxCounterparties);
  }

  #changed(state: State): void {
    if (state.order === undefined) return;
    if (state.theirTag !== undefined) this.#prove(state);
    this.#use(state);
    this.#stage(state);
  }

  /** Nothing is staged for a store that forgets: it would be for nothing, with each message. */
  #stage(state: State): void {
    if (this.forgets) return;
    state.selfStaged = true;
    this.#staged.add(state);
  }

  #evictBeyond(order: UseOrder, limit: number): void {
    while (order.size > limit) {
      const state = order.oldest!;
      let floor = state.floor;
      for (const offer of state.accepted) floor = Math.max(floor, offer.stamp);
      this.#drop(state);
      if (floor > this.#commonFloor) {
        this.#floors.set(state.peer, floor);
        this.#stagedFloors.add(state.peer);
        this.#trimFloors();
      }
      this.#tellEvicted(state);
    }
  }

  #trimFloors(): void {
    for (const [peer, floor] of this.#floors) {
      if (this.#floors.size <= this.#limits.maxFloors) return;
      this.#floors.delete(peer);
      this.#stagedFloors.add(peer);
      if (floor > this.#commonFloor) {
        this.#commonFloor = floor;
        this.#metaStaged = true;
      }
    }
  }

  #drop(state: State): void {
    state.order?.remove(state);
    this.#byPeer.delete(state.peer);
    for (const session of state.sessions) this.#sessions.delete(session.id);
    for (const offer of state.accepted) this.#accepted.delete(offer.offerId);
    if (state.pending !== undefined) this.#pending.delete(state.pending.id);
    this.#staged.delete(state);
    this.#removedKeys.add(counterpartyKey(state.peer));
    for (const epoch of state.epochs.keys()) this.#removedKeys.add(marksKey(state.peer, epoch));
    for (const epoch of state.stagedMarks ?? []) this.#removedKeys.add(marksKey(state.peer, epoch));
  }

  #tellEvicted(counterparty: Counterparty): void {
    for (const listener of this.#evictionListeners) listener(counterparty);
  }

  #unstage(): void {
    this.#metaStaged = false;
    for (const state of this.#staged) {
      state.selfStaged = false;
      state.stagedMarks = undefined;
    }
    this.#staged.clear();
    this.#stagedFloors.clear();
    for (const key of this.#stagedMessages) {
      const state = this.#messages.get(key)!;
      if (state.message === undefined) this.#messages.delete(key);
      else state.isWritten = true;
    }
    this.#stagedMessages.clear();
    this.#removedKeys.clear();
  }

  #takeBatch(): StoreEntry[] {
    const batch: StoreEntry[] = [];
    const removed = this.#removedKeys;
    const put = (key: string, value: Uint8Array | undefined) => {
      if (removed.size > 0) removed.delete(key);
      batch.push([key, value]);
    };
    if (this.#metaStaged) {
      const { tag, bornAt, bornWithIdentity, lastStamp } = this;
      put(metaKey, encodeMeta({ tag, bornAt, bornWithIdentity, lastStamp, commonFloor: this.#commonFloor }));
    }
    for (const state of this.#staged) {
      if (state.selfStaged) {
        const key = counterpartyKey(state.peer);
        put(key, encodeCounterparty(key, state));
      }
      for (const epoch of state.stagedMarks ?? []) {
        const key = marksKey(state.peer, epoch);
        const marks = state.epochs.get(epoch);
        put(key, marks === undefined ? undefined : encodeMarks(key, marks));
      }
    }
    for (const peer of this.#stagedFloors) {
      const key = floorKey(peer);
      const floor = this.#floors.get(peer);
      put(key, floor === undefined ? undefined : encodeFloor(key, floor));
    }
    for (const key of this.#stagedMessages) {
      const { message } = this.#messages.get(key)!;
      put(key, message === undefined ? undefined : encodeMessage(key, message));
    }
    for (const key of removed) batch.push([key, undefined]);
    // Only now, when everything could be encoded, is it no longer staged.
    this.#unstage();
    return batch;
  }

  /** Stages the keys of a batch that was not kept. The values are made anew, so nothing newer is overwritten. */
  #stageAgain(batch: readonly StoreEntry[]): void {
    for (const [key] of batch) {
      const [kind, peer, epoch] = key.split(":") as [string, PeerId, Epoch];
      const state = this.#byPeer.get(peer);
      if (kind === "m") this.#metaStaged = true;
      else if (kind === "f") this.#stagedFloors.add(peer);
      else if (kind === "o") {
        if (!this.#messages.has(key)) this.#messages.set(key, { message: undefined, isWritten: true });
        this.#stagedMessages.add(key);
      } else if (state === undefined) this.#removedKeys.add(key);
      else if (kind === "c") this.#stage(state);
      else {
        state.stagedMarks ??= new Set();
        state.stagedMarks.add(epoch);
        this.#staged.add(state);
      }
    }
  }
}

/** A kept message, and what the store knows of it. */
interface KeptState {
  /** `undefined` when it was dropped and the store must forget it. */
  message: KeptMessage | undefined;
  /** A batch with it was handed to the store. */
  isWritten: boolean;
}

/** A counterparty with what the maps keep about it: its place in the order of use, and what of it is staged. */
class State implements Counterparty, CounterpartyRecord {
  readonly peer: PeerId;
  sessions: readonly SessionRecord[] = none;
  accepted: readonly AcceptedOffer[] = none;
  pending: PendingOffer | undefined = undefined;
  floor: Millis = 0;
  theirTag: StoreTag | undefined = undefined;
  minStamp: Millis = 0;
  forgottenEpochs: readonly ForgottenEpoch[] = none;
  proven = false;

  /** The order it stands in; `undefined` once it left the store. */
  order: UseOrder | undefined = undefined;
  newer: State | undefined = undefined;
  older: State | undefined = undefined;
  usedOrder = 0;
  selfStaged = false;
  stagedMarks: Set<Epoch> | undefined = undefined;

  #epochs: Map<Epoch, HandledMarks> | undefined = undefined;

  constructor(peer: PeerId) {
    this.peer = peer;
  }

  /** Made when first asked for: an empty Map takes 200 bytes, and an idle counterparty needs none. */
  get epochs(): Map<Epoch, HandledMarks> {
    this.#epochs ??= new Map();
    return this.#epochs;
  }
}

const none: readonly never[] = [];
const emptyCounterparty = {
  proven: false,
  minStamp: 0,
  theirTag: undefined,
  pending: undefined,
  sessions: none,
  accepted: none,
  forgottenEpochs: none,
};

/** A doubly linked list, newest to oldest: every step is O(1), and using the newest again costs one comparison. */
class UseOrder {
  newest: State | undefined = undefined;
  oldest: State | undefined = undefined;
  size = 0;

  add(state: State): void {
    state.order = this;
    state.older = this.newest;
    if (this.newest !== undefined) this.newest.newer = state;
    this.newest = state;
    this.oldest ??= state;
    this.size++;
  }

  remove(state: State): void {
    const { newer, older } = state;
    if (newer === undefined) this.newest = older;
    else newer.older = older;
    if (older === undefined) this.oldest = newer;
    else older.newer = newer;
    state.newer = undefined;
    state.older = undefined;
    state.order = undefined;
    this.size--;
  }
}
