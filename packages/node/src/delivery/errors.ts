/** What `Delivery` throws at its caller. What the peer does wrong is a value, see `Received`. */
import { EgtpError, type PeerId } from "@egtp/wire";
import { deliveryHints } from "#hints";

/** What is full when a message finds no place. */
export type OutboxScope =
  /** Messages to this peer, by count, bytes, or the span of their numbers. */
  | "peer"
  /** Bytes to all peers together. */
  | "total"
  /** The table of conversations, and none of them is idle. */
  | "conversations";

/** The outbox has no place for the message. The sink is told by `room` when it has again. */
export class OutboxFullError extends EgtpError {
  override readonly name: string = "OutboxFullError";
  readonly peer: PeerId;
  readonly scope: OutboxScope;

  constructor(peer: PeerId, scope: OutboxScope) {
    const what = {
      peer: `The outbox for ${peer} is full`,
      total: "The outboxes for all peers together are full",
      conversations: `There are too many conversations at once to begin one with ${peer}`,
    }[scope];
    super("EGTP_OUTBOX_FULL", what, { hint: deliveryHints.EGTP_OUTBOX_FULL });
    this.peer = peer;
    this.scope = scope;
  }
}

/** A body above `maxMessageBytes`. */
export class MessageTooLargeError extends EgtpError {
  override readonly name: string = "MessageTooLargeError";
  readonly bytes: number;
  readonly maxBytes: number;

  constructor(bytes: number, maxBytes: number) {
    super("EGTP_MESSAGE_TOO_LARGE", `A body of ${bytes} bytes, at most ${maxBytes}`, {
      hint: deliveryHints.EGTP_MESSAGE_TOO_LARGE,
    });
    this.bytes = bytes;
    this.maxBytes = maxBytes;
  }
}

/** The node was stopped. */
export class DeliveryClosedError extends EgtpError {
  override readonly name: string = "DeliveryClosedError";

  constructor() {
    super("EGTP_DELIVERY_CLOSED", "Nothing can be sent: delivery was closed", {
      hint: deliveryHints.EGTP_DELIVERY_CLOSED,
    });
  }
}
