/** The public names of @egtp/relay/server. */
export {
  defaultMailboxLimits,
  defaultRelayServerLimits,
  type MailboxLimits,
  type Rate,
  type RelayServerLimits,
  type SenderRate,
  type SharedStoreLimits,
} from "./limits.ts";
export type {
  FollowedMail,
  ListedMail,
  LoggedMail,
  LoggedRecord,
  MailFacts,
  MailLog,
  ReadRoom,
} from "./mail-log.ts";
export type {
  Acknowledged,
  CollectRoom,
  Deposit,
  Deposited,
  MailboxCounts,
  MailboxState,
  MailboxStore,
  MaybePromise,
  OwnerRun,
  Registering,
  StoredMail,
} from "./mailbox-store.ts";
export { MemoryMailboxStore, type MemoryStoreOptions } from "./memory-store.ts";
export {
  type RelayAccess,
  type RelayServer,
  type RelayServerOptions,
  type RelayStats,
  relayServer,
} from "./relay-server.ts";
export { SharedMailboxStore, type SharedStoreOptions, type SharedStoreSeams } from "./shared-store.ts";
