import { describe, expect, it } from "vitest";
import {
  type Counterparty,
  DuplicateIdError,
  forgetfulSessionStore,
  MemorySessionStore,
  type SessionStore,
  type StoreEntry,
  StoreError,
} from "../src/index.ts";
import {
  accepted,
  contentOf,
  epoch,
  marks,
  message,
  offerId,
  openMaps,
  peer,
  pending,
  session,
  sessionId,
  start,
  tag,
} from "./builders.ts";

/** A store whose writes settle when the test says so. */
class ManualStore implements SessionStore {
  readonly memory = new MemorySessionStore();
  readonly batches: (readonly StoreEntry[])[] = [];
  readonly settle: { keep: () => void; fail: () => void }[] = [];

  load() {
    return this.memory.load();
  }

  write(batch: readonly StoreEntry[]): Promise<void> {
    this.batches.push(batch);
    return new Promise((resolve, reject) => {
      this.settle.push({
        keep: () => {
          this.memory.write(batch);
          resolve();
        },
        fail: () => reject(new Error("disk full")),
      });
    });
  }

  async close() {}
}

function recordingStore() {
  const store = new MemorySessionStore();
  const batches: StoreEntry[][] = [];
  const write = store.write.bind(store);
  store.write = (batch) => {
    batches.push([...batch]);
    return write(batch);
  };
  return { store, batches };
}

describe("R4: the session list", () => {
  it("puts a new session at the front and drops the eleventh", () => {
    const maps = openMaps();
    const us = maps.ensure(peer(1), start);
    for (let n = 0; n < 10; n++) expect(maps.insertSession(us, session(n))).toEqual([]);
    const dropped = maps.insertSession(us, session(10));
    expect(dropped.map(({ id }) => id)).toEqual([sessionId(0)]);
    expect(us.sessions.map(({ id }) => id)).toEqual([10, 9, 8, 7, 6, 5, 4, 3, 2, 1].map(sessionId));
    expect(maps.findSession(sessionId(0))).toBeUndefined();
    expect(maps.findSession(sessionId(1))?.session).toBe(us.sessions[9]);
    expect(maps.sessionCount).toBe(10);
  });

  it("never drops the session it was given, wherever it goes", () => {
    const maps = openMaps(undefined, { limits: { maxSessions: 3 } });
    const us = maps.ensure(peer(1), start);
    for (let n = 0; n < 3; n++) maps.insertSession(us, session(n));
    const dropped = maps.insertSession(us, session(3), 99);
    expect(dropped.map(({ id }) => id)).toEqual([sessionId(0)]);
    expect(us.sessions.map(({ id }) => id)).toEqual([2, 1, 3].map(sessionId));
  });

  it("refuses an ID that exists, whoever has it, and changes nothing", () => {
    const maps = openMaps();
    const us = maps.ensure(peer(1), start);
    const them = maps.ensure(peer(2), start);
    maps.insertSession(us, session(7));
    maps.rememberAccepted(us, accepted(7));
    maps.setPending(us, pending(8));
    expect(() => maps.insertSession(them, session(7))).toThrow(DuplicateIdError);
    expect(() => maps.insertSession(us, session(7))).toThrow(
      expect.objectContaining({ code: "EGTP_STORE_DUPLICATE_ID" }),
    );
    expect(() => maps.rememberAccepted(them, accepted(7))).toThrow(DuplicateIdError);
    expect(() => maps.setPending(them, pending(8))).toThrow(DuplicateIdError);
    expect(them.sessions).toEqual([]);
    expect(them.accepted).toEqual([]);
    expect(them.pending).toBeUndefined();
    expect(maps.findSession(sessionId(7))?.counterparty).toBe(us);
  });

  it("moves and removes", () => {
    const maps = openMaps();
    const us = maps.ensure(peer(1), start);
    for (let n = 0; n < 4; n++) maps.insertSession(us, session(n));
    expect(maps.moveToFront(us, sessionId(1))).toBe(true);
    expect(maps.moveToFront(us, sessionId(1))).toBe(false);
    expect(maps.moveToFront(us, sessionId(77))).toBe(false);
    expect(us.sessions.map(({ id }) => id)).toEqual([1, 3, 2, 0].map(sessionId));
    expect(maps.removeSession(us, sessionId(3))?.id).toBe(sessionId(3));
    expect(maps.removeSession(us, sessionId(3))).toBeUndefined();
    expect(maps.findSession(sessionId(3))).toBeUndefined();
    expect(us.sessions.map(({ id }) => id)).toEqual([1, 2, 0].map(sessionId));
  });
});

