/** The cipher for short texts beside its twins: noble's, and that of `node:crypto`, which is asked directly. */
import { createCipheriv, createHash } from "node:crypto";
import { chacha20, chacha20poly1305 } from "@noble/ciphers/chacha.js";
import { describe, expect, it } from "vitest";
import { tagBytes } from "../src/crypto.ts";
import { maxShortBytes, openShort, sealShort } from "../src/short-cipher.ts";
import { fromHex, toHex } from "./vectors.ts";

/** Bytes that look random and are always the same. */
function drawn(label: string, length: number): Uint8Array {
  return createHash("shake256", { outputLength: Math.max(1, length) })
    .update(label)
    .digest()
    .subarray(0, length);
}

function openssl(key: Uint8Array, nonce: Uint8Array, associatedData: Uint8Array, plaintext: Uint8Array): Uint8Array {
  const cipher = createCipheriv("chacha20-poly1305", key, nonce, { authTagLength: tagBytes });
  cipher.setAAD(associatedData, { plaintextLength: plaintext.length });
  return Buffer.concat([cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]);
}

const modulus = 2n ** 130n - 5n;
const mod = (value: bigint) => ((value % modulus) + modulus) % modulus;
const number = (bytes: Uint8Array) => BigInt(`0x${toHex(Uint8Array.from(bytes).reverse())}`);
const bytesOf = (value: bigint) => fromHex(value.toString(16).padStart(32, "0")).reverse();

function power(base: bigint, exponent: bigint): bigint {
  let result = 1n;
  for (let square = base, rest = exponent; rest > 0n; rest >>= 1n, square = (square * square) % modulus) {
    if ((rest & 1n) === 1n) result = (result * square) % modulus;
  }
  return result;
}

/** The key of the authenticator: what the key stream begins with, before that of the text. */
function polyKeyOf(key: Uint8Array, nonce: Uint8Array): Uint8Array {
  return chacha20(key, nonce, new Uint8Array(32), undefined, 0);
}

function streamOf(key: Uint8Array, nonce: Uint8Array, length: number): Uint8Array {
  return chacha20(key, nonce, new Uint8Array(length), undefined, 1);
}

function seal(key: Uint8Array, nonce: Uint8Array, associatedData: Uint8Array, plaintext: Uint8Array): Uint8Array {
  const out = new Uint8Array(3 + plaintext.length + tagBytes);
  sealShort(key, nonce, associatedData, plaintext, out, 3);
  expect(toHex(out.subarray(0, 3))).toBe("000000");
  return out.subarray(3);
}

describe("the cipher for short texts", () => {
  it("agrees with both twins at every length", () => {
    for (let length = 0; length <= maxShortBytes + 70; length++) {
      const key = drawn(`key ${length}`, 32);
      const nonce = drawn(`nonce ${length}`, 12);
      const associatedData = drawn(`data ${length}`, length % 180);
      const plaintext = drawn(`text ${length}`, length);
      const sealed = seal(key, nonce, associatedData, plaintext);
      expect(toHex(sealed), `${length} bytes`).toBe(toHex(openssl(key, nonce, associatedData, plaintext)));
      expect(toHex(sealed)).toBe(toHex(chacha20poly1305(key, nonce, associatedData).encrypt(plaintext)));
      expect(toHex(openShort(key, nonce, associatedData, sealed)!)).toBe(toHex(plaintext));
    }
  });

  it("agrees with them where limbs are fullest, over many keys", () => {
    // Ciphertext of nothing but ones is what fills them: the text is the key stream, inverted.
    const full = new Uint8Array(128).fill(0xff);
    for (let i = 0; i < 2_000; i++) {
      const key = i % 2 === 0 ? drawn(`full ${i}`, 32) : new Uint8Array(32).fill(0xff);
      const nonce = drawn(`full nonce ${i}`, 12);
      const stream = streamOf(key, nonce, 128);
      const plaintext = stream.map((byte) => byte ^ 0xff);
      const sealed = seal(key, nonce, full, plaintext);
      expect(toHex(sealed.subarray(0, 128))).toBe(toHex(full));
      expect(toHex(sealed)).toBe(toHex(openssl(key, nonce, full, plaintext)));
    }
  });

  it("reduces what ends at or just above the modulus", () => {
    // Two blocks of ciphertext, the second chosen so that the sum is `target` modulo 2^130 - 5: hardly ever met by chance.
    let met = 0;
    for (let i = 0; i < 1_500; i++) {
      const target = BigInt(i % 15);
      const [key, nonce, first] = [drawn(`mod ${i}`, 32), drawn(`mod nonce ${i}`, 12), drawn(`mod first ${i}`, 16)];
      const stream = streamOf(key, nonce, 32);
      const r = number(polyKeyOf(key, nonce).subarray(0, 16)) & 0x0ffffffc0ffffffc0ffffffc0fffffffn;
      const inverse = power(r, modulus - 2n);
      const lengths = (32n << 64n) + (1n << 128n);
      const before = ((number(first) + (1n << 128n)) * r) % modulus;
      const second = mod(((mod(target * inverse - lengths) * inverse) % modulus) - before);
      if (second >> 128n !== 1n) continue;
      met++;
      const ciphertext = Uint8Array.from([...first, ...bytesOf(second - (1n << 128n))]);
      const plaintext = ciphertext.map((byte, at) => byte ^ stream[at]!);
      const sealed = seal(key, nonce, new Uint8Array(0), plaintext);
      expect(toHex(sealed.subarray(0, 32))).toBe(toHex(ciphertext));
      const pad = number(polyKeyOf(key, nonce).subarray(16));
      expect(toHex(sealed.subarray(32)), `target ${target}`).toBe(toHex(bytesOf((target + pad) % (1n << 128n))));
      expect(toHex(sealed)).toBe(toHex(openssl(key, nonce, new Uint8Array(0), plaintext)));
    }
    expect(met).toBeGreaterThan(200);
  });

  it("opens nothing in which a bit was changed, nor what is shorter than a tag", () => {
    const [key, nonce, associatedData] = [drawn("key", 32), drawn("nonce", 12), drawn("data", 58)];
    const sealed = seal(key, nonce, associatedData, drawn("text", 75));
    for (const bytes of [key, nonce, associatedData, sealed]) {
      for (let bit = 0; bit < 8 * bytes.length; bit++) {
        bytes[bit >> 3]! ^= 1 << (bit & 7);
        expect(openShort(key, nonce, associatedData, sealed), `bit ${bit}`).toBeNull();
        bytes[bit >> 3]! ^= 1 << (bit & 7);
      }
    }
    expect(openShort(key, nonce, associatedData, sealed)).not.toBeNull();
    for (let length = 0; length < sealed.length; length++) {
      expect(openShort(key, nonce, associatedData, sealed.subarray(0, length)), `${length} bytes`).toBeNull();
    }
  });

  it("seals in place", () => {
    const [key, nonce, plaintext] = [drawn("key", 32), drawn("nonce", 12), drawn("text", 200)];
    const memory = new Uint8Array(200 + tagBytes);
    memory.set(plaintext);
    sealShort(key, nonce, new Uint8Array(0), memory.subarray(0, 200), memory, 0);
    expect(toHex(memory)).toBe(toHex(openssl(key, nonce, new Uint8Array(0), plaintext)));
  });
});
