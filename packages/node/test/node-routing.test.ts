/** How a node finds its peers: fast fail with reasons, the order of strategies, wrong peers, challenges, contact records. */
import { createIdentity, type Identity } from "@egtp/mesgen";
import { defineMessage, type PeerId, type Strategy, signContactRecord, verifyContactRecord } from "@egtp/wire";
import { afterEach, beforeEach, expect, test } from "vitest";
import { createNode, type LookUpRequest, type Lookup, type NodeEvent, type SendOutcome } from "../src/index.ts";
import { MemoryNetwork } from "../src/memory.ts";
import { errorOf, hopMs, World } from "./world.ts";

const note = defineMessage("test/note");
const body = Uint8Array.of(1);

let world: World;
beforeEach(() => {
  world = new World();
});
afterEach(() => world.end());

function record(identity: Identity, strategies: readonly Strategy[], seq = 1, gone = false): Uint8Array {
  const issued = world.time.now();
  return signContactRecord(
    { id: identity.peer, seq, issued, ttl: 3_600_000, strategies, services: [], gone },
    (message) => identity.keys.sign(message),
  );
}

function reasonsOf(outcome: SendOutcome): string[] {
  if (outcome.state !== "unreachable") throw new Error(`It is ${outcome.state}`);
  return outcome.reasons.map(({ strategy, error }) => `${strategy}: ${(error as { code: string }).code}`);
}

test("without any record of the peer a message fails at once", async () => {
  const { node } = await world.join("alice");
  const begun = world.time.now();
  const stranger = createIdentity().peer;
  const outcome = await world.time.of(node.send(stranger, note, body));
  expect(reasonsOf(outcome)).toEqual(["lookup: EGTP_NO_CONTACT_RECORD"]);
  expect(world.time.now()).toBe(begun);
  const error = await errorOf(world.time.of(node.request(stranger, note, body)));
  expect(error).toMatchObject({ code: "EGTP_UNREACHABLE", peer: stranger });
  expect((error as { reasons: unknown[] }).reasons).toHaveLength(1);
  expect((error as Error).message).toContain("No contact record");
  expect((error as { hint: string }).hint).toBeDefined();
});

test("a node made of an identity alone says that nothing can dial", async () => {
  const node = await createNode({ identity: createIdentity() });
  await node.start();
  const peer = createIdentity().peer;
  node.introduce(peer, [{ kind: "tcp", host: "192.0.2.1", port: 1 }]);
  expect(reasonsOf(await node.send(peer, note, body))).toEqual(["tcp 192.0.2.1:1: EGTP_NO_TRANSPORT"]);
  await node.stop();
});

test("every strategy that was tried says why it failed, in order: direct before relayed, routable before private", async () => {
  const { node } = await world.join("alice");
  const peer = createIdentity();
  const relay = createIdentity().peer;
  node.learn(
    record(peer, [
      { kind: "relay", relay },
      { kind: "tcp", host: "10.0.0.1", port: 7 },
      { kind: "websocket", url: "wss://example.org/egtp" },
      MemoryNetwork.strategy("nowhere"),
    ]),
  );
  expect(reasonsOf(await world.time.of(node.send(peer.peer, note, body)))).toEqual([
    "websocket wss://example.org/egtp: EGTP_NO_TRANSPORT",
    "tcp nowhere.memory.invalid:1: EGTP_DIAL_NAME_NOT_FOUND",
    "tcp 10.0.0.1:7: EGTP_DIAL_FORBIDDEN",
    `relay ${relay}: EGTP_NO_TRANSPORT`,
  ]);
});

test("private addresses of records are dialled when it is allowed, and those one was told always", async () => {
  const peer = createIdentity();
  const strategy: Strategy = { kind: "tcp", host: "10.0.0.1", port: 7 };
  const { node: careful } = await world.join("careful");
  careful.introduce(peer.peer, [strategy]);
  expect(reasonsOf(await world.time.of(careful.send(peer.peer, note, body)))).toEqual([
    "tcp 10.0.0.1:7: EGTP_NO_TRANSPORT",
  ]);
  const { node: open } = await world.join("open", { allowPrivateAddresses: true });
  open.learn(record(peer, [strategy]));
  expect(reasonsOf(await world.time.of(open.send(peer.peer, note, body)))).toEqual([
    "tcp 10.0.0.1:7: EGTP_NO_TRANSPORT",
  ]);
});

