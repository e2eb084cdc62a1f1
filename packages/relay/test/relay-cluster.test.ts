/** Relays that share their mailboxes: a peer that is registered at two of them gets its mail once, from one, and goes on when that dies. */
import type { EgtpNode } from "@egtp/node";
import { defineMessage, type Millis } from "@egtp/wire";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type RelayServer, type RelayServerLimits, relayServer, SharedMailboxStore } from "../src/server.ts";
import { MemoryEngine, MemoryMailLog } from "./memory-log.ts";
import { envelope, Owner, passAlong } from "./relay-parties.ts";
import { again, type JoinOptions, type PeerOptions, type RelayedPeer, World, type WorldNode } from "./world.ts";

const note = defineMessage("test/note");

let world: World;
let engine: MemoryEngine;
beforeEach(() => {
  world = new World();
  engine = new MemoryEngine();
});
afterEach(() => world.end());

interface Instance extends WorldNode {
  readonly server: RelayServer;
  readonly log: MemoryMailLog;
}

/** A relay of the cluster. */
async function instance(
  name: string,
  { limits, ...options }: JoinOptions & { readonly limits?: Partial<RelayServerLimits> } = {},
): Promise<Instance> {
  const log = new MemoryMailLog(engine);
  const setTimer = (task: () => void, delayMs: Millis) => world.time.setTimer(task, delayMs);
  const store = new SharedMailboxStore(log, { seams: { now: () => world.time.now(), setTimer } });
  const server = relayServer({ store, ...(limits !== undefined && { limits }) });
  return { ...(await world.join(name, { services: ["relay"], parts: [server], ...options })), server, log };
}

/** A peer that notes what it handles, by message ID. */
async function listener(
  name: string,
  options: PeerOptions = {},
): Promise<{ peer: RelayedPeer; heard: number[]; twice: string[] }> {
  const peer = await world.peer(name, options);
  const heard: number[] = [];
  const ids = new Set<string>();
  const twice: string[] = [];
  peer.node.handle(note, ({ body, messageId }) => {
    if (ids.has(messageId)) twice.push(messageId);
    ids.add(messageId);
    heard.push(body[0]!);
  });
  return { peer, heard, twice };
}

const send = (from: WorldNode, to: WorldNode, n: number) =>
  from.node.send(to.node.peerId, note, Uint8Array.of(n), { softTimeoutMs: 1_000 });
const upTo = (count: number) => Array.from({ length: count }, (_, n) => n);
const pushed = (instances: readonly Instance[]) => instances.map(({ server }) => server.stats().pushed);

describe("a sender", () => {
  /** Two relays, and an owner of the second that is away. */
  async function away(limits: Partial<RelayServerLimits> = {}) {
    const [one, two] = [await instance("one"), await instance("two", { limits })];
    const { node } = await world.join("bob", { listen: false });
    await world.time.of(new Owner(node, two.node.peerId).register());
    await world.time.of(node.stop());
    const strange = () => engine.mails.get(node.peerId)!.map(({ isStranger }) => isStranger);
    const pass = async (from: EgtpNode): Promise<void> => {
      const passed = passAlong(from, two.node.peerId, node.peerId, envelope(1), world.time.now());
      expect(await world.time.of(passed)).toMatchObject({ state: "stored" });
      await world.time.pass(100);
    };
    const asked: string[] = [];
    two.log.before = (question) => asked.push(question);
    const questions = () => asked.filter((question) => question === "load").length;
    return { one, two, strange, pass, questions };
  }

  test("that is registered at another relay is no stranger, once that was asked for", async () => {
    const { one, strange, pass, questions } = await away({ knownSenderMs: 60_000 });
    const { node } = await world.join("alice", { listen: false });
    const alice = new Owner(node, one.node.peerId);
    await world.time.of(alice.register());
    for (let mails = 0; mails < 3; mails++) await pass(node);
    expect(strange()).toEqual([true, false, false]);
    expect(questions()).toBe(1);
    await world.time.of(alice.unregister());
    await world.time.pass(60_000);
    for (let mails = 0; mails < 2; mails++) await pass(node);
    expect(strange()).toEqual([true, false, false, false, true]);
  });

  test("that is registered nowhere stays a stranger, and many of them cause few questions", async () => {
    const { strange, pass, questions } = await away({ senderLookUps: { burst: 3, perSecond: 0.001 } });
    const before = questions();
    const names = upTo(5).map((n) => `made-up-${n}`);
    for (const name of names) {
      const { node } = await world.join(name, { listen: false });
      await pass(node);
      await pass(node);
    }
    expect(strange()).toEqual(upTo(10).map(() => true));
    expect(questions() - before).toBe(3);
  });
});

