/** A failure is told with the few acts that show it. */

import { describe, expect, it } from "vitest";
import { loadVariant, minimise, realCores, run, variants } from "../src/index.ts";

const longMs = 60_000;
/** Time for finding few acts of a run. */
const limitMs = 4_000;

describe("acts", { timeout: longMs }, () => {
  it("that are needed are found among many", async () => {
    for (const needed of [[], [0], [99], [3, 17, 18, 60]]) {
      const isShown = async (acts: ReadonlySet<number>): Promise<boolean> => needed.every((act) => acts.has(act));
      expect(await minimise(100, isShown, longMs)).toEqual(needed);
    }
  });

  it("all of them make the run that has no choice of them", () => {
    const cores = realCores;
    const whole = run(11, "chaos", { cores, trace: true });
    const acts = new Set(Array.from({ length: whole.acts }, (_, act) => act));
    expect(run(11, "chaos", { cores, trace: true, acts })).toEqual(whole);
  });

  it("few of them show what a protocol without a rule does wrong, again and again", async () => {
    const cores = await loadVariant(variants.find(({ name }) => name === "ignores-rejected-lists")!);
    let seed = 1;
    while (run(seed, "chaos", { cores }).violations.length === 0) seed += 1;
    const { violations, acts: count } = run(seed, "chaos", { cores });
    const property = violations[0]!.property;
    const isShown = async (acts: ReadonlySet<number>): Promise<boolean> =>
      run(seed, "chaos", { cores, acts }).violations.some((violation) => violation.property === property);
    const acts = await minimise(count, isShown, limitMs);
    expect(acts.length).toBeLessThan(count);
    expect(await isShown(new Set(acts))).toBe(true);
  });
});
