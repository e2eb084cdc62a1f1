/** The properties that section 13 of the specification promises, as far as delivery keeps them, over many seeds. */
import { describe, test } from "vitest";
import { check, tell } from "./delivery-story.ts";

describe("over many seeds", () => {
  test("P1, P2, P6: loss, repetition and reordering", () => {
    for (let seed = 1; seed <= 80; seed++) check(tell(seed, []));
  }, 60_000);

  test("P1, P2, P6: and crashes that keep the store", () => {
    for (let seed = 1_001; seed <= 1_080; seed++) check(tell(seed, ["kept"]));
  }, 60_000);

  test("P1, P2, P6: and crashes that lose it", () => {
    for (let seed = 2_001; seed <= 2_080; seed++) check(tell(seed, ["kept", "lost"]));
  }, 60_000);

  test("P1, P2, P6: and a relay that refuses, forgets and breaks off", () => {
    for (let seed = 3_001; seed <= 3_080; seed++) check(tell(seed, ["kept", "lost"], 1, "relay"));
    for (let seed = 4_001; seed <= 4_080; seed++) check(tell(seed, ["kept", "lost"], 1, "relays"));
  }, 60_000);

  test("P1, P2, P6: and messages that outlive the runs that sent them", () => {
    for (let seed = 5_001; seed <= 5_080; seed++) check(tell(seed, ["kept"], 1, "links", true));
    for (let seed = 6_001; seed <= 6_080; seed++) check(tell(seed, ["kept", "kept", "lost"], 1, "links", true));
  }, 60_000);

  test("P1, P2, P6: and such messages by way of relays", () => {
    for (let seed = 7_001; seed <= 7_080; seed++) check(tell(seed, ["kept", "kept", "lost"], 1, "relay", true));
    for (let seed = 8_001; seed <= 8_080; seed++) check(tell(seed, ["kept", "kept", "lost"], 1, "relays", true));
  }, 60_000);
});
