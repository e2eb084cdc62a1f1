/** A direct way to a peer that is spoken to through a relay: when it is tried, and how everything moves to it. */
import type { Identity, PeerId, Strategy } from "@egtp/node";
import { MemoryNetwork } from "@egtp/node/memory";
import { defineMessage, type Millis, signContactRecord } from "@egtp/wire";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { hopMs, type RelayedPeer, type RelayNode, World, type WorldNode } from "./world.ts";

const note = defineMessage("test/note");
const minuteMs: Millis = 60_000;
const hourMs: Millis = 60 * minuteMs;

let world: World;
let relay: RelayNode;
let alice: RelayedPeer;
let bob: RelayedPeer;
/** What bob was handed, by number. */
let heard: number[];
let sent: number;
let answered: number;

beforeEach(async () => {
  world = new World();
  relay = await world.relay("relay");
  alice = await world.peer("alice");
  sent = answered = 0;
});
afterEach(() => world.end());

/** Bob, who accepts connections and has a mailbox. */
async function joinBob(): Promise<void> {
  bob = await world.peer("bob", { listen: true });
  heard = handed(bob);
}

/** Likewise, but what others know of him is what the test says. */
async function joinUnlistedBob(): Promise<void> {
  bob = await world.peer("bob", { listen: true, isListed: false, relayed: { relays: [relay.node.peerId] } });
  bob.node.introduce(relay.node.peerId, [MemoryNetwork.strategy("relay")]);
  heard = handed(bob);
  await world.time.run(
    () => bob.events.some((event) => event.kind === "relay" && event.state === "registered"),
    60_000,
  );
}

function handed({ node }: WorldNode): number[] {
  const numbers: number[] = [];
  node.handle(note, ({ body }) => {
    numbers.push(new DataView(body.buffer, body.byteOffset).getUint32(0));
    return body;
  });
  return numbers;
}

/** Alice asks bob something every few seconds. */
async function talk(forMs: Millis, bytes = 4, everyMs: Millis = 1_000): Promise<void> {
  for (let ms = 0; ms < forMs; ms += everyMs) {
    void alice.node.request(bob.node.peerId, note, numbered(sent++, bytes)).then(() => answered++);
    await world.time.pass(everyMs);
  }
}

function numbered(number: number, bytes = 4): Uint8Array {
  const body = new Uint8Array(bytes);
  new DataView(body.buffer).setUint32(0, number);
  return body;
}

/** Dials of bob that alice saw fail. */
function failedDials(): number[] {
  return alice.events.flatMap((event) =>
    event.kind === "dial-failed" && event.peer === bob.node.peerId && event.strategy.startsWith("tcp")
      ? [event.at]
      : [],
  );
}

function waysOf({ node }: WorldNode, peer: PeerId): string[] {
  return node.links().flatMap((link) => (link.peer === peer ? [link.transport] : []));
}

function throughTheRelay(): number {
  return world.network.bytes("relay", "bob") + world.network.bytes("relay", "alice");
}

function bytesFromAlice(): number {
  return world.network.bytes("alice", "relay") + world.network.bytes("alice", "bob");
}

function checkAllOnce(): void {
  expect(heard).toEqual(Array.from({ length: sent }, (_, number) => number));
  expect(answered).toBe(sent);
}

