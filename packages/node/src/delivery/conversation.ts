/** All that delivery keeps about one peer: both directions, and its place among those that must be woken. */
import type { Millis, PeerId } from "@egtp/wire";
import type { Sleeper } from "./deadline-heap.ts";
import { Inbox } from "./inbox.ts";
import type { Ledger } from "./ledger.ts";
import type { Outbox } from "./outbox.ts";
import { Outboxes } from "./outboxes.ts";

export class Conversation implements Sleeper {
  readonly peer: PeerId;
  readonly outboxes: Outboxes;
  /** The one of this run. */
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
    this.outboxes = new Outboxes(peer, ledger, firstNumber);
    this.outbox = this.outboxes.current;
    this.inbox = new Inbox(peer, ledger, this.outboxes);
  }

  /** Whether an envelope to the peer should leave now. */
  hasSomethingToSay(now: Millis): boolean {
    return this.outboxes.hasMessages || this.outboxes.wantsProbe || this.inbox.isDue(now);
  }

  nextDeadline(now: Millis): Millis {
    return Math.min(this.outboxes.nextDeadline, this.inbox.nextDeadline(now));
  }

  /**
   * The peer left for good, as it seems, while there was something to tell it, or a reply to give: it would be kept for as long as
   * the peer liked. Should it come back it asks again, and hears of a reply that it is lost.
   */
  isAbandoned(now: Millis): boolean {
    return this.outbox.load.messages === 0 && this.guardedReplies === 0 && this.inbox.isAbandoned(now);
  }

  isForgettable(now: Millis): boolean {
    return this.outboxes.isQuiet && this.guardedReplies === 0 && this.inbox.isForgettable(now);
  }
}
