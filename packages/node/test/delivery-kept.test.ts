/** Messages that outlive the run that sent them: kept in the store, taken up by the next run, handed over once. */
import { forgetfulSessionStore, type KeptMessage, MemorySessionStore, SessionMaps } from "@egtp/session-store";
import { type Epoch, FrameWriter, partBytes } from "@egtp/wire";
import { describe, expect, test } from "vitest";
import { Delivery, maxTypeNames, windowSize } from "../src/delivery.ts";
import { bytes, type Envelope, framesOf, Mailbox, type Peer, pair, type World } from "./delivery-pair.ts";

const hourMs = 3_600_000;
const dayMs = 24 * hourMs;

/** Two peers who know each other. What alice sends is kept; bob may be away. */
function keeping(options: Parameters<typeof pair>[0] = {}): { world: World; alice: Peer; bob: Peer } {
  const both = pair({ limits: { defaultDeadlineMs: dayMs }, ...options });
  const { world, alice, bob } = both;
  for (const peer of [alice, bob]) peer.handle("note", () => "handled");
  alice.send("note", bytes(1));
  world.run(100);
  bob.send("note", bytes(1));
  world.run(100);
  for (const peer of [alice, bob]) peer.delivered.length = peer.sent.length = 0;
  alice.keeps = true;
  return both;
}

/** Everything that a peer sent, as it comes. */
function tapped(world: World, peer: Peer): Envelope[] {
  const envelopes: Envelope[] = [];
  world.tap = (envelope) => {
    if (envelope.from === peer.id) envelopes.push(envelope);
    return true;
  };
  return envelopes;
}

const lengths = (peer: Peer) => peer.delivered.map(({ body }) => body.length);

