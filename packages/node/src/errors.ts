/**
 * What a node throws, or hands over as a reason. Errors of the layers below (`WireError`, `SchemaError`, `TransportError`,
 * `OutboxFullError`, `MessageTooLargeError`, `StoreError`) pass through unchanged.
 */
import { EgtpError, type Millis, type PeerId } from "@egtp/wire";
import type { RejectReason, StrategyFailure } from "./delivery/outcome.ts";

/** Nothing could leave this machine for the peer. */
export class UnreachableError extends EgtpError {
  override readonly name: string = "UnreachableError";
  declare readonly code: "EGTP_UNREACHABLE";
  readonly peer: PeerId;
  /** What was tried and why it failed, in the order tried. */
  readonly reasons: readonly StrategyFailure[];

  constructor(peer: PeerId, reasons: readonly StrategyFailure[]) {
    super("EGTP_UNREACHABLE", `${peer} cannot be reached: ${reasonsText(reasons)}`, {
      hint: "Look at the reasons: each says what was tried and what would help. With failFast: false it is tried again until the deadline.",
    });
    this.peer = peer;
    this.reasons = reasons;
  }
}

/** No reply came within the hard timeout. The request may have been handled. */
export class TimeoutError extends EgtpError {
  override readonly name: string = "TimeoutError";
  declare readonly code: "EGTP_TIMEOUT";
  readonly peer: PeerId;
  readonly typeName: string;
  /** Strategies that failed meanwhile, if any did. */
  readonly reasons: readonly StrategyFailure[];

  constructor(peer: PeerId, typeName: string, timeoutMs: Millis, reasons: readonly StrategyFailure[]) {
    const also = reasons.length === 0 ? "" : `; meanwhile failed: ${reasonsText(reasons)}`;
    super("EGTP_TIMEOUT", `${peer} did not reply to "${typeName}" within ${timeoutMs} ms${also}`, {
      hint: "Raise timeoutMs, and check that the peer runs and handles this type.",
    });
    this.peer = peer;
    this.typeName = typeName;
    this.reasons = reasons;
  }
}

/** The caller's signal gave it up. What had left already may still be handled. */
export class AbortedError extends EgtpError {
  override readonly name: string = "AbortedError";
  declare readonly code: "EGTP_ABORTED";

  constructor(reason: unknown) {
    super("EGTP_ABORTED", "The caller's signal gave it up", {
      cause: reason,
      hint: "The caller asked for it. What had left already may still be handled.",
    });
  }
}

const rejectHints: Readonly<Record<RejectReason, string>> = {
  quota: "The peer keeps no more for this sender now: send more slowly.",
  "too-large": "Send it in smaller pieces, or raise maxMessageBytes at the peer.",
  "not-accepted": "The peer's schema refuses the body, or the peer takes this type only under an established session.",
  "handler-failed": "The peer's handler threw: see the events there.",
  "not-placed": "The peer cannot tell whether it handled this message before. If it may be done twice, send it anew.",
  "reply-lost":
    "The peer handled the request, then restarted before its reply arrived. Ask again if it may be done twice.",
  unknown: "The peer gave a reason that this version does not know: update the older side.",
};

/** The peer would not, or could not, handle the message. */
export class RejectedError extends EgtpError {
  override readonly name: string = "RejectedError";
  declare readonly code: "EGTP_REJECTED";
  readonly peer: PeerId;
  readonly typeName: string;
  readonly reason: RejectReason;

  constructor(peer: PeerId, typeName: string, reason: RejectReason) {
    super("EGTP_REJECTED", `${peer} rejected "${typeName}": ${reason}`, { hint: rejectHints[reason] });
    this.peer = peer;
    this.typeName = typeName;
    this.reason = reason;
  }
}

/** The node is not running. */
export class NodeStoppedError extends EgtpError {
  override readonly name: string = "NodeStoppedError";
  declare readonly code: "EGTP_NODE_STOPPED" | "EGTP_NODE_NOT_STARTED";

