/**
 * One message, request or reply that is on its way, from `enqueue` until it is settled.
 *
 * What stands under "the core's own" is changed by the core alone.
 */
import { type Epoch, type Millis, type PeerId, partBytes } from "@egtp/wire";
import type { Outcome, Stored } from "./outcome.ts";

/** What is to be sent. */
export interface Draft {
  /** The name of the message type: 1 to 128 bytes of UTF-8. */
  readonly type: string;
  /** Referred to until the message is settled: it must not change. */
  readonly body: Uint8Array;
  /** A reply is awaited: it ends with `replied` instead of `settled` when all goes well. */
  readonly request?: boolean | undefined;
  /** It must not travel as early data. */
  readonly established?: boolean | undefined;
  /** The caller waits for the outcome, so ask for the receipt at once if this is the last there is to say. */
  readonly prompt?: boolean | undefined;
  /** It outlives this run: the store keeps it until it is settled. Not for a request, whose reply nobody would await. */
  readonly keep?: boolean | undefined;
  /** Settle as unreachable as soon as it is known that nothing can leave the machine. */
  readonly failFast?: boolean | undefined;
  /** By the clock of `now`. Never later than `maxOutboxAgeMs` from now; without one, `defaultDeadlineMs` from now. */
  readonly deadlineAt?: Millis | undefined;
  /** The deadline once a mailbox keeps it, when that is a later one. */
  readonly storedDeadlineAt?: Millis | undefined;
  /** From then on its sender is content with a mailbox; kept for the sender. */
  readonly softAt?: Millis | undefined;
  /** Whatever the caller wants to find again when it is settled. */
  readonly context?: unknown;
}

/** How many numbers a body takes. */
export function partsOf(bytes: number): number {
  return bytes <= partBytes ? 1 : Math.ceil(bytes / partBytes);
}

export class Outgoing {
  readonly peer: PeerId;
  /** Empty for a reply. */
  readonly type: string;
  body: Uint8Array;
  readonly isRequest: boolean;
  readonly established: boolean;
  readonly prompt: boolean;
  readonly failFast: boolean;
  /** Moves to `storedDeadlineAt`, as far as the mailbox keeps it. */
  deadlineAt: Millis;
  readonly storedDeadlineAt: Millis;
  readonly softAt: Millis;
  readonly context: unknown;
  /** The epoch of ours that it belongs to: of this run, unless an earlier one kept it. Empty for a reply not yet queued. */
  epoch = "" as Epoch;
  /** Its number in that epoch, of the first part if there are several; 0 for a reply not yet queued. */
  number = 0;
  /** The store keeps it, as soon as what is staged there was committed. */
  isKept = false;
  /** How it ended; `undefined` as long as it has not, and for a request that was replied to. */
  outcome: Outcome | undefined = undefined;
  /** All of it that the recipient has not received lies in a mailbox, until then. */
  stored: Stored | undefined = undefined;

  // ---- The core's own.

  readonly typeNumber: number;
  readonly parts: number;
  /** For one that is kept. */
  sentAt: Millis = 0;
  /** For a reply: what it answers. */
  readonly requestNumber: number;
  readonly requestEpoch: Epoch | undefined;
  unsettledParts: number;
  /** The next part that was never sent. */
  nextPart = 0;
  isDone = false;
  reply: Uint8Array | undefined = undefined;

  constructor(
    peer: PeerId,
    draft: Draft | undefined,
    typeNumber: number,
    body: Uint8Array,
    deadlineAt: Millis,
    storedDeadlineAt: Millis,
    requestNumber: number,
    requestEpoch: Epoch | undefined,
  ) {
    this.peer = peer;
    this.type = draft?.type ?? "";
    this.body = body;
    this.isRequest = draft?.request === true;
    this.established = draft?.established === true;
    this.prompt = draft?.prompt === true;
    this.failFast = draft?.failFast === true;
    this.deadlineAt = deadlineAt;
    this.storedDeadlineAt = storedDeadlineAt;
    this.softAt = draft?.softAt ?? Infinity;
    this.context = draft?.context;
    this.typeNumber = typeNumber;
    this.parts = partsOf(body.length);
    this.requestNumber = requestNumber;
    this.requestEpoch = requestEpoch;
    this.unsettledParts = this.parts;
  }

  get isReply(): boolean {
    return this.requestEpoch !== undefined;
  }

  /** Gives the caller's memory free: from now on the body is a copy. */
  ownBody(): void {
    this.body = this.body.slice();
  }
}
