import {
  counterLimit,
  decodeEnvelope,
  type Epoch,
  maxPlaintextBytes,
  type OfferId,
  type SessionId,
  toHex,
} from "@egtp/wire";
import { describe, expect, it } from "vitest";
import { withControl } from "../src/control-frames.ts";
import {
  type CryptoProvider,
  createIdentity,
  defaultCryptoProvider,
  identityFromSeed,
  MesgenError,
} from "../src/index.ts";
import { createPeerState, noteEpoch } from "../src/peer-state.ts";
import {
  establishedPair,
  fingerprint,
  opened,
  strangers,
  TestPeer,
  type TestPeerOptions,
  textFrame,
  textsOf,
  typeOf,
} from "./peers.ts";

const now = 1_800_000_000_000;
const dayMs = 24 * 60 * 60 * 1000;

/** As if it came under a session that nobody here knows. */
function withOtherSession(envelope: Uint8Array): Uint8Array {
  return envelope.map((byte, i) => (i === 40 ? byte ^ 1 : byte));
}

describe("first contact", () => {
  it("delivers the first message without a round trip, early", () => {
    const { leader, follower } = strangers();
    const result = opened(follower.hear(leader.say(follower, "hello", now), now));
    expect(result).toMatchObject({ peer: leader.id, early: true, mustCommit: true });
    expect(follower.read).toEqual(["hello"]);
  });

  it("is established after one round trip, and then carries no handshake", () => {
    const { leader, follower } = strangers();
    const offer = leader.say(follower, "1", now);
    follower.hear(offer, now);
    const acceptance = follower.say(leader, "2", now);
    const result = opened(leader.hear(acceptance, now));
    expect(result.early).toBe(false);
    const data = leader.say(follower, "3", now);
    expect(opened(follower.hear(data, now)).early).toBe(false);
    const back = follower.say(leader, "4", now);
    leader.hear(back, now);
    expect([offer, acceptance, data, back].map(typeOf)).toEqual(["offer", "acceptance", "data", "data"]);
    expect(leader.mesgen.sessions(follower.id)).toHaveLength(1);
    expect(follower.mesgen.sessions(leader.id)).toHaveLength(1);
    expect(follower.read).toEqual(["1", "3"]);
    expect(leader.read).toEqual(["2", "4"]);
  });

  it("owes the acceptance at once, also when nobody has anything to say", () => {
    const { leader, follower } = strangers();
    follower.hear(leader.control(follower, now), now);
    const [acceptance] = follower.owed(leader, now);
    leader.hear(acceptance as Uint8Array, now);
    expect(leader.mesgen.sessions(follower.id)[0]).toMatchObject({ sends: true, confirmed: true });
    expect(leader.owed(follower, now)).toEqual([]);
    expect(leader.maps.get(follower.id)?.pending).toBeUndefined();
  });

  it("R3: further envelopes before the acceptance carry the same offer, byte for byte", () => {
    const { leader, follower } = strangers();
    const offers = ["1", "2", "3"].map((text) => decodeEnvelope(leader.say(follower, text, now)));
    expect(offers[1]?.handshake).toEqual(offers[0]?.handshake);
    expect(offers[2]?.handshake).toEqual(offers[0]?.handshake);
    expect(offers.map(({ counter }) => counter)).toEqual([0, 1, 2]);
  });

  it("is refused under the wrong ID, for oneself, and for an ID without a usable key", () => {
    const { leader, follower } = strangers();
    const third = new TestPeer();
    expect(third.hear(leader.say(follower, "x", now), now)).toMatchObject({ kind: "dropped", reason: "forged" });
    expect(() => leader.mesgen.carrier(leader.id, now, { application: true })).toThrow(MesgenError);
    expect(leader.hear(leader.say(follower, "x", now), now)).toMatchObject({ kind: "dropped", reason: "own" });
  });
});

