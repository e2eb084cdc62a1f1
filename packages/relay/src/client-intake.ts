/**
 * Takes in the mail of one mailbox: in the order of its numbers, each number once at a time, and acknowledges what the node has
 * taken in for good.
 *
 * Mail comes by itself, pushed, or is collected: when some waits and none is pushed, when some is being taken in for long, and
 * after some was not taken in. A number above those expected is kept back for a moment, since after a link broke later mail may overtake earlier.
 *
 * Bounds: `maxMails` being taken in or kept back, `maxDone` numbers remembered, `maxAcknowledging` acknowledgements; numbers to be
 * acknowledged are among those remembered.
 */
import { equalBytes, type Millis } from "@egtp/wire";
import type { RelayClientLimits } from "./client-limits.ts";
import { maxAcknowledgeRanges, maxCollectBytes } from "./limits.ts";
import { type Collected, decodeCollected, encodeAcknowledgement, type Mail } from "./protocol.ts";

/** What became of the mail of all mailboxes. */
export interface MailCounts {
  /** Handed to the node and taken in for good. */
  taken: number;
  /** Handed to the node, which had no room or could not keep it: it is collected again. */
  notTaken: number;
  /** Came again: its acknowledgement was lost, or it was being taken in. */
  repeated: number;
  /** Acknowledged, and the relay has heard that. */
  acknowledged: number;
}

export interface IntakeOptions {
  readonly limits: RelayClientLimits;
  readonly counts: MailCounts;
  readonly now: () => Millis;
  readonly setTimer: (task: () => void, delayMs: Millis) => () => void;
  readonly takeMail: (envelope: Uint8Array) => Promise<boolean>;
  /** What of the mailbox with this tag is with the node, whichever relay handed it over. */
  readonly inHandOf: (tag: Uint8Array) => InHand;
  /** Asks the relay for mail with numbers above `after`. Rejects when it does not answer. */
  readonly collect: (after: number, maxBytes: number) => Promise<Uint8Array>;
  /** Tells the relay what it may forget. Resolves whether it has heard that. */
  readonly acknowledge: (body: Uint8Array) => Promise<boolean>;
}

/** By number, whether the node took it in. Bounded by what the intakes of the mailbox hand over. */
export type InHand = Map<number, Promise<boolean>>;

const noTag = new Uint8Array(0);

export class Intake {
  readonly #options: IntakeOptions;
  /** Of the mailbox that the numbers are of. */
  #tag: Uint8Array = noTag;
  /** Counts mailboxes: what was begun with an earlier one has no effect on this. */
  #life = 0;
  /** One above the highest number that was handed over; 0 before the first, which may be any. */
  #next = 0;
  /** The numbers have gaps: none is waited for. */
  #hasGaps = false;
  /** Being taken in by the node. */
  readonly #open = new Set<number>();
  #inHand: InHand = new Map();
  /** Kept back. */
  readonly #early = new Map<number, Uint8Array>();
  #cancelGap: (() => void) | undefined;
  /** Taken in, so that they are acknowledged again when they come again. The oldest is forgotten: the node knows it too. */
  readonly #done = new Set<number>();

  /** To be acknowledged. */
  #acknowledging: number[] = [];
  #isFlushing = false;
  #requests = 0;
  readonly #waiters: (() => void)[] = [];

  /** Mails that wait at the relay, as it said, less those that are here and those that came since. */
  #expected = 0;
  /** The lowest number that was not taken in; the relay does not push it again by itself. */
  #missing = Infinity;
  #collectMs: Millis;
  #cancelCollect: (() => void) | undefined;
  #isCollecting = false;
  /** When mail was last pushed. */
  #heardAt: Millis = -Infinity;
  #isStopped = false;

  constructor(options: IntakeOptions) {
    this.#options = options;
    this.#collectMs = options.limits.collectMs;
  }

  /** The relay says what waits in the mailbox. It begins to push, with the oldest. */
  expect(tag: Uint8Array, waiting: number, hasGaps: boolean): void {
    this.#know(tag);
    this.#hasGaps = hasGaps;
    this.#expected = waiting - this.#open.size - this.#early.size;
    this.#collectLater();
  }

  /** Mail was pushed. */
  take(mail: Mail): void {
    this.#know(mail.tag);
    this.#heardAt = this.#options.now();
    this.#expected -= 1;
    this.#take(mail.number, mail.envelope);
  }

