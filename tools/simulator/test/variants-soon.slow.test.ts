/** The simulator can fail: the protocol without one of its rules is caught. */

import { describe, expect, it } from "vitest";
import { coresProfile, loadVariant, realCores, run, variants } from "../src/index.ts";

/** Those that show soon; all of them are in variants.slow.test.ts. */
const soonSeeds = 200;

describe("the protocol without a rule", { timeout: 60_000 }, () => {
  it.each(variants.filter(({ withinSeeds }) => withinSeeds <= soonSeeds))(
    "$name is caught within $withinSeeds seeds",
    async (variant) => {
      const cores = await loadVariant(variant);
      for (let seed = 1; seed <= variant.withinSeeds; seed++) {
        if (run(seed, coresProfile(seed), { cores }).violations.length > 0) return;
      }
      expect.unreachable(variant.rule);
    },
  );

  it("and with all of them is not: the same seeds pass", () => {
    for (let seed = 1; seed <= 60; seed++) {
      const { violations } = run(seed, coresProfile(seed), { cores: realCores, realCrypto: seed % 20 === 7 });
      expect({ seed, violations }).toEqual({ seed, violations: [] });
    }
  });

  it("an outbox that has room, but not for what comes next, is not fed for ever: seed 3631 ends", () => {
    expect(run(3631, coresProfile(3631), { cores: realCores }).violations).toEqual([]);
  });

  it("a run follows from its seed alone", () => {
    const [one, two] = [0, 1].map(() => run(11, "chaos", { cores: realCores, trace: true }));
    expect(two).toEqual(one);
  });
});