describe("a message that is kept", () => {
  test("goes on with the next run, under the same ID, and its end is told there", () => {
    const { world, alice, bob } = keeping();
    alice.unlink();
    const small = alice.send("note", bytes(5));
    const large = alice.send("note", bytes(20 * partBytes));
    const established = alice.send("note", bytes(7), { established: true });
    world.run(2_000);
    expect(alice.keptIds()).toEqual([small.id, large.id, established.id]);
    alice.crash("kept", 1_000);
    world.run(2_000);
    expect(alice.delivery.keptMessages).toBe(3);
    expect(alice.delivery.outboxSize(bob.id)).toEqual({ messages: 3, bytes: 20 * partBytes + 12 });
    const envelopes = tapped(world, alice);
    alice.relink();
    world.run(2_000);
    const numbers = envelopes.flatMap(framesOf).filter(({ kind }) => kind === "message");
    expect(numbers).toHaveLength(22);
    expect(new Set(numbers.map(({ number }) => number)).size).toBe(22);
    expect(lengths(bob).sort((a, b) => a - b)).toEqual([5, 7, 20 * partBytes]);
    expect(new Set(bob.delivered.map(({ id }) => id))).toEqual(new Set([small.id, large.id, established.id]));
    expect(bob.delivered.find(({ body }) => body.length === 7)?.early).toBe(false);
    for (const sent of [small, large, established]) expect(sent.outcome).toEqual({ state: "delivered" });
    world.run(2_000);
    expect(alice.keptIds()).toEqual([]);
    expect(alice.delivery.keptMessages).toBe(0);
    expect(world.violations).toEqual([]);
  });

  test("has its type named, for the next run may give its number to another", () => {
    const { world, alice, bob } = keeping();
    for (const type of ["first", "second"]) bob.handle(type, () => "handled");
    alice.unlink();
    alice.send("first", bytes(1));
    alice.send("second", bytes(2));
    alice.send("note", bytes(3));
    world.run(2_000);
    bob.crash("kept", 10);
    alice.crash("kept", 10);
    world.run(100);
    alice.send("second", bytes(4));
    alice.relink();
    world.run(2_000);
    const arrived = bob.delivered.map(({ type, body }) => `${type} ${body.length}`);
    expect(arrived.toSorted()).toEqual(["first 1", "note 3", "second 2", "second 4"]);
    expect(bob.unplaced).toBe(0);
  });

  test("costs the store nothing when it is delivered at once", () => {
    const { world, alice } = keeping();
    const before = [...alice.store.load()];
    const sent = alice.send("note", bytes(5));
    world.run(5_000);
    expect(sent.outcome).toEqual({ state: "delivered" });
    expect([...alice.store.load()].map(([key]) => key)).toEqual(before.map(([key]) => key));
  });

  test("is not taken up when it was given up, rejected, or told to be unreachable", () => {
    const { world, alice, bob } = keeping();
    bob.handle("fail", () => "failed");
    const rejected = alice.send("fail", bytes(1));
    world.run(100);
    alice.unlink();
    const cancelled = alice.send("note", bytes(2));
    const gone = alice.send("note", bytes(3), { failFast: true });
    world.run(2_000);
    alice.delivery.cancel(cancelled.outgoing, world.now);
    alice.delivery.unreachable(bob.id, [], world.now);
    expect([rejected.outcome?.state, gone.outcome?.state]).toEqual(["rejected", "unreachable"]);
    alice.soon();
    world.run(2_000);
    alice.crash("kept", 10);
    alice.relink();
    world.run(2_000);
    expect(alice.delivery.keptMessages).toBe(0);
    expect(lengths(bob)).toEqual([1]);
  });

  test("expires at the deadline that it was given, and that is told though nobody here sent it", () => {
    const { world, alice } = keeping();
    alice.unlink();
    const short = alice.send("note", bytes(1), { deadlineAt: world.now + 5_000 });
    const long = alice.send("note", bytes(2), { deadlineAt: world.now + hourMs });
    world.run(2_000);
    alice.crash("kept", 10_000);
    world.run(11_000);
    // It may have left in the run that ended.
    expect(short.outcome).toEqual({ state: "expired" });
    expect(long.outcome).toBeUndefined();
    world.run(hourMs);
    expect(long.outcome).toEqual({ state: "expired" });
    world.run(2_000);
    expect(alice.keptIds()).toEqual([]);
  });

  test("can be given up by the run that took it up", () => {
    const { world, alice, bob } = keeping();
    alice.unlink();
    alice.send("note", bytes(1));
    world.run(2_000);
    alice.crash("kept", 10);
    world.run(100);
    alice.delivery.close();
    expect(alice.sent[0]!.outcome).toEqual({ state: "expired" });
    void alice.maps.commit();
    expect(alice.keptIds()).toEqual([]);
    expect(bob.delivered).toEqual([]);
  });

  test("is kept beyond a close that keeps, and settles as that", () => {
    const { world, alice, bob } = keeping();
    alice.unlink();
    const kept = alice.send("note", bytes(1));
    const other = alice.send("note", bytes(2), { keep: false });
    alice.stop(10);
    expect([kept.before, other.outcome]).toEqual([{ state: "kept" }, { state: "unreachable", reasons: [] }]);
    alice.relink();
    world.run(2_000);
    expect(lengths(bob)).toEqual([1]);
    expect(kept.outcome).toEqual({ state: "delivered" });
  });

  test("waits for its turn with others: runs take turns, the first one first", () => {
    const { world, alice, bob } = keeping();
    alice.unlink();
    for (let run = 0; run < 3; run++) {
      for (let i = 0; i < 30; i++) alice.send("note", bytes(10_000));
      world.run(2_000);
      alice.crash("kept", 10);
      world.run(100);
    }
    const current = alice.epoch;
    for (let i = 0; i < 30; i++) alice.send("note", bytes(10_000));
    const envelopes = tapped(world, alice);
    alice.relink();
    world.run(5_000);
    const epochs = envelopes
      .map(framesOf)
      .filter((frames) => frames.some(({ kind }) => kind === "message"))
      .map((frames) => frames.find(({ kind }) => kind === "earlierEpoch")?.epoch ?? current);
    expect(epochs.slice(0, 4)).toEqual([...new Set(epochs)].toSorted());
    expect(epochs.slice(4, 8).toSorted()).toEqual(epochs.slice(0, 4));
    expect(bob.delivered).toHaveLength(120);
    expect(world.violations).toEqual([]);
  });

  test("counts in the bounds of the outbox, whatever run it is of", () => {
    const limits = { defaultDeadlineMs: dayMs, maxOutboxMessages: 8, maxOutboxBytes: 1_000 };
    const { world, alice, bob } = keeping({ limits });
    alice.unlink();
    for (let i = 0; i < 3; i++) alice.send("note", bytes(300));
    world.run(2_000);
    alice.crash("kept", 10);
    world.run(100);
    expect(() => alice.send("note", bytes(300))).toThrow(expect.objectContaining({ code: "EGTP_OUTBOX_FULL" }));
    alice.relink();
    world.run(2_000);
    expect(alice.roomCalls).toBeGreaterThan(0);
    expect(alice.delivery.outboxSize(bob.id)).toEqual({ messages: 0, bytes: 0 });
    alice.send("note", bytes(300));
    world.run(2_000);
    expect(bob.delivered).toHaveLength(4);
  });

  test("is refused where it cannot be: a request, a store that forgets", () => {
    const { alice, bob } = keeping();
    const draft = { type: "note", body: bytes(1), keep: true };
    expect(() => alice.delivery.enqueue(bob.id, { ...draft, request: true }, 0)).toThrow(TypeError);
    const maps = SessionMaps.open(forgetfulSessionStore, { now: 0, random: (n) => new Uint8Array(n) });
    const sink = { deliver: () => "handled" as const, settled() {}, replied() {}, stored() {}, room() {} };
    const delivery = new Delivery({ epoch: alice.epoch, maps, sink });
    expect(() => delivery.enqueue(bob.id, draft, 0)).toThrow(TypeError);
    expect(delivery.outboxSize(bob.id)).toEqual({ messages: 0, bytes: 0 });
  });
});

