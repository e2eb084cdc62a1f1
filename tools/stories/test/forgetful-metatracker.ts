/** The metatracker forgets everything: its peers bring it all back, to it or to another. */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "vitest";
import { account, expectTally } from "./account.ts";
import { BootPage } from "./boot-page.ts";
import { type Place, shortPauses } from "./place.ts";

/** Peers look after their records every second, and not every two minutes: the story shall be short. */
const limits = { ...shortPauses, lookup: { recheckMs: 1_000, minRefreshMs: 500, minRetryMs: 500 } };

export async function forgetfulMetatracker(place: Place): Promise<void> {
  await using page = await BootPage.open(place);
  const metatracker = await place.metatracker("metatracker", { servesBootPage: false });
  await page.publish(metatracker);
  const relay = await place.relay(page.url);
  await page.publish(metatracker, relay);
  const alice = place.peer("alice", page.url, { limits });
  const bob = place.peer("bob", page.url, { limits });
  await Promise.all([alice.start(), bob.start()]);
  await Promise.all([alice.registered(), bob.registered()]);
  await alice.order("ask", { to: bob.id });
  const findsBoth = async (name: string): Promise<void> => {
    const peer = place.peer(name, page.url, { limits });
    await peer.start();
    await Promise.all([peer.order("ask", { to: alice.id }), peer.order("ask", { to: bob.id })]);
    for (const { id } of [alice, bob]) expect(await peer.order("lookUp", id)).toEqual([`relay ${relay.peer}`]);
  };

  // All that was published is gone.
  await metatracker.kill();
  await rm(join(metatracker.folder, "directory"), { recursive: true });
  // Who has found each other needs nobody to be found.
  expectTally(await alice.send(bob, "meanwhile", 50), { delivered: 50 });
  account(bob, "meanwhile", 50);
  await metatracker.start();
  await findsBoth("carol");
  expect(await metatracker.count("egtp_metatracker_lookups_total", "found")).toBeGreaterThan(1);

  // It is gone itself, with its key. Another stands on the boot page in its place.
  await metatracker.kill();
  const successor = await place.metatracker("successor", { servesBootPage: false });
  expect(successor.peer).not.toBe(metatracker.peer);
  await page.publish(successor, relay);
  await findsBoth("dave");
  expect(await successor.count("egtp_metatracker_lookups_total", "found")).toBeGreaterThan(1);
}
