/** One message that was received, as the sink gets it. */
import type { Epoch, Millis, PeerId } from "@egtp/wire";
import type { EpochInbox } from "./epoch-inbox.ts";
import type { Mail } from "./mail.ts";
import { type MessageId, messageIdOf } from "./message-id.ts";

/** What the messages of one envelope have in common. */
export interface Arrival {
  readonly peer: PeerId;
  readonly inbox: EpochInbox;
  readonly frames: Uint8Array;
  readonly early: boolean;
  readonly at: Millis;
}

/** What the sink says of a message that is handed to it. */
export type Verdict =
  /** The handler returned. For a request: after `reply` was called. */
  | "handled"
  /** The handler runs. `handled`, `reply` or `failed` will be called. */
  | "pending"
  /** No handler takes this type yet. Keep it, and hand it over again after `retry`. */
  | "wait"
  /** Not accepted, and never will be. */
  | "refused"
  /** The handler threw. */
  | "failed";

export class Incoming {
  /** Of the first part, if it came in parts. Unique within the sender's epoch. */
  readonly number: number;
  readonly type: string;
  readonly isRequest: boolean;

  // ---- The core's own.

  arrival: Arrival;
  readonly parts: number;
  bodyStart: number;
  bodyEnd: number;
  /** The body apart from the envelope: put together from parts, or copied because it must wait. */
  ownBody: Uint8Array | undefined;
  /** The envelopes from mailboxes that it came in. */
  readonly mail: readonly Mail[];
  readonly remainingMs: Millis;
  /** It counts among those held until it is handled. */
  isHeld = false;
  isDone = false;
  hasReplied = false;
  /** Its sender waits for the receipt. */
  prompt = false;

  constructor(
    arrival: Arrival,
    number: number,
    parts: number,
    type: string,
    isRequest: boolean,
    remainingMs: Millis,
    bodyStart: number,
    bodyEnd: number,
    ownBody: Uint8Array | undefined,
    mail: readonly Mail[],
  ) {
    this.arrival = arrival;
    this.number = number;
    this.parts = parts;
    this.type = type;
    this.isRequest = isRequest;
    this.remainingMs = remainingMs;
    this.bodyStart = bodyStart;
    this.bodyEnd = bodyEnd;
    this.ownBody = ownBody;
    this.mail = mail;
  }

  get peer(): PeerId {
    return this.arrival.peer;
  }

  /** The run of the sender that numbered it. */
  get epoch(): Epoch {
    return this.arrival.inbox.epoch;
  }

  /** The same whenever this message is handed over again, also after a restart of either side. */
  get messageId(): MessageId {
    return messageIdOf(this.arrival.peer, this.arrival.inbox.epoch, this.number);
  }

  /** It came as early data: without forward secrecy, from a sender that proved itself by static keys only. */
  get early(): boolean {
    return this.arrival.early;
  }

  /** When its sender stops waiting, by our clock and a little late; `Infinity` when it did not say. */
  get deadlineAt(): Millis {
    return this.arrival.at + this.remainingMs;
  }

  get bodyLength(): number {
    return this.ownBody === undefined ? this.bodyEnd - this.bodyStart : this.ownBody.length;
  }

  /** Usually a view of the envelope's plaintext, which it keeps alive; a new one at each call. */
  get body(): Uint8Array {
    return this.ownBody ?? this.arrival.frames.subarray(this.bodyStart, this.bodyEnd);
  }
}