describe("a peer that is registered at two relays of a cluster", () => {
  test("gets each mail from one of them, wherever it was passed along", async () => {
    const relays = [await instance("one"), await instance("two")];
    const bob = await listener("bob");
    const alice = await world.peer("alice");
    await world.time.pass(5_000);
    expect(bob.peer.client.stats().registrations.map(({ state }) => state)).toEqual(["live", "live"]);
    for (const relay of relays) {
      const before = pushed(relays);
      // Bob answers it directly.
      const options = { listen: true, relayed: { relays: [relay.node.peerId], count: 0 } };
      const stranger = await world.peer(`from-${relay.place}`, options);
      world.network.block(stranger.place, relays.find((other) => other !== relay)!.place);
      expect(await world.time.of(send(stranger, bob.peer, 1))).toEqual({ state: "delivered" });
      const after = pushed(relays);
      expect(after.filter((count, n) => count > before[n]!)).toHaveLength(1);
    }
    for (const n of upTo(50)) expect(await world.time.of(send(alice, bob.peer, n))).toEqual({ state: "delivered" });
    expect(bob.peer.client.stats().mail).toMatchObject({ repeated: 0, notTaken: 0 });
    expect(bob.heard).toEqual([1, 1, ...upTo(50)]);
    for (const { server } of relays) expect(server.stats().missed).toBe(0);
  });

  test("gets it from the other at once when that one dies, and everything once", async () => {
    const relays = [await instance("one"), await instance("two")];
    const bob = await listener("bob");
    const alice = await world.peer("alice");
    await world.time.pass(5_000);
    expect(await world.time.of(send(alice, bob.peer, 0))).toEqual({ state: "delivered" });
    const active = relays.find(({ server }) => server.stats().pushed > 0)!;
    const outcomes = [];
    for (const n of upTo(100).slice(1)) {
      outcomes.push(send(alice, bob.peer, n));
      await world.time.pass(20);
      if (n === 50) await world.kill(active);
    }
    for (const outcome of outcomes) expect(["delivered", "stored"]).toContain((await world.time.of(outcome)).state);
    await world.time.pass(2_000);
    expect(bob.heard.toSorted((a, b) => a - b)).toEqual(upTo(100));
    expect(bob.twice).toEqual([]);
    // What the dead one had handed over was taken in; nothing waits for an hour.
    expect(engine.mails.get(bob.peer.node.peerId)).toEqual([]);
  });

  test("stays with the one that hands over when the other returns", async () => {
    const relays = [await instance("one"), await instance("two")];
    const bob = await listener("bob");
    const alice = await world.peer("alice");
    await world.time.pass(5_000);
    await world.time.of(send(alice, bob.peer, 0));
    const active = relays.find(({ server }) => server.stats().pushed > 0)!;
    const other = relays.find((relay) => relay !== active)!;
    await world.kill(active);
    await world.time.pass(10_000);
    const returned = await instance("again", { identity: again(active) });
    await world.time.pass(30_000);
    for (const n of upTo(20).slice(1)) await world.time.of(send(alice, bob.peer, n));
    expect(bob.heard).toEqual(upTo(20));
    expect(returned.server.stats().pushed).toBe(0);
    expect(other.server.stats().pushed).toBeGreaterThan(0);
    expect(bob.twice).toEqual([]);
  });
});

test("mail waits when its owner is connected nowhere, and is handed over where it comes back", async () => {
  const one = await instance("one");
  const two = await instance("two");
  const bob = await listener("bob", { relayed: { relays: [one.node.peerId], count: 1 } });
  const alice = await world.peer("alice", { relayed: { relays: [one.node.peerId, two.node.peerId] } });
  await world.time.pass(2_000);
  await world.kill(bob.peer);
  for (const n of upTo(10)) expect(await world.time.of(send(alice, bob.peer, n))).toMatchObject({ state: "stored" });
  const { identity, store } = bob.peer;
  const back = await listener("bob", { identity, store, relayed: { relays: [two.node.peerId], count: 1 } });
  await world.time.pass(5_000);
  expect(back.heard).toEqual(upTo(10));
});

test("of two runs with one key, at two relays, the newer gets the mail, and both are told", async () => {
  const one = await instance("one");
  const two = await instance("two");
  const older = await listener("older", { relayed: { relays: [one.node.peerId], count: 1 } });
  const alice = await world.peer("alice", { relayed: { relays: [one.node.peerId, two.node.peerId] } });
  await world.time.pass(2_000);
  expect(await world.time.of(send(alice, older.peer, 1))).toEqual({ state: "delivered" });
  const newer = await listener("newer", {
    identity: again(older.peer),
    relayed: { relays: [two.node.peerId], count: 1 },
  });
  await world.time.pass(120_000);
  const states = [older, newer].map(({ peer }) => peer.client.stats().registrations[0]?.state);
  expect(states).toEqual(["superseded", "live"]);
  expect(newer.peer.events.some((event) => event.kind === "relay" && event.state === "replaced")).toBe(true);
  expect(await world.time.of(send(alice, newer.peer, 2))).toEqual({ state: "delivered" });
  expect(newer.heard).toEqual([2]);
});
