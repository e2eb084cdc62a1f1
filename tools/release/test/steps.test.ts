/** How far a release is. */
import { expect, test } from "vitest";
import { Steps } from "../src/steps.ts";

test("goes forward with time, waits at the end of a step that takes longer, and jumps to the next", () => {
  let now = 0;
  const steps = new Steps(["check"], () => now);
  expect(steps.begin("uncommitted changes here are left out")).toBe(false);
  expect(steps.begin("a fresh clone")).toBe(true);
  const shares = [7_500, 15_000, 500_000].map((ms) => {
    now = ms;
    return steps.share;
  });
  expect(shares).toEqual([7.5 / 70, 15 / 70, 15 / 70]);
  steps.begin("versions and changelogs");
  steps.begin("build"); // before its time
  expect(steps.share).toBe(20 / 70);
  expect(steps.current).toBe("build");
  expect(steps.begin("check"), "it was left out").toBe(false);
  steps.begin("pack");
  now += 60_000;
  expect(steps.share).toBe(1);
});
