/**
 * What every {@link DirectoryStore} must do, as tests. Hand it the `describe` and `it` of your test runner and a way to make
 * a place for a store:
 *
 *     import { describe, it } from "vitest";
 *     describeDirectoryStore("memory", () => ({ open: (limits) => new MemoryDirectoryStore(limits) }), { describe, it });
 *
 * It imports no test runner and throws plain errors, so any runner with these two functions will do.
 */
import { type Millis, type PeerId, peerIdFromTrustedBytes, peerIdToBytes } from "@egtp/wire";
import type { DirectoryStore, KeptRecord } from "./directory-store.ts";
import type { DirectoryLimits } from "./limits.ts";

/** A place where one store after the other is opened. */
export interface DirectoryFixture {
  /** Opens the store there; the suite closes each before it opens the next. The first finds nothing. */
  open(limits: Partial<DirectoryLimits>): DirectoryStore | Promise<DirectoryStore>;
  /** True for a store that forgets everything when it is closed. */
  readonly forgets?: boolean;
  /**
   * In a process of its own: opens the store, puts the records one after the other awaiting each, and is killed (`kill -9`,
   * no close) as soon as the last is acknowledged. Leave it out for a store that forgets by design.
   */
  putAndCrash?(records: readonly KeptRecord[]): Promise<void>;
  /** Takes the place away, after each test. */
  dispose?(): void | Promise<void>;
}

/** The two functions of a test runner that the suite calls. */
export interface ConformanceTestApi {
  describe(name: string, body: () => void): unknown;
  it(name: string, body: () => Promise<void>): unknown;
}

/**
 * Registers the suite.
 *
 * @param name - Of the store, for the report.
 * @param createFixture - Called once per test; each gets an empty place of its own.
 */
