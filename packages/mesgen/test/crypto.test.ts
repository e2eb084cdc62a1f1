import { fromHex, toHex } from "@egtp/wire";
import { describe, expect, it } from "vitest";
import { defaultCryptoProvider } from "#crypto-provider";
import { type CryptoProvider, type DhKeyPair, tagBytes } from "../src/crypto.ts";
import { portableCryptoProvider } from "../src/crypto-portable.ts";
import { nodeCryptoProvider } from "../src/nodejs/crypto-node.ts";
import { providers } from "./crypto-providers.ts";

const order = 2n ** 252n + 27742317777372353535851937790883648493n;
const p = 2n ** 255n - 19n;

// The eight points of low order; the first four are y = 1, -1 and 0 with either sign.
const lowOrderPoints = [
  littleEndian(1n),
  littleEndian(p - 1n),
  littleEndian(0n),
  littleEndian(2n ** 255n),
  fromHex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
  fromHex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85"),
  fromHex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
  fromHex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa"),
];

const notCanonical = [
  { name: "y = p", bytes: littleEndian(p) },
  { name: "y = p + 1", bytes: littleEndian(p + 1n) },
  { name: "y = 2^255 - 1", bytes: littleEndian(2n ** 255n - 1n) },
  { name: "y = p with the sign bit", bytes: littleEndian(p + 2n ** 255n) },
  { name: "y = 1 with the sign bit", bytes: littleEndian(1n + 2n ** 255n) },
  { name: "y = -1 with the sign bit", bytes: littleEndian(p - 1n + 2n ** 255n) },
];

it("is node:crypto by default in Node", () => {
  expect(defaultCryptoProvider).toBe(nodeCryptoProvider);
});

