/**
 * The errors of this package. What happens every day (a mailbox that is full, mail that came twice) travels as a value; here
 * is what someone must be told. The README lists every code with its meaning and remedy.
 */
import { EgtpError, type PeerId } from "@egtp/wire";
import { refusalHints, relayHints } from "#hints";
import type { Refusal } from "./protocol.ts";

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

const refusalTexts = {
  unregistered: ["EGTP_RELAY_UNREGISTERED", "keeps no mail for"],
  "mailbox-full": ["EGTP_RELAY_MAILBOX_FULL", "has no more room in the mailbox of"],
  "sender-quota": ["EGTP_RELAY_SENDER_QUOTA", "keeps no more mail of ours for"],
  "too-large": ["EGTP_RELAY_TOO_LARGE", "takes no envelope of this size for"],
  "not-allowed": ["EGTP_RELAY_NOT_ALLOWED", "does not let us pass along to"],
  "too-fast": ["EGTP_RELAY_TOO_FAST", "takes no more at this rate, for"],
  "store-failed": ["EGTP_RELAY_STORE_FAILED", "could not write down the mail for"],
} as const satisfies Record<Refusal, readonly [code: string, sentence: string]>;

/** Every code a {@link RelayRefusedError} can carry. */
export type RelayRefusedErrorCode = (typeof refusalTexts)[Refusal][0];

/** A relay was reached, and did not take an envelope. */
export class RelayRefusedError extends EgtpError {
  override readonly name: string = "RelayRefusedError";
  declare readonly code: RelayRefusedErrorCode;
  readonly relay: PeerId;
  readonly recipient: PeerId;
  readonly refusal: Refusal;

  constructor(relay: PeerId, recipient: PeerId, refusal: Refusal) {
    const [code, sentence] = refusalTexts[refusal];
    super(code, `The relay ${relay} ${sentence} ${recipient}`, { hint: refusalHints[refusal] });
    this.relay = relay;
    this.recipient = recipient;
    this.refusal = refusal;
  }
}