describe("offers", () => {
  it("remembers sixteen accepted ones; the lowest stamp leaves and becomes the floor", () => {
    const maps = openMaps();
    const us = maps.ensure(peer(1), start);
    const order = [5, 3, 17, 1, 9, 12, 2, 8, 16, 4, 11, 7, 15, 6, 14, 10];
    for (const n of order) maps.rememberAccepted(us, accepted(n));
    expect(us.floor).toBe(0);
    expect(us.accepted.map(({ stamp }) => stamp - start)).toEqual(order.toSorted((a, b) => a - b));
    maps.rememberAccepted(us, accepted(13));
    expect(us.floor).toBe(start + 1);
    expect(maps.findAccepted(offerId(1))).toBeUndefined();
    expect(maps.findAccepted(offerId(13))?.counterparty).toBe(us);
    maps.rememberAccepted(us, accepted(0));
    expect(maps.findAccepted(offerId(0))).toBeUndefined();
    expect(us.floor).toBe(start + 1);
  });

  it("finds the pending offer until it is replaced or taken away", () => {
    const maps = openMaps();
    const us = maps.ensure(peer(1), start);
    maps.setPending(us, pending(1));
    expect(maps.findPending(offerId(1))?.counterparty).toBe(us);
    maps.setPending(us, pending(2));
    expect(maps.findPending(offerId(1))).toBeUndefined();
    expect(maps.findPending(offerId(2))?.offer).toBe(us.pending);
    maps.setPending(us, undefined);
    expect(maps.findPending(offerId(2))).toBeUndefined();
    expect(us.pending).toBeUndefined();
  });
});

describe("bounds", () => {
  it("lets the least recently used counterparty leave, with its sessions, but keeps its floor", () => {
    const gone: Counterparty[] = [];
    const store = new MemorySessionStore();
    const maps = openMaps(store, { limits: { maxCounterparties: 2 } });
    maps.onEvict((counterparty) => gone.push(counterparty));
    for (let n = 1; n <= 3; n++) {
      const us = maps.ensure(peer(n), start);
      maps.insertSession(us, session(n));
      maps.rememberAccepted(us, accepted(10 * n));
      maps.setPending(us, pending(100 * n));
      us.epochs.set(epoch(n), marks(n));
      maps.touchMarks(us, epoch(n));
      if (n === 2) maps.get(peer(1));
    }
    expect(gone.map(({ peer }) => peer)).toEqual([peer(2)]);
    expect(maps.get(peer(2))).toBeUndefined();
    expect(maps.findSession(sessionId(2))).toBeUndefined();
    expect(maps.findAccepted(offerId(20))).toBeUndefined();
    expect(maps.findPending(offerId(200))).toBeUndefined();
    expect(maps.floorOf(peer(2))).toBe(start + 20);
    void maps.commit();
    expect([...store.load()].map(([key]) => key).filter((key) => key.includes(peer(2)))).toEqual([`f:${peer(2)}`]);
    const next = openMaps(store.snapshot());
    expect(next.floorOf(peer(2))).toBe(start + 20);
    expect(next.ensure(peer(2), start).floor).toBe(start + 20);
    void next.commit();
    expect(next.floorOf(peer(2))).toBe(start + 20);
  });

  it("keeps the order of use across a restart", () => {
    const store = new MemorySessionStore();
    const maps = openMaps(store);
    for (const n of [1, 2, 3]) maps.insertSession(maps.ensure(peer(n), start), session(n));
    maps.touch(maps.get(peer(1))!);
    void maps.commit();
    const next = openMaps(store, { limits: { maxCounterparties: 2 } });
    expect([...next.counterparties()].map(({ peer }) => peer).sort()).toEqual([peer(1), peer(3)].sort());
  });

  it("lets no number of strangers push out a counterparty that proved itself", () => {
    const maps = openMaps(undefined, { limits: { maxCounterparties: 2, maxStrangers: 5 } });
    maps.insertSession(maps.ensure(peer(1), start), session(1));
    maps.insertSession(maps.ensure(peer(2), start), session(2));
    for (let n = 10; n < 100; n++) maps.setPending(maps.ensure(peer(n), start), pending(n));
    expect(maps.size).toBe(7);
    expect(maps.get(peer(1))).toBeDefined();
    expect(maps.findSession(sessionId(2))).toBeDefined();
    expect(maps.get(peer(95))).toBeDefined();
    expect(maps.get(peer(94))).toBeUndefined();
  });

  it("merges floors that find no room into one for all", () => {
    const store = new MemorySessionStore();
    const maps = openMaps(store, { limits: { maxCounterparties: 1, maxFloors: 2 } });
    for (const n of [1, 2, 3, 4, 5]) maps.rememberAccepted(maps.ensure(peer(n), start), accepted(n));
    expect(maps.floorOf(peer(4))).toBe(start + 4);
    expect(maps.floorOf(peer(3))).toBe(start + 3);
    expect(maps.floorOf(peer(2))).toBe(start + 2);
    expect(maps.floorOf(peer(1))).toBe(start + 2);
    expect(maps.floorOf(peer(99))).toBe(start + 2);
    void maps.commit();
    expect(openMaps(store).floorOf(peer(99))).toBe(start + 2);
  });

  it("refuses to add to a counterparty that left, and ignores the rest", () => {
    const { store, batches } = recordingStore();
    const maps = openMaps(store, { limits: { maxStrangers: 1 } });
    const left = maps.ensure(peer(1), start);
    maps.ensure(peer(2), start);
    void maps.commit();
    const code = expect.objectContaining({ code: "EGTP_STORE_GONE" });
    expect(() => maps.insertSession(left, session(1))).toThrow(code);
    expect(() => maps.rememberAccepted(left, accepted(1))).toThrow(code);
    expect(() => maps.setPending(left, pending(1))).toThrow(code);
    maps.touch(left);
    maps.touchMarks(left, epoch(1));
    expect(maps.dirty).toBe(false);
    expect(batches).toHaveLength(1);
  });
});

