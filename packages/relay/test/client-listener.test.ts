/** Which relays keep mail for a peer, and what its contact record says of it. */
import { createIdentity, type PeerId } from "@egtp/node";
import { MemoryNetwork } from "@egtp/node/memory";
import { defineMessage, signContactRecord } from "@egtp/wire";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { mailMessage } from "../src/protocol.ts";
import { again, errorOf, type RelayedPeer, type RelayNode, World, type WorldNode } from "./world.ts";

const note = defineMessage("test/note");
const body = Uint8Array.of(1);
const minuteMs = 60_000;

let world: World;
beforeEach(() => {
  world = new World();
});
afterEach(() => world.end());

async function relaysNamed<Name extends string>(...names: readonly Name[]): Promise<RelayNode[]> {
  const relays: RelayNode[] = [];
  for (const name of names) relays.push(await world.relay(name));
  return relays;
}

/** What the client told, as `state place`. */
function toldOf({ events }: WorldNode, relays: readonly WorldNode[]): string[] {
  return events.flatMap((event) =>
    event.kind === "relay"
      ? [`${event.state} ${relays.find(({ node }) => node.peerId === event.relay)?.place ?? "?"}`]
      : [],
  );
}

function live({ client }: RelayedPeer): PeerId[] {
  return client.stats().registrations.flatMap(({ relay, state }) => (state === "live" ? [relay] : []));
}

function listen({ node }: WorldNode): number[] {
  const heard: number[] = [];
  node.handle(note, ({ body }) => {
    heard.push(body[0]!);
  });
  return heard;
}

describe("at the start", () => {
  test("two relays are registered with before it is over, and the first record names them", async () => {
    const relays = await relaysNamed("one", "two", "three");
    const begun = world.time.now();
    const alice = await world.peer("alice");
    expect(world.time.now() - begun).toBeLessThan(100);
    const named = await world.relaysOf(alice, relays);
    expect(named).toHaveLength(2);
    expect(new Set(named).size).toBe(2);
    expect(named).not.toContain("?");
    expect(alice.events.filter(({ kind }) => kind === "published")).toHaveLength(1);
    expect(alice.client.stats().registrations).toMatchObject([
      { state: "live", isAdvertised: true, roundTripMs: expect.any(Number) as number },
      { state: "live", isAdvertised: true },
    ]);
    expect(toldOf(alice, relays).toSorted()).toEqual(named.map((name) => `registered ${name}`).toSorted());
  });

  test("those that the program names are taken, and no others", async () => {
    const relays = await relaysNamed("one", "two", "three", "four");
    const mine = [relays[3]!, relays[1]!];
    const alice = await world.peer("alice", { relayed: { relays: mine.map(({ node }) => node.peerId) } });
    expect((await world.relaysOf(alice, relays)).toSorted()).toEqual(["four", "two"]);
    for (const relay of mine) await world.kill(relay);
    await world.time.pass(20 * minuteMs);
    expect(await world.relaysOf(alice, relays)).toEqual([]);
  });

  test("a dead relay holds nobody up, and another takes its place", async () => {
    const relays = await relaysNamed("one", "two", "three", "four");
    await world.kill(relays[0]!);
    await world.kill(relays[1]!);
    const begun = world.time.now();
    const alice = await world.peer("alice");
    expect(world.time.now() - begun).toBeLessThan(500);
    expect((await world.relaysOf(alice, relays)).toSorted()).toEqual(["four", "three"]);
  });

  test("one that does not answer is waited for no longer than two seconds", async () => {
    const relays = await relaysNamed("one", "two");
    const release = world.network.hold("alice", "one");
    const begun = world.time.now();
    const alice = await world.peer("alice", { relayed: { relays: relays.map(({ node }) => node.peerId) } });
    expect(world.time.now() - begun).toBe(2_000);
    expect(await world.relaysOf(alice, relays)).toEqual(["two"]);
    release();
    await world.time.run(() => live(alice).length === 2, minuteMs);
    await world.time.pass(100);
    expect((await world.relaysOf(alice, relays)).toSorted()).toEqual(["one", "two"]);
  });

  test("no relay is known, and the node starts all the same; one that appears later is found", async () => {
    const begun = world.time.now();
    const alice = await world.peer("alice");
    expect(world.time.now() - begun).toBeLessThan(100);
    await world.time.pass(10 * minuteMs);
    const relays = await relaysNamed("one");
    await world.time.run(() => live(alice).length === 1, 5 * minuteMs);
    await world.time.pass(100);
    expect(await world.relaysOf(alice, relays)).toEqual(["one"]);
  });

  test("a lookup that fails, and a node without one, start all the same", async () => {
    const lookup = {
      kind: "broken",
      lookUp: () => Promise.reject(new TypeError("broken")),
      discover: () => Promise.reject(new TypeError("broken")),
    };
    const alone = await world.peer("alone", { isListed: false });
    expect(alone.client.stats().registrations).toEqual([]);
    await expect(world.peer("broken", { isListed: false, lookup })).resolves.toBeDefined();
  });

  test("those of the last record come first, for mail may wait there", async () => {
    const relays = await relaysNamed("one", "two", "three", "four", "five", "six", "seven", "eight");
    const alice = await world.peer("alice");
    const before = (await world.relaysOf(alice, relays)).toSorted();
    await world.kill(alice);
    const bob = await world.peer("bob");
    expect(await world.time.of(bob.node.send(alice.node.peerId, note, body))).toMatchObject({ state: "stored" });
    const back = await world.peer("alice", { identity: again(alice) });
    const heard = listen(back);
    await world.time.run(() => heard.length === 1);
    expect((await world.relaysOf(back, relays)).toSorted()).toEqual(before);
  });
});

