/**
 * Sessions with every peer: seals what leaves, opens what arrives, and heals what was forgotten.
 *
 * A core without I/O: it is handed its crypto and its maps when it is built, bytes and the time when it is called, and
 * returns what should happen. Every transition of docs/spec.md, "Receiving" and "Which session to send on", stands in this
 * file. Rules kept throughout: decode, look up, open, and only then change state; a failed decryption changes nothing;
 * what must be saved before the caller goes on is said with `mustCommit`; two machines' clocks are never compared to
 * order anything.
 */

import type { AcceptedOffer, Counterparty, SessionMaps, SessionRecord } from "@egtp/session-store";
import {
  closeReason,
  comparePeerIds,
  counterLimit,
  decodeEnvelope,
  type Envelope,
  type Epoch,
  encodeEnvelopeHeader,
  envelopeHeaderBytes,
  type Millis,
  maxClockSkewMs,
  maxPlaintextBytes,
  maxRejectedEntries,
  type OfferId,
  type PeerId,
  peerIdFromTrustedBytes,
  peerIdToBytes,
  type RejectedEntry,
  type SessionId,
  toHex,
  WireError,
} from "@egtp/wire";
import { defaultCryptoProvider } from "#crypto-provider";
import { type Control, maxControlBytes, readControl, withControl } from "./control-frames.ts";
import { type CryptoProvider, tagBytes } from "./crypto.ts";
import { MesgenError } from "./errors.ts";
import type { Identity } from "./identity.ts";
import { defaultMesgenLimits, type MesgenLimits, maxStampLeadMs } from "./limits.ts";
import {
  consumeAcceptance,
  consumeOffer,
  createAcceptance,
  createOffer,
  noTag,
  offerIdOfAcceptance,
  type ReadOffer,
  type Statics,
} from "./offer.ts";
import {
  AnswerLimiter,
  type LivePending,
  type LiveSession,
  noteEpoch,
  type PeerState,
  type SendingHalf,
} from "./peer-state.ts";
import { PeerTable } from "./peer-table.ts";
import { RecentId } from "./recent-id.ts";
import type { ReplayWindow } from "./replay-window.ts";
import { openSender, sealSender } from "./sealed-sender.ts";

export interface MesgenOptions {
  readonly identity: Identity;
  readonly maps: SessionMaps;
  readonly crypto?: CryptoProvider;
  /** Hide our ID from relays and onlookers: 48 more bytes in every envelope. */
  readonly sealedSender?: boolean;
  readonly limits?: Partial<MesgenLimits>;
  /** Memory for an envelope: every byte of it is written. Default: new memory. */
  readonly allocate?: (bytes: number) => Uint8Array;
}

/** Why an envelope was dropped: counted, never answered. */
export type DropReason =
  | "malformed"
  | "unknown-version"
  | "own"
  | "wrong-sender"
  | "replay"
  | "forged"
  | "bad-sender"
  | "forgotten-offer"
  /** The caller granted no work for it. */
  | "refused";

export interface Opened {
  readonly kind: "opened";
  readonly peer: PeerId;
  /** The session or offer it came under. */
  readonly carrier: string;
  /** It came under an offer that was not yet accepted: no forward secrecy, and the maker proved itself by static keys only. */
  readonly early: boolean;
  /** Of the envelope, under its carrier. */
  readonly counter: number;
  /** The epoch that numbers its messages. */
  readonly theirEpoch: Epoch;
  /** The epoch of ours that the session names: replies without an epoch answer requests of it. Unknown while early. */
  readonly ourEpoch: Epoch | undefined;
  /** The frames after mesgen's own. A view of memory that belongs to the caller. */
  readonly frames: Uint8Array;
  /** Sessions and offers of ours that the peer cannot read: what last travelled under them must be sent again. */
  readonly lost: readonly string[];
  /** The peer started anew: whatever it has not handled must be sent again. */
  readonly restarted: boolean;
  /** The peer says that another run with our key came to it after us. */
  readonly superseded: boolean;
  /** Call `maps.commit()` and wait for it before handing on these frames, or any later ones of this peer. */
  readonly mustCommit: boolean;
}

/** An envelope of a session that we do not have. An answer is owed: see `due`. */
export interface Unreadable {
  readonly kind: "unreadable";
  readonly peer: PeerId;
  /** What could be read of a stale offer: our own sessions and offers that its maker cannot read. */
  readonly lost: readonly string[];
}

export interface Dropped {
  readonly kind: "dropped";
  readonly reason: DropReason;
  /** How it breaks the format, when it is no envelope or of another version. */
  readonly error?: WireError;
}

/** What an envelope of no known session costs: Diffie-Hellman, or an answer to somebody who may be anybody. */
export type Work = "handshake" | "answer";

/**
 * Decides whether an unauthenticated envelope is worth that.
 *
 * @param sender - Whom it claims to be from; unknown when the sender is sealed.
 */
export type Admit = (work: Work, sender: PeerId | undefined) => boolean;

/** What the next envelope to a peer travels under. Use it in the same turn. */
export class Carrier {
  readonly peer: PeerId;
  /** Session or offer ID. */
  readonly id: string;
  /** Under an offer that is not accepted yet. */
  readonly early: boolean;
  /** The epoch that the peer numbers under on this session; unknown while early. */
  readonly theirEpoch: Epoch | undefined;
  /** Bytes for the caller's frames. */
  readonly room: number;
  /** @internal */
  readonly target: LiveSession | LivePending;

  constructor(peer: PeerId, target: LiveSession | LivePending, room: number) {
    this.peer = peer;
    this.target = target;
    this.early = "earlyKey" in target;
    this.id = target.record.id;
    this.theirEpoch = "earlyKey" in target ? undefined : target.record.theirEpoch;
    this.room = room;
  }
}