describe("across a restart", () => {
  it("brings everything back as it was", () => {
    const store = new MemorySessionStore();
    const maps = openMaps(store, { bornWithIdentity: true });
    maps.lastStamp = start + 77;
    for (let n = 1; n <= 5; n++) {
      const us = maps.ensure(peer(n), start);
      for (let i = 0; i < n; i++) maps.insertSession(us, session(10 * n + i));
      for (let i = 0; i < 4 * n; i++) maps.rememberAccepted(us, accepted(100 * n + i));
      if (n % 2 === 0) maps.setPending(us, pending(n));
      us.theirTag = n % 2 === 1 ? tag(n) : undefined;
      us.minStamp = start + n;
      maps.touch(us);
      us.epochs.set(epoch(n), marks(n));
      maps.touchMarks(us, epoch(n));
    }
    void maps.commit();
    const next = openMaps(store);
    expect(next.damaged).toEqual([]);
    expect(contentOf(next)).toEqual(contentOf(maps));
    expect(next.bornWithIdentity).toBe(true);
    expect(next.dirty).toBe(false);
    for (const us of next.counterparties()) {
      for (const each of us.sessions) expect(next.findSession(each.id)).toEqual({ counterparty: us, session: each });
      for (const each of us.accepted) expect(next.findAccepted(each.offerId)?.offer).toBe(each);
    }
  });

  it("deletes handled marks that delivery dropped", () => {
    const store = new MemorySessionStore();
    const maps = openMaps(store);
    const us = maps.ensure(peer(1), start);
    us.epochs.set(epoch(1), marks(1));
    us.epochs.set(epoch(2), marks(2));
    maps.touchMarks(us, epoch(1));
    maps.touchMarks(us, epoch(2));
    void maps.commit();
    us.epochs.delete(epoch(1));
    maps.touchMarks(us, epoch(1));
    void maps.commit();
    expect([...openMaps(store).get(peer(1))!.epochs.keys()]).toEqual([epoch(2)]);
  });

  it("forgets everything and takes a new tag when told that it was restored from a backup", () => {
    const store = new MemorySessionStore();
    const maps = openMaps(store, { bornWithIdentity: true });
    maps.insertSession(maps.ensure(peer(1), start), session(1));
    maps.lastStamp = start + 5;
    void maps.commit();
    const gone: Counterparty[] = [];
    const next = openMaps(store);
    next.onEvict((counterparty) => gone.push(counterparty));
    next.forget(start + 1000);
    expect(gone).toHaveLength(1);
    expect(next.tag).not.toBe(maps.tag);
    expect(next.bornAt).toBe(start + 1000);
    expect(next.bornWithIdentity).toBe(false);
    expect(next.lastStamp).toBe(start + 5);
    expect(next.size).toBe(0);
    expect(next.findSession(sessionId(1))).toBeUndefined();
    void next.commit();
    expect([...store.load()].map(([key]) => key)).toEqual(["m"]);
  });
});

