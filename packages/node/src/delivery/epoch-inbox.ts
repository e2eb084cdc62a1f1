/**
 * What is known of the messages of one peer in one of its epochs: which numbers were received and handled, the names of
 * its message types, messages of which only parts are there, and what the next receipt must say.
 *
 * A number is handled in memory at once, but a receipt says so only when the handled mark was committed: marks go from
 * `staged` through the delivery's batches to `handledNews`.
 */
import type { HandledMarks } from "@egtp/session-store";
import type { Epoch } from "@egtp/wire";
import type { Assembly } from "./assembly.ts";
import { maxHandledRanges } from "./limits.ts";
import { addRange, clipRanges, dropBelow, includesNumber, subtractRanges } from "./ranges.ts";
import { ReceiveWindow } from "./receive-window.ts";

/** Entries of a list of news from which on it is trimmed. */
const crowdedNews = 512;

export class EpochInbox {
  readonly marks: HandledMarks;
  readonly window = new ReceiveWindow();
  /** Names by type number, as the peer bound them in this run of ours. */
  types: (string | undefined)[] = [];
  /** Messages in parts by the number of their first. Bounded by the bytes that a peer may hold. */
  assemblies: Map<number, Assembly> | undefined = undefined;
  /** Handled before this inbox was opened, perhaps by an earlier run: pairs [from, to). */
  readonly handledBefore: readonly number[];
  /** Messages that wait for their handlers to return, or for a handler. */
  held = 0;

  /** Handled, and not yet part of a batch that is committed. */
  staged: number[] = [];
  /** The same, where a reply will tell it instead of a receipt. */
  stagedReplied: number[] = [];
  /** Batches that are being committed, oldest first. */
  committing: { readonly told: number[]; readonly replied: readonly number[] }[] = [];
  /** Whether `staged` changed since the last batch, */
  isTouched = false;
  /** and the marks with it. */
  isDirty = false;
  /** What the next receipt says. */
  receivedNews: number[] = [];
  handledNews: number[] = [];
  /** What is still to be answered of the last probe. */
  probeFrom = 0;
  probeTo = 0;

  constructor(marks: HandledMarks) {
    this.marks = marks;
    this.handledBefore = marks.ranges.slice();
    const { window } = this;
    window.advance(marks.base);
    for (let i = 0; i < marks.ranges.length; i += 2) {
      for (let number = marks.ranges[i]!; number < marks.ranges[i + 1]!; number++) {
        if (window.fits(number) && !window.has(number)) window.place(number);
      }
    }
  }

  get epoch(): Epoch {
    return this.marks.epoch;
  }

  /** The sender has settled everything below `base`: nothing of it is ever sent again. */
  advance(base: number): void {
    if (base <= this.window.watermark) return;
    this.window.advance(base);
    this.marks.base = base;
    dropBelow(this.marks.ranges, base);
    // News that never could leave must not pile up.
    if (this.receivedNews.length > crowdedNews) dropBelow(this.receivedNews, base);
    if (this.handledNews.length > crowdedNews) dropBelow(this.handledNews, base);
    if (this.staged.length > crowdedNews) dropBelow(this.staged, base);
  }

  isHandled(number: number): boolean {
    return includesNumber(this.marks.ranges, number);
  }

  /** How the lowest number stands that its sender keeps: itself when it ended, -1 less itself when it did not come, else NaN. */
  get standing(): number {
    const { window } = this;
    const { watermark } = window;
    if (this.isHandled(watermark) || window.rejection(watermark) >= 0) return watermark;
    return window.has(watermark) ? NaN : -1 - watermark;
  }

  /** Whether one more number can be taken in without making the marks too costly to write. */
  hasPlaceFor(number: number): boolean {
    return number === this.window.frontier || this.marks.ranges.length < 2 * maxHandledRanges;
  }

  /** Marks [from, to) as handled, to be receipted when the marks are committed. */
  handle(from: number, to: number): void {
    this.#mark(from, to);
    this.isDirty = true;
    addRange(this.staged, from, to);
  }

  /** Marks [from, to) as handled; a reply will say so, no earlier than the marks are committed. */
  handleReplied(from: number, to: number): void {
    this.#mark(from, to);
    this.isDirty = true;
    addRange(this.stagedReplied, from, to);
  }

  /** Receipts anew everything that was received or handled and is not below the watermark. */
  tellAgain(): void {
    const { watermark, top } = this.window;
    const { received, handled } = this.listing(watermark, top, maxHandledRanges);
    for (let i = 0; i < handled.length; i += 2) addRange(this.handledNews, handled[i]!, handled[i + 1]!);
    for (let i = 0; i < received.length; i += 2) addRange(this.receivedNews, received[i]!, received[i + 1]!);
  }

  /** Begins a batch with what is staged. */
  beginCommit(): void {
    this.committing.push({ told: this.staged, replied: this.stagedReplied });
    this.staged = [];
    if (this.stagedReplied.length > 0) this.stagedReplied = [];
    this.isTouched = false;
    this.isDirty = false;
  }

  /** The oldest batch is kept: its numbers may be told. */
  committed(): void {
    const { told } = this.committing[0]!;
    this.committing = this.committing.slice(1);
    if (this.handledNews.length === 0) this.handledNews = told;
    else for (let i = 0; i < told.length; i += 2) addRange(this.handledNews, told[i]!, told[i + 1]!);
  }

  /** Marks [from, to) as handled and receipts it at once: for replies, which nothing would run a second time. */
  handleUnguarded(from: number, to: number): void {
    this.#mark(from, to);
    addRange(this.handledNews, from, to);
  }

  /** What a complete receipt over [from, to) lists: numbers handled for certain, and others received. */
  listing(from: number, to: number, maxPairs: number): { to: number; received: number[]; handled: number[] } {
    let end = to;
    let certain = this.marks.ranges;
    for (const { told, replied } of this.committing) {
      certain = subtractRanges(subtractRanges(certain, told), replied);
    }
    certain = subtractRanges(subtractRanges(certain, this.staged), this.stagedReplied);
    const handled = clipRanges(certain, from, to, maxPairs);
    if (handled.length === 2 * maxPairs) end = handled[handled.length - 1]!;
    const received = this.window.ranges(from, end, maxPairs);
    if (received.length === 2 * maxPairs) end = received[received.length - 1]!;
    return { to: end, received, handled: clipRanges(handled, from, end, maxPairs) };
  }

  /** Nothing happens here: all that was received is handled and said. */
  get isQuiet(): boolean {
    return (
      this.held === 0 &&
      this.assemblies === undefined &&
      !this.isTouched &&
      this.committing.length === 0 &&
      this.receivedNews.length === 0 &&
      this.handledNews.length === 0 &&
      this.probeFrom >= this.probeTo
    );
  }

  #mark(from: number, to: number): void {
    const start = Math.max(from, this.window.watermark);
    if (start >= to) return;
    const { marks } = this;
    // Of most peers there is one pair, and a list that grows makes room for many.
    if (marks.ranges.length === 0) marks.ranges = [start, to];
    else addRange(marks.ranges, start, to);
  }
}
