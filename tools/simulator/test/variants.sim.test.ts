/** The simulator can fail: the protocol without one of its rules is caught. */

import { Mesgen } from "@egtp/mesgen";
import { Delivery } from "@egtp/node/delivery";
import { describe, expect, it } from "vitest";
import { loadVariant, type Profile, run, variants } from "../src/index.ts";

/** Needs more seeds than a short test has; see variants.slow.test.ts. */
const rare = new Set(["accepts-counters-again"]);

function profileOf(seed: number): Profile {
  return seed % 8 === 0 ? "loss" : seed % 8 === 1 ? "strangers" : "chaos";
}

describe("the protocol without a rule", { timeout: 60_000 }, () => {
  it.each(variants.filter(({ name }) => !rare.has(name)))("$name is caught within 60 seeds", async (variant) => {
    const cores = await loadVariant(variant);
    let caughtAt: number | undefined;
    for (let seed = 1; seed <= 60 && caughtAt === undefined; seed++) {
      if (run(seed, profileOf(seed), { cores }).violations.length > 0) caughtAt = seed;
    }
    expect({ rule: variant.rule, isCaught: caughtAt !== undefined }).toEqual({ rule: variant.rule, isCaught: true });
  });

  it("and with all of them is not: the same seeds pass", () => {
    for (let seed = 1; seed <= 60; seed++) {
      const { violations } = run(seed, profileOf(seed), { cores: { Mesgen, Delivery }, realCrypto: seed % 20 === 7 });
      expect({ seed, violations }).toEqual({ seed, violations: [] });
    }
  });

  it("a run follows from its seed alone", () => {
    const [one, two] = [0, 1].map(() => run(11, "chaos", { cores: { Mesgen, Delivery }, trace: true }));
    expect(two).toEqual(one);
  });
});
