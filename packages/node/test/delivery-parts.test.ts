/** The parts that delivery is made of, each beside a plain twin. */
import type { Epoch } from "@egtp/wire";
import { describe, expect, test } from "vitest";
import { DeadlineHeap } from "../src/delivery/deadline-heap.ts";
import { EpochInbox } from "../src/delivery/epoch-inbox.ts";
import { windowSize } from "../src/delivery/limits.ts";
import { addRange, clipRanges, dropBelow, includesNumber, subtractRanges } from "../src/delivery/ranges.ts";
import { ReceiveWindow } from "../src/delivery/receive-window.ts";
import { RoundTrip } from "../src/delivery/round-trip.ts";
import { random } from "./delivery-pair.ts";

const numbersOf = (ranges: readonly number[]): number[] => {
  const numbers: number[] = [];
  for (let i = 0; i < ranges.length; i += 2) for (let n = ranges[i]!; n < ranges[i + 1]!; n++) numbers.push(n);
  return numbers;
};
const isProper = (ranges: readonly number[]): boolean =>
  ranges.length % 2 === 0 && ranges.every((each, i) => i === 0 || each > ranges[i - 1]!);
const sorted = (set: Iterable<number>): number[] => [...set].sort((a, b) => a - b);

test("ranges agree with sets of numbers", () => {
  for (let seed = 1; seed <= 50; seed++) {
    const next = random(seed);
    const ranges: number[] = [];
    const set = new Set<number>();
    const other: number[] = [];
    const otherSet = new Set<number>();
    for (let step = 0; step < 60; step++) {
      const from = Math.floor(100 * next());
      const to = from + 1 + Math.floor(6 * next());
      const [list, numbers] = next() < 0.7 ? [ranges, set] : [other, otherSet];
      addRange(list, from, to);
      for (let n = from; n < to; n++) numbers.add(n);
      if (next() < 0.05) {
        const base = Math.floor(50 * next());
        dropBelow(ranges, base);
        for (const n of set) if (n < base) set.delete(n);
      }
      expect(isProper(ranges)).toBe(true);
      expect({ seed, numbers: numbersOf(ranges) }).toEqual({ seed, numbers: sorted(set) });
      const n = Math.floor(110 * next());
      expect(includesNumber(ranges, n)).toBe(set.has(n));
      const rest = subtractRanges(ranges, other);
      expect(isProper(rest)).toBe(true);
      expect(numbersOf(rest)).toEqual(sorted(set).filter((each) => !otherSet.has(each)));
      expect(numbersOf(clipRanges(ranges, n, n + 20, 99))).toEqual(sorted(set).filter((x) => x >= n && x < n + 20));
      expect(clipRanges(ranges, 0, 200, 2)).toEqual(ranges.slice(0, 4));
    }
  }
});

test("the receive window agrees with a map of numbers", () => {
  for (let seed = 1; seed <= 50; seed++) {
    const next = random(seed);
    const window = new ReceiveWindow();
    const marks = new Map<number, number>();
    let base = 0;
    for (let step = 0; step < 400; step++) {
      const n = base + Math.floor((next() < 0.1 ? 3_000 : 40) * next());
      const what = next();
      if (what < 0.7) {
        if (!marks.has(n)) {
          window.place(n);
          marks.set(n, -1);
        }
      } else if (what < 0.8) {
        if (marks.has(n)) {
          window.reject(n, 3);
          marks.set(n, 3);
        }
      } else if (what < 0.85) {
        window.unplace(n);
        marks.delete(n);
      } else if (what < 0.9) {
        base += Math.floor(30 * next());
        window.advance(base);
        for (const each of marks.keys()) if (each < base) marks.delete(each);
      }
      const probe = base + Math.floor(60 * next());
      expect({ seed, step, has: window.has(probe) }).toEqual({ seed, step, has: marks.has(probe) });
      expect(window.rejection(probe)).toBe(marks.get(probe) ?? -1);
      expect(window.watermark).toBe(base);
    }
    const listed = numbersOf(window.ranges(0, Number.MAX_SAFE_INTEGER, 10_000));
    expect({ seed, listed }).toEqual({ seed, listed: sorted(marks.keys()) });
    expect(window.fits(base + windowSize - 1) && !window.fits(base + windowSize)).toBe(true);
    expect(window.has(base - 1)).toBe(true);
  }
});

