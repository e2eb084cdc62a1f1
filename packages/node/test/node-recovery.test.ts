/** Lost sessions heal by ordinary routing, at a known price (rules R1 to R6, properties P1, P6, P7, P9). */
import { createIdentity, identityFromSeed } from "@egtp/mesgen";
import { MemorySessionStore } from "@egtp/session-store";
import { defineMessage, type Millis } from "@egtp/wire";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { NodeEvent, SendOutcome } from "../src/index.ts";
import { MemoryNetwork } from "../src/memory.ts";
import { hopMs, World, type WorldNode } from "./world.ts";

const note = defineMessage("test/note");
const seed = createIdentity().exportSeed();

let world: World;
beforeEach(() => {
  world = new World();
});
afterEach(() => world.end());

/** Records what comes in. */
function listen({ node }: WorldNode): number[] {
  const received: number[] = [];
  node.handle(note, ({ body }) => {
    received.push(body[0]!);
  });
  return received;
}

/** The node dies without a word; whoever comes back has its identity, and the store that is given. */
async function reborn(name: string, old: WorldNode, store: MemorySessionStore, listens = true): Promise<WorldNode> {
  world.network.cut(name);
  const gone = world.network.block(name, "alice");
  await world.time.pass(1);
  gone();
  // The dead one must not answer: it is stopped while nobody can hear it.
  await world.time.of(old.node.stop());
  return world.join(`${name}2`, { identity: identityFromSeed(old.identity.exportSeed()), store, listen: listens });
}

function losses({ events }: WorldNode, since: Millis): NodeEvent[] {
  return events.filter((event) => event.kind === "session" && event.state === "lost" && event.at >= since);
}

function kinds(from: string, since: number): string[] {
  const names = ["", "data", "offer", "acceptance"];
  return world.traffic.slice(since).flatMap((hop) => (hop.from === from ? [names[hop.envelope[0]! & 15]!] : []));
}

describe("the peer comes back without its sessions", () => {
  test("and is reached at a new address: the next message and all in flight arrive after one more round trip", async () => {
    const alice = await world.join("alice");
    const bob = await world.join("bob", { identity: identityFromSeed(seed) });
    listen(bob);
    await world.time.of(alice.node.send(bob.node.peerId, note, Uint8Array.of(0)));
    await world.time.of(alice.node.send(bob.node.peerId, note, Uint8Array.of(1)));

    // Bob is killed: no goodbye reaches Alice.
    world.network.drop = ({ from }) => from === "bob";
    const bob2 = await reborn("bob", bob, new MemorySessionStore());
    const received = listen(bob2);
    await world.time.pass(5_000);
    const since = world.traffic.length;
    const { handshakes } = alice.node.stats();
    const begun = world.time.now();
    const outcomes = [2, 3, 4].map((n) => alice.node.send(bob.node.peerId, note, Uint8Array.of(n)));
    expect(await world.time.of(Promise.all(outcomes))).toEqual(Array(3).fill({ state: "delivered" }));
    expect(received).toEqual([2, 3, 4]);
    // The old address first, then the new one: a hop to be refused, one to connect, then there, back with the offer, there
    // again with everything, and the receipt.
    expect(world.time.now() - begun).toBeLessThanOrEqual(2 * hopMs + 4 * hopMs + 2 * hopMs);
    expect(losses(alice, begun)).toMatchObject([{ peer: bob.node.peerId }]);
    expect(kinds("bob2", since)[0]).toBe("offer");
    expect(kinds("bob2", since).filter((kind) => kind === "offer")).toHaveLength(1);
    expect(bob2.node.stats()).toMatchObject({ unreadable: 1 });
    expect(alice.node.stats().handshakes - handshakes).toBe(2);
    expect(bob2.node.stats().handshakes).toBe(2);
    // The question, the offer, the acceptance with everything (and once for the second link), receipts, and nothing more.
    expect(world.traffic.length - since).toBeLessThanOrEqual(8);
    const bytes = world.traffic.slice(since).reduce((sum, { envelope }) => sum + 4 + envelope.length, 0);
    expect(bytes).toBeLessThan(1_400);
    // And then there is quiet.
    const after = world.traffic.length;
    await world.time.pass(600_000);
    expect(world.traffic.length - after).toBeLessThanOrEqual(2);
  });

  test("a peer that accepts no connections: its new link carries the question and the answer", async () => {
    // The server forgets; the client, behind a NAT, still uses the old session over a new link.
    const server = await world.join("server", { identity: identityFromSeed(seed) });
    const client = await world.join("client", { listen: false });
    listen(server);
    await world.time.of(client.node.send(server.node.peerId, note, Uint8Array.of(0)));
    await world.time.of(client.node.send(server.node.peerId, note, Uint8Array.of(1)));
    world.network.drop = ({ from }) => from === "server";
    world.network.cut("server");
    await world.time.of(server.node.stop());
    world.network.drop = undefined;
    const server2 = await world.join("server2", { identity: identityFromSeed(seed) });
    const received = listen(server2);
    await world.time.pass(5_000);
    const since = world.traffic.length;
    const begun = world.time.now();
    expect(await world.time.of(client.node.send(server.node.peerId, note, Uint8Array.of(2)))).toEqual({
      state: "delivered",
    });
    expect(received).toEqual([2]);
    expect(world.time.now() - begun).toBeLessThanOrEqual(8 * hopMs);
    expect(kinds("server2", since)[0]).toBe("offer");
    expect(server2.node.stats().dials).toBe(0);
  });
});

