/**
 * The errors of this package. What happens every day (a mailbox that is full, mail that came twice) travels as a value; here
 * is what someone must be told. The README lists every code with its meaning and remedy.
 */
import { EgtpError, type PeerId } from "@egtp/wire";
import type { Refusal } from "./protocol.ts";

const relayHints = {
  EGTP_RELAY_BAD_MESSAGE:
    "The other side does not keep to the relay protocol: drop the message and update the older of the two.",
  EGTP_RELAY_UNREACHABLE:
    "See the cause. Another relay of the recipient is tried; check that this one runs and that its contact record is known.",
  EGTP_RELAY_LOST: "What it had not answered for is sent again, by another relay of the recipient if there is one.",
  EGTP_RELAY_RECURSION: "Give the relay an address of its own: nothing travels to a relay by way of a relay.",
  EGTP_RELAY_TOO_SMALL: "Raise the relay's limit for envelopes, or use another relay.",
  EGTP_RELAY_NOT_RUNNING: "Start the node that the relay client is a part of.",
  EGTP_RELAY_NOT_OURS: "Only relays with which we are registered hand mail over. Nothing needs to be done.",
  EGTP_RELAY_SUPERSEDED: "Run one process for each identity. Stop the other one, then start this one again.",
  EGTP_RELAY_NOT_LISTED: "The relay keeps mail only for peers on its list: ask its operator, or use another relay.",
  EGTP_RELAY_FULL: "The relay has no room for another mailbox: use another one.",
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

const refusalTexts = {
  unregistered: [
    "EGTP_RELAY_UNREGISTERED",
    "keeps no mail for",
    "The recipient uses other relays by now: look it up again, or wait until it makes contact.",
  ],
  "mailbox-full": [
    "EGTP_RELAY_MAILBOX_FULL",
    "has no more room in the mailbox of",
    "Send again when the recipient has collected its mail.",
  ],
  "sender-quota": [
    "EGTP_RELAY_SENDER_QUOTA",
    "keeps no more mail of ours for",
    "Send again when the recipient has collected its mail.",
  ],
  "too-large": ["EGTP_RELAY_TOO_LARGE", "takes no envelope of this size for", "Use a relay with a higher limit."],
  "not-allowed": [
    "EGTP_RELAY_NOT_ALLOWED",
    "does not let us pass along to",
    "The relay serves only peers on its list: ask its operator.",
  ],
  "too-fast": [
    "EGTP_RELAY_TOO_FAST",
    "takes no more at this rate, for",
    "Send more slowly; the relay limits what each sender passes along.",
  ],
  "store-failed": [
    "EGTP_RELAY_STORE_FAILED",
    "could not write down the mail for",
    "The relay's disk fails or is full: tell its operator, and use another relay.",
  ],
} as const satisfies Record<Refusal, readonly [code: string, sentence: string, hint: string]>;

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
    const [code, sentence, hint] = refusalTexts[refusal];
    super(code, `The relay ${relay} ${sentence} ${recipient}`, { hint });
    this.relay = relay;
    this.recipient = recipient;
    this.refusal = refusal;
  }
}