export function describeDirectoryStore(
  name: string,
  createFixture: () => DirectoryFixture | Promise<DirectoryFixture>,
  testApi: ConformanceTestApi,
): void {
  const test = (title: string, body: (fixture: DirectoryFixture) => Promise<void>): void => {
    testApi.it(title, async () => {
      const fixture = await createFixture();
      try {
        await body(fixture);
      } finally {
        await fixture.dispose?.();
      }
    });
  };

  testApi.describe(`directory store: ${name}`, () => {
    test("is empty at first", (fixture) =>
      withStore(fixture, {}, async (store) => {
        check((await store.get(peerOf(1))) === undefined, "it knows a peer");
        check((await store.offering("relay", 16, now)).length === 0, "it knows a relay");
        check((await store.expire(now)) === 0, "it forgot something");
        check(store.size.records === 0 && store.size.bytes === 0, "it counts something");
      }));

    test("gives back what was put, byte for byte", (fixture) =>
      withStore(fixture, {}, async (store) => {
        const records = [1, 2, 3].map((peer) => recordOf(peer, { size: 60 + peer * 300, services: ["relay", "x/1"] }));
        for (const record of records) check((await store.put(record)) === undefined, "it did not take a record");
        for (const record of records) same(await store.get(record.peer), record);
        check(store.size.records === 3, `it counts ${store.size.records} records instead of 3`);
        check(store.size.bytes === 360 + 660 + 960, `it counts ${store.size.bytes} bytes`);
      }));

    test("keeps the higher number, and says what stands in the way of others", (fixture) =>
      withStore(fixture, {}, async (store) => {
        const [fifth, rival, fourth, sixth] = [5, 5, 4, 6].map((seq, at) => recordOf(1, { seq, fill: at })) as [
          KeptRecord,
          KeptRecord,
          KeptRecord,
          KeptRecord,
        ];
        await store.put(fifth);
        check((await store.put(fifth)) === undefined, "the same record did not count as kept");
        same(await store.put(rival), fifth);
        same(await store.put(fourth), fifth);
        check((await store.put(sixth)) === undefined, "a higher number was not taken");
        same(await store.put(fifth), sixth);
        same(await store.get(peerOf(1)), sixth);
        check(store.size.records === 1, "it counts a peer more than once");
      }));

    test("of many that come at once it keeps the highest", (fixture) =>
      withStore(fixture, {}, async (store) => {
        const records = [3, 9, 1, 7, 8, 2, 6].map((seq) => recordOf(1, { seq, fill: seq }));
        const answers = await Promise.all(records.map(async (record) => store.put(record)));
        same(await store.get(peerOf(1)), records[1]!);
        check(answers[1] === undefined, "the highest did not count as kept");
        for (const answer of answers) check(answer === undefined || answer.seq > 1, "a lower one stood in the way");
      }));

    test("keeps a record as long as what it replaced could come back", (fixture) =>
      withStore(fixture, {}, async (store) => {
        await store.put(recordOf(1, { seq: 1, lifeMs: 10_000 }));
        await store.put(recordOf(1, { seq: 2, lifeMs: 1_000 }));
        const kept = await store.get(peerOf(1));
        check(kept?.validUntil === now + 1_000, "it does not say until when it is valid");
        check(kept.keepUntil === now + 10_000, "it may be forgotten too early");
        check((await store.expire(now + 9_999)) === 0, "it was forgotten too early");
        check((await store.get(peerOf(1)))?.seq === 2, "it is not there any more");
        check((await store.expire(now + 10_000)) === 1, "it was not forgotten");
        check((await store.get(peerOf(1))) === undefined, "it is still there");
        check(store.size.records === 0 && store.size.bytes === 0, "it still counts");
      }));

    test("names those that offer a service, each once, others each time", (fixture) =>
      withStore(fixture, {}, async (store) => {
        for (let peer = 1; peer <= 40; peer++) await store.put(recordOf(peer, { services: ["relay", `own/${peer}`] }));
        await store.put(recordOf(41, { services: ["metatracker"] }));
        await store.put(recordOf(42, { services: [] }));
        const seen = new Set<PeerId>();
        for (let round = 0; round < 60; round++) {
          const found = await store.offering("relay", 5, now);
          const peers = new Set(found.map(({ peer }) => peer));
          check(found.length === 5 && peers.size === 5, `it named ${peers.size} peers instead of 5`);
          check(
            found.every(({ services }) => services.includes("relay")),
            "it named one that does not offer it",
          );
          for (const peer of peers) seen.add(peer);
        }
        // Of 40, one is left out 60 times in a row once in 3,000.
        check(seen.size >= 38, `only ${seen.size} of 40 were ever named`);
        check((await store.offering("relay", 100, now)).length === 40, "not all were named when asked for all");
        check((await store.offering("own/7", 16, now))[0]?.peer === peerOf(7), "it does not find the only one");
        check((await store.offering("no such", 16, now)).length === 0, "it made something up");
        check((await store.offering("constructor", 16, now)).length === 0, "it made something up");
      }));

    test("names nobody for what was replaced, forgotten, or is not valid any more", (fixture) =>
      withStore(fixture, {}, async (store) => {
        await store.put(recordOf(1, { services: ["relay"], lifeMs: 1_000 }));
        await store.put(recordOf(2, { services: ["relay"], lifeMs: 5_000 }));
        await store.put(recordOf(3, { services: ["relay"], lifeMs: 9_000 }));
        await store.put(recordOf(3, { services: ["other"], seq: 2, lifeMs: 9_000 }));
        const named = async (at: Millis) =>
          (await store.offering("relay", 16, at))
            .map(({ peer }) => peer)
            .sort()
            .join();
        check((await named(now)) === [peerOf(1), peerOf(2)].sort().join(), "wrong at first");
        check((await named(now + 1_000)) === peerOf(2), "wrong when the first is out of date");
        await store.expire(now + 5_000);
        check((await named(now)) === "", "wrong when both are forgotten");
        check((await store.offering("other", 16, now))[0]?.seq === 2, "the new service is not found");
      }));

    test("goes on naming the right ones while peers come, change and go", (fixture) =>
      withStore(fixture, {}, async (store) => {
        const offered = new Map<number, KeptRecord>();
        let chance = 7;
        for (let step = 1; step <= 300; step++) {
          chance = (chance * 48_271) % 2_147_483_647;
          const peer = 1 + (chance % 25);
          const isOffered = chance % 3 !== 0;
          const record = recordOf(peer, { seq: step, services: isOffered ? ["relay"] : [], lifeMs: 1_000 + step });
          await store.put(record);
          if (isOffered) offered.set(peer, record);
          else offered.delete(peer);
          const found = await store.offering("relay", step % 2 === 0 ? 3 : 100, now);
          for (const named of found)
            check(offered.has(numberOf(named.peer)), "it names one that offers nothing any more");
          check(found.length === Math.min(offered.size, step % 2 === 0 ? 3 : 100), "it leaves out one that offers it");
        }
        await store.expire(now + 1_280);
        const left = [...offered.values()].filter(({ validUntil }) => validUntil > now + 1_280);
        const found = await store.offering("relay", 100, now + 1_280);
        check(found.length === left.length, `it names ${found.length} of ${left.length} that are left`);
      }));

    test("makes room by forgetting what was put longest ago", (fixture) =>
      withStore(fixture, { maxRecords: 3 }, async (store) => {
        const [first, second, third, fourth, fifth] = [1, 2, 3, 4, 5].map((peer) =>
          recordOf(peer, { services: ["s"] }),
        );
        for (const record of [first!, second!, third!]) await store.put(record);
        await store.put(first!); // once more: the second is now the one put longest ago
        await store.put(fourth!);
        check((await store.get(second!.peer)) === undefined, "the oldest is still there");
        same(await store.get(first!.peer), first!);
        await store.put(fifth!);
        check((await store.get(third!.peer)) === undefined, "the next oldest is still there");
        check(store.size.records === 3, `it holds ${store.size.records} records instead of 3`);
        check(store.size.displaced === 2, `it counts ${store.size.displaced} displaced instead of 2`);
        check((await store.offering("s", 16, now)).length === 3, "it names those that are gone");
      }));

    test("holds no more bytes than it may", (fixture) =>
      withStore(fixture, { maxBytes: 2_000 }, async (store) => {
        for (let peer = 1; peer <= 20; peer++) await store.put(recordOf(peer, { size: 500 }));
        const before = store.size;
        check(before.records === 4 && before.bytes === 2_000, `it holds ${before.bytes} bytes instead of 2,000`);
        await store.put(recordOf(20, { seq: 2, size: 900 }));
        check(store.size.bytes === 1_900, `it holds ${store.size.bytes} bytes instead of 1,900`);
      }));

    test("refuses a put after close, and closes twice without harm", async (fixture) => {
      const store = await fixture.open({});
      await store.close();
      await store.close();
      let refused = false;
      try {
        await store.put(recordOf(1, {}));
      } catch {
        refused = true;
      }
      check(refused, "a put after close was accepted");
    });

    test("keeps everything for the next to open it", async (fixture) => {
      if (fixture.forgets === true) return;
      const records = [1, 2, 3].map((peer) =>
        recordOf(peer, { size: 200 * peer, services: ["relay"], lifeMs: peer * 1_000 }),
      );
      await withStore(fixture, {}, async (store) => {
        await store.put(recordOf(2, { seq: 0, lifeMs: 60_000 }));
        await store.put(recordOf(4, { lifeMs: 500 }));
        for (const record of records) await store.put(record);
        await store.expire(now + 500);
      });
      for (let round = 0; round < 2; round++) {
        await withStore(fixture, {}, async (store) => {
          check(store.size.records === 3 && store.size.bytes === 1_200, `it holds ${store.size.records} records`);
          same(await store.get(peerOf(1)), records[0]!);
          same(await store.get(peerOf(2)), { ...records[1]!, keepUntil: now + 60_000 });
          check((await store.get(peerOf(4))) === undefined, "what was forgotten is back");
          check((await store.offering("relay", 16, now)).length === 3, "it does not find who offers something");
          check((await store.offering("relay", 16, now + 2_000)).length === 1, "it names what is not valid");
        });
      }
      await withStore(fixture, { maxRecords: 2 }, async (store) =>
        check(store.size.records === 2, "it holds more than it may now"),
      );
    });

    test("lets nothing come back that made room", async (fixture) => {
      if (fixture.forgets === true) return;
      await withStore(fixture, { maxRecords: 3 }, async (store) => {
        for (let peer = 1; peer <= 5; peer++) await store.put(recordOf(peer, {}));
      });
      await withStore(fixture, {}, async (store) => {
        check(store.size.records === 3, `it holds ${store.size.records} records instead of 3`);
        check((await store.get(peerOf(1))) === undefined, "the oldest is back");
        same(await store.get(peerOf(5)), recordOf(5, {}));
      });
    });

    test("keeps every acknowledged record across kill -9", async (fixture) => {
      if (fixture.putAndCrash === undefined) return; // forgets by design
      const records = Array.from({ length: 50 }, (_, at) => recordOf(1 + (at % 20), { seq: at, fill: at, size: 300 }));
      await fixture.putAndCrash(records);
      await withStore(fixture, {}, async (store) => {
        check(store.size.records === 20, `it holds ${store.size.records} records instead of 20`);
        for (const record of records.slice(-20)) same(await store.get(record.peer), record);
      });
    });
  });
}

