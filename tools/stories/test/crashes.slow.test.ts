/**
 * `kill -9` at random moments, a thousand times: EGTP_KILLS says how many, EGTP_SEED which moments. Half of them hit peers, relay
 * and metatracker that work together, half of them the stores alone. Of each, half take along what was not synced.
 */
import { describe } from "vitest";
import { Crashes, type Loss } from "./crashes.ts";
import { test } from "./place.ts";
import { crashStores } from "./store-crashes.ts";

const kills = Number(process.env.EGTP_KILLS ?? 1_000);
const firstSeed = Number(process.env.EGTP_SEED ?? 7);

interface Share {
  readonly seed: number;
  readonly kills: number;
  readonly loss: Loss;
}

/** Half of the kills, in turns: what is noted down in a place grows with it. */
function shares(mostInOnePlace: number): Share[] {
  const half = Math.ceil(kills / 2);
  const places = 2 * Math.ceil(half / mostInOnePlace / 2);
  return Array.from({ length: places }, (_, n) => ({
    seed: firstSeed + n,
    kills: Math.ceil(half / places),
    loss: n % 2 === 0 ? "process" : "power",
  }));
}

describe.concurrent("kill -9 at random moments", { timeout: 30 * 60_000 }, () => {
  test.for(shares(20))(
    "peers, relay and metatracker: seed $seed, $kills times, of a $loss",
    async (share, { place }) => {
      const crashes = await Crashes.begin(place, share.seed, share.loss);
      await crashes.kill(share.kills);
      console.log(share, await crashes.settle());
    },
  );

  test.for(shares(100))("stores: seed $seed, $kills times, of a $loss", async (share, { place }) => {
    console.log(share, await crashStores(place, share.seed, share.loss, share.kills));
  });
});