describe("a backlog", () => {
  /** Bob dies and forgets; what Alice writes meanwhile waits. */
  async function backlog(
    bytes: number,
  ): Promise<{ alice: WorldNode; bob2: WorldNode; outcomes: Promise<SendOutcome>[] }> {
    const alice = await world.join("alice");
    const bob = await world.join("bob", { identity: identityFromSeed(seed) });
    listen(bob);
    await world.time.of(alice.node.send(bob.node.peerId, note, Uint8Array.of(0)));
    await world.time.of(alice.node.send(bob.node.peerId, note, Uint8Array.of(1)));
    world.network.drop = ({ from }) => from === "bob";
    world.network.cut("bob");
    await world.time.of(bob.node.stop());
    const outcomes = Array.from({ length: bytes / 10_000 }, () =>
      alice.node.send(bob.node.peerId, note, new Uint8Array(10_000), { failFast: false, timeoutMs: 600_000 }),
    );
    await world.time.pass(1_000);
    const bob2 = await world.join("bob2", { identity: identityFromSeed(seed) });
    listen(bob2);
    return { alice, bob2, outcomes };
  }

  test("is not sent blind: one envelope asks, the rest leaves when it was answered", async () => {
    const { alice, bob2, outcomes } = await backlog(3_000_000);
    const begun = world.time.now();
    const since = world.traffic.length;
    expect(await world.time.of(Promise.all(outcomes))).toEqual(Array(300).fill({ state: "delivered" }));
    const traffic = world.traffic.slice(since);
    const blind = traffic.slice(
      0,
      traffic.findIndex(({ from }) => from === "bob2"),
    );
    expect(blind).toHaveLength(1);
    expect(bob2.node.stats()).toMatchObject({ unreadable: 1, drops: {} });
    // Little more than the backlog and that envelope.
    expect(world.network.bytes("alice", "bob2")).toBeLessThan(3_000_000 + 160_000);
    expect(losses(alice, begun)).toHaveLength(1);
  });

  test("goes on when the answer is lost, a little at a time until one arrives", async () => {
    const { outcomes } = await backlog(1_000_000);
    world.network.drop = ({ from }) => from === "bob2";
    await world.time.pass(10_000);
    expect(world.network.bytes("alice", "bob2")).toBeGreaterThan(60_000);
    expect(world.network.bytes("alice", "bob2")).toBeLessThan(1_000_000);
    world.network.drop = undefined;
    const begun = world.time.now();
    expect(await world.time.of(Promise.all(outcomes))).toEqual(Array(100).fill({ state: "delivered" }));
    expect(world.time.now() - begun).toBeLessThan(10_000);
  });
});

test("a first contact with a burst takes no longer than one with a single message", async () => {
  const times: number[] = [];
  for (const [index, count] of [1, 50].entries()) {
    const alice = await world.join(`alice${index}`);
    const bob = await world.join(`bob${index}`);
    listen(bob);
    const begun = world.time.now();
    const send = (): Promise<SendOutcome> => alice.node.send(bob.node.peerId, note, new Uint8Array(1_000));
    expect((await world.time.of(Promise.all(Array.from({ length: count }, send)))).length).toBe(count);
    times.push(world.time.now() - begun);
  }
  expect(times[1]).toBe(times[0]);
});

test("we come back without our sessions: our first message rides on an offer and arrives at once", async () => {
  const bob = await world.join("bob");
  const received = listen(bob);
  const alice = await world.join("alice", { identity: identityFromSeed(seed) });
  await world.time.of(alice.node.send(bob.node.peerId, note, Uint8Array.of(0)));
  world.network.drop = ({ from }) => from === "alice";
  world.network.cut("alice");
  await world.time.of(alice.node.stop());
  world.network.drop = undefined;
  await world.time.pass(2 * 24 * 3_600_000);
  const alice2 = await world.join("alice2", { identity: identityFromSeed(seed) });
  const outcome = await world.time.of(alice2.node.send(bob.node.peerId, note, Uint8Array.of(1)));
  expect(outcome).toEqual({ state: "delivered" });
  expect(received).toEqual([0, 1]);
});

test("both come back without their sessions, and meet again", async () => {
  let alice = await world.join("alice", { identity: identityFromSeed(seed) });
  let bob = await world.join("bob");
  const bobSeed = bob.identity.exportSeed();
  listen(bob);
  await world.time.of(alice.node.send(bob.node.peerId, note, Uint8Array.of(0)));
  world.network.drop = () => true;
  await world.time.of(alice.node.stop());
  await world.time.of(bob.node.stop());
  world.network.drop = undefined;
  bob = await world.join("bob2", { identity: identityFromSeed(bobSeed) });
  alice = await world.join("alice2", { identity: identityFromSeed(seed) });
  const received = listen(bob);
  expect(await world.time.of(alice.node.send(bob.node.peerId, note, Uint8Array.of(1)))).toEqual({ state: "delivered" });
  expect(received).toEqual([1]);
});

