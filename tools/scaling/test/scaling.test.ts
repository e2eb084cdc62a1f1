/** Records spread as chance makes them, and only those move that must. */
import { describe, expect, test } from "vitest";
import { idsOf, moveOf, place, spreadOf } from "../src/nearness.ts";
import { measuredCosts, planDirectory, planRelays } from "../src/plan.ts";

const copies = 3;
const peers = idsOf("peer", 1_000);

describe("records on metatrackers", () => {
  const metatrackers = idsOf("metatracker", 13);
  const some = metatrackers.slice(0, 12);
  const before = place(peers, some, copies);

  test("each lies on three different ones, the same for everybody who knows the same ones", () => {
    for (const kept of before) expect(new Set(kept).size).toBe(copies);
    expect(place(peers, some.toReversed(), copies)).toEqual(before);
  });

  test("spread as evenly as chance makes them", () => {
    const { least, most, besideChance } = spreadOf(before, some);
    expect(least).toBeGreaterThan(0.7);
    expect(most).toBeLessThan(1.3);
    expect(besideChance).toBeLessThan(3);
  });

  test("only those move that a newcomer gets, and old lists still find them", () => {
    const after = place(peers, metatrackers, copies);
    for (const [n, kept] of after.entries()) {
      expect(kept.filter((id) => !before[n]!.includes(id))).toEqual(
        kept.includes(metatrackers[12]!) ? [metatrackers[12]] : [],
      );
    }
    const { moved, stillFound } = moveOf(before, after);
    expect(moved).toBeCloseTo(1 / 13, 1);
    expect(stillFound).toBe(1);
  });

  test("only those move that one that leaves had", () => {
    const after = place(peers, some.slice(1), copies);
    const stays = [...before.keys()].filter((n) => !before[n]!.includes(some[0]!));
    expect(stays.map((n) => after[n])).toEqual(stays.map((n) => before[n]));
    expect(moveOf(before, after).moved).toBeCloseTo(1 / 12, 1);
  });
});

test("a plan gives each metatracker its share of records and of what is brought again", () => {
  const plan = planDirectory({ peers: 1e8, metatrackers: 1_000, copies, recheckSeconds: 120 }, measuredCosts);
  expect(plan.recordsEach).toBe(300_000);
  expect(plan.publishesEach).toBe(2_500);
});

test("a plan has as many relays as owners need links, or as many more as refreshes need cores", () => {
  const owners = { owners: 1e6, maxOwners: 65_536, refreshSeconds: 60 };
  expect(planRelays(owners, measuredCosts).instances).toBe(16);
  expect(planRelays({ ...owners, refreshSeconds: 6 }, measuredCosts).instances).toBeGreaterThan(100);
});