const nothing: readonly string[] = [];
const noBytes = new Uint8Array(0);
/** How often keys are looked through for those whose time is over. */
const hourMs = 60 * 60 * 1000;

export class Mesgen {
  readonly self: PeerId;
  /** Numbers our messages of this run; random, one per start. */
  readonly epoch: Epoch;
  readonly drops: Record<DropReason, number> = {
    malformed: 0,
    "unknown-version": 0,
    own: 0,
    "wrong-sender": 0,
    replay: 0,
    forged: 0,
    "bad-sender": 0,
    "forgotten-offer": 0,
    refused: 0,
  };
  /** Handshake halves computed, of both kinds: what a flood costs us. */
  handshakes = 0;

  readonly #identity: Identity;
  readonly #selfId: Uint8Array;
  readonly #maps: SessionMaps;
  readonly #crypto: CryptoProvider;
  readonly #sealedSender: boolean;
  readonly #limits: MesgenLimits;
  readonly #table: PeerTable;
  readonly #recentId = new RecentId();
  readonly #allocate: (bytes: number) => Uint8Array;
  #sweptAt: Millis | undefined;

  constructor(options: MesgenOptions) {
    this.#identity = options.identity;
    this.self = options.identity.peer;
    this.#selfId = peerIdToBytes(this.self);
    this.#maps = options.maps;
    this.#crypto = options.crypto ?? defaultCryptoProvider;
    this.#sealedSender = options.sealedSender ?? false;
    this.#allocate = options.allocate ?? ((bytes) => new Uint8Array(bytes));
    this.#limits = { ...defaultMesgenLimits, ...options.limits };
    this.epoch = toHex(this.#crypto.randomBytes(8)) as Epoch;
    this.#table = new PeerTable(this.#maps, this.#limits);
  }

  // ---- Receiving

  /**
   * Opens an envelope.
   *
   * @param bytes - Exactly one envelope. Borrowed.
   * @param now - The caller's clock.
   * @param admit - Asked before anything is spent on an envelope of no known session: whether to go on. Absent: always.
   */
  open(bytes: Uint8Array, now: Millis, admit?: Admit): Opened | Unreadable | Dropped {
    let envelope: Envelope;
    try {
      envelope = decodeEnvelope(bytes);
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      return { ...this.#drop(error.code === "EGTP_WIRE_UNKNOWN_VERSION" ? "unknown-version" : "malformed"), error };
    }
    const id = this.#recentId.textOf(envelope.id);

    const session = this.#table.session(id as SessionId, now);
    if (session !== undefined) return this.#openSession(envelope, session, now);

    if (envelope.type === "offer") {
      const accepted = this.#maps.findAccepted(id as OfferId);
      if (accepted !== undefined) return this.#openEarly(envelope, accepted.counterparty, accepted.offer, now);
    } else if (envelope.type === "acceptance") {
      const completed = this.#complete(envelope, id as SessionId, now, admit);
      if (completed !== undefined) return completed;
    }

    if (envelope.type !== "offer" && !envelope.sealedSender) {
      // Named already: one more costs nothing and needs no grant.
      const claimed = peerIdFromTrustedBytes(envelope.sender);
      if (this.#table.knownState(claimed)?.rejected?.some((rejected) => rejected.id === id) === true)
        return this.#unreadable(claimed, entry(id as SessionId), now);
    }
    const work = envelope.type === "offer" || envelope.sealedSender ? "handshake" : "answer";
    if (admit?.(work, envelope.sealedSender ? undefined : peerIdFromTrustedBytes(envelope.sender)) === false) {
      return this.#drop("refused");
    }
    const senderId = this.#senderOf(envelope);
    if (senderId === null) return this.#drop("bad-sender");
    const sender = peerIdFromTrustedBytes(senderId);
    if (sender === this.self) return this.#drop("own");
    if (envelope.type === "offer") return this.#openOffer(envelope, id as OfferId, sender, senderId, now);
    return this.#unreadable(sender, entry(id as SessionId), now);
  }

  /**
   * What an envelope that was opened carried could not be kept, and it will come again, out of the mailbox that has the only
   * copy perhaps: then it is opened again. The layer above must know its messages by their numbers.
   */
  reopen({ carrier, counter }: Opened, now: Millis): void {
    const session = this.#table.session(carrier as SessionId, now);
    if (session !== undefined) session.window.unmark(counter);
    const accepted = this.#maps.findAccepted(carrier as OfferId);
    if (accepted !== undefined) this.#table.earlyWindow(accepted.offer).unmark(counter);
  }

  /** Known session: window, decrypt, then mark. What fails is dropped and triggers nothing. */
  #openSession(envelope: Envelope, session: LiveSession, now: Millis): Opened | Unreadable | Dropped {
    const { record, state } = session;
    if (!this.#isFrom(envelope, state)) return this.#drop("wrong-sender");
    const { counter } = envelope;
    const fresh = session.window.isFresh(counter);
    if (!fresh && !asksForAnswer(session.refused, counter, state)) return this.#drop("replay");
    const plaintext = this.#crypto.open(record.receiveKey, counter, envelope.header, envelope.ciphertext);
    if (plaintext === null) return this.#drop("forged");
    if (!fresh) {
      // Authentic, but in the range that a restart refuses: it may or may not have been read before.
      session.refused?.mark(counter);
      return this.#unreadable(state.peer, entry(record.id), now);
    }
    const control = readControl(plaintext);
    if (control === null) return this.#drop("malformed");

    session.window.mark(counter);
    const counterparty = this.#maps.ensure(state.peer, now);
    let mustCommit = false;
    if (counter >= record.counterLimit) {
      this.#table.raiseLimit(counterparty, record, session.window, counter, now);
      mustCommit = true;
    }
    this.#confirm(session);
    if (!session.followed && this.#leads(state) === "peer") this.#follow(session, counterparty, now);
    if (session.sending === undefined && !session.named) {
      // Read, but without a key to answer under: say so with the next envelope.
      session.named = true;
      this.#nameRejected(state, entry(record.id));
    }
    const restarted = noteEpoch(state, record.theirEpoch);
    const lost = this.#heedRejected(state, control.rejected, true, now);
    if (control.rejected.length > 0) this.#owe(state, now);
    const superseded = control.close === closeReason.superseded;
    if (control.close !== undefined && !superseded) {
      this.#table.removeSession(counterparty, record.id);
      lost.push(record.id);
    }
    return {
      kind: "opened",
      peer: state.peer,
      carrier: record.id,
      early: false,
      counter,
      theirEpoch: record.theirEpoch,
      ourEpoch: session.isOfThisRun ? this.epoch : undefined,
      frames: control.rest,
      lost,
      restarted,
      superseded,
      mustCommit,
    };
  }

  /** A further envelope under an offer that was accepted. */
  #openEarly(
    envelope: Envelope,
    counterparty: Counterparty,
    offer: AcceptedOffer,
    now: Millis,
  ): Opened | Unreadable | Dropped {
    const state = this.#table.state(counterparty.peer, now);
    if (!this.#isFrom(envelope, state)) return this.#drop("wrong-sender");
    if (offer.earlyKey === undefined) return this.#drop("forgotten-offer");
    const { counter } = envelope;
    const early = this.#table.earlyWindow(offer);
    if (counter < offer.earlyFloor) return this.#drop("replay");
    const fresh = early.isFresh(counter);
    if (!fresh && !asksForAnswer(early.refused, counter, state)) return this.#drop("replay");
    const plaintext = this.#crypto.open(offer.earlyKey, counter, envelope.header, envelope.ciphertext);
    if (plaintext === null) return this.#drop("forged");
    if (!fresh) {
      early.refused?.mark(counter);
      return this.#unreadable(state.peer, entry(offer.offerId), now);
    }
    const control = readControl(plaintext);
    if (control === null) return this.#drop("malformed");

    early.mark(counter);
    let mustCommit = false;
    if (counter >= offer.counterLimit) {
      this.#table.raiseLimit(counterparty, offer, early, counter, now);
      mustCommit = true;
    }
    const restarted = noteEpoch(state, offer.theirEpoch);
    const lost = this.#heedRejected(state, control.rejected, true, now, offer.offerId);
    // Its maker repeats the list with every copy of the offer: only what is new in it asks for an answer.
    if (lost.length > 0) this.#owe(state, now);
    this.#followOffer(state, counterparty, offer, now);
    const session = this.#table.session(offer.sessionId, now);
    if (session === undefined || (session.sending === undefined && !session.confirmed)) {
      // Its acceptance is gone, with an earlier run or with a sending key that was erased: the maker, who has not seen it,
      // must be told to let go of this offer.
      this.#unreadable(state.peer, entry(offer.offerId), now);
    }
    return {
      kind: "opened",
      peer: state.peer,
      carrier: offer.offerId,
      early: true,
      counter,
      theirEpoch: offer.theirEpoch,
      ourEpoch: undefined,
      frames: control.rest,
      lost,
      restarted,
      superseded: false,
      mustCommit,
    };
  }

  /** The acceptance of our pending offer: completes the handshake on a copy, and changes state once all is authentic. */
  #complete(envelope: Envelope, id: SessionId, now: Millis, admit: Admit | undefined): Opened | Dropped | undefined {
    const field = envelope.handshake as Uint8Array;
    const offerId = offerIdOfAcceptance(field);
    const found = this.#table.pending(offerId, now);
    if (found === undefined) return undefined;
    const { state, record: pending, live } = found;
    if (!this.#isFrom(envelope, state)) return this.#drop("wrong-sender");
    if (admit?.("handshake", state.peer) === false) return this.#drop("refused");

    this.handshakes += 1;
    const accepted = consumeAcceptance(this.#crypto, this.#identity.keys.dh, pending, live?.ephemeral, field);
    if (accepted === null || accepted.sessionId !== id) return this.#drop("forged");
    const plaintext = this.#crypto.open(accepted.receiveKey, envelope.counter, envelope.header, envelope.ciphertext);
    if (plaintext === null) return this.#drop("forged");
    const control = readControl(plaintext);
    if (control === null) return this.#drop("malformed");

    const counterparty = this.#maps.ensure(state.peer, now);
    const newStore = counterparty.theirTag !== undefined && counterparty.theirTag !== accepted.tag;
    counterparty.theirTag = accepted.tag;
    // What every copy of the offer said, the peer has read.
    if (live !== undefined && live.listed === state.rejected) state.rejected = undefined;
    this.#unnameRejected(state, id);
    this.#table.clearPending(state);
    const record: SessionRecord = {
      id,
      offerId,
      role: "initiator",
      receiveKey: accepted.receiveKey,
      theirEpoch: accepted.epoch,
      stamp: pending.stamp,
      createdAt: now,
      counterLimit: envelope.counter + this.#limits.counterLeap,
    };
    const restored = live === undefined;
    // What completes late goes behind: the peer could not use the offer and chose another, or both made a session since.
    const session = this.#table.addSession(
      counterparty,
      record,
      restored ? undefined : sendingHalf(accepted.sendKey),
      restored || live.yielded ? counterparty.sessions.length : this.#table.placeSince(counterparty, live.serial),
      now,
    );
    session?.window.mark(envelope.counter);
    if (session !== undefined) {
      session.confirmed = true;
      if (this.#leads(state) === "peer") this.#follow(session, counterparty, now);
    }
    if (!restored) this.#clearNeed(state);
    else if (session !== undefined) {
      session.named = true;
      this.#nameRejected(state, entry(id));
    }
    const restarted = noteEpoch(state, accepted.epoch, newStore);
    const lost = this.#heedRejected(state, control.rejected, true, now);
    if (control.rejected.length > 0) this.#owe(state, now);
    return {
      kind: "opened",
      peer: state.peer,
      carrier: id,
      early: false,
      counter: envelope.counter,
      theirEpoch: accepted.epoch,
      ourEpoch: restored ? undefined : this.epoch,
      frames: control.rest,
      lost,
      restarted,
      superseded: false,
      mustCommit: true,
    };
  }

  /** An offer that is not among those remembered as accepted. */
  #openOffer(
    envelope: Envelope,
    id: OfferId,
    sender: PeerId,
    senderId: Uint8Array,
    now: Millis,
  ): Opened | Unreadable | Dropped {
    const theirs = this.#crypto.dhPublicKeyOf(senderId);
    if (theirs === null) return this.#drop("bad-sender");
    this.handshakes += 1;
    const statics = this.#statics(senderId, theirs);
    const offer = consumeOffer(this.#crypto, statics, envelope.handshake as Uint8Array);
    if (offer === null || offer.id !== id) return this.#drop("forged");
    const plaintext = this.#crypto.open(offer.earlyKey, envelope.counter, envelope.header, envelope.ciphertext);
    if (plaintext === null) return this.#drop("forged");
    const control = readControl(plaintext);
    if (control === null) return this.#drop("malformed");

    const freshness = this.#freshness(offer, sender, control.rejected, now);
    if (freshness === "stale") {
      const known = this.#table.knownState(sender);
      const lost = known === undefined ? [] : this.#heedRejected(known, control.rejected, false, now);
      const vouch = { tag: this.#maps.tag, floor: this.#maps.floorOf(sender) };
      return { ...this.#unreadable(sender, { id, vouch }, now), lost };
    }
    return this.#accept(envelope, offer, statics, sender, control, freshness, now);
  }

  /** Spec, "Fresh offers": by tag (a), by clock at a first contact (b), or because it names an offer of this run (c). */
  #freshness(
    offer: ReadOffer,
    sender: PeerId,
    rejected: readonly RejectedEntry[],
    now: Millis,
  ): "fresh" | "vouched" | "stale" {
    if (offer.stamp > now + maxStampLeadMs) return "stale";
    const aboveFloor = offer.stamp > this.#maps.floorOf(sender);
    if (aboveFloor && offer.recipientTag === this.#maps.tag) return "fresh";
    if (aboveFloor && offer.recipientTag === noTag && offer.stamp < now + maxClockSkewMs) {
      if (this.#maps.bornWithIdentity || offer.stamp > this.#maps.bornAt + maxClockSkewMs) return "fresh";
    }
    const pending = this.#table.knownState(sender)?.pending;
    if (pending !== undefined && !pending.vouched && rejected.some((entry) => entry.id === pending.record.id)) {
      return "vouched";
    }
    return "stale";
  }

  #accept(
    envelope: Envelope,
    offer: ReadOffer,
    statics: Statics,
    sender: PeerId,
    control: Control,
    freshness: "fresh" | "vouched",
    now: Millis,
  ): Opened {
    const state = this.#table.state(sender, now);
    const counterparty = this.#maps.ensure(sender, now);
    this.handshakes += 1;
    const acceptance = createAcceptance(this.#crypto, statics, offer, { tag: this.#maps.tag, epoch: this.epoch });
    const [receiveKey, sendKey, earlyKey] = together(acceptance.receiveKey, acceptance.sendKey, offer.earlyKey);
    const record: SessionRecord = {
      id: acceptance.sessionId,
      offerId: offer.id,
      role: "responder",
      receiveKey,
      theirEpoch: offer.makerEpoch,
      stamp: offer.stamp,
      createdAt: now,
      counterLimit: this.#limits.counterLeap,
    };
    const remembered: AcceptedOffer = {
      offerId: offer.id,
      sessionId: record.id,
      stamp: offer.stamp,
      earlyKey,
      theirEpoch: offer.makerEpoch,
      acceptedAt: now,
      counterLimit: envelope.counter + this.#limits.counterLeap,
      earlyFloor: freshness === "vouched" ? envelope.counter : 0,
    };
    const newStore = counterparty.theirTag !== undefined && counterparty.theirTag !== offer.makerTag;
    counterparty.theirTag = offer.makerTag;
    this.#table.rememberAccepted(counterparty, remembered, envelope.counter, now);
    this.#table.addSession(
      counterparty,
      record,
      sendingHalf(sendKey, acceptance.field),
      insertionIndex(counterparty, record),
      now,
    );

    const pending = state.pending;
    if (pending !== undefined) {
      if (freshness === "vouched") pending.vouched = true;
      if (control.rejected.some((entry) => entry.id === pending.record.id)) {
        pending.yielded = true;
        pending.preferred = false;
      } else {
        pending.preferred = this.#leads(state) === "us";
      }
    }
    if (pending === undefined || !pending.preferred) this.#clearNeed(state);
    const restarted = noteEpoch(state, offer.makerEpoch, newStore);
    const lost = this.#heedRejected(state, control.rejected, true, now);
    // The acceptance leaves at once, whether or not the layer above has something to say.
    this.#owe(state, now);
    return {
      kind: "opened",
      peer: sender,
      carrier: offer.id,
      early: true,
      counter: envelope.counter,
      theirEpoch: offer.makerEpoch,
      ourEpoch: undefined,
      frames: control.rest,
      lost,
      restarted,
      superseded: false,
      mustCommit: true,
    };
  }

  /**
   * Spec, "Unknown session": remember its name for the peer, and owe an answer by ordinary routing (rules R2, R3).
   * Whoever forges such envelopes fills only the maps' bounded table of peers that never proved themselves.
   */
  #unreadable(peer: PeerId, entry: RejectedEntry, now: Millis): Unreadable {
    const state = this.#table.state(peer, now);
    this.#nameRejected(state, entry);
    state.needsResent ??= this.#table.nextSerial();
    state.answers ??= new AnswerLimiter(this.#limits);
    this.#owe(state, state.answers.nextAt(now));
    return { kind: "unreadable", peer, lost: nothing };
  }

  /**
   * Heeds the names of what the peer cannot read. Entries for IDs that are not ours and in use are ignored.
   *
   * @param authentic - It came in an envelope that was accepted; false for a stale offer, which may be a replay.
   * @param under - The offer that it came under: whoever still sends under an offer can read the session that answers it, and
   *   names it only because somebody else sent something in its name.
   */
  #heedRejected(
    state: PeerState,
    entries: readonly RejectedEntry[],
    authentic: boolean,
    now: Millis,
    under?: OfferId,
  ): string[] {
    const lost: string[] = [];
    for (const entry of entries) {
      const pending = state.pending;
      if (pending !== undefined && pending.record.id === entry.id && pending.nextCounter > 0) {
        pending.preferred = false;
        if (authentic) pending.yielded = true;
        if (entry.vouch !== undefined && entry.vouch.floor <= now + maxStampLeadMs) {
          const counterparty = this.#maps.ensure(state.peer, now);
          counterparty.theirTag = entry.vouch.tag;
          counterparty.minStamp = Math.max(counterparty.minStamp, entry.vouch.floor + 1);
          this.#maps.touch(counterparty);
        }
        lost.push(entry.id);
        continue;
      }
      const session = this.#table.session(entry.id as SessionId, now);
      if (session !== undefined && session.state === state && session.sending !== undefined) {
        if (session.sending.nextCounter === 0 || session.record.offerId === under) continue;
        this.#table.eraseSendingKey(session);
        lost.push(entry.id);
      }
    }
    return lost;
  }

  /** The first authentic envelope under a session in this run. */
  #confirm(session: LiveSession): void {
    const { state } = session;
    if (state.probe?.session === session) this.#clearNeed(state);
    else if (state.needsResent !== undefined && session.serial >= state.needsResent) this.#clearNeed(state);
    if (session.confirmed) return;
    session.confirmed = true;
    if (session.sending !== undefined) session.sending.acceptance = undefined;
    if (state.pending !== undefined && state.pending.serial < session.serial) {
      this.#table.clearPending(state);
    }
  }

  /** The peer with the smaller ID leads; we use what it uses from the first time we see it (rule R5, convergence). */
  #follow(session: LiveSession, counterparty: Counterparty, now: Millis): void {
    session.followed = true;
    if (session.sending === undefined) return;
    if (session.state.pending !== undefined) session.state.pending.preferred = false;
    if (this.#table.isFront(session, counterparty)) return;
    this.#table.moveToFront(counterparty, session, now);
  }

  /**
   * The leader still sends under its offer: it has not seen the acceptance. So we send under that session, which
   * carries it, and let go of an offer of our own.
   */
  #followOffer(state: PeerState, counterparty: Counterparty, offer: AcceptedOffer, now: Millis): void {
    if (this.#leads(state) === "us") return;
    const session = this.#table.session(offer.sessionId, now);
    if (session?.sending === undefined || session.confirmed) return;
    if (state.pending !== undefined) state.pending.preferred = false;
    this.#clearNeed(state);
    if (!this.#table.isFront(session, counterparty)) this.#table.moveToFront(counterparty, session, now);
  }

  #leads(state: PeerState): "us" | "peer" {
    return comparePeerIds(this.self, state.peer) < 0 ? "us" : "peer";
  }

  // ---- Sending

  /**
   * Chooses what the next envelope to a peer travels under, and makes an offer when there is nothing better.
   *
   * @param purpose.application - It will carry a message of the application; only such a one begins a re-key.
   * @param purpose.established - What it carries needs an established session: during a re-key the old one is used on.
   * @throws {@link MesgenError} `EGTP_MESGEN_BAD_PEER` when there is no usable key behind the ID, `EGTP_MESGEN_SELF`.
   */
  carrier(peer: PeerId, now: Millis, purpose: { application: boolean; established?: boolean }): Carrier {
    if (peer === this.self) throw new MesgenError("EGTP_MESGEN_SELF", "This is our own ID.");
    const state = this.#table.state(peer, now);
    const counterparty = this.#maps.ensure(peer, now);
    if (!state.restoredNamed) this.#nameRestored(state, counterparty, now);
    const target = this.#choose(state, counterparty, now, purpose);
    return new Carrier(peer, target, maxPlaintextBytes - (state.rejected === undefined ? 0 : maxControlBytes));
  }

  #choose(
    state: PeerState,
    counterparty: Counterparty,
    now: Millis,
    purpose: { application: boolean; established?: boolean },
  ): LiveSession | LivePending {
    const pending = this.#usablePending(state, now);
    const front = this.#table.front(counterparty);

    if (state.needsResent !== undefined) {
      if (pending !== undefined) return pending;
      if (front !== undefined) {
        const yielded = state.pending?.yielded === true && !front.confirmed;
        // It carries its acceptance until something comes under it, which then is an answer to this one.
        if (yielded) state.probe = { session: front, deadline: Infinity, failed: false };
        if (yielded || (front.confirmed && front.serial >= state.needsResent)) return front;
        if (front.confirmed && !(state.probe?.session === front && state.probe.failed)) {
          if (state.probe?.session !== front) this.#probe(state, front, now);
          return front;
        }
      }
      return this.#makeOffer(state, counterparty, now);
    }

    if (purpose.established === true && front !== undefined) return front;
    if (pending?.preferred === true) return pending;
    if (front !== undefined) {
      return purpose.application && this.#isWorn(front, now)
        ? (pending ?? this.#makeOffer(state, counterparty, now))
        : front;
    }
    return pending ?? this.#makeOffer(state, counterparty, now);
  }

  /**
   * Seals frames into an envelope.
   *
   * @param carrier - From {@link Mesgen.carrier}, in the same turn.
   * @param frames - At most `carrier.room` bytes. Borrowed.
   * @param now - The caller's clock.
   * @param options - `close` says goodbye: the peer forgets this session. Ignored while early. Needs 2 bytes of the room.
   *   `headBytes` is memory before the envelope that is the caller's, too.
   * @returns The envelope, which belongs to the caller.
   * @throws {@link MesgenError} `EGTP_MESGEN_TOO_LARGE`.
   */
  seal(
    carrier: Carrier,
    frames: Uint8Array,
    now: Millis,
    { close: reason, headBytes = 0 }: { close?: number; headBytes?: number } = {},
  ): Uint8Array {
    if (frames.length > carrier.room) {
      throw new MesgenError("EGTP_MESGEN_TOO_LARGE", `${frames.length} bytes of frames, at most ${carrier.room}.`);
    }
    const state = this.#table.state(carrier.peer, now);
    const close = carrier.early ? undefined : reason;
    const envelope = this.#seal(carrier, state, withControl(state.rejected, close, frames), headBytes);
    this.#sent(state, carrier.early, now);
    return envelope;
  }

  #seal({ target, early }: Carrier, state: PeerState, plaintext: Uint8Array, headBytes = 0): Uint8Array {
    const sending = early ? (target as LivePending) : ((target as LiveSession).sending as SendingHalf);
    const acceptance = early ? undefined : (sending as SendingHalf).acceptance;
    const handshake = early ? (target as LivePending).record.message : acceptance;
    const type = early ? "offer" : acceptance === undefined ? "data" : "acceptance";
    const headerLength = envelopeHeaderBytes(type, this.#sealedSender);
    const length = headerLength + plaintext.length + tagBytes;
    const envelope = headBytes === 0 ? this.#allocate(length) : new Uint8Array(headBytes + length).subarray(headBytes);
    const counter = sending.nextCounter;
    encodeEnvelopeHeader(
      {
        type,
        sender: this.#sealedSender ? this.#ourSealedSender(state, sending) : this.#selfId,
        id: this.#recentId.bytesOf(target.record.id),
        counter,
        handshake,
      },
      envelope,
    );
    // Used up before it is used: no path leads to the same counter twice.
    sending.nextCounter = counter + 1;
    const key = early ? (target as LivePending).earlyKey : (sending as SendingHalf).key;
    this.#crypto.seal(key, counter, envelope.subarray(0, headerLength), plaintext, envelope, headerLength);
    return envelope;
  }

  /** Notes what an envelope that leaves has settled. */
  #sent(state: PeerState, early: boolean, now: Millis): void {
    // Under an offer the list stays: every copy must vouch for the offer of the peer that it answers.
    if (early) (state.pending as LivePending).listed ??= state.rejected;
    else state.rejected = undefined;
    if (state.owedAt === undefined) return;
    state.owedAt = undefined;
    if (state.needsResent !== undefined) state.answers?.answered(now);
    this.#untimeIfIdle(state);
  }

  /**
   * Tells an earlier run of the peer, on a link that leads to it, that a later one came: the same key runs twice, or the
   * link is dead. The session stays.
   *
   * @param epoch - Of the earlier run.
   * @returns The envelope; `undefined` when nothing can be said to that run any more.
   */
  sealSuperseded(peer: PeerId, epoch: Epoch, now: Millis): Uint8Array | undefined {
    for (const record of this.#maps.get(peer)?.sessions ?? []) {
      if (record.theirEpoch !== epoch) continue;
      const session = this.#table.session(record.id, now);
      if (session?.sending === undefined || session.sending.nextCounter >= counterLimit) continue;
      // Nothing but this: what else there is to say is for the later run.
      const plaintext = withControl(undefined, closeReason.superseded, noBytes);
      return this.#seal(new Carrier(peer, session, 0), session.state, plaintext);
    }
    return undefined;
  }

  /** Names something that the layer above could not make sense of to the peer, as if its session were unknown. */
  reject(peer: PeerId, carrier: string, now: Millis): void {
    this.#unreadable(peer, entry(carrier as SessionId), now);
  }

  /** Whether an envelope should leave to the peer now, even with nothing in it but what mesgen has to say. */
  owes(peer: PeerId, now: Millis): boolean {
    const owedAt = this.#table.knownState(peer)?.owedAt;
    return owedAt !== undefined && now >= owedAt;
  }

  // ---- Time

  /** Peers to whom an envelope should leave now, whether or not the layer above has something to say. */
  due(now: Millis): PeerId[] {
    const peers: PeerId[] = [];
    for (const state of this.#table.timed) {
      const { probe } = state;
      if (probe !== undefined && !probe.failed && now >= probe.deadline) {
        probe.failed = true;
        this.#owe(state, now);
      }
      if (state.owedAt !== undefined && now >= state.owedAt) peers.push(state.peer);
    }
    return peers;
  }

  /** When `due` or `tick` next has something to do. */
  get nextDeadline(): Millis | undefined {
    let next: Millis | undefined;
    for (const { owedAt, probe } of this.#table.timed) {
      if (owedAt !== undefined && (next === undefined || owedAt < next)) next = owedAt;
      if (probe !== undefined && !probe.failed && probe.deadline < (next ?? Infinity)) next = probe.deadline;
    }
    const sweepAt = this.#sweptAt === undefined ? undefined : this.#sweptAt + hourMs;
    for (const at of [this.#table.nextFadeAt, this.#table.nextLowerAt, sweepAt]) {
      if (at !== undefined && (next === undefined || at < next)) next = at;
    }
    return next;
  }

  /**
   * Erases keys whose time is over, and lowers counter limits in the maps, which nothing has to wait for. Calling too early or
   * twice does no harm.
   */
  tick(now: Millis): void {
    this.#table.eraseFaded(now);
    this.#table.lowerLimits(now);
    if (this.#sweptAt === undefined || Math.abs(now - this.#sweptAt) >= hourMs) {
      this.#sweptAt = now;
      this.#sweep(now);
    }
  }

  /**
   * Lowers all counter limits in the maps to what was read. Called before the last commit of a run, it lets the next one read
   * all that comes meanwhile; after it, everything still works as before.
   */
  lowerLimits(): void {
    this.#table.lowerAllLimits();
  }

  #sweep(now: Millis): void {
    for (const counterparty of this.#maps.counterparties()) {
      for (const record of counterparty.sessions) {
        if (now - record.createdAt < this.#limits.sessionLifeMs) continue;
        this.#table.removeSession(counterparty, record.id);
      }
      for (const offer of counterparty.accepted) {
        if (offer.earlyKey === undefined || now - offer.acceptedAt < this.#limits.earlyKeyLifeMs) continue;
        this.#table.forgetEarlyKey(counterparty, offer);
      }
      if (counterparty.pending !== undefined && now >= counterparty.pending.expiresAt) {
        this.#table.clearPending(this.#table.state(counterparty.peer, now));
      }
    }
  }

  // ---- Inspection

  /** The sessions with a peer, preferred first, for display and tests. */
  sessions(peer: PeerId): readonly {
    id: SessionId;
    role: SessionRecord["role"];
    createdAt: Millis;
    sends: boolean;
    confirmed: boolean;
  }[] {
    return (this.#maps.get(peer)?.sessions ?? []).map((record) => {
      const live = this.#table.session(record.id, record.createdAt);
      return {
        id: record.id,
        role: record.role,
        createdAt: record.createdAt,
        sends: live?.sending !== undefined,
        confirmed: live?.confirmed ?? false,
      };
    });
  }

  /** What an application message to the peer would travel under now, without making anything: a session or offer ID. */
  preferred(peer: PeerId, now: Millis): string | undefined {
    const state = this.#table.knownState(peer);
    const counterparty = this.#maps.get(peer);
    const pending = state === undefined ? undefined : this.#usablePending(state, now);
    if (pending?.preferred === true || (pending !== undefined && state?.needsResent !== undefined))
      return pending.record.id;
    const front = counterparty === undefined ? undefined : this.#table.front(counterparty);
    return front?.record.id ?? pending?.record.id;
  }

  // ---- Sessions and offers

  #isWorn(session: LiveSession, now: Millis): boolean {
    return (
      now - session.record.createdAt > this.#limits.rekeyAfterMs ||
      (session.sending?.nextCounter ?? 0) > this.#limits.rekeyAfterEnvelopes
    );
  }

  #usablePending(state: PeerState, now: Millis): LivePending | undefined {
    const { pending } = state;
    if (pending === undefined || pending.yielded || pending.nextCounter >= counterLimit) return undefined;
    return now < pending.record.expiresAt ? pending : undefined;
  }

  /** Rule R3: made on demand only, then the same bytes every time. Supersedes an offer that cannot be used any more. */
  #makeOffer(state: PeerState, counterparty: Counterparty, now: Millis): LivePending {
    const theirs = this.#crypto.dhPublicKeyOf(this.#table.idOf(state.peer));
    if (theirs === null) {
      this.#table.forgetState(state);
      throw badPeer(state.peer);
    }
    const usual = Math.max(
      Math.floor(now),
      this.#maps.bornWithIdentity ? 0 : this.#maps.bornAt + 1,
      this.#maps.lastStamp + 1,
    );
    this.#maps.lastStamp = usual;
    // A peer decides what it is told, and not what others are: for them it would be far in the future.
    const stamp = Math.max(usual, counterparty.minStamp);
    if (stamp > usual) counterparty.minStamp = stamp + 1;
    this.handshakes += 1;
    const {
      pending: record,
      ephemeral,
      earlyKey,
    } = createOffer(
      this.#crypto,
      this.#statics(this.#table.idOf(state.peer), theirs),
      { stamp, makerTag: this.#maps.tag, recipientTag: counterparty.theirTag ?? noTag, makerEpoch: this.epoch },
      { createdAt: now, expiresAt: now + this.#limits.offerLifeMs },
    );
    const pending: LivePending = {
      record,
      ephemeral,
      earlyKey,
      nextCounter: 0,
      sealedSender: undefined,
      preferred: true,
      yielded: false,
      vouched: false,
      listed: undefined,
      serial: this.#table.nextSerial(),
    };
    this.#table.setPending(counterparty, state, pending);
    return pending;
  }

  /** First words to a peer after a restart: the sessions that we can read but no longer send on. */
  #nameRestored(state: PeerState, counterparty: Counterparty, now: Millis): void {
    state.restoredNamed = true;
    for (const record of counterparty.sessions) {
      const session = this.#table.session(record.id, now) as LiveSession;
      if (session.isOfThisRun || session.named) continue;
      session.named = true;
      this.#nameRejected(state, entry(record.id));
    }
  }

  #nameRejected(state: PeerState, entry: RejectedEntry): void {
    const others = (state.rejected ?? []).filter(({ id }) => id !== entry.id);
    state.rejected = [...others.slice(-(maxRejectedEntries - 1)), entry];
  }

  /** It can be read after all. */
  #unnameRejected(state: PeerState, id: SessionId): void {
    const others = (state.rejected ?? []).filter((entry) => entry.id !== id);
    if (others.length < (state.rejected?.length ?? 0)) state.rejected = others.length === 0 ? undefined : others;
  }

  #owe(state: PeerState, at: Millis): void {
    if (state.owedAt === undefined || at < state.owedAt) state.owedAt = at;
    this.#table.timed.add(state);
  }

