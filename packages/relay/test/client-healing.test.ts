/**
 * The deadlock of 2004 and its kin: peers who reach each other through relays alone lose their sessions, the relay loses its own,
 * its mailboxes, or everything. The next message arrives, and what was left in mailboxes too (P1), each once at a run (P2).
 */
import { createIdentity, type Identity, identityFromSeed } from "@egtp/node";
import { MemorySessionStore, type SessionStore } from "@egtp/session-store";
import { defineMessage } from "@egtp/wire";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { again, type RelayedPeer, type RelayNode, World, type WorldNode } from "./world.ts";

const note = defineMessage("test/note");
const minuteMs = 60_000;

let world: World;
beforeEach(() => {
  world = new World();
});
afterEach(() => world.end());

function listen({ node }: WorldNode): number[] {
  const heard: number[] = [];
  node.handle(note, ({ body }) => {
    heard.push(body[0]!);
  });
  return heard;
}

/** How many messages of somebody ended as delivered. */
function deliveredOf({ events }: WorldNode): number {
  return events.filter(
    (event) =>
      event.kind === "message" &&
      event.type === note.name &&
      event.direction === "out" &&
      event.outcome === "delivered",
  ).length;
}

/** Comes back after a crash, with the sessions it had or without. */
function back(name: string, peer: WorldNode, keeps: boolean): Promise<RelayedPeer> {
  return world.peer(name, { identity: again(peer), ...(keeps && { store: peer.store }) });
}

async function pair(): Promise<{ relay: RelayNode; alice: RelayedPeer; bob: RelayedPeer; heard: number[] }> {
  const relay = await world.relay("relay");
  const alice = await world.peer("alice");
  const bob = await world.peer("bob");
  const heard = listen(bob);
  await world.time.of(alice.node.send(bob.node.peerId, note, Uint8Array.of(0)));
  await world.time.of(alice.node.send(bob.node.peerId, note, Uint8Array.of(1)));
  expect(heard).toEqual([0, 1]);
  await world.time.pass(5_000);
  heard.length = 0;
  return { relay, alice, bob, heard };
}

describe("sessions are lost", () => {
  test.each([
    ["by the recipient", false, true],
    ["by the sender", true, false],
    ["by both", true, true],
  ])("%s: the next message arrives all the same", async (_who, isSender, isBoth) => {
    const { alice, bob } = await pair();
    const losesBob = !isSender || isBoth;
    await world.kill(bob);
    if (isSender) await world.kill(alice);
    await world.time.pass(2_000);
    const bob2 = await back("bob", bob, !losesBob);
    const alice2 = isSender ? await back("alice", alice, false) : alice;
    const heard = listen(bob2);
    listen(alice2);
    const begun = world.time.now();
    for (const n of [2, 3, 4]) {
      expect(await world.time.of(alice2.node.send(bob.node.peerId, note, Uint8Array.of(n)))).toEqual({
        state: "delivered",
      });
    }
    expect(heard).toEqual([2, 3, 4]);
    expect(world.time.now() - begun).toBeLessThan(2_000);
    expect(await world.time.of(bob2.node.send(alice.node.peerId, note, Uint8Array.of(5)))).toEqual({
      state: "delivered",
    });
  });

  test.each([
    ["by the recipient, who is away, and comes back without them", true],
    ["by nobody", false],
  ])("%s, with mail in the mailbox: all of it arrives, once", async (_who, isLost) => {
    const { alice, bob } = await pair();
    await world.kill(bob);
    const outcomes = Array.from({ length: 30 }, (_, n) => alice.node.send(bob.node.peerId, note, Uint8Array.of(n + 2)));
    const states = (await world.time.of(Promise.all(outcomes))).map(({ state }) => state);
    expect(new Set(states)).toEqual(new Set(["stored"]));
    await world.time.pass(60 * minuteMs);
    const bob2 = await back("bob", bob, !isLost);
    const heard = listen(bob2);
    const begun = world.time.now();
    await world.time.run(() => heard.length >= 30);
    expect(world.time.now() - begun).toBeLessThan(2_000);
    await world.time.pass(10 * minuteMs);
    expect(heard.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 30 }, (_, n) => n + 2));
    expect(deliveredOf(alice)).toBe(32);
  });

  test("by the recipient, while its sender is away as well: when that is back it sends again what it still has", async () => {
    const { alice, bob } = await pair();
    await world.kill(bob);
    await world.time.of(alice.node.send(bob.node.peerId, note, Uint8Array.of(2)));
    // Alice cannot be reached when Bob finds that he cannot read it.
    world.network.cut("alice");
    const release = world.network.block("alice", "relay");
    await world.time.pass(minuteMs);
    const bob2 = await back("bob", bob, false);
    const heard = listen(bob2);
    await world.time.pass(5 * minuteMs);
    expect(heard).toEqual([]);
    release();
    await world.time.run(() => heard.length === 1, 10 * minuteMs);
    expect(heard).toEqual([2]);
  });
});