test("a directory that takes its time is waited for, and nothing is done over and over meanwhile", async () => {
  const [relay] = (await relaysNamed("one")) as [RelayNode];
  const alice = await world.peer("alice");
  await world.kill(alice);
  await world.kill(relay);
  let timers = 0;
  const { time } = world;
  const discover = (): Promise<Uint8Array[]> => new Promise((resolve) => time.setTimer(() => resolve([]), 8_000));
  const joining = world.peer("alice", {
    identity: again(alice),
    lookup: { kind: "slow", lookUp: (peer) => world.lookup.lookUp(peer), discover },
    schedule: {
      now: () => time.now(),
      defer: (task) => time.defer(task),
      setTimer: (task, delayMs) => {
        if (++timers > 1_000) throw new Error("Timers without end");
        return time.setTimer(task, delayMs);
      },
    },
  });
  await joining;
  await time.pass(minuteMs);
  expect(timers).toBeLessThan(300);
});

test("mail is found at whichever of the named relays an earlier run was registered with", async () => {
  const relays = await relaysNamed("one", "two", "three");
  const relayed = { relays: relays.map(({ node }) => node.peerId), count: 1 };
  for (const name of ["one", "two"]) world.network.block("alice", name);
  const alice = await world.peer("alice", { relayed });
  await world.time.run(() => live(alice).length === 1);
  await world.time.pass(100);
  const bob = await world.peer("bob");
  await world.kill(alice);
  expect(await world.time.of(bob.node.send(alice.node.peerId, note, body))).toMatchObject({ state: "stored" });
  const back = await world.peer("alice", { identity: again(alice), relayed });
  const heard = listen(back);
  await world.time.run(() => heard.length === 1, minuteMs);
});

test("mail of a relay that seems lost is taken in: it may have been on its way, and what comes later must not overtake it", async () => {
  const [relay] = (await relaysNamed("one")) as [RelayNode];
  const relayed = { relays: [relay.node.peerId] };
  const alice = await world.peer("alice", { relayed });
  const bob = await world.peer("bob");
  const heard = listen(alice);
  await world.time.pass(15_000);
  relay.relay.delay = ({ type, from }) =>
    type === "relay/register" && from === alice.node.peerId ? new Promise(() => {}) : undefined;
  await world.time.run(() => live(alice).length === 0, 5 * minuteMs);
  expect(await world.time.of(bob.node.send(alice.node.peerId, note, body))).toEqual({ state: "delivered" });
  expect(heard).toEqual([1]);
});

