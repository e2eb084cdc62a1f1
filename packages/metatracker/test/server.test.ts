/** A metatracker as those see it who ask it badly, too much, or when its store fails. */
import { createIdentity, type EgtpNode } from "@egtp/node";
import { type MessageType, peerIdToBytes, verifyContactRecord } from "@egtp/wire";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { AskerRates } from "../src/asker-rates.ts";
import { defaultMetatrackerRates, maxAskers, sweepMs } from "../src/limits.ts";
import { goodbyeRequest, helloRequest, listRequest, lookUpRequest } from "../src/protocol.ts";
import { type DirectoryStore, MemoryDirectoryStore } from "../src/server.ts";
import { at, errorOf, World, type WorldMetatracker } from "./world.ts";

let world: World;
beforeEach(() => {
  world = new World();
});
afterEach(() => world.end());

/** A node that speaks the protocol by hand. */
async function asker(name: string): Promise<EgtpNode> {
  const node = await world.node(name, { identity: createIdentity() });
  node.introduce(meta.node.peerId, [at("meta")]);
  return node;
}

let meta: WorldMetatracker;
const startMeta = async (server = {}) => {
  meta = await world.metatracker("meta", { server });
};

function ask<In, Out>(node: EgtpNode, type: MessageType<In, unknown, unknown, Out>, body: NoInfer<In>): Promise<Out> {
  return world.time.of(node.request(meta.node.peerId, type, body));
}

describe("what is no question", () => {
  test.for([0, 31, 33, 1_000])("a look-up of %i bytes is rejected and counted", async (length) => {
    await startMeta();
    const alice = await asker("alice");
    const error = await errorOf(ask(alice, lookUpRequest, new Uint8Array(length)));
    expect(error).toMatchObject({ code: "EGTP_REJECTED", reason: "handler-failed" });
    expect(meta.server.counts.unanswered["bad-message"]).toBe(1);
    expect(await ask(alice, lookUpRequest, peerIdToBytes(createIdentity().peer))).toHaveLength(0);
  });

  test("a look-up of 32 bytes that are no key is rejected, too", async () => {
    await startMeta();
    const alice = await asker("alice");
    for (const fill of [0, 2, 255]) {
      expect(await errorOf(ask(alice, lookUpRequest, new Uint8Array(32).fill(fill)))).toMatchObject({
        code: "EGTP_REJECTED",
      });
    }
    expect(meta.server.counts.unanswered["bad-message"]).toBe(3);
  });

  test("records that are none, or somebody else's, are refused with the reason", async () => {
    await startMeta();
    const alice = await asker("alice");
    const stranger = createIdentity();
    const hello = (record: Uint8Array) => ask(alice, helloRequest, record);
    expect(await hello(new Uint8Array(0))).toEqual({ state: "refused", reason: "invalid" });
    expect(await hello(new Uint8Array(60_000))).toEqual({ state: "refused", reason: "invalid" });
    expect(await hello(world.record(stranger))).toEqual({ state: "refused", reason: "not-yours" });
    expect(await ask(alice, goodbyeRequest, world.record(stranger))).toMatchObject({ state: "refused" });
    expect(meta.server.counts).toMatchObject({ kept: 0, refused: { invalid: 2, "not-yours": 2 } });
    expect(meta.server.size.records).toBe(0);
  });
});

describe("the directory of a running metatracker", () => {
  test("holds its own record, which it makes anew now and then", async () => {
    await startMeta();
    const alice = await asker("alice");
    const own = peerIdToBytes(meta.node.peerId);
    const first = await ask(alice, lookUpRequest, own);
    expect(first).toEqual(meta.node.contactRecord);
    expect((await ask(alice, listRequest, { service: "metatracker", max: 16 })).records).toEqual([first]);
    await world.time.pass(9 * 3_600_000);
    const second = await ask(alice, lookUpRequest, own);
    expect(verifyContactRecord(second, world.time.now()).seq).toBeGreaterThan(
      verifyContactRecord(first, undefined).seq,
    );
  });

  test("forgets what is out of date within a minute", async () => {
    await startMeta();
    const bob = await world.join("bob", {
      directory: { metatrackers: [{ peer: meta.node.peerId, strategies: [at("meta")] }] },
      limits: { node: { contactTtlMs: 3_600_000 } },
    });
    expect(meta.server.size.records).toBe(1);
    await world.crash("bob", bob.node);
    await world.time.pass(3_600_000 + sweepMs);
    expect(meta.server.size).toMatchObject({ records: 0, bytes: 0 });
    expect(meta.server.counts.expired).toBe(1);
  });

  test("stays within its bounds, whoever comes", async () => {
    await startMeta({ store: new MemoryDirectoryStore({ maxRecords: 5 }) });
    for (let i = 0; i < 12; i++) {
      const identity = createIdentity();
      const node = await world.node(`peer-${i}`, { identity });
      node.introduce(meta.node.peerId, [at("meta")]);
      expect(await ask(node, helloRequest, world.record(identity))).toEqual({ state: "kept" });
    }
    expect(meta.server.size).toMatchObject({ records: 5, displaced: 7 });
  });
});

