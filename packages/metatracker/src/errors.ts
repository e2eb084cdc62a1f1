/**
 * The errors of this package. What happens every day (a peer that nobody knows, a record that was superseded) travels as a
 * value; here is what someone must be told. The README lists every code with its meaning and remedy.
 */
import { EgtpError } from "@egtp/wire";

const hints = {
  EGTP_METATRACKER_BAD_MESSAGE:
    "The other side does not keep to the protocol: drop the message and update the older of the two.",
} as const;

/** Every code a {@link MetatrackerError} can carry. */
export type MetatrackerErrorCode = keyof typeof hints;

/** Something about a metatracker, or what it said. */
export class MetatrackerError extends EgtpError {
  override readonly name: string = "MetatrackerError";
  declare readonly code: MetatrackerErrorCode;

  constructor(code: MetatrackerErrorCode, message: string, options: { cause?: unknown } = {}) {
    super(code, message, { cause: options.cause, hint: hints[code] });
  }
}