describe("a relay that is lost", () => {
  test("is named no longer, and another takes its place", async () => {
    const relays = await relaysNamed("one", "two", "three");
    const alice = await world.peer("alice");
    await world.time.pass(minuteMs);
    const [first] = await world.relaysOf(alice, relays);
    const dead = relays.find(({ place }) => place === first)!;
    await world.kill(dead);
    const begun = world.time.now();
    await world.time.run(() => live(alice).length === 2 && !live(alice).includes(dead.node.peerId), minuteMs);
    expect(world.time.now() - begun).toBeLessThan(6_000);
    await world.time.pass(100);
    const named = await world.relaysOf(alice, relays);
    expect(named.toSorted()).toEqual(
      relays
        .filter((relay) => relay !== dead)
        .map(({ place }) => place)
        .toSorted(),
    );
    expect(toldOf(alice, relays).slice(2)).toEqual([`lost ${first}`, `registered ${named[1]}`]);
  });

  test("was the only one: the record names none, until it is back, and then its mail is taken in", async () => {
    const [relay] = await relaysNamed("one");
    const alice = await world.peer("alice");
    const bob = await world.peer("bob");
    await world.time.pass(minuteMs);
    // Something waits there when it dies.
    await world.time.of(alice.node.stop());
    expect(await world.time.of(bob.node.send(alice.node.peerId, note, body))).toMatchObject({ state: "stored" });
    const reborn = await world.killRelay(relay!);
    const back = await world.peer("alice", { identity: again(alice) });
    const heard = listen(back);
    await world.time.pass(minuteMs);
    expect(await world.relaysOf(bob, [relay!])).toEqual([]);
    const relay2 = await reborn();
    await world.time.run(() => heard.length === 1, 5 * minuteMs);
    await world.time.pass(5 * minuteMs);
    for (const peer of [back, bob]) expect(await world.relaysOf(peer, [relay2])).toEqual(["one-again"]);
  });

  test("comes back within a moment: the record is not published anew", async () => {
    const [relay] = await relaysNamed("one");
    const alice = await world.peer("alice");
    await world.time.pass(minuteMs);
    const reborn = await world.killRelay(relay!);
    await world.time.pass(500);
    await reborn();
    await world.time.pass(10 * minuteMs);
    expect(live(alice)).toHaveLength(1);
    expect(alice.events.filter(({ kind }) => kind === "published")).toHaveLength(1);
  });

  test("is asked again ever more rarely, and not by all its clients at once", async () => {
    const [relay] = await relaysNamed("one");
    const peers: RelayedPeer[] = [];
    for (let i = 0; i < 8; i++) peers.push(await world.peer(`peer${i}`));
    await world.time.pass(minuteMs);
    const dials = (): number[] => peers.map(({ node }) => node.stats().dials);
    const before = dials();
    const reborn = await world.killRelay(relay!);
    await world.time.pass(60 * minuteMs);
    for (const [at, count] of dials().entries()) expect(count - before[at]!).toBeLessThan(130);
    await reborn();
    const times: number[] = [];
    const seen = new Set<PeerId>();
    const begun = world.time.now();
    await world.time.run(() => {
      for (const peer of peers) {
        if (live(peer).length === 0 || seen.has(peer.node.peerId)) continue;
        seen.add(peer.node.peerId);
        times.push(world.time.now() - begun);
      }
      return seen.size === 8;
    }, 5 * minuteMs);
    expect(Math.max(...times) - Math.min(...times)).toBeGreaterThan(5_000);
  });

  test("came back beside the one that took its place: after a while the worst is left, and takes no more mail", async () => {
    const relays = await relaysNamed("one", "two", "three");
    const alice = await world.peer("alice");
    await world.time.pass(minuteMs);
    const [first] = await world.relaysOf(alice, relays);
    const dead = relays.find(({ place }) => place === first)!;
    const reborn = await world.killRelay(dead);
    await world.time.pass(minuteMs);
    await reborn();
    await world.time.run(() => live(alice).length === 3, 5 * minuteMs);
    await world.time.pass(100);
    const published = alice.events.filter(({ kind }) => kind === "published").length;
    await world.time.pass(30 * minuteMs);
    expect(live(alice)).toHaveLength(3);
    await world.time.pass(40 * minuteMs);
    expect(live(alice)).toHaveLength(2);
    expect(toldOf(alice, relays).filter((told) => told.startsWith("left"))).toHaveLength(1);
    // Without a change of what is advertised.
    expect(alice.events.filter(({ kind }) => kind === "published")).toHaveLength(published);
  });
});

