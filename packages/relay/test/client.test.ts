/** Sending by way of relays: what a program sees of it, and what a relay is asked. */
import { createIdentity, type PeerId, type SendOutcome } from "@egtp/node";
import { MemoryNetwork } from "@egtp/node/memory";
import { defineMessage, equalBytes } from "@egtp/wire";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { relayClient } from "../src/index.ts";
import { encodePassAlongStatus } from "../src/protocol.ts";
import { hopMs, type RelayedPeer, type RelayNode, World, type WorldNode } from "./world.ts";

const note = defineMessage("test/note");
const body = Uint8Array.of(1);

let world: World;
beforeEach(() => {
  world = new World();
});
afterEach(() => world.end());

/** Records the first bytes of what comes in, as numbers. */
function listen({ node }: WorldNode): number[] {
  const heard: number[] = [];
  node.handle(note, ({ body }) => {
    heard.push(numberIn(body));
    return body;
  });
  return heard;
}

function numbered(number: number, length = 4): Uint8Array {
  const body = new Uint8Array(length);
  new DataView(body.buffer).setUint32(0, number);
  return body;
}

function numberIn(body: Uint8Array): number {
  return body.length < 4 ? body[0]! : new DataView(body.buffer, body.byteOffset).getUint32(0);
}

function reasonsOf(outcome: SendOutcome): string[] {
  if (outcome.state !== "unreachable") throw new Error(outcome.state);
  return outcome.reasons.map(({ strategy, error }) => `${strategy}: ${(error as { code: string }).code}`);
}

/** Two peers that accept no connections, and the relay that they use. */
async function pair(): Promise<{ relay: RelayNode; alice: RelayedPeer; bob: RelayedPeer }> {
  const relay = await world.relay("relay");
  return { relay, alice: await world.peer("alice"), bob: await world.peer("bob") };
}

describe("two peers that accept no connections", () => {
  test("talk through a relay: messages, requests, and replies, small and large", async () => {
    const { relay, alice, bob } = await pair();
    const heard = listen(bob);
    listen(alice);
    const begun = world.time.now();
    expect(await world.time.of(alice.node.send(bob.node.peerId, note, body))).toEqual({ state: "delivered" });
    // To the relay, to the recipient, and its receipt back, which waits for a link that takes one write at a time.
    expect(world.time.now() - begun).toBeLessThanOrEqual(6 * hopMs);
    for (const length of [0, 1, 1_000, 16_320, 70_000, 1_000_000]) {
      const sent = new Uint8Array(length).fill(7);
      for (const [from, to] of [
        [alice, bob],
        [bob, alice],
      ] as const) {
        const reply = await world.time.of(from.node.request(to.node.peerId, note, sent));
        expect(equalBytes(reply, sent)).toBe(true);
      }
    }
    expect(heard).toHaveLength(7);
    await world.time.pass(1_000);
    for (const { node } of [alice, bob]) expect(relay.relay.waitingFor(node)).toBe(0);
    const { mail, passedAlong } = alice.client.stats();
    expect(passedAlong).toMatchObject({ stored: 0, refused: {}, lost: 0 });
    expect(mail).toMatchObject({ notTaken: 0, acknowledged: mail.taken });
  });

  test("are quiet when they have nothing to say", async () => {
    const { alice, bob } = await pair();
    listen(bob);
    await world.time.of(alice.node.send(bob.node.peerId, note, body));
    await world.time.pass(5_000);
    const since = world.traffic.length;
    await world.time.pass(600_000);
    // Each renews its registration once a minute: a request, its receipt and reply, and the receipt of that.
    expect(world.traffic.length - since).toBeLessThanOrEqual(2 * 11 * 4);
  });

  test("leave each other mail: 1,000 messages for one who is away arrive in the order of sending", async () => {
    const { alice, bob } = await pair();
    await world.kill(bob);
    const outcomes = Array.from({ length: 1_000 }, (_, n) => alice.node.send(bob.node.peerId, note, numbered(n, 300)));
    const states = new Set((await world.time.of(Promise.all(outcomes))).map(({ state }) => state));
    expect(states).toEqual(new Set(["stored"]));
    await world.time.pass(3_600_000);
    const back = await world.peer("bob", { identity: bob.identity, store: bob.store });
    const heard = listen(back);
    await world.time.run(() => heard.length === 1_000);
    expect(heard).toEqual(Array.from({ length: 1_000 }, (_, n) => n));
    await world.time.pass(5_000);
    const delivered = alice.events.filter(
      (event) =>
        event.kind === "message" &&
        event.type === note.name &&
        event.direction === "out" &&
        event.outcome === "delivered",
    );
    expect(delivered).toHaveLength(1_000);
  });

  test("leave mail for one who is away for long: its record goes on naming its relay", async () => {
    const { alice, bob } = await pair();
    await world.time.of(bob.node.stop());
    await world.time.pass(30 * 3_600_000);
    expect(await world.time.of(alice.node.send(bob.node.peerId, note, body))).toMatchObject({ state: "stored" });
  });

  test("wait no longer than a moment for the first of two relays when it does not answer", async () => {
    const relays = [await world.relay("one"), await world.relay("two")];
    const alice = await world.peer("alice", { listen: true, relayed: { count: 0 } });
    const bob = await world.peer("bob");
    listen(bob);
    const [first] = await world.relaysOf(bob, relays);
    const release = world.network.hold("alice", first!);
    const begun = world.time.now();
    expect(await world.time.of(alice.node.send(bob.node.peerId, note, body))).toEqual({ state: "delivered" });
    expect(world.time.now() - begun).toBeLessThan(1_000);
    release();
  });
});

