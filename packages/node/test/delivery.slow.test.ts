/** The same stories as in delivery.property.test.ts: more of them, and more happens in each. */
import { describe, expect, test } from "vitest";
import { windowSize } from "../src/delivery.ts";
import { bytes, framesOf, pair } from "./delivery-pair.ts";
import { check, tell } from "./delivery-story.ts";

test("more replies than a window wait for the oldest unsettled number, and then leave", () => {
  const { world, alice, bob } = pair({ limits: { defaultDeadlineMs: 600_000 } });
  alice.handle("ask", (incoming) => {
    alice.delivery.reply(incoming, bytes(0), world.now);
    return "handled";
  });
  bob.handleLater("slow", () => 100_000);
  const slow = alice.send("slow", bytes(1));
  let highest = 0;
  world.tap = (envelope) => {
    if (envelope.from !== alice.id) return true;
    for (const { kind, number, base } of framesOf(envelope)) {
      if (kind === "reply") highest = Math.max(highest, number - base);
    }
    return true;
  };
  for (let sent = 0; sent < 80_000; sent += 10_000) {
    for (let i = 0; i < 10_000; i++) bob.send("ask", bytes(0), { request: true });
    world.run(200);
  }
  expect(highest).toBe(windowSize - 1);
  const replied = () => bob.sent.filter(({ outcome }) => outcome?.state === "replied").length;
  expect(replied()).toBe(windowSize - 1);
  world.run(130_000);
  expect(slow.outcome?.state).toBe("delivered");
  expect(replied()).toBe(80_000);
  expect(world.violations).toEqual([]);
}, 120_000);

describe("over very many seeds", () => {
  test("P1, P2, P6: loss, repetition and reordering", () => {
    for (let seed = 10_001; seed <= 10_600; seed++) check(tell(seed, [], 3));
  }, 600_000);

  test("P1, P2, P6: and crashes that keep the store", () => {
    for (let seed = 20_001; seed <= 20_600; seed++) check(tell(seed, ["kept"], 3));
  }, 600_000);

  test("P1, P2, P6: and crashes that lose it", () => {
    for (let seed = 30_001; seed <= 30_600; seed++) check(tell(seed, ["kept", "lost"], 3));
  }, 600_000);

  test("P1, P2, P6: and relays that refuse, forget and break off", () => {
    for (let seed = 40_001; seed <= 40_600; seed++) check(tell(seed, ["kept", "lost"], 3, "relay"));
    for (let seed = 50_001; seed <= 50_600; seed++) check(tell(seed, ["kept", "lost"], 3, "relays"));
  }, 600_000);

  test("P1, P2, P6: and messages that outlive the runs that sent them", () => {
    for (let seed = 60_001; seed <= 60_600; seed++) check(tell(seed, ["kept", "kept", "lost"], 3, "links", true));
    for (let seed = 70_001; seed <= 70_600; seed++) check(tell(seed, ["kept", "kept", "lost"], 3, "relay", true));
    for (let seed = 80_001; seed <= 80_600; seed++) check(tell(seed, ["kept"], 3, "relays", true));
  }, 600_000);
});