describe("fresh offers", () => {
  it("b: a first contact stamped within a day after the birth of the store is stale, and healed by the answer", () => {
    const follower = new TestPeer({ born: now - 1_000 });
    const leader = new TestPeer();
    const result = follower.hear(leader.say(follower, "m", now), now);
    expect(result).toMatchObject({ kind: "unreadable", peer: leader.id });
    const [answer] = follower.owed(leader, now);
    const vouched = opened(leader.hear(answer as Uint8Array, now));
    expect(vouched.lost).toHaveLength(1);
    follower.hear(leader.say(follower, "m", now), now);
    expect(follower.read).toEqual(["m"]);
  });

  it("b: a store born with its identity has no birth to doubt", () => {
    const follower = new TestPeer({ born: now, bornWithIdentity: true });
    const leader = new TestPeer();
    follower.hear(leader.say(follower, "m", now), now);
    expect(follower.read).toEqual(["m"]);
  });

  it("b: a stamp more than a day ahead is stale", () => {
    const { leader, follower } = strangers();
    expect(follower.hear(leader.say(follower, "m", now + 2 * dayMs), now).kind).toBe("unreadable");
    expect(follower.read).toEqual([]);
  });

  it("a: a stamp more than a thousand years ahead is stale, though it names my store's tag", () => {
    const { leader, follower } = establishedPair(now);
    leader.restart(now);
    const far = now + 1_001 * 365 * dayMs;
    expect(follower.hear(leader.say(follower, "from far away", far), now).kind).toBe("unreadable");
    expect(follower.read).toEqual([]);
  });

  it("one that comes after a newer one of the same peer is accepted behind that", () => {
    const { leader, follower } = establishedPair(now);
    const [older, newer] = [1, 2].map((later) => {
      leader.restart(now + later);
      return leader.say(follower, `${later}`, now + later);
    }) as [Uint8Array, Uint8Array];
    follower.hear(newer, now + 3);
    const front = follower.mesgen.preferred(leader.id, now + 3);
    opened(follower.hear(older, now + 3));
    expect(follower.mesgen.preferred(leader.id, now + 3)).toBe(front);
    expect(follower.read).toEqual(["2", "1"]);
    follower.mesgen.tick(now + 3 + 60_000);
    expect(follower.mesgen.sessions(leader.id).map(({ sends }) => sends)).toEqual([true, false, false]);
  });

  it("one of another store says that the peer started anew, though it was not heard in this run", () => {
    const { leader, follower } = establishedPair(now);
    void leader.maps.commit();
    leader.restart(now);
    follower.forgetEverything(now);
    expect(opened(leader.hear(follower.say(leader, "new", now), now)).restarted).toBe(true);
  });

  it("a: an offer that names my store's tag needs no clock", () => {
    const { leader, follower } = establishedPair(now);
    leader.restart(now);
    follower.hear(leader.say(follower, "from the past", now - 30 * dayMs), now);
    expect(follower.read).toEqual(["from the past"]);
  });

  it("a: the tag of a store that was lost makes every older offer stale, whatever the clocks say", () => {
    const { leader, follower } = establishedPair(now);
    leader.restart(now);
    const offer = leader.say(follower, "old", now);
    follower.forgetEverything(now - 40 * dayMs);
    expect(follower.hear(offer, now).kind).toBe("unreadable");
    expect(follower.read).toEqual([]);
  });

  it("c: refuses lower counters of an offer that was vouched for", () => {
    const { leader, follower } = establishedPair(now);
    leader.forgetEverything(now);
    const lost = follower.say(leader, "lost", now);
    // The leader, born just now, finds the follower's message unreadable and offers; the follower restarted meanwhile.
    leader.hear(lost, now);
    const [answer] = leader.owed(follower, now);
    follower.forgetEverything(now);
    const before = follower.say(leader, "before the answer was seen", now);
    follower.hear(answer as Uint8Array, now);
    const after = follower.say(leader, "after", now);
    expect(opened(leader.hear(after, now)).early).toBe(true);
    expect(leader.hear(before, now)).toMatchObject({ kind: "dropped", reason: "replay" });
    expect(leader.read).toEqual(["after"]);
  });

  it("c: an offer vouches for one offer of the peer only", () => {
    const { leader, follower } = strangers({ born: now });
    const [first, second] = ["1", "2"].map((text) => follower.say(leader, text, now));
    for (const [envelope, kind] of [
      [first, "opened"],
      [second, "unreadable"],
    ] as const) {
      // Each time the leader is new, and can name the follower's offer, but cannot judge it.
      leader.forgetEverything(now);
      expect(leader.hear(envelope as Uint8Array, now).kind).toBe("unreadable");
      expect(follower.hear(leader.owed(follower, now)[0] as Uint8Array, now).kind).toBe(kind);
    }
  });

  it("stamps increase with every offer, above the birth of the store, whatever the clock says", () => {
    const [maker, one, other] = [new TestPeer({ born: now + 5_000 }), new TestPeer(), new TestPeer()];
    const stamps = [one, other].map((peer) => {
      maker.say(peer, "x", now);
      return maker.maps.get(peer.id)?.pending?.stamp as number;
    });
    expect(stamps[0]).toBeGreaterThan(now + 5_000);
    expect(stamps[1]).toBeGreaterThan(stamps[0] as number);
  });

  it("stamps are above the floor that the peer told, though the clock is far behind", () => {
    const { leader, follower } = strangers();
    for (let i = 0; i < 18; i++) {
      leader.restart(now + i);
      follower.hear(leader.say(follower, "x", now + i), now + i);
    }
    const early = now - 40 * dayMs;
    leader.forgetEverything(early);
    expect(follower.hear(leader.say(follower, "stale", early), now).kind).toBe("unreadable");
    const [answer] = follower.owed(leader, now);
    const { lost } = opened(leader.hear(answer as Uint8Array, early));
    expect(lost).toHaveLength(1);
    const maker = leader.maps.get(follower.id);
    expect(maker?.minStamp).toBeGreaterThan(now);
    leader.restart(early);
    follower.hear(leader.say(follower, "fresh", early), now);
    expect(follower.read.at(-1)).toBe("fresh");
    const stamp = leader.maps.get(follower.id)?.pending?.stamp as number;
    void leader.maps.commit();
    leader.restart(early);
    leader.say(follower, "fresher", early);
    expect(leader.maps.get(follower.id)?.pending?.stamp).toBeGreaterThan(stamp);
  });

  const floors = [now + 365 * dayMs, Number.MAX_SAFE_INTEGER];
  it.each(floors)(
    "a floor that a peer tells counts for that peer alone, and what is kept stays readable: %s",
    (floor) => {
      const [victim, liar, other] = [new TestPeer(), new TestPeer(), new TestPeer()];
      victim.say(liar, "x", now);
      const named = { id: victim.maps.get(liar.id)!.pending!.id, vouch: { tag: liar.maps.tag, floor } };
      const carrier = liar.mesgen.carrier(victim.id, now, { application: true });
      victim.hear(liar.mesgen.seal(carrier, withControl([named], undefined, textFrame("a lie")), now), now);
      expect(victim.read).toEqual(["a lie"]);
      void victim.maps.commit();
      victim.restart(now);
      expect(victim.maps.damaged).toEqual([]);
      expect(victim.maps.get(liar.id)?.minStamp).toBe(floor === Number.MAX_SAFE_INTEGER ? 0 : floor + 1);
      victim.say(liar, "on an offer", now);
      other.hear(victim.say(other, "at once", now), now);
      expect(other.read).toEqual(["at once"]);
    },
  );

  it("an offer is accepted once: its replay is a duplicate, also after a restart", () => {
    const { leader, follower } = strangers();
    const offer = leader.say(follower, "once", now);
    follower.hear(offer, now);
    expect(follower.hear(offer, now)).toMatchObject({ kind: "dropped", reason: "replay" });
    follower.restart(now);
    expect(follower.hear(offer, now).kind).not.toBe("opened");
    expect(follower.read).toEqual(["once"]);
  });

  it("the floor rises with the offers that are forgotten", () => {
    const follower = new TestPeer();
    const leader = new TestPeer();
    const offers: Uint8Array[] = [];
    for (let i = 0; i < 18; i++) {
      leader.restart(now + i);
      offers.push(leader.say(follower, `${i}`, now + i));
      follower.hear(offers[i] as Uint8Array, now + i);
    }
    expect(follower.maps.get(leader.id)?.accepted).toHaveLength(16);
    expect(follower.maps.get(leader.id)?.sessions).toHaveLength(10);
    // The second is the last that was forgotten: its stamp is the floor.
    for (const offer of offers) expect(follower.hear(offer, now + 20).kind).not.toBe("opened");
    expect(follower.read).toHaveLength(18);
  });
});

