/**
 * The errors of this package. What happens every day (a peer that nobody knows, a record that was superseded) travels as a
 * value; here is what someone must be told. The README lists every code with its meaning and remedy.
 */
import { EgtpError, type PeerId } from "@egtp/wire";
import { metatrackerHints, pageHints } from "#hints";

/** Every code a {@link MetatrackerError} can carry. */
export type MetatrackerErrorCode = keyof typeof metatrackerHints;

/** Something about a metatracker, or what it said. */
export class MetatrackerError extends EgtpError {
  override readonly name: string = "MetatrackerError";
  declare readonly code: MetatrackerErrorCode;

  constructor(code: MetatrackerErrorCode, message: string, options: { cause?: unknown } = {}) {
    super(code, message, { cause: options.cause, hint: metatrackerHints[code] });
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
  EGTP_BOOT_PAGE_URL: "Not the address of a boot page",
  EGTP_BOOT_PAGE_UNREACHABLE: "No boot page can be had at",
  EGTP_BOOT_PAGE_TIMEOUT: "No whole boot page came in time from",
  EGTP_BOOT_PAGE_STATUS: "There is no boot page at",
  EGTP_BOOT_PAGE_REDIRECT: "Redirects are not followed without end, nor to where pages are not loaded from:",
  EGTP_BOOT_PAGE_TOO_LARGE: "What is not a boot page, being too large, lies at",
  EGTP_BOOT_PAGE_INVALID: "What is not a valid boot page lies at",
  EGTP_BOOT_PAGE_WRONG_PUBLISHER: "A boot page of another publisher lies at",
  EGTP_BOOT_PAGE_OLD: "A boot page older than the one that is known lies at",
} as const;

/** Every code a {@link BootPageError} can carry. */
export type BootPageErrorCode = keyof typeof pageTexts;

/** A boot page that was not taken. */
export class BootPageError extends EgtpError {
  override readonly name: string = "BootPageError";
  declare readonly code: BootPageErrorCode;
  readonly url: string;

  constructor(code: BootPageErrorCode, url: string, options: { detail?: string; cause?: unknown } = {}) {
    const sentence = pageTexts[code];
    const because = options.cause instanceof EgtpError ? options.cause.message : undefined;
    const detail = options.detail ?? because;
    super(code, `${sentence} ${url}${detail === undefined ? "" : `: ${detail}`}`, {
      cause: options.cause,
      hint: pageHints[code],
    });
    this.url = url;
  }
}
