/** Counter limits rise before what they guard and fall when it is read: under any stops, each envelope is read once at most. */

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { establishedPair, strangers, type TestPeer } from "./peers.ts";

const start = 1_800_000_000_000;
const limits = { counterLeap: 4, lowerLimitsMs: 1_000 };

type Step =
  | { readonly kind: "hear"; readonly from: number }
  | { readonly kind: "pass"; readonly ms: number }
  | { readonly kind: "write" | "kill" | "stop" };

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant("hear"), from: fc.nat() }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("pass"), ms: fc.integer({ min: -5_000, max: 5_000 }) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constantFrom("write", "kill", "stop") }) },
);

/** What a killed process leaves: only what was committed. */
function kill(peer: TestPeer, now: number): void {
  peer.store = peer.store.snapshot();
  peer.restart(now);
}

function stop(peer: TestPeer, now: number): void {
  peer.mesgen.lowerLimits();
  void peer.maps.commit();
  kill(peer, now);
}

describe("P2: counter limits", () => {
  it.each(["under a session", "early"])("let no envelope be read twice, %s, whatever stops come between", (how) => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const isEarly = how === "early";
        const { leader, follower } = isEarly ? strangers({ limits }) : establishedPair(start, { limits });
        const envelopes = Array.from({ length: 40 }, (_, i) => leader.say(follower, `${i}`, start));
        let now = start;
        // Whatever is staged is written now and then, and at once where the core says that it must be.
        for (const { kind, ...rest } of steps) {
          if (kind === "hear") follower.hear(envelopes[(rest as { from: number }).from % 40] as Uint8Array, now);
          else if (kind === "pass") now += (rest as { ms: number }).ms;
          else if (kind === "write") void follower.maps.commit();
          else if (kind === "kill") kill(follower, now);
          else stop(follower, now);
          follower.mesgen.tick(now);
        }
        expect(new Set(follower.read).size).toBe(follower.read.length);
      }),
      { numRuns: 300 },
    );
  });
});

describe("after a stop", () => {
  it.each(["under a session", "early"])("all later envelopes are read, %s, and those before are not", (how) => {
    const { leader, follower } = how === "early" ? strangers() : establishedPair(start);
    const before = ["a", "b", "c"].map((text) => leader.say(follower, text, start));
    for (const envelope of before) follower.hear(envelope, start);
    const mail = ["d", "e"].map((text) => leader.say(follower, text, start));
    stop(follower, start);
    for (const envelope of mail) expect(follower.hear(envelope, start).kind).toBe("opened");
    for (const envelope of before) expect(follower.hear(envelope, start).kind).not.toBe("opened");
    expect(follower.read).toEqual(["a", "b", "c", "d", "e"]);
  });

  it.each(["under a session", "early"])(
    "so it is after a kill, %s, once limits had time to fall and be written",
    (how) => {
      const { leader, follower } = how === "early" ? strangers() : establishedPair(start);
      follower.hear(leader.say(follower, "a", start), start);
      const mail = leader.say(follower, "b", start);
      const at = start + 5_000;
      expect(follower.mesgen.nextDeadline).toBeLessThanOrEqual(at);
      follower.mesgen.tick(at);
      expect(follower.maps.dirty).toBe(true);
      void follower.maps.commit();
      kill(follower, at);
      expect(follower.hear(mail, at).kind).toBe("opened");
      expect(follower.read).toEqual(["a", "b"]);
    },
  );

  it("before that time, a kill refuses what may have been read, and answers it", () => {
    const { leader, follower } = establishedPair(start);
    follower.hear(leader.say(follower, "a", start), start);
    kill(follower, start);
    expect(follower.hear(leader.say(follower, "b", start), start).kind).toBe("unreadable");
  });

  it("limits fall once: a peer at rest has nothing more to write, nor to wake up for", () => {
    const { leader, follower } = establishedPair(start);
    follower.hear(leader.say(follower, "a", start), start);
    follower.mesgen.tick(start + 5_000);
    void follower.maps.commit();
    for (let hours = 1; hours < 5; hours++) {
      const at = follower.mesgen.nextDeadline as number;
      expect(at).toBe(start + 5_000 + hours * 3_600_000);
      follower.mesgen.tick(at);
      expect(follower.maps.dirty).toBe(false);
    }
  });
});
