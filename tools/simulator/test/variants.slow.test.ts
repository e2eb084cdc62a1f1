/** The simulator can fail: every rule that is taken out is missed within 10,000 seeds. It prints the number that each took. */

import { expect, it } from "vitest";
import { coresProfile, loadVariant, run, variants } from "../src/index.ts";

const maxSeeds = 10_000;

it.each(variants)("the protocol without a rule: $name is caught", { timeout: 3_600_000 }, async (variant) => {
  const cores = await loadVariant(variant);
  for (let seed = 1; seed <= maxSeeds; seed++) {
    const { profile, violations } = run(seed, coresProfile(seed), { cores });
    if (violations.length === 0) continue;
    process.stdout.write(`${variant.name}: seed ${seed} (${profile}), ${violations[0]!.property}\n`);
    return;
  }
  expect.unreachable(variant.rule);
});