describe("commit", () => {
  it("writes what is staged, each key once, and nothing twice", () => {
    const { store, batches } = recordingStore();
    const maps = openMaps(store);
    expect(maps.dirty).toBe(true);
    const us = maps.ensure(peer(1), start);
    maps.insertSession(us, session(1));
    maps.insertSession(us, session(2));
    us.epochs.set(epoch(1), marks(1));
    maps.touchMarks(us, epoch(1));
    maps.touchMarks(us, epoch(1));
    expect(maps.commit()).toBeUndefined();
    expect(batches.map((batch) => batch.map(([key]) => key))).toEqual([
      ["m", `c:${peer(1)}`, `h:${peer(1)}:${epoch(1)}`],
    ]);
    expect(maps.dirty).toBe(false);
    expect(maps.commit()).toBeUndefined();
    maps.get(peer(1));
    void maps.commit();
    expect(batches).toHaveLength(1);
    maps.touchMarks(us, epoch(1));
    void maps.commit();
    expect(batches[1]?.map(([key]) => key)).toEqual([`h:${peer(1)}:${epoch(1)}`]);
  });

  it("writes a counterparty that left and came back once", () => {
    const { store, batches } = recordingStore();
    const maps = openMaps(store, { limits: { maxStrangers: 1 } });
    maps.ensure(peer(1), start);
    void maps.commit();
    maps.ensure(peer(2), start);
    maps.ensure(peer(1), start);
    void maps.commit();
    expect(new Map(batches[1]!.map(([key, value]) => [key, value !== undefined]))).toEqual(
      new Map([
        [`c:${peer(1)}`, true],
        [`c:${peer(2)}`, false],
      ]),
    );
    expect(batches[1]).toHaveLength(2);
  });

  it("waits for writes in flight even when nothing new is staged", async () => {
    const store = new ManualStore();
    const maps = openMaps(store);
    const first = maps.commit();
    const second = maps.commit();
    expect(second).toBe(first);
    let done = false;
    void second?.then(() => (done = true));
    await Promise.resolve();
    expect(done).toBe(false);
    store.settle[0]!.keep();
    await second;
    expect(maps.commit()).toBeUndefined();
  });

  it("stages anew what could not be written, and overwrites nothing newer with it", async () => {
    const store = new ManualStore();
    const maps = openMaps(store, { limits: { maxCounterparties: 1 } });
    const us = maps.ensure(peer(1), start);
    maps.insertSession(us, session(1));
    us.epochs.set(epoch(1), marks(1));
    maps.touchMarks(us, epoch(1));
    const first = maps.commit()!;
    us.sessions[0]!.counterLimit = 4096;
    maps.touch(us);
    const second = maps.commit()!;
    store.settle[0]!.fail();
    store.settle[1]!.keep();
    await expect(first).rejects.toThrow("disk full");
    await expect(second).rejects.toThrow("disk full");
    expect(maps.dirty).toBe(true);
    const third = maps.commit()!;
    expect(store.batches[2]!.map(([key]) => key).sort()).toEqual(
      ["m", `c:${peer(1)}`, `h:${peer(1)}:${epoch(1)}`].sort(),
    );
    store.settle[2]!.keep();
    await third;
    expect(contentOf(openMaps(store.memory))).toEqual(contentOf(maps));
    expect(openMaps(store.memory).get(peer(1))?.sessions[0]?.counterLimit).toBe(4096);
  });

  it("stages anew when the store throws, and rejects", async () => {
    const store = new MemorySessionStore();
    const maps = openMaps(store);
    const write = store.write.bind(store);
    store.write = () => {
      throw new StoreError("EGTP_STORE_UNWRITABLE", "no");
    };
    await expect(maps.commit()).rejects.toThrow(StoreError);
    store.write = write;
    expect(maps.dirty).toBe(true);
    void maps.commit();
    expect(openMaps(store).tag).toBe(maps.tag);
  });

  it("is part of closing", async () => {
    const store = new MemorySessionStore();
    const maps = openMaps(store);
    maps.insertSession(maps.ensure(peer(1), start), session(1));
    await maps.close();
    await maps.close();
    expect(openMaps(store).findSession(sessionId(1))).toBeDefined();
  });
});