  /** The relay is out of reach: it tells what waits when it is back. */
  rest(): void {
    this.#cancelCollect?.();
    this.#cancelCollect = undefined;
  }

  /** Nothing of the mailbox is being taken in or acknowledged. */
  get isQuiet(): boolean {
    return this.#open.size + this.#early.size + this.#acknowledging.length + this.#requests === 0;
  }

  /** Hands over nothing more. Resolves when what was taken in is acknowledged, or cannot be. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.rest();
    this.#cancelGap?.();
    this.#early.clear();
    this.#flush();
    while (this.#requests > 0) await new Promise<void>((resolve) => this.#waiters.push(resolve));
  }

  /** A mailbox with another tag begins its numbers anew. */
  #know(tag: Uint8Array): void {
    if (equalBytes(tag, this.#tag)) return;
    this.#tag = tag.slice();
    this.#inHand = this.#options.inHandOf(tag);
    this.#hasGaps = false;
    this.#life += 1;
    this.#next = 0;
    this.#open.clear();
    this.#early.clear();
    this.#done.clear();
    this.#acknowledging = [];
    this.#expected = 0;
    this.#missing = Infinity;
  }

  // ---- Taking in

  #take(number: number, envelope: Uint8Array): void {
    if (this.#isStopped) return;
    if (this.#done.has(number)) {
      this.#options.counts.repeated += 1;
      this.#acknowledge(number);
    } else if (this.#open.has(number) || this.#early.has(number)) this.#options.counts.repeated += 1;
    else if (this.#open.size + this.#early.size >= this.#options.limits.maxMails) {
      this.#miss(number);
    } else if (this.#next > 0 && number > this.#next && !this.#hasGaps) {
      this.#early.set(number, envelope);
      this.#cancelGap ??= this.#options.setTimer(() => this.#passGap(), this.#options.limits.gapMs);
    } else {
      this.#hand(number, envelope);
      this.#handEarly();
    }
  }

  /** Hands over what was kept back and is next now. */
  #handEarly(): void {
    for (let envelope = this.#early.get(this.#next); envelope !== undefined; envelope = this.#early.get(this.#next)) {
      this.#early.delete(this.#next);
      this.#hand(this.#next, envelope);
    }
    if (this.#early.size > 0) return;
    this.#cancelGap?.();
    this.#cancelGap = undefined;
  }

  /** What is missing did not come: it expired, or was acknowledged by an earlier run. */
  #passGap(): void {
    this.#cancelGap = undefined;
    const early = [...this.#early].sort(([a], [b]) => a - b);
    this.#early.clear();
    for (const [number, envelope] of early) this.#hand(number, envelope);
  }

  #hand(number: number, envelope: Uint8Array): void {
    const life = this.#life;
    this.#next = Math.max(this.#next, number + 1);
    this.#open.add(number);
    // A relay may wait for an acknowledgement of this with the rest of what makes it of use.
    this.#collectLater();
    void this.#takeOnce(number, envelope).then((isTaken) => {
      if (life !== this.#life) return;
      this.#open.delete(number);
      if (isTaken) this.#finish(number);
      else {
        this.#options.counts.notTaken += 1;
        this.#miss(number);
      }
    });
  }

