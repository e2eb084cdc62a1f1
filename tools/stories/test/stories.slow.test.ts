/** The stories, told twenty times with other moments of loss, and with losses that take long. */
import { describe } from "vitest";
import { losses, lossesWithoutRelay } from "./deadlock.ts";
import { Failover, type FailoverFigures, median } from "./failover.ts";
import { Offline, type OfflineFigures } from "./offline.ts";
import { test } from "./place.ts";

const first = Number(process.env.EGTP_SEED ?? 100);
const seeds = Array.from({ length: 20 }, (_, n) => first + n);

describe("stories, twenty times", { timeout: 600_000 }, () => {
  test.for(seeds)("deadlock, seed %i", async (seed, { place }) => {
    console.log(`seed ${seed}, handed over again:`, await losses(place, seed));
  });

  test.for(seeds)("deadlock without the relay, seed %i", async (seed, { place }) => {
    console.log(`seed ${seed}, handed over again:`, await lossesWithoutRelay(place, seed));
  });

  test.for(seeds)("offline, seed %i", async (seed, { place }) => {
    const offline = await Offline.begin(place, seed);
    const figures: Record<string, OfflineFigures> = {};
    for (const meanwhile of ["nothing", "sessions", "sessions and sender"] as const) {
      for (const kills of ["in the midst", "after"] as const) {
        const batch = `${meanwhile}, ${kills}`;
        figures[batch] = await offline.tell(batch.replaceAll(" ", "-"), meanwhile, kills);
      }
    }
    console.log(`seed ${seed}`);
    console.table(figures);
  });
});

describe("the preferred relay is lost under load, twenty times", { timeout: 1_200_000 }, () => {
  test.for(["kill", "freeze"] as const)("%s", async (how, { place }) => {
    const failover = await Failover.begin(place, first);
    const rounds: FailoverFigures[] = [];
    for (const round of seeds.keys())
      rounds.push(await failover.lose(how, round % 2 === 0 ? "later" : "into the stream"));
    console.log(`${how}, seed ${first}: median ${median(rounds.map(({ nextMs }) => nextMs))} ms`);
    console.table(rounds);
  });
});
