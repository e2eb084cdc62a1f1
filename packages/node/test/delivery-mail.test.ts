/** Delivery by way of mailboxes: what a relay says of envelopes, and when mail may be forgotten. */
import { FrameReader, partBytes } from "@egtp/wire";
import { describe, expect, test } from "vitest";
import { Mail } from "../src/delivery.ts";
import { announce, bytes, Mailbox, mailTo, type Peer, pair, type World } from "./delivery-pair.ts";

/** Two peers who know each other; bob is reached by way of a mailbox, alice directly. */
function mailing(): { world: World; alice: Peer; bob: Peer; mailbox: Mailbox } {
  const both = pair({ limits: { defaultDeadlineMs: 60_000 } });
  const { world, alice, bob } = both;
  bob.mailbox = new Mailbox(bob);
  for (const peer of [alice, bob]) peer.handle("note", () => "handled");
  alice.send("note", bytes(1));
  world.run(100);
  bob.send("note", bytes(1));
  world.run(100);
  expect(world.violations).toEqual([]);
  for (const peer of [alice, bob]) peer.delivered.length = peer.sent.length = 0;
  return { ...both, mailbox: bob.mailbox };
}

const hourMs = 3_600_000;

describe("a message for a peer that is away", () => {
  test("is told to be stored, is not sent again while it waits, and is delivered when the peer is back", () => {
    const { world, alice, bob, mailbox } = mailing();
    bob.crash("kept", hourMs);
    const sent = alice.send("note", bytes(5), { storedDeadlineAt: world.now + 24 * hourMs });
    const before = world.sent;
    world.run(hourMs / 2);
    expect(alice.stored).toEqual([sent.outgoing]);
    expect(sent.outgoing.stored).toMatchObject({ state: "stored", relay: mailbox.relay });
    // The rest asks after it.
    expect(world.sent - before).toBeLessThanOrEqual(1 + 8);
    expect(mailbox.letters.filter(({ flight }) => flight!.to > 0)).toHaveLength(1);
    world.run(hourMs);
    expect(sent.outcome).toEqual({ state: "delivered" });
    expect(bob.delivered).toHaveLength(1);
    expect(mailbox.letters).toEqual([]);
    expect(world.violations).toEqual([]);
  });

  test("has its name and the deadline that it has in a mailbox with it, and leaves once while its fate is not known", () => {
    const { world, alice, bob, mailbox } = mailing();
    for (let i = 0; i < 2; i++) {
      alice.send("note", bytes(1)); // Its name is known in this session.
      world.run(200);
    }
    bob.crash("kept", 10 * hourMs);
    mailbox.patienceMs = hourMs;
    alice.send("note", bytes(5), { deadlineAt: world.now + 50 * 60_000, storedDeadlineAt: world.now + 24 * hourMs });
    world.run(40 * 60_000);
    const reader = new FrameReader(new Uint8Array(0));
    const messages = mailbox.letters.flatMap(({ envelope }) => {
      const found = [];
      reader.reset(envelope.frames);
      while (reader.next()) if (reader.kind === "message") found.push([reader.name, reader.remainingMs]);
      return found;
    });
    expect(messages).toEqual([["note", 24 * hourMs]]);
    expect(mailbox.letters).toHaveLength(1);
  });

  test("is told to be stored when all its parts are, be they in one envelope or in several", () => {
    const { world, alice, bob } = mailing();
    bob.crash("kept", hourMs);
    const sent = [2, 3, 4, 9].map((parts) => alice.send("note", bytes(parts * partBytes)));
    world.run(hourMs / 2);
    expect(new Set(alice.stored)).toEqual(new Set(sent.map(({ outgoing }) => outgoing)));
    world.run(hourMs);
    expect(bob.delivered).toHaveLength(4);
    expect(world.violations).toEqual([]);
  });

  test("lives as long as the mailbox keeps it when no deadline was asked for, else no longer than its deadline", () => {
    const { world, alice, bob } = mailing();
    bob.crash("kept", 10 * hourMs);
    const patient = alice.send("note", bytes(5), { storedDeadlineAt: world.now + 24 * hourMs });
    const urgent = alice.send("note", bytes(5), { deadlineAt: world.now + 5_000 });
    world.run(hourMs / 2);
    expect(urgent.outcome).toEqual({ state: "expired" });
    expect(patient.outcome).toBeUndefined();
    world.run(hourMs);
    expect(patient.outcome).toEqual({ state: "expired" });
  });

  test("names its type, so that a run of the peer that knows nothing can place it, and its sender may be gone", () => {
    const { world, alice, bob } = mailing();
    bob.crash("kept", 2_000);
    alice.send("note", bytes(5));
    alice.send("note", bytes(6));
    world.run(1_000);
    alice.crash("lost", hourMs);
    world.run(5_000);
    expect(bob.unplaced).toBe(0);
    expect(bob.delivered.map(({ body }) => body.length)).toEqual([5, 6]);
  });

  test("that it cannot read leaves again, although the relay says only after that that it keeps it", () => {
    const { world, alice, bob, mailbox } = mailing();
    bob.crash("kept", hourMs);
    alice.send("note", bytes(5));
    world.run(20);
    const [{ envelope, flight }] = mailbox.letters as [(typeof mailbox.letters)[number]];
    alice.delivery.carrierLost(bob.id, [envelope.session.id], world.now);
    const stored = { state: "stored", relay: mailbox.relay, until: world.now + hourMs } as const;
    alice.delivery.stored(bob.id, flight!, stored, world.now);
    alice.turn();
    world.run(20);
    expect(mailbox.letters).toHaveLength(2);
    expect(alice.stored).toEqual([]);
  });

  test("is stored when delivery is closed", () => {
    const { world, alice, bob } = mailing();
    bob.crash("kept", hourMs);
    const sent = alice.send("note", bytes(5));
    world.run(1_000);
    alice.delivery.close();
    expect(sent.outcome).toMatchObject({ state: "stored" });
  });

  test.each([
    ["handled", { state: "delivered" }],
    ["failed", { state: "rejected", reason: "handler-failed" }],
  ] as const)("that was %s is told once more when the relay was lost that took the answer", (verdict, outcome) => {
    const { world, alice, bob } = mailing();
    bob.handle("note", () => verdict);
    bob.crash("kept", 2_000);
    const sent = alice.send("note", bytes(5), { storedDeadlineAt: world.now + 24 * hourMs });
    world.run(1_000);
    expect(alice.stored).toHaveLength(1);
    const mailbox = new Mailbox(alice);
    alice.mailbox = mailbox;
    mailbox.pollMs = hourMs;
    mailbox.patienceMs = hourMs;
    world.run(3_000);
    expect(bob.delivered).toHaveLength(1);
    const [{ flight }] = mailbox.letters.splice(0) as [(typeof mailbox.letters)[number]];
    mailbox.pollMs = 0;
    expect(sent.outcome).toBeUndefined();
    bob.delivery.lost(alice.id, flight!, world.now);
    bob.turn();
    world.run(1_000);
    expect(sent.outcome).toEqual(outcome);
    expect(bob.delivered).toHaveLength(1);
    expect(world.violations).toEqual([]);
  });

  test("whose answer a relay loses again and again is not answered without end", () => {
    const { world, alice, bob } = mailing();
    bob.crash("kept", 5_000);
    alice.send("note", bytes(5), { storedDeadlineAt: world.now + 24 * hourMs });
    world.run(1_000);
    // Nobody asks again.
    alice.crash("lost", 10 * hourMs);
    const mailbox = new Mailbox(alice);
    alice.mailbox = mailbox;
    mailbox.pollMs = hourMs;
    mailbox.patienceMs = hourMs;
    world.run(10_000);
    let answers = 0;
    for (let i = 0; i < 30; i++) {
      for (const { flight } of mailbox.letters.splice(0)) {
        answers++;
        bob.delivery.lost(alice.id, flight!, world.now);
      }
      bob.turn();
      world.run(1_000);
    }
    expect(answers).toBeGreaterThan(2);
    expect(answers).toBeLessThan(12);
    expect(mailbox.letters).toEqual([]);
  });

  test("that the mailbox lost is sent again once the peer is heard", () => {
    const { world, alice, bob, mailbox } = mailing();
    bob.crash("kept", 3_000);
    const sent = alice.send("note", bytes(5), { storedDeadlineAt: world.now + 24 * hourMs });
    world.run(1_000);
    expect(mailbox.letters).toHaveLength(1);
    mailbox.letters.length = 0;
    world.run(3_500);
    expect(sent.outcome).toBeUndefined();
    bob.send("note", bytes(1));
    world.run(2_000);
    expect(sent.outcome).toEqual({ state: "delivered" });
    expect(world.violations).toEqual([]);
  });

  test("that the mailbox threw away is sent again though the peer has nothing to say: it is asked", () => {
    const { world, alice, bob, mailbox } = mailing();
    bob.crash("kept", 60_000);
    const sent = alice.send("note", bytes(5), { storedDeadlineAt: world.now + 24 * hourMs });
    world.run(1_000);
    mailbox.letters.length = 0;
    world.run(hourMs);
    expect(sent.outcome).toEqual({ state: "delivered" });
    expect(world.violations).toEqual([]);
  });

  test("is asked after only a few times while the peer is silent, and again a few times when it was heard since", () => {
    const { world, alice, bob, mailbox } = mailing();
    const rounds = [1, 2].map(() => {
      bob.crash("kept", 2 * hourMs);
      alice.send("note", bytes(5), { storedDeadlineAt: world.now + 24 * hourMs });
      const unheard: number[] = [];
      for (let i = 0; i < 3_600; i++) {
        world.run(1_000);
        unheard.push(...alice.delivery.takeUnheard().map(() => i + 1));
      }
      expect(mailbox.letters).toHaveLength(1 + 8);
      world.run(2 * hourMs);
      expect(mailbox.letters).toEqual([]);
      return unheard;
    });
    // Told with every other: by another way it might be heard.
    for (const asked of rounds) expect(asked).toEqual([6, 21, 81, 321]);
    expect(world.violations).toEqual([]);
  });

  test("that the mailbox lost is sent again although what is said to the peer meanwhile lies in mailboxes, too", () => {
    const { world, alice, bob, mailbox } = mailing();
    bob.crash("kept", 5_000);
    const sent = alice.send("note", bytes(5), { storedDeadlineAt: world.now + 24 * hourMs });
    world.run(1_000);
    mailbox.letters.length = 0;
    // From now on bob collects his mail only now and then.
    mailbox.patienceMs = 0;
    mailbox.pollMs = 2_000;
    world.run(5_000);
    bob.send("note", bytes(1));
    world.run(10_000);
    expect(sent.outcome).toEqual({ state: "delivered" });
    expect(world.violations).toEqual([]);
  });
});