  /**
   * Another relay may have handed over the same mail a moment ago: then the node would say that this one is of no more use,
   * while the first may still fail.
   */
  #takeOnce(number: number, envelope: Uint8Array): Promise<boolean> {
    const inHand = this.#inHand;
    let taking = inHand.get(number);
    if (taking === undefined) {
      taking = this.#options.takeMail(envelope);
      inHand.set(number, taking);
      void taking.then(() => inHand.delete(number));
    } else this.#options.counts.repeated += 1;
    return taking;
  }

  #finish(number: number): void {
    const { counts, limits } = this.#options;
    counts.taken += 1;
    this.#done.add(number);
    for (const oldest of this.#done) {
      if (this.#done.size <= limits.maxDone) break;
      this.#done.delete(oldest);
    }
    this.#acknowledge(number);
  }

  // ---- Acknowledging

  /**
   * What the node takes in at one time is acknowledged in one message. It leaves with what the node says in consequence: an
   * answer to the mail often goes to the same relay.
   */
  #acknowledge(number: number): void {
    this.#acknowledging.push(number);
    if (this.#isFlushing) return;
    this.#isFlushing = true;
    queueMicrotask(() => {
      this.#isFlushing = false;
      this.#flush();
    });
  }

  #flush(): void {
    while (this.#acknowledging.length > 0 && this.#requests < this.#options.limits.maxAcknowledging) {
      const { ranges, rest } = rangesOf(this.#acknowledging, maxAcknowledgeRanges);
      this.#acknowledging = rest;
      this.#requests += 1;
      this.#options
        .acknowledge(encodeAcknowledgement({ tag: this.#tag, ranges }))
        .then(
          (isHeard) => {
            if (isHeard) this.#options.counts.acknowledged += countOf(ranges);
          },
          // The relay is out of reach, and hands the mail over again when it is back.
          () => {},
        )
        .finally(() => {
          this.#requests -= 1;
          this.#flush();
          for (const resolve of this.#waiters.splice(0)) resolve();
        });
    }
  }

  // ---- Collecting

  #miss(number: number): void {
    this.#missing = Math.min(this.#missing, number);
    this.#collectLater();
  }

  /** Collects what is not pushed, if that is so still after a while. */
  #collectLater(delayMs: Millis = this.#collectMs): void {
    if (this.#isCollecting || this.#isStopped || !this.#isIncomplete) return;
    this.#cancelCollect ??= this.#options.setTimer(() => {
      this.#cancelCollect = undefined;
      const sinceMs = this.#options.now() - this.#heardAt;
      if (sinceMs < this.#collectMs) this.#collectLater(this.#collectMs - sinceMs);
      else if (this.#isIncomplete) void this.#collect();
    }, delayMs);
  }

  /** There is mail that was not pushed, or may be. */
  get #isIncomplete(): boolean {
    return this.#expected > 0 || this.#missing < Infinity || this.#open.size > 0;
  }

  /** Collects until nothing is left, or the node takes nothing in for now. */
  async #collect(): Promise<void> {
    const { limits, collect } = this.#options;
    let life = this.#life;
    this.#isCollecting = true;
    let after = this.#expected > 0 ? 0 : Math.min(this.#missing, this.#next) - 1;
    this.#missing = Infinity;
    let isComplete = false;
    try {
      while (!isComplete && !this.#isStopped && this.#open.size + this.#early.size < limits.maxMails) {
        const collected = decodeCollected(await collect(after, maxCollectBytes));
        // Of the mailbox before this one.
        if (life !== this.#life) break;
        this.#takeCollected(collected);
        const last = collected.mails.at(-1);
        if (life !== this.#life) {
          // It is another mailbox by now, whose numbers begin anew.
          life = this.#life;
          after = 0;
        } else if (last === undefined) isComplete = true;
        else after = last.number;
      }
    } catch {
      // Out of reach, or not to be understood: as if nothing had come.
    }
    this.#isCollecting = false;
    if (isComplete) this.#expected = 0;
    else if (life === this.#life) this.#missing = Math.min(this.#missing, after + 1);
    // What is being taken in may still turn out not to be; what comes of that waits longer.
    const isWell = isComplete && this.#missing === Infinity && this.#open.size === 0;
    this.#collectMs = isWell ? limits.collectMs : Math.min(2 * this.#collectMs, limits.maxCollectMs);
    this.#collectLater();
  }

  #takeCollected({ tag, mails }: Collected): void {
    this.#know(tag);
    for (const { number, envelope } of mails) this.#take(number, envelope);
  }
}

/** @param ranges - Pairs [from, to). */
function countOf(ranges: readonly number[]): number {
  let count = 0;
  for (let i = 0; i < ranges.length; i += 2) count += ranges[i + 1]! - ranges[i]!;
  return count;
}

/** The numbers as ascending ranges, and those for which there is no room among so many. */
function rangesOf(numbers: readonly number[], maxRanges: number): { ranges: number[]; rest: number[] } {
  const sorted = Float64Array.from(numbers).sort();
  const ranges: number[] = [];
  for (let i = 0; i < sorted.length; i++) {
    const number = sorted[i]!;
    const end = ranges.at(-1);
    if (end !== undefined && number < end) continue;
    if (number === end) ranges[ranges.length - 1] = number + 1;
    else if (ranges.length < 2 * maxRanges) ranges.push(number, number + 1);
    else return { ranges, rest: [...sorted.subarray(i)] };
  }
  return { ranges, rest: [] };
}