test("registrations are renewed, which keeps the links, and little else is said", async () => {
  const [relay] = await relaysNamed("one");
  const alice = await world.peer("alice");
  await world.time.pass(60 * minuteMs);
  expect(relay!.relay.count("register")).toBeGreaterThan(50);
  expect(relay!.relay.count("register")).toBeLessThan(70);
  expect(relay!.relay.asked).toHaveLength(relay!.relay.count("register"));
  expect(alice.node.links()).toHaveLength(1);
  expect(alice.node.stats().dials).toBe(1);
});

test("the better relay comes first in the record, and noise does not change that", async () => {
  const relays = await relaysNamed("slow", "fast");
  const alice = await world.peer("alice", { relayed: { relays: relays.map(({ node }) => node.peerId) } });
  let extraMs = 100;
  // The slow one takes its time for an answer.
  relays[0]!.relay.delay = () => new Promise((resolve) => world.time.setTimer(resolve, extraMs));
  await world.time.pass(10 * minuteMs);
  expect(await world.relaysOf(alice, relays)).toEqual(["fast", "slow"]);
  const published = (): number => alice.events.filter(({ kind }) => kind === "published").length;
  const before = published();
  // Now one is quicker, now the other.
  relays[1]!.relay.delay = () => new Promise((resolve) => world.time.setTimer(resolve, 40 - extraMs));
  for (let i = 0; i < 40; i++) {
    extraMs = i % 4 < 2 ? 0 : 40;
    await world.time.pass(minuteMs);
  }
  expect(published() - before).toBeLessThanOrEqual(1);
});

describe("one key in two processes", () => {
  test("the newer one gets the mail, both are told, and the older one does not fight", async () => {
    const relays = await relaysNamed("one", "two");
    const older = await world.peer("older");
    const bob = await world.peer("bob");
    await world.time.pass(5_000);
    const published = (): number => older.events.filter(({ kind }) => kind === "published").length;
    const before = published();
    const newer = await world.peer("newer", { identity: again(older) });
    const [old, young] = [listen(older), listen(newer)];
    await world.time.pass(2 * minuteMs);
    expect(toldOf(newer, relays).map((told) => told.split(" ")[0])).toEqual(["replaced", "replaced"]);
    expect(
      toldOf(older, relays)
        .slice(2)
        .map((told) => told.split(" ")[0]),
    ).toEqual(["superseded", "superseded"]);
    for (let i = 0; i < 10; i++) {
      await world.time.of(bob.node.send(newer.node.peerId, note, Uint8Array.of(i)));
      await world.time.pass(minuteMs);
    }
    expect(young).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(old).toEqual([]);
    // It is quiet: it registers nowhere and publishes nothing.
    expect(published()).toBe(before);
    const since = world.traffic.length;
    await world.time.pass(30 * minuteMs);
    expect(world.traffic.slice(since).filter(({ from }) => from === "older")).toEqual([]);
    expect(older.client.stats().registrations.map(({ state }) => state)).toEqual(["superseded", "superseded"]);
  });

  test("which one relay alone claims ends nothing but the registration there: others are named, and change as they come and go", async () => {
    const relays = await relaysNamed("one", "two", "three", "four");
    const bob = await world.peer("bob");
    const [liar, other] = (await world.relaysOf(bob, relays)).map(
      (name) => relays.find(({ place }) => place === name)!,
    );
    const alice = await world.peer("alice", { relayed: { relays: [liar!, other!].map(({ node }) => node.peerId) } });
    await world.time.pass(10_000);
    liar!.relay.answer = ({ type }) => (type === "relay/register" ? { state: "superseded" } : undefined);
    await world.time.pass(3 * minuteMs);
    for (const peer of [alice, bob]) expect(toldOf(peer, relays)).toContain(`superseded ${liar!.place}`);
    expect(await world.relaysOf(alice, relays)).toEqual([other!.place]);
    // Whoever discovers relays takes another instead.
    const named = await world.relaysOf(bob, relays);
    expect(named).toHaveLength(2);
    expect(named).not.toContain(liar!.place);
    await world.kill(other!);
    await world.time.pass(3 * minuteMs);
    const renewed = await world.relaysOf(bob, relays);
    expect(renewed).toHaveLength(2);
    expect([liar!.place, other!.place].filter((place) => renewed.includes(place))).toEqual([]);
  });

  test("a process that starts anew after a crash is no second one", async () => {
    const relays = await relaysNamed("one");
    const alice = await world.peer("alice");
    await world.time.pass(minuteMs);
    await world.kill(alice);
    const back = await world.peer("alice", { identity: again(alice), store: alice.store });
    await world.time.pass(10 * minuteMs);
    expect(live(back)).toHaveLength(1);
    expect(toldOf(back, relays)).toEqual(["replaced one"]);
  });
});