test("a conversation that brought everything to its end can be forgotten", () => {
  const { world, alice, bob } = keeping({ limits: { defaultDeadlineMs: dayMs, maxConversations: 1 } });
  alice.unlink();
  alice.send("note", bytes(5));
  world.run(2_000);
  alice.crash("kept", 10);
  world.run(100);
  const other = { type: "note", body: bytes(1) };
  expect(() => alice.delivery.enqueue(alice.id, other, world.now)).toThrow(
    expect.objectContaining({ scope: "conversations" }),
  );
  alice.relink();
  world.run(2_000);
  expect(lengths(bob)).toEqual([5]);
  expect(alice.delivery.enqueue(alice.id, other, world.now).number).toBeGreaterThan(0);
});

describe("kept mail", () => {
  function mailing() {
    const both = keeping();
    const mailbox = new Mailbox(both.bob);
    both.bob.mailbox = mailbox;
    return { ...both, mailbox };
  }

  test("heals although its sender restarted and its recipient forgot everything", () => {
    const { world, alice, bob, mailbox } = mailing();
    bob.crash("lost", 20_000);
    const sent = alice.send("note", bytes(5), { storedDeadlineAt: world.now + 21 * dayMs });
    const large = alice.send("note", bytes(8 * partBytes), { storedDeadlineAt: world.now + 21 * dayMs });
    world.run(5_000);
    expect(alice.stored).toContain(sent.outgoing);
    alice.crash("kept", 1_000);
    world.run(5_000);
    const before = world.sent;
    world.run(5_000);
    // It is in the mailbox: nothing of it is sent again as long as nobody is heard, who is asked for it.
    expect(world.sent - before).toBe(1);
    expect(mailbox.letters.at(-1)!.flight!.to).toBe(0);
    // Bob cannot read it, and makes himself heard.
    mailbox.letters.length = 0;
    world.run(10_000);
    bob.send("note", bytes(1));
    world.run(10_000);
    expect(lengths(bob).sort((a, b) => a - b)).toEqual([5, 8 * partBytes]);
    expect([sent.outcome?.state, large.outcome?.state]).toEqual(["delivered", "delivered"]);
    expect(world.violations).toEqual([]);
  });

  test("that arrives is not sent a second time by the run after", () => {
    const { world, alice, bob } = mailing();
    bob.crash("kept", 10_000);
    const sent = alice.send("note", bytes(5), { storedDeadlineAt: world.now + dayMs });
    world.run(3_000);
    alice.crash("kept", 1_000);
    const envelopes = tapped(world, alice);
    world.run(20_000);
    expect(sent.outcome).toEqual({ state: "delivered" });
    expect(lengths(bob)).toEqual([5]);
    expect(envelopes.flatMap(framesOf).filter(({ kind }) => kind === "message")).toEqual([]);
  });

  test("is known to be in the mailbox, or not to be there any more, as soon as that is known", () => {
    const { world, alice, bob, mailbox } = mailing();
    mailbox.refuses = 1;
    bob.crash("kept", 20_000);
    alice.unlink();
    alice.send("note", bytes(5), { storedDeadlineAt: world.now + dayMs });
    world.run(2_000);
    mailbox.refuses = 0;
    alice.relink();
    world.run(2_000);
    alice.crash("kept", 100);
    const envelopes = tapped(world, alice);
    world.run(5_000);
    expect(envelopes).toEqual([]);
    alice.send("note", bytes(6), { storedDeadlineAt: world.now + dayMs });
    world.run(2_000);
    expect(alice.stored).toHaveLength(2);
    const [envelope] = envelopes.splice(0);
    // Bob is heard to have lost what both travelled under, and nothing gets through to him before the crash.
    alice.unlink();
    alice.delivery.carrierLost(bob.id, [envelope!.session.id], world.now);
    alice.soon();
    world.run(2_000);
    alice.crash("kept", 100);
    world.run(200);
    alice.relink();
    world.run(1_000);
    const numbers = envelopes.flatMap(framesOf).filter(({ kind }) => kind === "message");
    expect(numbers.map(({ number }) => number)).toEqual([alice.sent[1]!.outgoing.number]);
    expect(world.violations).toEqual([]);
  });

  test("lives as long as the mailbox said, in the next run too", () => {
    const { world, alice, bob } = mailing();
    bob.crash("kept", 10 * hourMs);
    const sent = alice.send("note", bytes(5), { deadlineAt: world.now + 5_000, storedDeadlineAt: world.now + dayMs });
    world.run(3_000);
    alice.crash("kept", 1_000);
    world.run(hourMs / 2);
    expect(sent.outcome).toBeUndefined();
    alice.stop(1_000);
    expect(sent.before).toMatchObject({ state: "stored" });
    world.run(hourMs);
    expect(sent.outcome).toEqual({ state: "expired" });
  });

  test("does not close the holes of what was not kept and may still be in the mailbox", () => {
    const { world, alice, bob, mailbox } = mailing();
    bob.crash("kept", 20_000);
    alice.send("note", bytes(5), { keep: false });
    world.run(1_000);
    const letter = mailbox.letters.splice(0);
    alice.send("note", bytes(6));
    world.run(1_000);
    mailbox.letters.length = 0;
    alice.crash("kept", 1_000);
    world.run(30_000);
    bob.send("note", bytes(1));
    world.run(10_000);
    expect(lengths(bob)).toEqual([6]);
    mailbox.letters.push(...letter);
    mailbox.hand();
    world.run(1_000);
    expect(lengths(bob)).toEqual([6, 5]);
    expect(world.violations).toEqual([]);
  });
});

