/** A node's messages: sends, requests, handlers, schemas, time limits, signals, and its end. */
import { createIdentity } from "@egtp/mesgen";
import { defineMessage, equalBytes, type PeerId, SchemaError } from "@egtp/wire";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { z } from "zod";
import { createNode, type NodeEvent, type NodePart, type ReceivedMessage, type SendOutcome } from "../src/index.ts";
import { errorOf, hopMs, World, type WorldNode } from "./world.ts";

const note = defineMessage("test/note");
const echo = defineMessage("test/echo");
const sum = defineMessage("test/sum", {
  body: z.object({ n: z.number(), by: z.number().default(1) }),
  reply: z.object({ sum: z.number() }),
});

let world: World;
let alice: WorldNode;
let bob: WorldNode;

beforeEach(async () => {
  world = new World();
  alice = await world.join("alice");
  bob = await world.join("bob");
});
afterEach(() => world.end());

const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values);

describe("sending", () => {
  test("a message reaches its handler by the peer's ID alone, and is delivered when the handler returned", async () => {
    const received: ReceivedMessage<Uint8Array>[] = [];
    bob.node.handle(note, (message) => {
      received.push(message);
    });
    const outcome = await world.time.of(alice.node.send(bob.node.peerId, note, bytes(1, 2, 3)));
    expect(outcome).toEqual({ state: "delivered" });
    expect(received).toHaveLength(1);
    expect([...received[0]!.body]).toEqual([1, 2, 3]);
    expect(received[0]!.from).toBe(alice.node.peerId);
    expect(received[0]!.early).toBe(true);
    expect(received[0]!.isRequest).toBe(false);
    expect(received[0]!.messageId).toBe(`${alice.node.peerId}/${alice.node.epoch}/1`);
  });

  test("the first message needs no round trip before it, and a later one is no longer early", async () => {
    const received: { early: boolean; at: number }[] = [];
    bob.node.handle(note, ({ early }) => {
      received.push({ early, at: world.time.now() });
    });
    const begun = world.time.now();
    await world.time.of(alice.node.send(bob.node.peerId, note, bytes(1)));
    // One hop to connect, one for the envelope.
    expect(received[0]).toEqual({ early: true, at: begun + 2 * hopMs });
    await world.time.of(alice.node.send(bob.node.peerId, note, bytes(2)));
    expect(received[1]!.early).toBe(false);
  });

  test("messages arrive in the order of sending, many in one envelope", async () => {
    const received: number[] = [];
    bob.node.handle(note, ({ body }) => {
      received.push(body[0]!);
    });
    await world.time.of(alice.node.send(bob.node.peerId, note, bytes(0)));
    const before = world.traffic.length;
    const outcomes = Array.from({ length: 100 }, (_, i) => alice.node.send(bob.node.peerId, note, bytes(i + 1)));
    expect((await world.time.of(Promise.all(outcomes))).every(({ state }) => state === "delivered")).toBe(true);
    expect(received).toEqual(Array.from({ length: 101 }, (_, i) => i));
    expect(world.traffic.slice(before).filter(({ from }) => from === "alice")).toHaveLength(1);
  });

  test("a long message is carried in parts", async () => {
    let received: Uint8Array | undefined;
    bob.node.handle(note, ({ body }) => {
      received = body;
    });
    const body = Uint8Array.from({ length: 300_000 }, (_, i) => (i * 7) & 255);
    expect(await world.time.of(alice.node.send(bob.node.peerId, note, body))).toEqual({ state: "delivered" });
    expect(equalBytes(received!, body)).toBe(true);
  });

  test("mail of a type without a handler waits until there is one", async () => {
    const outcome = alice.node.send(bob.node.peerId, note, bytes(9));
    await world.time.pass(5_000);
    expect(await Promise.race([outcome, Promise.resolve("waiting")])).toBe("waiting");
    const received: number[] = [];
    bob.node.handle(note, ({ body }) => {
      received.push(body[0]!);
    });
    expect(await world.time.of(outcome)).toEqual({ state: "delivered" });
    expect(received).toEqual([9]);
  });

  test("a message that nobody handles expires", async () => {
    const outcome = await world.time.of(alice.node.send(bob.node.peerId, note, bytes(1), { timeoutMs: 3_000 }));
    expect(outcome.state).toMatch(/expired|rejected/);
  });

  test("a message that needs an established session waits for one", async () => {
    const secret = defineMessage("test/secret", { established: true });
    const early: boolean[] = [];
    bob.node.handle(secret, (message) => {
      early.push(message.early);
    });
    expect(await world.time.of(alice.node.send(bob.node.peerId, secret, bytes(1)))).toEqual({ state: "delivered" });
    expect(early).toEqual([false]);
  });

  test("it asks for the session with what may travel early, in one envelope", async () => {
    const secret = defineMessage("test/secret", { established: true });
    for (const type of [note, secret]) bob.node.handle(type, () => {});
    const sent = [secret, note].map((type) => alice.node.send(bob.node.peerId, type, bytes(1)));
    await world.time.run(() => world.traffic.some(({ from }) => from === "bob"));
    expect(world.traffic.filter(({ from }) => from === "alice")).toHaveLength(1);
    expect(await world.time.of(Promise.all(sent))).toEqual([{ state: "delivered" }, { state: "delivered" }]);
  });
});

