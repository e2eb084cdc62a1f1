/** The simulator can fail: relays, clients and nodes without one of their rules are caught. It prints the seeds that each took. */

import { expect, it } from "vitest";
import { loadStackVariant, runStack, stackVariants } from "../src/index.ts";

const maxSeeds = 10_000;

it.each(stackVariants)("without a rule: $name is caught", { timeout: 7_200_000 }, async (variant) => {
  const stack = await loadStackVariant(variant);
  for (let seed = 1; seed <= maxSeeds; seed++) {
    const { profile, violations } = await runStack(seed, variant.profile, { stack });
    if (violations.length === 0) continue;
    process.stdout.write(`${variant.name}: seed ${seed} (${profile}), ${violations[0]!.property}\n`);
    return;
  }
  expect.unreachable(variant.rule);
});