describe("a relay that does not take us", () => {
  test.each(["full", "not-allowed"] as const)("because it is %s is told of, and another is found", async (reason) => {
    const relays = await relaysNamed("one", "two", "three");
    relays[0]!.relay.answer = ({ type }) => (type === "relay/register" ? { state: "refused", reason } : undefined);
    const alice = await world.peer("alice");
    expect((await world.relaysOf(alice, relays)).toSorted()).toEqual(["three", "two"]);
    const mine = await world.peer("bob", { relayed: { relays: [relays[0]!.node.peerId] } });
    expect(toldOf(mine, relays)).toEqual(["refused one"]);
    const [event] = mine.events.filter(({ kind }) => kind === "relay");
    expect(event).toMatchObject({ error: { code: reason === "full" ? "EGTP_RELAY_FULL" : "EGTP_RELAY_NOT_LISTED" } });
    expect(mine.client.stats().registrations).toMatchObject([{ state: "refused", isAdvertised: false }]);
    relays[0]!.relay.answer = undefined;
    await world.time.run(() => live(mine).length === 1, 20 * minuteMs);
  });
});

test("mail from a relay with which we are not registered is not taken", async () => {
  const alice = await world.peer("alice", { listen: true });
  const mallory = await world.join("mallory");
  const outcome = await world.time.of(mallory.node.send(alice.node.peerId, mailMessage, new Uint8Array(200).fill(1)));
  expect(outcome).toEqual({ state: "rejected", reason: "handler-failed" });
  expect(alice.client.stats().mail).toMatchObject({ taken: 0, notTaken: 0 });
  const failed = alice.events.find(({ kind }) => kind === "handler-failed");
  expect(failed).toMatchObject({ error: { code: "EGTP_RELAY_NOT_OURS" } });
});

test("what a relay says that makes no sense is dropped, and is no reason to fall over", async () => {
  const [relay] = await relaysNamed("one");
  const alice = await world.peer("alice");
  const outcome = await world.time.of(relay!.node.send(alice.node.peerId, mailMessage, Uint8Array.of(1, 2, 3)));
  expect(outcome).toEqual({ state: "rejected", reason: "handler-failed" });
  expect(live(alice)).toHaveLength(1);
});

test("a forged record of a relay leads nowhere", async () => {
  const [relay] = await relaysNamed("one");
  const mallory = createIdentity();
  const record = signContactRecord(
    {
      id: mallory.peer,
      seq: 1,
      issued: world.time.now(),
      ttl: 1_000_000_000,
      strategies: [MemoryNetwork.strategy("one")],
      services: ["relay"],
      gone: false,
    },
    (message) => mallory.keys.sign(message),
  );
  await world.lookup.publish(record);
  // It names the address of another relay: whoever answers there is not the peer that is asked for.
  const alice = await world.peer("alice");
  await world.time.pass(minuteMs);
  expect(live(alice)).toEqual([relay!.node.peerId]);
  expect(await errorOf(Promise.reject(new Error("x")))).toBeInstanceOf(Error);
});
