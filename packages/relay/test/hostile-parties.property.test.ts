/** The short run; the long one is in hostile-parties.slow.test.ts. */
import { it } from "vitest";
import { clientsSayAnything, relaysSayAnything } from "./hostile-parties.ts";

it("a client that says anything to a relay spoils no mailbox of others", () =>
  clientsSayAnything({ runs: 1, times: 1 }));

it("a relay that answers and pushes anything holds up nothing that goes by another", () =>
  relaysSayAnything({ runs: 1, times: 1 }));
