/**
 * The errors of this package. What happens every day (a peer that nobody knows, a record that was superseded) travels as a
 * value; here is what someone must be told. The README lists every code with its meaning and remedy.
 */
import { EgtpError, type PeerId } from "@egtp/wire";

const hints = {
  EGTP_METATRACKER_NONE_KNOWN:
    "Name a boot page that can be loaded, or a metatracker and where it is; see the cause for why pages failed.",
  EGTP_METATRACKER_NO_ANSWER: "Look at the reasons: each says why that metatracker did not answer.",
  EGTP_METATRACKER_REFUSED: "Look at the reasons. Expired or not yet valid: check the clock of this machine.",
  EGTP_METATRACKER_BAD_ANSWER: "Tell whoever runs it; the others are believed as far as what they say is signed.",
  EGTP_METATRACKER_BAD_MESSAGE:
    "The other side does not keep to the protocol: drop the message and update the older of the two.",
  EGTP_METATRACKER_TOO_FAST: "Ask less often; answers may be kept for a while. The rates are the metatracker's to set.",
  EGTP_METATRACKER_CLOSED: "Start the node first; make a new lookup for each node.",
  EGTP_DIRECTORY_CLOSED: "Open the store again to go on.",
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

/** What one metatracker had to say against it. */
export interface MetatrackerFailure {
  readonly metatracker: PeerId;
  readonly error: unknown;
}

/** None of the metatrackers that were asked could help. */
export class NoMetatrackerError extends MetatrackerError {
  override readonly name: string = "NoMetatrackerError";
  /** In the order asked. */
  readonly reasons: readonly MetatrackerFailure[];

  constructor(
    code: "EGTP_METATRACKER_NO_ANSWER" | "EGTP_METATRACKER_REFUSED",
    message: string,
    reasons: readonly MetatrackerFailure[],
  ) {
    const texts = reasons.map(
      ({ metatracker, error }) => `${metatracker}: ${error instanceof Error ? error.message : String(error)}`,
    );
    super(code, texts.length === 0 ? message : `${message}: ${texts.join("; ")}`);
    this.reasons = reasons;
  }
}

const pageTexts = {
  EGTP_BOOT_PAGE_URL: [
    "Not the address of a boot page",
    "It looks like https://example.org/boot.json#ID, where ID is its publisher's peer ID.",
  ],
  EGTP_BOOT_PAGE_UNREACHABLE: [
    "No boot page can be had at",
    "Check the address and this machine's network. See the cause.",
  ],
  EGTP_BOOT_PAGE_TIMEOUT: [
    "No whole boot page came in time from",
    "Try another boot page; it is tried again by itself.",
  ],
  EGTP_BOOT_PAGE_STATUS: [
    "There is no boot page at",
    "Check the address, and whether its publisher still serves it there.",
  ],
  EGTP_BOOT_PAGE_REDIRECT: [
    "Redirects are not followed without end, nor to where pages are not loaded from:",
    "Use the address that it leads to, or tell its publisher.",
  ],
  EGTP_BOOT_PAGE_TOO_LARGE: ["What is not a boot page, being too large, lies at", "Check the address."],
  EGTP_BOOT_PAGE_INVALID: [
    "What is not a valid boot page lies at",
    "Check the address, or tell its publisher. See the cause.",
  ],
  EGTP_BOOT_PAGE_WRONG_PUBLISHER: [
    "A boot page of another publisher lies at",
    "Somebody took its place, or it moved: ask its publisher for the present address, ID included.",
  ],
  EGTP_BOOT_PAGE_OLD: [
    "A boot page older than the one that is known lies at",
    "Its publisher should put the newest one there.",
  ],
} as const;

/** Every code a {@link BootPageError} can carry. */
export type BootPageErrorCode = keyof typeof pageTexts;

/** A boot page that was not taken. */
export class BootPageError extends EgtpError {
  override readonly name: string = "BootPageError";
  declare readonly code: BootPageErrorCode;
  readonly url: string;

  constructor(code: BootPageErrorCode, url: string, options: { detail?: string; cause?: unknown } = {}) {
    const [sentence, hint] = pageTexts[code];
    const because = options.cause instanceof EgtpError ? options.cause.message : undefined;
    const detail = options.detail ?? because;
    super(code, `${sentence} ${url}${detail === undefined ? "" : `: ${detail}`}`, { cause: options.cause, hint });
    this.url = url;
  }
}
