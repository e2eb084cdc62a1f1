/**
 * Which numbers of one epoch of a peer were received, and which of them were rejected and why.
 *
 * The watermark is the lowest number that the sender has not settled, by its own word; it moves by nothing else. Below
 * the frontier everything was received. Only while something above the frontier was received, or a rejection must be
 * remembered, is there a byte per number: a ring that grows up to the protocol's window. Usually there is none.
 */
import { windowSize } from "./limits.ts";

const unknown = 0;
const placed = 1;
/** A rejected number holds this plus the code, which is a byte itself but stays far below 254. */
const rejected = 2;

export class ReceiveWindow {
  watermark = 0;
  /** The lowest number, from the watermark on, that was not received. */
  frontier = 0;
  /** One above the highest number received. */
  top = 0;
  /** How many numbers are remembered as rejected. */
  rejections = 0;
  #marks: Uint8Array | undefined = undefined;
  #mask = 0;

  /** Whether the number lies within the window; beyond it nothing can be placed. Behind the last number of all there is no end to tell. */
  fits(number: number): boolean {
    return number < this.watermark + windowSize && number < Number.MAX_SAFE_INTEGER;
  }

  /** Whether it was received, or lies below the watermark and is settled. */
  has(number: number): boolean {
    if (number < this.frontier) return true;
    return number < this.top && this.#marks![number & this.#mask]! !== unknown;
  }

  /** Whether numbers are remembered that were rejected, or received above a gap. */
  get isPlain(): boolean {
    return this.#marks === undefined;
  }

  /** Marks as received a number that fits and is not there yet. */
  place(number: number): void {
    if (number === this.frontier && number === this.top) {
      this.frontier = this.top = number + 1;
      if (this.#marks !== undefined) this.#mark(number, placed);
      return;
    }
    this.#mark(number, placed);
    if (number >= this.top) this.top = number + 1;
    if (number === this.frontier) this.#advanceFrontier();
  }

  /** Forgets that a number was received: what was received of it is given up. */
  unplace(number: number): void {
    if (number < this.watermark || number >= this.top) return;
    this.#mark(number, unknown);
    if (number < this.frontier) this.frontier = number;
  }

  /** Remembers that a received number was rejected. */
  reject(number: number, code: number): void {
    if (number < this.watermark || number >= this.top) return;
    if (this.rejection(number) < 0) this.rejections++;
    this.#mark(number, rejected + code);
  }

  /** The code with which a received number was rejected; -1 when it was not. */
  rejection(number: number): number {
    if (this.#marks === undefined || number < this.watermark || number >= this.top) return -1;
    const mark = this.#marks[number & this.#mask]!;
    return mark >= rejected ? mark - rejected : -1;
  }

  /** The sender has settled everything below `base`. */
  advance(base: number): void {
    if (base <= this.watermark) return;
    if (base >= this.top) {
      this.watermark = this.frontier = this.top = base;
      this.#marks = undefined;
      this.rejections = 0;
      return;
    }
    if (this.#marks !== undefined) {
      for (let number = this.watermark; number < base; number++) {
        const at = number & this.#mask;
        if (this.#marks[at]! >= rejected) this.rejections--;
        this.#marks[at] = unknown;
      }
    }
    this.watermark = base;
    if (this.frontier < base) {
      this.frontier = base;
      this.#advanceFrontier();
    }
  }

  /** What was received in [from, to), as ascending pairs, at most `maxPairs`. */
  ranges(from: number, to: number, maxPairs: number): number[] {
    const ranges: number[] = [];
    const end = Math.min(to, this.top);
    let number = Math.max(from, this.watermark);
    while (number < end && ranges.length < 2 * maxPairs) {
      while (number < end && !this.has(number)) number++;
      if (number >= end) break;
      const start = number;
      if (number < this.frontier) number = Math.min(this.frontier, end);
      while (number < end && this.has(number)) number++;
      ranges.push(start, number);
    }
    return ranges;
  }

  #advanceFrontier(): void {
    let { frontier } = this;
    while (frontier < this.top && this.#marks![frontier & this.#mask]! !== unknown) frontier++;
    this.frontier = frontier;
  }

  #mark(number: number, value: number): void {
    const span = Math.max(this.top, number + 1) - this.watermark;
    if (this.#marks === undefined || span > this.#marks.length) this.#grow(span);
    this.#marks![number & this.#mask] = value;
  }

  #grow(span: number): void {
    let size = this.#marks === undefined ? 64 : this.#marks.length;
    while (size < span) size *= 2;
    const before = this.#marks;
    const beforeMask = this.#mask;
    const marks = new Uint8Array(size);
    const mask = size - 1;
    for (let number = this.watermark; number < this.top; number++) {
      marks[number & mask] = before === undefined ? placed : before[number & beforeMask]!;
    }
    this.#marks = marks;
    this.#mask = mask;
  }
}
