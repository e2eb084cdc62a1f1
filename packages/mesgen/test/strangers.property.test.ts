/** The short run; the long one is in strangers.slow.test.ts. */
import { it } from "vitest";
import { attack } from "./strangers.ts";

it("P10, P4: twenty thousand envelopes that somebody made of what was seen change and deliver nothing", () => {
  attack(20);
});
