/** The stores of peers, relays and metatrackers are killed while they write, and must then hold all that they promised. */
import { fork } from "node:child_process";
import { once } from "node:events";
import { statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Child } from "./child.ts";
import type { Loss } from "./crashes.ts";
import type { Place } from "./place.ts";
import { Random } from "./random.ts";

const program = fileURLToPath(new URL("../dist/story-stores.js", import.meta.url));

export interface StoreCrashFigures {
  readonly kills: number;
  /** Of them, of processes that were opening the stores. */
  readonly early: number;
  /** What was promised in all. */
  readonly promisedKiB: number;
}

/** @throws as soon as a process finds that something is missing. */
export async function crashStores(place: Place, seed: number, loss: Loss, kills: number): Promise<StoreCrashFigures> {
  const random = new Random(seed);
  const folder = join(place.folder, "stores");
  const open = (what: "work" | "check"): Child =>
    new Child(
      "stores",
      fork(program, [folder, loss, what], { execArgv: [], stdio: ["ignore", "ignore", "pipe", "ipc"] }),
    );
  let early = 0;
  for (let kill = 0; kill < kills; kill++) {
    const child = open("work");
    if (random.between(0, 5) === 0) {
      early += 1;
      await child.orFailed(random.moment(400)); // it takes about so long
    } else {
      // The first word says that it found everything, the others that it goes on.
      for (let words = random.between(2, 8); words > 0; words--) await child.orFailed(once(child.process, "message"));
      await child.orFailed(random.moment());
    }
    await child.end("SIGKILL");
  }
  const child = open("check");
  await child.orFailed(once(child.process, "message"));
  const { code, stderr } = await child.ended;
  if (code !== 0) throw new Error(stderr);
  return { kills, early, promisedKiB: Math.round(statSync(join(folder, "promises.log")).size / 1_024) };
}
