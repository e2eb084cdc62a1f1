/**
 * What is remembered about each counterparty. The records are plain data; {@link SessionMaps} owns them, bounds them
 * and writes them. None has a place for the sending key of a session: that key lives in the memory of the running
 * peer only, so no nonce can be used twice after a crash or after a backup is put back.
 * See docs/spec.md, sections "Receiving" and "State that survives".
 */

import type { Epoch, Millis, OfferId, PeerId, SessionId, StoreTag } from "@egtp/wire";

/** A session as far as it is kept: enough to read what still arrives under it, not enough to send. */
export interface SessionRecord {
  readonly id: SessionId;
  /** The offer that it grew from. */
  readonly offerId: OfferId;
  /** Whether our side made that offer. */
  readonly role: "initiator" | "responder";
  /** 32 bytes. Opens envelopes of the counterparty; seals nothing. */
  readonly receiveKey: Uint8Array;
  /** The numbering that the counterparty used when the session was made. */
  readonly theirEpoch: Epoch;
  /** Of the offer. */
  readonly stamp: Millis;
  readonly createdAt: Millis;
  /** Saved ahead: no counter at or above it is accepted before a higher limit is saved. */
  counterLimit: number;
}

/** An offer of the counterparty that was accepted once and is refused ever after. */
export interface AcceptedOffer {
  readonly offerId: OfferId;
  /** The session that the acceptance made. */
  readonly sessionId: SessionId;
  readonly stamp: Millis;
  /** 32 bytes, opens early data; `undefined` once it is erased. */
  earlyKey: Uint8Array | undefined;
  readonly theirEpoch: Epoch;
  readonly acceptedAt: Millis;
  /** Saved ahead, like {@link SessionRecord.counterLimit}, for envelopes under the offer. */
  counterLimit: number;
  /** Early envelopes with a counter below it are refused. */
  earlyFloor: number;
}

/**
 * Our offer that is not accepted yet. Its bytes are fixed and re-sent verbatim. One that was loaded is for completing
 * the handshake only: nothing derived from `chainingKey` may seal an envelope in a later run.
 */
export interface PendingOffer {
  readonly id: OfferId;
  /** 80 bytes, message 1 of the handshake. */
  readonly message: Uint8Array;
  /** 32 bytes. */
  readonly ephemeralSecret: Uint8Array;
  /** 64 bytes, the chaining key after message 1. */
  readonly chainingKey: Uint8Array;
  /** 64 bytes, the handshake hash after message 1. */
  readonly hash: Uint8Array;
  readonly stamp: Millis;
  readonly createdAt: Millis;
  /** May be put off, for an offer that carried stored mail lives as long as that mail; then `touch`. */
  expiresAt: Millis;
}

/** Which message numbers of one epoch of the counterparty were handled. Owned and changed by delivery. */
export interface HandledMarks {
  readonly epoch: Epoch;
  /** The watermark: every number below it is settled. */
  base: number;
  /** Handled numbers at or above `base`: ascending pairs [from, to), flat. */
  ranges: number[];
  usedAt: Millis;
}

/** An epoch of the counterparty whose handled marks had to make room. */
export interface ForgottenEpoch {
  readonly epoch: Epoch;
  /** When something of it was handled last. */
  readonly usedAt: Millis;
}

/** What a message is known by to its sender. */
export interface MessageName {
  readonly peer: PeerId;
  /** The run that sent it, */
  readonly epoch: Epoch;
  /** and its number there, of the first part if it travels in parts. */
  readonly number: number;
}

/**
 * A message of ours that outlives the run that sent it, until it is settled. Owned and changed by delivery; what it says
 * is read at each commit that it is staged for.
 */
export interface KeptMessage extends MessageName {
  /** The name of its type: 1 to 128 bytes of UTF-8. */
  readonly type: string;
  /** The number that stands for the name in that epoch. */
  readonly typeNumber: number;
  /** It must not travel as early data. */
  readonly established: boolean;
  readonly sentAt: Millis;
  readonly deadlineAt: Millis;
  /** The deadline once a mailbox keeps it. */
  readonly storedDeadlineAt: Millis;
  /** All of it that the recipient has not received lies in that relay's mailbox, until then. */
  readonly stored: { readonly relay: PeerId; readonly until: Millis } | undefined;
  readonly body: Uint8Array;
}

/**
 * Everything kept about one peer. Fields without `readonly` may be set by the caller, who then calls
 * {@link SessionMaps.touch}; the others change through the methods of {@link SessionMaps}.
 */
export interface Counterparty {
  readonly peer: PeerId;
  /** Front first. Never changed in place: a change puts a new array here. */
  readonly sessions: readonly SessionRecord[];
  /** Ascending by stamp. Never changed in place. */
  readonly accepted: readonly AcceptedOffer[];
  readonly pending: PendingOffer | undefined;
  /** Offers of the peer with this stamp or a lower one are stale, unless remembered as accepted. */
  floor: Millis;
  /** The tag of the peer's store, as last heard. */
  theirTag: StoreTag | undefined;
  /** What the peer told of its floor for us: our next offer is stamped above it. */
  minStamp: Millis;
  /** Handled marks by epoch. Add, change and delete here, then call {@link SessionMaps.touchMarks}. */
  readonly epochs: Map<Epoch, HandledMarks>;
  /** What must not be taken for new. Never changed in place. */
  forgottenEpochs: readonly ForgottenEpoch[];
}

/** A record that was found unusable at start: left out, and removed from the store by the next commit. */
export interface DamagedRecord {
  /** Its key in the store, as found. */
  readonly key: string;
  /**
   * `checksum`: the bytes are not those that were written. `version`: written by a later version of this package.
   * `format`: the checksum holds, but the content makes no sense, or contradicts another record. `missing`: the
   * record must exist, and does not.
   */
  readonly reason: "checksum" | "version" | "format" | "missing";
}