describe.each(providers)("crypto provider $name", (crypto) => {
  const seed = fromHex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60");
  const identity = crypto.identityFromSeed(seed);
  const message = new TextEncoder().encode("a message");
  const signature = identity.sign(message);

  describe("Ed25519", () => {
    it("signs as RFC 8032 says", () => {
      expect(toHex(identity.publicKey)).toBe("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
      expect(toHex(identity.sign(new Uint8Array(0)))).toBe(
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
      );
      expect(crypto.verify(identity.publicKey, message, signature)).toBe(true);
    });

    it("refuses S + L, which the equation allows", () => {
      const s = bigintOf(signature.subarray(32));
      expect(crypto.verify(identity.publicKey, message, join(signature.subarray(0, 32), littleEndian(s + order)))).toBe(
        false,
      );
    });

    it("refuses S = L with R and A of low order, which the equation allows, and accepts S = 0", () => {
      // For A = R = (0, 1) the equation is S * B = 0.
      const neutral = littleEndian(1n);
      expect(crypto.verify(neutral, message, join(neutral, littleEndian(order)))).toBe(false);
      expect(crypto.verify(neutral, message, join(neutral, littleEndian(0n)))).toBe(true);
    });

    it("checks the equation without the cofactor", () => {
      // With A of order 2, R = S * B - h * A is R = S * B for an even hash h alone; with the cofactor any h would do.
      const [a, s] = [littleEndian(p - 1n), littleEndian(0n)];
      const r = littleEndian(1n);
      const verdicts = new Set<boolean>();
      for (let i = 0; i < 16; i++) {
        const text = Uint8Array.of(i);
        const even = (bigintOf(crypto.sha512(r, a, text)) % order) % 2n === 0n;
        expect(crypto.verify(a, text, join(r, s))).toBe(even);
        verdicts.add(even);
      }
      expect(verdicts.size).toBe(2);
    });

    it.each(notCanonical)("refuses $name as R and as public key", ({ bytes }) => {
      for (const s of [littleEndian(0n), signature.subarray(32)]) {
        expect(crypto.verify(bytes, message, join(littleEndian(1n), s))).toBe(false);
        expect(crypto.verify(littleEndian(1n), message, join(bytes, s))).toBe(false);
        expect(crypto.verify(identity.publicKey, message, join(bytes, s))).toBe(false);
      }
    });

    it("refuses a public key off the curve", () => {
      expect(crypto.verify(littleEndian(2n), message, signature)).toBe(false);
    });

    it("refuses keys and signatures of another size", () => {
      for (const size of [0, 31, 33]) expect(crypto.verify(new Uint8Array(size), message, signature)).toBe(false);
      for (const size of [0, 63, 65]) {
        expect(crypto.verify(identity.publicKey, message, join(signature, new Uint8Array(1)).subarray(0, size))).toBe(
          false,
        );
      }
    });

    it("refuses each flipped bit", () => {
      for (let bit = 0; bit < 512; bit += crypto.name === "node" ? 1 : 17) {
        expect(crypto.verify(identity.publicKey, message, flip(signature, bit)), `bit ${bit}`).toBe(false);
      }
    });
  });

  describe("X25519 image of an identity", () => {
    it("is the same by the public and by the secret half", () => {
      expect(toHex(crypto.dhPublicKeyOf(identity.publicKey)!)).toBe(toHex(identity.dh.publicKey));
      expect(toHex(crypto.dhKeyPairFromSecret(identity.dh.secret).publicKey)).toBe(toHex(identity.dh.publicKey));
    });

    it("does not know the sign of x", () => {
      const negated = flip(identity.publicKey, 255);
      expect(toHex(crypto.dhPublicKeyOf(negated)!)).toBe(toHex(identity.dh.publicKey));
    });

    it.each(notCanonical)("refuses $name", ({ bytes }) => {
      expect(crypto.dhPublicKeyOf(bytes)).toBeNull();
    });

    it("refuses keys off the curve and of another size", () => {
      expect(crypto.dhPublicKeyOf(littleEndian(2n))).toBeNull();
      for (const size of [0, 31, 33, 64]) expect(crypto.dhPublicKeyOf(new Uint8Array(size).fill(1))).toBeNull();
    });

    it("refuses the eight points of low order", () => {
      for (const point of lowOrderPoints) expect(crypto.dhPublicKeyOf(point), `${toHex(point)}`).toBeNull();
    });
  });

  describe("X25519", () => {
    it("agrees on a secret with and without the provider's handle, and with another provider's keys", () => {
      const ours = crypto.generateDhKeyPair();
      for (const other of providers) {
        const theirs = other.generateDhKeyPair();
        const secret = toHex(crypto.dh(ours, theirs.publicKey)!);
        expect(toHex(other.dh(theirs, ours.publicKey)!)).toBe(secret);
        const bare: DhKeyPair = { publicKey: theirs.publicKey, secret: theirs.secret };
        expect(toHex(crypto.dh(bare, ours.publicKey)!)).toBe(secret);
        expect(toHex(crypto.dh(theirs, ours.publicKey)!)).toBe(secret);
      }
    });

    it("keeps the secret as given and copies it", () => {
      const secret = new Uint8Array(32).fill(0xff);
      const pair = crypto.dhKeyPairFromSecret(secret);
      secret.fill(0);
      expect(toHex(pair.secret)).toBe("ff".repeat(32));
    });

    it("refuses public keys of another size as a peer's fault, secrets as ours", () => {
      for (const size of [0, 31, 33]) {
        expect(crypto.dh(identity.dh, new Uint8Array(size).fill(9))).toBeNull();
        expect(() => crypto.dhKeyPairFromSecret(new Uint8Array(size))).toThrow(RangeError);
        expect(() => crypto.identityFromSeed(new Uint8Array(size))).toThrow(RangeError);
      }
    });
  });

  describe("seal and open", () => {
    const key = new Uint8Array(32).fill(7);
    const ad = fromHex("010203");

    it("uses Noise's nonce", () => {
      // Under counter 0x0706050403 the nonce is 00000000 0304050607000000.
      const sealed = seal(crypto, key, 0x0706050403, ad, message);
      expect(toHex(sealed)).toBe(toHex(seal(portableCryptoProvider, key, 0x0706050403, ad, message)));
      expect(toHex(seal(crypto, new Uint8Array(32), 0, new Uint8Array(0), new Uint8Array(32)).subarray(0, 32))).toBe(
        "9f07e7be5551387a98ba977c732d080dcb0f29a048e3656912c6533e32ee7aed", // RFC 8439, A.1, test vector 2
      );
    });

    it("opens what it sealed, at any offset and alignment, and writes nothing else", () => {
      for (const size of [0, 1, 15, 16, 63, 64, 65, 1000]) {
        const plaintext = crypto.randomBytes(size);
        for (const offset of [0, 1, 2, 3, 58]) {
          const out = new Uint8Array(offset + size + tagBytes + 5).fill(0xee);
          crypto.seal(key, size, ad, plaintext, out, offset);
          expect(toHex(out.subarray(0, offset))).toBe("ee".repeat(offset));
          expect(toHex(out.subarray(offset + size + tagBytes))).toBe("ee".repeat(5));
          const opened = crypto.open(key, size, ad, out.subarray(offset, offset + size + tagBytes));
          expect(opened && toHex(opened)).toBe(toHex(plaintext));
        }
      }
    });

    it("seals in place, with its associated data before it in the same buffer", () => {
      for (const offset of [58, 60]) {
        const buffer = crypto.randomBytes(offset + 200 + tagBytes);
        const [header, plaintext] = [buffer.slice(0, offset), buffer.slice(offset, offset + 200)];
        crypto.seal(key, 1, buffer.subarray(0, offset), buffer.subarray(offset, offset + 200), buffer, offset);
        expect(toHex(buffer.subarray(0, offset))).toBe(toHex(header));
        expect(toHex(crypto.open(key, 1, header, buffer.subarray(offset))!)).toBe(toHex(plaintext));
      }
    });

    it("opens nothing that was changed, cut or moved", () => {
      const sealed = seal(crypto, key, 5, ad, message);
      for (let bit = 0; bit < 8 * sealed.length; bit++) expect(crypto.open(key, 5, ad, flip(sealed, bit))).toBeNull();
      for (let size = 0; size < sealed.length; size++)
        expect(crypto.open(key, 5, ad, sealed.subarray(0, size))).toBeNull();
      for (let bit = 0; bit < 8 * ad.length; bit++) expect(crypto.open(key, 5, flip(ad, bit), sealed)).toBeNull();
      expect(crypto.open(key, 4, ad, sealed)).toBeNull();
      expect(crypto.open(key, 5 + 2 ** 32, ad, sealed)).toBeNull();
      expect(crypto.open(flip(key, 0), 5, ad, sealed)).toBeNull();
      expect(crypto.open(key, 5, ad, sealed)).not.toBeNull();
    });

    it("throws on counters that are none, keys of another size and too little room", () => {
      for (const counter of [-1, 0.5, Number.NaN, 2 ** 53]) {
        expect(() => seal(crypto, key, counter, ad, message)).toThrow(RangeError);
        expect(() => crypto.open(key, counter, ad, message)).toThrow(RangeError);
      }
      expect(() => seal(crypto, key.subarray(1), 0, ad, message)).toThrow(RangeError);
      expect(() => crypto.open(key.subarray(1), 0, ad, message)).toThrow(RangeError);
      const out = new Uint8Array(message.length + tagBytes);
      expect(() => crypto.seal(key, 0, ad, message, out, 1)).toThrow(RangeError);
      expect(() => crypto.seal(key, 0, ad, message, out.subarray(1), 0)).toThrow(RangeError);
    });
  });

  it("hashes parts as if joined", () => {
    const empty =
      "cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e";
    expect(toHex(crypto.sha512())).toBe(empty);
    expect(toHex(crypto.sha512(message.subarray(0, 3), message.subarray(3)))).toBe(toHex(crypto.sha512(message)));
    expect(toHex(crypto.hmacSha512(seed, message.subarray(0, 3), message.subarray(3)))).toBe(
      toHex(crypto.hmacSha512(seed, message)),
    );
  });

  it("compares", () => {
    expect(crypto.equal(new Uint8Array(0), new Uint8Array(0))).toBe(true);
    expect(crypto.equal(seed, Uint8Array.from(seed))).toBe(true);
    expect(crypto.equal(seed, flip(seed, 255))).toBe(false);
    expect(crypto.equal(seed, seed.subarray(1))).toBe(false);
  });

  it("gives as many random bytes as asked, never the same", () => {
    expect(crypto.randomBytes(0)).toHaveLength(0);
    expect(crypto.randomBytes(100_000)).toHaveLength(100_000);
    expect(toHex(crypto.randomBytes(16))).not.toBe(toHex(crypto.randomBytes(16)));
    expect(toHex(crypto.generateDhKeyPair().secret)).not.toBe(toHex(crypto.generateDhKeyPair().secret));
  });

  it("gives plain arrays that share no memory", () => {
    const pair = crypto.generateDhKeyPair();
    const sealed = seal(crypto, seed, 0, message, message);
    const results = {
      random: crypto.randomBytes(32),
      publicKey: pair.publicKey,
      secret: pair.secret,
      imported: crypto.dhKeyPairFromSecret(seed).secret,
      shared: crypto.dh(pair, identity.dh.publicKey)!,
      identity: identity.publicKey,
      signature,
      image: crypto.dhPublicKeyOf(identity.publicKey)!,
      hash: crypto.sha512(seed),
      mac: crypto.hmacSha512(seed, seed),
      first: crypto.hkdf2(seed, seed)[0],
      second: crypto.hkdf2(seed, seed)[1],
      opened: crypto.open(seed, 0, message, sealed)!,
    };
    for (const [name, bytes] of Object.entries(results)) {
      expect(Object.getPrototypeOf(bytes), `${name}`).toBe(Uint8Array.prototype);
      expect(bytes.buffer.byteLength, `${name}`).toBe(bytes.length);
    }
  });
});

function seal(
  crypto: CryptoProvider,
  key: Uint8Array,
  counter: number,
  ad: Uint8Array,
  plaintext: Uint8Array,
): Uint8Array {
  const out = new Uint8Array(plaintext.length + tagBytes);
  crypto.seal(key, counter, ad, plaintext, out, 0);
  return out;
}

function littleEndian(value: bigint): Uint8Array {
  return fromHex(value.toString(16).padStart(64, "0")).reverse();
}

function bigintOf(bytes: Uint8Array): bigint {
  return BigInt(`0x${toHex(bytes.slice().reverse())}`);
}

function flip(bytes: Uint8Array, bit: number): Uint8Array {
  const flipped = bytes.slice();
  flipped[bit >> 3]! ^= 1 << (bit & 7);
  return flipped;
}

function join(...parts: Uint8Array[]): Uint8Array {
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}
