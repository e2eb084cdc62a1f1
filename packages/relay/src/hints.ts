/**
 * What the reader of an error can do about it, by its code. What a bundler builds for the users of a page (the condition
 * `production`, without `node`) gets `no-hints.ts` in its place: these are for whoever writes the program.
 */
export const relayHints = {
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

export const refusalHints = {
  unregistered: "The recipient uses other relays by now: look it up again, or wait until it makes contact.",
  "mailbox-full": "Send again when the recipient has collected its mail.",
  "sender-quota": "Send again when the recipient has collected its mail.",
  "too-large": "Use a relay with a higher limit.",
  "not-allowed": "The relay serves only peers on its list: ask its operator.",
  "too-fast": "Send more slowly; the relay limits what each sender passes along.",
  "store-failed": "The relay's disk fails or is full: tell its operator, and use another relay.",
} as const;
