/**
 * The directory in a NATS cluster, here with one server: conformance, and what several metatrackers do to each other that share
 * one. cluster.slow.test.ts kills servers.
 */
import { createIdentity } from "@egtp/node";
import { NatsLink } from "@egtp/session-store/nats";
import { describeWithNats, NatsCluster } from "@egtp/test-kit/nats-cluster";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { describeDirectoryStore } from "../src/conformance.ts";
import type { KeptRecord } from "../src/directory-store.ts";
import { type NatsDirectoryOptions, NatsDirectoryStore } from "../src/nodejs/nats.ts";
import { type BucketEntry, RecordBucket } from "../src/nodejs/record-bucket.ts";

describeWithNats("the store in a NATS cluster", () => {
  let cluster: NatsCluster;
  beforeAll(async () => {
    cluster = await NatsCluster.start();
  });
  afterAll(() => cluster.stop());

  const cleanups: (() => unknown)[] = [];
  afterEach(async () => {
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  });

  let places = 0;
  /** A directory that nobody else has. */
  function newPlace(): (options?: Partial<NatsDirectoryOptions>) => Promise<NatsDirectoryStore> {
    const name = `place-${places++}`;
    return async (options) => {
      const store = await NatsDirectoryStore.open({ servers: cluster.urls, name, replicas: 1, ...options });
      cleanups.push(() => store.close());
      return store;
    };
  }

  describeDirectoryStore(
    "NATS",
    () => {
      const open = newPlace();
      return { open: (limits) => open({ limits }) };
    },
    { describe, it },
  );

  it("lets a record that was put through any be seen through all", async () => {
    const open = newPlace();
    const stores = [await open(), await open(), await open()];
    const records = stores.map(() => recordOf());
    for (const [at, record] of records.entries()) expect(await stores[at]!.put(record)).toBeUndefined();
    for (const store of stores) {
      await expect.poll(() => store.size.records).toBe(3);
      for (const record of records) expect(store.get(record.peer)).toEqual(record);
      expect(store.offering("relay", 16, now).length).toBe(3);
    }
    const renewed = { ...records[0]!, seq: 2, bytes: new Uint8Array(40), services: [] };
    expect(await stores[1]!.put(renewed)).toBeUndefined();
    for (const store of stores) {
      await expect.poll(() => store.get(renewed.peer)).toEqual(renewed);
      expect(store.offering("relay", 16, now).length).toBe(2);
      expect(await store.put(records[0]!)).toEqual(renewed);
    }
  });

  it("keeps the highest of many that come through all at once, and tells the others so", async () => {
    const open = newPlace();
    const stores = [await open(), await open(), await open()];
    const peers = Array.from({ length: 20 }, () => recordOf().peer);
    const numbers = Array.from({ length: 30 }, (_, at) => 1 + ((at * 7) % 30));
    for (const peer of peers) {
      const answers = await Promise.all(
        numbers.map(async (seq, at) => [seq, await stores[at % 3]!.put(recordOf({ peer, seq }))] as const),
      );
      expect(answers.find(([seq]) => seq === 30)).toEqual([30, undefined]);
      expect(answers.filter(([seq, standing]) => standing !== undefined && standing.seq <= seq)).toEqual([]);
    }
    for (const store of stores) {
      await expect.poll(() => peers.map((peer) => store.get(peer)?.seq)).toEqual(peers.map(() => 30));
    }
    const next = await open();
    for (const peer of peers) expect(next.get(peer)?.seq).toBe(30);
    expect(next.size.records).toBe(peers.length);
  });

  it("keeps what another wrote while the leader's answer was on its way", async () => {
    const open = newPlace();
    const [one, two] = [await open(), await open()];
    const { peer } = recordOf();
    await one.put(recordOf({ peer, seq: 1 }));
    await expect.poll(() => two.get(peer)?.seq).toBe(1);
    cleanups.push(() => vi.restoreAllMocks());
    // As when somebody else was faster.
    vi.spyOn(RecordBucket.prototype, "write").mockResolvedValueOnce(undefined);
    vi.spyOn(RecordBucket.prototype, "read").mockImplementationOnce(async function (this: RecordBucket, asked) {
      const found = await this.read(asked);
      await one.put(recordOf({ peer, seq: 3 }));
      await expect.poll(() => two.get(peer)?.seq).toBe(3);
      return found;
    });
    expect(await two.put(recordOf({ peer, seq: 2 }))).toMatchObject({ seq: 3 });
    expect(two.get(peer)?.seq).toBe(3);
  });

  it("makes room in all for what is put through any, and knows of what was put again elsewhere", async () => {
    const open = newPlace();
    const limits = { maxRecords: 3 };
    const [one, two] = [await open({ limits }), await open({ limits })];
    const [a, b, c, d] = [recordOf(), recordOf(), recordOf(), recordOf()];
    for (const record of [a, b, c]) await one.put(record);
    await expect.poll(() => two.size.records).toBe(3);
    expect(await two.put(a)).toBeUndefined();
    expect(await two.put(d)).toBeUndefined();
    const peers = [a, c, d].map(({ peer }) => peer);
    for (const store of [one, two]) {
      await expect.poll(() => peers.every((peer) => store.get(peer) !== undefined)).toBe(true);
      expect(store.get(b.peer)).toBeUndefined();
      expect(store.size.records).toBe(3);
    }
    await Promise.all([one.close(), two.close()]);
    const next = await open();
    expect(next.size.records).toBe(3);
    for (const peer of peers) expect(next.get(peer)).toBeDefined();
  });

  it("takes a record whose predecessor was forgotten by another one, whose clock is ahead", async () => {
    const open = newPlace();
    const [ahead, behind] = [await open(), await open()];
    const record = recordOf();
    await ahead.put(record);
    await expect.poll(() => behind.get(record.peer)).toEqual(record);
    expect(ahead.expire(record.keepUntil)).toBe(1);
    await ahead.close();
    const renewed = recordOf({ peer: record.peer, seq: 2 });
    expect(await behind.put(renewed)).toBeUndefined();
    const next = await open();
    expect(next.get(record.peer)).toEqual(renewed);
  });

  it("puts a record in place of what no metatracker of this version can read", async () => {
    const open = newPlace();
    const store = await open({ name: "later" });
    const record = recordOf();
    const link = await NatsLink.open({ servers: cluster.urls });
    cleanups.push(() => link.close());
    await link.jetstream.publish(`$KV.later-directory.${record.peer}`, Uint8Array.of(99));
    expect(store.get(record.peer)).toBeUndefined();
    expect(await store.put(record)).toBeUndefined();
    expect((await open({ name: "later" })).get(record.peer)).toEqual(record);
  });

  it("follows anew when what it follows brings nothing more, though it says that all is well", async () => {
    const link = await NatsLink.open({ servers: cluster.urls });
    cleanups.push(() => link.close());
    const { consumers } = link.jetstream;
    const get = consumers.get.bind(consumers);
    let isSilent = false;
    vi.spyOn(consumers, "get").mockImplementationOnce(async (...which) => {
      const consumer = await get(...which);
      const consume = consumer.consume.bind(consumer);
      vi.spyOn(consumer, "consume").mockImplementation(async (options) => {
        const messages = await consume(options);
        const all = messages[Symbol.asyncIterator].bind(messages);
        messages[Symbol.asyncIterator] = async function* () {
          for await (const message of { [Symbol.asyncIterator]: all }) if (!isSilent) yield message;
        };
        return messages;
      });
      return consumer;
    });
    const bucket = await RecordBucket.open({ link, name: "silent", replicas: 1, lookMs: 50 });
    const entries: BucketEntry[] = [];
    await bucket.follow((entry) => entries.push(entry));
    const [heard, missed] = [recordOf(), recordOf()];
    await bucket.write(heard, 0);
    await expect.poll(() => entries.at(-1)?.record).toEqual(heard);
    isSilent = true;
    await bucket.write(missed, 0);
    await expect.poll(() => entries.at(-1)?.record).toEqual(missed);
  });

  it("says when it cannot be opened", async () => {
    await expect(newPlace()({ name: "a.b" })).rejects.toThrow(RangeError);
    await expect(newPlace()({ limits: { maxRecords: 0 } })).rejects.toThrow(RangeError);
    // Nobody listens at port 1.
    await expect(newPlace()({ servers: ["nats://127.0.0.1:1"] })).rejects.toMatchObject({
      code: "EGTP_STORE_UNREACHABLE",
    });
  });
});

const now = 1_800_000_000_000;

function recordOf({ peer = createIdentity().peer, seq = 1 } = {}): KeptRecord {
  const validUntil = now + 60_000;
  const bytes = new Uint8Array(300).fill(seq);
  return { peer, seq, bytes, services: ["relay"], validUntil, keepUntil: validUntil };
}
