import type { SessionRecord } from "@egtp/session-store";
import { equalBytes, FrameWriter, type MessageFields, partBytes, peerIdFromTrustedBytes } from "@egtp/wire";
import { describe, expect, test } from "vitest";
import { windowSize } from "../src/delivery.ts";
import { announce, bytes, type Envelope, framesOf, type Peer, pair, tell, type World } from "./delivery-pair.ts";

/** Notes every envelope of one peer from now on. */
function record(world: World, peer: Peer): Envelope[] {
  const envelopes: Envelope[] = [];
  const { tap } = world;
  world.tap = (envelope) => {
    if (envelope.from === peer.id) envelopes.push(envelope);
    return tap(envelope);
  };
  return envelopes;
}

const kinds = (envelopes: Envelope[]): string[][] => envelopes.map((each) => framesOf(each).map(({ kind }) => kind));
const states = (peer: Peer): (string | undefined)[] => peer.sent.map(({ outcome }) => outcome?.state);

/** Brings up a session, so that later traffic shows nothing of the first contact. */
function acquaint({ world, alice, bob }: ReturnType<typeof pair>): void {
  for (const peer of [alice, bob]) {
    peer.handle("hello", () => "handled");
    peer.handle("note", () => "handled");
    peer.handle("ask", (incoming) => {
      peer.delivery.reply(incoming, incoming.body, world.now);
      return "handled";
    });
  }
  alice.send("hello", bytes(1));
  world.run(100);
  bob.send("hello", bytes(1));
  for (const peer of [alice, bob]) {
    for (const type of ["note", "ask"]) peer.send(type, bytes(1), { request: type === "ask" });
  }
  world.run(200);
  expect(world.violations).toEqual([]);
  for (const peer of [alice, bob]) {
    expect(states(peer).every((state) => state === "delivered" || state === "replied")).toBe(true);
    peer.sent.length = 0;
    peer.delivered.length = 0;
  }
}

describe("sending", () => {
  test("a message is delivered and its sender hears so", () => {
    const { world, alice, bob } = pair();
    bob.handle("note", () => "handled");
    const sent = alice.send("note", bytes(3));
    world.run(100);
    expect(sent.outcome).toEqual({ state: "delivered" });
    expect(bob.delivered).toMatchObject([{ type: "note", body: bytes(3), early: true }]);
    expect(world.violations).toEqual([]);
  });

  test("what is sent in one turn travels in one envelope and is handed over in order", () => {
    const both = pair();
    acquaint(both);
    const { world, alice, bob } = both;
    const envelopes = record(world, alice);
    for (let i = 0; i < 300; i++) alice.send("note", bytes(100, i % 256));
    world.run(100);
    expect(envelopes).toHaveLength(1);
    expect(bob.delivered.map(({ body }) => body[0])).toEqual(Array.from({ length: 300 }, (_, i) => i % 256));
  });

  test("a request ends with its reply, also when the handler takes its time", () => {
    const both = pair();
    acquaint(both);
    const { world, alice, bob } = both;
    bob.handleLater("slow", () => 700);
    const quick = alice.send("ask", bytes(4, 9), { request: true });
    const slow = alice.send("slow", bytes(5, 9), { request: true });
    world.run(1_000);
    expect(quick.outcome).toEqual({ state: "replied", body: bytes(4, 9) });
    expect(slow.outcome).toEqual({ state: "replied", body: bytes(5, 9) });
    expect(world.violations).toEqual([]);
  });

  test("a handler that fails makes the outcome rejected, and the message is not sent again", () => {
    const both = pair();
    acquaint(both);
    const { world, alice, bob } = both;
    bob.handle("bad", () => "failed");
    bob.handle("unwanted", () => "refused");
    alice.send("bad", bytes(1));
    alice.send("unwanted", bytes(1));
    world.run(60_000);
    expect(alice.sent.map(({ outcome }) => outcome)).toEqual([
      { state: "rejected", reason: "handler-failed" },
      { state: "rejected", reason: "not-accepted" },
    ]);
    expect(bob.delivered).toHaveLength(2);
  });

  test("a rejection that was lost is repeated, and the handler does not run again", () => {
    const both = pair();
    acquaint(both);
    const { world, alice, bob } = both;
    bob.handle("bad", () => "failed");
    let lost = 0;
    world.tap = (envelope) => envelope.from !== bob.id || lost++ > 0;
    const sent = alice.send("bad", bytes(1));
    world.run(5_000);
    expect(lost).toBeGreaterThan(1);
    expect(sent.outcome).toEqual({ state: "rejected", reason: "handler-failed" });
    expect(bob.delivered).toHaveLength(1);
  });

  test("mail of a type without a handler waits for one, and not beyond its deadline", () => {
    const both = pair();
    acquaint(both);
    const { world, alice, bob } = both;
    const early = alice.send("later", bytes(2), { deadlineAt: world.now + 1_000 });
    const late = alice.send("later", bytes(3), { deadlineAt: world.now + 9_000 });
    world.run(3_000);
    expect(early.outcome).toEqual({ state: "expired" });
    bob.handle("later", () => "handled");
    world.run(1_000);
    expect(late.outcome).toEqual({ state: "delivered" });
    expect(bob.delivered.map(({ body }) => body.length)).toEqual([3]);
  });

  test("a cancelled message is not heard of again, and closes no hole in the window", () => {
    const both = pair();
    acquaint(both);
    const { world, alice, bob } = both;
    const first = alice.send("note", bytes(1));
    alice.send("note", bytes(2));
    alice.delivery.cancel(first.outgoing, world.now);
    world.run(1_000);
    expect(states(alice)).toEqual([undefined, "delivered"]);
    expect(bob.delivered.map(({ body }) => body.length)).toEqual([2]);
    expect(alice.delivery.outboxSize(bob.id)).toEqual({ messages: 0, bytes: 0 });
  });

  test("fast fail settles what never left, and only that", () => {
    const both = pair();
    acquaint(both);
    const { world, alice, bob } = both;
    bob.handleLater("slow", () => 500);
    const gone = alice.send("slow", bytes(1), { failFast: true });
    world.run(100);
    alice.unlink();
    const fast = alice.send("note", bytes(1), { failFast: true });
    const patient = alice.send("note", bytes(1));
    const reasons = [{ strategy: "tcp", error: "refused" }];
    alice.delivery.unreachable(bob.id, reasons, world.now);
    expect(fast.outcome).toEqual({ state: "unreachable", reasons });
    expect(patient.outcome).toBeUndefined();
    alice.relink();
    world.run(2_000);
    expect([gone.outcome?.state, patient.outcome?.state]).toEqual(["delivered", "delivered"]);
  });

  test("close settles everything: what never left as unreachable, the rest as expired", () => {
    const both = pair();
    acquaint(both);
    const { world, alice, bob } = both;
    bob.handleLater("slow", () => 5_000);
    alice.send("slow", bytes(1));
    world.run(100);
    alice.unlink();
    alice.send("note", bytes(1));
    alice.delivery.close();
    expect(states(alice)).toEqual(["expired", "unreachable"]);
    expect(alice.delivery.nextDeadline).toBeUndefined();
    expect(() => alice.send("note", bytes(1))).toThrow(expect.objectContaining({ code: "EGTP_DELIVERY_CLOSED" }));
  });
});