test("a peer that said goodbye, and one with no way in, are told apart", async () => {
  const { node } = await world.join("alice");
  const gone = createIdentity();
  node.learn(record(gone, [], 2, true));
  expect(reasonsOf(await world.time.of(node.send(gone.peer, note, body)))).toEqual(["contact record: EGTP_PEER_GONE"]);
  const hidden = createIdentity();
  node.learn(record(hidden, []));
  expect(reasonsOf(await world.time.of(node.send(hidden.peer, note, body)))).toEqual([
    "contact record: EGTP_NO_STRATEGIES",
  ]);
});

test("a lookup that fails is among the reasons", async () => {
  const { node } = await world.join("alice", {
    lookup: { kind: "broken", lookUp: () => Promise.reject(new Error("no")) },
    isListed: false,
  });
  expect(reasonsOf(await world.time.of(node.send(createIdentity().peer, note, body)))).toEqual([
    "lookup broken: EGTP_LOOKUP_FAILED",
  ]);
});

test("what must not fail fast is tried again until the peer is there", async () => {
  const alice = await world.join("alice");
  const identity = createIdentity();
  const outcome = alice.node.send(identity.peer, note, body, { failFast: false, timeoutMs: 120_000 });
  const fast = await world.time.of(alice.node.send(identity.peer, note, body));
  expect(fast.state).toBe("unreachable");
  await world.time.pass(20_000);
  const bob = await world.join("bob", { identity });
  bob.node.handle(note, () => {});
  expect(await world.time.of(outcome, 60_000)).toEqual({ state: "delivered" });
});

test("attempts become rarer, and a new message is tried at once", async () => {
  const alice = await world.join("alice");
  const peer = createIdentity().peer;
  alice.node.introduce(peer, [MemoryNetwork.strategy("nowhere")]);
  const outcome = alice.node.send(peer, note, body, { failFast: false, timeoutMs: 300_000 });
  await world.time.pass(100_000);
  const { dials } = alice.node.stats();
  expect(dials).toBeGreaterThan(5);
  expect(dials).toBeLessThan(15);
  const begun = world.time.now();
  expect((await world.time.of(alice.node.send(peer, note, body))).state).toBe("unreachable");
  expect(world.time.now() - begun).toBeLessThanOrEqual(2 * hopMs);
  expect(reasonsOf(await world.time.of(outcome))).toEqual(["tcp nowhere.memory.invalid:1: EGTP_DIAL_NAME_NOT_FOUND"]);
  await world.time.pass(60_000);
  const quiet = alice.node.stats().dials;
  await world.time.pass(3_600_000);
  expect(alice.node.stats().dials).toBe(quiet);
});

test("a program that keeps sending makes attempts neither rarer nor more frequent, and the peer's return is noticed", async () => {
  const alice = await world.join("alice");
  const identity = createIdentity();
  alice.node.introduce(identity.peer, [MemoryNetwork.strategy("bob")]);
  const outcomes: Promise<SendOutcome>[] = [];
  const sendFor = async (ms: number): Promise<void> => {
    const end = world.time.now() + ms;
    while (world.time.now() < end) {
      outcomes.push(alice.node.send(identity.peer, note, body, { failFast: false, timeoutMs: 600_000 }));
      await world.time.pass(20);
    }
  };
  await sendFor(60_000);
  // After 0.1, 0.2, 0.4, 0.8, 1.6, 3.2 seconds, then every 4 seconds: time alone counts.
  expect(alice.node.stats().dials).toBeGreaterThan(12);
  expect(alice.node.stats().dials).toBeLessThan(30);
  const bob = await world.join("bob", { identity });
  bob.node.handle(note, () => {});
  await sendFor(5_500);
  expect(alice.node.stats().delivered).toBeGreaterThan(3_000);
  expect(new Set((await world.time.of(Promise.all(outcomes))).map(({ state }) => state))).toEqual(
    new Set(["delivered"]),
  );
});