  #probe(state: PeerState, session: LiveSession, now: Millis): void {
    state.probe = { session, deadline: now + this.#limits.probeTimeoutMs, failed: false };
    this.#table.timed.add(state);
  }

  #clearNeed(state: PeerState): void {
    state.needsResent = undefined;
    state.probe = undefined;
    this.#untimeIfIdle(state);
  }

  #untimeIfIdle(state: PeerState): void {
    const { owedAt, probe } = state;
    if (owedAt === undefined && (probe === undefined || probe.failed || probe.deadline === Infinity))
      this.#table.timed.delete(state);
  }

  #statics(theirId: Uint8Array, theirs: Uint8Array): Statics {
    return { ours: this.#identity.keys.dh, ourId: this.#selfId, theirs, theirId };
  }

  // ---- Senders

  /** The ID an envelope claims, or the one its sealed sender holds; `null` when that does not open. */
  #senderOf(envelope: Envelope): Uint8Array | null {
    return envelope.sealedSender
      ? openSender(this.#crypto, this.#identity.keys.dh, this.#selfId, envelope.sender)
      : envelope.sender.slice();
  }

  /** A sealed sender is not opened here: the key of the session names the peer. */
  #isFrom(envelope: Envelope, state: PeerState): boolean {
    if (envelope.sealedSender) return true;
    const { sender } = envelope;
    const id = this.#table.idOf(state.peer);
    for (let i = 0; i < sender.length; i++) if (sender[i] !== id[i]) return false;
    return true;
  }

  /** Rule R7: made once per session or offer, then reused. */
  #ourSealedSender(state: PeerState, sending: { sealedSender: Uint8Array | undefined }): Uint8Array {
    if (sending.sealedSender === undefined) {
      const theirs = this.#crypto.dhPublicKeyOf(this.#table.idOf(state.peer));
      if (theirs === null) throw badPeer(state.peer);
      const ephemeral = this.#crypto.generateDhKeyPair();
      sending.sealedSender = sealSender(this.#crypto, theirs, this.#table.idOf(state.peer), this.#selfId, ephemeral);
    }
    return sending.sealedSender;
  }

  #drop(reason: DropReason): Dropped {
    this.drops[reason] += 1;
    return { kind: "dropped", reason };
  }
}