describe("parts", () => {
  test("a large message travels in parts, each with its own number, and arrives whole", () => {
    const both = pair();
    acquaint(both);
    const { world, alice, bob } = both;
    const envelopes = record(world, alice);
    const body = Uint8Array.from({ length: 10 * partBytes + 5 }, (_, i) => i % 251);
    const sent = alice.send("note", body);
    world.run(1_000);
    expect(sent.outcome).toEqual({ state: "delivered" });
    expect(equalBytes(bob.delivered[0]!.body, body)).toBe(true);
    const parts = envelopes.flatMap(framesOf).filter(({ kind }) => kind === "message");
    expect(parts.map(({ partIndex }) => partIndex)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    expect(new Set(parts.map(({ number }) => number)).size).toBe(11);
  });

  test("a lost part alone is sent again", () => {
    const both = pair();
    acquaint(both);
    const { world, alice, bob } = both;
    const envelopes = record(world, alice);
    let count = 0;
    const { tap } = world;
    world.tap = (envelope) => tap(envelope) && !(envelope.from === alice.id && ++count === 2);
    const sent = alice.send("note", bytes(12 * partBytes));
    world.run(5_000);
    expect(sent.outcome).toEqual({ state: "delivered" });
    const parts = envelopes.flatMap(framesOf).filter(({ kind }) => kind === "message");
    expect(parts.length).toBe(12 + framesOf(envelopes[1]!).filter(({ kind }) => kind === "message").length);
    expect(bob.delivered).toHaveLength(1);
  });

  test("a large message delays nobody: small ones and other large ones take turns with its parts", () => {
    const both = pair();
    acquaint(both);
    const { world, alice, bob } = both;
    alice.send("note", bytes(100 * partBytes, 1));
    alice.send("note", bytes(10 * partBytes, 2));
    alice.send("note", bytes(10, 3));
    const envelopes = record(world, alice);
    world.run(2_000);
    expect(bob.delivered.map(({ body }) => body[0])).toEqual([3, 2, 1]);
    expect(framesOf(envelopes[0]!).some(({ partIndex }) => partIndex === undefined)).toBe(true);
  });

  test("a large reply arrives whole", () => {
    const both = pair();
    acquaint(both);
    const { world, alice } = both;
    const body = bytes(5 * partBytes + 1, 4);
    const sent = alice.send("ask", body, { request: true });
    world.run(2_000);
    expect(sent.outcome?.state === "replied" && equalBytes(sent.outcome.body, body)).toBe(true);
  });

  test("what is larger than the recipient takes is rejected before memory is spent on it", () => {
    const { world, alice, bob } = pair();
    bob.handle("note", () => "handled");
    bob.crash("kept", 1);
    Object.assign(bob.limits, { maxMessageBytes: 100_000 });
    world.run(10);
    const sent = alice.send("note", bytes(200_000));
    world.run(2_000);
    expect(sent.outcome).toEqual({ state: "rejected", reason: "too-large" });
    expect(() => bob.send("note", bytes(100_001))).toThrow(expect.objectContaining({ code: "EGTP_MESSAGE_TOO_LARGE" }));
  });

  test("a reply that is larger than its recipient takes is rejected, and its request ends with that", () => {
    const { world, alice, bob } = pair();
    bob.handle("ask", (incoming) => {
      bob.delivery.reply(incoming, bytes(200_000), world.now);
      return "handled";
    });
    alice.crash("kept", 1);
    Object.assign(alice.limits, { maxMessageBytes: 100_000 });
    world.run(10);
    const sent = alice.send("ask", bytes(1), { request: true });
    world.run(2_000);
    expect(sent.outcome).toEqual({ state: "rejected", reason: "too-large" });
    expect(bob.delivery.outboxSize(alice.id).messages).toBe(0);
  });

  test("a part of another total than the first is not of the same message", () => {
    const { alice, bob } = pair();
    bob.handle("note", () => "handled");
    alice.isForged = true;
    const part = (index: number, totalBytes: number) => {
      const body = bytes(Math.min(partBytes, totalBytes - index * partBytes), totalBytes);
      tell(bob, 11, { number: 1 + index, name: "note", body, partIndex: index, totalBytes });
    };
    part(0, 40_000);
    part(1, 99_000);
    part(2, 40_000);
    expect(bob.delivered).toHaveLength(0);
    part(1, 40_000);
    expect(bob.delivered.map(({ body }) => equalBytes(body, bytes(40_000, 40_000)))).toEqual([true]);
  });

  test("parts beyond the bound per peer are not received, and come again when there is room", () => {
    const { world, alice, bob } = pair({ limits: { maxHeldBytes: 150_000 } });
    bob.handle("note", () => "handled");
    const fromBob = record(world, bob);
    const { tap } = world;
    let count = 0;
    world.tap = (envelope) => tap(envelope) && (envelope.from === bob.id || ++count === 1);
    const sent = [1, 2, 3, 4].map((i) => alice.send("note", bytes(100_000, i)));
    world.run(100);
    // The first envelope has parts of several messages. Only those of one are received.
    const received = fromBob.flatMap(framesOf).flatMap((frame) => (frame.kind === "receipt" ? frame.received : []));
    expect(received).toEqual([sent[0]!.outgoing.number, sent[0]!.outgoing.number + 1]);
    world.tap = () => true;
    world.run(30_000);
    expect(states(alice)).toEqual(["delivered", "delivered", "delivered", "delivered"]);
    expect(world.violations).toEqual([]);
  });
});

describe("receipts", () => {
  test("nothing says that a message was handled before that is kept, though it comes again and is asked after", () => {
    const both = pair();
    acquaint(both);
    const { world, alice, bob } = both;
    bob.commitMs = 4_000;
    const fromAlice = record(world, alice);
    const fromBob = record(world, bob);
    const sent = alice.send("note", bytes(1));
    world.run(3_900);
    const asked = fromAlice.flatMap(framesOf).map(({ kind }) => kind);
    expect([asked.filter((kind) => kind === "message").length > 1, asked.includes("probe")]).toEqual([true, true]);
    expect(fromBob.flatMap(framesOf).flatMap(({ handled }) => handled)).toEqual([]);
    world.run(1_000);
    expect(sent.outcome?.state).toBe("delivered");
    expect(bob.delivered).toHaveLength(1);
    expect(world.violations).toEqual([]);
  });

  test("what was said first of a message counts: whether it was handled or failed", () => {
    const { world, alice, bob } = pair();
    bob.handle("slow", (incoming) => {
      world.at(10, () => {
        const steps = [
          () => bob.delivery.handled(incoming, world.now),
          () => bob.delivery.failed(incoming, "handler-failed", world.now),
        ];
        for (const step of incoming.body[0] === 1 ? steps : steps.toReversed()) step();
        bob.turn();
      });
      return "pending";
    });
    const sent = [1, 2].map((first) => alice.send("slow", bytes(1, first)));
    world.run(100);
    expect(sent.map(({ outcome }) => outcome?.state)).toEqual(["delivered", "rejected"]);
    const [marks] = bob.maps.get(alice.id)!.epochs.values();
    expect(marks!.ranges).toEqual([1, 2]);
    expect(bob.delivery.wants(alice.id, world.now).any).toBe(false);
  });

  test("a receipt waits 25 ms for something to ride on", () => {
    const both = pair();
    acquaint(both);
    const { world, alice, bob } = both;
    const envelopes = record(world, bob);
    alice.send("note", bytes(1));
    world.run(5 + 24);
    expect(envelopes).toHaveLength(0);
    world.run(2);
    expect(kinds(envelopes)).toEqual([["receipt"]]);
    alice.send("note", bytes(1));
    world.run(10);
    bob.send("note", bytes(1));
    world.run(1);
    expect(kinds(envelopes).at(-1)).toEqual(["receipt", "message"]);
  });

  test("an awaited message that is the last to say gets its receipt at once", () => {
    const both = pair();
    acquaint(both);
    const { world, alice, bob } = both;
    const fromAlice = record(world, alice);
    const fromBob = record(world, bob);
    const sent = alice.send("note", bytes(1), { prompt: true });
    world.run(10);
    expect(sent.outcome).toEqual({ state: "delivered" });
    expect(kinds(fromAlice)).toEqual([["prompt", "message"]]);
    expect(kinds(fromBob)).toEqual([["receipt"]]);
  });

  test("the receipt of an awaited message whose handler works leaves when the handler returns, not before", () => {
    const both = pair();
    acquaint(both);
    const { world, alice, bob } = both;
    bob.handleLater("slow", () => 12);
    const fromBob = record(world, bob);
    const sent = alice.send("slow", bytes(1), { prompt: true });
    world.run(5 + 12 + 5);
    expect(sent.outcome).toEqual({ state: "delivered" });
    expect(kinds(fromBob)).toEqual([["receipt"]]);
  });

  test("a request asks for no prompt: its reply is its receipt, and the reply's can wait", () => {
    const both = pair();
    acquaint(both);
    const { world, alice, bob } = both;
    const fromAlice = record(world, alice);
    const fromBob = record(world, bob);
    alice.send("ask", bytes(1), { request: true, prompt: true });
    world.run(100);
    expect(kinds(fromBob)).toEqual([["reply"]]);
    expect(kinds(fromAlice)).toEqual([["message"], ["receipt"]]);
  });

  test("nor is a prompt sent when a request leaves along: the reply will carry the receipt of both", () => {
    const both = pair();
    acquaint(both);
    const { world, alice, bob } = both;
    const fromAlice = record(world, alice);
    const fromBob = record(world, bob);
    const note = alice.send("note", bytes(1), { prompt: true });
    alice.send("ask", bytes(1), { request: true });
    world.run(11);
    expect(note.outcome?.state).toBe("delivered");
    expect(kinds(fromAlice)).toEqual([["message", "message"]]);
    expect(kinds(fromBob)).toEqual([["receipt", "reply"]]);
  });

  test("a message that comes twice is receipted twice", () => {
    const both = pair();
    acquaint(both);
    const { world, alice, bob } = both;
    let lost = 0;
    world.tap = (envelope) => envelope.from !== bob.id || lost++ > 0;
    const sent = alice.send("note", bytes(1));
    world.run(40);
    expect(lost).toBe(1);
    alice.relink();
    world.run(40);
    expect(sent.outcome?.state).toBe("delivered");
    expect(bob.delivered).toHaveLength(1);
  });

  test("no handled receipt and no reply leave before the mark is committed", () => {
    const both = pair();
    acquaint(both);
    const { world, alice, bob } = both;
    bob.commitMs = 100;
    const note = alice.send("note", bytes(1), { prompt: true });
    const ask = alice.send("ask", bytes(1), { request: true });
    world.run(105);
    expect([note.outcome, ask.outcome]).toEqual([undefined, undefined]);
    world.run(10);
    expect([note.outcome?.state, ask.outcome?.state]).toEqual(["delivered", "replied"]);
  });

  test("a probe is not answered with marks that are not committed", () => {
    const both = pair();
    acquaint(both);
    const { world, alice, bob } = both;
    bob.commitMs = 3_000;
    const answers = record(world, bob);
    alice.send("note", bytes(1), { prompt: true });
    alice.send("ask", bytes(1), { request: true });
    world.run(2_900);
    const complete = answers.flatMap(framesOf).filter(({ isComplete, kind }) => kind === "receipt" && isComplete);
    expect(complete.length).toBeGreaterThan(0);
    for (const { handled, received } of complete) {
      expect(handled).toEqual([]);
      expect(received).toHaveLength(2);
    }
    world.run(1_000);
    expect(states(alice)).toEqual(["delivered", "replied"]);
  });

  test("a crash before the commit hands the message over again, under the same ID", () => {
    const both = pair();
    acquaint(both);
    const { world, alice, bob } = both;
    bob.commitMs = 100;
    const sent = alice.send("note", bytes(1), { deadlineAt: world.now + 60_000 });
    world.run(50);
    bob.crash("kept", 10);
    world.run(10_000);
    expect(sent.outcome).toEqual({ state: "delivered" });
    expect(bob.handedOver.get(sent.id)).toEqual([1, 2]);
  });

  test("a crash after the commit does not", () => {
    const both = pair();
    acquaint(both);
    const { world, alice, bob } = both;
    world.tap = (envelope) => envelope.from !== bob.id;
    const sent = alice.send("note", bytes(1));
    world.run(50);
    world.tap = () => true;
    bob.crash("kept", 10);
    world.run(10_000);
    expect(sent.outcome).toEqual({ state: "delivered" });
    expect(bob.handedOver.get(sent.id)).toEqual([1]);
  });

  test("a flood is receipted before 25 ms, every two full envelopes", () => {
    const both = pair();
    acquaint(both);
    const { world, alice, bob } = both;
    const fromBob = record(world, bob);
    for (let i = 0; i < 6_000; i++) alice.send("note", bytes(100));
    world.run(6);
    expect(fromBob.length).toBeGreaterThanOrEqual(4);
  });

  test("what the peer received is not sent again while it lives", () => {
    const both = pair();
    acquaint(both);
    const { world, alice, bob } = both;
    bob.handleLater("slow", () => 200_000);
    const envelopes = record(world, alice);
    const sent = alice.send("slow", bytes(1), { deadlineAt: world.now + 600_000 });
    world.run(1_000);
    alice.relink();
    world.run(250_000);
    expect(sent.outcome).toEqual({ state: "delivered" });
    expect(envelopes.flatMap(framesOf).filter(({ kind }) => kind === "message")).toHaveLength(1);
    // It is asked after, ever more rarely.
    const probes = envelopes.flatMap(framesOf).filter(({ kind }) => kind === "probe").length;
    expect(probes).toBeGreaterThan(3);
    expect(probes).toBeLessThan(12);
  });
});

describe("numbers", () => {
  test("the first message of every envelope states the lowest unsettled number", () => {
    const both = pair();
    acquaint(both);
    const { world, alice, bob } = both;
    bob.handleLater("slow", () => 5_000);
    const envelopes = record(world, alice);
    const slow = alice.send("slow", bytes(1));
    for (let i = 0; i < 5; i++) {
      world.run(100);
      alice.send("note", bytes(1));
    }
    world.run(100);
    const messages = envelopes.flatMap(framesOf).filter(({ kind }) => kind === "message");
    expect(messages).toHaveLength(6);
    expect(new Set(messages.map(({ base }) => base))).toEqual(new Set([slow.outgoing.number]));
  });

  test("no number in flight is a window or more above the oldest unsettled one; replies have a reserve", () => {
    const both = pair({ limits: { maxOutboxMessages: 1_000_000, maxOutboxBytes: 1e9, defaultDeadlineMs: 600_000 } });
    acquaint(both);
    const { world, alice, bob } = both;
    bob.handleLater("slow", () => 20_000);
    const slow = alice.send("slow", bytes(1));
    const first = slow.outgoing.number;
    const isFull = () => !alice.delivery.hasRoom(bob.id, 1);
    let count = 0;
    while (!isFull()) {
      alice.delivery.enqueue(bob.id, { type: "note", body: bytes(1) }, world.now);
      if (++count % 1_000 === 0) {
        alice.turn();
        world.run(1);
      }
    }
    world.run(1_000);
    expect(count + first).toBeLessThan(first + windowSize);
    expect(isFull()).toBe(true);
    expect(() => alice.send("note", bytes(1))).toThrow(expect.objectContaining({ code: "EGTP_OUTBOX_FULL" }));
    // A request of the other side is still answered.
    const asked = bob.send("ask", bytes(1), { request: true });
    world.run(100);
    expect(asked.outcome?.state).toBe("replied");
    world.run(20_000);
    expect(slow.outcome?.state).toBe("delivered");
    expect(isFull()).toBe(false);
    expect(alice.roomCalls).toBeGreaterThan(0);
  });

  test("an expired message closes its hole: the base moves on and nothing of it is delivered later", () => {
    const both = pair();
    acquaint(both);
    const { world, alice, bob } = both;
    const kept: Envelope[] = [];
    world.tap = (envelope) => {
      if (envelope.from !== alice.id) return true;
      kept.push(envelope);
      return false;
    };
    const sent = alice.send("note", bytes(1), { deadlineAt: world.now + 500 });
    world.run(600);
    expect(sent.outcome).toEqual({ state: "expired" });
    world.tap = () => true;
    const next = alice.send("note", bytes(2));
    world.run(100);
    expect(next.outcome).toEqual({ state: "delivered" });
    for (const envelope of kept) bob.receive(envelope);
    world.run(1_000);
    expect(bob.delivered.map(({ body }) => body.length)).toEqual([2]);
    expect(alice.nextDeadline).toBe(Infinity);
  });

  test("the watermark moves by the sender's word and never by overflow", () => {
    // Bob is sent numbers by hand: 1 is missing, then as many as the window holds, then some beyond.
    const { world, alice, bob } = pair();
    bob.handle("note", () => "handled");
    const session = { id: "x", isOffer: true, madeAt: world.now, epochs: new Map([[alice.id, alice.epoch]]) };
    const fromBob = record(world, bob);
    const put = (from: number, to: number, base: number): void => {
      const writer = new FrameWriter(new Uint8Array(65_000));
      writer.reset(base);
      for (let number = from; number < to; number++) {
        expect(
          writer.message({ number, typeNumber: 0, name: number === from ? "note" : undefined, body: bytes(0) }),
        ).toBe(true);
      }
      bob.receive({ from: alice.id, session, rejected: [], frames: writer.bytes(), sentAt: world.now });
    };
    const answers = () => fromBob.splice(0).flatMap(framesOf);
    alice.isForged = true;
    put(windowSize - 3, windowSize + 1, 1);
    world.run(100);
    expect(answers().find(({ kind }) => kind === "receipt")!.handled).toEqual([windowSize - 3, windowSize + 1]);
    put(windowSize + 1, windowSize + 3, 1);
    world.run(100);
    const beyond = answers();
    expect(beyond.filter(({ kind }) => kind === "rejection").map(({ number }) => number)).toEqual([
      windowSize + 1,
      windowSize + 2,
    ]);
    expect(
      beyond.every(({ kind, handled, received }) => kind !== "receipt" || handled.length + received.length === 0),
    ).toBe(true);
    // Number 1 was never received: it is delivered still, and not taken for an old one.
    const before = bob.delivered.length;
    put(1, 2, 1);
    world.run(100);
    expect(bob.delivered.length).toBe(before + 1);
    expect(answers().find(({ kind }) => kind === "receipt")!.handled).toEqual([1, 2]);
    // The sender's word moves it: what was too far before fits now, and what lies below is never receipted.
    put(windowSize + 1, windowSize + 2, 10);
    put(5, 6, 5);
    world.run(100);
    const after = answers();
    expect(after.find(({ kind }) => kind === "receipt")!.handled).toEqual([windowSize + 1, windowSize + 2]);
    expect(bob.delivered.length).toBe(before + 2);
  });
});

describe("type names", () => {
  test("a name travels until a receipt covers a message that carried it, once per envelope", () => {
    const both = pair();
    acquaint(both);
    const { world, alice, bob } = both;
    for (const peer of [bob]) peer.handle("fresh", () => "handled");
    const envelopes = record(world, alice);
    const names = () =>
      envelopes.splice(0).map((each) => framesOf(each).filter(({ name }) => name !== undefined).length);
    for (let i = 0; i < 3; i++) alice.send("fresh", bytes(1));
    world.run(1);
    alice.send("fresh", bytes(1));
    world.run(1);
    expect(names()).toEqual([1, 1]);
    world.run(100);
    alice.send("fresh", bytes(1));
    world.run(100);
    expect(names()).toEqual([0]);
  });

  test("a new carrier announces names again", () => {
    const both = pair();
    acquaint(both);
    const { world, alice, bob } = both;
    bob.crash("lost", 10);
    world.run(20);
    const envelopes = record(world, alice);
    const sent = alice.send("note", bytes(1));
    world.run(5_000);
    expect(sent.outcome?.state).toBe("delivered");
    const carriers = new Set(
      envelopes.filter((each) => framesOf(each).some(({ name }) => name === "note")).map(({ session }) => session.id),
    );
    expect(carriers.size).toBeGreaterThanOrEqual(1);
    expect(bob.delivered).toHaveLength(1);
  });

  test("a message whose type number is unknown is neither placed nor receipted, and the carrier is named", () => {
    const both = pair();
    acquaint(both);
    const { world, alice, bob } = both;
    // Bob comes back with his sessions, but without the names of Alice's types.
    bob.crash("kept", 1);
    const fromBob = record(world, bob);
    world.run(10);
    const sent = alice.send("note", bytes(1));
    world.run(6);
    expect(bob.unplaced).toBe(1);
    expect(fromBob.flatMap(framesOf).filter(({ kind }) => kind === "receipt")).toEqual([]);
    world.run(5_000);
    expect(sent.outcome).toEqual({ state: "delivered" });
    expect(bob.handedOver.get(sent.id)).toEqual([2]);
  });

  test("a type number keeps its name: a message that gives it another is not placed", () => {
    const { alice, bob } = pair();
    for (const type of ["note", "other"]) bob.handle(type, () => "handled");
    alice.isForged = true;
    expect(tell(bob, 11, { name: "note" }).unplaced).toBe(false);
    expect(tell(bob, 11, { number: 2, name: "other" }).unplaced).toBe(true);
    expect(tell(bob, 11, { number: 2 }).unplaced).toBe(false);
    expect(bob.delivered.map(({ type }) => type)).toEqual(["note", "note"]);
  });
});

describe("early data", () => {
  test("a message that needs an established session waits for it and lets others pass", () => {
    const { world, alice, bob } = pair();
    bob.handle("secret", () => "handled");
    bob.handle("note", () => "handled");
    alice.send("secret", bytes(1), { established: true });
    alice.send("note", bytes(2));
    world.run(1_000);
    expect(bob.delivered.map(({ type, early }) => [type, early])).toEqual([
      ["note", true],
      ["secret", false],
    ]);
    expect(states(alice)).toEqual(["delivered", "delivered"]);
  });

  test("wants says when nothing that waits may travel early", () => {
    const { world, alice, bob } = pair();
    alice.unlink();
    alice.send("secret", bytes(1), { established: true });
    expect(alice.delivery.wants(bob.id, world.now)).toMatchObject({ application: true, establishedOnly: true });
    const writer = new FrameWriter(new Uint8Array(65_000));
    const offer = { id: "o", early: true, theirEpoch: undefined };
    expect(alice.delivery.fill(bob.id, offer, writer, world.now)).toBe(false);
    alice.send("note", bytes(1));
    expect(alice.delivery.wants(bob.id, world.now).establishedOnly).toBe(false);
  });
});

describe("healing", () => {
  test("a lost envelope is sent again after the retransmission time, with a probe", () => {
    const both = pair();
    acquaint(both);
    const { world, alice } = both;
    let lost = false;
    world.tap = (envelope) => {
      if (lost || envelope.from !== alice.id) return true;
      lost = true;
      return false;
    };
    const envelopes = record(world, alice);
    const sent = alice.send("note", bytes(1));
    world.run(240);
    expect(envelopes).toHaveLength(1);
    world.run(300);
    expect(sent.outcome?.state).toBe("delivered");
    expect(kinds(envelopes)[1]).toEqual(["message", "probe"]);
  });

  test("the answer to a probe makes everything lost due at once, and not only the first envelope", () => {
    const both = pair();
    acquaint(both);
    const { world, alice, bob } = both;
    world.tap = (envelope) => envelope.from !== alice.id;
    for (let i = 0; i < 5_000; i++) alice.send("note", bytes(100));
    world.run(5);
    world.tap = () => true;
    world.run(600);
    expect(bob.delivered).toHaveLength(5_000);
    expect(alice.sent.filter(({ outcome }) => outcome === undefined)).toHaveLength(0);
  });

  test("a new link sends at once what the old one may have lost, and nothing else", () => {
    const both = pair();
    acquaint(both);
    const { world, alice, bob } = both;
    bob.handleLater("slow", () => 400);
    alice.send("slow", bytes(1));
    world.run(60);
    world.tap = (envelope) => envelope.from !== alice.id;
    alice.send("note", bytes(2));
    world.run(10);
    world.tap = () => true;
    const envelopes = record(world, alice);
    alice.relink();
    world.run(20);
    expect(bob.delivered.map(({ body }) => body.length)).toEqual([1, 2]);
    expect(envelopes.flatMap(framesOf).filter(({ kind }) => kind === "message")).toHaveLength(1);
  });

  test("what a peer received and had not handled when it lost everything is sent again under the same ID", () => {
    const both = pair();
    acquaint(both);
    const { world, alice, bob } = both;
    bob.handleLater("slow", () => (bob.runs === 1 ? 1e9 : 10));
    const slow = alice.send("slow", bytes(1), { request: true });
    world.run(100);
    bob.crash("lost", 10);
    world.run(5_000);
    expect(slow.outcome).toEqual({ state: "replied", body: bytes(1) });
    expect(bob.handedOver.get(slow.id)).toEqual([1, 2]);
    expect(world.violations).toEqual([]);
  });

  test("when a peer is heard to run anew, what it had not handled leaves at once", () => {
    const both = pair();
    acquaint(both);
    const { world, alice, bob } = both;
    bob.handleLater("slow", () => (bob.runs === 1 ? 1e9 : 1));
    const slow = alice.send("slow", bytes(1));
    world.run(60);
    bob.crash("kept", 10);
    world.run(20);
    bob.send("note", bytes(1));
    world.run(5 + 5 + 1 + 25 + 5);
    expect(slow.outcome?.state).toBe("delivered");
  });

  test("what last travelled under a carrier that the peer cannot read leaves at once, and nothing else", () => {
    const both = pair();
    acquaint(both);
    const { world, alice, bob } = both;
    bob.handleLater("slow", () => 400);
    const envelopes = record(world, alice);
    alice.send("slow", bytes(1));
    world.run(60);
    const { id } = envelopes.splice(0)[0]!.session;
    alice.delivery.carrierLost(bob.id, ["another"], world.now);
    alice.turn();
    expect(envelopes).toHaveLength(0);
    alice.delivery.carrierLost(bob.id, [id], world.now);
    alice.turn();
    expect(kinds(envelopes)).toEqual([["message"]]);
    expect(framesOf(envelopes[0]!)[0]!.name).toBe("slow");
    world.run(1_000);
    expect(bob.delivered).toHaveLength(1);
  });

  test("nor one that names no epoch and comes under a session of the earlier run", () => {
    const both = pair();
    acquaint(both);
    const { world, alice, bob } = both;
    bob.handleLater("slow", () => 1_000);
    const old = alice.send("slow", bytes(1, 1), { request: true });
    world.run(100);
    alice.crash("kept", 10);
    world.run(20);
    alice.unlink();
    while (
      alice.delivery.enqueue(bob.id, { type: "note", body: bytes(1) }, world.now).number <
      old.outgoing.number - 1
    ) {}
    const young = alice.send("slow", bytes(2, 2), { request: true });
    const fromBob = record(world, bob);
    world.run(2_000);
    expect(fromBob.flatMap(framesOf).map(({ kind }) => kind)).toContain("reply");
    expect([young.outgoing.number, young.outcome]).toEqual([old.outgoing.number, undefined]);
    alice.relink();
    world.run(10_000);
    expect(young.outcome).toEqual({ state: "replied", body: bytes(2, 2) });
  });

  test("a reply to an earlier run is not taken for one to this run", () => {
    const both = pair();
    acquaint(both);
    const { world, alice, bob } = both;
    bob.handleLater("slow", () => 1_000);
    const old = alice.send("slow", bytes(1, 1), { request: true });
    world.run(100);
    alice.crash("kept", 10);
    world.run(20);
    // The new run gives the same number to another request.
    while (
      alice.delivery.enqueue(bob.id, { type: "note", body: bytes(1) }, world.now).number <
      old.outgoing.number - 1
    ) {}
    const young = alice.send("slow", bytes(2, 2), { request: true });
    expect(young.outgoing.number).toBe(old.outgoing.number);
    world.run(10_000);
    expect(old.outcome).toBeUndefined();
    expect(young.outcome).toEqual({ state: "replied", body: bytes(2, 2) });
  });
});

describe("bounds", () => {
  test("a full outbox throws, and tells when there is room again, with some to spare", () => {
    const both = pair({ limits: { maxOutboxMessages: 100 } });
    acquaint(both);
    const { world, alice, bob } = both;
    bob.handleLater("slow", () => 100 + 10 * (bob.delivered.length % 100));
    for (let i = 0; i < 100; i++) alice.send("slow", bytes(1));
    expect(alice.delivery.hasRoom(bob.id, 1)).toBe(false);
    expect(() => alice.send("slow", bytes(1))).toThrow(
      expect.objectContaining({ code: "EGTP_OUTBOX_FULL", scope: "peer" }),
    );
    let left = 100;
    while (alice.roomCalls === 0) {
      world.run(1);
      left = alice.delivery.outboxSize(bob.id).messages;
    }
    expect(left).toBeLessThanOrEqual(75);
    expect(left).toBeGreaterThan(60);
    world.run(5_000);
    expect(alice.roomCalls).toBe(1);
  });

  test("parts of a message that was given up free their memory with the next word of its sender", () => {
    const { world, alice, bob } = pair({ limits: { maxHeldBytes: 150_000 } });
    bob.handle("note", () => "handled");
    const { tap } = world;
    let count = 0;
    world.tap = (envelope) => tap(envelope) && (envelope.from === bob.id || ++count === 1);
    const first = alice.send("note", bytes(140_000));
    world.run(100);
    world.tap = () => true;
    alice.delivery.cancel(first.outgoing, world.now);
    const second = alice.send("note", bytes(140_000));
    world.run(100);
    expect(second.outcome?.state).toBe("delivered");
    expect(bob.delivered).toHaveLength(1);
  });

  test("parts of a message whose deadline passed free their memory by themselves", () => {
    const { world, alice, bob } = pair({ limits: { maxHeldBytes: 100_000 } });
    bob.handle("note", () => "handled");
    alice.isForged = true;
    tell(bob, 11, { name: "note", body: bytes(partBytes), remainingMs: 5_000, partIndex: 0, totalBytes: 99_000 });
    tell(bob, 11, { number: 20, body: bytes(2_000) });
    expect(bob.delivered).toHaveLength(0);
    world.run(5_000);
    tell(bob, 11, { number: 20, name: "note", body: bytes(2_000) });
    expect(bob.delivered).toHaveLength(1);
  });

  test("the outbox for one peer is bounded in bytes, but for a message that is alone", () => {
    const { alice } = pair({ limits: { maxOutboxBytes: 1_000 } });
    alice.send("note", bytes(2_000));
    expect(() => alice.send("note", bytes(1))).toThrow(expect.objectContaining({ scope: "peer" }));
  });

  test("the outboxes for all peers together are bounded", () => {
    const { alice, bob, world } = pair({ limits: { maxOutboxBytesTotal: 1_000 } });
    bob.handle("note", () => "handled");
    alice.send("note", bytes(900));
    expect(() => alice.send("note", bytes(101))).toThrow(expect.objectContaining({ scope: "total" }));
    world.run(100);
    expect(alice.roomCalls).toBe(1);
    alice.send("note", bytes(101));
  });

  test("two peers whose outboxes are full of requests answer each other", () => {
    const both = pair({ limits: { maxOutboxMessages: 50 } });
    acquaint(both);
    const { world, alice, bob } = both;
    for (let i = 0; i < 50; i++) for (const peer of [alice, bob]) peer.send("ask", bytes(1), { request: true });
    world.run(1_000);
    expect([...states(alice), ...states(bob)].every((state) => state === "replied")).toBe(true);
  });

  test("P5: whoever holds little finds room, however much any number of others have announced", () => {
    const { world, alice, bob } = pair({ limits: { maxHeldBytes: 100_000, maxHeldBytesTotal: 400_000 } });
    bob.handle("note", () => "handled");
    for (let stranger = 11; stranger <= 20; stranger++) announce(bob, stranger, 99_000);
    const sent = alice.send("note", bytes(50_000));
    world.run(500);
    expect(sent.outcome?.state).toBe("delivered");
    expect(world.violations).toEqual([]);
  });

  test("what waited for a handler and made room for others comes again, and runs once", () => {
    const { world, alice, bob } = pair({ limits: { maxHeldBytes: 100_000, maxHeldBytesTotal: 80_000 } });
    const sent = [
      alice.send("later", bytes(40_000), { deadlineAt: world.now + 600_000 }),
      alice.send("later", bytes(1_000), { deadlineAt: world.now + 600_000 }),
    ];
    world.run(100);
    const resent = record(world, alice);
    announce(bob, 11, 39_500);
    bob.handle("later", () => "handled");
    expect(bob.delivered).toHaveLength(0);
    world.run(60_000);
    expect(sent.map(({ outcome }) => outcome?.state)).toEqual(["delivered", "delivered"]);
    expect(bob.delivered.map(({ body }) => body.length).toSorted((a, b) => a - b)).toEqual([1_000, 40_000]);
    expect(resent.flatMap(framesOf).filter(({ kind }) => kind === "message").length).toBe(4);
    expect(world.violations).toEqual([]);
  });

  test.each([{ maxHeldMessages: 10 }, { maxHeldBytes: 10_000 }])(
    "P5: a peer that takes in no replies gets no more than so many: %o",
    (limits) => {
      const { world, alice, bob } = pair({ limits });
      bob.handle("ask", (incoming) => {
        bob.delivery.reply(incoming, bytes(1_000), world.now);
        return "handled";
      });
      alice.isForged = true;
      for (let number = 1; number <= 30; number++) {
        tell(bob, 11, { number, name: "ask", isRequest: true, remainingMs: 60_000 });
        bob.turn();
      }
      expect(bob.delivered).toHaveLength(10);
    },
  );

  test("a peer that would hold most itself makes nobody give up anything", () => {
    const { world, alice, bob } = pair({ limits: { maxHeldBytes: 90_000, maxHeldBytesTotal: 100_000 } });
    alice.send("later", bytes(40_000), { deadlineAt: world.now + 600_000 });
    world.run(100);
    announce(bob, 11, 70_000);
    bob.handle("later", () => "handled");
    expect(bob.delivered).toHaveLength(1);
  });

  test("P5: no deadline is later than messages are kept, of what is sent, of replies, and of what comes in parts", () => {
    const maxOutboxAgeMs = 60_000;
    const { world, alice, bob } = pair({ limits: { maxOutboxAgeMs, defaultDeadlineMs: 1_000, maxHeldBytes: 100_000 } });
    bob.handle("ask", (incoming) => {
      bob.delivery.reply(incoming, bytes(1), world.now);
      return "handled";
    });
    bob.unlink();
    const sent = bob.send("note", bytes(1), { deadlineAt: Infinity });
    alice.isForged = true;
    tell(bob, 11, { name: "ask", isRequest: true, remainingMs: 2 ** 50 });
    announce(bob, 12, 90_000);
    bob.turn();
    world.run(maxOutboxAgeMs + 1_000);
    expect(sent.outcome?.state).toBe("unreachable");
    tell(bob, 12, { number: 20, typeNumber: 1, name: "ask", isRequest: true, body: bytes(20_000), remainingMs: 1_000 });
    expect(bob.delivered).toHaveLength(2);
    const stranger = peerIdFromTrustedBytes(bytes(32, 11));
    bob.delivery.tick(world.now);
    expect(bob.delivery.wants(stranger, world.now).application).toBe(false);
  });

  test("held messages are bounded: beyond, nothing is received, and it comes again", () => {
    const { world, alice, bob } = pair({ limits: { maxHeldMessages: 10 } });
    bob.handleLater("slow", () => 1_000);
    for (let i = 0; i < 25; i++) alice.send("slow", bytes(1));
    world.run(500);
    expect(bob.delivered).toHaveLength(10);
    world.run(30_000);
    expect(bob.delivered).toHaveLength(25);
    expect(states(alice).every((state) => state === "delivered")).toBe(true);
    expect(world.violations).toEqual([]);
  });

  test("conversations are bounded: idle ones are forgotten, and their numbers are never given out again", () => {
    const { world, alice, bob } = pair({ limits: { maxConversations: 1 } });
    bob.handle("note", () => "handled");
    const first = alice.send("note", bytes(1));
    world.run(1_000);
    expect(first.outcome?.state).toBe("delivered");
    const stranger = alice.id;
    const other = alice.delivery.enqueue(stranger, { type: "note", body: bytes(1) }, world.now);
    expect(other.number).toBeGreaterThan(first.outgoing.number);
    expect(() => alice.send("note", bytes(1))).toThrow(expect.objectContaining({ scope: "conversations" }));
    alice.delivery.cancel(other, world.now);
    const again = alice.send("note", bytes(1));
    world.run(1_000);
    expect(again.outgoing.number).toBeGreaterThan(other.number);
    expect(again.outcome?.state).toBe("delivered");
  });

  const leavers: [what: string, fields: Partial<MessageFields>][] = [
    ["of a message that was handled", { name: "note" }],
    ["of one that was rejected", { name: "fail" }],
    ["of one that waits for a handler", { name: "later" }],
    ["of one of which a part came", { name: "note", body: bytes(partBytes), partIndex: 0, totalBytes: 99_000 }],
    ["the reply to a request", { name: "ask", isRequest: true }],
  ];
  test.each(leavers)("P5: peers that left before they heard %s leave their places to others", (_, fields) => {
    const { world, alice, bob } = pair({ limits: { maxConversations: 8, defaultDeadlineMs: 3_600_000 } });
    bob.handle("note", () => "handled");
    bob.handle("fail", () => "failed");
    bob.handle("ask", (incoming) => {
      bob.delivery.reply(incoming, bytes(1), world.now);
      return "handled";
    });
    alice.isForged = true;
    for (let stranger = 11; stranger <= 18; stranger++) tell(bob, stranger, { remainingMs: 2 ** 40, ...fields });
    bob.turn();
    alice.isForged = false;
    const sent = alice.send("note", bytes(1));
    world.run(500_000);
    expect(sent.outcome).toBeUndefined();
    world.run(400_000);
    expect(sent.outcome?.state).toBe("delivered");
    expect(world.violations).toEqual([]);
  });

  test("P5: of what a peer leaves out so many gaps are remembered, and then only what closes one is taken in", () => {
    const { alice, bob } = pair();
    bob.handle("note", () => "handled");
    alice.isForged = true;
    for (let from = 2; from <= 20_000; from += 2_000) {
      tell(bob, 11, ...Array.from({ length: 1_000 }, (_, i) => ({ number: from + 2 * i, name: "note" })));
    }
    const before = bob.delivered.length;
    // In one envelope one more may come.
    expect(before).toBeLessThanOrEqual(8_193);
    tell(bob, 11, { number: 1 });
    tell(bob, 11, { number: 3 });
    expect(bob.delivered).toHaveLength(before + 2);
    const [marks] = bob.maps.get(peerIdFromTrustedBytes(bytes(32, 11)))!.epochs.values();
    expect(marks!.ranges.length / 2).toBeLessThanOrEqual(8_193);
  });

  test("beyond 64 epochs the oldest is forgotten, never one that a session names", () => {
    const { world, alice, bob } = pair();
    bob.handle("note", () => "handled");
    alice.send("note", bytes(1));
    world.run(200);
    const named = alice.epoch;
    const record = { id: "00".repeat(16), offerId: "11".repeat(16), theirEpoch: named, role: "initiator" } as never;
    bob.maps.insertSession(bob.maps.get(alice.id)!, {
      ...(record as SessionRecord),
      receiveKey: bytes(32),
      stamp: 1,
      createdAt: 1,
      counterLimit: 1,
    });
    alice.crash("lost", 10);
    world.run(20);
    const second = alice.epoch;
    for (let run = 0; run < 70; run++) {
      alice.send("note", bytes(1));
      world.run(200);
      alice.crash("lost", 10);
      world.run(20);
    }
    expect(bob.delivered).toHaveLength(71);
    const { epochs } = bob.maps.get(alice.id)!;
    expect([epochs.size, epochs.has(named), epochs.has(second)]).toEqual([64, true, false]);
  });

  test("a peer that breaks the format loses the rest of its envelope, nothing else", () => {
    const both = pair();
    acquaint(both);
    const { world, alice, bob } = both;
    world.tap = (envelope) => {
      // The first byte of the second message becomes a frame that nobody knows.
      if (envelope.from === alice.id) envelope.frames[envelope.frames.lastIndexOf(0x44)] = 0x3f;
      return true;
    };
    alice.send("note", bytes(1));
    alice.send("note", bytes(1));
    world.run(20);
    world.tap = () => true;
    world.run(2_000);
    expect(bob.faults.length).toBeGreaterThan(0);
    expect(states(alice)).toEqual(["delivered", "delivered"]);
    expect(world.violations).toEqual([]);
  });
});

describe("quiet", () => {
  test("P6: with no application traffic nothing is sent and nobody needs to be woken", () => {
    const both = pair();
    acquaint(both);
    const { world, alice, bob } = both;
    for (let i = 0; i < 100; i++)
      for (const peer of [alice, bob]) peer.send(i % 3 === 0 ? "ask" : "note", bytes(i), { request: i % 3 === 0 });
    world.run(60_000);
    const { sent } = world;
    world.run(3_600_000);
    expect(world.sent).toBe(sent);
    expect([alice.nextDeadline, bob.nextDeadline]).toEqual([Infinity, Infinity]);
  });

  test("a lone message costs two envelopes, a lone request three", () => {
    const both = pair();
    acquaint(both);
    const { world, alice } = both;
    let { sent } = world;
    alice.send("note", bytes(1));
    world.run(10_000);
    expect(world.sent - sent).toBe(2);
    sent = world.sent;
    alice.send("ask", bytes(1), { request: true });
    world.run(10_000);
    expect(world.sent - sent).toBe(3);
  });
});