describe("a forgotten session", () => {
  it("R1, R2, P7: heals in one extra round trip, at one offer, and everything under it is named as lost", () => {
    const { leader, follower } = establishedPair(now);
    for (const [survivor, forgetter] of [
      [leader, follower],
      [follower, leader],
    ] as const) {
      forgetter.forgetEverything(now);
      const dead = survivor.mesgen.preferred(forgetter.id, now);
      const inFlight = ["a", "b", "c"].map((text) => survivor.say(forgetter, text, now));
      for (const envelope of inFlight) expect(forgetter.hear(envelope, now).kind).toBe("unreadable");
      const answers = forgetter.owed(survivor, now);
      expect(answers).toHaveLength(1);
      // A young survivor cannot tell a first contact from a replay: it names the offer in one of its own, at no further cost.
      const result = survivor.hear(answers[0] as Uint8Array, now);
      expect(result).toMatchObject(survivor === leader ? { kind: "opened", restarted: true } : { kind: "unreadable" });
      expect(result).toMatchObject({ lost: [dead] });
      const again = survivor.say(forgetter, "abc", now);
      expect(typeOf(again)).toBe(survivor === leader ? "acceptance" : "offer");
      forgetter.hear(again, now);
      expect(forgetter.read).toEqual(["abc"]);
      survivor.hear(forgetter.say(survivor, "def", now), now);
      expect(survivor.mesgen.preferred(forgetter.id, now)).toBe(forgetter.mesgen.preferred(survivor.id, now));
      survivor.read.length = 0;
      forgetter.read.length = 0;
    }
  });

  it("P7: what was under way when it healed costs no further offer", () => {
    const { leader: survivor, follower: forgetter } = strangers({ born: now - 1_000 });
    const talk = (from: TestPeer, to: TestPeer) => to.hear(from.say(to, "x", now), now);
    for (let i = 0; i < 3; i++) {
      talk(forgetter, survivor);
      talk(survivor, forgetter);
    }
    const later = now + 60_000;
    const [first, second] = ["1", "2"].map((text) => survivor.say(forgetter, text, later));
    expect(typeOf(first as Uint8Array)).toBe("data");
    forgetter.forgetEverything(later);
    forgetter.hear(first as Uint8Array, later);
    // The survivor is young: it cannot judge the offer, and answers with its own, which says so.
    survivor.hear(forgetter.owed(survivor, later)[0] as Uint8Array, later);
    opened(forgetter.hear(survivor.owed(forgetter, later)[0] as Uint8Array, later));
    const acceptance = forgetter.owed(survivor, later)[0] as Uint8Array;
    expect(typeOf(acceptance)).toBe("acceptance");
    const { handshakes } = forgetter.mesgen;
    expect(forgetter.hear(second as Uint8Array, later).kind).toBe("unreadable");
    survivor.hear(acceptance, later);
    survivor.hear(forgetter.owed(survivor, later + 500)[0] as Uint8Array, later + 500);
    talk(survivor, forgetter);
    talk(forgetter, survivor);
    expect(forgetter.mesgen.due(later + dayMs)).toEqual([]);
    expect(forgetter.mesgen.handshakes).toBe(handshakes);
  });

  it("P9: any number of unreadable envelopes within the interval give one answer and one handshake", () => {
    const { leader, follower } = establishedPair(now);
    follower.forgetEverything(now);
    const handshakes = follower.mesgen.handshakes;
    const answers: Uint8Array[] = [];
    for (let i = 0; i < 50; i++) {
      follower.hear(leader.say(follower, `${i}`, now), now + i);
      answers.push(...follower.owed(leader, now + i));
    }
    expect(answers).toHaveLength(1);
    for (let i = 0; i < 50; i++) {
      follower.hear(leader.say(follower, `${i}`, now), now + 2_000 + i);
      answers.push(...follower.owed(leader, now + 2_000 + i));
    }
    expect(answers).toHaveLength(2);
    expect(follower.mesgen.handshakes - handshakes).toBe(1);
    const [first, second] = answers.map((answer) => decodeEnvelope(answer).handshake);
    expect(second).toEqual(first);
  });

  it("the limiter delays an answer, it does not drop it", () => {
    const { leader, follower } = establishedPair(now);
    follower.forgetEverything(now);
    follower.hear(leader.say(follower, "1", now), now);
    follower.owed(leader, now);
    follower.hear(leader.say(follower, "2", now), now + 10);
    expect(follower.owed(leader, now + 10)).toEqual([]);
    const at = follower.mesgen.nextDeadline as number;
    expect(at).toBe(now + 500);
    expect(follower.owed(leader, at)).toHaveLength(1);
  });

  it("a clock that goes back does not silence the answers", () => {
    const { leader, follower } = establishedPair(now);
    const unknown = () => withOtherSession(follower.say(leader, "x", now));
    for (const at of [now, now - dayMs]) {
      leader.hear(unknown(), at);
      expect(leader.owed(follower, at)).toHaveLength(1);
    }
  });

  it("R3: is answered under the front session while that was confirmed in this run, without an offer", () => {
    const { leader, follower } = establishedPair(now);
    const third = establishedPair(now).leader;
    // An unreadable envelope that claims to be the leader's.
    const forged = third.say(follower, "x", now).slice();
    forged.set(leader.identity.keys.publicKey, 2);
    forged[0] = 0x11;
    expect(follower.hear(forged.subarray(0, 200), now).kind).toBe("unreadable");
    const before = fingerprint(follower);
    const [answer] = follower.owed(leader, now);
    expect(typeOf(answer as Uint8Array)).toBe("data");
    const result = opened(leader.hear(answer as Uint8Array, now));
    expect(result.lost).toEqual([]);
    const [receipt] = leader.owed(follower, now);
    follower.hear(receipt as Uint8Array, now);
    expect(follower.mesgen.due(now + dayMs)).toEqual([]);
    expect(fingerprint(follower)).toBe(before);
    expect(follower.maps.get(leader.id)?.pending).toBeUndefined();
  });

  it("an offer follows when nothing authentic came back under the session within one retransmission time", () => {
    const { leader, follower } = establishedPair(now);
    const unknown = leader.say(follower, "x", now).slice();
    unknown[40] = (unknown[40] as number) ^ 1;
    follower.hear(unknown, now);
    expect(typeOf(follower.owed(leader, now)[0] as Uint8Array)).toBe("data");
    const at = follower.mesgen.nextDeadline as number;
    expect(typeOf(follower.owed(leader, at)[0] as Uint8Array)).toBe("offer");
    // R6: so does the next ordinary message.
    expect(typeOf(follower.say(leader, "y", at))).toBe("offer");
  });

  it("an offer follows also when an older envelope under that session came late, before the answer", () => {
    const { leader, follower } = establishedPair(now);
    const late = follower.say(leader, "late", now);
    const unknown = withOtherSession(follower.say(leader, "x", now));
    expect(leader.hear(unknown, now).kind).toBe("unreadable");
    opened(leader.hear(late, now));
    expect(leader.owed(follower, now).map(typeOf)).toEqual(["data"]);
    expect(leader.owed(follower, now + 1_000).map(typeOf)).toEqual(["offer"]);
  });

  it("a younger offer of ours outlives that an older session is confirmed", () => {
    const { leader, follower } = strangers();
    leader.hear(follower.say(leader, "offer", now), now);
    follower.hear(leader.say(follower, "acceptance", now), now);
    const confirming = follower.say(leader, "confirms", now);
    leader.hear(withOtherSession(follower.say(leader, "x", now)), now);
    const [offer] = leader.owed(follower, now) as [Uint8Array];
    expect(typeOf(offer)).toBe("offer");
    follower.hear(offer, now);
    const [acceptance] = follower.owed(leader, now) as [Uint8Array];
    opened(leader.hear(confirming, now));
    opened(leader.hear(acceptance, now));
    expect(leader.mesgen.preferred(follower.id, now)).toBe(follower.mesgen.preferred(leader.id, now));
  });

  it("R6: the next ordinary message carries the full header too", () => {
    const { leader, follower } = establishedPair(now);
    follower.forgetEverything(now);
    follower.hear(leader.say(follower, "lost", now), now);
    const ordinary = follower.say(leader, "hello", now);
    expect(typeOf(ordinary)).toBe("offer");
    const result = opened(leader.hear(ordinary, now));
    expect(result.lost).toHaveLength(1);
    expect(textsOf(result.frames)).toEqual(["hello"]);
  });

  it("P1: heals when both sides forgot everything, whoever speaks first", () => {
    const { leader, follower } = establishedPair(now);
    leader.forgetEverything(now);
    follower.forgetEverything(now);
    let crossing = [follower.say(leader, "f", now), leader.say(follower, "l", now)] as const;
    for (let round = 0; round < 3; round++) {
      leader.hear(crossing[0], now + round);
      follower.hear(crossing[1], now + round);
      crossing = [follower.say(leader, `f${round}`, now + round), leader.say(follower, `l${round}`, now + round)];
    }
    expect(leader.read.length).toBeGreaterThan(0);
    expect(follower.read.length).toBeGreaterThan(0);
    expect(leader.mesgen.preferred(follower.id, now)).toBe(follower.mesgen.preferred(leader.id, now));
  });

  it("a close makes the peer forget that session, and nothing else", () => {
    const { leader, follower } = establishedPair(now);
    const id = leader.mesgen.preferred(follower.id, now);
    const goodbye = leader.mesgen.seal(
      leader.mesgen.carrier(follower.id, now, { application: false }),
      new Uint8Array(0),
      now,
      { close: 0 },
    );
    expect(opened(follower.hear(goodbye, now)).lost).toEqual([id]);
    expect(follower.mesgen.sessions(leader.id)).toEqual([]);
  });
});

