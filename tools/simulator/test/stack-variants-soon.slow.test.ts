/** The simulator can fail: relays, clients and nodes without one of their rules are caught. */
import { expect, it } from "vitest";
import { loadStackVariant, runStack, stackVariants } from "../src/index.ts";

/** Those that show soon; all of them are in stack-variants.slow.test.ts. CI runs these. */
const soonSeeds = 12;

it.each(stackVariants.filter(({ withinSeeds }) => withinSeeds <= soonSeeds))(
  "$name is caught within $withinSeeds seeds",
  { timeout: 120_000 },
  async (variant) => {
    const stack = await loadStackVariant(variant);
    for (let seed = 1; seed <= variant.withinSeeds; seed++) {
      const { violations } = await runStack(seed, variant.profile, { stack });
      if (violations.length > 0) return;
    }
    expect.unreachable(variant.rule);
  },
);