describe("kept messages", () => {
  const numbersIn = (store: MemorySessionStore) =>
    openMaps(store)
      .takeMessages()
      .map(({ number }) => number);

  it("are handed over once by the next run, in the order of peer, epoch and number, and stay until they are dropped", () => {
    const store = new MemorySessionStore();
    const maps = openMaps(store);
    const [first, second] = [peer(1), peer(2)].sort();
    const fields = [
      { peer: second!, number: 300 },
      { peer: first!, number: 10 },
      { peer: first!, number: 9 },
      { peer: first!, epoch: epoch(1) },
    ];
    const kept = fields.map((each) => message(2, each));
    for (const each of kept) maps.keepMessage(each);
    expect(maps.takeMessages()).toEqual([]);
    void maps.commit();
    const next = openMaps(store);
    expect(next.damaged).toEqual([]);
    expect(next.dirty).toBe(false);
    expect(next.takeMessages()).toEqual([kept[3], kept[2], kept[1], kept[0]]);
    expect(next.takeMessages()).toEqual([]);
    next.dropMessage(kept[1]!);
    next.dropMessage(message(77));
    void next.commit();
    expect(numbersIn(store)).toEqual([2, 9, 300]);
  });

  it("are written as they are when the commit comes, each once, and not at all when they were dropped before", () => {
    const { store, batches } = recordingStore();
    const maps = openMaps(store);
    void maps.commit();
    const kept = { ...message(1), deadlineAt: start };
    maps.keepMessage(kept);
    maps.keepMessage(message(2));
    maps.dropMessage(message(2));
    kept.deadlineAt = start + 5;
    void maps.commit();
    expect(batches[1]?.map(([key]) => key)).toEqual([`o:${peer(1)}:${epoch(1)}:00000000000001`]);
    maps.keepMessage(message(2));
    maps.dropMessage(message(2));
    expect(maps.dirty).toBe(false);
    expect(openMaps(store).takeMessages()).toEqual([{ ...message(1), deadlineAt: start + 5 }]);
    maps.dropMessage(kept);
    maps.keepMessage(kept);
    void maps.commit();
    expect(numbersIn(store)).toEqual([1]);
    maps.dropMessage(kept);
    void maps.commit();
    maps.dropMessage(kept);
    expect(maps.dirty).toBe(false);
    expect(numbersIn(store)).toEqual([]);
  });

  it("are staged anew when they could not be written, and so is that they were dropped; nothing newer is undone", async () => {
    const store = new ManualStore();
    const maps = openMaps(store);
    for (const n of [1, 2, 3]) maps.keepMessage(message(n));
    const writes = [maps.commit()!];
    maps.dropMessage(message(1));
    maps.keepMessage({ ...message(2), typeNumber: 9 });
    writes.push(maps.commit()!);
    store.settle[0]!.fail();
    store.settle[1]!.keep();
    for (const write of writes) await expect(write).rejects.toThrow("disk full");
    const again = maps.commit()!;
    store.settle[2]!.keep();
    await again;
    expect(
      openMaps(store.memory)
        .takeMessages()
        .toSorted((a, b) => a.number - b.number),
    ).toEqual([{ ...message(2), typeNumber: 9 }, message(3)]);
    maps.dropMessage(message(3));
    const failing = maps.commit()!;
    store.settle[3]!.fail();
    await expect(failing).rejects.toThrow("disk full");
    expect(maps.dirty).toBe(true);
    const last = maps.commit()!;
    store.settle[4]!.keep();
    await last;
    expect(numbersIn(store.memory)).toEqual([2]);
  });

  it("are forgotten with everything else", () => {
    const store = new MemorySessionStore();
    const maps = openMaps(store);
    maps.keepMessage(message(1));
    void maps.commit();
    const next = openMaps(store);
    next.forget();
    expect(next.takeMessages()).toEqual([]);
    void next.commit();
    expect(numbersIn(store)).toEqual([]);
  });

  it("cannot be kept where nothing is", () => {
    expect(openMaps(forgetfulSessionStore).forgets).toBe(true);
    expect(openMaps().forgets).toBe(false);
  });
});