describe("a key that runs twice", () => {
  it("the earlier run is told under its own session, which stays, and nothing is said to the later one", () => {
    const { leader, follower } = establishedPair(now);
    const id = leader.mesgen.preferred(follower.id, now);
    const later = new TestPeer({ identity: follower.identity });
    expect(opened(leader.hear(later.say(leader, "again me", now), now)).restarted).toBe(true);
    expect(leader.mesgen.sealSuperseded(follower.id, "0011223344556677" as Epoch, now)).toBeUndefined();
    const word = leader.mesgen.sealSuperseded(follower.id, follower.mesgen.epoch, now);
    expect(later.hear(word!, now).kind).toBe("unreadable");
    expect(opened(follower.hear(word!, now))).toMatchObject({ superseded: true, lost: [] });
    expect(follower.mesgen.preferred(leader.id, now)).toBe(id);
    expect(follower.owed(leader, now)).toEqual([]);
  });

  it("the earlier run did not start anew when it offers again, though its store is another", () => {
    const { leader, follower } = establishedPair(now);
    const later = new TestPeer({ identity: follower.identity });
    expect(opened(leader.hear(later.say(leader, "again me", now), now)).restarted).toBe(true);
    let answer: Uint8Array | undefined;
    for (let at = now; answer === undefined || typeOf(answer) !== "offer"; at += 2_000) {
      // What is for the later run reaches this one as well, which cannot read it.
      follower.hear(leader.say(follower, "for the later one", at), at);
      answer = follower.owed(leader, at)[0] as Uint8Array;
    }
    expect(opened(leader.hear(answer, now + 10_000))).toMatchObject({ early: true, restarted: false });
  });
});

describe("R5, P8: offers that cross", () => {
  it("leave both sides able to read either, and with the same front after two exchanges", () => {
    const { leader, follower } = strangers();
    const fromLeader = leader.say(follower, "l", now);
    const fromFollower = follower.say(leader, "f", now);
    follower.hear(fromLeader, now);
    leader.hear(fromFollower, now);
    for (let i = 0; i < 2; i++) {
      const down = leader.say(follower, `l${i}`, now);
      const up = follower.say(leader, `f${i}`, now);
      leader.hear(up, now);
      follower.hear(down, now);
    }
    expect(leader.read).toEqual(["f", "f0", "f1"]);
    expect(follower.read).toEqual(["l", "l0", "l1"]);
    const front = leader.mesgen.preferred(follower.id, now);
    expect(follower.mesgen.preferred(leader.id, now)).toBe(front);
    // Quiet afterwards: nothing is owed, no offer is left.
    expect(leader.owed(follower, now)).toEqual([]);
    expect([leader, follower].map(({ maps }) => [...maps.counterparties()][0]?.pending)).toEqual([
      undefined,
      undefined,
    ]);
  });

  it("what the leader uses is followed, although a copy of its offer came late", () => {
    const { leader, follower } = strangers();
    const [offer, late] = ["1", "2"].map((text) => leader.say(follower, text, now)) as [Uint8Array, Uint8Array];
    leader.hear(follower.say(leader, "crossing", now), now);
    follower.hear(offer, now);
    const used = leader.say(follower, "3", now, { established: true });
    for (const envelope of [used, late, leader.say(follower, "4", now, { established: true })]) {
      follower.hear(envelope, now);
    }
    expect(follower.mesgen.preferred(leader.id, now)).toBe(toHex(decodeEnvelope(used).id));
  });

  it("a session completed late is left behind by the follower when it sees the leader use another", () => {
    const { leader, follower } = strangers();
    const offer = follower.say(leader, "f", now);
    leader.hear(offer, now);
    const lateAcceptance = leader.say(follower, "under the follower's offer", now);
    // The leader starts anew and offers; the follower accepts and uses that.
    const before = leader.mesgen.preferred(follower.id, now);
    leader.restart(now);
    follower.hear(leader.say(follower, "l", now), now);
    leader.hear(follower.say(leader, "g", now), now);
    follower.hear(lateAcceptance, now);
    expect(follower.mesgen.preferred(leader.id, now)).toBe(before);
    follower.hear(leader.say(follower, "m", now), now);
    expect(follower.mesgen.preferred(leader.id, now)).toBe(leader.mesgen.preferred(follower.id, now));
  });
});

describe("P8: an envelope that was held back for long does not part the two for good", () => {
  /** The leader uses the session of the follower's offer, and completed that of its own. */
  function crossed() {
    const { leader, follower } = strangers();
    const fromFollower = follower.say(leader, "f", now);
    follower.hear(leader.say(follower, "l", now), now);
    const acceptance = follower.control(leader, now);
    leader.hear(fromFollower, now);
    const underOffer = leader.say(follower, "held back", now);
    leader.hear(acceptance, now);
    return { leader, follower, underOffer };
  }

  function exchange(leader: TestPeer, follower: TestPeer): void {
    follower.hear(leader.say(follower, "down", now), now);
    leader.hear(follower.say(leader, "up", now), now);
  }

  it("when it came under the offer of the leader", () => {
    const { leader, follower, underOffer } = crossed();
    exchange(leader, follower);
    expect(opened(follower.hear(underOffer, now)).early).toBe(true);
    exchange(leader, follower);
    expect(follower.mesgen.preferred(leader.id, now)).toBe(leader.mesgen.preferred(follower.id, now));
  });

  it("when it came under a session that the leader used before", () => {
    const { leader, follower } = strangers();
    const fromFollower = follower.say(leader, "f", now);
    follower.hear(leader.say(follower, "l", now), now);
    leader.hear(follower.control(leader, now), now);
    const underFirst = leader.say(follower, "held back", now);
    leader.hear(fromFollower, now);
    exchange(leader, follower);
    expect(opened(follower.hear(underFirst, now)).early).toBe(false);
    exchange(leader, follower);
    expect(follower.mesgen.preferred(leader.id, now)).toBe(leader.mesgen.preferred(follower.id, now));
  });
});

