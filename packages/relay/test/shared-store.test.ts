/** Mailboxes that several relays share pass the conformance suite; and what only they must do. */
import type { PeerId } from "@egtp/wire";
import { describe, expect, it } from "vitest";
import { describeMailboxStore } from "../src/conformance.ts";
import { mailboxLimits } from "../src/limits.ts";
import type { StoredMail } from "../src/mailbox-store.ts";
import { SharedMailboxStore, type SharedStoreOptions } from "../src/shared-store.ts";
import { anyPeer, contentOf, mailOf } from "./mails.ts";
import { MemoryEngine, MemoryMailLog } from "./memory-log.ts";

const owner = anyPeer(101);
const now = 1_800_000_000_000;
const wholeMailbox = { maxMessages: 10_000, maxBytes: 1e9 };

describeMailboxStore(
  "shared",
  () => {
    let engine: MemoryEngine | undefined;
    return {
      open: (limits) => {
        const { maxMessages, maxMailboxes } = mailboxLimits(limits);
        engine ??= new MemoryEngine(maxMessages, maxMailboxes);
        return new SharedMailboxStore(new MemoryMailLog(engine), { limits });
      },
      survives: true,
    };
  },
  { describe, it },
);

/** Stores over one engine, with a clock that is moved by hand. */
function cluster({ maxMessages = Infinity, ...options }: SharedStoreOptions & { maxMessages?: number } = {}) {
  const engine = new MemoryEngine(maxMessages);
  const clock = { now };
  const open = () => {
    const log = new MemoryMailLog(engine);
    const setTimer = (task: () => void, delayMs: number) => {
      const timer = setTimeout(() => {
        clock.now += delayMs;
        task();
      });
      return () => clearTimeout(timer);
    };
    const store = new SharedMailboxStore(log, { ...options, seams: { now: () => clock.now, setTimer } });
    return { log, store, told: toldOf(store) };
  };
  return { engine, clock, a: open(), b: open() };
}

function toldOf(store: SharedMailboxStore): PeerId[] {
  const told: PeerId[] = [];
  store.watch((each) => told.push(each));
  return told;
}

const first = { id: "01", isFirst: true };
const contentsOf = (mails: readonly StoredMail[]) => mails.map(({ body }) => contentOf(body.subarray(16)));
const put = (store: SharedMailboxStore, n: number) => store.deposit(owner, mailOf(n), false, now);
const all = (store: SharedMailboxStore, after = 0) => store.collect(owner, after, wholeMailbox, now);

const waitingIn = (engine: MemoryEngine) => engine.mails.get(owner)!.length;

