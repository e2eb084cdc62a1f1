/** Records for tests, each different from the next and the same in every run. */
import {
  type Epoch,
  type OfferId,
  type PeerId,
  peerIdFromTrustedBytes,
  type SessionId,
  type StoreTag,
} from "@egtp/wire";
import {
  type AcceptedOffer,
  type HandledMarks,
  type KeptMessage,
  MemorySessionStore,
  type PendingOffer,
  SessionMaps,
  type SessionMapsOptions,
  type SessionRecord,
  type SessionStore,
} from "../src/index.ts";

export const start = 1_700_000_000_000;

export function peer(n: number): PeerId {
  const key = new Uint8Array(32);
  new DataView(key.buffer).setUint32(0, n);
  return peerIdFromTrustedBytes(key);
}

const hex = (n: number, byteCount: number) => n.toString(16).padStart(byteCount * 2, "0");
export const sessionId = (n: number) => hex(n, 16) as SessionId;
export const offerId = (n: number) => hex(n, 16) as OfferId;
export const epoch = (n: number) => hex(n, 8) as Epoch;
export const tag = (n: number) => hex(n, 8) as StoreTag;
export const bytes = (length: number, n: number) => Uint8Array.from({ length }, (_, i) => n + i);

export function session(n: number, fields: Partial<SessionRecord> = {}): SessionRecord {
  return {
    id: sessionId(n),
    offerId: offerId(n),
    role: n % 2 === 0 ? "initiator" : "responder",
    receiveKey: bytes(32, n),
    theirEpoch: epoch(n),
    stamp: start + n,
    createdAt: start + n + 1,
    counterLimit: 1024,
    ...fields,
  };
}

export function accepted(n: number, fields: Partial<AcceptedOffer> = {}): AcceptedOffer {
  return {
    offerId: offerId(n),
    sessionId: sessionId(n),
    stamp: start + n,
    earlyKey: n % 3 === 0 ? undefined : bytes(32, n),
    theirEpoch: epoch(n),
    acceptedAt: start + n + 1,
    counterLimit: 64,
    earlyFloor: n % 5,
    ...fields,
  };
}

export function pending(n: number): PendingOffer {
  return {
    id: offerId(n),
    message: bytes(80, n),
    ephemeralSecret: bytes(32, n + 1),
    chainingKey: bytes(64, n + 2),
    hash: bytes(64, n + 3),
    stamp: start + n,
    createdAt: start + n,
    expiresAt: start + n + 1000,
  };
}

export function marks(n: number, fields: Partial<HandledMarks> = {}): HandledMarks {
  return { epoch: epoch(n), base: n, ranges: [n + 2, n + 5, n + 9, n + 10], usedAt: start + n, ...fields };
}

export function message(n: number, fields: Partial<KeptMessage> = {}): KeptMessage {
  return {
    peer: peer(n),
    epoch: epoch(n),
    number: n,
    type: `demo/${n}`,
    typeNumber: n % 5,
    established: n % 2 === 0,
    sentAt: start + n,
    deadlineAt: start + n + 60_000,
    storedDeadlineAt: start + n + 600_000,
    stored: n % 3 === 0 ? { relay: peer(n + 1), until: start + 900_000 } : undefined,
    body: bytes(n, n),
    ...fields,
  };
}

let tagsGiven = 0;

function nextTag(byteCount: number): Uint8Array {
  const made = new Uint8Array(byteCount);
  new DataView(made.buffer).setUint32(0, ++tagsGiven);
  return made;
}

/** Maps with a new tag each time they are born. */
export function openMaps(
  store: SessionStore = new MemorySessionStore(),
  options: Partial<SessionMapsOptions> = {},
): SessionMaps {
  return SessionMaps.open(store, { now: start, random: nextTag, ...options });
}

/** All that can be seen of the maps, to compare one run with the next. */
export function contentOf(maps: SessionMaps) {
  return {
    tag: maps.tag,
    bornAt: maps.bornAt,
    bornWithIdentity: maps.bornWithIdentity,
    lastStamp: maps.lastStamp,
    counterparties: [...maps.counterparties()]
      .map(({ peer, sessions, accepted, pending, floor, theirTag, minStamp, epochs, forgottenEpochs }) => ({
        peer,
        sessions,
        accepted,
        pending,
        floor,
        theirTag,
        minStamp,
        forgottenEpochs,
        epochs: [...epochs].sort(([a], [b]) => (a < b ? -1 : 1)),
      }))
      .sort((a, b) => (a.peer < b.peer ? -1 : 1)),
  };
}