describe("damage to records", () => {
  function filled() {
    const store = new MemorySessionStore();
    const maps = openMaps(store, { bornWithIdentity: true, limits: { maxCounterparties: 3 } });
    for (let n = 1; n <= 4; n++) {
      const us = maps.ensure(peer(n), start);
      maps.insertSession(us, session(n));
      maps.rememberAccepted(us, accepted(n));
      us.epochs.set(epoch(n), marks(n));
      maps.touchMarks(us, epoch(n));
    }
    for (const n of [1, 2]) maps.keepMessage(message(n));
    void maps.commit();
    return { tag: maps.tag, records: new Map(store.load()) };
  }

  function flipped(records: Map<string, Uint8Array>, key: string): MemorySessionStore {
    const changed = new Map(records);
    const value = changed.get(key)!.slice();
    value[value.length >> 1]! ^= 4;
    changed.set(key, value);
    return new MemorySessionStore(changed);
  }

  it("drops only that record, reports it, removes it, and takes a new tag", () => {
    const { tag, records } = filled();
    const store = flipped(records, `c:${peer(2)}`);
    const maps = openMaps(store, { now: start + 50, limits: { maxCounterparties: 3 } });
    expect(maps.damaged).toEqual([{ key: `c:${peer(2)}`, reason: "checksum" }]);
    expect(maps.tag).not.toBe(tag);
    expect(maps.bornAt).toBe(start + 50);
    expect(maps.bornWithIdentity).toBe(false);
    expect(maps.findSession(sessionId(2))).toBeUndefined();
    expect(maps.findSession(sessionId(3))).toBeDefined();
    expect(maps.get(peer(2))?.epochs.get(epoch(2))).toEqual(marks(2)); // still guards against duplicates
    void maps.commit();
    const next = openMaps(store);
    expect(next.damaged).toEqual([]);
    expect(next.tag).toBe(maps.tag);
    expect(contentOf(next)).toEqual(contentOf(maps));
  });

  it("keeps the tag when only handled marks are damaged", () => {
    const { tag, records } = filled();
    const maps = openMaps(flipped(records, `h:${peer(3)}:${epoch(3)}`));
    expect(maps.damaged).toHaveLength(1);
    expect(maps.tag).toBe(tag);
    expect(maps.get(peer(3))?.epochs.size).toBe(0);
  });

  it("keeps the tag when only kept messages are damaged: they guard against no replay", () => {
    const { tag, records } = filled();
    const key = `o:${peer(1)}:${epoch(1)}:00000000000001`;
    const store = flipped(records, key);
    const maps = openMaps(store);
    expect(maps.damaged).toEqual([{ key, reason: "checksum" }]);
    expect(maps.tag).toBe(tag);
    expect(maps.takeMessages()).toEqual([message(2)]);
    void maps.commit();
    expect(openMaps(store).damaged).toEqual([]);
  });

  it.each(["m", `f:${peer(1)}`])("takes a new tag when %s is damaged or the key itself", (key) => {
    const { tag, records } = filled();
    const maps = openMaps(flipped(records, key));
    expect(maps.damaged).toEqual([{ key, reason: "checksum" }]);
    expect(maps.tag).not.toBe(tag);
    const moved = new Map(records);
    moved.set(`x${key}`, moved.get(key)!);
    moved.delete(key);
    const other = openMaps(new MemorySessionStore(moved));
    expect(other.tag).not.toBe(tag);
    expect(other.findSession(sessionId(3))).toBeDefined();
  });

  it("notices that the record about the store itself is missing", () => {
    const { tag, records } = filled();
    records.delete("m");
    const maps = openMaps(new MemorySessionStore(records));
    expect(maps.damaged).toEqual([{ key: "m", reason: "missing" }]);
    expect(maps.tag).not.toBe(tag);
  });
});
