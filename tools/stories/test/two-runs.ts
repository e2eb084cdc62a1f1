/** One key in two processes at once: the newer is the one, both are told, and the older gives way for good. */
import { expect } from "vitest";
import { account, expectTally } from "./account.ts";
import { type Place, shortPauses } from "./place.ts";

export async function twoRuns(place: Place): Promise<void> {
  const { bootPage } = await place.metatracker();
  const relay = await place.relay(bootPage);
  const carol = place.peer("carol", bootPage);
  // It would register again and again in the time that the story takes, were it not quiet.
  const eager = { ...shortPauses, relay: { refreshMs: 100, minRetryMs: 50, maxRetryMs: 100 } };
  const older = place.peer("older", bootPage, { limits: eager });
  await Promise.all([carol.start(), older.start()]);
  await Promise.all([carol.registered(), older.registered()]);
  expectTally(await carol.send(older, "before", 20), { delivered: 20 });

  const newer = place.peer("newer", bootPage);
  await newer.impersonate(older);
  await newer.start();
  expect(newer.id).toBe(older.id);
  await newer.order("relayEvents", { state: "replaced", count: 1 });
  await older.order("relayEvents", { state: "superseded", count: 1 });

  // The older one was told on its link, or when it asked; the newer one may register again as often as it likes.
  const askedAgain = (): Promise<number> => relay.count("egtp_relay_registrations_total", "superseded");
  const before = await askedAgain();
  for (const batch of ["first", "second", "third"]) {
    expectTally(await carol.send(newer, batch, 100), { delivered: 100 });
    account(newer, batch, 100);
  }
  expect(await askedAgain()).toBe(before);
  expect(older.effects()).toHaveLength(20);
  const { relay: stats } = await older.order("figures", undefined);
  expect(stats.registrations).toMatchObject([{ relay: relay.peer, state: "superseded" }]);
}