describe("a relay that cannot be used", () => {
  test("is told with its reason: out of reach, and why", async () => {
    const alice = await world.peer("alice");
    const relay = createIdentity().peer;
    const { peer } = createIdentity();
    alice.node.introduce(relay, [MemoryNetwork.strategy("nowhere")]);
    alice.node.introduce(peer, [{ kind: "relay", relay }]);
    const outcome = await world.time.of(alice.node.send(peer, note, body));
    expect(reasonsOf(outcome)).toEqual([`relay ${relay}: EGTP_RELAY_UNREACHABLE`]);
    const [reason] = outcome.state === "unreachable" ? outcome.reasons : [];
    expect(reason!.error).toMatchObject({
      hint: expect.any(String) as string,
      cause: { code: "EGTP_UNREACHABLE", reasons: [{ error: { code: "EGTP_DIAL_NAME_NOT_FOUND" } }] },
    });
  });

  test("is not reached by way of another relay, nor does anything go to it that way", async () => {
    const relay = await world.relay("relay");
    const hidden = createIdentity();
    const alice = await world.peer("alice");
    const { peer } = createIdentity();
    // Somebody's relay is behind a relay, which is behind that one.
    alice.node.introduce(hidden.peer, [{ kind: "relay", relay: relay.node.peerId }]);
    alice.node.introduce(peer, [{ kind: "relay", relay: hidden.peer }]);
    const outcome = await world.time.of(alice.node.send(peer, note, body));
    expect(reasonsOf(outcome)).toEqual([`relay ${hidden.peer}: EGTP_RELAY_UNREACHABLE`]);
    const [reason] = outcome.state === "unreachable" ? outcome.reasons : [];
    expect(reason!.error).toMatchObject({ cause: { reasons: [{ error: { code: "EGTP_RELAY_RECURSION" } }] } });
    expect(relay.relay.count("pass-along")).toBe(0);
    // A relay of ours whose address is lost is not reached so either.
    alice.node.introduce(relay.node.peerId, [{ kind: "relay", relay: hidden.peer }]);
    await world.kill(relay);
    await world.time.pass(1_000);
    const toRelay = await world.time.of(alice.node.send(relay.node.peerId, note, body));
    expect(reasonsOf(toRelay)).toContain(`relay ${hidden.peer}: EGTP_RELAY_RECURSION`);
  });

  test("is not ourselves", async () => {
    const alice = await world.peer("alice");
    const { peer } = createIdentity();
    alice.node.introduce(peer, [{ kind: "relay", relay: alice.node.peerId }]);
    expect(reasonsOf(await world.time.of(alice.node.send(peer, note, body)))).toEqual([
      `relay ${alice.node.peerId}: EGTP_RELAY_RECURSION`,
    ]);
  });

  test("is not used when it takes no full envelopes", async () => {
    const relay = await world.relay("relay", { serves: { mailboxes: { maxEnvelopeBytes: 1_000 } } });
    const alice = await world.peer("alice");
    const carol = await world.peer("carol", { relayed: { count: 0 } });
    const outcome = await world.time.of(carol.node.send(alice.node.peerId, note, body));
    expect(reasonsOf(outcome)).toEqual([`relay ${relay.node.peerId}: EGTP_RELAY_TOO_SMALL`]);
  });

  test("refuses a recipient who is not registered: nothing has left, which is known at once", async () => {
    const { relay, alice } = await pair();
    const { peer } = createIdentity();
    alice.node.introduce(peer, [{ kind: "relay", relay: relay.node.peerId }]);
    const begun = world.time.now();
    const outcome = await world.time.of(alice.node.send(peer, note, body));
    expect(reasonsOf(outcome)).toEqual([`relay ${relay.node.peerId}: EGTP_RELAY_UNREGISTERED`]);
    expect(world.time.now() - begun).toBeLessThan(200);
    expect(alice.client.stats().passedAlong.refused).toEqual({ unregistered: 1 });
  });
});

