/**
 * The errors of this package. What happens every day (a mailbox that is full, mail that came twice) travels as a value; here
 * is what someone must be told. The README lists every code with its meaning and remedy.
 */
import { EgtpError } from "@egtp/wire";

const relayHints = {
  EGTP_RELAY_BAD_MESSAGE:
    "The other side does not keep to the relay protocol: drop the message and update the older of the two.",
} as const;

/** Every code a {@link RelayError} can carry. */
export type RelayErrorCode = keyof typeof relayHints;

/** Something about a relay, or what it said, keeps mail from being passed along. */
export class RelayError extends EgtpError {
  override readonly name: string = "RelayError";
  declare readonly code: RelayErrorCode;

  constructor(code: RelayErrorCode, message: string, options: { cause?: unknown } = {}) {
    super(code, message, { cause: options.cause, hint: relayHints[code] });
  }
}