describe("P1: an offer whose acceptance got lost", () => {
  const later = now + 120_000;

  /** Its maker goes on under it, while the follower saw a session before it used, and left that of the offer. */
  function withLostAcceptance() {
    const { leader, follower } = strangers();
    follower.hear(leader.say(follower, "1", now), now);
    leader.hear(follower.say(leader, "2", now), now);
    const delayed = leader.say(follower, "3", now);
    const unknown = follower.say(leader, "4", now).slice();
    unknown[40] = (unknown[40] as number) ^ 1;
    leader.hear(unknown, now);
    leader.owed(follower, now);
    const offer = leader.owed(follower, leader.mesgen.nextDeadline as number)[0] as Uint8Array;
    follower.hear(offer, now);
    follower.say(leader, "with the acceptance", now);
    follower.hear(delayed, now);
    return { leader, follower, offer };
  }

  it("is completed as long as the follower can answer it", () => {
    const { leader, follower } = withLostAcceptance();
    follower.hear(leader.say(follower, "again", now), now);
    leader.hear(follower.say(leader, "5", now), now);
    expect(leader.maps.get(follower.id)?.pending).toBeUndefined();
    expect(follower.mesgen.preferred(leader.id, now)).toBe(leader.mesgen.preferred(follower.id, now));
  });

  it("is let go of when the key of its session faded: both go on to one established session", () => {
    const { leader, follower, offer } = withLostAcceptance();
    for (const peer of [leader, follower]) peer.mesgen.tick(later);
    const again = leader.say(follower, "again", later);
    expect(decodeEnvelope(again).handshake).toEqual(decodeEnvelope(offer).handshake);
    follower.hear(again, later);
    const { id } = decodeEnvelope(offer);
    follower.owed(leader, later); // lost on the way: as long as the offer is used, it is named
    follower.hear(leader.say(follower, "and again", later), later);
    const answer = follower.owed(leader, later + 500)[0] as Uint8Array;
    expect(opened(leader.hear(answer, later)).lost).toEqual([Buffer.from(id).toString("hex")]);
    follower.hear(leader.say(follower, "5", later), later);
    leader.hear(follower.say(leader, "6", later), later);
    expect(follower.mesgen.preferred(leader.id, later)).toBe(leader.mesgen.preferred(follower.id, later));
    expect(typeOf(leader.say(follower, "7", later))).toBe("data");
  });
});

describe("restart with the store kept", () => {
  it("P3: no loaded session sends; the first message rides on a new offer and names the loaded one", () => {
    const { leader, follower } = establishedPair(now);
    const old = leader.mesgen.preferred(follower.id, now) as string;
    void leader.maps.commit();
    leader.restart(now);
    expect(leader.mesgen.sessions(follower.id).map(({ sends }) => sends)).toEqual([false]);
    const first = leader.say(follower, "back", now);
    expect(typeOf(first)).toBe("offer");
    expect(opened(follower.hear(first, now)).lost).toEqual([old]);
    expect(typeOf(follower.say(leader, "welcome", now))).toBe("acceptance");
  });

  it("reads on under the loaded session, from the saved limit; what lies below is answered as unreadable, each until the peer is heard", () => {
    const { leader, follower } = establishedPair(now, { limits: { counterLeap: 4 } });
    void leader.maps.commit();
    const below = follower.say(leader, "below", now);
    const alsoBelow = follower.say(leader, "also below", now);
    leader.restart(now);
    // The answer may find no way, and then a mailbox hands it over again.
    for (const envelope of [below, alsoBelow, below]) expect(leader.hear(envelope, now).kind).toBe("unreadable");
    for (const answer of leader.owed(follower, now)) follower.hear(answer, now);
    opened(leader.hear(follower.say(leader, "heard", now), now));
    expect(leader.hear(below, now)).toMatchObject({ kind: "dropped", reason: "replay" });
    let read = 0;
    for (let i = 0; i < 8; i++) if (leader.hear(follower.say(leader, `${i}`, now), now).kind === "opened") read += 1;
    expect(read).toBeGreaterThan(3);
  });

  it("answers early envelopes below the saved limit, too, each until the peer is heard", () => {
    const { leader, follower } = strangers();
    const early = ["1", "2"].map((text) => leader.say(follower, text, now)) as [Uint8Array, Uint8Array];
    follower.hear(early[0], now);
    follower.restart(now);
    for (const envelope of [...early, ...early]) expect(follower.hear(envelope, now).kind).toBe("unreadable");
    for (const answer of follower.owed(leader, now)) leader.hear(answer, now);
    opened(follower.hear(leader.say(follower, "heard", now), now));
    for (const envelope of early) {
      expect(follower.hear(envelope, now)).toMatchObject({ kind: "dropped", reason: "replay" });
    }
  });

  it("names a loaded session to the peer once, however much still comes under it", () => {
    const { leader, follower } = establishedPair(now);
    const late = ["a", "b"].map((text) => follower.say(leader, text, now)) as [Uint8Array, Uint8Array];
    leader.mesgen.lowerLimits();
    void leader.maps.commit();
    leader.restart(now);
    opened(leader.hear(late[0], now));
    expect(opened(follower.hear(leader.say(follower, "offer", now), now)).lost).toHaveLength(1);
    leader.hear(follower.say(leader, "acceptance", now), now);
    opened(leader.hear(late[1], now));
    const { room } = leader.mesgen.carrier(follower.id, now, { application: true });
    expect(room).toBe(maxPlaintextBytes);
  });

  it("completes a loaded offer for reading only", () => {
    const { leader, follower } = strangers();
    const offer = leader.say(follower, "1", now);
    void leader.maps.commit();
    leader.restart(now);
    follower.hear(offer, now);
    // Replies under it answer requests of the run that made the offer, never of this one.
    expect(opened(leader.hear(follower.say(leader, "2", now), now)).ourEpoch).toBeUndefined();
    expect(opened(leader.hear(follower.say(leader, "3", now), now)).ourEpoch).toBeUndefined();
    expect(leader.read).toEqual(["2", "3"]);
    expect(leader.mesgen.sessions(follower.id)).toMatchObject([{ sends: false }]);
    expect(typeOf(leader.say(follower, "3", now))).toBe("offer");
  });

  it.each([
    ["under a session", establishedPair],
    ["early", (_: number, options: TestPeerOptions) => strangers(options)],
  ])("asks for a commit before frames are handed over, whenever the saved limit is reached, %s", (_, meet) => {
    const { leader, follower } = meet(now, { limits: { counterLeap: 8 } });
    const commits = Array.from(
      { length: 32 },
      (_, i) => opened(leader.hear(follower.say(leader, `${i}`, now), now)).mustCommit,
    );
    expect(commits.filter(Boolean)).toHaveLength(4);
  });
});