describe("a mailbox that is full", () => {
  test("rejects a message at once, and takes one again when there is room", async () => {
    await world.relay("relay", { serves: { mailboxes: { maxMessages: 2 } } });
    const alice = await world.peer("alice");
    const bob = await world.peer("bob");
    await world.kill(bob);
    const send = (): Promise<SendOutcome> => world.time.of(alice.node.send(bob.node.peerId, note, body));
    expect(await send()).toMatchObject({ state: "stored" });
    expect(await send()).toMatchObject({ state: "stored" });
    const begun = world.time.now();
    expect(await send()).toEqual({ state: "rejected", reason: "quota" });
    expect(world.time.now() - begun).toBeLessThan(200);
    const back = await world.peer("bob", { identity: bob.identity, store: bob.store });
    const heard = listen(back);
    await world.time.run(() => heard.length === 2);
    await world.time.pass(10_000);
    expect(await send()).toEqual({ state: "delivered" });
  });

  test("at one relay sends it by the other", async () => {
    const relays = [await world.relay("one"), await world.relay("two")];
    const alice = await world.peer("alice");
    const bob = await world.peer("bob");
    await world.kill(bob);
    const [best] = (await world.recordOf(bob)).strategies;
    const full = relays.find(({ node }) => best?.kind === "relay" && best.relay === node.peerId)!;
    full.relay.answer = ({ type }) => {
      if (type !== "relay/pass-along") return undefined;
      return encodePassAlongStatus({ state: "refused", refusal: "mailbox-full" }, 0);
    };
    const outcome = await world.time.of(alice.node.send(bob.node.peerId, note, body));
    const other = relays.find((relay) => relay !== full)!;
    expect(outcome).toMatchObject({ state: "stored", relay: other.node.peerId });
  });
});

test("a relay that says too fast is given time: nothing is refused, and the order is kept", async () => {
  const perSecond = { burst: 3, perSecond: 3 };
  const registeredSender = { messages: perSecond, bytes: { burst: 1e9, perSecond: 1e9 } };
  await world.relay("relay", { serves: { limits: { registeredSender } } });
  const alice = await world.peer("alice");
  const bob = await world.peer("bob");
  await world.kill(bob);
  const outcomes = Array.from({ length: 30 }, (_, n) => alice.node.send(bob.node.peerId, note, numbered(n, 40_000)));
  const states = new Set((await world.time.of(Promise.all(outcomes))).map(({ state }) => state));
  expect(states).toEqual(new Set(["stored"]));
  const back = await world.peer("bob", { identity: bob.identity, store: bob.store });
  const heard = listen(back);
  await world.time.run(() => heard.length === 30);
  expect(heard).toEqual(Array.from({ length: 30 }, (_, n) => n));
  expect(alice.client.stats().passedAlong.refused).toEqual({});
});

