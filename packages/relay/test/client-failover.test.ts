/** Relays die and return under load: nothing is lost, everything happens once, and it goes on at once. */
import type { SendOutcome } from "@egtp/node";
import { defineMessage, type Millis } from "@egtp/wire";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { again, type RelayedPeer, type RelayNode, World, type WorldNode } from "./world.ts";

const note = defineMessage("test/note");

let world: World;
beforeEach(() => {
  world = new World();
});
afterEach(() => world.end());

/** What came in, by number, and when. */
class Heard {
  readonly numbers: number[] = [];
  readonly times: Millis[] = [];
  /** Message IDs that came twice. */
  readonly repeated: string[] = [];
  readonly #ids = new Set<string>();

  constructor({ node }: WorldNode, earlier?: Heard) {
    for (const id of earlier?.ids ?? []) this.#ids.add(id);
    node.handle(note, ({ body, messageId }) => {
      if (this.#ids.has(messageId)) this.repeated.push(messageId);
      this.#ids.add(messageId);
      this.numbers.push(new DataView(body.buffer, body.byteOffset).getUint32(0));
      this.times.push(world.time.now());
    });
  }

  get ids(): ReadonlySet<string> {
    return this.#ids;
  }

  /** The longest time without anything. */
  get pauseMs(): Millis {
    return this.times.reduce((most, time, at) => Math.max(most, time - (this.times[at - 1] ?? time)), 0);
  }
}

function numbered(number: number): Uint8Array {
  const body = new Uint8Array(100);
  new DataView(body.buffer).setUint32(0, number);
  return body;
}

/** Sends a message each few milliseconds. */
class Stream {
  readonly outcomes: Promise<SendOutcome>[] = [];
  #isOn = true;

