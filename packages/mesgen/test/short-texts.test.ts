import { toHex } from "@egtp/wire";
import { expect, it } from "vitest";
import { tagBytes } from "../src/crypto.ts";
import { portableCryptoProvider as portable } from "../src/crypto-portable.ts";
import { nodeCryptoProvider as node } from "../src/nodejs/crypto-node.ts";
import { loadShortTextLibrary, maxShortTextBytes, shortTextLibrary } from "../src/nodejs/short-texts.ts";

const key = Uint8Array.from({ length: 32 }, (_, i) => 7 * i);
const bytes = (length: number): Uint8Array => Uint8Array.from({ length }, (_, i) => (i * i) % 251);

const lengths = [
  0,
  1,
  15,
  16,
  17,
  63,
  64,
  65,
  110,
  255,
  256,
  1_000,
  maxShortTextBytes - 1,
  maxShortTextBytes,
  2_049,
  5_000,
];
const associated = [0, 1, 16, 58, 106, 300];

/** Seals and opens texts of all lengths. @returns What came of it. */
function sealAll(): string[] {
  const sealed: string[] = [];
  for (const length of lengths) {
    for (const adLength of associated) {
      const text = bytes(length);
      const ad = bytes(adLength);
      const out = new Uint8Array(length + tagBytes + 20).fill(0xee);
      node.seal(key, length, ad, text, out, 10);
      sealed.push(toHex(out));
      const expected = new Uint8Array(length + tagBytes + 20).fill(0xee);
      portable.seal(key, length, ad, text, expected, 10);
      expect(sealed.at(-1)).toBe(toHex(expected));
      const ciphertext = out.subarray(10, 10 + length + tagBytes);
      expect(node.open(key, length, ad, ciphertext)).toEqual(text);
      // The text may lie where the ciphertext goes to.
      out.set(text, 10);
      node.seal(key, length, ad, out.subarray(10, 10 + length), out, 10);
      expect(toHex(out)).toBe(sealed.at(-1));
    }
  }
  return sealed;
}

it("short texts are sealed and opened alike before the library is there and after", async () => {
  expect(shortTextLibrary()).toBeUndefined();
  const before = sealAll();
  await loadShortTextLibrary();
  expect(shortTextLibrary()).toBeDefined();
  expect(sealAll()).toEqual(before);
});

it("what was changed does not open, nor what is too short; a key that is none is a mistake", async () => {
  await loadShortTextLibrary();
  const ad = bytes(58);
  const sealed = new Uint8Array(100 + tagBytes);
  node.seal(key, 3, ad, bytes(100), sealed, 0);
  for (let at = 0; at < sealed.length; at++) {
    const changed = sealed.map((byte, i) => (i === at ? byte ^ 1 : byte));
    expect(node.open(key, 3, ad, changed)).toBeNull();
  }
  for (let length = 0; length < sealed.length; length++) {
    expect(node.open(key, 3, ad, sealed.subarray(0, length))).toBeNull();
  }
  expect(node.open(key, 4, ad, sealed)).toBeNull();
  expect(node.open(key, 3, ad.subarray(1), sealed)).toBeNull();
  expect(node.open(key.toReversed(), 3, ad, sealed)).toBeNull();
  expect(node.open(key, 3, ad, sealed)).toEqual(bytes(100));
  expect(() => node.open(key.subarray(1), 3, ad, sealed)).toThrow(RangeError);
  expect(() => node.seal(key.subarray(1), 3, ad, bytes(100), sealed, 0)).toThrow(RangeError);
  expect(() => node.seal(key, 3, ad, bytes(100), sealed, 1)).toThrow(RangeError);
});