test("what must fail fast does so at once, however often, for ten dials and lookups a second", async () => {
  let lookups = 0;
  const lookUp = async (): Promise<undefined> => {
    lookups++;
  };
  const alice = await world.join("alice", { lookup: { kind: "counting", lookUp }, isListed: false });
  const identity = createIdentity();
  alice.node.introduce(identity.peer, [MemoryNetwork.strategy("bob")]);
  const begun = world.time.now();
  while (world.time.now() < begun + 2_000) {
    const sent = world.time.now();
    expect(reasonsOf(await world.time.of(alice.node.send(identity.peer, note, body)))).toEqual([
      "tcp bob.memory.invalid:1: EGTP_DIAL_NAME_NOT_FOUND",
    ]);
    expect(world.time.now() - sent).toBeLessThanOrEqual(hopMs);
    await world.time.pass(10);
  }
  expect(alice.node.stats().dials).toBeLessThanOrEqual(20);
  expect(lookups).toBeLessThanOrEqual(20);
  const bob = await world.join("bob", { identity, isListed: false });
  bob.node.handle(note, () => {});
  await world.time.pass(100);
  expect(await world.time.of(alice.node.send(identity.peer, note, body))).toEqual({ state: "delivered" });
});

test("what must fail fast is tried at once, even if an attempt for something else failed just now", async () => {
  const alice = await world.join("alice");
  const identity = createIdentity();
  alice.node.introduce(identity.peer, [MemoryNetwork.strategy("bob")]);
  const patient = alice.node.send(identity.peer, note, body, { failFast: false });
  await world.time.run(() => alice.node.stats().dials === 5);
  const bob = await world.join("bob", { identity });
  bob.node.handle(note, () => {});
  const begun = world.time.now();
  expect(await world.time.of(alice.node.send(identity.peer, note, body))).toEqual({ state: "delivered" });
  expect(world.time.now() - begun).toBeLessThan(100);
  expect(await world.time.of(patient)).toEqual({ state: "delivered" });
});

test("what could not leave until its deadline says why, message and request alike", async () => {
  const alice = await world.join("alice");
  const peer = createIdentity().peer;
  alice.node.introduce(peer, [MemoryNetwork.strategy("nowhere"), { kind: "websocket", url: "wss://example.org/egtp" }]);
  const options = { failFast: false, timeoutMs: 3_000 };
  const outcome = alice.node.send(peer, note, body, options);
  const error = errorOf(alice.node.request(peer, note, body, options));
  expect(reasonsOf(await world.time.of(outcome))).toEqual([
    "tcp nowhere.memory.invalid:1: EGTP_DIAL_NAME_NOT_FOUND",
    "websocket wss://example.org/egtp: EGTP_NO_TRANSPORT",
  ]);
  expect(await world.time.of(error)).toMatchObject({ code: "EGTP_UNREACHABLE", reasons: [{}, {}] });
  // While the first attempt is still under way no more is known than that.
  const { node } = await world.join("carol", {
    lookup: { kind: "slow", lookUp: () => new Promise(() => {}) },
    isListed: false,
  });
  expect(reasonsOf(await world.time.of(node.send(peer, note, body, { timeoutMs: 1_000 })))).toEqual([
    "none: EGTP_NOT_IN_TIME",
  ]);
});

test("many peers may be looked for at once, and Node.js has nothing to warn of", async () => {
  const warnings: Error[] = [];
  const take = (warning: Error): unknown => warnings.push(warning);
  process.on("warning", take);
  const never = (): Promise<never> => new Promise(() => {});
  const { node } = await world.join("alice", { lookup: { kind: "slow", lookUp: never }, isListed: false });
  const sends = Array.from({ length: 20 }, () => node.send(createIdentity().peer, note, body, { timeoutMs: 1_000 }));
  const outcomes = await world.time.of(Promise.all(sends));
  process.off("warning", take);
  expect(outcomes.every(({ state }) => state === "unreachable")).toBe(true);
  expect(warnings).toEqual([]);
});

test("dials to a peer are merged", async () => {
  const alice = await world.join("alice");
  const bob = await world.join("bob");
  bob.node.handle(note, () => {});
  const outcomes = Array.from({ length: 20 }, () => alice.node.send(bob.node.peerId, note, body));
  await world.time.of(Promise.all(outcomes));
  expect(alice.node.stats().dials).toBe(1);
});