describe("requests", () => {
  test("a request gets the reply, through the schemas", async () => {
    bob.node.handle(sum, ({ body }) => ({ sum: body.n + body.by }));
    expect(await world.time.of(alice.node.request(bob.node.peerId, sum, { n: 2 }))).toEqual({ sum: 3 });
    expect(await world.time.of(alice.node.request(bob.node.peerId, sum, { n: 2, by: 5 }))).toEqual({ sum: 7 });
  });

  test("a handler may take its time", async () => {
    bob.node.handle(echo, async ({ body }) => {
      await new Promise<void>((resolve) => world.time.setTimer(resolve, 700));
      return body;
    });
    expect([...(await world.time.of(alice.node.request(bob.node.peerId, echo, bytes(4))))]).toEqual([4]);
  });

  test("both sides may ask each other at the same time", async () => {
    for (const { node } of [alice, bob]) node.handle(echo, ({ body }) => body);
    const both = [
      alice.node.request(bob.node.peerId, echo, bytes(1)),
      bob.node.request(alice.node.peerId, echo, bytes(2)),
    ];
    expect((await world.time.of(Promise.all(both))).map((body) => body[0])).toEqual([1, 2]);
  });

  test("an empty reply is one", async () => {
    bob.node.handle(echo, () => {});
    expect(await world.time.of(alice.node.request(bob.node.peerId, echo, bytes(1)))).toHaveLength(0);
  });

  test("the soft timeout says not yet, the hard one ends it", async () => {
    bob.node.handle(echo, () => new Promise<never>(() => {}));
    const began = world.time.now();
    const soft: number[] = [];
    const error = await errorOf(
      world.time.of(
        alice.node.request(bob.node.peerId, echo, bytes(1), {
          softTimeoutMs: 500,
          onSoftTimeout: () => soft.push(world.time.now() - began),
          timeoutMs: 2_000,
        }),
      ),
    );
    expect(error).toMatchObject({ code: "EGTP_TIMEOUT", typeName: "test/echo", peer: bob.node.peerId });
    expect((error as { hint: string }).hint).toMatch(/timeoutMs/);
    expect(soft).toEqual([500]);
    expect(world.time.now() - began).toBeGreaterThanOrEqual(2_000);
    expect(world.time.now() - began).toBeLessThan(2_100);
  });

  test("no soft timeout is told after the reply", async () => {
    bob.node.handle(echo, ({ body }) => body);
    let told = 0;
    await world.time.of(
      alice.node.request(bob.node.peerId, echo, bytes(1), { softTimeoutMs: 500, onSoftTimeout: () => told++ }),
    );
    await world.time.pass(2_000);
    expect(told).toBe(0);
  });

  test("a signal gives up a request, and the handler's own signal tells that the sender stopped waiting", async () => {
    let handlerSignal: AbortSignal | undefined;
    bob.node.handle(echo, ({ signal, remainingMs }) => {
      handlerSignal = signal;
      expect(remainingMs).toBeGreaterThan(900);
      return new Promise<never>(() => {});
    });
    const controller = new AbortController();
    const reply = alice.node.request(bob.node.peerId, echo, bytes(1), { signal: controller.signal, timeoutMs: 1_000 });
    await world.time.run(() => handlerSignal !== undefined);
    controller.abort("enough");
    expect(await errorOf(reply)).toMatchObject({ code: "EGTP_ABORTED", cause: "enough" });
    await world.time.pass(1_500);
    expect(handlerSignal!.aborted).toBe(true);
  });

  test("a signal that is aborted already sends nothing", async () => {
    const before = world.traffic.length;
    const signal = AbortSignal.abort();
    expect(await errorOf(alice.node.request(bob.node.peerId, echo, bytes(1), { signal }))).toMatchObject({
      code: "EGTP_ABORTED",
    });
    expect(await errorOf(alice.node.send(bob.node.peerId, note, bytes(1), { signal }))).toMatchObject({
      code: "EGTP_ABORTED",
    });
    await world.time.pass(1_000);
    expect(world.traffic.length).toBe(before);
  });

  test("what is given up before it left never leaves", async () => {
    const controller = new AbortController();
    const sent = alice.node.send(bob.node.peerId, note, bytes(1), { signal: controller.signal });
    controller.abort();
    expect(await errorOf(sent)).toMatchObject({ code: "EGTP_ABORTED" });
    let handled = 0;
    bob.node.handle(note, () => {
      handled++;
    });
    await world.time.pass(5_000);
    expect(handled).toBe(0);
  });
});

