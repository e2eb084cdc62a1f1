/**
 * Everything that is on its way to one peer: what this run sends, and what earlier runs kept and did not bring to an end.
 * Each run numbers for itself, so each has an outbox of its own, and an envelope carries messages of one of them. They take
 * turns; what is left of earlier runs empties and goes.
 *
 * Bounds: all outboxes of a peer share one load, so what earlier runs left counts as what this one sends.
 *
 * @see docs/spec.md, "Delivery"
 */
import type { KeptMessage } from "@egtp/session-store";
import type { Epoch, Millis, PeerId } from "@egtp/wire";
import type { Ledger } from "./ledger.ts";
import { maxEarlierAtOnce, maxTypeNames, windowSize } from "./limits.ts";
import { type DeliveryCarrier, type Load, Outbox } from "./outbox.ts";
import { Outgoing, partsOf } from "./outgoing.ts";

const none: readonly Outbox[] = [];

export class Outboxes {
  /** Of this run. */
  readonly current: Outbox;
  /** Of earlier runs, the first to have sent first. Bounded by the messages that they hold. */
  #earlier = none;
  /** Whose turn it was last. */
  #last: Outbox;

  constructor(peer: PeerId, ledger: Ledger, firstNumber: number) {
    const load: Load = { messages: 0, bytes: 0, mailAsks: 0 };
    this.current = new Outbox(peer, ledger, load, ledger.epoch, firstNumber);
    this.#last = this.current;
  }

  /**
   * Takes in what earlier runs kept for the peer.
   *
   * @param messages - In the order of their epochs and numbers.
   */
  resume(messages: readonly KeptMessage[], ledger: Ledger): void {
    const { peer, load } = this.current;
    const runs: { readonly outbox: Outbox; readonly sentAt: Millis }[] = [];
    for (let from = 0; from < messages.length; ) {
      const { epoch, number: first, sentAt } = messages[from]!;
      let to = from + 1;
      while (messages[to]?.epoch === epoch) to++;
      const { number, body } = messages[to - 1]!;
      const statedBase = Math.max(0, number + partsOf(body.length) - windowSize);
      const outbox = new Outbox(peer, ledger, load, epoch, Math.max(first, statedBase), statedBase);
      for (; from < to; from++) {
        const outgoing = toOutgoing(messages[from]!);
        // No run of ours keeps such: whoever made this store must not stop this run.
        const isOdd = outgoing.number < outbox.window.top || outgoing.typeNumber >= maxTypeNames;
        if (isOdd) ledger.maps.dropMessage(outgoing);
        else outbox.resume(outgoing);
      }
      runs.push({ outbox, sentAt });
    }
    this.#earlier = runs.sort((a, b) => a.sentAt - b.sentAt).map(({ outbox }) => outbox);
    this.prune();
  }

  /** The outbox of one of our epochs; `undefined` when nothing of it is left. */
  of(epoch: Epoch): Outbox | undefined {
    return epoch === this.current.epoch ? this.current : this.#earlier.find((outbox) => outbox.epoch === epoch);
  }

  /** Does something with each of them. */
  each(what: (outbox: Outbox) => void): void {
    what(this.current);
    for (const outbox of this.#earlier) what(outbox);
  }

  /** Lets go of what was left of earlier runs and is at its end. */
  prune(): void {
    if (this.#earlier.some((outbox) => outbox.isQuiet)) {
      this.#earlier = this.#earlier.filter((outbox) => !outbox.isQuiet);
    }
  }

  /** Whether messages or replies wait to leave, for the first time or again. */
  get hasMessages(): boolean {
    return this.current.hasMessages || this.#speaking.some((outbox) => outbox.hasMessages);
  }

  /** Whether all that waits must not travel as early data. */
  get onlyEstablished(): boolean {
    const { current } = this;
    if (this.#earlier.length === 0) return current.onlyEstablished;
    return (
      (!current.hasMessages || current.onlyEstablished) &&
      this.#speaking.every((outbox) => !outbox.hasMessages || outbox.onlyEstablished)
    );
  }

  get wantsProbe(): boolean {
    return this.current.wantsProbe || this.#speaking.some((outbox) => outbox.wantsProbe);
  }

  /** The one whose turn it is to fill the next envelope. */
  next(carrier: DeliveryCarrier): Outbox {
    const { current } = this;
    if (this.#earlier.length === 0) return current;
    const all = [...this.#speaking, current];
    const after = all.indexOf(this.#last) + 1;
    this.#last = [...all.slice(after), ...all.slice(0, after)].find((outbox) => speaks(outbox, carrier)) ?? current;
    return this.#last;
  }

  /** Nothing is unsettled and nobody awaits a reply. */
  get isQuiet(): boolean {
    return this.current.isQuiet && this.#earlier.length === 0;
  }

  /** Something lies in a mailbox, as far as is known. */
  get hasStored(): boolean {
    return this.current.window.stored > 0 || this.#earlier.some(({ window }) => window.stored > 0);
  }

  /** When `tick` must be called, at the latest. */
  get nextDeadline(): Millis {
    let next = this.current.nextDeadline;
    for (const outbox of this.#earlier) next = Math.min(next, outbox.nextDeadline);
    return next;
  }

  afterEnvelope(now: Millis): void {
    this.current.afterEnvelope(now);
    for (const outbox of this.#earlier) outbox.afterEnvelope(now);
  }

  /**
   * Those of earlier runs that may send now: the first ones that have something to bring to an end. The peer remembers only
   * so many epochs.
   */
  get #speaking(): readonly Outbox[] {
    const earlier = this.#earlier;
    return earlier.length === 0 ? none : earlier.filter((outbox) => !outbox.isWaiting).slice(0, maxEarlierAtOnce);
  }
}

/** Whether it can write something into an envelope that travels so. */
function speaks(outbox: Outbox, { early }: DeliveryCarrier): boolean {
  return outbox.wantsProbe || (outbox.hasMessages && !(early && outbox.onlyEstablished));
}

function toOutgoing(kept: KeptMessage): Outgoing {
  const { peer, type, typeNumber, established, body, deadlineAt, storedDeadlineAt } = kept;
  const draft = { type, body, established };
  const outgoing = new Outgoing(peer, draft, typeNumber, body, deadlineAt, storedDeadlineAt, 0, undefined);
  outgoing.epoch = kept.epoch;
  outgoing.number = kept.number;
  outgoing.sentAt = kept.sentAt;
  outgoing.isKept = true;
  if (kept.stored !== undefined) outgoing.stored = { state: "stored", ...kept.stored };
  return outgoing;
}
