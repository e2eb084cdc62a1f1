/** What can go wrong around a transport. Links end with a reason, which is a value: see `LinkEnd`. */
import { EgtpError } from "@egtp/wire";

const texts = {
  EGTP_DIAL_REFUSED: [
    "Nothing accepts connections at",
    "Check that the peer runs and that the address is its current one.",
  ],
  EGTP_DIAL_TIMEOUT: [
    "No answer in time from",
    "A firewall may be in the way; try another strategy or raise limits.dialMs.",
  ],
  EGTP_DIAL_ABORTED: ["The signal gave up dialling", "The caller asked for it."],
  EGTP_DIAL_UNREACHABLE: [
    "There is no route to",
    "Check this machine's network, and whether it has IPv6 when the address has.",
  ],
  EGTP_DIAL_NAME_NOT_FOUND: [
    "No address is known for the name in",
    "Check the spelling and this machine's name service.",
  ],
  EGTP_DIAL_FORBIDDEN: [
    "Addresses like this one may not be dialled:",
    "Private, loopback and link-local addresses are dialled only when the node is configured to.",
  ],
  EGTP_DIAL_NO_WEBSOCKET: [
    "No WebSocket is offered at",
    "Check the URL, its scheme and path included, and the reverse proxy if there is one.",
  ],
  EGTP_DIAL_BAD_CERTIFICATE: [
    "The certificate cannot be trusted that was shown at",
    "It must be valid now and for the name in the URL; for an authority of your own, give its certificate as ca.",
  ],
  EGTP_DIAL_FAILED: ["Could not connect to", "See the cause."],
  EGTP_ADDRESS_IN_USE: ["Another program listens already at", "Choose another port, or port 0 for a free one."],
  EGTP_LISTEN_FAILED: [
    "Could not listen at",
    "Ports below 1024 need privileges, and a host must be one of this machine's.",
  ],
  EGTP_BAD_CERTIFICATE: [
    "This certificate cannot be used, or not with this key:",
    "Both are PEM; the certificate comes first when a chain follows it, and the key is its own, without a passphrase.",
  ],
  EGTP_BAD_ADDRESS: [
    "Not an address that can be used:",
    "It takes a host name or IP address and a port from 1 to 65535; or a ws: or wss: URL without user and fragment.",
  ],
  EGTP_MISSING_PART: ["This package is not installed, or cannot be loaded:", "npm install ws@^8.23.0"],
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
    const [sentence, hint] = texts[code];
    super(code, `${sentence} ${address}`, { cause: options.cause, hint });
    this.address = address;
  }
}
