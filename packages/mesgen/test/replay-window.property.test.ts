import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ReplayWindow, replayWindowSize } from "../src/index.ts";

/** The plain twin: remembers everything. */
class PlainWindow {
  readonly #seen = new Set<number>();
  #highest = -1;

  isFresh(counter: number): boolean {
    return !this.#seen.has(counter) && counter > this.#highest - replayWindowSize;
  }

  unmark(counter: number): void {
    this.#seen.delete(counter);
  }

  mark(counter: number): void {
    this.#seen.add(counter);
    this.#highest = Math.max(this.#highest, counter);
  }
}

describe("ReplayWindow", () => {
  it("agrees with a plain twin on any order of counters", () => {
    const counter = fc.oneof(fc.nat(64), fc.nat(20_000), fc.nat(2 ** 32 - 1));
    fc.assert(
      fc.property(fc.array(counter, { maxLength: 400 }), (counters) => {
        const window = new ReplayWindow();
        const twin = new PlainWindow();
        for (const counter of counters) {
          expect(window.isFresh(counter)).toBe(twin.isFresh(counter));
          if (!twin.isFresh(counter)) continue;
          window.mark(counter);
          twin.mark(counter);
          expect(window.isFresh(counter)).toBe(false);
        }
      }),
    );
  });

  it("agrees with a plain twin when marks are taken back", () => {
    const counter = fc.oneof(fc.nat(40), fc.nat(20_000));
    fc.assert(
      fc.property(fc.array(fc.tuple(counter, fc.boolean()), { maxLength: 400 }), (steps) => {
        const window = new ReplayWindow();
        const twin = new PlainWindow();
        for (const [counter, isBack] of steps) {
          if (isBack) {
            window.unmark(counter);
            twin.unmark(counter);
          } else if (twin.isFresh(counter)) {
            window.mark(counter);
            twin.mark(counter);
          }
          expect(window.isFresh(counter)).toBe(twin.isFresh(counter));
        }
        for (let n = 0; n < 40; n++) expect(window.isFresh(n)).toBe(twin.isFresh(n));
      }),
    );
  });

  it("accepts every other counter of a whole window late, and each once", () => {
    const window = new ReplayWindow();
    for (let counter = 1; counter < replayWindowSize; counter += 2) window.mark(counter);
    for (let counter = 0; counter < replayWindowSize; counter += 2) {
      expect(window.isFresh(counter)).toBe(true);
      window.mark(counter);
      expect(window.isFresh(counter)).toBe(false);
    }
  });

  it("refuses everything below where it starts", () => {
    const window = new ReplayWindow(100);
    expect(window.isFresh(99)).toBe(false);
    expect(window.isFresh(100)).toBe(true);
    window.mark(300);
    expect(window.isFresh(99)).toBe(false);
    expect(window.isFresh(150)).toBe(true);
  });
});
