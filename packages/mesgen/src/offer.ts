/**
 * The two halves of a handshake as they travel: what an offer and an acceptance carry beside the Noise messages, and how a
 * record of the one that is pending is made. Which offer is fresh and what follows from it is decided in mesgen.ts.
 *
 *     offer       Noise KK message 1, payload: stamp 8 | maker's store tag 8 | known tag of the recipient's store 8 | maker's epoch 8
 *     acceptance  offer ID 16 | Noise KK message 2, payload: responder's store tag 8 | responder's epoch 8
 *
 * @see docs/spec.md, "Handshake"
 */

import type { PendingOffer } from "@egtp/session-store";
import {
  acceptanceBytes,
  type Epoch,
  epochBytes,
  fromHex,
  type Millis,
  type OfferId,
  type SessionId,
  type StoreTag,
  sessionIdBytes,
  storeTagBytes,
  toHex,
} from "@egtp/wire";
import type { CryptoProvider, DhKeyPair } from "./crypto.ts";
import { type OfferRead, readAcceptance, readOffer, writeAcceptance, writeOffer } from "./noise.ts";

/** The tag of a store that the maker of an offer does not know. */
export const noTag = "0000000000000000" as StoreTag;

const offerPayloadBytes = 8 + 2 * storeTagBytes + epochBytes;
const acceptancePayloadBytes = storeTagBytes + epochBytes;
const prologueLabel = new TextEncoder().encode("egtp 1\0");

/** The static keys of a handshake, from our side. */
export interface Statics {
  readonly ours: DhKeyPair;
  readonly ourId: Uint8Array;
  readonly theirs: Uint8Array;
  readonly theirId: Uint8Array;
}

export interface OfferTerms {
  readonly stamp: Millis;
  readonly makerTag: StoreTag;
  /** The tag by which the maker knows the recipient's store, or {@link noTag}. */
  readonly recipientTag: StoreTag;
  readonly makerEpoch: Epoch;
}

export interface CreatedOffer {
  readonly pending: PendingOffer;
  /** The key pair of `pending.ephemeralSecret`, ready for use. */
  readonly ephemeral: DhKeyPair;
  /** The key for envelopes that leave before the offer is accepted. */
  readonly earlyKey: Uint8Array;
}

export function createOffer(
  crypto: CryptoProvider,
  statics: Statics,
  terms: OfferTerms,
  life: { readonly createdAt: Millis; readonly expiresAt: Millis },
): CreatedOffer {
  const ephemeral = crypto.generateDhKeyPair();
  const payload = new Uint8Array(offerPayloadBytes);
  writeStamp(payload, 0, terms.stamp);
  payload.set(fromHex(terms.makerTag), 8);
  payload.set(fromHex(terms.recipientTag), 8 + storeTagBytes);
  payload.set(fromHex(terms.makerEpoch), 8 + 2 * storeTagBytes);
  const written = writeOffer(crypto, {
    prologue: prologue(statics.ourId, statics.theirId),
    ourStatic: statics.ours,
    theirStatic: statics.theirs,
    ephemeral,
    payload,
  });
  return {
    pending: {
      id: offerIdOf(written.hash),
      message: written.message,
      ephemeralSecret: ephemeral.secret,
      chainingKey: written.chainingKey,
      hash: written.hash,
      stamp: terms.stamp,
      ...life,
    },
    ephemeral,
    earlyKey: written.earlyKey,
  };
}

/** An offer that reads as made by the named peer for us. Nothing has been decided about it yet. */
export interface ReadOffer extends OfferTerms {
  readonly id: OfferId;
  readonly earlyKey: Uint8Array;
  readonly state: OfferRead;
}

/** @returns `null` when it was not made by this peer for us. */
export function consumeOffer(crypto: CryptoProvider, statics: Statics, message: Uint8Array): ReadOffer | null {
  const state = readOffer(crypto, {
    prologue: prologue(statics.theirId, statics.ourId),
    ourStatic: statics.ours,
    theirStatic: statics.theirs,
    message,
  });
  if (state === null || state.payload.length !== offerPayloadBytes) return null;
  const { payload } = state;
  return {
    id: offerIdOf(state.hash),
    stamp: readStamp(payload, 0),
    makerTag: toHex(payload.subarray(8, 16)) as StoreTag,
    recipientTag: toHex(payload.subarray(16, 24)) as StoreTag,
    makerEpoch: toHex(payload.subarray(24, 32)) as Epoch,
    earlyKey: state.earlyKey,
    state,
  };
}