test("a restart with the store kept: what was in flight arrives once, under the new run", async () => {
  const alice = await world.join("alice");
  const bob = await world.join("bob", { identity: identityFromSeed(seed) });
  const before = listen(bob);
  await world.time.of(alice.node.send(bob.node.peerId, note, Uint8Array.of(0)));
  await world.time.of(alice.node.send(bob.node.peerId, note, Uint8Array.of(1)));
  // Handled, but its receipt is lost with the process.
  world.network.drop = ({ from }) => from === "bob";
  const inFlight = alice.node.send(bob.node.peerId, note, Uint8Array.of(2), { failFast: false });
  await world.time.run(() => before.length === 3);
  world.network.cut("bob");
  await world.time.of(bob.node.stop());
  world.network.drop = undefined;
  const bob2 = await world.join("bob2", { identity: identityFromSeed(seed), store: bob.store });
  const after = listen(bob2);
  expect(await world.time.of(inFlight)).toEqual({ state: "delivered" });
  expect(before).toEqual([0, 1, 2]);
  expect(after).toEqual([]);
});

test("R2: what cannot be read is answered over the ways to its sender, not down the link that it came on", async () => {
  const alice = await world.join("alice");
  const bob = await world.join("bob", { identity: identityFromSeed(seed) });
  listen(bob);
  await world.time.of(alice.node.send(bob.node.peerId, note, Uint8Array.of(0)));
  await world.time.of(alice.node.send(bob.node.peerId, note, Uint8Array.of(1)));
  world.network.drop = ({ from }) => from === "bob";
  const bob2 = await reborn("bob", bob, new MemorySessionStore());
  const received = listen(bob2);
  // Alice's own dials reach nobody; what she says is brought by somebody else.
  let kept: Uint8Array | undefined;
  world.network.drop = ({ from, envelope }) => {
    if (from !== "alice" || kept !== undefined) return false;
    kept = envelope;
    return true;
  };
  const sent = alice.node.send(bob.node.peerId, note, Uint8Array.of(2), { failFast: false });
  await world.time.run(() => kept !== undefined);
  const courier = world.network.transport("courier");
  const link = await world.time.of(
    courier.dial(MemoryNetwork.strategy("bob2"), bob.node.peerId, { signal: new AbortController().signal }),
  );
  const heard: Uint8Array[] = [];
  link.start({ envelope: (bytes) => heard.push(bytes), drain: () => {}, closed: () => {} });
  const since = world.traffic.length;
  const begun = world.time.now();
  link.send(kept!);
  expect(await world.time.of(sent)).toEqual({ state: "delivered" });
  // The question, two hops to dial the one who asked, the answer, what was lost, its receipt.
  expect(world.time.now() - begun).toBeLessThanOrEqual(6 * hopMs);
  expect(received).toEqual([2]);
  expect(heard).toEqual([]);
  expect(bob2.node.stats()).toMatchObject({ unreadable: 1, dials: 1 });
  expect(kinds("bob2", since)[0]).toBe("offer");
  link.close();
});

test("any number of unreadable messages cost one offer (P9), and strangers' forgeries cost no session (P10)", async () => {
  const alice = await world.join("alice");
  const bob = await world.join("bob");
  listen(bob);
  await world.time.of(alice.node.send(bob.node.peerId, note, Uint8Array.of(0)));
  await world.time.of(alice.node.send(bob.node.peerId, note, Uint8Array.of(1)));
  const sessions = bob.node.sessions(alice.node.peerId);
  const { handshakes } = bob.node.stats();

  const mallory = world.network.transport("mallory");
  const link = await world.time.of(
    mallory.dial(MemoryNetwork.strategy("bob"), bob.node.peerId, { signal: new AbortController().signal }),
  );
  const answers: Uint8Array[] = [];
  link.start({ envelope: (bytes) => answers.push(bytes), drain: () => {}, closed: () => {} });
  const real = world.traffic.find(({ from, envelope }) => from === "alice" && (envelope[0]! & 15) === 1)!.envelope;
  for (let i = 0; i < 50; i++) {
    const forged = real.slice();
    forged[40] = i;
    link.send(forged);
  }
  await world.time.pass(5_000);
  expect(bob.node.sessions(alice.node.peerId)).toEqual(sessions);
  expect(bob.node.stats().handshakes - handshakes).toBeLessThanOrEqual(1);
  // Alice is there, so whatever is said goes to her, and Mallory hears nothing.
  expect(answers).toEqual([]);
  expect(bob.node.stats().drops.refused).toBeGreaterThan(0);
  expect(await world.time.of(alice.node.send(bob.node.peerId, note, Uint8Array.of(2)))).toEqual({ state: "delivered" });
  link.close();
});