describe("what is wrong", () => {
  test("a body that does not fit its schema is refused before it is sent", async () => {
    const before = world.traffic.length;
    const error = await errorOf(alice.node.request(bob.node.peerId, sum, { n: "two" } as never));
    expect(error).toBeInstanceOf(SchemaError);
    expect(error).toMatchObject({ code: "EGTP_SCHEMA_MISMATCH", where: "sender", part: "body" });
    expect(world.traffic.length).toBe(before);
  });

  test("a body that the receiver's schema refuses is rejected, and its handler not called", async () => {
    let called = 0;
    bob.node.handle(defineMessage("test/sum", { body: z.object({ n: z.string() }) }), () => {
      called++;
    });
    const error = await errorOf(world.time.of(alice.node.request(bob.node.peerId, sum, { n: 1 })));
    expect(error).toMatchObject({ code: "EGTP_REJECTED", reason: "not-accepted", typeName: "test/sum" });
    expect((error as { hint: string }).hint).toMatch(/schema/);
    const outcome = await world.time.of(alice.node.send(bob.node.peerId, sum, { n: 1 }));
    expect(outcome).toEqual({ state: "rejected", reason: "not-accepted" });
    expect(called).toBe(0);
    const failures = bob.events.filter((event) => event.kind === "handler-failed");
    expect(failures[0]).toMatchObject({ type: "test/sum", peer: alice.node.peerId });
    expect((failures[0] as { error: unknown }).error).toMatchObject({
      code: "EGTP_SCHEMA_MISMATCH",
      where: "receiver",
    });
  });

  test("a reply that does not fit its schema fails at the handler's side, or at the asker's", async () => {
    bob.node.handle(sum, () => ({ sum: "three" }) as never);
    expect(await errorOf(world.time.of(alice.node.request(bob.node.peerId, sum, { n: 1 })))).toMatchObject({
      code: "EGTP_REJECTED",
      reason: "handler-failed",
    });
    const loose = defineMessage("test/loose", { body: z.number(), reply: z.string() });
    bob.node.handle(loose, () => "text");
    const strict = defineMessage("test/loose", { body: z.number(), reply: z.number() });
    expect(await errorOf(world.time.of(alice.node.request(bob.node.peerId, strict, 1)))).toMatchObject({
      code: "EGTP_SCHEMA_MISMATCH",
      where: "receiver",
      part: "reply",
    });
  });

  test("validators that take their time are waited for on both sides", async () => {
    const slow = defineMessage("test/slow", {
      body: z.number().refine(async (n) => n < 10),
      reply: z.number().refine(async (n) => n < 10),
    });
    bob.node.handle(slow, ({ body }) => body + 1);
    expect(await world.time.of(alice.node.request(bob.node.peerId, slow, 1))).toBe(2);
    expect(await errorOf(world.time.of(alice.node.request(bob.node.peerId, slow, 11)))).toMatchObject({
      where: "sender",
    });
    expect(await errorOf(world.time.of(alice.node.request(bob.node.peerId, slow, 9)))).toMatchObject({
      code: "EGTP_REJECTED",
      reason: "handler-failed",
    });
  });

  test("a handler that throws makes the outcome rejected, once, and the event says why", async () => {
    let called = 0;
    const broken = new Error("broken");
    bob.node.handle(note, () => {
      called++;
      throw broken;
    });
    bob.node.handle(echo, async () => {
      throw broken;
    });
    expect(await world.time.of(alice.node.send(bob.node.peerId, note, bytes(1)))).toEqual({
      state: "rejected",
      reason: "handler-failed",
    });
    expect(await errorOf(world.time.of(alice.node.request(bob.node.peerId, echo, bytes(1))))).toMatchObject({
      code: "EGTP_REJECTED",
      reason: "handler-failed",
    });
    await world.time.pass(60_000);
    expect(called).toBe(1);
    const failures = bob.events.filter((event) => event.kind === "handler-failed");
    expect(failures.map((event) => (event as { error: unknown }).error)).toEqual([broken, broken]);
  });

  test("a type has one handler, which can be taken away", () => {
    const remove = bob.node.handle(note, () => {});
    let error: unknown;
    try {
      bob.node.handle(note, () => {});
    } catch (caught) {
      error = caught;
    }
    expect(error).toMatchObject({ code: "EGTP_DUPLICATE_HANDLER", typeName: "test/note" });
    expect((error as { hint: string }).hint).toMatch(/handle\(\)/);
    remove();
    remove();
    bob.node.handle(note, () => {});
  });

  test("text that is not a peer ID, and our own ID, are refused", async () => {
    expect(await errorOf(alice.node.send("nobody" as PeerId, note, bytes(1)))).toMatchObject({
      code: "EGTP_WIRE_BAD_PEER_ID",
    });
    expect(await errorOf(alice.node.request(alice.node.peerId, note, bytes(1)))).toMatchObject({
      code: "EGTP_MESGEN_SELF",
    });
  });

  test("a message that is too large is refused, at the latest by the peer", async () => {
    const huge = new Uint8Array(4 * 1024 * 1024 + 1);
    const error = await errorOf(alice.node.send(bob.node.peerId, note, huge));
    expect(error).toMatchObject({ code: "EGTP_MESSAGE_TOO_LARGE", bytes: huge.length });
    const small = await world.join("small", { limits: { delivery: { maxMessageBytes: 1_000 } } });
    small.node.handle(note, () => {});
    expect(await world.time.of(alice.node.send(small.node.peerId, note, new Uint8Array(2_000)))).toEqual({
      state: "rejected",
      reason: "too-large",
    });
  });

  test("bodies that are not what the type takes are a mistake in the program", async () => {
    expect(await errorOf(alice.node.send(bob.node.peerId, note, "text" as never))).toBeInstanceOf(TypeError);
  });
});

