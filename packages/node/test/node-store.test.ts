/** What must be kept before it is handed over or said: nodes above stores that take their time, fail, or are damaged. */
import { createIdentity } from "@egtp/mesgen";
import { MemorySessionStore, SessionMaps, type SessionStore, type StoreEntry } from "@egtp/session-store";
import { defineMessage } from "@egtp/wire";
import { afterEach, beforeEach, expect, test } from "vitest";
import { createNode, type EgtpNode, type NodeEvent } from "../src/index.ts";
import { MemoryNetwork } from "../src/memory.ts";
import { World } from "./world.ts";

const note = defineMessage("test/note");
const echo = defineMessage("test/echo");

/** Keeps batches after a while, when it may. */
class SlowStore implements SessionStore {
  readonly kept = new MemorySessionStore();
  readonly #world: World;
  readonly delayMs: number;
  fails = false;
  isClosed = false;
  writes = 0;

  constructor(world: World, delayMs: number) {
    this.#world = world;
    this.delayMs = delayMs;
  }

  load(): Iterable<readonly [string, Uint8Array]> {
    return this.kept.load();
  }

  write(batch: readonly StoreEntry[]): Promise<void> {
    this.writes++;
    return new Promise((resolve, reject) => {
      this.#world.time.setTimer(() => {
        if (this.fails) reject(new Error("the disk is full"));
        else {
          this.kept.write(batch);
          resolve();
        }
      }, this.delayMs);
    });
  }

  async close(): Promise<void> {
    this.isClosed = true;
  }
}

let world: World;
let alice: EgtpNode;
beforeEach(async () => {
  world = new World();
  alice = (await world.join("alice")).node;
});
afterEach(() => world.end());

async function bobWith(store: SessionStore): Promise<EgtpNode> {
  const node = await createNode({
    identity: createIdentity(),
    sessions: store,
    transports: [world.network.transport("bob")],
    schedule: world.time,
  });
  await world.time.of(node.start());
  alice.introduce(node.peerId, [MemoryNetwork.strategy("bob")]);
  return node;
}

test("a message is handed over after its offer is kept, and receipted after its handling is", async () => {
  const store = new SlowStore(world, 300);
  const bob = await bobWith(store);
  const handledAt: number[] = [];
  bob.handle(note, () => {
    handledAt.push(world.time.now());
  });
  const begun = world.time.now();
  expect(await world.time.of(alice.send(bob.peerId, note, Uint8Array.of(1)))).toEqual({ state: "delivered" });
  expect(handledAt[0]! - begun).toBeGreaterThanOrEqual(300);
  expect(world.time.now() - begun).toBeGreaterThanOrEqual(600);
  // A reply is proof of its handling too.
  bob.handle(echo, ({ body }) => body);
  const asked = world.time.now();
  await world.time.of(alice.request(bob.peerId, echo, Uint8Array.of(1)));
  expect(world.time.now() - asked).toBeGreaterThanOrEqual(300);
  await world.time.of(bob.stop());
  expect(store.isClosed).toBe(true);
});

test("messages keep their order while a commit is awaited", async () => {
  const bob = await bobWith(new SlowStore(world, 300));
  const received: number[] = [];
  bob.handle(note, ({ body }) => {
    received.push(body[0]!);
  });
  const sent: Promise<unknown>[] = [];
  for (let i = 0; i < 20; i++) {
    sent.push(alice.send(bob.peerId, note, Uint8Array.of(i)));
    await world.time.pass(20);
  }
  await world.time.of(Promise.all(sent));
  expect(received).toEqual(Array.from({ length: 20 }, (_, i) => i));
  await world.time.of(bob.stop());
});

test("a store that fails is told, nothing is handed over, and when it works again all arrives once", async () => {
  const store = new SlowStore(world, 5);
  const bob = await bobWith(store);
  const events: NodeEvent[] = [];
  void (async () => {
    for await (const event of bob.events({ kinds: ["store"] })) events.push(event);
  })();
  const received: number[] = [];
  bob.handle(note, ({ body }) => {
    received.push(body[0]!);
  });
  store.fails = true;
  const sent = alice.send(bob.peerId, note, Uint8Array.of(1), { timeoutMs: 120_000 });
  await world.time.pass(3_000);
  expect(received).toEqual([]);
  expect(events[0]).toMatchObject({ kind: "store", state: "failed" });
  store.fails = false;
  expect(await world.time.of(sent)).toEqual({ state: "delivered" });
  expect(received).toEqual([1]);
  await world.time.of(bob.stop());
});

test("what was damaged in the store is told at start", async () => {
  const store = new MemorySessionStore();
  store.write([["c:damaged", Uint8Array.of(1, 2, 3)]]);
  const node = await createNode({ identity: createIdentity(), sessions: store });
  const reader = node.events({ kinds: ["store"] });
  await node.start();
  expect((await reader.next()).value).toMatchObject({ kind: "store", state: "damaged", key: "c:damaged" });
  await node.stop();
});

test("an identity is as old as its first store only once", async () => {
  const identity = createIdentity();
  const born: boolean[] = [];
  for (let i = 0; i < 2; i++) {
    const store = new MemorySessionStore();
    const node = await createNode({ identity, sessions: store });
    await node.start();
    await node.stop();
    // The flag stands in the store's own record.
    born.push([...store.load()].some(([, value]) => value.length > 0));
  }
  expect(born).toEqual([true, true]);
});

test("what is left for it under a session can be read by the next run, after a stop, and after a while also without one", async () => {
  const store = new MemorySessionStore();
  const bob = await bobWith(store);
  bob.handle(note, () => {});
  const send = () => world.time.of(alice.send(bob.peerId, note, Uint8Array.of(1)));
  const limits = () => {
    const random = (length: number) => new Uint8Array(length);
    const { sessions = [], accepted = [] } =
      SessionMaps.open(store.snapshot(), { now: world.time.now(), random }).get(alice.peerId) ?? {};
    return [...sessions, ...accepted].map(({ counterLimit }) => counterLimit);
  };
  for (let i = 0; i < 5; i++) await send();
  expect(Math.max(...limits())).toBeGreaterThan(4_000);
  await world.time.pass(6_100);
  const atRest = limits();
  expect(atRest.length).toBeGreaterThan(1);
  expect(Math.max(...atRest)).toBeLessThan(20);
  await send();
  expect(Math.max(...limits())).toBeGreaterThan(4_000);
  await world.time.of(bob.stop());
  expect(Math.max(...limits())).toBeLessThan(20);
});