describe("re-key", () => {
  it("is begun by an application message only, after the age or number of envelopes", () => {
    const { leader, follower } = establishedPair(now, { limits: { rekeyAfterEnvelopes: 3 } });
    for (let i = 0; i < 3; i++) follower.hear(leader.say(follower, `${i}`, now), now);
    expect(typeOf(leader.control(follower, now))).toBe("data");
    expect(typeOf(leader.say(follower, "x", now, { established: true }))).toBe("data");
    const offer = leader.say(follower, "y", now);
    expect(typeOf(offer)).toBe("offer");
    follower.hear(offer, now);
    leader.hear(follower.say(leader, "z", now), now);
    expect(typeOf(leader.say(follower, "w", now))).toBe("data");
    const other = establishedPair(now);
    expect(typeOf(other.leader.say(other.follower, "x", now + 2 * dayMs))).toBe("offer");
  });

  it("P3: no key seals a counter of 2^32 or above: what is used up gives way to a new offer", () => {
    const { leader, follower } = establishedPair(now, { limits: { rekeyAfterEnvelopes: counterLimit } });
    const useUp = (left: number): void => {
      const { target } = leader.mesgen.carrier(follower.id, now, { application: true });
      const key = "earlyKey" in target ? target : target.sending;
      if (key !== undefined) key.nextCounter = counterLimit - left;
    };
    useUp(1);
    const [last, first] = ["last", "first"].map((text) => decodeEnvelope(leader.say(follower, text, now)));
    expect(last).toMatchObject({ type: "data", counter: counterLimit - 1 });
    expect(first).toMatchObject({ type: "offer", counter: 0 });
    expect(leader.mesgen.sealSuperseded(follower.id, follower.mesgen.epoch, now)).toBeUndefined();
    useUp(0);
    const second = decodeEnvelope(leader.say(follower, "second", now));
    expect(second).toMatchObject({ type: "offer", counter: 0 });
    expect(second.id).not.toEqual(first?.id);
  });

  it("erases the sending key of the old session a while after it left the front, and keeps reading it", () => {
    const { leader, follower } = establishedPair(now, { limits: { rekeyAfterEnvelopes: 0 } });
    const delayed = follower.say(leader, "delayed", now, { established: true });
    follower.hear(leader.say(follower, "y", now), now);
    leader.hear(follower.say(leader, "z", now, { established: true }), now);
    expect(leader.mesgen.sessions(follower.id).map(({ sends }) => sends)).toEqual([true, true]);
    leader.mesgen.tick(now + 60_000);
    expect(leader.mesgen.sessions(follower.id).map(({ sends }) => sends)).toEqual([true, false]);
    leader.hear(delayed, now + 60_000);
    expect(leader.read).toEqual(["z", "delayed"]);
  });

  it("keeps the sending key of a session that is the front again, since the peer cannot read those before it", () => {
    const { leader, follower } = establishedPair(now, { limits: { rekeyAfterEnvelopes: 0 } });
    follower.hear(leader.say(follower, "y", now), now);
    leader.hear(follower.say(leader, "z", now, { established: true }), now);
    const [front, behind] = leader.mesgen.sessions(follower.id);
    follower.hear(leader.say(follower, "used", now, { established: true }), now);
    follower.mesgen.reject(leader.id, front!.id, now);
    expect(opened(leader.hear(follower.control(leader, now), now)).lost).toEqual([front!.id]);
    leader.mesgen.tick(now + 60_000);
    expect(leader.mesgen.preferred(follower.id, now + 60_000)).toBe(behind!.id);
    expect(typeOf(leader.say(follower, "on", now + 60_000, { established: true }))).toBe("data");
  });
});

describe("R7: sealed sender", () => {
  it("hides the ID, is made once per session, and heals a forgotten session", () => {
    const { leader, follower } = establishedPair(now, { sealedSender: true });
    const hex = Buffer.from(leader.identity.keys.publicKey).toString("hex");
    const first = leader.say(follower, "1", now);
    const second = leader.say(follower, "2", now);
    expect(Buffer.from(first).toString("hex")).not.toContain(hex);
    expect(decodeEnvelope(second).sender).toEqual(decodeEnvelope(first).sender);
    follower.forgetEverything(now);
    expect(follower.hear(first, now)).toMatchObject({ kind: "unreadable", peer: leader.id });
    const result = opened(leader.hear(follower.owed(leader, now)[0] as Uint8Array, now));
    expect(result.lost).toHaveLength(1);
    follower.hear(leader.say(follower, "again", now), now);
    expect(follower.read).toEqual(["again"]);
  });

  it("is different for each session and each offer", () => {
    const { leader, follower } = strangers({ sealedSender: true });
    const offer = leader.say(follower, "1", now);
    follower.hear(offer, now);
    leader.hear(follower.say(leader, "2", now), now);
    const data = leader.say(follower, "3", now);
    expect(decodeEnvelope(data).sender).not.toEqual(decodeEnvelope(offer).sender);
  });
});

describe("R8: separate identities", () => {
  it("share nothing: two identities of one process talk to each other like strangers", () => {
    const seed = createIdentity().exportSeed();
    const one = new TestPeer({ identity: identityFromSeed(seed) });
    const two = new TestPeer();
    two.hear(one.say(two, "x", now), now);
    expect(two.read).toEqual(["x"]);
    expect(one.mesgen.epoch).not.toBe(two.mesgen.epoch);
    expect(one.maps.tag).not.toBe(two.maps.tag);
  });
});

