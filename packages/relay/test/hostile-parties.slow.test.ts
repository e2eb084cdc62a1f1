/** The long run of what hostile-parties.property.test.ts does. */
import { it } from "vitest";
import { clientsSayAnything, relaysSayAnything } from "./hostile-parties.ts";

it(
  "a client that says anything to a relay spoils no mailbox of others",
  () => clientsSayAnything({ runs: 1, times: 500 }),
  3_600_000,
);

it(
  "a relay that answers and pushes anything holds up nothing that goes by another",
  () => relaysSayAnything({ runs: 1, times: 500 }),
  3_600_000,
);
