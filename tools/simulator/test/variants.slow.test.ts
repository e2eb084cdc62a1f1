import { expect, it } from "vitest";
import { loadVariant, run, variants } from "../src/index.ts";

it("the protocol that accepts counters again is caught within 10,000 seeds", { timeout: 1_800_000 }, async () => {
  const variant = variants.find(({ name }) => name === "accepts-counters-again");
  if (variant === undefined) throw new Error("no such variant");
  const cores = await loadVariant(variant);
  for (let seed = 1; seed <= 10_000; seed++) {
    if (run(seed, "chaos", { cores }).violations.length > 0) return;
  }
  expect.unreachable(variant.rule);
});