describe("P2: what was handled", () => {
  /** Alice crashes after she heard how it ended, and before her store knows. */
  function crashUnknowing(alice: Peer, world: World): void {
    alice.writeBehindMs = 100;
    const sent = alice.send("note", bytes(5));
    // The record is kept, then it is delivered.
    void alice.maps.commit();
    alice.writeBehindMs = 10_000;
    world.run(50);
    expect(sent.outcome).toEqual({ state: "delivered" });
    expect(alice.keptIds()).toEqual([sent.id]);
  }

  test("is not handed over again when its sender crashed before it had written that", () => {
    const { world, alice, bob } = keeping();
    crashUnknowing(alice, world);
    alice.crash("kept", 100);
    world.run(5_000);
    expect(alice.sent[0]!.outcome).toEqual({ state: "delivered" });
    expect(lengths(bob)).toEqual([5]);
    expect(world.violations).toEqual([]);
    world.run(20_000);
    expect(alice.keptIds()).toEqual([]);
  });

  test("is said to be settled when its sender had said so himself, and ends without another word", () => {
    const { world, alice, bob } = keeping();
    crashUnknowing(alice, world);
    // A later message tells bob that the one before is settled.
    alice.send("note", bytes(6), { keep: false });
    world.run(50);
    const fromBob = tapped(world, bob);
    alice.crash("kept", 100);
    world.run(5_000);
    expect(fromBob.flatMap(framesOf).filter(({ kind }) => kind === "rejection")).toMatchObject([{ code: 7 }]);
    expect(alice.sent[0]!.outcome).toBeUndefined();
    expect(lengths(bob)).toEqual([5, 6]);
    world.run(20_000);
    expect(alice.keptIds()).toEqual([]);
    expect(alice.delivery.keptMessages).toBe(0);
  });

  test("is rejected as not placed when its epoch had to make room, never handed over twice", () => {
    const { world, alice, bob } = keeping();
    crashUnknowing(alice, world);
    const store = alice.store.snapshot();
    alice.keeps = false;
    for (let run = 0; run < 70; run++) {
      alice.crash("lost", 10);
      world.run(20);
      alice.send("note", bytes(1));
      world.run(200);
    }
    expect(bob.maps.get(alice.id)?.forgottenEpochs.length).toBeGreaterThan(0);
    bob.crash("kept", 10);
    alice.crash("lost", 10);
    alice.store = store;
    world.run(5_000);
    expect(alice.sent[0]!.outcome).toEqual({ state: "rejected", reason: "not-placed" });
    expect(lengths(bob).filter((length) => length === 5)).toHaveLength(1);
  });

  test("a rejected one is not run again for an epoch that was not used for a while", () => {
    const { world, alice, bob } = keeping();
    let runs = 0;
    bob.handle("fail", () => {
      runs++;
      return "failed";
    });
    let isDeaf = true;
    world.tap = (envelope) => envelope.from === alice.id || !isDeaf;
    alice.send("fail", bytes(1));
    world.run(2_000);
    expect(runs).toBe(1);
    for (let run = 0; run < 8; run++) {
      alice.crash("kept", 10);
      world.run(20);
      alice.send("note", bytes(2));
      world.run(2_000);
    }
    isDeaf = false;
    world.run(10_000);
    expect(alice.sent[0]!.outcome).toEqual({ state: "rejected", reason: "handler-failed" });
    expect(runs).toBe(1);
    expect(world.violations).toEqual([]);
  });
});

