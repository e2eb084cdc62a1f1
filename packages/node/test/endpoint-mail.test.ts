/** Mail that a peer finds when it comes back: both cores together, without the sender, who may be gone. */
import { createIdentity, defaultCryptoProvider, Mesgen } from "@egtp/mesgen";
import { MemorySessionStore, SessionMaps } from "@egtp/session-store";
import type { PeerId } from "@egtp/wire";
import { expect, test } from "vitest";
import { Delivery } from "../src/delivery.ts";
import { Endpoint } from "../src/endpoint.ts";

const start = 1_800_000_000_000;

class Peer {
  readonly identity = createIdentity();
  store = new MemorySessionStore();
  readonly read: string[] = [];
  endpoint = this.run(start);

  get id(): PeerId {
    return this.identity.peer;
  }

  /** Another run, above what was committed. */
  run(now: number): Endpoint {
    this.store = this.store.snapshot();
    const random = (length: number) => defaultCryptoProvider.randomBytes(length);
    const maps = SessionMaps.open(this.store, { now, random, bornWithIdentity: true });
    const mesgen = new Mesgen({ identity: this.identity, maps });
    const sink = {
      deliver: ({ body }: { readonly body: Uint8Array }) => {
        this.read.push(new TextDecoder().decode(body));
        return "handled" as const;
      },
      settled: () => {},
      replied: () => {},
      stored: () => {},
      room: () => {},
    };
    this.endpoint = new Endpoint({ mesgen, delivery: new Delivery({ epoch: mesgen.epoch, maps, sink }), maps });
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