describe("who asks too much", () => {
  test("hears so, and costs nobody else anything", async () => {
    await startMeta({ rates: { publish: { burst: 3, perSecond: 1 }, ask: { burst: 5, perSecond: 1 } } });
    const identity = createIdentity();
    const greedy = await world.node("greedy", { identity });
    greedy.introduce(meta.node.peerId, [at("meta")]);
    const record = world.record(identity);
    const states: string[] = [];
    for (let i = 0; i < 6; i++) {
      const answer = await ask(greedy, helloRequest, record);
      states.push(answer.state === "refused" ? answer.reason : answer.state);
    }
    expect(states).toEqual(["kept", "kept", "kept", "too-fast", "too-fast", "too-fast"]);
    const anybody = peerIdToBytes(createIdentity().peer);
    for (let i = 0; i < 5; i++) await ask(greedy, lookUpRequest, anybody);
    expect(await errorOf(ask(greedy, lookUpRequest, anybody))).toMatchObject({ code: "EGTP_REJECTED" });
    expect(await errorOf(ask(greedy, listRequest, { service: "relay", max: 1 }))).toMatchObject({
      code: "EGTP_REJECTED",
    });
    expect(meta.server.counts).toMatchObject({ refused: { "too-fast": 3 }, unanswered: { "too-fast": 2 } });
    const modest = await asker("modest");
    expect(await ask(modest, lookUpRequest, peerIdToBytes(identity.peer))).toEqual(record);
    await world.time.pass(2_000);
    expect(await ask(greedy, lookUpRequest, anybody)).toHaveLength(0);
  });

  test("whoever has published is served while strangers exhaust what they share", async () => {
    await startMeta({ rates: { strangersAsk: { burst: 3, perSecond: 0.001 } } });
    const identity = createIdentity();
    const known = await world.node("known", { identity });
    known.introduce(meta.node.peerId, [at("meta")]);
    await ask(known, helloRequest, world.record(identity));
    const stranger = await asker("stranger");
    const anybody = peerIdToBytes(identity.peer);
    for (let i = 0; i < 3; i++) await ask(stranger, lookUpRequest, anybody);
    expect(await errorOf(ask(stranger, lookUpRequest, anybody))).toMatchObject({ code: "EGTP_REJECTED" });
    expect(await errorOf(ask(await asker("another"), lookUpRequest, anybody))).toMatchObject({ code: "EGTP_REJECTED" });
    for (let i = 0; i < 5; i++) expect(await ask(known, lookUpRequest, anybody)).toBeDefined();
    // Nobody is known for having brought what was refused.
    expect(await ask(stranger, helloRequest, world.record(identity))).toMatchObject({ state: "refused" });
    expect(await errorOf(ask(stranger, lookUpRequest, anybody))).toMatchObject({ code: "EGTP_REJECTED" });
  });

  test("any number of strangers leaves known peers alone", () => {
    const rates = new AskerRates(
      {
        ...defaultMetatrackerRates,
        strangersAsk: { burst: 100, perSecond: 1 },
        strangersPublish: { burst: 50, perSecond: 1 },
      },
      0,
    );
    const known = createIdentity().peer;
    rates.know(known, 0);
    let [asked, published] = [0, 0];
    for (let i = 0; i < 400; i++) {
      const stranger = createIdentity().peer;
      if (rates.take("ask", stranger, 0)) asked += 1;
      if (rates.take("publish", stranger, 0)) published += 1;
    }
    expect([asked, published]).toEqual([100, 50]);
    expect(rates.take("ask", known, 0)).toBe(true);
    expect(rates.take("publish", known, 0)).toBe(true);
  });

  test("the memory of who asked is bounded, and the latest stay", () => {
    const rates = new AskerRates(defaultMetatrackerRates, 0);
    const names = Array.from(
      { length: maxAskers + 500 },
      (_, i) => `peer ${i}` as ReturnType<typeof createIdentity>["peer"],
    );
    for (const name of names) rates.know(name, 0);
    expect(rates.size).toBe(maxAskers);
    const spent = new AskerRates({ ...defaultMetatrackerRates, strangersAsk: { burst: 0.5, perSecond: 0 } }, 0);
    spent.know(names[0]!, 0);
    expect(spent.take("ask", names[0]!, 0)).toBe(true);
    expect(spent.take("ask", names[1]!, 0)).toBe(false);
  });
});

describe("when the store fails", () => {
  class FailingStore extends MemoryDirectoryStore {
    isBroken = true;
    readonly answersLater: boolean;
    constructor(answersLater: boolean) {
      super();
      this.answersLater = answersLater;
    }
    // biome-ignore lint/suspicious/noExplicitAny: the answer of any of the four.
    #or(run: () => any): any {
      const failure = new Error("the disk is full");
      if (!this.answersLater) {
        if (this.isBroken) throw failure;
        return run();
      }
      return this.isBroken ? Promise.reject(failure) : Promise.resolve(run());
    }
    override put(...args: Parameters<MemoryDirectoryStore["put"]>) {
      return this.#or(() => super.put(...args));
    }
    override offering(...args: Parameters<MemoryDirectoryStore["offering"]>) {
      return this.#or(() => super.offering(...args));
    }
    override expire(...args: Parameters<MemoryDirectoryStore["expire"]>) {
      return this.#or(() => super.expire(...args));
    }
  }

  test.for([false, true])("nothing is said to be kept, and it is told (later: %s)", async (answersLater) => {
    const store = new FailingStore(answersLater);
    await startMeta({ store: store satisfies DirectoryStore });
    const identity = createIdentity();
    const node = await world.node("alice", { identity });
    node.introduce(meta.node.peerId, [at("meta")]);
    const hello = () => ask(node, helloRequest, world.record(identity));
    expect(await hello()).toEqual({ state: "refused", reason: "store-failed" });
    expect(await errorOf(ask(node, listRequest, { service: "relay", max: 1 }))).toMatchObject({
      code: "EGTP_REJECTED",
    });
    expect(meta.server.counts).toMatchObject({ refused: { "store-failed": 1 }, unanswered: { "store-failed": 1 } });
    expect(meta.server.storeFailure).toMatchObject({ message: "the disk is full" });
    store.isBroken = false;
    expect(await hello()).toEqual({ state: "kept" });
    expect(meta.server.storeFailure).toBeUndefined();
    await world.time.pass(2 * sweepMs); // goes on
  });
});