test("a hundred runs that each leave something behind: all of it arrives, and once", () => {
  const { world, alice, bob } = keeping();
  bob.crash("kept", 300_000);
  for (let run = 0; run < 100; run++) {
    // They do not fit into one envelope.
    for (let i = 0; i < 3; i++) alice.send("note", bytes(40_000 + 3 * run + i));
    world.run(1_100);
    alice.crash("kept", 10);
    world.run(20);
  }
  expect(alice.delivery.keptMessages).toBe(300);
  world.run(hourMs);
  expect(lengths(bob).toSorted((a, b) => a - b)).toEqual(Array.from({ length: 300 }, (_, i) => 40_000 + i));
  expect(alice.sent.map(({ outcome }) => outcome?.state)).toEqual(Array(300).fill("delivered"));
  expect(bob.maps.get(alice.id)!.epochs.size).toBeLessThanOrEqual(64);
  expect(world.violations).toEqual([]);
});

describe("the memory of forgotten epochs", () => {
  test("names those of which something was handled, until nothing of them can come any more", () => {
    const { world, alice, bob } = keeping();
    alice.isForged = true;
    const epochOf = (n: number) => n.toString(16).padStart(16, "0") as Epoch;
    const writer = new FrameWriter(new Uint8Array(200));
    /** A message of an earlier epoch. @returns Whether it was handed over. */
    const put = (n: number, type = "note"): boolean => {
      writer.reset(0, epochOf(n));
      writer.message({ number: 1, typeNumber: 0, name: type, body: bytes(0) });
      const before = bob.delivered.length;
      bob.delivery.receive(
        alice.id,
        { carrier: "s", early: false, theirEpoch: alice.epoch, frames: writer.bytes().slice() },
        world.now,
      );
      bob.turn();
      world.run(50);
      return bob.delivered.length > before;
    };
    bob.handle("fail", () => "failed");
    expect(put(999, "fail")).toBe(true);
    for (let n = 1; n <= 64 + 100; n++) expect(put(n)).toBe(true);
    expect(put(999, "fail")).toBe(false);
    expect(bob.maps.get(alice.id)!.forgottenEpochs.length).toBeGreaterThanOrEqual(100);
    for (const n of [1, 50, 100]) expect(put(n)).toBe(false);
    expect(put(1_000)).toBe(true);
    for (let n = 2_001; n <= 2_200; n++) put(n);
    // There are too many to be named: none that is not known is taken for new.
    expect(put(3_000)).toBe(false);
    expect(bob.maps.get(alice.id)!.forgottenEpochs).toHaveLength(256);
    world.now += 22 * dayMs;
    expect(put(3_000)).toBe(true);
    expect(put(3_001)).toBe(true);
    expect(bob.maps.get(alice.id)!.forgottenEpochs.length).toBeLessThan(3);
  });
});

