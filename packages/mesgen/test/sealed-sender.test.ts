import { fromHex, toHex } from "@egtp/wire";
import { describe, expect, it } from "vitest";
import { openSender, sealedSenderBytes, sealSender } from "../src/sealed-sender.ts";
import { providers } from "./crypto-providers.ts";

describe.each(providers)("sealed sender over $name", (crypto) => {
  const seed = (fill: number) => new Uint8Array(32).fill(fill);
  const [sender, recipient, stranger] = [1, 2, 3].map((fill) => crypto.identityFromSeed(seed(fill))) as [
    ReturnType<typeof crypto.identityFromSeed>,
    ReturnType<typeof crypto.identityFromSeed>,
    ReturnType<typeof crypto.identityFromSeed>,
  ];
  const ephemeral = crypto.dhKeyPairFromSecret(seed(4));
  const sealed = sealSender(crypto, recipient.dh.publicKey, recipient.publicKey, sender.publicKey, ephemeral);

  it("opens for its recipient, in its fixed size", () => {
    expect(sealed).toHaveLength(sealedSenderBytes);
    expect(toHex(sealed.subarray(0, 32))).toBe(toHex(ephemeral.publicKey));
    const opened = openSender(crypto, recipient.dh, recipient.publicKey, sealed);
    expect(opened && toHex(opened)).toBe(toHex(sender.publicKey));
  });

  it("is made as the specification says", () => {
    const ad = fromHex(`${toHex(new TextEncoder().encode("egtp sealed"))}01${toHex(recipient.publicKey)}`);
    const salt = crypto.sha512(ad.subarray(0, 12), ephemeral.publicKey, recipient.dh.publicKey);
    const key = crypto.hkdf2(salt, crypto.dh(ephemeral, recipient.dh.publicKey)!)[0].slice(0, 32);
    expect(toHex(crypto.open(key, 0, ad, sealed.subarray(32))!)).toBe(toHex(sender.publicKey));
  });

  it("opens for nobody else and not for another ID of the same key", () => {
    expect(openSender(crypto, stranger.dh, stranger.publicKey, sealed)).toBeNull();
    expect(openSender(crypto, stranger.dh, recipient.publicKey, sealed)).toBeNull();
    const negated = recipient.publicKey.slice();
    negated[31]! ^= 0x80; // the same X25519 key
    expect(openSender(crypto, recipient.dh, negated, sealed)).toBeNull();
  });

  it("opens no other bytes", () => {
    for (let bit = 0; bit < 8 * sealed.length; bit += crypto.name === "node" ? 1 : 31) {
      const flipped = sealed.slice();
      flipped[bit >> 3]! ^= 1 << (bit & 7);
      expect(openSender(crypto, recipient.dh, recipient.publicKey, flipped), `bit ${bit}`).toBeNull();
    }
    for (const size of [0, 32, 79]) {
      expect(openSender(crypto, recipient.dh, recipient.publicKey, sealed.subarray(0, size))).toBeNull();
    }
    expect(openSender(crypto, recipient.dh, recipient.publicKey, new Uint8Array(sealedSenderBytes))).toBeNull();
  });

  it("is not sealed to a key of low order", () => {
    expect(() => sealSender(crypto, seed(0), recipient.publicKey, sender.publicKey, ephemeral)).toThrow(TypeError);
  });
});
