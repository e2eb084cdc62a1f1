/**
 * What a node throws, or hands over as a reason. Errors of the layers below (`WireError`, `SchemaError`, `TransportError`,
 * `OutboxFullError`, `MessageTooLargeError`, `StoreError`) pass through unchanged.
 */
import { EgtpError, type Millis, type PeerId } from "@egtp/wire";
import { nodeHints, rejectHints, routeHints } from "#hints";
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
      hint: nodeHints.EGTP_UNREACHABLE,
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
      hint: nodeHints.EGTP_TIMEOUT,
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
      hint: nodeHints.EGTP_ABORTED,
    });
  }
}

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
      super("EGTP_NODE_NOT_STARTED", "The node was not started", { hint: nodeHints.EGTP_NODE_NOT_STARTED });
    } else {
      super("EGTP_NODE_STOPPED", "The node was stopped", {
        hint: nodeHints.EGTP_NODE_STOPPED,
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
      hint: nodeHints.EGTP_DUPLICATE_HANDLER,
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
      hint: nodeHints.EGTP_OUTBOX_FULL,
    });
    this.peer = peer;
  }
}

const routeTexts = {
  EGTP_NO_CONTACT_RECORD: "No contact record of the peer is known",
  EGTP_NO_STRATEGIES: "The peer's contact record says no way to reach it",
  EGTP_PEER_GONE: "The peer said goodbye in its newest contact record",
  EGTP_NO_TRANSPORT: "No transport of this node can dial this",
  EGTP_LOOKUP_FAILED: "The lookup of the peer's contact record failed",
  EGTP_WRONG_PEER: "Whoever listens there closed the link without an authentic word, so it is hardly the peer",
  EGTP_NO_ANSWER: "The link came about, but nothing authentic came back in time",
  EGTP_NOT_IN_TIME: "Its deadline passed before it could leave",
  EGTP_RECORD_CONTESTED: "Another program publishes contact records of our identity",
  EGTP_SUPERSEDED: "The peer serves another process with our key, which came to it later",
  EGTP_NODE_STOPPING: "The node was stopped before it was tried",
} as const;

/** Every code a {@link RouteError} can carry. */
export type RouteErrorCode = keyof typeof routeTexts;

/** Why one way to a peer failed, where the transport has nothing to say. */
export class RouteError extends EgtpError {
  override readonly name: string = "RouteError";
  declare readonly code: RouteErrorCode;

  constructor(code: RouteErrorCode, options: { cause?: unknown } = {}) {
    super(code, routeTexts[code], { cause: options.cause, hint: routeHints[code] });
  }
}

function reasonsText(reasons: readonly StrategyFailure[]): string {
  if (reasons.length === 0) return "nothing was tried";
  return reasons
    .map(({ strategy, error }) => `${strategy}: ${error instanceof Error ? error.message : String(error)}`)
    .join("; ");
}
