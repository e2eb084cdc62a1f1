import { fromHex, toHex } from "@egtp/wire";
import fc from "fast-check";
import { expect, it } from "vitest";
import { tagBytes } from "../src/crypto.ts";
import { portableCryptoProvider as portable } from "../src/crypto-portable.ts";
import { nodeCryptoProvider as node } from "../src/nodejs/crypto-node.ts";

const numRuns = 30; // tweetnacl takes milliseconds for each

const bytes32 = fc.uint8Array({ minLength: 32, maxLength: 32 });
const text = fc.uint8Array({ maxLength: 300 });
const hex = (bytes: Uint8Array | null) => bytes && toHex(bytes);

/** Encodings on and around every edge: near 0, near 2^255 - 19, near 2^255, near the group order, with either sign bit. */
const edge32 = fc
  .tuple(
    fc.constantFrom(0n, 2n ** 255n - 19n, 2n ** 255n, 2n ** 252n + 27742317777372353535851937790883648493n),
    fc.bigInt({ min: -40n, max: 40n }),
    fc.boolean(),
  )
  .map(([base, distance, sign]) => {
    const value = BigInt.asUintN(255, base + distance) | (sign ? 2n ** 255n : 0n);
    return fromHex(value.toString(16).padStart(64, "0")).reverse();
  });
const point = fc.oneof(bytes32, edge32);

it("both providers derive the same identity and sign the same", () => {
  fc.assert(
    fc.property(bytes32, text, (seed, message) => {
      const [a, b] = [portable.identityFromSeed(seed), node.identityFromSeed(seed)];
      expect(hex(a.publicKey)).toBe(hex(b.publicKey));
      expect(hex(a.dh.publicKey)).toBe(hex(b.dh.publicKey));
      expect(hex(a.dh.secret)).toBe(hex(b.dh.secret));
      const signature = a.sign(message);
      expect(hex(signature)).toBe(hex(b.sign(message)));
      expect(portable.verify(a.publicKey, message, signature)).toBe(true);
      expect(node.verify(a.publicKey, message, signature)).toBe(true);
      expect(hex(portable.dhPublicKeyOf(a.publicKey))).toBe(hex(a.dh.publicKey));
      expect(hex(node.dhPublicKeyOf(a.publicKey))).toBe(hex(a.dh.publicKey));
    }),
    { numRuns },
  );
});

it("both providers give the same verdict on a signature, whatever was changed", () => {
  const [one, two] = [node.identityFromSeed(new Uint8Array(32)), node.identityFromSeed(new Uint8Array(32).fill(1))];
  fc.assert(
    fc.property(
      text,
      fc.option(point),
      fc.option(point),
      fc.option(point),
      fc.option(fc.nat(511)),
      (message, key, r, s, flipped) => {
        const signature = one.sign(message);
        if (r) signature.set(r);
        if (s) signature.set(s, 32);
        if (flipped !== null) signature[flipped >> 3]! ^= 1 << (flipped & 7);
        for (const publicKey of [one.publicKey, two.publicKey, key ?? one.publicKey]) {
          expect(portable.verify(publicKey, message, signature)).toBe(node.verify(publicKey, message, signature));
        }
      },
    ),
    { numRuns },
  );
});

it("both providers map the same public keys to the same images", () => {
  fc.assert(
    fc.property(point, (publicKey) => {
      expect(hex(portable.dhPublicKeyOf(publicKey))).toBe(hex(node.dhPublicKeyOf(publicKey)));
    }),
    { numRuns: 5 * numRuns },
  );
});

it("both providers share the same secrets", () => {
  fc.assert(
    fc.property(point, point, (secret, publicKey) => {
      const [a, b] = [portable.dhKeyPairFromSecret(secret), node.dhKeyPairFromSecret(secret)];
      expect(hex(a.publicKey)).toBe(hex(b.publicKey));
      expect(hex(portable.dh(a, publicKey))).toBe(hex(node.dh(b, publicKey)));
    }),
    { numRuns },
  );
});

it("both providers hash, derive and compare the same", () => {
  fc.assert(
    fc.property(text, text, (a, b) => {
      expect(hex(portable.sha512(a, b))).toBe(hex(node.sha512(a, b)));
      expect(hex(portable.hmacSha512(a, b, a))).toBe(hex(node.hmacSha512(a, b, a)));
      expect(portable.hkdf2(a, b).map(hex)).toEqual(node.hkdf2(a, b).map(hex));
      expect(portable.equal(a, b)).toBe(node.equal(a, b));
    }),
  );
});

it("both providers seal the same and open each other's, and neither opens what was changed", () => {
  fc.assert(
    fc.property(
      bytes32,
      fc.nat(2 ** 53 - 1),
      text,
      fc.uint8Array({ maxLength: 5000 }),
      fc.nat(3),
      fc.nat(),
      (key, counter, ad, plaintext, offset, position) => {
        const size = plaintext.length + tagBytes;
        const [a, b] = [new Uint8Array(offset + size), new Uint8Array(offset + size)];
        portable.seal(key, counter, ad, plaintext, a, offset);
        node.seal(key, counter, ad, plaintext, b, offset);
        expect(hex(a)).toBe(hex(b));
        expect(hex(portable.open(key, counter, ad, b.subarray(offset)))).toBe(hex(plaintext));
        expect(hex(node.open(key, counter, ad, a.subarray(offset)))).toBe(hex(plaintext));
        a[offset + (position % size)]! ^= 1 << (position & 7);
        expect(portable.open(key, counter, ad, a.subarray(offset))).toBeNull();
        expect(node.open(key, counter, ad, a.subarray(offset))).toBeNull();
      },
    ),
  );
});
