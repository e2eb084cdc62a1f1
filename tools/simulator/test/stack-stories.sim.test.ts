/** What relays, mailboxes and metatrackers are for, as stories of whole nodes on the simulator: nothing is lost, each effect is there once. */

import { describe, expect, it } from "vitest";
import { checkAll, realStack, StackMetatracker, StackPeer, StackRelay, StackWorld } from "../src/index.ts";

const secondMs = 1_000;
const minuteMs = 60 * secondMs;
const longAgoMs = 90 * 60 * minuteMs;

interface Town {
  readonly world: StackWorld;
  /** Behind the relays: neither accepts connections. */
  readonly a: StackPeer;
  readonly b: StackPeer;
  readonly relays: readonly [StackRelay, ...StackRelay[]];
  readonly metatracker: StackMetatracker;
}

/** Two peers behind relays that have met. */
async function town(seed: number, { relayCount = 1, keepsOutbox = false } = {}): Promise<Town> {
  const world = new StackWorld(seed, { stack: realStack });
  const station = (name: string, listens: boolean) => ({
    name,
    listens,
    offsetMs: 0,
    writeMs: 3,
    bornAgoMs: longAgoMs,
  });
  const metatracker = new StackMetatracker(world, station("M", true), false);
  world.metatrackers.push(metatracker);
  for (let i = 0; i < relayCount; i++) world.relays.push(new StackRelay(world, station(`R${i + 1}`, true), {}, 5));
  const relays = world.relays.map(({ id }) => id);
  const [a, b] = ["A", "B"].map((name) => {
    const peer = new StackPeer(world, station(name, false), { relays, sealedSender: false, keepsOutbox });
    world.peers.push(peer);
    return peer;
  }) as [StackPeer, StackPeer];
  for (const each of world.stations) each.start();
  await world.pass(10 * secondMs);
  a.send(b, 20, true, "long");
  b.send(a, 20, true, "long");
  await world.pass(20 * secondMs);
  expect(delivered(world)).toBe(2);
  return { world, a, b, relays: world.relays as [StackRelay, ...StackRelay[]], metatracker };
}

function delivered({ ledger }: StackWorld): number {
  return ledger.entries.filter(({ outcome }) => outcome === "delivered").length;
}

/** Peace, then every promise is checked, and that each message was handed over exactly once. */
async function reckon(world: StackWorld, inOrder?: StackPeer): Promise<void> {
  const sent = world.ledger.entries.length;
  await checkAll(world, inOrder === undefined ? {} : { inOrder });
  expect(world.violations).toEqual([]);
  const handovers = world.ledger.entries.slice(0, sent).map((entry) => entry.handovers.length);
  expect(handovers).toEqual(Array.from({ length: sent }, () => 1));
}

describe("the deadlock of 2004, behind relays only", () => {
  it.each([
    ["A", 1],
    ["B", 2],
    ["A and B", 3],
  ])("%s lost its sessions", async (who, seed) => {
    const { world, a, b } = await town(seed);
    for (const peer of [a, b]) if (who.includes(peer.name)) peer.crash("lost", secondMs, false);
    await world.pass(5 * secondMs);
    for (let i = 0; i < 5; i++) {
      a.send(b, 50, i % 2 === 0, "long");
      b.send(a, 50, i % 2 === 1, "long");
      await world.pass(300);
    }
    await reckon(world);
  });

  it("the recipient lost its sessions while mail waited for it", async () => {
    const { world, a, b } = await town(4);
    b.crash("lost", 30 * secondMs, false);
    await world.pass(2 * secondMs);
    for (let i = 0; i < 20; i++) a.send(b, 50, false, "long");
    await world.pass(10 * secondMs);
    expect(world.ledger.entries.filter(({ outcome }) => outcome === "stored")).toHaveLength(20);
    await reckon(world);
  });

  it("both lost their sessions while mail waited for both", async () => {
    const { world, a, b } = await town(5, { keepsOutbox: true });
    for (const [away, other] of [
      [a, b],
      [b, a],
    ] as const) {
      away.crash("lost", 20 * secondMs, false);
      await world.pass(2 * secondMs);
      for (let i = 0; i < 10; i++) other.send(away, 50, false, "long");
      await world.pass(25 * secondMs);
    }
    await reckon(world);
  });

  it("a relay was killed and came back while both forgot each other", async () => {
    const { world, a, b, relays } = await town(6);
    relays[0].crashMail("kept", "lost", 3 * secondMs, false);
    for (const peer of [a, b]) peer.crash("lost", secondMs, true);
    await world.pass(2 * secondMs);
    for (let i = 0; i < 10; i++) a.send(b, 50, false, "long");
    for (let i = 0; i < 10; i++) b.send(a, 50, true, "long");
    await reckon(world);
  });
});