test("a relay is asked for its limits once for each link to it, whoever waits for them", async () => {
  const { relay, alice, bob } = await pair();
  listen(alice);
  listen(bob);
  const carol = await world.peer("carol", { listen: true, relayed: { count: 0 } });
  const send = (to: PeerId): Promise<SendOutcome> => carol.node.send(to, note, body);
  const both = [send(alice.node.peerId), send(bob.node.peerId)];
  expect(await world.time.of(Promise.all(both))).toEqual([{ state: "delivered" }, { state: "delivered" }]);
  await world.time.of(send(bob.node.peerId));
  expect(relay.relay.count("limits")).toBe(1);
  // Those with whom we are registered have told them.
  await world.time.of(alice.node.send(bob.node.peerId, note, body));
  expect(relay.relay.count("limits")).toBe(1);
  world.network.cut("carol");
  await world.time.pass(100);
  await world.time.of(send(bob.node.peerId));
  expect(relay.relay.count("limits")).toBe(2);
});

test("a way through a relay that nobody uses is closed, and made anew when it is needed", async () => {
  const { alice, bob } = await pair();
  listen(bob);
  await world.time.of(alice.node.send(bob.node.peerId, note, body));
  const relayed = (): number => alice.node.links().filter(({ transport }) => transport === "relay").length;
  expect(relayed()).toBe(1);
  await world.time.pass(4 * 60_000);
  expect(relayed()).toBe(1);
  await world.time.pass(6 * 60_000);
  expect(relayed()).toBe(0);
  expect(alice.events.filter(({ kind }) => kind === "dial-failed")).toEqual([]);
  expect(await world.time.of(alice.node.send(bob.node.peerId, note, body))).toEqual({ state: "delivered" });
});

test("much for one recipient waits in bounds, and holds up nothing for another", async () => {
  const relay = await world.relay("relay");
  const alice = await world.peer("alice");
  const bob = await world.peer("bob");
  const carol = await world.peer("carol");
  const heard = listen(bob);
  listen(carol);
  const big = Array.from({ length: 12 }, (_, n) => alice.node.send(bob.node.peerId, note, numbered(n, 1_000_000)));
  await world.time.run(() => relay.relay.count("pass-along") > 20);
  const underWay = relay.relay.count("pass-along");
  const begun = world.time.now();
  expect(await world.time.of(alice.node.send(carol.node.peerId, note, body))).toEqual({ state: "delivered" });
  expect(world.time.now() - begun).toBeLessThan(500);
  expect(underWay).toBeLessThan(200);
  await world.time.of(Promise.all(big));
  expect(heard.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 12 }, (_, n) => n));
});

test("stopping takes no longer than a round trip, and the record goes on naming the relay that keeps the mail", async () => {
  const { relay, alice, bob } = await pair();
  const begun = world.time.now();
  await world.time.of(bob.node.stop());
  expect(world.time.now() - begun).toBeLessThanOrEqual(4 * hopMs);
  expect(await world.relaysOf(bob, [relay])).toEqual(["relay"]);
  expect(bob.events.filter(({ kind }) => kind === "relay")).toHaveLength(1);
  expect(await world.time.of(alice.node.send(bob.node.peerId, note, body))).toMatchObject({ state: "stored" });
});

test("a relay client that makes no sense is refused when it is made", () => {
  const peers = Array.from({ length: 9 }, () => createIdentity().peer);
  for (const options of [{ count: -1 }, { count: 1.5 }, { count: 9 }, { relays: peers }, { limits: { idleMs: 0 } }]) {
    expect(() => relayClient(options)).toThrow(RangeError);
  }
  expect(() => relayClient({ relays: ["nobody" as PeerId] })).toThrow(/peer ID/);
});

test("a relay client belongs to one node", async () => {
  const client = relayClient();
  await world.join("alice", { parts: [client] });
  const other = await world.make("bob", { parts: [client] });
  await expect(world.time.of(other.node.start())).rejects.toThrow(TypeError);
});