test("the heap wakes everyone in time, earliest first, and nobody who left", () => {
  for (let seed = 1; seed <= 20; seed++) {
    const next = random(seed);
    const heap = new DeadlineHeap<{ wakeAt: number; heapIndex: number }>();
    const sleepers = Array.from({ length: 40 }, () => ({ wakeAt: Infinity, heapIndex: -1 }));
    for (let step = 0; step < 300; step++) {
      const sleeper = sleepers[Math.floor(40 * next())]!;
      if (next() < 0.7) heap.wake(sleeper, Math.floor(1_000 * next()));
      else if (next() < 0.5) heap.remove(sleeper);
      else heap.takeDue(100);
      const earliest = Math.min(...sleepers.map(({ wakeAt }) => wakeAt));
      expect(heap.nextDeadline ?? Infinity).toBe(earliest);
    }
    let last = 0;
    for (let due = heap.takeDue(1_000); due !== undefined; due = heap.takeDue(1_000)) {
      expect(due.wakeAt).toBe(Infinity);
      last++;
    }
    expect(last).toBeLessThanOrEqual(40);
    expect(heap.nextDeadline).toBeUndefined();
  }
});

describe("handled marks", () => {
  const inboxOf = (base: number, ranges: number[]) =>
    new EpochInbox({ epoch: "0011223344556677" as Epoch, base, ranges, usedAt: 0 });

  test("are told only when they are committed", () => {
    const inbox = inboxOf(1, []);
    for (const n of [1, 2, 3, 4, 5]) inbox.window.place(n);
    inbox.handle(1, 3);
    inbox.handleReplied(4, 5);
    expect(inbox.listing(1, 6, 256)).toEqual({ to: 6, received: [1, 6], handled: [] });
    inbox.beginCommit();
    inbox.handle(3, 4);
    expect(inbox.listing(1, 6, 256).handled).toEqual([]);
    inbox.committed();
    expect(inbox.handledNews).toEqual([1, 3]);
    expect(inbox.listing(1, 6, 256).handled).toEqual([1, 3, 4, 5]);
    inbox.beginCommit();
    inbox.committed();
    expect(inbox.handledNews).toEqual([1, 4]);
    expect(inbox.listing(1, 6, 256).handled).toEqual([1, 5]);
    expect(inbox.marks.ranges).toEqual([1, 5]);
  });

  test("are what is left after a restart: everything else was not received", () => {
    const inbox = inboxOf(10, [12, 14, 20, 21]);
    expect([9, 10, 11, 12, 13, 14, 19, 20, 21].map((n) => inbox.window.has(n))).toEqual([
      true,
      false,
      false,
      true,
      true,
      false,
      false,
      true,
      false,
    ]);
    inbox.advance(13);
    expect([inbox.marks.base, inbox.marks.ranges]).toEqual([13, [13, 14, 20, 21]]);
  });

  test("too many for one receipt are listed up to where they fit", () => {
    const inbox = inboxOf(1, []);
    for (let n = 1; n < 100; n += 2) {
      inbox.window.place(n);
      inbox.handleUnguarded(n, n + 1);
    }
    const { to, handled, received } = inbox.listing(1, 100, 10);
    expect([to, handled.length, received.length]).toEqual([20, 20, 20]);
  });
});

test("the retransmission time follows what was measured, within its bounds", () => {
  const roundTrip = new RoundTrip();
  expect(roundTrip.timeout()).toBe(1_000);
  for (let i = 0; i < 50; i++) roundTrip.add(1);
  expect(roundTrip.timeout()).toBe(250);
  for (let i = 0; i < 50; i++) roundTrip.add(400);
  expect(roundTrip.timeout()).toBeGreaterThan(400);
  expect(roundTrip.timeout()).toBeLessThan(700);
  expect(roundTrip.timeout(2)).toBe(4 * roundTrip.timeout());
  expect(roundTrip.timeout(40)).toBe(60_000);
});
