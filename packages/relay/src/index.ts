/** The public names of @egtp/relay. */
export { RelayError, type RelayErrorCode } from "./errors.ts";
export type { PublishedLimits, Refusal } from "./protocol.ts";
