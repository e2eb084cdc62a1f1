/** The public names of @egtp/relay. */
export {
  type RelayClient,
  type RelayClientOptions,
  type RelayClientStats,
  type RelayState,
  relayClient,
} from "./client.ts";
export type { PassAlongCounts } from "./client-hop.ts";
export type { MailCounts } from "./client-intake.ts";
export { defaultRelayClientLimits, type RelayClientLimits } from "./client-limits.ts";
export type { RegistrationState } from "./client-registration.ts";
export { RelayError, type RelayErrorCode, RelayRefusedError, type RelayRefusedErrorCode } from "./errors.ts";
export type { PublishedLimits, Refusal } from "./protocol.ts";
