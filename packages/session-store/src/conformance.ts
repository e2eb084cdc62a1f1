/**
 * What every {@link SessionStore} must do, as tests. Hand it the `describe` and `it` of your test runner and a way to
 * make a place for a store:
 *
 *     import { describe, it } from "vitest";
 *     describeSessionStore("memory", () => { const store = new MemorySessionStore(); return { open: () => store } }, { describe, it });
 *
 * It imports no test runner and throws plain errors, so any runner with these two functions will do.
 */

import { type Epoch, type OfferId, type PeerId, peerIdFromTrustedBytes, type SessionId } from "@egtp/wire";
import { maxStoreKeyLength } from "./limits.ts";
import { SessionMaps } from "./session-maps.ts";
import type { SessionStore, StoreEntry } from "./session-store.ts";

/** A place where one store after the other is opened. */
export interface StoreFixture {
  /** Opens the store there; the suite closes each before it opens the next. The first finds nothing. */
  open(): SessionStore | Promise<SessionStore>;
  /**
   * In a process of its own: opens the store, writes the batches one after the other awaiting each, and is killed
   * (`kill -9`, no close) as soon as the last is acknowledged. Leave it out for a store that forgets by design.
   */
  writeAndCrash?(batches: readonly (readonly StoreEntry[])[]): Promise<void>;
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
export function describeSessionStore(
  name: string,
  createFixture: () => StoreFixture | Promise<StoreFixture>,
  testApi: ConformanceTestApi,
): void {
  const test = (title: string, body: (fixture: StoreFixture) => Promise<void>): void => {
    testApi.it(title, async () => {
      const fixture = await createFixture();
      try {
        await body(fixture);
      } finally {
        await fixture.dispose?.();
      }
    });
  };
  testApi.describe(`session store: ${name}`, () => {
    test("is empty at first", async (fixture) => {
      await withStore(fixture, async (store) => holds(store, new Map()));
    });

    test("keeps what was written, byte for byte, for the next to open it", async (fixture) => {
      const written = new Map<string, Uint8Array>([
        ["m", bytes(1, 1)],
        [`c:${"y".repeat(52)}`, bytes(3_000, 2)],
        [
          `h:${"y".repeat(52)}:${"0f".repeat(8)}`.padEnd(maxStoreKeyLength, "x"),
          Uint8Array.from({ length: 256 }, (_, i) => i),
        ],
        [`f:${"b".repeat(52)}`, bytes(7, 4)],
        ["large", bytes(100_000, 5)],
        [`o:${"y".repeat(52)}`, bytes(longestMessage, 6)],
      ]);
      await withStore(fixture, (store) => write(store, [...written]));
      await withStore(fixture, async (store) => holds(store, written));
      await withStore(fixture, async (store) => holds(store, written));
    });

    test("replaces, removes, and does not mind removing what is not there", async (fixture) => {
      await withStore(fixture, async (store) => {
        await write(store, [
          ["a", bytes(10, 1)],
          ["b", bytes(10, 2)],
          ["c", bytes(10, 3)],
        ]);
        await write(store, [
          ["a", bytes(500, 4)],
          ["b", undefined],
          ["d", undefined],
        ]);
      });
      await withStore(fixture, async (store) => {
        holds(
          store,
          new Map([
            ["a", bytes(500, 4)],
            ["c", bytes(10, 3)],
          ]),
        );
        await write(store, [
          ["a", undefined],
          ["b", bytes(1, 9)],
        ]);
      });
      await withStore(fixture, async (store) =>
        holds(
          store,
          new Map([
            ["b", bytes(1, 9)],
            ["c", bytes(10, 3)],
          ]),
        ),
      );
    });

    test("lets batches take effect in the order of the calls, awaited or not", async (fixture) => {
      await withStore(fixture, async (store) => {
        const waits: Promise<void>[] = [];
        for (let i = 0; i < 200; i++) {
          waits.push(
            Promise.resolve(
              store.write([
                ["k", bytes(4, i)],
                [`only:${i}`, bytes(2, i)],
                [`only:${i - 1}`, undefined],
              ]),
            ),
          );
          if (i % 50 === 49) await waits.at(-1);
        }
        await Promise.all(waits);
      });
      await withStore(fixture, async (store) =>
        holds(
          store,
          new Map([
            ["k", bytes(4, 199)],
            ["only:199", bytes(2, 199)],
          ]),
        ),
      );
    });

    test("keeps what was written and not awaited before close", async (fixture) => {
      await withStore(fixture, async (store) => {
        void store.write([["late", bytes(20, 1)]]);
      });
      await withStore(fixture, async (store) => holds(store, new Map([["late", bytes(20, 1)]])));
    });

    test("takes a large batch and an empty one", async (fixture) => {
      const written = new Map<string, Uint8Array>();
      for (let i = 0; i < 5_000; i++) written.set(`c:${i}`, bytes(1 + (i % 300), i));
      await withStore(fixture, async (store) => {
        await write(store, []);
        await write(store, [...written]);
      });
      await withStore(fixture, async (store) => holds(store, written));
    });

    test("keeps a value that is a view into larger memory", async (fixture) => {
      const memory = bytes(64, 7);
      await withStore(fixture, (store) => write(store, [["view", memory.subarray(8, 24)]]));
      await withStore(fixture, async (store) => holds(store, new Map([["view", memory.slice(8, 24)]])));
    });

    test("refuses a write after close, and closes twice without harm", async (fixture) => {
      const store = await fixture.open();
      await store.close();
      await store.close();
      let refused = false;
      try {
        await store.write([["a", bytes(1, 1)]]);
      } catch {
        refused = true;
      }
      check(refused, "a write after close was accepted");
      await withStore(fixture, async (again) => holds(again, new Map()));
    });

    test("carries session maps across a restart", async (fixture) => {
      const peer = peerIdFromTrustedBytes(bytes(32, 3));
      await withMaps(fixture, async (maps) => fill(maps, peer));
      await withMaps(fixture, async (maps) => {
        check(maps.damaged.length === 0, `records were damaged: ${JSON.stringify(maps.damaged)}`);
        check(maps.tag === "0101010101010101", "the tag changed");
        const kept = maps.get(peer);
        check(kept?.sessions[0]?.id === sessionId && kept.accepted[0]?.offerId === offerId, "the lists changed");
        check(maps.findSession(sessionId)?.counterparty === kept, "the session is not in the map");
        check(equal(kept.sessions[0].receiveKey, bytes(32, 6)), "the receive key changed");
        check(kept.epochs.get(epoch)?.ranges.join() === "7,9,12,13", "the handled marks changed");
        const [message, ...others] = maps.takeMessages();
        check(message?.number === 4 && message.type === "note" && others.length === 0, "the kept messages changed");
        check(equal(message.body, bytes(500, 9)), "the body of a kept message changed");
      });
    });

    test("keeps whole batches of many turns, of session maps that commit every turn", async (fixture) => {
      const peer = peerIdFromTrustedBytes(bytes(32, 3));
      await withMaps(fixture, async (maps) => {
        const counterparty = fill(maps, peer);
        for (let i = 1; i <= 50; i++) {
          counterparty.sessions[0]!.counterLimit = 1000 * i;
          maps.touch(counterparty);
          const marks = counterparty.epochs.get(epoch)!;
          marks.usedAt = 3_000 + i;
          maps.touchMarks(counterparty, epoch);
          await maps.commit();
        }
      });
      await withMaps(fixture, async (maps) => {
        const kept = maps.get(peer)!;
        check(kept.sessions[0]?.counterLimit === 50_000, "the last counter limit is missing");
        check(kept.epochs.get(epoch)?.usedAt === 3_050, "the last marks are missing");
      });
    });

    testApi.it("keeps every acknowledged batch, whole, across kill -9", async () => {
      const fixture = await createFixture();
      try {
        if (fixture.writeAndCrash === undefined) return; // forgets by design
        const expected = new Map<string, Uint8Array>();
        const batches = Array.from({ length: 100 }, (_, i): StoreEntry[] => {
          const batch: StoreEntry[] = [
            ["last", bytes(50, i)],
            [`a:${i}`, bytes(200, i)],
            [`b:${i}`, bytes(300, i)],
          ];
          if (i % 3 === 2) batch.push([`a:${i - 1}`, undefined]);
          for (const [key, value] of batch) {
            if (value === undefined) expected.delete(key);
            else expected.set(key, value);
          }
          return batch;
        });
        await fixture.writeAndCrash(batches);
        await withStore(fixture, async (store) => holds(store, expected));
        await fixture.writeAndCrash([[["last", undefined]]]);
        expected.delete("last");
        await withStore(fixture, async (store) => holds(store, expected));
      } finally {
        await fixture.dispose?.();
      }
    });
  });
}

/** Bytes of the longest message, and of what stands around its body. */
const longestMessage = 4 * 1024 * 1024 + 1_024;
const sessionId = "11".repeat(16) as SessionId;
const offerId = "22".repeat(16) as OfferId;
const epoch = "33".repeat(8) as Epoch;

function fill(maps: SessionMaps, peer: PeerId) {
  const counterparty = maps.ensure(peer, 2_000);
  const receiveKey = bytes(32, 6);
  const common = { offerId, theirEpoch: epoch, stamp: 1_999, counterLimit: 1_024 };
  maps.insertSession(counterparty, { ...common, id: sessionId, role: "responder", receiveKey, createdAt: 2_000 });
  maps.rememberAccepted(counterparty, {
    ...common,
    sessionId,
    earlyKey: bytes(32, 8),
    acceptedAt: 2_000,
    earlyFloor: 0,
  });
  counterparty.epochs.set(epoch, { epoch, base: 5, ranges: [7, 9, 12, 13], usedAt: 2_000 });
  maps.touchMarks(counterparty, epoch);
  for (const number of [3, 4]) {
    const times = { sentAt: 2_000, deadlineAt: 3_000, storedDeadlineAt: 4_000 };
    const rest = { type: "note", typeNumber: 1, established: false, stored: undefined, body: bytes(500, 9) };
    maps.keepMessage({ peer, epoch, number, ...times, ...rest });
    void maps.commit();
  }
  maps.dropMessage({ peer, epoch, number: 3 });
  return counterparty;
}

async function withStore(fixture: StoreFixture, body: (store: SessionStore) => Promise<void>): Promise<void> {
  const store = await fixture.open();
  try {
    await body(store);
  } finally {
    await store.close();
  }
}

async function withMaps(fixture: StoreFixture, body: (maps: SessionMaps) => Promise<unknown>): Promise<void> {
  const random = (byteCount: number) => bytes(byteCount, 1);
  const maps = SessionMaps.open(await fixture.open(), { now: 1_000, random });
  try {
    await body(maps);
  } finally {
    await maps.close();
  }
}

async function write(store: SessionStore, batch: readonly StoreEntry[]): Promise<void> {
  await store.write(batch);
}

function holds(store: SessionStore, expected: ReadonlyMap<string, Uint8Array>): void {
  const missing = new Set(expected.keys());
  for (const [key, value] of store.load()) {
    const wanted = expected.get(key);
    check(wanted !== undefined, `the store holds ${key}, which it should not`);
    check(missing.delete(key), `the store holds ${key} twice`);
    check(equal(value, wanted), `the value of ${key} is not what was written`);
  }
  check(missing.size === 0, `the store lost ${[...missing].slice(0, 5).join(", ")}`);
}

function bytes(length: number, fill: number): Uint8Array {
  return new Uint8Array(length).fill(fill & 0xff);
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

function check(condition: boolean, otherwise: string): asserts condition {
  if (!condition) throw new Error(otherwise);
}