describe("mail for a peer that is away", () => {
  const count = 1_000;

  async function leaveMail({ world, a, b, relays }: Town): Promise<void> {
    const before = world.ledger.entries.length;
    for (let i = 0; i < count; i++) {
      a.send(b, 20 + (i % 100), false, "long");
      if (i % 50 === 0) await world.pass(100);
    }
    await world.pass(20 * secondMs);
    const mail = world.ledger.entries.slice(before);
    expect(mail.filter(({ outcome }) => outcome === "stored")).toHaveLength(count);
    relays[0].crashMail("kept", "kept", 2 * secondMs, false);
    await world.pass(10 * secondMs);
  }

  it("arrives in order of sending, across a kill of the relay", { timeout: 120_000 }, async () => {
    const place = await town(7);
    place.b.crash("kept", 5 * minuteMs, false);
    await leaveMail(place);
    await reckon(place.world, place.b);
  });

  it("arrives although its recipient lost its sessions while away", { timeout: 120_000 }, async () => {
    const place = await town(8);
    place.b.crash("lost", 5 * minuteMs, false);
    await leaveMail(place);
    await reckon(place.world);
  });

  it("arrives although its sender, whose outbox is kept, started anew meanwhile", { timeout: 120_000 }, async () => {
    const place = await town(9, { keepsOutbox: true });
    place.b.crash("lost", 5 * minuteMs, false);
    await leaveMail(place);
    place.a.crash("kept", secondMs, false);
    await place.world.pass(10 * secondMs);
    await reckon(place.world);
  });
});

it("the preferred relay is killed under load: a peer goes on through the second one within seconds, and nothing is lost", async () => {
  const { world, a, b, relays } = await town(10, { relayCount: 2 });
  const until = world.clock.now + 10 * secondMs;
  let killedAt = Infinity;
  while (world.clock.now < until) {
    a.send(b, 100, false, "long");
    await world.pass(50);
    if (killedAt < Infinity || world.clock.now < until - 8 * secondMs) continue;
    killedAt = world.clock.now;
    const [preferred] = [...relays].sort((r, s) => count(world, s) - count(world, r));
    preferred!.crashMail("kept", "kept", 10 * minuteMs, false);
  }
  await world.pass(secondMs);
  const after = world.ledger.entries.filter(({ sentAt }) => sentAt >= killedAt);
  const first = Math.min(...after.flatMap(({ handovers }) => handovers.map(({ at }) => at)));
  expect(first - killedAt).toBeLessThan(2 * secondMs);
  expect(after.filter(({ handovers }) => handovers.length > 0).length).toBeGreaterThan(0.9 * after.length);
  await reckon(world);
});

/** Envelopes that A gave to a relay. */
function count({ hops }: StackWorld, { name }: StackRelay): number {
  return hops.get(`A>${name}`) ?? 0;
}

it("the metatracker forgets everything: peers publish again, and who forgot everybody finds them", async () => {
  const { world, a, b, metatracker } = await town(11);
  metatracker.crash("lost", secondMs, false);
  await world.pass(15 * minuteMs);
  a.crash("lost", secondMs, false);
  await world.pass(5 * secondMs);
  a.send(b, 20, true, "usual");
  await world.pass(30 * secondMs);
  expect(delivered(world)).toBe(3);
  await reckon(world);
});
