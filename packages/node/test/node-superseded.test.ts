/** One key in two processes: the newest has the links, both are told, and the older one does not fight for them. */
import { createIdentity } from "@egtp/mesgen";
import { defineMessage } from "@egtp/wire";
import { afterEach, beforeEach, expect, test } from "vitest";
import { createNode } from "../src/index.ts";
import { MemoryNetwork } from "../src/memory.ts";
import { World } from "./world.ts";

const note = defineMessage("test/note");

let world: World;
beforeEach(() => {
  world = new World();
});
afterEach(() => world.end());

test("a key that runs twice: the older run is told and loses its link, the newer one is served", async () => {
  const bob = await world.join("bob");
  const heard: number[] = [];
  bob.node.handle(note, ({ body }) => {
    heard.push(body[0]!);
  });
  const identity = createIdentity();
  const older = await world.join("older", { identity, listen: false });
  await world.time.of(older.node.send(bob.node.peerId, note, Uint8Array.of(1)));
  const newer = await world.join("newer", { identity, listen: false });
  await world.time.of(newer.node.send(bob.node.peerId, note, Uint8Array.of(2)));
  await world.time.run(() => older.node.links().length === 0);

  const states = older.events.flatMap((event) => (event.kind === "session" ? [event.state] : []));
  expect(states.filter((state) => state === "superseded")).toHaveLength(1);
  expect(newer.events.some((event) => event.kind === "session" && event.state === "superseded")).toBe(false);
  expect(bob.events.some((event) => event.kind === "session" && event.state === "restarted")).toBe(true);

  await world.time.pass(10_000);
  expect(bob.node.links().map(({ remote }) => remote)).toEqual(["memory:newer"]);
  expect(older.node.links()).toEqual([]);
  await world.time.of(newer.node.send(bob.node.peerId, note, Uint8Array.of(3)));
  expect(heard).toEqual([1, 2, 3]);
});

test("a key that runs twice behind one transport is refused at once, and the first goes on", async () => {
  const transports = [new MemoryNetwork().transport("here")];
  const identity = createIdentity();
  await using first = await createNode({ identity, transports });
  await first.start();
  await using second = await createNode({ identity, transports });
  await expect(second.start()).rejects.toThrow(TypeError);
  expect(first.contactRecord).toBeDefined();
});

test("a peer that restarted while its old link still seems open gets the new one at once", async () => {
  const bob = await world.join("bob");
  const heard: number[] = [];
  bob.node.handle(note, ({ body }) => {
    heard.push(body[0]!);
  });
  const alice = await world.join("alice", { listen: false });
  await world.time.of(alice.node.send(bob.node.peerId, note, Uint8Array.of(1)));
  // The process is gone, and nobody told bob.
  world.network.hold("alice", "bob");
  world.network.hold("bob", "alice");
  const again = await world.join("again", { identity: alice.identity, store: alice.store, listen: false });
  again.node.handle(note, ({ body }) => {
    heard.push(body[0]!);
  });
  await world.time.of(again.node.send(bob.node.peerId, note, Uint8Array.of(2)));
  const begun = world.time.now();
  await world.time.of(bob.node.send(again.node.peerId, note, Uint8Array.of(3)));
  expect(world.time.now() - begun).toBeLessThan(200);
  expect(heard).toEqual([1, 2, 3]);
});

test("the older run may insist as it likes: the newer one keeps its link, and all that it asks for", async () => {
  const bob = await world.join("bob");
  bob.node.handle(note, ({ body }) => body);
  const identity = createIdentity();
  const older = await world.join("older", { identity, listen: false });
  await world.time.of(older.node.request(bob.node.peerId, note, Uint8Array.of(1)));
  const newer = await world.join("newer", { identity, listen: false });
  for (let second = 0; second < 90; second += 1) {
    const insisting = older.node.send(bob.node.peerId, note, Uint8Array.of(2), { timeoutMs: 30_000 });
    const begun = world.time.now();
    await world.time.of(newer.node.request(bob.node.peerId, note, Uint8Array.of(3)));
    expect(world.time.now() - begun).toBeLessThan(200);
    await world.time.pass(1_000);
    if (second !== 30) continue;
    const reasons = [{ error: { code: "EGTP_SUPERSEDED" } }];
    expect(await world.time.of(insisting)).toMatchObject({ state: "unreachable", reasons });
  }
  // It was opened, and it answered.
  expect(newer.events.filter(({ kind }) => kind === "link")).toHaveLength(2);
  // The first, the one that told it, and one after a minute.
  expect(older.node.stats().dials).toBeLessThanOrEqual(3);
  expect(bob.node.links()).toMatchObject([{ remote: "memory:newer" }]);
});

test("the older run is served again when the newer one has ended", async () => {
  const bob = await world.join("bob");
  bob.node.handle(note, () => {});
  const identity = createIdentity();
  const older = await world.join("older", { identity, listen: false });
  await world.time.of(older.node.send(bob.node.peerId, note, Uint8Array.of(1)));
  const newer = await world.join("newer", { identity, listen: false });
  await world.time.of(newer.node.send(bob.node.peerId, note, Uint8Array.of(2)));
  await world.time.run(() => older.node.links().length === 0);
  await world.time.of(newer.node.stop());
  const options = { timeoutMs: 300_000, failFast: false };
  expect(await world.time.of(older.node.send(bob.node.peerId, note, Uint8Array.of(3), options))).toEqual({
    state: "delivered",
  });
});
