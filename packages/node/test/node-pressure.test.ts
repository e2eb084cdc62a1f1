/** A sender that outruns a slow peer is slowed, and nobody's memory grows without bound. */
import { usedBytes } from "@egtp/test-kit/used-memory";
import { defineMessage } from "@egtp/wire";
import { afterEach, beforeEach, expect, test } from "vitest";
import { errorOf, World } from "./world.ts";

const note = defineMessage("test/note");
const delivery = { maxOutboxMessages: 100, maxOutboxBytes: 100_000 };

let world: World;
beforeEach(() => {
  world = new World();
});
afterEach(() => world.end());

test("ready paces a producer to what the peer handles", async () => {
  const alice = await world.join("alice", { limits: { delivery } });
  const bob = await world.join("bob");
  const running: (() => void)[] = [];
  let handled = 0;
  bob.node.handle(note, async () => {
    await new Promise<void>((resolve) => running.push(resolve));
    handled++;
  });
  const sent: Promise<unknown>[] = [];
  let producing = true;
  const produce = (async () => {
    for (let i = 0; i < 1_000; i++) {
      await alice.node.ready(bob.node.peerId);
      sent.push(alice.node.send(bob.node.peerId, note, new Uint8Array(100)));
    }
    producing = false;
  })();
  await world.time.pass(1_000);
  expect(producing).toBe(true);
  expect(sent.length).toBe(100);
  expect(alice.node.stats().waitingSends).toBe(0);
  while (producing) {
    for (const finish of running.splice(0)) finish();
    await world.time.pass(50);
    expect(sent.length - handled).toBeLessThanOrEqual(100 + 1);
  }
  await produce;
  for (let i = 0; i < 10; i++) {
    for (const finish of running.splice(0)) finish();
    await world.time.pass(50);
  }
  expect(await world.time.of(Promise.all(sent))).toEqual(Array(1_000).fill({ state: "delivered" }));
});

test("a producer that waits for room can give up", async () => {
  const alice = await world.join("alice", { limits: { delivery } });
  const bob = await world.join("bob");
  bob.node.handle(note, () => new Promise(() => {}));
  const { peerId } = bob.node;
  for (let i = 0; i < 100; i++) void alice.node.send(peerId, note, new Uint8Array(100)).catch(() => {});
  const controller = new AbortController();
  const waiting = errorOf(alice.node.ready(peerId, { signal: controller.signal }));
  await world.time.pass(1_000);
  controller.abort(new Error("enough"));
  expect(await waiting).toMatchObject({ code: "EGTP_ABORTED", cause: { message: "enough" } });
  const late = alice.node.ready(peerId, { signal: controller.signal });
  expect(await errorOf(late)).toMatchObject({ code: "EGTP_ABORTED" });
});

test.each([
  ["the outbox is full", 100, 100],
  ["the turn has sent enough", 1, 400_000],
])("whoever gave up waiting for room is forgotten, while %s", async (_when, messages, bytes) => {
  const alice = await world.join("alice", messages === 1 ? {} : { limits: { delivery } });
  const bob = await world.join("bob");
  bob.node.handle(note, () => new Promise(() => {}));
  const { peerId } = bob.node;
  for (let i = 0; i < messages; i++) void alice.node.send(peerId, note, new Uint8Array(bytes)).catch(() => {});
  const giveUp = async (): Promise<WeakRef<AbortSignal>> => {
    const controller = new AbortController();
    const waiting = errorOf(alice.node.ready(peerId, { signal: controller.signal }));
    controller.abort();
    expect(await waiting).toMatchObject({ code: "EGTP_ABORTED" });
    return new WeakRef(controller.signal);
  };
  const signals: WeakRef<AbortSignal>[] = [];
  for (let i = 0; i < 100; i++) signals.push(await giveUp());
  // A reference that was looked at lives until the end of its turn.
  await new Promise((resolve) => setImmediate(resolve));
  usedBytes();
  expect(signals.filter((signal) => signal.deref() !== undefined).length).toBeLessThan(5);
});