test("a store with messages that no run of ours keeps stops nobody", () => {
  const world = pair().world;
  const store = new MemorySessionStore();
  const [alice, bob] = world.peers as [Peer, Peer];
  const times = { sentAt: world.now, deadlineAt: world.now + dayMs, storedDeadlineAt: world.now + dayMs };
  const message = (number: number, fields: Partial<KeptMessage> = {}): KeptMessage => {
    const type = { type: "note", typeNumber: 3, established: false, stored: undefined };
    return { peer: bob.id, epoch: "ee".repeat(8) as Epoch, number, ...type, ...times, body: bytes(4), ...fields };
  };
  const maps = SessionMaps.open(store, { now: world.now, random: (n) => new Uint8Array(n) });
  for (const each of [
    message(7),
    message(windowSize + 100, { body: bytes(3 * partBytes) }),
    message(windowSize + 101),
    message(windowSize + 103, { typeNumber: maxTypeNames }),
    message(windowSize + 104),
  ]) {
    maps.keepMessage(each);
  }
  void maps.commit();
  bob.handle("note", () => "handled");
  bob.other.isForged = true;
  alice.crash("lost", 10);
  alice.store = store;
  alice.keeps = true;
  world.run(10_000);
  expect(lengths(bob).toSorted((a, b) => a - b)).toEqual([4, 3 * partBytes]);
  expect(alice.keptIds()).toEqual([]);
});
