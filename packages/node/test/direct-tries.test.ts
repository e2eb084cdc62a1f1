/** When the direct ways to a peer are tried beside a relay: see docs/spec.md, "Contact record". */
import { beforeEach, describe, expect, test } from "vitest";
import { DirectTries } from "../src/direct-tries.ts";
import { defaultNodeLimits } from "../src/limits.ts";

const secondMs = 1_000;
let tries: DirectTries;
let now: number;
beforeEach(() => {
  tries = new DirectTries(defaultNodeLimits);
  now = 1_000_000;
  tries.relayed(now);
});

/** Something leaves each second. @returns After how many seconds something was tried, which failed a moment later. */
function speak(forSeconds: number): number[] {
  const tried: number[] = [];
  for (let second = 1; second <= forSeconds; second++) {
    now += secondMs;
    if (tries.begin(now)) tried.push(second);
    tries.ended();
  }
  return tried;
}

describe("direct ways are tried again", () => {
  test("soon, then after pauses that double up to ten minutes", () => {
    expect(speak(3_600)).toEqual([5, 15, 35, 75, 155, 315, 635, 1_235, 1_835, 2_435, 3_035]);
  });

  test("once at a time", () => {
    now += 5 * secondMs;
    expect(tries.begin(now)).toBe(true);
    now += 3_600 * secondMs;
    expect(tries.begin(now)).toBe(false);
    tries.ended();
    expect(tries.begin(now)).toBe(true);
  });

  test("as if for the first time when nothing was said for as long as the longest pause", () => {
    speak(1_300);
    now += 1_300 * secondMs;
    expect(speak(60)).toEqual([1, 11, 31]);
  });

  test("with the next word when there is something new, but not sooner than soon", () => {
    speak(1_300);
    tries.news();
    expect(speak(60)).toEqual([1, 11, 31]);
    speak(1_200);
    tries.news();
    expect(speak(1)).toEqual([1]);
    tries.news();
    expect(speak(10)).toEqual([5]);
  });

  test("no more rarely because relays come and go", () => {
    const tried = [];
    for (let second = 1; second <= 60; second++) {
      tries.relayed(now);
      if (speak(1).length > 0) tried.push(second);
    }
    expect(tried).toEqual([5, 15, 35]);
  });
});