export interface CreatedAcceptance {
  /** Offer ID and Noise message 2, the acceptance field of an envelope. */
  readonly field: Uint8Array;
  readonly sessionId: SessionId;
  readonly sendKey: Uint8Array;
  readonly receiveKey: Uint8Array;
}

export function createAcceptance(
  crypto: CryptoProvider,
  statics: Statics,
  offer: ReadOffer,
  ours: { readonly tag: StoreTag; readonly epoch: Epoch },
): CreatedAcceptance {
  const payload = new Uint8Array(acceptancePayloadBytes);
  payload.set(fromHex(ours.tag), 0);
  payload.set(fromHex(ours.epoch), storeTagBytes);
  const written = writeAcceptance(crypto, {
    offer: offer.state,
    ourStatic: statics.ours,
    theirStatic: statics.theirs,
    ephemeral: crypto.generateDhKeyPair(),
    payload,
  });
  const field = new Uint8Array(acceptanceBytes);
  field.set(fromHex(offer.id), 0);
  field.set(written.message, sessionIdBytes);
  return {
    field,
    sessionId: sessionIdOf(written.hash),
    sendKey: written.responderKey,
    receiveKey: written.initiatorKey,
  };
}

export interface ConsumedAcceptance {
  readonly sessionId: SessionId;
  readonly tag: StoreTag;
  readonly epoch: Epoch;
  readonly sendKey: Uint8Array;
  readonly receiveKey: Uint8Array;
}

/**
 * @param ephemeral - The key pair of the pending offer, if it is at hand.
 * @returns `null` when the pending offer was not accepted by these bytes. The pending offer stays as it is.
 */
export function consumeAcceptance(
  crypto: CryptoProvider,
  ours: DhKeyPair,
  pending: PendingOffer,
  ephemeral: DhKeyPair | undefined,
  field: Uint8Array,
): ConsumedAcceptance | null {
  const read = readAcceptance(crypto, {
    chainingKey: pending.chainingKey,
    hash: pending.hash,
    ourStatic: ours,
    ephemeral: ephemeral ?? crypto.dhKeyPairFromSecret(pending.ephemeralSecret),
    message: field.subarray(sessionIdBytes),
  });
  if (read === null || read.payload.length !== acceptancePayloadBytes) return null;
  return {
    sessionId: sessionIdOf(read.hash),
    tag: toHex(read.payload.subarray(0, storeTagBytes)) as StoreTag,
    epoch: toHex(read.payload.subarray(storeTagBytes)) as Epoch,
    sendKey: read.initiatorKey,
    receiveKey: read.responderKey,
  };
}

/** The offer that an acceptance answers. */
export function offerIdOfAcceptance(field: Uint8Array): OfferId {
  return toHex(field.subarray(0, sessionIdBytes)) as OfferId;
}

function prologue(initiator: Uint8Array, responder: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(prologueLabel.length + initiator.length + responder.length);
  bytes.set(prologueLabel, 0);
  bytes.set(initiator, prologueLabel.length);
  bytes.set(responder, prologueLabel.length + initiator.length);
  return bytes;
}

function offerIdOf(hash: Uint8Array): OfferId {
  return toHex(hash.subarray(0, sessionIdBytes)) as OfferId;
}

function sessionIdOf(hash: Uint8Array): SessionId {
  return toHex(hash.subarray(0, sessionIdBytes)) as SessionId;
}

function writeStamp(into: Uint8Array, at: number, stamp: Millis): void {
  new DataView(into.buffer, into.byteOffset).setBigUint64(at, BigInt(stamp));
}

function readStamp(from: Uint8Array, at: number): Millis {
  return Number(new DataView(from.buffer, from.byteOffset).getBigUint64(at));
}
