/** The long run of what hostile-parties.property.test.ts does. */
import { it } from "vitest";
import { clientsSayAnything, metatrackersSayAnything, sitesSayAnything } from "./hostile-parties.ts";

it(
  "a client that says anything to a metatracker spoils no record of others",
  () => clientsSayAnything({ runs: 1, times: 500 }),
  3_600_000,
);

it(
  "a metatracker that answers anything hides nobody whom another knows",
  () => metatrackersSayAnything({ runs: 1, times: 500 }),
  3_600_000,
);

it(
  "a server that gives anything for a boot page makes nobody known whom its publisher did not name",
  () => sitesSayAnything({ runs: 1, times: 500 }),
  3_600_000,
);
