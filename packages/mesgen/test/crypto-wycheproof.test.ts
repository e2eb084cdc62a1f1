import { describeWithVectors, type Wycheproof, type WycheproofTest } from "@egtp/test-kit/vectors";
import { fromHex, toHex } from "@egtp/wire";
import { beforeAll, describe, expect, it } from "vitest";
import { tagBytes } from "../src/crypto.ts";
import { aeads, providers } from "./crypto-providers.ts";

interface DhGroup {
  readonly tests: readonly (WycheproofTest & {
    readonly public: string;
    readonly private: string;
    readonly shared: string;
  })[];
}

describeWithVectors<Wycheproof<DhGroup>>("Wycheproof X25519", "x25519_test.json", (vectors) => {
  const tests = vectors.testGroups.flatMap((group) => group.tests);

  describe.each(providers)("$name", (crypto) => {
    it("refuses the 31 shared secrets of zero and computes all others", () => {
      // "acceptable" marks what RFC 7748 lets an implementation refuse. We compute it all (twist points and coordinates
      // that are not reduced too, with the result that the RFC gives), save shared secrets of zero.
      let refused = 0;
      for (const test of tests) {
        const shared = crypto.dh(crypto.dhKeyPairFromSecret(fromHex(test.private)), fromHex(test.public));
        const zero = test.flags.includes("ZeroSharedSecret");
        if (zero) refused++;
        expect(shared && toHex(shared), `tcId ${test.tcId}`).toBe(zero ? null : test.shared);
      }
      expect(refused).toBe(31);
      expect(tests).toHaveLength(vectors.numberOfTests);
    });
  });
});

interface SignatureGroup {
  readonly publicKey: { readonly pk: string };
  readonly tests: readonly (WycheproofTest & { readonly msg: string; readonly sig: string })[];
}

describeWithVectors<Wycheproof<SignatureGroup>>("Wycheproof Ed25519", "ed25519_test.json", (vectors) => {
  describe.each(providers)("$name", (crypto) => {
    it("accepts what is valid and refuses all else, also S out of range and garbage", () => {
      let ran = 0;
      for (const group of vectors.testGroups) {
        for (const test of group.tests) {
          const verdict = crypto.verify(fromHex(group.publicKey.pk), fromHex(test.msg), fromHex(test.sig));
          expect(verdict, `tcId ${test.tcId}: ${test.comment}`).toBe(test.result === "valid");
          ran++;
        }
      }
      expect(ran).toBe(vectors.numberOfTests);
    });
  });
});

interface AeadGroup {
  readonly ivSize: number;
  readonly tests: readonly (WycheproofTest & {
    readonly key: string;
    readonly iv: string;
    readonly aad: string;
    readonly msg: string;
    readonly ct: string;
    readonly tag: string;
  })[];
}

describeWithVectors<Wycheproof<AeadGroup>>("Wycheproof ChaCha20-Poly1305", "chacha20_poly1305_test.json", (vectors) => {
  const groups = vectors.testGroups.filter((group) => group.ivSize === 96); // the seam knows no other nonce

  describe.each(aeads)("$name", ({ seal, open, prepare }) => {
    beforeAll(() => prepare?.());

    it("seals and opens what is valid and opens nothing else", () => {
      for (const test of groups.flatMap((group) => group.tests)) {
        const [key, nonce, aad] = [fromHex(test.key), fromHex(test.iv), fromHex(test.aad)];
        const message = fromHex(test.msg);
        const opened = open(key, nonce, aad, fromHex(test.ct + test.tag));
        const valid = test.result === "valid";
        expect(opened && toHex(opened), `tcId ${test.tcId}`).toBe(valid ? test.msg : null);
        const sealed = new Uint8Array(message.length + tagBytes);
        seal(key, nonce, aad, message, sealed, 0);
        expect(toHex(sealed) === test.ct + test.tag, `tcId ${test.tcId}`).toBe(valid);
      }
    });
  });
});

interface HkdfGroup {
  readonly tests: readonly (WycheproofTest & {
    readonly ikm: string;
    readonly salt: string;
    readonly info: string;
    readonly size: number;
    readonly okm: string;
  })[];
}

describeWithVectors<Wycheproof<HkdfGroup>>("Wycheproof HKDF-SHA512", "hkdf_sha512_test.json", (vectors) => {
  const tests = vectors.testGroups.flatMap((group) => group.tests).filter((test) => test.size <= 255 * 64); // longer outputs do not exist, and the seam cannot ask for them

  describe.each(providers)("$name", (crypto) => {
    it("gives the outputs of HKDF by its HMAC", () => {
      expect(tests.every((test) => test.result === "valid")).toBe(true);
      for (const test of tests) {
        const extracted = crypto.hmacSha512(fromHex(test.salt), fromHex(test.ikm));
        const info = fromHex(test.info);
        let block: Uint8Array = new Uint8Array(0);
        let output = "";
        for (let i = 1; output.length < 2 * test.size; i++) {
          block = crypto.hmacSha512(extracted, block, info, Uint8Array.of(i));
          output += toHex(block);
        }
        expect(output.slice(0, 2 * test.size), `tcId ${test.tcId}`).toBe(test.okm);
      }
    });

    it("gives them by hkdf2 where there is no info", () => {
      const plain = tests.filter((test) => test.info === "" && test.size <= 128);
      expect(plain.length).toBeGreaterThan(10);
      for (const test of plain) {
        const [first, second] = crypto.hkdf2(fromHex(test.salt), fromHex(test.ikm));
        expect((toHex(first) + toHex(second)).slice(0, 2 * test.size), `tcId ${test.tcId}`).toBe(test.okm);
      }
    });
  });
});