/**
 * Whether an envelope in the range that a restart refuses is to be answered: when it comes for the first time, and also when it
 * comes again, out of a mailbox, while the peer has not been heard since. The answer before it may have found no way.
 */
function asksForAnswer(refused: ReplayWindow | undefined, counter: number, state: PeerState): boolean {
  return refused !== undefined && (refused.isFresh(counter) || state.needsResent !== undefined);
}

function entry(id: SessionId | OfferId): RejectedEntry {
  return { id, vouch: undefined };
}

/** Moves the keys of a session into one piece of memory: a third of what three pieces take. */
function together(...keys: [Uint8Array, Uint8Array, Uint8Array]): [Uint8Array, Uint8Array, Uint8Array] {
  const [first, second, third] = keys;
  const memory = new Uint8Array(first.length + second.length + third.length);
  memory.set(first, 0);
  memory.set(second, first.length);
  memory.set(third, first.length + second.length);
  for (const key of keys) key.fill(0);
  const afterSecond = first.length + second.length;
  return [memory.subarray(0, first.length), memory.subarray(first.length, afterSecond), memory.subarray(afterSecond)];
}

function badPeer(peer: PeerId): MesgenError {
  return new MesgenError("EGTP_MESGEN_BAD_PEER", `There is no usable key behind the peer ID ${peer}.`);
}

function sendingHalf(key: Uint8Array, acceptance?: Uint8Array): SendingHalf {
  return { key, nextCounter: 0, acceptance, sealedSender: undefined };
}

/** At the front, but behind sessions of newer offers by the same maker: an old offer that arrives late stays behind. */
function insertionIndex(counterparty: Counterparty, record: SessionRecord): number {
  const { sessions } = counterparty;
  let index = 0;
  while (index < sessions.length) {
    const other = sessions[index] as SessionRecord;
    if (other.role !== "responder" || other.stamp <= record.stamp) break;
    index += 1;
  }
  return index;
}
