/** The long run of what hostile-others.property.test.ts does. */
import { it } from "vitest";
import { connectionsSayAnything } from "./hostile-links.ts";
import { peersSayAnything } from "./hostile-peer.ts";
import { linksLiveThrough } from "./link-any-order.ts";

it(
  "P4, P5, P10: a peer that says anything over any number of links holds up no conversation of others",
  () => peersSayAnything({ runs: 1, times: 1_000 }),
  3_600_000,
);

it(
  "P5: whoever connects or is dialled, and says anything over its connection, spoils that alone",
  () => connectionsSayAnything({ runs: 1, times: 500 }),
  3_600_000,
);

it(
  "a link hands over in order what arrived, and gives back what has not left, whatever happens in whatever order",
  () => linksLiveThrough({ runs: 200, times: 5_000 }),
  3_600_000,
);