describe("the relay is killed, and comes back", () => {
  test.each(["all", "no sessions", "nothing"] as const)("with %s: both go on", async (left) => {
    const { relay, alice, bob, heard } = await pair();
    const reborn = await world.killRelay(relay, left);
    await world.time.pass(2_000);
    await reborn();
    const outcomes = [2, 3, 4].map((n) =>
      alice.node.send(bob.node.peerId, note, Uint8Array.of(n), {
        failFast: false,
        timeoutMs: 10 * minuteMs,
        softTimeoutMs: 10 * minuteMs,
      }),
    );
    const begun = world.time.now();
    const states = (await world.time.of(Promise.all(outcomes))).map(({ state }) => state);
    expect(states).toEqual(["delivered", "delivered", "delivered"]);
    expect(world.time.now() - begun).toBeLessThan(30_000);
    expect(heard.toSorted((a, b) => a - b)).toEqual([2, 3, 4]);
  });

  test("without the mailboxes: what was stored there is sent again when its recipient is asked for it", async () => {
    const { relay, alice, bob } = await pair();
    await world.kill(bob);
    expect(await world.time.of(alice.node.send(bob.node.peerId, note, Uint8Array.of(2)))).toMatchObject({
      state: "stored",
    });
    const reborn = await world.killRelay(relay, "nothing");
    await world.time.pass(2_000);
    await reborn();
    await world.time.pass(5 * minuteMs);
    const back2 = await back("bob", bob, true);
    const heard = listen(back2);
    listen(alice);
    await world.time.run(() => heard.length === 1);
    expect(heard).toEqual([2]);
  });
});

describe("what a node could not take in stays at the relay, and is collected later", () => {
  test("because its store failed", async () => {
    const relay = await world.relay("relay");
    const alice = await world.peer("alice");
    const memory = new MemorySessionStore();
    let isFailing = false;
    const store: SessionStore = {
      load: () => memory.load(),
      write: (batch) => {
        if (isFailing) throw new Error("The disk is full");
        memory.write(batch);
      },
      close: async () => {},
    };
    const bob = await world.peer("bob", { store });
    const heard = listen(bob);
    await world.time.of(alice.node.send(bob.node.peerId, note, Uint8Array.of(0)));
    isFailing = true;
    const outcomes = [1, 2, 3].map((n) => alice.node.send(bob.node.peerId, note, Uint8Array.of(n)));
    await world.time.of(Promise.all(outcomes));
    await world.time.pass(20_000);
    expect(relay.relay.waitingFor(bob.node)).toBeGreaterThan(0);
    isFailing = false;
    await world.time.run(() => relay.relay.waitingFor(bob.node) === 0, 5 * minuteMs);
    await world.time.pass(minuteMs);
    expect(heard).toEqual([0, 1, 2, 3]);
    expect(deliveredOf(alice)).toBe(4);
  });

  test("because it had no room, and its sender is gone", async () => {
    const { relay, alice, bob } = await pair();
    await world.time.of(bob.node.stop());
    for (const n of [0, 1, 2, 3, 4, 5]) {
      const outcome = await world.time.of(alice.node.send(bob.node.peerId, note, Uint8Array.of(n)));
      expect(outcome).toMatchObject({ state: "stored" });
    }
    await world.kill(alice);
    const limits = { delivery: { maxHeldMessages: 2 } };
    const back2 = await world.peer("bob", { identity: again(bob), store: bob.store, limits });
    const heard: number[] = [];
    const release: (() => void)[] = [];
    back2.node.handle(note, async ({ body }) => {
      const [number] = body;
      heard.push(number!);
      await new Promise<void>((resolve) => release.push(resolve));
    });
    await world.time.pass(30_000);
    expect(heard).toEqual([0, 1]);
    expect(relay.relay.waitingFor(bob.node)).toBe(6);
    expect(back2.client.stats().mail.notTaken).toBeGreaterThan(4);
    await world.time.run(() => {
      for (const each of release.splice(0)) each();
      return relay.relay.waitingFor(bob.node) === 0;
    }, 30 * minuteMs);
    expect(heard).toEqual([0, 1, 2, 3, 4, 5]);
  });
});

