/** The public names of @egtp/node. */
export { createIdentity, type Identity, identityFromSeed } from "@egtp/mesgen";
export {
  defineMessage,
  EgtpError,
  isPeerId,
  type MessageType,
  type MessageTypeOptions,
  type PeerId,
  parsePeerId,
  SchemaError,
  type Strategy,
  WireError,
} from "@egtp/wire";
export { isRoutableAddress } from "./address.ts";
export { type AdmissionRates, type BucketRate, defaultAdmissionRates, TokenBucket } from "./admission.ts";
export type {
  EgtpNode,
  Handler,
  LinkState,
  LookUpRequest,
  NodeStats,
  ReadyOptions,
  ReceivedMessage,
  RequestOptions,
  SendOptions,
  SendOutcome,
  SessionState,
  StopOptions,
} from "./api.ts";
export type { MessageId, RejectReason, StrategyFailure } from "./delivery.ts";
export { type DeliveryLimits, defaultDeliveryLimits, MessageTooLargeError, OutboxFullError } from "./delivery.ts";
export {
  AbortedError,
  BacklogFullError,
  DuplicateHandlerError,
  NodeStoppedError,
  RejectedError,
  RouteError,
  type RouteErrorCode,
  TimeoutError,
  UnreachableError,
} from "./errors.ts";
export type { EventOptions, NodeEvent, NodeEventKind } from "./events.ts";
export { defaultNodeLimits, type NodeLimits } from "./limits.ts";
export { type DiscoverOptions, type LookUpOptions, type Lookup, LookupError, MemoryLookup } from "./lookup.ts";
export { createNode } from "./node.ts";
export type { NodeOptions, NodeOptionsLimits, NodePart } from "./options.ts";
export { type NodeSchedule, systemSchedule } from "./schedule.ts";
export {
  type DialOptions,
  type EnvelopeFate,
  type Link,
  type LinkEnd,
  type LinkEndReason,
  type LinkHandlers,
  noRefusals,
  type RefusalReason,
  type Served,
  type ServedIdentity,
  type TakeMail,
  type Transport,
} from "./transport.ts";
export { TransportError, type TransportErrorCode } from "./transport-error.ts";
