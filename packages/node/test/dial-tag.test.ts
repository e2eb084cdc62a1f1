import { createHash } from "node:crypto";
import { defaultCryptoProvider } from "@egtp/mesgen";
import { toHex } from "@egtp/wire";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createDialTag, matchDialTag, type Sha512, UsedSalts } from "../src/dial-tag.ts";

const sha512: Sha512 = (...parts) => defaultCryptoProvider.sha512(...parts);
const salt = Uint8Array.from({ length: 16 }, (_, index) => index);
const keys = [1, 2, 3].map((fill) => new Uint8Array(32).fill(fill));

describe("a dial tag", () => {
  it("is the salt and 16 bytes of SHA-512 over label, salt and target", () => {
    const hash = createHash("sha512").update("egtp dial").update(salt).update(keys[0]!).digest();
    expect(toHex(createDialTag(sha512, salt, keys[0]!))).toBe(toHex(salt) + hash.toString("hex").slice(0, 32));
  });

  it("names its target among all, wherever it stands", () => {
    for (const [index, key] of keys.entries())
      expect(matchDialTag(sha512, createDialTag(sha512, salt, key), keys)).toBe(index);
    expect(matchDialTag(sha512, createDialTag(sha512, salt, new Uint8Array(32)), keys)).toBe(-1);
    expect(matchDialTag(sha512, createDialTag(sha512, salt, keys[0]!), [])).toBe(-1);
  });

  it("names nobody once any bit is changed", () => {
    const tag = createDialTag(sha512, salt, keys[1]!);
    for (let bit = 0; bit < tag.length * 8; bit++) {
      const changed = tag.slice();
      changed[bit >> 3]! ^= 1 << (bit & 7);
      expect(matchDialTag(sha512, changed, keys)).toBe(-1);
    }
  });

  it("hashes once for each identity, whichever is named", () => {
    const countFor = (tag: Uint8Array): number => {
      let hashes = 0;
      const counting = (...parts: readonly Uint8Array[]): Uint8Array => {
        hashes += 1;
        return sha512(...parts);
      };
      matchDialTag(counting, tag, keys);
      return hashes;
    };
    expect([keys[0]!, keys[2]!, salt].map((key) => countFor(createDialTag(sha512, salt, key)))).toEqual([3, 3, 3]);
  });

  it("has a salt of 16 bytes", () => {
    expect(() => createDialTag(sha512, new Uint8Array(15), keys[0]!)).toThrow(RangeError);
  });
});

describe("used salts", () => {
  const numbered = (number: number): Uint8Array => new Uint8Array(new Float64Array([number, 0]).buffer);
  const minuteMs = 60_000;

  it("are refused for ten minutes", () => {
    const salts = new UsedSalts(10);
    expect(salts.use(numbered(1), 0)).toBe(true);
    expect(salts.use(numbered(1), 10 * minuteMs - 1)).toBe(false);
    expect(salts.use(numbered(1), 10 * minuteMs)).toBe(true);
    expect(salts.use(numbered(1), 10 * minuteMs)).toBe(false);
  });

  it("make room, the oldest first, when there are too many", () => {
    const salts = new UsedSalts(3);
    for (let number = 0; number < 4; number++) expect(salts.use(numbered(number), number)).toBe(true);
    expect(salts.size).toBe(3);
    for (let number = 2; number < 4; number++) expect(salts.use(numbered(number), 4)).toBe(false);
  });

  it("are exactly the newest of the last ten minutes, as many as allowed", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 5 }),
        fc.array(fc.record({ salt: fc.integer({ min: 0, max: 9 }), wait: fc.integer({ min: 0, max: 4 * minuteMs }) })),
        (max, uses) => {
          const salts = new UsedSalts(max);
          const accepted: { salt: number; at: number }[] = [];
          let now = 0;
          for (const { salt, wait } of uses) {
            now += wait;
            const remembered = accepted.slice(-max).some((use) => use.salt === salt && now - use.at < 10 * minuteMs);
            expect(salts.use(numbered(salt), now)).toBe(!remembered);
            if (!remembered) accepted.push({ salt, at: now });
            expect(salts.size).toBeLessThanOrEqual(max);
          }
        },
      ),
    );
  });
});
