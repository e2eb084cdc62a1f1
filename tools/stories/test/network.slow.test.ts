/** Peers behind routers, in network namespaces: what happens to a line and to a machine is noticed, and heals. */
import { describe } from "vitest";
import { whyNoNetwork } from "./network.ts";
import { type ChangeFigures, TwoHomes } from "./network-changes.ts";
import { test } from "./place.ts";

const reason = whyNoNetwork();
const isSkipped = reason !== undefined && process.env.EGTP_NO_SKIP !== "1";
const minuteMs = 60_000;

describe(`peers that only reach out${reason === undefined ? "" : ` (${reason})`}`, { timeout: 260_000 }, () => {
  test.skipIf(isSkipped)("another address, a line cut for a minute, a machine that sleeps", async ({ place }) => {
    using homes = await TwoHomes.begin(place);
    const { bob, bobsHome } = homes;
    const figures: Record<string, ChangeFigures> = {
      "another address": await homes.change(() => bobsHome.move()),
      "cut for 5 s": await homes.change(
        () => bobsHome.cut(),
        5_000,
        () => bobsHome.mend(),
      ),
      "cut for a minute": await homes.change(
        () => bobsHome.cut(),
        minuteMs,
        () => bobsHome.mend(),
      ),
      "asleep for 5 s": await homes.change(
        () => bob.freeze(),
        5_000,
        () => bob.thaw(),
      ),
      "asleep for a minute": await homes.change(
        () => bob.freeze(),
        minuteMs,
        () => bob.thaw(),
      ),
    };
    console.table(figures);
  });
});