describe("two relays with one engine", () => {
  it("see one mailbox: registered at one, filled at the other, emptied at either", async () => {
    const { engine, a, b } = cluster();
    const registered = await a.store.register(owner, first, now);
    expect(registered).toMatchObject({ state: "active", replaced: false });
    for (const n of [1, 2, 3]) expect(await put(b.store, n)).toMatchObject({ state: "stored" });
    const mails = await all(a.store);
    expect(contentsOf(mails)).toEqual([1, 2, 3]);
    const { tag } = (await b.store.find(owner))!;
    expect(mails[0]!.body.subarray(0, 8)).toEqual(tag);
    const [one, two] = mails.map(({ number }) => number);
    expect(await b.store.acknowledge(owner, tag, [one!, one! + 1])).toEqual({ acknowledged: 1, unknown: 0 });
    expect(await a.store.acknowledge(owner, tag, [two!, two! + 1])).toEqual({ acknowledged: 1, unknown: 0 });
    await expect.poll(() => waitingIn(engine)).toBe(1);
    await a.store.register(owner, first, now);
    expect(contentsOf(await all(a.store))).toEqual([3]);
    expect(contentsOf(await all(b.store))).toEqual([3]);
    expect(a.store.counts()).toMatchObject({ found: 3, delivered: 1, elsewhere: 1, waiting: 1 });
  });

  it("register one run at both; a newer run at one supersedes it at both", async () => {
    const { a, b } = cluster();
    expect(await a.store.register(owner, first, now)).toMatchObject({ state: "active", replaced: false });
    expect(await b.store.register(owner, first, now)).toMatchObject({ state: "active", replaced: false });
    const newer = { id: "02", isFirst: true };
    expect(await b.store.register(owner, newer, now)).toMatchObject({ state: "active", replaced: true });
    expect(await a.store.register(owner, { ...first, isFirst: false }, now)).toEqual({ state: "superseded" });
    expect(await a.store.register(owner, first, now)).toEqual({ state: "superseded" });
  });

  it("tell of mail that the other took in, once it is asked for, without a read for each", async () => {
    const { a, b } = cluster();
    await a.store.register(owner, first, now);
    expect(await all(a.store)).toEqual([]);
    const asked: string[] = [];
    a.log.before = (question) => asked.push(question);
    let last = 0;
    for (let n = 1; n <= 20; n++) {
      await put(b.store, n);
      expect(a.told.filter((each) => each === owner).length).toBeGreaterThanOrEqual(n);
      const mails = await all(a.store, last);
      expect(contentsOf(mails)).toEqual([n]);
      last = mails[0]!.number;
    }
    expect(asked).toEqual([]);
  });

  it("miss nothing when the telling is lost, once something is told again or the owner registers", async () => {
    const { a, b } = cluster();
    await a.store.register(owner, first, now);
    await all(a.store);
    a.log.isTold = false;
    for (const n of [1, 2]) await put(b.store, n);
    a.log.isTold = true;
    await put(b.store, 3);
    expect(contentsOf(await all(a.store))).toEqual([1, 2, 3]);
    a.log.isTold = false;
    await put(b.store, 4);
    a.log.gap();
    expect(contentsOf(await all(a.store))).toEqual([1, 2, 3, 4]);
  });

  it("find in an empty mailbox what was not told of, when the owner registers again", async () => {
    const { a, b } = cluster();
    await a.store.register(owner, first, now);
    expect(await all(a.store)).toEqual([]);
    a.log.isTold = false;
    await put(b.store, 1);
    expect(await all(a.store)).toEqual([]);
    await a.store.register(owner, { ...first, isFirst: false }, now);
    expect(contentsOf(await all(a.store))).toEqual([1]);
  });

  it("bound the mails of a mailbox together, and refuse nothing on old knowledge", async () => {
    const { engine, clock, a, b } = cluster({ limits: { maxMessages: 4 }, maxMessages: 4 });
    await a.store.register(owner, first, now);
    await all(a.store);
    for (const n of [1, 2]) await put(a.store, n);
    for (const n of [3, 4]) await put(b.store, n);
    expect(await put(a.store, 5)).toEqual({ state: "refused", refusal: "mailbox-full" });
    expect(await put(b.store, 5)).toEqual({ state: "refused", refusal: "mailbox-full" });
    const { tag } = (await a.store.find(owner))!;
    for (const { number } of await all(a.store)) await a.store.acknowledge(owner, tag, [number, number + 1]);
    await expect.poll(() => waitingIn(engine)).toBe(0);
    clock.now += 1_000;
    expect(await put(b.store, 5)).toMatchObject({ state: "stored" });
  });
});

