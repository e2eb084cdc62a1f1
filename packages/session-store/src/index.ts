export * from "./errors.ts";
export { defaultStoreLimits, maxStoreKeyLength, type StoreLimits } from "./limits.ts";
export { forgetfulSessionStore, MemorySessionStore } from "./memory-store.ts";
export type {
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
export {
  type FoundOffer,
  type FoundPending,
  type FoundSession,
  SessionMaps,
  type SessionMapsOptions,
} from "./session-maps.ts";
export type { SessionStore, StoreEntry } from "./session-store.ts";