  constructor(state: "new" | "stopped") {
    if (state === "new") {
      super("EGTP_NODE_NOT_STARTED", "The node was not started", { hint: "Await start() first." });
    } else {
      super("EGTP_NODE_STOPPED", "The node was stopped", {
        hint: "Make a new node with the same identity and session store.",
      });
    }
  }
}

/** A message type has one handler. */
export class DuplicateHandlerError extends EgtpError {
  override readonly name: string = "DuplicateHandlerError";
  declare readonly code: "EGTP_DUPLICATE_HANDLER";
  readonly typeName: string;

  constructor(typeName: string) {
    super("EGTP_DUPLICATE_HANDLER", `There is a handler for "${typeName}" already`, {
      hint: "Call what handle() returned to take the first one away, or use another name.",
    });
    this.typeName = typeName;
  }
}

/** More sends wait for room in the outbox than may wait. */
export class BacklogFullError extends EgtpError {
  override readonly name: string = "BacklogFullError";
  declare readonly code: "EGTP_OUTBOX_FULL";
  readonly peer: PeerId;

  constructor(peer: PeerId, waiting: number) {
    super("EGTP_OUTBOX_FULL", `The outbox for ${peer} is full and ${waiting} messages wait for room in it`, {
      hint: "Await ready(peer) before each send, or send no faster than the peer handles.",
    });
    this.peer = peer;
  }
}

const routeTexts = {
  EGTP_NO_CONTACT_RECORD: [
    "No contact record of the peer is known",
    "Give the node a lookup, hand it a record with learn(), or an address with introduce().",
  ],
  EGTP_NO_STRATEGIES: [
    "The peer's contact record says no way to reach it",
    "The peer accepts no connections and has no relay: wait until it makes contact, or give it a relay.",
  ],
  EGTP_PEER_GONE: ["The peer said goodbye in its newest contact record", "It does not expect to be reached any more."],
  EGTP_NO_TRANSPORT: ["No transport of this node can dial this", "Add a transport of that kind to the node."],
  EGTP_LOOKUP_FAILED: ["The lookup of the peer's contact record failed", "See the cause."],
  EGTP_WRONG_PEER: [
    "Whoever listens there closed the link without an authentic word, so it is hardly the peer",
    "The address is out of date, or belongs to someone else: look the peer up again.",
  ],
  EGTP_NO_ANSWER: [
    "The link came about, but nothing authentic came back in time",
    "The peer may be overloaded, or someone else listens at that address.",
  ],
  EGTP_NOT_IN_TIME: [
    "Its deadline passed before it could leave",
    "Dials were still under way, or much was waiting before it: raise timeoutMs, or await ready() before each send.",
  ],
  EGTP_RECORD_CONTESTED: [
    "Another program publishes contact records of our identity",
    "Run one node for each identity.",
  ],
  EGTP_SUPERSEDED: [
    "The peer serves another process with our key, which came to it later",
    "Run one process for each identity. It is tried again after a minute, in case that one ended.",
  ],
  EGTP_NODE_STOPPING: ["The node was stopped before it was tried", "Make a new node with the same identity."],
} as const;

/** Every code a {@link RouteError} can carry. */
export type RouteErrorCode = keyof typeof routeTexts;

/** Why one way to a peer failed, where the transport has nothing to say. */
export class RouteError extends EgtpError {
  override readonly name: string = "RouteError";
  declare readonly code: RouteErrorCode;

  constructor(code: RouteErrorCode, options: { cause?: unknown } = {}) {
    const [sentence, hint] = routeTexts[code];
    super(code, sentence, { cause: options.cause, hint });
  }
}

function reasonsText(reasons: readonly StrategyFailure[]): string {
  if (reasons.length === 0) return "nothing was tried";
  return reasons
    .map(({ strategy, error }) => `${strategy}: ${error instanceof Error ? error.message : String(error)}`)
    .join("; ");
}
