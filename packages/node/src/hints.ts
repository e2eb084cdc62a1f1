/**
 * What the reader of an error can do about it, by its code. What a bundler builds for the users of a page (the condition
 * `production`, without `node`) gets `no-hints.ts` in its place: these are for whoever writes the program.
 */
import type { RejectReason } from "./delivery/outcome.ts";

export const nodeHints = {
  EGTP_UNREACHABLE:
    "Look at the reasons: each says what was tried and what would help. With failFast: false it is tried again until the deadline.",
  EGTP_TIMEOUT: "Raise timeoutMs, and check that the peer runs and handles this type.",
  EGTP_ABORTED: "The caller asked for it. What had left already may still be handled.",
  EGTP_NODE_NOT_STARTED: "Await start() first.",
  EGTP_NODE_STOPPED: "Make a new node with the same identity and session store.",
  EGTP_DUPLICATE_HANDLER: "Call what handle() returned to take the first one away, or use another name.",
  EGTP_OUTBOX_FULL: "Await ready(peer) before each send, or send no faster than the peer handles.",
} as const;

export const rejectHints: Readonly<Record<RejectReason, string>> = {
  quota: "The peer keeps no more for this sender now: send more slowly.",
  "too-large": "Send it in smaller pieces, or raise maxMessageBytes at the peer.",
  "not-accepted": "The peer's schema refuses the body, or the peer takes this type only under an established session.",
  "handler-failed": "The peer's handler threw: see the events there.",
  "not-placed": "The peer cannot tell whether it handled this message before. If it may be done twice, send it anew.",
  "reply-lost":
    "The peer handled the request, then restarted before its reply arrived. Ask again if it may be done twice.",
  unknown: "The peer gave a reason that this version does not know: update the older side.",
};

export const routeHints = {
  EGTP_NO_CONTACT_RECORD: "Give the node a lookup, hand it a record with learn(), or an address with introduce().",
  EGTP_NO_STRATEGIES:
    "The peer accepts no connections and has no relay: wait until it makes contact, or give it a relay.",
  EGTP_PEER_GONE: "It does not expect to be reached any more.",
  EGTP_NO_TRANSPORT: "Add a transport of that kind to the node.",
  EGTP_LOOKUP_FAILED: "See the cause.",
  EGTP_WRONG_PEER: "The address is out of date, or belongs to someone else: look the peer up again.",
  EGTP_NO_ANSWER: "The peer may be overloaded, or someone else listens at that address.",
  EGTP_NOT_IN_TIME:
    "Dials were still under way, or much was waiting before it: raise timeoutMs, or await ready() before each send.",
  EGTP_RECORD_CONTESTED: "Run one node for each identity.",
  EGTP_SUPERSEDED: "Run one process for each identity. It is tried again after a minute, in case that one ended.",
  EGTP_NODE_STOPPING: "Make a new node with the same identity.",
} as const;

export const deliveryHints = {
  EGTP_OUTBOX_FULL: "Wait until there is room, or send less at a time.",
  EGTP_MESSAGE_TOO_LARGE: "Send it as several messages, or raise maxMessageBytes on both sides.",
  EGTP_DELIVERY_CLOSED: "Start the node anew.",
} as const;

export const transportHints = {
  EGTP_DIAL_REFUSED: "Check that the peer runs and that the address is its current one.",
  EGTP_DIAL_TIMEOUT: "A firewall may be in the way; try another strategy or raise limits.dialMs.",
  EGTP_DIAL_ABORTED: "The caller asked for it.",
  EGTP_DIAL_UNREACHABLE: "Check this machine's network, and whether it has IPv6 when the address has.",
  EGTP_DIAL_NAME_NOT_FOUND: "Check the spelling and this machine's name service.",
  EGTP_DIAL_FORBIDDEN: "Private, loopback and link-local addresses are dialled only when the node is configured to.",
  EGTP_DIAL_NO_WEBSOCKET: "Check the URL, its scheme and path included, and the reverse proxy if there is one.",
  EGTP_DIAL_BAD_CERTIFICATE:
    "It must be valid now and for the name in the URL; for an authority of your own, give its certificate as ca.",
  EGTP_DIAL_FAILED: "See the cause.",
  EGTP_ADDRESS_IN_USE: "Choose another port, or port 0 for a free one.",
  EGTP_LISTEN_FAILED: "Ports below 1024 need privileges, and a host must be one of this machine's.",
  EGTP_BAD_CERTIFICATE:
    "Both are PEM; the certificate comes first when a chain follows it, and the key is its own, without a passphrase.",
  EGTP_BAD_ADDRESS:
    "It takes a host name or IP address and a port from 1 to 65535; or a ws: or wss: URL without user and fragment.",
  EGTP_MISSING_PART: "npm install ws@^8.23.0",
} as const;