describe("P4, P10: strangers change nothing", () => {
  it("mutated, misaddressed, reflected, replayed and forged envelopes leave lists, order and keys as they were", () => {
    const { leader, follower } = establishedPair(now);
    const third = new TestPeer();
    leader.hear(third.say(leader, "hi", now), now);
    third.hear(leader.say(third, "ho", now), now);
    const recorded = [
      leader.say(follower, "one", now),
      follower.say(leader, "two", now),
      third.say(leader, "three", now),
      third.say(follower, "four", now),
    ];
    follower.hear(recorded[0] as Uint8Array, now);
    leader.hear(recorded[1] as Uint8Array, now);
    leader.hear(recorded[2] as Uint8Array, now);
    follower.hear(recorded[3] as Uint8Array, now);
    const before = [leader, follower].map(fingerprint);
    const read = [leader, follower].map((peer) => peer.read.length);
    for (const peer of [leader, follower]) {
      for (const envelope of recorded) {
        peer.hear(envelope, now);
        for (let bit = 0; bit < envelope.length * 8; bit += 3) {
          const mutated = envelope.slice();
          mutated[bit >> 3] = (mutated[bit >> 3] as number) ^ (1 << (bit & 7));
          peer.hear(mutated, now);
        }
        for (const other of [leader, follower, third]) {
          const claimed = envelope.slice();
          claimed.set(other.identity.keys.publicKey, 2);
          peer.hear(claimed, now);
        }
      }
    }
    expect([leader, follower].map(fingerprint)).toEqual(before);
    expect([leader, follower].map((peer) => peer.read.length)).toEqual(read);
    const pending = [...leader.maps.counterparties()].filter((c) => c.pending !== undefined);
    expect(pending.length).toBeLessThanOrEqual([...leader.maps.counterparties()].length);
  });

  it("a peer that names the sessions and offers of others as unusable changes nothing of theirs", () => {
    const { leader, follower } = establishedPair(now);
    const third = new TestPeer();
    const stranger = new TestPeer();
    leader.hear(third.say(leader, "hi", now), now);
    leader.say(stranger, "offer", now);
    const before = fingerprint(leader);
    const ids = [
      leader.mesgen.preferred(follower.id, now) as SessionId,
      leader.maps.get(stranger.id)?.pending?.id as OfferId,
    ];
    const named = ids.map((id) => ({ id, vouch: { tag: third.maps.tag, floor: now } }));
    const carrier = third.mesgen.carrier(leader.id, now, { application: true });
    const lie = third.mesgen.seal(carrier, withControl(named, undefined, textFrame("a lie")), now);
    expect(opened(leader.hear(lie, now)).lost).toEqual([]);
    expect(fingerprint(leader)).toBe(before);
    expect([leader.mesgen.preferred(follower.id, now), leader.mesgen.preferred(stranger.id, now)]).toEqual(ids);
  });

  /** Peers of which the first writes into the headers that it seals what it wants. */
  function withForger() {
    const forged: { header?: (header: Uint8Array) => void } = {};
    const seal: CryptoProvider["seal"] = (key, counter, header, plaintext, out, at) => {
      // Of an envelope, not of a handshake, whose associated data lies elsewhere.
      if (header.buffer === out.buffer) forged.header?.(header);
      defaultCryptoProvider.seal(key, counter, header, plaintext, out, at);
    };
    const forger = new TestPeer({ crypto: { ...defaultCryptoProvider, seal } });
    return { forger, victim: new TestPeer(), forged };
  }

  it("a peer that names another as the sender of what it seals is not heard, whatever it sends under", () => {
    const { forger, victim, forged } = withForger();
    const named = new TestPeer();
    const lie = (header: Uint8Array): void => header.set(named.identity.keys.publicKey, 2);
    const wrong = { kind: "dropped", reason: "wrong-sender" };
    victim.hear(forger.say(victim, "offer", now), now);
    forged.header = lie;
    expect(victim.hear(forger.say(victim, "early", now), now)).toMatchObject(wrong);
    delete forged.header;
    forger.hear(victim.say(forger, "acceptance", now), now);
    forged.header = lie;
    expect(victim.hear(forger.say(victim, "under the session", now), now)).toMatchObject(wrong);
    const other = new TestPeer();
    delete forged.header;
    forger.hear(other.say(forger, "offer", now), now);
    forged.header = lie;
    expect(other.hear(forger.say(other, "acceptance", now), now)).toMatchObject(wrong);
    expect(victim.mesgen.due(now)).toEqual([]);
    expect([victim.read, other.read]).toEqual([["offer"], []]);
  });

  it("a peer cannot choose the IDs of its offers and sessions: they come from the handshake", () => {
    const { forger, victim, forged } = withForger();
    forged.header = (header) => header.fill(7, 34, 50);
    const wrong = { kind: "dropped", reason: "forged" };
    expect(victim.hear(forger.say(victim, "offer", now), now)).toMatchObject(wrong);
    delete forged.header;
    forger.hear(victim.say(forger, "offer", now), now);
    forged.header = (header) => header.fill(7, 34, 50);
    expect(victim.hear(forger.say(victim, "acceptance", now), now)).toMatchObject(wrong);
    expect(victim.mesgen.sessions(forger.id)).toEqual([]);
  });

  it("a forgery that comes before the acceptance does not make its session unusable", () => {
    const { leader, follower } = strangers();
    follower.hear(leader.say(follower, "1", now), now);
    const acceptance = follower.say(leader, "2", now);
    const before = fingerprint(follower);
    const forge = (...at: number[]): Uint8Array => acceptance.map((byte, i) => (at.includes(i) ? byte ^ 1 : byte));
    expect(leader.hear(forge(40, 58), now).kind).toBe("unreadable"); // another session, another offer
    follower.hear(leader.owed(follower, now)[0] as Uint8Array, now);
    expect(leader.hear(forge(58), now + 500).kind).toBe("unreadable"); // another offer only
    const answer = leader.owed(follower, now + 500)[0] as Uint8Array;
    expect(opened(follower.hear(answer, now)).lost).toEqual([]);
    expect(fingerprint(follower)).toBe(before);
    leader.hear(acceptance, now);
    const data = leader.say(follower, "3", now);
    expect(typeOf(data)).toBe("data");
    expect(opened(follower.hear(data, now)).lost).toEqual([]);
    expect(follower.mesgen.sessions(leader.id)).toMatchObject([{ sends: true, confirmed: true }]);
    expect([leader.read, follower.read]).toEqual([["2"], ["1", "3"]]);
  });

  it("an unknown version is counted, and never answered", () => {
    const { leader, follower } = establishedPair(now);
    const envelope = leader.say(follower, "x", now).slice();
    envelope[0] = 0x21;
    expect(follower.hear(envelope, now)).toMatchObject({
      kind: "dropped",
      reason: "unknown-version",
      error: { code: "EGTP_WIRE_UNKNOWN_VERSION" },
    });
    expect(follower.mesgen.due(now)).toEqual([]);
    expect(follower.mesgen.drops["unknown-version"]).toBe(1);
  });

  it("asks before anything is spent on an envelope of no known session", () => {
    const { leader, follower } = establishedPair(now);
    const third = new TestPeer();
    const asked: unknown[] = [];
    const refuse = (work: string, sender: unknown) => {
      asked.push([work, sender]);
      return false;
    };
    const before = [leader.mesgen.handshakes, third.mesgen.handshakes];
    const offer = third.say(leader, "x", now);
    expect(leader.mesgen.open(offer, now, refuse)).toEqual({ kind: "dropped", reason: "refused" });
    expect(third.mesgen.open(leader.say(follower, "x", now), now, refuse)).toMatchObject({ reason: "refused" });
    expect(leader.mesgen.open(follower.say(leader, "x", now), now, refuse).kind).toBe("opened");
    expect(leader.mesgen.open(Uint8Array.of(0x11, 0), now, refuse)).toMatchObject({ reason: "malformed" });
    expect(asked).toEqual([
      ["handshake", third.id],
      ["answer", leader.id],
    ]);
    expect([leader.mesgen.handshakes, third.mesgen.handshakes - 1]).toEqual(before);
    leader.hear(offer, now);
    expect(leader.read).toContain("x");
  });
});

