/** Servers that are asked to stop, in the midst of their work, leave what they keep and nothing else. */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { LmdbDirectoryStore } from "@egtp/metatracker/lmdb";
import { LmdbMailboxStore } from "@egtp/relay/lmdb";
import { expect } from "vitest";
import { account } from "./account.ts";
import type { Place } from "./place.ts";

export async function cleanStop(place: Place): Promise<void> {
  const metatracker = await place.metatracker();
  const relay = await place.relay(metatracker.bootPage);
  const alice = place.peer("alice", metatracker.bootPage);
  const bob = place.peer("bob", metatracker.bootPage);
  await Promise.all([alice.start(), bob.start()]);
  await Promise.all([alice.registered(), bob.registered()]);
  const count = 400;
  const sending = alice.send(bob, "mail", count, { until: "stored" });
  await bob.handled("mail", 100);
  await bob.stop();
  await alice.order("ended", { batch: "mail", count: 200 });

  const ended = await Promise.all([relay.stop(), metatracker.stop()]);
  expect(ended).toEqual([
    { code: 0, signal: null, stderr: "" },
    { code: 0, signal: null, stderr: "" },
  ]);

  const directory = await LmdbDirectoryStore.open(join(metatracker.folder, "directory"));
  const mailboxes = await LmdbMailboxStore.open(join(relay.folder, "mailboxes"));
  for (const { report } of [directory, mailboxes])
    expect(report).toMatchObject({ uncleanStop: false, setAside: undefined });
  const { waiting } = mailboxes.counts();
  expect(waiting).toBeGreaterThan(0);
  await Promise.all([directory.close(), mailboxes.close()]);
  for (const folder of [metatracker.folder, relay.folder]) {
    const names = await readdir(folder, { recursive: true });
    expect(names.filter((name) => /lock\.|sock|tmp|aside/.test(name))).toEqual([]);
  }

  await Promise.all([metatracker.start(), relay.start()]);
  expect(await relay.count("egtp_relay_found")).toBe(waiting);
  await bob.start();
  await bob.handled("mail", count);
  const { delivered = 0, stored = 0, ...others } = await sending;
  expect({ sum: delivered + stored, others }).toEqual({ sum: count, others: {} });
  account(bob, "mail", count);
}