test("whoever is not the peer closes the link, the next strategy is tried at once, and it is told", async () => {
  const alice = await world.join("alice");
  await world.join("mallory");
  const bob = await world.join("bob", { isListed: false });
  bob.node.handle(note, () => {});
  alice.node.introduce(bob.node.peerId, [MemoryNetwork.strategy("mallory"), MemoryNetwork.strategy("bob")]);
  const begun = world.time.now();
  expect(await world.time.of(alice.node.send(bob.node.peerId, note, body))).toEqual({ state: "delivered" });
  // Connect and be turned away; connect again and deliver.
  expect(world.time.now() - begun).toBeLessThan(100);
  const failed = alice.events.filter((event) => event.kind === "dial-failed");
  expect(failed).toMatchObject([{ strategy: "tcp mallory.memory.invalid:1", peer: bob.node.peerId }]);
  expect((failed[0] as { error: { code: string } }).error.code).toBe("EGTP_WRONG_PEER");
});

test("a wrong peer alone: the message may have left, so it is kept and expires; the error says what failed", async () => {
  const alice = await world.join("alice");
  await world.join("mallory");
  const peer = createIdentity().peer;
  alice.node.introduce(peer, [MemoryNetwork.strategy("mallory")]);
  const error = await errorOf(world.time.of(alice.node.request(peer, note, body, { timeoutMs: 5_000 })));
  expect(error).toMatchObject({ code: "EGTP_TIMEOUT" });
  const [reason] = (error as { reasons: { strategy: string; error: { code: string } }[] }).reasons;
  expect(reason).toMatchObject({ strategy: "tcp mallory.memory.invalid:1", error: { code: "EGTP_WRONG_PEER" } });
});

test("a strategy that takes long holds up nobody: the next one is tried beside it", async () => {
  const alice = await world.join("alice");
  const bob = await world.join("bob", { isListed: false });
  bob.node.handle(note, () => {});
  await world.join("deaf");
  const releases = [world.network.hold("deaf", "alice"), world.network.hold("alice", "deaf")];
  alice.node.introduce(bob.node.peerId, [MemoryNetwork.strategy("deaf"), MemoryNetwork.strategy("bob")]);
  const begun = world.time.now();
  expect(await world.time.of(alice.node.send(bob.node.peerId, note, body))).toEqual({ state: "delivered" });
  expect(world.time.now() - begun).toBeLessThan(1_000);
  for (const release of releases) release();
});

test("a strategy that failed goes to the back for a while", async () => {
  const alice = await world.join("alice");
  const bob = await world.join("bob", { isListed: false });
  bob.node.handle(note, () => {});
  alice.node.introduce(bob.node.peerId, [MemoryNetwork.strategy("nowhere"), MemoryNetwork.strategy("bob")]);
  await world.time.of(alice.node.send(bob.node.peerId, note, body));
  expect(alice.node.stats().dials).toBe(2);
  world.network.cut("alice");
  await world.time.pass(100);
  await world.time.of(alice.node.send(bob.node.peerId, note, body));
  expect(alice.node.stats().dials).toBe(3);
});

test("a link that broke is dialled anew, and what it lost is sent again", async () => {
  const alice = await world.join("alice");
  const bob = await world.join("bob");
  const received: number[] = [];
  bob.node.handle(note, ({ body }) => {
    received.push(body[0]!);
  });
  await world.time.of(alice.node.send(bob.node.peerId, note, Uint8Array.of(0)));
  world.network.drop = ({ to }) => to === "bob";
  const lost = alice.node.send(bob.node.peerId, note, Uint8Array.of(1));
  await world.time.pass(50);
  world.network.drop = undefined;
  world.network.cut("alice", "bob");
  expect(await world.time.of(lost)).toEqual({ state: "delivered" });
  expect(received).toEqual([0, 1]);
});

test("a link that falls silent loses its preference, and another way is found", async () => {
  const alice = await world.join("alice");
  const bob = await world.join("bob");
  bob.node.handle(note, () => {});
  await world.time.of(alice.node.send(bob.node.peerId, note, body));
  let isFirst = true;
  const drop = world.traffic.length;
  world.network.drop = () => isFirst && world.traffic.length > drop;
  const begun = world.time.now();
  const outcome = alice.node.send(bob.node.peerId, note, body);
  await world.time.run(() => alice.events.some((event) => event.kind === "link" && event.state === "silent"));
  isFirst = false;
  expect(await world.time.of(outcome)).toEqual({ state: "delivered" });
  expect(world.time.now() - begun).toBeLessThan(4_000);
  expect(alice.node.stats().dials).toBe(2);
});

