/** What can go wrong around a transport. Links end with a reason, which is a value: see `LinkEnd`. */
import { EgtpError } from "@egtp/wire";
import { transportHints } from "#hints";

const texts = {
  EGTP_DIAL_REFUSED: "Nothing accepts connections at",
  EGTP_DIAL_TIMEOUT: "No answer in time from",
  EGTP_DIAL_ABORTED: "The signal gave up dialling",
  EGTP_DIAL_UNREACHABLE: "There is no route to",
  EGTP_DIAL_NAME_NOT_FOUND: "No address is known for the name in",
  EGTP_DIAL_FORBIDDEN: "Private addresses may be dialled only where that is allowed:",
  EGTP_DIAL_NO_WEBSOCKET: "No WebSocket is offered at",
  EGTP_DIAL_BAD_CERTIFICATE: "The certificate cannot be trusted that was shown at",
  EGTP_DIAL_FAILED: "Could not connect to",
  EGTP_ADDRESS_IN_USE: "Another program listens already at",
  EGTP_LISTEN_FAILED: "Could not listen at",
  EGTP_BAD_CERTIFICATE: "This certificate cannot be used, or not with this key:",
  EGTP_BAD_ADDRESS: "Not an address that can be used:",
  EGTP_MISSING_PART: "This package is not installed, or cannot be loaded:",
} as const;

/** Every code a {@link TransportError} can carry. The README says what each means. */
export type TransportErrorCode = keyof typeof texts;

/** No link came about, or no listener. */
export class TransportError extends EgtpError {
  override readonly name: string = "TransportError";
  declare readonly code: TransportErrorCode;
  /** The address in question. */
  readonly address: string;

  constructor(code: TransportErrorCode, address: string, options: { cause?: unknown } = {}) {
    super(code, `${texts[code]} ${address}`, { cause: options.cause, hint: transportHints[code] });
    this.address = address;
  }
}