describe("a peer that is out of reach at first", () => {
  test("is spoken to directly soon after it can be, each message once and in order, and nothing goes through the relay any more", async () => {
    await joinBob();
    const allow = world.network.block("alice", "bob");
    await talk(20_000, 1_000);
    expect(waysOf(alice, bob.node.peerId)).toEqual(["relay"]);
    const openFrom = world.time.now();
    allow();
    await talk(30_000, 1_000);
    const moved = alice.events.find(
      (event) => event.kind === "link" && event.state === "answered" && event.peer === bob.node.peerId,
    );
    // The pauses so far: 5, 10 and 20 s.
    expect(moved!.at - openFrom).toBeLessThan(20_000);
    await world.time.pass(10_000);
    const before = throughTheRelay();
    await talk(20_000, 1_000);
    expect(throughTheRelay() - before).toBeLessThan(2_000);
    checkAllOnce();
    // As ever the way through the relay ends when it is idle.
    await talk(7 * minuteMs, 4, 30_000);
    expect(waysOf(alice, bob.node.peerId)).toEqual(["memory"]);
    checkAllOnce();
  });

  test("is tried after pauses that double up to ten minutes, and no word is late for that", async () => {
    await joinBob();
    world.network.block("alice", "bob");
    await talk(hourMs, 4, minuteMs);
    const dials = failedDials();
    const pauses = dials.slice(1).map((at, i) => Math.round((at - dials[i]!) / 1_000));
    // The first is the one before which there was no way.
    expect(pauses).toEqual([60, 60, 60, 60, 120, 180, 360, 600, 600, 600, 600]);
    checkAllOnce();
    expect(alice.events.filter((event) => event.kind === "link" && event.state === "silent")).toEqual([]);
  });

  test("is not tried while nothing is said", async () => {
    await joinBob();
    world.network.block("alice", "bob");
    await talk(30_000);
    await world.time.pass(minuteMs);
    const dials = failedDials().length;
    await world.time.pass(hourMs);
    expect(failedDials()).toHaveLength(dials);
  });

  test("is tried soon again when there was nothing to say for long", async () => {
    await joinBob();
    const allow = world.network.block("alice", "bob");
    await talk(40_000);
    await world.time.pass(20 * minuteMs);
    await talk(3_000);
    allow();
    await talk(5_000);
    expect(waysOf(alice, bob.node.peerId)).toContain("memory");
  });

  test("is tried by whoever only answers, too", async () => {
    await joinBob();
    handed(alice);
    const allow = world.network.block("alice", "bob");
    const ask = async (): Promise<void> => {
      await world.time.of(bob.node.request(alice.node.peerId, note, new Uint8Array(4)));
      await world.time.pass(1_000);
    };
    for (let i = 0; i < 3; i++) await ask();
    expect(waysOf(bob, alice.node.peerId)).toEqual(["relay"]);
    allow();
    for (let i = 0; i < 4; i++) await ask();
    expect(waysOf(bob, alice.node.peerId)).toContain("memory");
  });

  test("gets nothing twice for it: what is under way through the relay is not sent again", async () => {
    await joinBob();
    const allow = world.network.block("alice", "bob");
    await talk(4_000);
    allow();
    const bytes = 20_000;
    const leftBefore = bytesFromAlice();
    const release = world.network.hold("relay", "bob");
    await talk(2_000, bytes, 100);
    expect(waysOf(alice, bob.node.peerId)).toContain("memory");
    release();
    await world.time.pass(5_000);
    expect(heard.toSorted((a, b) => a - b)).toEqual(Array.from({ length: sent }, (_, number) => number));
    expect(answered).toBe(sent);
    expect(bytesFromAlice() - leftBefore).toBeLessThan(20 * bytes * 1.1);
  });
});

describe("a direct way on which nobody answers", () => {
  test("holds nothing up, and nothing but a question goes there", async () => {
    await joinBob();
    const allow = world.network.block("alice", "bob");
    await talk(4_000);
    allow();
    // It is connected to, and what is said there arrives nowhere.
    world.network.drop = ({ from, to }) => from === "alice" && to === "bob";
    const until = world.time.now() + 20_000;
    while (world.time.now() < until) {
      const begun = world.time.now();
      await world.time.of(alice.node.request(bob.node.peerId, note, numbered(sent++, 1_000)));
      answered++;
      expect(world.time.now() - begun).toBeLessThanOrEqual(10 * hopMs);
      await world.time.pass(1_000);
    }
    checkAllOnce();
    const asked = world.traffic.filter(({ from, to }) => from === "alice" && to === "bob");
    expect(asked.length).toBeGreaterThan(0);
    expect(asked.length).toBeLessThan(6);
    for (const { envelope } of asked) expect(envelope.length).toBeLessThan(300);
  });

  test("is not waited for when the relay is lost meanwhile", async () => {
    const other = await world.relay("other");
    await joinBob();
    const allow = world.network.block("alice", "bob");
    await talk(6_000);
    const used = [relay, other].find(({ node }) =>
      alice.node.links().some((link) => link.transport === "relay" && link.remote.includes(node.peerId)),
    )!;
    allow();
    world.network.drop = ({ from, to }) => from === "alice" && to === "bob";
    while (!world.traffic.some(({ from, to }) => from === "alice" && to === "bob")) await talk(1_000);
    await world.kill(used);
    const begun = world.time.now();
    await world.time.of(alice.node.request(bob.node.peerId, note, numbered(sent++)));
    expect(world.time.now() - begun).toBeLessThan(1_000);
  });
});

