import { type PeerId, peerIdFromTrustedBytes } from "@egtp/wire";
import { describe, expect, test } from "vitest";
import { AnswerCache } from "../src/answer-cache.ts";
import { defaultLookupLimits } from "../src/limits.ts";

const now = 1_800_000_000_000;
const { cacheMs, missMs, minRefreshMs } = defaultLookupLimits;

function peer(n: number): PeerId {
  return peerIdFromTrustedBytes(new Uint8Array(32).fill(n));
}

const found = (n: number, validForMs = 10 * cacheMs) => ({
  peer: peer(n),
  bytes: new Uint8Array(100),
  seq: 7,
  validUntil: now + validForMs,
});

describe("answers of metatrackers", () => {
  test("are given out again for a while, records no longer than they are valid", () => {
    const cache = new AnswerCache(defaultLookupLimits);
    cache.keep(peer(1), found(1), undefined, now);
    cache.keep(peer(2), found(2, 1_000), undefined, now);
    cache.keep(peer(3), undefined, undefined, now);
    const known = (at: number) => [1, 2, 3].map((n) => cache.find(peer(n), undefined, at) !== undefined);
    expect(known(now + 999)).toEqual([true, true, true]);
    expect(known(now + 1_000)).toEqual([true, false, true]);
    expect(known(now + missMs)).toEqual([true, false, false]);
    expect(known(now + cacheMs)).toEqual([false, false, false]);
  });

  test("do not do for whoever found the record of no use, unless they answer just that, a moment ago", () => {
    const cache = new AnswerCache(defaultLookupLimits);
    cache.keep(peer(1), found(1), undefined, now);
    expect(cache.find(peer(1), 6, now)?.found?.seq).toBe(7);
    expect(cache.find(peer(1), 7, now)).toBeUndefined();
    cache.keep(peer(1), found(1), 7, now);
    expect(cache.find(peer(1), 7, now + minRefreshMs - 1)?.found?.seq).toBe(7);
    expect(cache.find(peer(1), 7, now + minRefreshMs)).toBeUndefined();
  });

  test("P5: are so many at most, those that were used last", () => {
    const cache = new AnswerCache({ ...defaultLookupLimits, maxCached: 3 });
    for (let n = 1; n <= 3; n++) cache.keep(peer(n), found(n), undefined, now);
    cache.find(peer(1), undefined, now);
    cache.keep(peer(4), found(4), undefined, now);
    expect([1, 2, 3, 4].map((n) => cache.find(peer(n), undefined, now) !== undefined)).toEqual([
      true,
      false,
      true,
      true,
    ]);
  });
});