test("a link over which a message was taken in and nothing more comes falls silent, too", async () => {
  const alice = await world.join("alice");
  const bob = await world.join("bob");
  let finish = (): void => {};
  bob.node.handle(
    note,
    () =>
      new Promise<void>((resolve) => {
        finish = resolve;
      }),
  );
  const outcome = alice.node.send(bob.node.peerId, note, body);
  await world.time.pass(100);
  const begun = world.time.now();
  // His machine hangs. It has said that it received the message, so that is not sent again.
  world.network.drop = () => true;
  await world.time.run(() => alice.events.some((event) => event.kind === "link" && event.state === "silent"));
  // Asked after a second, and heard of no more for two.
  expect(world.time.now() - begun).toBeLessThan(3_100);
  world.network.drop = undefined;
  finish();
  expect(await world.time.of(outcome)).toEqual({ state: "delivered" });
});

test("an answer goes down the link that the peer opened when it has no other, and both ends challenge it", async () => {
  const server = await world.join("server");
  const client = await world.join("client", { listen: false });
  server.node.handle(note, () => {});
  client.node.handle(note, () => {});
  await world.time.of(client.node.send(server.node.peerId, note, body));
  await world.time.pass(100);
  expect(server.node.links()).toMatchObject([{ peer: client.node.peerId, direction: "incoming", isAnswered: true }]);
  expect(client.node.links()).toMatchObject([{ isAnswered: true }]);
  expect(await world.time.of(server.node.send(client.node.peerId, note, body))).toEqual({ state: "delivered" });
  expect(server.node.stats().dials).toBe(0);
});

test("over a link that did not answer a challenge at most three times the bytes received are sent", async () => {
  const server = await world.join("server");
  const client = await world.join("client", { listen: false });
  // The client's second envelope, with the answer to the challenge, is long in coming.
  server.node.handle(note, () => new Uint8Array(50_000));
  let go = (): void => {};
  await world.time.pass(10);
  const reply = client.node.request(server.node.peerId, note, body);
  await world.time.run(() => world.network.bytes("client", "server") > 0);
  go = world.network.hold("client", "server");
  await world.time.pass(1_500);
  const received = world.network.bytes("client", "server");
  expect(world.network.bytes("server", "client")).toBeGreaterThan(0);
  expect(world.network.bytes("server", "client")).toBeLessThanOrEqual(3 * received);
  go();
  expect(await world.time.of(reply)).toHaveLength(50_000);
});

test("whoever passes on a fresh envelope first does not capture the peer's traffic", async () => {
  const alice = await world.join("alice");
  const bob = await world.join("bob");
  const received: number[] = [];
  alice.node.handle(note, ({ body }) => {
    received.push(body[0]!);
  });
  bob.node.handle(note, () => {});
  await world.time.of(alice.node.send(bob.node.peerId, note, body));
  await world.time.of(alice.node.send(bob.node.peerId, note, body));
  // Mallory sees what Alice sends next, keeps it from Bob, and brings it to him over a link of her own.
  let seen: Uint8Array | undefined;
  world.network.drop = ({ from, envelope }) => {
    if (from !== "alice" || seen !== undefined) return false;
    seen = envelope;
    return true;
  };
  const first = alice.node.send(bob.node.peerId, note, body);
  await world.time.run(() => seen !== undefined);
  world.network.cut("alice", "bob");
  const mallory = world.network.transport("mallory");
  const link = await world.time.of(
    mallory.dial(MemoryNetwork.strategy("bob"), bob.node.peerId, { signal: new AbortController().signal }),
  );
  link.start({ envelope: () => {}, drain: () => {}, closed: () => {} });
  link.send(seen!);
  await world.time.run(() => bob.node.links().some(({ remote }) => remote === "memory:mallory"));
  await world.time.pass(2 * hopMs);
  // What Bob says reaches Alice all the same: Mallory's link never answers, and gets little.
  const begun = world.time.now();
  expect(await world.time.of(bob.node.send(alice.node.peerId, note, Uint8Array.of(3)))).toEqual({ state: "delivered" });
  expect(await world.time.of(first)).toEqual({ state: "delivered" });
  expect(world.time.now() - begun).toBeLessThan(3_000);
  expect(received).toEqual([3]);
  expect(bob.node.links().find(({ remote }) => remote === "memory:mallory")).toMatchObject({ isAnswered: false });
  expect(world.network.bytes("bob", "mallory")).toBeLessThanOrEqual(3 * world.network.bytes("mallory", "bob"));
  link.close();
});