  constructor(from: RelayedPeer, to: WorldNode) {
    const next = (): void => {
      if (!this.#isOn) return;
      this.outcomes.push(from.node.send(to.node.peerId, note, numbered(this.outcomes.length)));
      world.time.setTimer(next, 25);
    };
    next();
  }

  stop(): void {
    this.#isOn = false;
  }
}

async function withTwoRelays(): Promise<{ relays: RelayNode[]; alice: RelayedPeer; bob: RelayedPeer }> {
  const relays = [await world.relay("one"), await world.relay("two")];
  const alice = await world.peer("alice");
  const bob = await world.peer("bob");
  await world.time.pass(20_000);
  return { relays, alice, bob };
}

function relayUsedBy({ node }: WorldNode, relays: readonly RelayNode[]): RelayNode {
  const used = node.links().find(({ transport }) => transport === "relay");
  return relays.find((relay) => used?.remote === `relay ${relay.node.peerId}`)!;
}

const upTo = (count: number): number[] => Array.from({ length: count }, (_, n) => n);

describe("the relay that a stream of messages goes by is killed", () => {
  test("and the second goes on at once: none is lost, each arrives once", async () => {
    const { relays, alice, bob } = await withTwoRelays();
    const heard = new Heard(bob);
    const stream = new Stream(alice, bob);
    await world.time.run(() => heard.numbers.length > 40);
    await world.kill(relayUsedBy(alice, relays));
    await world.time.pass(3_000);
    stream.stop();
    const states = (await world.time.of(Promise.all(stream.outcomes))).map(({ state }) => state);
    expect(new Set(states)).toEqual(new Set(["delivered"]));
    expect(heard.numbers.toSorted((a, b) => a - b)).toEqual(upTo(stream.outcomes.length));
    expect(heard.repeated).toEqual([]);
    // The aim is two seconds; a link that breaks is noticed at once.
    expect(heard.pauseMs).toBeLessThan(200);
  });

  test("without a word, as when its machine loses power: the silence is noticed", async () => {
    const { relays, alice, bob } = await withTwoRelays();
    const heard = new Heard(bob);
    const stream = new Stream(alice, bob);
    await world.time.run(() => heard.numbers.length > 40);
    const dead = relayUsedBy(alice, relays);
    world.network.drop = ({ from, to }) => from === dead.place || to === dead.place;
    await world.time.pass(10_000);
    stream.stop();
    const states = (await world.time.of(Promise.all(stream.outcomes))).map(({ state }) => state);
    expect(new Set(states)).toEqual(new Set(["delivered"]));
    expect(heard.numbers.toSorted((a, b) => a - b)).toEqual(upTo(stream.outcomes.length));
    expect(heard.repeated).toEqual([]);
    expect(heard.pauseMs).toBeLessThan(3_000);
  });

  test("and comes back, and then the other is killed", async () => {
    const { relays, alice, bob } = await withTwoRelays();
    const heard = new Heard(bob);
    const stream = new Stream(alice, bob);
    await world.time.run(() => heard.numbers.length > 40);
    const first = relayUsedBy(alice, relays);
    const second = relays.find((relay) => relay !== first)!;
    const reborn = await world.killRelay(first);
    await world.time.pass(3_000);
    await reborn();
    await world.time.pass(10_000);
    await world.kill(second);
    await world.time.pass(5_000);
    stream.stop();
    const states = (await world.time.of(Promise.all(stream.outcomes))).map(({ state }) => state);
    expect(new Set(states)).toEqual(new Set(["delivered"]));
    expect(heard.numbers.toSorted((a, b) => a - b)).toEqual(upTo(stream.outcomes.length));
    expect(heard.repeated).toEqual([]);
    expect(heard.pauseMs).toBeLessThan(500);
  });

  test("with mail in it that it lost: its senders send it again by the other", async () => {
    const { relays, alice, bob } = await withTwoRelays();
    await world.time.of(alice.node.send(bob.node.peerId, note, numbered(0)).catch(() => undefined));
    const used = relayUsedBy(alice, relays);
    // What it holds in memory alone when it dies was answered by nobody.
    const heard = new Heard(bob);
    const outcomes = upTo(50).map((n) => alice.node.send(bob.node.peerId, note, numbered(n + 1)));
    await world.time.run(() => used.relay.count("pass-along") > 1);
    await world.kill(used);
    const states = (await world.time.of(Promise.all(outcomes))).map(({ state }) => state);
    expect(new Set(states)).toEqual(new Set(["delivered"]));
    expect(heard.numbers.toSorted((a, b) => a - b)).toEqual(upTo(51));
    expect(heard.repeated).toEqual([]);
  });
});

test("with a single relay, messages wait until it is back", async () => {
  const relay = await world.relay("one");
  const alice = await world.peer("alice");
  const bob = await world.peer("bob");
  const heard = new Heard(bob);
  await world.time.of(alice.node.send(bob.node.peerId, note, numbered(0)));
  const reborn = await world.killRelay(relay);
  await world.time.pass(20_000);
  const outcomes = upTo(20).map((n) =>
    alice.node.send(bob.node.peerId, note, numbered(n + 1), { failFast: false, timeoutMs: 600_000 }),
  );
  await world.time.pass(10_000);
  await reborn();
  const states = (await world.time.of(Promise.all(outcomes))).map(({ state }) => state);
  expect(new Set(states)).toEqual(new Set(["delivered"]));
  expect(heard.numbers).toEqual(upTo(21));
});

test("both relays are dead: what can wait waits, what cannot fails at once with the reason of each", async () => {
  const { relays, alice, bob } = await withTwoRelays();
  const heard = new Heard(bob);
  const reborn: (() => Promise<RelayNode>)[] = [];
  for (const relay of relays) reborn.push(await world.killRelay(relay));
  await world.time.pass(1_000);
  const begun = world.time.now();
  const outcome = await world.time.of(alice.node.send(bob.node.peerId, note, numbered(0)));
  expect(world.time.now() - begun).toBeLessThan(200);
  const reasons = outcome.state === "unreachable" ? outcome.reasons : [];
  expect(reasons.map(({ error }) => (error as { code: string }).code)).toEqual(Array(2).fill("EGTP_RELAY_UNREACHABLE"));
  const patient = alice.node.send(bob.node.peerId, note, numbered(1), {
    failFast: false,
    timeoutMs: 600_000,
    softTimeoutMs: 600_000,
  });
  await world.time.pass(60_000);
  await reborn[0]!();
  expect(await world.time.of(patient)).toEqual({ state: "delivered" });
  expect(heard.numbers).toEqual([1]);
});

test("both relays killed, and one of them back: the mail that it stored is delivered, what was under way too", async () => {
  const { relays, alice, bob } = await withTwoRelays();
  await world.kill(bob);
  const stored = await world.time.of(
    Promise.all(upTo(20).map((n) => alice.node.send(bob.node.peerId, note, numbered(n)))),
  );
  const [first] = stored;
  const keeper = relays.find(({ node }) => first?.state === "stored" && first.relay === node.peerId)!;
  const other = relays.find((relay) => relay !== keeper)!;
  await world.kill(other);
  const reborn = await world.killRelay(keeper);
  await world.time.pass(60_000);
  await reborn();
  const back = await world.peer("bob", { identity: again(bob), store: bob.store });
  const heard = new Heard(back);
  await world.time.run(() => heard.numbers.length === 20);
  expect(heard.numbers).toEqual(upTo(20));
  // Alice looks for her relays ever more rarely; when she is back at one, she hears.
  const ended = () =>
    alice.events.filter(
      (event) =>
        event.kind === "message" &&
        event.type === note.name &&
        event.direction === "out" &&
        event.outcome === "delivered",
    );
  await world.time.run(() => ended().length === 20);
  await world.time.pass(60_000);
  expect(ended()).toHaveLength(20);
  expect(heard.repeated).toEqual([]);
});
