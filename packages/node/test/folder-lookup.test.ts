import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createIdentity, type Identity } from "@egtp/mesgen";
import { signContactRecord, verifyContactRecord } from "@egtp/wire";
import { afterEach, beforeEach, expect, test } from "vitest";
import { LookupError } from "../src/lookup.ts";
import { folderLookup } from "../src/nodejs/files.ts";
import { errorOf } from "./world.ts";

const now = 1_800_000_000_000;
const signal = new AbortController().signal;
let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "egtp-lookup-"));
});
afterEach(() => rm(folder, { recursive: true }));

function record(identity: Identity, seq: number, issued = now, services: string[] = []): Uint8Array {
  return signContactRecord(
    { id: identity.peer, seq, issued, ttl: 60_000, strategies: [], services, gone: false },
    (message) => identity.keys.sign(message),
  );
}

test("what one publishes another finds; the newest stays", async () => {
  const ours = folderLookup(join(folder, "made"), { now: () => now });
  const theirs = folderLookup(join(folder, "made"), { now: () => now });
  const alice = createIdentity();
  expect(await theirs.lookUp(alice.peer, { signal })).toBeUndefined();
  const second = record(alice, 2);
  await ours.publish!(second, { signal });
  expect(await theirs.lookUp(alice.peer, { signal })).toEqual(second);
  await ours.publish!(record(alice, 1), { signal });
  expect(await theirs.lookUp(alice.peer, { signal })).toEqual(second);
  await Promise.all([3, 4, 5, 6].map((seq) => ours.publish!(record(alice, seq), { signal })));
  expect(await readdir(join(folder, "made"))).toEqual([`${alice.peer}.record`]);
});

test("finds those that offer a service, and passes over what is damaged", async () => {
  const lookup = folderLookup(join(folder, "made"), { now: () => now });
  expect(await lookup.discover!("relay", { signal, max: 5 })).toEqual([]);
  const relays = Array.from({ length: 3 }, () => createIdentity());
  for (const relay of relays) await lookup.publish!(record(relay, 1, now, ["relay"]), { signal });
  await lookup.publish!(record(createIdentity(), 1, now, ["metatracker"]), { signal });
  await writeFile(join(folder, "made", `${createIdentity().peer}.record`), "nonsense");
  await writeFile(join(folder, "made", "notes.txt"), "nonsense");
  const found = await lookup.discover!("relay", { signal, max: 5 });
  const ids = found.map((bytes) => verifyContactRecord(bytes, now).id);
  expect(ids.sort()).toEqual(relays.map(({ peer }) => peer).sort());
  expect(await lookup.discover!("relay", { signal, max: 2 })).toHaveLength(2);
});

test("a record that is out of date counts as none", async () => {
  let time = now;
  const lookup = folderLookup(folder, { now: () => time });
  const alice = createIdentity();
  await lookup.publish!(record(alice, 1), { signal });
  time += 60_000;
  expect(await lookup.lookUp(alice.peer, { signal })).toBeUndefined();
});

test("anything else in its place is an error, and makes room for a good one", async () => {
  const lookup = folderLookup(folder, { now: () => now });
  const alice = createIdentity();
  const place = join(folder, `${alice.peer}.record`);
  const good = record(alice, 3);
  const wrong = [
    new Uint8Array(0),
    good.subarray(0, 80),
    Uint8Array.of(...good, 0),
    good.map((byte, at) => (at === 5 ? byte ^ 1 : byte)),
    record(createIdentity(), 1),
    new Uint8Array(100_000),
  ];
  for (const bytes of wrong) {
    await writeFile(place, bytes);
    const error = await errorOf(lookup.lookUp(alice.peer, { signal }));
    expect(error).toBeInstanceOf(LookupError);
    expect(error).toMatchObject({ code: "EGTP_LOOKUP_BAD_RECORD", place });
    expect((error as LookupError).hint).toBeDefined();
  }
  await lookup.publish!(good, { signal });
  expect(new Uint8Array(await readFile(place))).toEqual(good);
});

test("a folder that cannot be used is told", async () => {
  await writeFile(join(folder, "file"), "");
  const lookup = folderLookup(join(folder, "file"), { now: () => now });
  expect(await errorOf(lookup.publish!(record(createIdentity(), 1), { signal }))).toMatchObject({
    code: "EGTP_LOOKUP_IO",
  });
});
