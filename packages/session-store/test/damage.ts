/** Damages the file of an LMDB store, opens it, and checks what it still says. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import { LmdbSessionStore } from "../src/nodejs/lmdb.ts";
import { accepted, contentOf, epoch, marks, openMaps, peer, session, start } from "./builders.ts";

type Content = ReturnType<typeof contentOf>;

/** Puts 200 counterparties into a new store and closes it. */
export async function fillStore(folder: string): Promise<Content> {
  const maps = openMaps(await LmdbSessionStore.open(folder));
  for (let n = 1; n <= 200; n++) {
    const us = maps.ensure(peer(n), start);
    for (let i = 0; i < 3; i++) maps.insertSession(us, session(10 * n + i));
    maps.rememberAccepted(us, accepted(n));
    us.epochs.set(epoch(n), marks(n));
    maps.touchMarks(us, epoch(n));
  }
  await maps.close();
  return contentOf(maps);
}

/**
 * Flips bits, more from round to round, in the part of the file that is in use, as if that had happened while the
 * last run was on. Whatever the store still says must be true, and it must have another tag if anything is missing.
 *
 * @param folder - Of a filled store whose last run did not end well.
 */
export async function flipBits(folder: string, content: Content, options: { rounds: number; seed: number }) {
  const file = join(folder, "data.mdb");
  const run = readFileSync(join(folder, "run.json"));
  const sound = readFileSync(file);
  const used = sound.findLastIndex((byte) => byte !== 0) + 1;
  const right = new Map(content.counterparties.map((each) => [each.peer, each]));
  let state = options.seed;
  const random = (below: number) => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  const seen = { aside: 0, dropped: 0, whole: 0 };
  for (let round = 0; round < options.rounds; round++) {
    const flipped = Buffer.from(sound);
    const flips = 1 + Math.floor((50 * round) / options.rounds);
    for (let i = 0; i < flips; i++) flipped[random(used)]! ^= 1 << random(8);
    writeFileSync(file, flipped);
    writeFileSync(join(folder, "run.json"), run);
    const store = await LmdbSessionStore.open(folder);
    const maps = openMaps(store);
    if (store.report.setAside !== undefined) seen.aside++;
    else if (maps.damaged.length > 0) seen.dropped++;
    else seen.whole++;
    for (const us of maps.counterparties()) {
      const wanted = right.get(us.peer)!;
      for (const each of us.sessions) expect(wanted.sessions).toContainEqual(each);
      for (const each of us.accepted) expect(wanted.accepted).toContainEqual(each);
    }
    if (maps.sessionCount < 600) expect(maps.tag).not.toBe(content.tag);
    await maps.close();
  }
  return seen;
}
