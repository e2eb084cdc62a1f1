/**
 * The stories that must work, with everything real: servers are the commands that anybody starts, peers are processes that
 * are killed, and what happened is counted on disk afterwards. Moments of loss are drawn from a seed.
 */
import { describe } from "vitest";
import { expectOrder } from "./account.ts";
import { cleanStop } from "./clean-stop.ts";
import { losses, lossesWithoutRelay } from "./deadlock.ts";
import { Failover } from "./failover.ts";
import { forgetfulMetatracker } from "./forgetful-metatracker.ts";
import { Offline } from "./offline.ts";
import { test } from "./place.ts";
import { twoRuns } from "./two-runs.ts";

const seed = Number(process.env.EGTP_SEED ?? 7);

describe.concurrent("stories", { timeout: 300_000 }, () => {
  test("offline: a thousand messages wait for a peer, whatever is killed and forgotten meanwhile", async ({
    place,
  }) => {
    const offline = await Offline.begin(place, seed);
    const asItWent = await offline.tell("as-it-went", "nothing", "in the midst");
    // Out of one mailbox, and read as they were sent.
    expectOrder(asItWent);
    const figures = {
      "as it went": asItWent,
      "forgot its sessions": await offline.tell("forgot", "sessions", "never"),
      "forgot them, and its sender was killed": await offline.tell("killed", "sessions and sender", "never"),
    };
    console.log(`seed ${seed}`);
    console.table(figures);
  });

  test("deadlock: peers forget their sessions, one or both, in mid-stream and while mail waits", async ({ place }) => {
    console.log(`seed ${seed}, handed over again:`, await losses(place, seed));
  });

  test("deadlock: sessions are forgotten while the relay is killed and started again", async ({ place }) => {
    console.log(`seed ${seed}, handed over again:`, await lossesWithoutRelay(place, seed));
  });

  test("failover: the preferred relay is killed under load, and the other goes on", async ({ place }) => {
    const failover = await Failover.begin(place, seed);
    const rounds = [await failover.lose("kill", "later"), await failover.lose("kill", "never")];
    console.log(`seed ${seed}`);
    console.table(rounds);
  });

  test("a metatracker that forgets everything is told again, and so is one that takes its place", async ({ place }) => {
    await forgetfulMetatracker(place);
  });

  test("one key in two processes: the newer is the one, and there is no fight", async ({ place }) => {
    await twoRuns(place);
  });

  test("servers that are stopped in the midst of their work leave what they keep and nothing else", async ({
    place,
  }) => {
    await cleanStop(place);
  });
});