describe("what was acknowledged", () => {
  /** A mailbox with so many mails, and what the engine is asked from then on. */
  async function filled(count: number, options: SharedStoreOptions & { maxMessages?: number } = {}) {
    const { engine, a } = cluster(options);
    const registered = await a.store.register(owner, first, now);
    if (registered.state !== "active") throw new Error("not registered");
    const tag = registered.mailbox.tag.slice();
    for (let n = 1; n <= count; n++) await put(a.store, n);
    const numbers = (await all(a.store)).map(({ number }) => number);
    const removals: (readonly number[])[] = [];
    const remove = a.log.remove.bind(a.log);
    a.log.remove = (each, some) => {
      removals.push(some);
      return remove(each, some);
    };
    const acknowledge = (number: number) => a.store.acknowledge(owner, tag, [number, number + 1]);
    return { engine, store: a.store, log: a.log, numbers, removals, acknowledge };
  }

  it("is taken out together, in order", async () => {
    const { engine, numbers, removals, acknowledge } = await filled(6);
    for (const number of numbers.toReversed()) await acknowledge(number);
    expect(removals).toEqual([]);
    await expect.poll(() => waitingIn(engine)).toBe(0);
    expect(removals).toEqual([numbers]);
  });

  it("is taken out at once when it is much, and before the store is closed", async () => {
    const { engine, store, numbers, removals, acknowledge } = await filled(5, { sharedLimits: { removeAtOnce: 2 } });
    for (const number of numbers.slice(0, 4)) await acknowledge(number);
    expect(removals).toEqual([numbers.slice(0, 2), numbers.slice(2, 4)]);
    await acknowledge(numbers[4]!);
    await store.close();
    expect(removals.flat()).toEqual(numbers);
    expect(waitingIn(engine)).toBe(0);
  });

  it("makes room at once in a mailbox that was full", async () => {
    const { store, numbers, acknowledge } = await filled(4, { limits: { maxMessages: 4 }, maxMessages: 4 });
    for (const number of numbers) await acknowledge(number);
    expect(await put(store, 5)).toMatchObject({ state: "stored" });
    expect(contentsOf(await all(store))).toEqual([5]);
  });

  it("stays gone when the engine was asked before for what waits, and answers after", async () => {
    const { engine, store, log, numbers, acknowledge } = await filled(3);
    let answer: () => void = () => {};
    const answered = new Promise<void>((resolve) => {
      answer = resolve;
    });
    const read = log.read.bind(log);
    log.read = async (...asked) => {
      await answered;
      return read(...asked);
    };
    const collecting = all(store);
    await acknowledge(numbers[0]!);
    await expect.poll(() => waitingIn(engine)).toBe(2);
    answer();
    expect(contentsOf(await collecting)).toEqual([2, 3]);
    expect(store.counts()).toMatchObject({ delivered: 1, waiting: 2 });
  });

  it("comes again when the engine could not take it out", async () => {
    const { engine, store, numbers, acknowledge } = await filled(3);
    const there = engine.mails.get(owner)!;
    for (const number of numbers.slice(0, 2)) await acknowledge(number);
    await expect.poll(() => waitingIn(engine)).toBe(1);
    // As a leader that died with some of the questions.
    engine.mails.set(owner, [there[0]!, ...engine.mails.get(owner)!]);
    await store.register(owner, { ...first, isFirst: false }, now);
    expect(contentsOf(await all(store))).toEqual([1, 3]);
    await acknowledge(numbers[0]!);
    await expect.poll(() => waitingIn(engine)).toBe(1);
  });
});

describe("an engine that chooses a new leader", () => {
  it.for(["before", "after"] as const)(
    "is asked again, and stores no mail twice, when it fails %s the deed",
    async (when) => {
      const { a, b } = cluster();
      await a.store.register(owner, first, now);
      let failures = 0;
      a.log[when] = () => {
        failures += 1;
        if (failures % 3 !== 0) throw new Error("timeout");
      };
      for (let n = 1; n <= 10; n++) expect(await put(a.store, n)).toMatchObject({ state: "stored" });
      expect(contentsOf(await all(a.store))).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
      expect(await a.store.register(owner, { id: "02", isFirst: true }, now)).toMatchObject({ state: "active" });
      expect(contentsOf(await all(b.store))).toHaveLength(10);
    },
  );

  it("lets no run take a mailbox over that asked before the one that has it", async () => {
    const { a, b } = cluster();
    await a.store.register(owner, first, now);
    let isSilent = true;
    b.log.before = () => {
      if (isSilent) throw new Error("timeout");
    };
    const older = b.store.register(owner, { id: "02", isFirst: true }, now);
    const newer = { id: "03", isFirst: true };
    expect(await a.store.register(owner, newer, now)).toMatchObject({ state: "active" });
    const there = b.store.register(owner, newer, now);
    isSilent = false;
    expect(await older).toEqual({ state: "superseded" });
    expect(await there).toMatchObject({ state: "active", replaced: false });
  });

  it("rejects what it cannot keep for too long, and goes on when it can", async () => {
    const { a } = cluster();
    await a.store.register(owner, first, now);
    a.log.before = () => {
      throw new Error("no quorum");
    };
    await expect(put(a.store, 1)).rejects.toMatchObject({ code: "EGTP_STORE_UNREACHABLE" });
    a.log.before = () => {};
    expect(await put(a.store, 2)).toMatchObject({ state: "stored" });
    expect(a.store.counts()).toMatchObject({ withdrawn: 1, held: 0, stored: 1 });
  });
});