describe("the end", () => {
  test("nothing is sent before start and after stop", async () => {
    const early = await createNode({ identity: createIdentity() });
    expect(await errorOf(early.send(bob.node.peerId, note, bytes(1)))).toMatchObject({ code: "EGTP_NODE_NOT_STARTED" });
    await early.start();
    await early.stop();
    await early.stop();
    const error = await errorOf(early.send(bob.node.peerId, note, bytes(1)));
    expect(error).toMatchObject({ code: "EGTP_NODE_STOPPED" });
    expect((error as { hint: string }).hint).toBeDefined();
    expect(await errorOf(early.start())).toMatchObject({ code: "EGTP_NODE_STOPPED" });
  });

  test("stop settles what is outstanding: each in its own way, and none is left", async () => {
    bob.node.handle(note, () => new Promise<never>(() => {}));
    bob.node.handle(echo, () => new Promise<never>(() => {}));
    const left = alice.node.send(bob.node.peerId, note, bytes(1));
    const asked = alice.node.request(bob.node.peerId, echo, bytes(1));
    await world.time.pass(1_000);
    const nobody = createIdentity().peer;
    const stuck = alice.node.send(nobody, note, bytes(1), { failFast: false });
    const stopped = alice.node.stop();
    const [a, b, c] = await world.time.of(Promise.allSettled([left, asked, stuck]));
    await world.time.of(stopped);
    expect(a).toEqual({ status: "fulfilled", value: { state: "expired" } });
    expect(b.status === "rejected" && b.reason).toMatchObject({ code: "EGTP_NODE_STOPPED" });
    const outcome = c.status === "fulfilled" ? c.value : undefined;
    expect(outcome).toMatchObject({ state: "unreachable" });
    const [reason] = (outcome as Extract<SendOutcome, { state: "unreachable" }>).reasons;
    expect(reason!.error).toMatchObject({ code: "EGTP_NODE_STOPPING" });
  });

  test("what was sent in the turn of the stop still leaves", async () => {
    const received: number[] = [];
    bob.node.handle(note, ({ body }) => {
      received.push(body[0]!);
    });
    await world.time.of(alice.node.send(bob.node.peerId, note, bytes(1)));
    const last = alice.node.send(bob.node.peerId, note, bytes(2));
    await world.time.of(alice.node.stop());
    expect(await last).toEqual({ state: "expired" });
    await world.time.pass(100);
    expect(received).toEqual([1, 2]);
  });

  test("stop says goodbye: the peer does not use the session any more", async () => {
    bob.node.handle(note, () => {});
    await world.time.of(alice.node.send(bob.node.peerId, note, bytes(1)));
    await world.time.of(alice.node.send(bob.node.peerId, note, bytes(1)));
    expect(bob.node.sessions(alice.node.peerId)).toHaveLength(1);
    await world.time.of(alice.node.stop());
    await world.time.pass(100);
    expect(bob.node.sessions(alice.node.peerId)).toHaveLength(0);
    expect(bob.node.links()).toHaveLength(0);
  });

  test("handlers that run are told by their signals, and readers of events end", async () => {
    let signal: AbortSignal | undefined;
    bob.node.handle(note, (message) => {
      signal = message.signal;
      return new Promise<never>(() => {});
    });
    const events: NodeEvent[] = [];
    const reading = (async () => {
      for await (const event of bob.node.events({ kinds: ["message"] })) events.push(event);
    })();
    void alice.node.send(bob.node.peerId, note, bytes(1));
    await world.time.run(() => signal !== undefined);
    await world.time.of(bob.node.stop());
    await reading;
    expect(signal!.aborted).toBe(true);
    expect(events).toMatchObject([{ kind: "message", direction: "in", type: "test/note", bytes: 1 }]);
  });

  test("a handler may stop its own node", async () => {
    let stopped: Promise<void> | undefined;
    bob.node.handle(echo, ({ body }) => {
      stopped = bob.node.stop();
      return body;
    });
    const reply = alice.node.request(bob.node.peerId, echo, bytes(1), { timeoutMs: 3_000 });
    await world.time.run(() => stopped !== undefined);
    await world.time.of(stopped!);
    // The reply leaves with the goodbye, or not at all.
    await world.time.of(reply.catch(() => {}));
  });

  test("a node that is stopped while it starts leaves nothing behind", async () => {
    const late = await world.make("late");
    const starting = errorOf(late.node.start());
    const stopping = late.node.stop();
    expect(await world.time.of(starting)).toMatchObject({ code: "EGTP_NODE_STOPPED" });
    await world.time.of(stopping);
  });

  test("parts live with the node: the last one is stopped first, while it still may send", async () => {
    const told: string[] = [];
    const part = (name: string): NodePart => ({
      start: async () => {
        told.push(`start ${name}`);
      },
      stop: async () => {
        told.push(`stop ${name}`);
      },
    });
    const { node } = await world.join("parts", { parts: [part("one"), part("two")] });
    await world.time.of(node.stop());
    expect(told).toEqual(["start one", "start two", "stop two", "stop one"]);
  });

  test("a part that takes long to stop does not keep the node sending, and what it holds is free when the node stopped", async () => {
    let release = (): void => {};
    const slow: NodePart = {
      start: async () => {},
      stop: () =>
        new Promise((resolve) => {
          release = resolve;
        }),
    };
    const { node } = await world.join("slow", { parts: [slow], limits: { node: { stopMs: 1_000 } } });
    let isStopped = false;
    const stopping = node.stop().then(() => {
      isStopped = true;
    });
    await world.time.pass(2_000);
    await expect(node.send(alice.node.peerId, echo, bytes(1))).rejects.toMatchObject({ code: "EGTP_NODE_STOPPED" });
    expect(isStopped).toBe(false);
    release();
    await stopping;
  });

  test("await using stops it", async () => {
    let peerId: PeerId;
    {
      await using node = await createNode({ identity: createIdentity() });
      await node.start();
      peerId = node.peerId;
    }
    expect(peerId).toHaveLength(52);
  });
});