/** Repeatable choices (mulberry32). */
function choices(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

const seeds = Array.from(
  { length: Number(process.env.EGTP_SEEDS ?? 4) },
  (_, i) => i + Number(process.env.EGTP_SEED ?? 1),
);

describe("anything is forgotten, at any time", () => {
  test.each(seeds)("seed %i", async (seed) => {
    const choose = choices(seed);
    const relays: RelayNode[] = [];
    const dead: (() => Promise<RelayNode>)[] = [];
    for (const name of ["one", "two"]) relays.push(await world.relay(name));
    const names = ["alice", "bob", "carol"] as const;
    const identities: Identity[] = names.map(() => identityFromSeed(createIdentity().exportSeed()));
    const peers: RelayedPeer[] = [];
    /** How often a text was handed over to a run of a peer. */
    const handed = new Map<string, number>();
    const waiting: { readonly from: WorldNode; readonly text: string; state: string | undefined }[] = [];
    const runs = [0, 0, 0];

    const join = async (at: number, store: SessionStore): Promise<void> => {
      const run = ++runs[at]!;
      const peer = await world.peer(`${names[at]!}${run}`, {
        identity: identities[at]!,
        store,
        sealedSender: seed % 3 === 0,
      });
      peer.node.handle(note, async ({ body }) => {
        const key = `${names[at]!} ${run} ${new TextDecoder().decode(body)}`;
        handed.set(key, (handed.get(key) ?? 0) + 1);
        if (choose(2) === 0) await new Promise<void>((resolve) => world.time.setTimer(resolve, choose(2_000)));
      });
      peers[at] = peer;
    };
    for (const at of [0, 1, 2]) await join(at, new MemorySessionStore());

    for (let step = 0; step < 40; step++) {
      for (let n = choose(4); n > 0; n--) {
        const from = peers[choose(3)]!;
        const to = peers.filter((peer) => peer !== from)[choose(2)]!;
        const sent = { from, text: `${step}.${n}`, state: undefined as string | undefined };
        waiting.push(sent);
        const options = { failFast: false, timeoutMs: 120 * minuteMs, softTimeoutMs: 120 * minuteMs };
        void from.node.send(to.node.peerId, note, new TextEncoder().encode(sent.text), options).then(
          ({ state }) => {
            sent.state = state;
          },
          (error: unknown) => {
            sent.state = String(error);
          },
        );
      }
      const what = choose(10);
      if (what === 0) {
        const at = choose(3);
        const peer = peers[at]!;
        await world.kill(peer);
        await world.time.pass(choose(3_000));
        await join(at, choose(2) === 0 ? peer.store : new MemorySessionStore());
      } else if (what === 1 && relays.length > 1) {
        const [relay] = relays.splice(choose(relays.length), 1);
        dead.push(await world.killRelay(relay!, (["all", "no sessions", "nothing"] as const)[choose(3)]!));
      } else if (what === 2) for (const reborn of dead.splice(0)) relays.push(await reborn());
      else if (what === 3) world.network.cut(peers[choose(3)]!.place);
      await world.time.pass(choose(10_000));
    }
    for (const reborn of dead.splice(0)) relays.push(await reborn());

    // Everybody says something, so that what a relay lost with its mailboxes is noticed.
    await world.time.pass(5 * minuteMs);
    for (const from of peers) {
      for (const to of peers) {
        if (from === to) continue;
        const text = new TextEncoder().encode(`last of ${from.place} for ${to.place}`);
        const options = { failFast: false, timeoutMs: 30 * minuteMs };
        expect((await world.time.of(from.node.send(to.node.peerId, note, text, options), 31 * minuteMs)).state).toMatch(
          /delivered|stored/,
        );
      }
    }
    await world.time.pass(30 * minuteMs);
    const alive = waiting.filter(({ from }) => peers.includes(from as RelayedPeer));
    expect(alive.filter(({ state }) => state !== "delivered")).toEqual([]);
    expect([...handed].filter(([, count]) => count > 1)).toEqual([]);
  });
});