test("a direct way that breaks as soon as it is used is taken ever more rarely, and nothing is lost", async () => {
  await joinBob();
  const allow = world.network.block("alice", "bob");
  await talk(2_000);
  allow();
  for (let second = 0; second < 120; second += 5) {
    await talk(5_000, 4, 5_000);
    world.network.cut("alice", "bob");
  }
  const answers = alice.events.filter(
    (event) => event.kind === "link" && event.state === "answered" && event.peer === bob.node.peerId,
  );
  // After 5, 10, 20, 40 and 80 s.
  expect(answers.length).toBeGreaterThan(2);
  expect(answers.length).toBeLessThanOrEqual(5);
  checkAllOnce();
});

describe("a newer contact record", () => {
  let seq = 0;
  /** What bob says of himself. */
  function recordOf({ keys, peer }: Identity, strategies: readonly Strategy[]): Uint8Array {
    const record = { id: peer, seq: ++seq, issued: world.time.now(), ttl: 24 * hourMs, services: [], gone: false };
    return signContactRecord({ ...record, strategies: [...strategies] }, (message) => keys.sign(message));
  }
  const direct = MemoryNetwork.strategy("bob");
  const outdated = MemoryNetwork.strategy("nowhere");
  let relayed: Strategy;
  beforeEach(async () => {
    await joinUnlistedBob();
    relayed = { kind: "relay", relay: relay.node.peerId };
  });

  test("that names a way that is new has it tried with the next word", async () => {
    alice.node.learn(recordOf(bob.identity, [outdated, relayed]));
    await talk(20_000);
    expect(waysOf(alice, bob.node.peerId)).toEqual(["relay"]);
    alice.node.learn(recordOf(bob.identity, [direct, relayed]));
    await talk(1_000);
    expect(waysOf(alice, bob.node.peerId)).toContain("memory");
    checkAllOnce();
  });

  test("that names nothing new changes nothing", async () => {
    alice.node.learn(recordOf(bob.identity, [outdated, relayed]));
    await talk(20_000);
    const dials = failedDials().length;
    alice.node.learn(recordOf(bob.identity, [outdated, relayed]));
    await talk(10_000);
    expect(failedDials()).toHaveLength(dials);
  });

  test("is looked for when the ways of the one that is known fail", async () => {
    alice.node.learn(recordOf(bob.identity, [outdated, relayed]));
    await talk(10_000);
    await world.lookup.publish(recordOf(bob.identity, [direct, relayed]));
    await talk(20_000);
    expect(waysOf(alice, bob.node.peerId)).toContain("memory");
  });

  test("of ever new ways costs no more than a try in five seconds", async () => {
    alice.node.learn(recordOf(bob.identity, [relayed]));
    for (let second = 0; second < 30; second++) {
      alice.node.learn(recordOf(bob.identity, [MemoryNetwork.strategy(`nowhere-${second}`), relayed]));
      await talk(1_000);
    }
    expect(failedDials().length).toBeLessThanOrEqual(7);
  });
});

test("what the program says of a peer that is spoken to through a relay is tried with the next word", async () => {
  await joinUnlistedBob();
  alice.node.introduce(bob.node.peerId, [{ kind: "relay", relay: relay.node.peerId }]);
  await talk(10_000);
  expect(waysOf(alice, bob.node.peerId)).toEqual(["relay"]);
  alice.node.introduce(bob.node.peerId, [MemoryNetwork.strategy("bob"), { kind: "relay", relay: relay.node.peerId }]);
  await talk(1_000);
  expect(waysOf(alice, bob.node.peerId)).toContain("memory");
});