describe("lifetimes", () => {
  it("erases the keys of what goes: of a closed session, and of a peer that was forgotten", () => {
    const { leader, follower } = establishedPair(now);
    const keysAt = (peer: TestPeer, other: TestPeer): Uint8Array[] => {
      const { sessions = [], accepted = [], pending } = peer.maps.get(other.id) ?? {};
      const early = accepted.flatMap(({ earlyKey }) => (earlyKey === undefined ? [] : [earlyKey]));
      const ephemeral = pending === undefined ? [] : [pending.ephemeralSecret];
      return [...sessions.map(({ receiveKey }) => receiveKey), ...early, ...ephemeral];
    };
    const [closed] = keysAt(follower, leader);
    const sendingKey = (peer: TestPeer, other: TestPeer): Uint8Array => {
      const { target } = peer.mesgen.carrier(other.id, now, { application: false });
      return "earlyKey" in target ? target.earlyKey : (target.sending?.key as Uint8Array);
    };
    const sending = [sendingKey(leader, follower), sendingKey(follower, leader)];
    const carrier = leader.mesgen.carrier(follower.id, now, { application: false });
    follower.hear(leader.mesgen.seal(carrier, new Uint8Array(0), now, { close: 0 }), now);
    const stranger = new TestPeer();
    leader.say(stranger, "x", now);
    const forgotten = [...keysAt(leader, follower), ...keysAt(leader, stranger)];
    expect(forgotten).toHaveLength(3);
    leader.maps.forget(now);
    for (const key of [closed as Uint8Array, ...forgotten, ...sending]) expect(key).toEqual(new Uint8Array(32));
  });

  it("erases the ephemeral and the early key of an offer that was accepted, on both sides", () => {
    const { leader, follower } = strangers();
    const offer = leader.say(follower, "offer", now);
    const { target } = leader.mesgen.carrier(follower.id, now, { application: true });
    const ours = [leader.maps.get(follower.id)?.pending?.ephemeralSecret, "earlyKey" in target && target.earlyKey];
    follower.hear(offer, now);
    const theirs = follower.maps.get(leader.id)?.accepted[0]?.earlyKey;
    leader.hear(follower.say(leader, "acceptance", now), now);
    follower.mesgen.tick(now + 21 * dayMs);
    for (const key of [...ours, theirs]) expect(key).toEqual(new Uint8Array(32));
  });

  it("nothing is owed any more to a peer that was forgotten", () => {
    const { leader, follower } = strangers();
    leader.hear(follower.say(leader, "offer", now), now);
    expect(leader.mesgen.due(now)).toEqual([follower.id]);
    leader.maps.forget(now);
    expect(leader.mesgen.due(now)).toEqual([]);
  });

  it("remembers the last of a peer's epochs, however often it starts anew", () => {
    const state = createPeerState(new TestPeer().id);
    const epochs = Array.from({ length: 20 }, (_, i) => i.toString(16).padStart(16, "0") as Epoch);
    expect(epochs.map((epoch) => noteEpoch(state, epoch))).toEqual(epochs.map((_, i) => i > 0));
    expect([noteEpoch(state, epochs[12] as Epoch), state.earlierEpochs?.length]).toEqual([false, 7]);
  });

  it("early keys, offers and sessions are forgotten when their time is over, and there is a deadline for it", () => {
    const { leader, follower } = establishedPair(now);
    const stranger = new TestPeer();
    const unanswered = decodeEnvelope(leader.say(stranger, "never answered", now));
    leader.mesgen.tick(now);
    expect(leader.mesgen.nextDeadline).toBeLessThanOrEqual(now + 60 * 60 * 1000);
    const accepted = leader.maps.get(follower.id)?.accepted[0];
    expect(accepted?.earlyKey).toBeDefined();
    leader.mesgen.tick(now + 21 * dayMs);
    expect(accepted?.earlyKey).toBeUndefined();
    expect(leader.maps.get(stranger.id)?.pending).toBeDefined();
    // Its time is over, though nothing looked for such yet.
    expect(leader.mesgen.preferred(stranger.id, now + 22 * dayMs - 1)).toBe(toHex(unanswered.id));
    expect(leader.mesgen.preferred(stranger.id, now + 22 * dayMs)).toBeUndefined();
    leader.mesgen.tick(now + 22 * dayMs);
    expect(leader.maps.get(stranger.id)?.pending).toBeUndefined();
    expect(leader.mesgen.sessions(follower.id)).toHaveLength(1);
    leader.mesgen.tick(now + 45 * dayMs);
    expect(leader.mesgen.sessions(follower.id)).toEqual([]);
    expect(leader.mesgen.preferred(follower.id, now + 45 * dayMs)).toBeUndefined();
  });
});

describe("the memory of envelopes", () => {
  it("may have been used before: every byte of it is written", () => {
    const dirty = (bytes: number) => new Uint8Array(bytes).fill(0xee);
    for (const sealedSender of [false, true]) {
      const { leader, follower } = establishedPair(now, { sealedSender, allocate: dirty });
      for (const text of ["", "short", "x".repeat(3_000)]) {
        const carrier = leader.mesgen.carrier(follower.id, now, { application: true });
        opened(follower.hear(leader.mesgen.seal(carrier, textFrame(text), now), now));
        expect(follower.read.at(-1)).toBe(text);
      }
    }
  });

  it("holds no more than the carrier has room for, and no close while it is early", () => {
    const { leader, follower } = strangers();
    const carrier = leader.mesgen.carrier(follower.id, now, { application: true });
    expect(() => leader.mesgen.seal(carrier, new Uint8Array(carrier.room + 1), now)).toThrow(
      expect.objectContaining({ code: "EGTP_MESGEN_TOO_LARGE" }),
    );
    const [plain, closing] = [{}, { close: 0 }].map((options) =>
      leader.mesgen.seal(carrier, textFrame("x"), now, options),
    );
    expect(closing).toHaveLength((plain as Uint8Array).length);
  });

  it("has room before the envelope when that is asked for", () => {
    const { leader, follower } = establishedPair(now);
    const carrier = leader.mesgen.carrier(follower.id, now, { application: true });
    const envelope = leader.mesgen.seal(carrier, textFrame("x"), now, { headBytes: 32 });
    expect(envelope.byteOffset).toBe(32);
    expect(envelope.buffer.byteLength).toBe(32 + envelope.length);
    new Uint8Array(envelope.buffer, 0, 32).fill(0xff);
    opened(follower.hear(envelope, now));
    expect(follower.read.at(-1)).toBe("x");
  });
});