const now: Millis = 1_800_000_000_000;

function peerOf(number: number): PeerId {
  const bytes = new Uint8Array(32).fill(number & 0xff);
  bytes[0] = number >> 8;
  return peerIdFromTrustedBytes(bytes);
}

function numberOf(peer: PeerId): number {
  const [first, second] = peerIdToBytes(peer) as unknown as [number, number];
  return first * 256 + second;
}

interface RecordFields {
  readonly seq?: number;
  readonly size?: number;
  readonly fill?: number;
  readonly services?: readonly string[];
  readonly lifeMs?: Millis;
}

/** A store does not look into the bytes, so any will do. */
function recordOf(
  peer: number,
  { seq = 1, size = 100, fill = peer, services = [], lifeMs = 60_000 }: RecordFields,
): KeptRecord {
  const bytes = new Uint8Array(size).fill(fill & 0xff);
  return { peer: peerOf(peer), seq, bytes, services, validUntil: now + lifeMs, keepUntil: now + lifeMs };
}

async function withStore(
  fixture: DirectoryFixture,
  limits: Partial<DirectoryLimits>,
  body: (store: DirectoryStore) => Promise<void>,
): Promise<void> {
  const store = await fixture.open(limits);
  try {
    await body(store);
  } finally {
    await store.close();
  }
}

function same(found: KeptRecord | undefined, expected: KeptRecord): void {
  check(found !== undefined, `nothing is known of ${expected.peer}`);
  check(found.peer === expected.peer && found.seq === expected.seq, `it is number ${found.seq}, not ${expected.seq}`);
  check(
    found.bytes.length === expected.bytes.length && found.bytes.every((byte, at) => byte === expected.bytes[at]),
    "its bytes are others",
  );
  check(found.services.join() === expected.services.join(), "its services are others");
  check(found.validUntil === expected.validUntil, "it is valid until another time");
  check(found.keepUntil === expected.keepUntil, "it is kept until another time");
}

function check(condition: boolean, otherwise: string): asserts condition {
  if (!condition) throw new Error(otherwise);
}