test("an answer to the challenge of one link does not make another one the peer's", async () => {
  const alice = await world.join("alice");
  const bob = await world.join("bob");
  for (const { node } of [alice, bob]) node.handle(note, () => {});
  // Of what Alice says only the first word arrives; the rest, answers to Bob's challenges in it, Mallory takes.
  const taken: Uint8Array[] = [];
  let isFirst = true;
  world.network.drop = ({ from, envelope }) => {
    if (from !== "alice" || envelope === undefined) return false;
    if (isFirst) isFirst = false;
    else taken.push(envelope);
    return taken.length > 0;
  };
  const sent = Array.from({ length: 3 }, (_, i) =>
    alice.node.send(bob.node.peerId, note, Uint8Array.of(i), { failFast: false }),
  );
  void bob.node.send(alice.node.peerId, note, body, { failFast: false });
  await world.time.run(() => taken.length >= 6);
  const mallory = world.network.transport("mallory");
  const link = await world.time.of(
    mallory.dial(MemoryNetwork.strategy("bob"), bob.node.peerId, { signal: new AbortController().signal }),
  );
  let challenges = 0;
  link.start({ envelope: () => challenges++, drain: () => {}, closed: () => {} });
  for (const envelope of taken) {
    link.send(envelope);
    await world.time.pass(1_100);
  }
  expect(challenges).toBeGreaterThan(0);
  expect(bob.node.links().find(({ remote }) => remote === "memory:mallory")).toMatchObject({
    peer: alice.node.peerId,
    isAnswered: false,
  });
  link.close();
  world.network.drop = undefined;
  expect(await world.time.of(Promise.all(sent))).toEqual(Array(3).fill({ state: "delivered" }));
});

test("the contact record goes along with an offer, so that the peer can dial back", async () => {
  const alice = await world.join("alice", { isListed: false });
  const bob = await world.join("bob", { isListed: false });
  bob.node.handle(note, () => {});
  alice.node.handle(note, () => {});
  alice.node.introduce(bob.node.peerId, [MemoryNetwork.strategy("bob")]);
  await world.time.of(alice.node.send(bob.node.peerId, note, body));
  world.network.cut("alice", "bob");
  await world.time.pass(100);
  expect(await world.time.of(bob.node.send(alice.node.peerId, note, body))).toEqual({ state: "delivered" });
  expect(bob.node.stats().dials).toBe(1);
});

test("the record is numbered above what was published before, and published anew when the ways in change", async () => {
  const identity = createIdentity();
  await world.lookup.publish(record(identity, [], world.time.now() + 1_000_000));
  const alice = await world.join("alice", { identity });
  const published = async (): Promise<ReturnType<typeof verifyContactRecord>> =>
    verifyContactRecord((await world.lookup.lookUp(identity.peer))!, world.time.now());
  const first = await published();
  expect(first.seq).toBe(world.time.now() + 1_000_001);
  expect(first.strategies).toEqual([MemoryNetwork.strategy("alice")]);
  const relay = createIdentity().peer;
  alice.node.advertise([{ kind: "relay", relay }]);
  await world.time.pass(10);
  const second = await published();
  expect(second.seq).toBeGreaterThan(first.seq);
  expect(second.strategies).toEqual([MemoryNetwork.strategy("alice"), { kind: "relay", relay }]);
  await world.time.pass(9 * 3_600_000);
  const third = await published();
  expect(third.seq).toBeGreaterThan(second.seq);
  expect(third.issued).toBeGreaterThan(second.issued);
  expect(alice.events.filter((event: NodeEvent) => event.kind === "published")).toHaveLength(3);
});

test("a record of ours that shows itself only when we publish is published above at once", async () => {
  const identity = createIdentity();
  const ahead = world.time.now() + 1_000_000;
  await world.lookup.publish(record(identity, [], ahead));
  const forgetful: Lookup = {
    kind: "forgetful",
    lookUp: async () => undefined,
    publish: (bytes) => world.lookup.publish(bytes),
  };
  const alice = await world.join("alice", { identity, lookup: forgetful, isListed: false });
  expect(verifyContactRecord((await world.lookup.lookUp(identity.peer))!, world.time.now()).seq).toBe(ahead + 1);
  expect(alice.events).toMatchObject([{ kind: "published", seq: ahead + 1, error: undefined }]);
});

