/** All that delivery keeps about one peer: both directions, and its place among those that must be woken. */
import type { Millis, PeerId } from "@egtp/wire";
import type { Sleeper } from "./deadline-heap.ts";
import { Inbox } from "./inbox.ts";
import type { Ledger } from "./ledger.ts";
import { Outbox } from "./outbox.ts";

export class Conversation implements Sleeper {
  readonly peer: PeerId;
  readonly outbox: Outbox;
  readonly inbox: Inbox;
  wakeAt: Millis = Infinity;
  heapIndex = -1;
  /** Named among those with something to say, and not yet taken from there. */
  isReady = false;
  /** Replies that wait for their marks to be committed. */
  guardedReplies = 0;
  /** Used since it was last looked at for being forgotten. */
  isFresh = true;

  constructor(peer: PeerId, ledger: Ledger, firstNumber: number) {
    this.peer = peer;
    this.outbox = new Outbox(peer, ledger, firstNumber);
    this.inbox = new Inbox(peer, ledger, this.outbox);
  }

  /** Whether an envelope to the peer should leave now. */
  hasSomethingToSay(now: Millis): boolean {
    return this.outbox.hasMessages || this.outbox.wantsProbe || this.inbox.isDue(now);
  }

  nextDeadline(now: Millis): Millis {
    return Math.min(this.outbox.nextDeadline, this.inbox.nextDeadline(now));
  }

  isForgettable(now: Millis): boolean {
    return this.outbox.isQuiet && this.guardedReplies === 0 && this.inbox.isForgettable(now);
  }
}