describe("a relay that does not take an envelope", () => {
  test("leaves its messages as if they had never left: they go when it takes them", () => {
    const { world, alice, mailbox } = mailing();
    mailbox.refuses = 1;
    const sent = alice.send("note", bytes(5));
    world.run(12);
    mailbox.refuses = 0;
    world.run(1_000);
    expect(sent.outcome).toEqual({ state: "delivered" });
  });

  test("rejects them when there is no other way", () => {
    const { world, alice, bob, mailbox } = mailing();
    mailbox.refuses = 1;
    const sent = alice.send("note", bytes(5), { failFast: true });
    const large = alice.send("note", bytes(3 * partBytes), { failFast: true });
    const patient = alice.send("note", bytes(6));
    world.at(9, () => alice.unlink());
    world.at(11, () => {
      alice.delivery.unreachable(
        bob.id,
        [{ strategy: "relay", error: new Error("full"), rejected: "quota" }],
        world.now,
      );
    });
    world.run(100);
    for (const each of [sent, large]) expect(each.outcome).toEqual({ state: "rejected", reason: "quota" });
    expect(patient.outcome).toBeUndefined();
  });
});

test("what must fail fast and lies in a mailbox hurries nobody: what else waits is tried at its own pace", () => {
  const { world, alice, bob } = mailing();
  bob.crash("kept", hourMs);
  alice.send("note", bytes(5), { failFast: true, storedDeadlineAt: world.now + hourMs });
  world.run(1_000);
  expect(alice.stored).toHaveLength(1);
  alice.unlink();
  alice.send("note", bytes(6));
  alice.delivery.unreachable(bob.id, [{ strategy: "relay", error: new Error("full") }], world.now);
  expect(alice.delivery.mustFailFast(bob.id)).toBe(false);
  const hurried = alice.send("note", bytes(7), { failFast: true });
  expect(alice.delivery.mustFailFast(bob.id)).toBe(true);
  alice.delivery.unreachable(bob.id, [{ strategy: "relay", error: new Error("full") }], world.now);
  expect(hurried.outcome).toMatchObject({ state: "unreachable" });
});