test.each([
  ["went back by a week", 7 * 86_400_000],
  ["went forward by a week", -7 * 86_400_000],
])("a peer whose clock %s publishes above the record that it made before", async (_, aheadMs) => {
  const identity = createIdentity();
  const seq = world.time.now() + 30 * 86_400_000;
  const before = signContactRecord(
    {
      id: identity.peer,
      seq,
      strategies: [],
      services: [],
      gone: false,
      issued: world.time.now() + aheadMs,
      ttl: 1_000,
    },
    (message) => identity.keys.sign(message),
  );
  const published: number[] = [];
  const lookup: Lookup = {
    kind: "keeper",
    lookUp: async () => before,
    publish: async (bytes) => {
      published.push(verifyContactRecord(bytes, world.time.now()).seq);
      return undefined;
    },
  };
  await world.join("alice", { identity, lookup, isListed: false });
  expect(published).toEqual([seq + 1]);
});

test("a record with a lower number is believed when the one with the higher leads nowhere: its peer forgot it", async () => {
  const bob = await world.join("bob", { isListed: false });
  bob.node.handle(note, () => {});
  const recordOf = (seq: number, place: string): Uint8Array =>
    signContactRecord(
      {
        id: bob.node.peerId,
        seq,
        issued: world.time.now(),
        ttl: 86_400_000,
        strategies: [MemoryNetwork.strategy(place)],
        services: [],
        gone: false,
      },
      (message) => bob.identity.keys.sign(message),
    );
  const lookup = { kind: "forgetful", lookUp: async () => recordOf(1, "bob") };
  const alice = await world.join("alice", { lookup, isListed: false });
  alice.node.learn(recordOf(2, "nowhere"));
  const sent = alice.node.send(bob.node.peerId, note, body);
  expect(await world.time.of(sent)).toEqual({ state: "delivered" });
});

test("what comes of a record while another is looked up is not given up for an older answer", async () => {
  const bob = await world.join("bob", { isListed: false });
  bob.node.handle(note, () => {});
  const recordOf = (seq: number, place: string) => record(bob.identity, [MemoryNetwork.strategy(place)], seq);
  const lookup: Lookup = {
    kind: "late",
    lookUp: async () => {
      alice.node.learn(recordOf(3, "bob"));
      return recordOf(1, "nowhere");
    },
  };
  const alice = await world.join("alice", { lookup, isListed: false });
  alice.node.learn(recordOf(2, "nowhere"));
  const sent = alice.node.send(bob.node.peerId, note, body);
  expect(await world.time.of(sent)).toEqual({ state: "delivered" });
});

test("two nodes with one identity do not outbid each other without end", async () => {
  const identity = createIdentity();
  let attempts = 0;
  const contested: Lookup = {
    kind: "contested",
    lookUp: async () => undefined,
    publish: async (bytes) => {
      attempts += 1;
      return record(identity, [], verifyContactRecord(bytes, world.time.now()).seq);
    },
  };
  const alice = await world.join("alice", { identity, lookup: contested, isListed: false });
  expect(attempts).toBe(3);
  expect(alice.events).toMatchObject([{ kind: "published", error: { code: "EGTP_RECORD_CONTESTED" } }]);
});

test("a lookup is told which record was tried in vain", async () => {
  const bob = createIdentity();
  const asked: (number | undefined)[] = [];
  const lookUp: Lookup["lookUp"] = async (_, { tried }) => {
    asked.push(tried);
    return record(bob, [MemoryNetwork.strategy("nowhere")], asked.length);
  };
  const alice = await world.join("alice", { lookup: { kind: "counting", lookUp }, isListed: false });
  await world.time.of(alice.node.send(bob.peer, note, body));
  await world.time.pass(200);
  await world.time.of(alice.node.send(bob.peer, note, body));
  expect(asked).toEqual([undefined, 1]);
});

test("a node that leaves for good says goodbye in the directory, and only then", async () => {
  const alice = await world.join("alice");
  const bob = await world.join("bob");
  const carol = await world.join("carol");
  await world.time.of(alice.node.stop());
  await world.time.of(bob.node.stop({ goodbye: true }));
  const recordOf = async (peer: PeerId) => verifyContactRecord((await world.lookup.lookUp(peer))!, world.time.now());
  expect(await recordOf(alice.node.peerId)).toMatchObject({ gone: false });
  expect(await recordOf(bob.node.peerId)).toMatchObject({ gone: true, strategies: [], services: [] });
  const outcome = await world.time.of(carol.node.send(bob.node.peerId, note, body));
  expect(reasonsOf(outcome)).toEqual(["contact record: EGTP_PEER_GONE"]);
});

