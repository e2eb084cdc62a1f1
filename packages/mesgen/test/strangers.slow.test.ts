/** A million envelopes of an attacker. */
import { it } from "vitest";
import { attack } from "./strangers.ts";

it("P10, P4: a million envelopes that somebody made of what was seen change and deliver nothing", () => {
  attack(1_000);
}, 3_600_000);
