/** Mail that a peer finds when it comes back: both cores together, without the sender, who may be gone. */
import { createIdentity, defaultCryptoProvider, Mesgen } from "@egtp/mesgen";
import { MemorySessionStore, SessionMaps, type SessionStore } from "@egtp/session-store";
import type { PeerId } from "@egtp/wire";
import { expect, test } from "vitest";
import { Delivery, type DeliveryLimits, type Incoming, Mail, type Verdict } from "../src/delivery.ts";
import { Endpoint } from "../src/endpoint.ts";

const start = 1_800_000_000_000;

class Peer {
  readonly identity = createIdentity();
  store = new MemorySessionStore();
  readonly read: string[] = [];
  readonly incoming: Incoming[] = [];
  /** Its handlers do not return at once. */
  isSlow = false;
  endpoint = this.run(start);

  get id(): PeerId {
    return this.identity.peer;
  }

  /** Another run, above what was committed. */
  run(now: number, limits: Partial<DeliveryLimits> = {}, store?: SessionStore): Endpoint {
    this.store = this.store.snapshot();
    const random = (length: number) => defaultCryptoProvider.randomBytes(length);
    const maps = SessionMaps.open(store ?? this.store, { now, random, bornWithIdentity: true });
    const mesgen = new Mesgen({ identity: this.identity, maps });
    const sink = {
      deliver: (incoming: Incoming): Verdict => {
        const { body } = incoming;
        this.incoming.push(incoming);
        this.read.push(new TextDecoder().decode(body));
        return this.isSlow ? "pending" : "handled";
      },
      settled: () => {},
      replied: () => {},
      stored: () => {},
      room: () => {},
    };
    this.endpoint = new Endpoint({ mesgen, delivery: new Delivery({ epoch: mesgen.epoch, maps, sink, limits }), maps });
    return this.endpoint;
  }

  say(to: Peer, text: string, now: number): void {
    this.endpoint.delivery.enqueue(to.id, { type: "test/note", body: new TextEncoder().encode(text) }, now);
  }

  /** What leaves for the other one in a turn. */
  turn(to: Peer, now: number, isRelayed = false): Uint8Array[] {
    this.endpoint.settle(now);
    void this.endpoint.tick(now);
    const envelopes: Uint8Array[] = [];
    for (;;) {
      const envelope = this.endpoint.next(to.id, now, undefined, undefined, isRelayed);
      if (envelope === undefined) return envelopes;
      envelopes.push(envelope);
    }
  }
}

function exchange(from: Peer, to: Peer, now: number): void {
  for (let i = 0; i < 4; i++) {
    for (const [one, other] of [
      [from, to],
      [to, from],
    ] as const) {
      for (const envelope of one.turn(other, now + 30 * i)) other.endpoint.receive(envelope, now + 30 * i);
    }
  }
}

test("what has a commit of its own to wait for is not handed over after the one before", () => {
  const [alice, bob] = [new Peer(), new Peer()];
  bob.run(start, {}, { load: () => [], write: () => new Promise(() => {}), close: async () => {} });
  const commits = ["one", "two"].map((text) => {
    alice.store = new MemorySessionStore();
    alice.run(start + 1);
    alice.say(bob, text, start + 1);
    const [envelope] = alice.turn(bob, start + 1);
    const received = bob.endpoint.receive(envelope!, start + 1);
    return received.kind === "opened" ? received.held : undefined;
  });
  expect(commits).toEqual([expect.any(Promise), expect.any(Promise)]);
  bob.endpoint.resume(alice.id, start + 2);
  expect(bob.read).toEqual(["one"]);
  bob.endpoint.resume(alice.id, start + 2);
  expect(bob.read).toEqual(["one", "two"]);
});

test.each(["stopped", "killed after some seconds of quiet"])(
  "is read under the session that both had, by a peer that was %s",
  (end) => {
    const [alice, bob] = [new Peer(), new Peer()];
    for (const text of ["one", "two", "three"]) {
      alice.say(bob, text, start);
      exchange(alice, bob, start);
    }
    let now = start + 200;
    if (end === "stopped") {
      bob.endpoint.mesgen.lowerLimits();
      void bob.endpoint.maps.commit();
    } else {
      for (let i = 0; i < 7; i++) {
        now += 1_000;
        bob.turn(alice, now);
      }
    }
    for (const text of ["four", "five"]) alice.say(bob, text, now);
    const mail = alice.turn(bob, now, true);
    expect(mail).toHaveLength(1);
    bob.run(now + 1_000);
    expect(mail.map((envelope) => bob.endpoint.receive(envelope, now + 2_000).kind)).toEqual(["opened"]);
    expect(bob.read).toEqual(["one", "two", "three", "four", "five"]);
    // A copy of it, or of anything before, is worth nothing.
    for (const envelope of mail) bob.endpoint.receive(envelope, now + 2_000);
    expect(bob.read).toHaveLength(5);
  },
);

test.each(["under an offer", "under a session"])(
  "is read again when it comes again, %s, after there was no room for all that is in it",
  (carrier) => {
    const [alice, bob] = [new Peer(), new Peer()];
    if (carrier === "under a session") {
      for (const text of ["one", "two"]) {
        alice.say(bob, text, start);
        exchange(alice, bob, start);
      }
      bob.endpoint.mesgen.lowerLimits();
      void bob.endpoint.maps.commit();
      bob.read.length = bob.incoming.length = 0;
    }
    const now = start + 1_000;
    const mail: Uint8Array[] = [];
    for (const text of ["three", "four", "five"]) {
      alice.say(bob, text, now);
      mail.push(...alice.turn(bob, now, true));
    }
    expect(mail).toHaveLength(3);
    bob.isSlow = true;
    bob.run(now, { maxHeldMessages: 1 });
    const verdicts: boolean[][] = [[], [], []];
    const hand = (at: number): void => {
      bob.endpoint.receive(mail[at]!, now, undefined, new Mail((isTaken) => verdicts[at]!.push(isTaken)));
      bob.endpoint.resume(alice.id, now);
    };
    for (const at of [0, 1, 2]) hand(at);
    expect(bob.read).toEqual(["three"]);
    expect(verdicts).toEqual([[], [false], [false]]);
    for (const at of [1, 2]) {
      bob.endpoint.delivery.handled(bob.incoming.at(-1)!, now);
      bob.endpoint.settle(now);
      hand(at);
    }
    bob.endpoint.delivery.handled(bob.incoming.at(-1)!, now);
    bob.endpoint.settle(now);
    expect(bob.read).toEqual(["three", "four", "five"]);
    expect(verdicts).toEqual([[true], [false, true], [false, true]]);
    // And then no more.
    for (const at of [0, 1, 2]) hand(at);
    expect(bob.read).toHaveLength(3);
  },
);
