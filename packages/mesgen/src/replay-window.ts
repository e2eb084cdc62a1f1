/**
 * The memory of the counters that one key has already opened.
 *
 * Kept as a watermark and the ranges below it that are still missing, so that a session whose envelopes arrive in order
 * costs one number. Asked before opening (`isFresh`) and told after (`mark`), so that a forgery changes nothing. A counter
 * more than `replayWindowSize` below the watermark is refused, which also bounds the ranges: at most half that many.
 *
 * @see RFC 6479, and docs/spec.md, "Replay windows"
 */

import { replayWindowSize } from "./limits.ts";

export class ReplayWindow {
  /** Everything below was seen or is refused, but for the gaps. */
  #next: number;
  /** Missing counters below `#next`: flat ascending pairs [from, to). Absent while there is none. */
  #gaps: number[] | undefined;

  /** @param from - Counters below this one are refused. */
  constructor(from = 0) {
    this.#next = from;
  }

  /** One more than the highest counter seen. */
  get next(): number {
    return this.#next;
  }

  isFresh(counter: number): boolean {
    if (counter >= this.#next) return true;
    return this.#gaps !== undefined && counter >= this.#next - replayWindowSize && this.#gapOf(counter) >= 0;
  }

  /** Marks a fresh counter as seen. */
  mark(counter: number): void {
    if (counter === this.#next) {
      this.#next = counter + 1;
      if (this.#gaps !== undefined) this.#trim();
    } else if (counter > this.#next) {
      this.#gaps ??= [];
      this.#gaps.push(this.#next, counter);
      this.#next = counter + 1;
      this.#trim();
    } else {
      this.#fill(counter);
    }
  }

  /** Takes the mark of a counter back, as far as the window reaches: it is fresh again. */
  unmark(counter: number): void {
    if (counter < this.#next - replayWindowSize || this.isFresh(counter)) return;
    this.#gaps ??= [];
    const gaps = this.#gaps;
    let at = 0;
    while (at < gaps.length && (gaps[at] as number) < counter) at += 2;
    const joinsLower = at > 0 && gaps[at - 1] === counter;
    const joinsUpper = gaps[at] === counter + 1;
    if (joinsLower && joinsUpper) gaps.splice(at - 1, 2);
    else if (joinsLower) gaps[at - 1] = counter + 1;
    else if (joinsUpper) gaps[at] = counter;
    else gaps.splice(at, 0, counter, counter + 1);
  }

  /** Index in `#gaps` of the pair that holds the counter, or -1. */
  #gapOf(counter: number): number {
    const gaps = this.#gaps ?? [];
    let low = 0;
    let high = gaps.length / 2 - 1;
    while (low <= high) {
      const middle = (low + high) >> 1;
      if (counter < (gaps[2 * middle] as number)) high = middle - 1;
      else if (counter >= (gaps[2 * middle + 1] as number)) low = middle + 1;
      else return 2 * middle;
    }
    return -1;
  }

  #fill(counter: number): void {
    const at = this.#gapOf(counter);
    if (at < 0 || this.#gaps === undefined) return;
    const from = this.#gaps[at] as number;
    const to = this.#gaps[at + 1] as number;
    if (to - from === 1) this.#gaps.splice(at, 2);
    else if (counter === from) this.#gaps[at] = counter + 1;
    else if (counter === to - 1) this.#gaps[at + 1] = counter;
    else this.#gaps.splice(at + 1, 0, counter, counter + 1);
    if (this.#gaps.length === 0) this.#gaps = undefined;
  }

  /** Forgets the gaps that have left the window. */
  #trim(): void {
    const gaps = this.#gaps as number[];
    const floor = this.#next - replayWindowSize;
    let gone = 0;
    while (gone < gaps.length && (gaps[gone + 1] as number) <= floor) gone += 2;
    if (gone > 0) gaps.splice(0, gone);
    if (gaps.length === 0) this.#gaps = undefined;
  }
}