describe("mail may be forgotten", () => {
  test("when its messages are handled and the marks of them kept, no earlier", () => {
    const { world, bob, alice, mailbox } = mailing();
    bob.commitMs = 300;
    bob.handleLater("slow", () => 500);
    alice.send("slow", bytes(5));
    alice.send("note", bytes(5));
    world.run(700);
    expect(bob.delivered).toHaveLength(2);
    expect(mailbox.letters).toHaveLength(1);
    world.run(200);
    expect(mailbox.letters).toHaveLength(0);
  });

  test("not when the peer crashed before that: the next run gets it, although the sender is gone", () => {
    const { world, bob, alice } = mailing();
    bob.handleLater("slow", () => 500);
    alice.send("slow", bytes(5));
    world.run(100);
    alice.crash("lost", hourMs);
    bob.crash("kept", 100);
    world.run(2_000);
    expect(bob.delivered.map(({ type }) => type)).toEqual(["slow", "slow"]);
    expect(new Set(bob.delivered.map(({ id }) => id)).size).toBe(1);
    expect(world.violations).toEqual([]);
  });

  test("not while a part of a message is missing: all parts are there again for the next run", () => {
    const { world, bob, alice, mailbox } = mailing();
    bob.crash("kept", 1_000);
    alice.send("note", bytes(20 * partBytes));
    world.run(500);
    const letters = mailbox.letters.splice(0);
    expect(letters.length).toBeGreaterThan(3);
    alice.crash("lost", hourMs);
    mailbox.letters.push(...letters.slice(0, -1));
    world.run(2_000);
    expect(bob.delivered).toEqual([]);
    expect(mailbox.letters).toHaveLength(letters.length - 1);
    bob.crash("kept", 100);
    mailbox.letters.push(...letters.slice(-1));
    world.run(2_000);
    expect(bob.delivered.map(({ body }) => body.length)).toEqual([20 * partBytes]);
    expect(mailbox.letters).toEqual([]);
  });

  test("not while the handler of a message works of which other parts came in other mail", () => {
    const { world, alice, bob, mailbox } = mailing();
    bob.handleLater("slow", () => 500);
    alice.send("slow", bytes(20 * partBytes));
    world.run(300);
    expect(bob.delivered).toHaveLength(1);
    // Those with parts: some may have carried nothing but receipts.
    const parts = mailbox.letters.filter(({ flight }) => flight!.to > flight!.from);
    expect(parts.length).toBeGreaterThan(3);
    world.run(400);
    expect(mailbox.letters).toEqual([]);
    expect(world.violations).toEqual([]);
  });

  test("not when the name of a type in it is unknown: a later run of its sender may be gone", () => {
    const { alice, bob } = pair();
    bob.handle("note", () => "handled");
    alice.isForged = true;
    const taken: boolean[] = [];
    mailTo(bob, 11, new Mail((isTaken) => taken.push(isTaken)), { number: 1 });
    mailTo(bob, 11, new Mail((isTaken) => taken.push(isTaken)), { number: 1, name: "note" });
    bob.turn();
    expect(taken).toEqual([false, true]);
  });

  test("not when there was no room for a message in it", () => {
    const { world, alice, bob } = pair({ limits: { maxHeldMessages: 1 } });
    const mailbox = new Mailbox(bob);
    bob.mailbox = mailbox;
    bob.handleLater("slow", () => 400);
    alice.send("slow", bytes(1));
    world.run(100);
    alice.send("slow", bytes(2));
    world.run(200);
    expect(mailbox.letters).toHaveLength(2);
    world.run(5_000);
    expect(mailbox.letters).toEqual([]);
    expect(bob.delivered).toHaveLength(2);
  });

  test("not when what was in it made room for others before a handler took it", () => {
    const { world, alice, bob } = pair({ limits: { maxHeldBytesTotal: 80_000 } });
    const mailbox = new Mailbox(bob);
    bob.mailbox = mailbox;
    for (const size of [40_000, 1_000]) alice.send("later", bytes(size), { deadlineAt: world.now + hourMs });
    world.run(100);
    announce(bob, 11, 39_500);
    bob.handle("later", () => "handled");
    expect(bob.delivered).toHaveLength(0);
    // The mailbox hands it over again: its sender may be gone.
    world.tap = ({ from }) => from !== alice.id;
    world.run(500);
    expect(bob.delivered).toHaveLength(2);
    expect(mailbox.letters).toEqual([]);
    expect(world.violations).toEqual([]);
  });
});

test("messages of up to five parts keep their order among small ones", () => {
  const { world, alice, bob } = mailing();
  const sizes = [10, 5 * partBytes, 20, 3 * partBytes, 30, 2 * partBytes, 40];
  for (const size of sizes) alice.send("note", bytes(size));
  world.run(1_000);
  expect(bob.delivered.map(({ body }) => body.length)).toEqual(sizes);
});