test("stats count what went over the links", async () => {
  bob.node.handle(echo, ({ body }) => body);
  for (let i = 0; i < 5; i++) await world.time.of(alice.node.request(bob.node.peerId, echo, bytes(i)));
  const [a, b] = [alice.node.stats(), bob.node.stats()];
  expect(a).toMatchObject({ messagesOut: 5, delivered: 5, dials: 1, links: 1, sessions: 1, unreadable: 0 });
  expect(b).toMatchObject({ messagesIn: 5, links: 1, sessions: 1 });
  expect(a.bytesOut).toBe(world.network.bytes("alice", "bob"));
  expect(a.bytesIn).toBe(world.network.bytes("bob", "alice"));
  expect(alice.node.links()).toMatchObject([{ peer: bob.node.peerId, direction: "outgoing", isAnswered: true }]);
});

test("waits no longer for a directory than it may, by the clock it was given", async () => {
  const slow = {
    kind: "slow",
    lookUp: () => new Promise<never>(() => {}),
    discover: () => new Promise<never>(() => {}),
  };
  const { node } = await world.join("alice", { lookup: slow, isListed: false, limits: { node: { lookupMs: 700 } } });
  const before = world.time.now();
  for (const promise of [node.lookUp(createIdentity().peer), node.discover("relay")]) {
    expect(await world.time.of(errorOf(promise))).toMatchObject({ code: "EGTP_NO_ANSWER" });
  }
  expect(world.time.now() - before).toBe(700);
});

test("discovers peers by what they offer, believes no record that does not verify, and can talk to them at once", async () => {
  const relay = await world.join("relay", { services: ["relay"] });
  relay.node.handle(echo, ({ body }) => body);
  await world.time.pass(100);
  const found = await world.time.of(alice.node.discover("relay"));
  expect(found).toEqual([relay.node.peerId]);
  expect(await world.time.of(relay.node.discover("relay"))).toEqual([]);
  expect(await world.time.of(alice.node.discover("no such service"))).toEqual([]);
  expect(await world.time.of(alice.node.request(found[0]!, echo, bytes(7)))).toEqual(bytes(7));

  const [record] = await world.lookup.discover("relay", { max: 1 });
  const forged = record!.slice();
  forged[3]! ^= 1;
  const liar = { kind: "liar", lookUp: async () => undefined, discover: async () => [forged, new Uint8Array(3)] };
  const carol = await createNode({ identity: createIdentity(), lookup: liar });
  expect(await carol.discover("relay")).toEqual([]);
  await carol.stop();
});