test("sends wait their turn for room, in order, as many as may wait; one more is refused", async () => {
  const alice = await world.join("alice", { limits: { delivery, node: { maxWaitingSends: 50 } } });
  const bob = await world.join("bob");
  const received: number[] = [];
  let open = false;
  bob.node.handle(note, async ({ body }) => {
    received.push(body[0]!);
    if (!open) await new Promise<void>((resolve) => world.time.setTimer(resolve, 2_000));
  });
  const sent = Array.from({ length: 150 }, (_, i) => alice.node.send(bob.node.peerId, note, Uint8Array.of(i)));
  expect(alice.node.stats().waitingSends).toBe(50);
  const refused = await errorOf(alice.node.send(bob.node.peerId, note, Uint8Array.of(0)));
  expect(refused).toMatchObject({ code: "EGTP_OUTBOX_FULL", peer: bob.node.peerId });
  expect((refused as { hint: string }).hint).toMatch(/ready/);
  await world.time.pass(1_000);
  open = true;
  expect(await world.time.of(Promise.all(sent))).toEqual(Array(150).fill({ state: "delivered" }));
  expect(received).toEqual(Array.from({ length: 150 }, (_, i) => i));
});

test("what waits for room still ends at its deadline, by its signal, and when the peer cannot be reached", async () => {
  const alice = await world.join("alice", { limits: { delivery: { maxOutboxMessages: 1 } } });
  const bob = await world.join("bob");
  bob.node.handle(note, () => new Promise<never>(() => {}));
  const first = alice.node.send(bob.node.peerId, note, Uint8Array.of(0), { timeoutMs: 60_000 });
  const late = alice.node.send(bob.node.peerId, note, Uint8Array.of(1), { timeoutMs: 1_000 });
  const controller = new AbortController();
  const given = alice.node.send(bob.node.peerId, note, Uint8Array.of(2), { signal: controller.signal });
  const asked = alice.node.request(bob.node.peerId, note, Uint8Array.of(3), { timeoutMs: 2_000 });
  controller.abort();
  expect(await errorOf(given)).toMatchObject({ code: "EGTP_ABORTED" });
  const begun = world.time.now();
  const reason = { strategy: "none", error: expect.objectContaining({ code: "EGTP_NOT_IN_TIME" }) };
  expect(await world.time.of(late)).toEqual({ state: "unreachable", reasons: [reason] });
  expect(world.time.now() - begun).toBeLessThanOrEqual(1_001);
  expect(await errorOf(world.time.of(asked))).toMatchObject({ code: "EGTP_UNREACHABLE", reasons: [reason] });
  expect(await world.time.of(first)).toEqual({ state: "expired" });
  expect(alice.node.stats().waitingSends).toBe(0);
});

test("a network that stops taking bytes stops the sender", async () => {
  const alice = await world.join("alice", { limits: { delivery: { maxOutboxBytes: 8 * 1024 * 1024 } } });
  const bob = await world.join("bob");
  let handled = 0;
  bob.node.handle(note, () => {
    handled++;
  });
  await world.time.of(alice.node.send(bob.node.peerId, note, new Uint8Array(10)));
  const go = world.network.hold("alice", "bob");
  let sent = 0;
  const outcomes: Promise<unknown>[] = [];
  let producing = true;
  const produce = (async () => {
    for (; sent < 2_000; sent++) {
      await alice.node.ready(bob.node.peerId);
      outcomes.push(alice.node.send(bob.node.peerId, note, new Uint8Array(10_000), { timeoutMs: 600_000 }));
    }
    producing = false;
  })();
  await world.time.pass(100);
  expect(producing).toBe(true);
  expect(sent).toBeLessThan(900);
  go();
  await world.time.run(() => !producing);
  await produce;
  await world.time.of(Promise.all(outcomes));
  expect(handled).toBe(2_001);
});
