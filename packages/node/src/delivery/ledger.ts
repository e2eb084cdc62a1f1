/** What all conversations of one delivery share: who we are, the bounds, and what counts over all peers. */
import type { SessionMaps } from "@egtp/session-store";
import type { Epoch, PeerId } from "@egtp/wire";
import type { Inbox } from "./inbox.ts";
import type { Incoming, Verdict } from "./incoming.ts";
import type { DeliveryLimits } from "./limits.ts";
import type { Outcome } from "./outcome.ts";
import type { Outgoing } from "./outgoing.ts";

/** Who is told. Every method may call the delivery again; none may throw. */
export interface DeliverySink {
  /** A message, in the order received. Called while its envelope is taken in: return soon. */
  deliver(incoming: Incoming): Verdict;
  /** A message or request ended; not called for a request that got its reply, nor for one that was cancelled. */
  settled(outgoing: Outgoing, outcome: Outcome): void;
  /** A request got its reply. The body may be a view of the envelope's plaintext. */
  replied(outgoing: Outgoing, body: Uint8Array): void;
  /** All of a message that its recipient has not received lies in a mailbox. It goes on as before; see `stored` of it. */
  stored(outgoing: Outgoing): void;
  /** After the outbox for this peer was full: there is room again, for a while. */
  room(peer: PeerId): void;
}

export class Ledger {
  readonly epoch: Epoch;
  readonly maps: SessionMaps;
  readonly limits: DeliveryLimits;
  readonly sink: DeliverySink;

  /** Bytes of the bodies of all unsettled messages and requests. */
  outboxBytes = 0;
  /** Bytes of all messages that were received and not yet handled. */
  heldBytes = 0;
  /** Those who hold some of them. Bounded by the conversations. */
  readonly holders = new Set<Inbox>();
  /** Unsettled messages that the store keeps. */
  kept = 0;
  /** How many envelopes with messages or probes left: each has a place in that order. */
  flights = 0;

  /** Settled, and its owner not yet told. */
  readonly finished: Outgoing[] = [];
  /** Stored, and its owner not yet told. */
  readonly stored: Outgoing[] = [];
  /** What leaves for these seems not to arrive, or no word of it comes back. Bounded by the conversations. */
  readonly unheard = new Set<PeerId>();
  /** With handled marks that no batch holds yet, */
  touched: Inbox[] = [];
  /** and the replies that prove the handling of their requests, which must not leave before the marks are kept. */
  guardedReplies: Outgoing[] = [];
  /** What the sink threw in spite of everything. */
  sinkError: unknown = undefined;

  constructor(epoch: Epoch, maps: SessionMaps, limits: DeliveryLimits, sink: DeliverySink) {
    this.epoch = epoch;
    this.maps = maps;
    this.limits = limits;
    this.sink = sink;
  }
}
