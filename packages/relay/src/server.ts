/** The public names of @egtp/relay/server. */
export {
  defaultMailboxLimits,
  defaultRelayServerLimits,
  type MailboxLimits,
  type Rate,
  type RelayServerLimits,
  type SenderRate,
} from "./limits.ts";
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