test("a peer that accepts and breaks off again and again is not dialled without a pause", async () => {
  const alice = await world.join("alice");
  const bob = await world.join("bob");
  world.network.drop = ({ from, envelope }) => from === "bob" && envelope !== undefined && envelope.length > 250;
  const breaker = (async () => {
    for await (const event of alice.node.events({ kinds: ["link"] })) {
      if (event.kind === "link" && event.state === "answered") world.network.cut("alice", "bob");
    }
  })();
  const outcome = alice.node.send(bob.node.peerId, note, body, { timeoutMs: 60_000 });
  await world.time.pass(60_000);
  expect(alice.node.stats().dials).toBeGreaterThan(1);
  expect(alice.node.stats().dials).toBeLessThan(30);
  await outcome;
  await world.time.of(alice.node.stop());
  await breaker;
});

test("a newer record replaces the older, never the other way round", async () => {
  const alice = await world.join("alice");
  const bob = await world.join("bob", { isListed: false });
  bob.node.handle(note, () => {});
  const peer = createIdentity();
  alice.node.learn(record(peer, [MemoryNetwork.strategy("bob")], 5));
  alice.node.learn(record(peer, [MemoryNetwork.strategy("old")], 4));
  const outcome = await world.time.of(alice.node.send(peer.peer, note, body, { timeoutMs: 1_000 }));
  // Bob is not that peer, but it was he who was dialled.
  expect(outcome.state).toBe("expired");
  const failed = alice.events.find((event) => event.kind === "dial-failed");
  expect(failed).toMatchObject({ strategy: "tcp bob.memory.invalid:1" });
  const forged = record(peer, [], 9);
  forged[5]! ^= 1;
  expect(() => alice.node.learn(forged)).toThrow(/did not sign/);
});

test("a record is looked up anew when the one that is known was tried in vain", async () => {
  const peer = createIdentity();
  const tried: (number | undefined)[] = [];
  const alice = await world.join("alice", {
    isListed: false,
    lookup: {
      kind: "test",
      lookUp: async (_peer, options) => {
        tried.push(options.tried);
        return record(peer, [], 5 + tried.length);
      },
    },
  });
  const seqOf = async (options?: LookUpRequest): Promise<number> =>
    verifyContactRecord((await alice.node.lookUp(peer.peer, options))!, world.time.now()).seq;
  expect(await seqOf()).toBe(6);
  expect(await seqOf()).toBe(6);
  expect(await seqOf({ tried: 5 })).toBe(6);
  expect(await seqOf({ tried: 6 })).toBe(7);
  expect(tried).toEqual([undefined, 6]);
});

test("a peer is linked while a link is open on which it was heard", async () => {
  const { node: bob } = await world.join("bob");
  bob.handle(note, () => {});
  const { node: alice } = await world.join("alice", { listen: false });
  expect([alice.isLinked(bob.peerId), bob.isLinked(alice.peerId)]).toEqual([false, false]);
  await world.time.of(alice.send(bob.peerId, note, body));
  expect([alice.isLinked(bob.peerId), bob.isLinked(alice.peerId)]).toEqual([true, true]);
  await world.time.of(alice.stop());
  await world.time.run(() => !bob.isLinked(alice.peerId), 10_000);
});

test("a peer that is gone is not dialled without end for a receipt that it will never ask for", async () => {
  const alice = await world.join("alice");
  const bob = await world.join("bob");
  alice.node.handle(note, () => {});
  await world.time.of(bob.node.send(alice.node.peerId, note, body));
  await world.time.pass(5_000);
  // Bob dies when his message has arrived and its receipt, which may wait a little, has not left.
  void bob.node.send(alice.node.peerId, note, body, { prompt: false });
  const { messagesIn } = alice.node.stats();
  await world.time.run(() => alice.node.stats().messagesIn > messagesIn);
  world.network.cut("bob");
  world.network.block("alice", "bob");
  void bob.node.stop();
  const { dials } = alice.node.stats();
  await world.time.pass(20 * 60_000);
  const after = alice.node.stats().dials;
  expect(after).toBeGreaterThan(dials);
  await world.time.pass(120 * 60_000);
  expect(alice.node.stats().dials).toBe(after);
});
