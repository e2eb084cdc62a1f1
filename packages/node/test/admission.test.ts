import { createIdentity } from "@egtp/mesgen";
import { describe, expect, test } from "vitest";
import { Admission, defaultAdmissionRates, TokenBucket } from "../src/admission.ts";

const peer = createIdentity().peer;
const other = createIdentity().peer;

/** How many of so many asks are granted. */
function grants(ask: () => unknown, count: number): number {
  let granted = 0;
  for (let i = 0; i < count; i++) if (ask() !== undefined) granted++;
  return granted;
}

test("a bucket gives its burst, then its rate, and never holds more than its burst", () => {
  const bucket = new TokenBucket({ burst: 3, perSecond: 2 }, 0);
  const take = (now: number): boolean => {
    if (!bucket.has(now)) return false;
    bucket.take();
    return true;
  };
  expect([0, 0, 0, 0].map(take)).toEqual([true, true, true, false]);
  expect([500, 500, 1_000].map(take)).toEqual([true, false, true]);
  expect([100_000, 100_000, 100_000, 100_000].map(take)).toEqual([true, true, true, false]);
  // A clock that went back gives nothing, and takes nothing either.
  expect(take(0)).toBe(false);
  expect(take(500)).toBe(true);
});

describe("of sources and names", () => {
  const none = { burst: 1, perSecond: 0 };
  const link = { burst: 100, perSecond: 0 };
  const hourMs = 60 * 60_000;

  /** Nothing is left for strangers, so that a source gets something only as long as it counts as proven. */
  function exhausted(maxSources: number) {
    const admission = new Admission({ strangers: none, link, source: link, knownPeer: none }, maxSources, 0);
    const ask = (source: string, now = 0, name = peer, isKnown = false) => {
      const asker = { buckets: admission.forLink(now), isAuthenticated: false, source };
      return admission.ask("handshake", asker, name, isKnown, now);
    };
    const prove = (source: string): void => admission.proved(ask(source)!, 0);
    return { ask, prove };
  }

  test("what a source proved counts for an hour", () => {
    const { ask, prove } = exhausted(10);
    prove("proven");
    expect(ask("other")).toBeDefined();
    expect([ask("proven", hourMs - 1), ask("proven", hourMs)].map((grant) => grant !== undefined)).toEqual([
      true,
      false,
    ]);
  });

  test("P5: so many are remembered, those that asked last", () => {
    const { ask, prove } = exhausted(2);
    prove("first");
    prove("second");
    ask("first");
    expect(ask("other")).toBeDefined();
    expect([ask("first"), ask("second")].map((grant) => grant !== undefined)).toEqual([true, false]);
    // A name that is forgotten comes back with a full bucket: there is one for all of them, too.
    const names = Array.from({ length: 3 }, () => createIdentity().peer);
    const asked = [0, 0, 1, 2, 0].map((at) => ask("elsewhere", 0, names[at], true) !== undefined);
    expect(asked).toEqual([true, false, true, true, true]);
  });
});

describe("one source cannot starve another", () => {
  test("many links of one source get no more than the source", () => {
    const admission = new Admission({}, 100, 0);
    const granted = grants(
      () =>
        admission.ask(
          "handshake",
          { buckets: admission.forLink(0), isAuthenticated: false, source: "bad" },
          undefined,
          false,
          0,
        ),
      10_000,
    );
    expect(granted).toBe(defaultAdmissionRates.source.burst);
    const good = { buckets: admission.forLink(0), isAuthenticated: false, source: "good" };
    expect(admission.ask("handshake", good, undefined, false, 0)).toBeDefined();
    expect(admission.refused).toBe(10_000 - granted);
  });

  test("one link gets no more than a link", () => {
    const admission = new Admission({}, 100, 0);
    const link = { buckets: admission.forLink(0), isAuthenticated: false, source: "one" };
    expect(grants(() => admission.ask("answer", link, peer, false, 0), 100)).toBe(defaultAdmissionRates.link.burst);
    // Handshakes are counted apart.
    expect(admission.ask("handshake", link, peer, false, 0)).toBeDefined();
  });

  test("strangers from everywhere exhaust what is for strangers; known peers, proven sources and answered links go on", () => {
    const admission = new Admission({}, 10_000, 0);
    const proven = { buckets: admission.forLink(0), isAuthenticated: false, source: "proven" };
    admission.proved(admission.ask("handshake", proven, undefined, false, 0)!, 0);
    let source = 0;
    const stranger = (): unknown => {
      const link = { buckets: admission.forLink(0), isAuthenticated: false, source: `s${source++}` };
      return admission.ask("handshake", link, undefined, false, 0);
    };
    expect(grants(stranger, 5_000)).toBe(defaultAdmissionRates.strangers.burst);
    expect(admission.ask("handshake", proven, undefined, false, 0)).toBeDefined();
    const known = { buckets: admission.forLink(0), isAuthenticated: false, source: "elsewhere" };
    expect(admission.ask("handshake", known, peer, true, 0)).toBeDefined();
    const answered = { buckets: admission.forAuthenticatedLink(0), isAuthenticated: true, source: "s1" };
    expect(admission.ask("handshake", answered, undefined, false, 0)).toBeDefined();
  });

  test("who forges one known name starves that name alone", () => {
    const admission = new Admission({}, 10_000, 0);
    let source = 0;
    const claim = (name: typeof peer): unknown => {
      const link = { buckets: admission.forLink(0), isAuthenticated: false, source: `s${source++}` };
      return admission.ask("answer", link, name, true, 0);
    };
    expect(grants(() => claim(peer), 1_000)).toBe(defaultAdmissionRates.knownPeer.burst);
    expect(claim(other)).toBeDefined();
  });
});

test("what proves authentic costs nothing", () => {
  const admission = new Admission({}, 100, 0);
  const granted = grants(() => {
    const link = { buckets: admission.forLink(0), isAuthenticated: false, source: "many peers behind one address" };
    const grant = admission.ask("handshake", link, undefined, false, 0);
    if (grant !== undefined) admission.proved(grant, 0);
    return grant;
  }, 5_000);
  expect(granted).toBe(5_000);
});

test("a refusal takes no token from anyone", () => {
  const admission = new Admission(
    { source: { burst: 1, perSecond: 1e-9 }, strangers: { burst: 2, perSecond: 1e-9 } },
    100,
    0,
  );
  const ask = (source: string): unknown =>
    admission.ask("handshake", { buckets: admission.forLink(0), isAuthenticated: false, source }, undefined, false, 0);
  expect(ask("a")).toBeDefined();
  for (let i = 0; i < 10; i++) expect(ask("a")).toBeUndefined();
  expect(ask("b")).toBeDefined();
  expect(ask("c")).toBeUndefined();
});

test("a bucket never holds more than its burst, whatever is given back", () => {
  const bucket = new TokenBucket({ burst: 2, perSecond: 1 }, 0);
  for (let i = 0; i < 5; i++) bucket.giveBack();
  let taken = 0;
  for (; bucket.has(0); taken++) bucket.take();
  expect(taken).toBe(2);
});
