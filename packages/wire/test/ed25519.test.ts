/** The strict Ed25519 verifier, on the vectors of Project Wycheproof and on what the library below would accept. */

import { describeWithVectors, type Wycheproof, type WycheproofTest } from "@egtp/test-kit/vectors";
import nacl from "tweetnacl";
import { describe, expect, it } from "vitest";
import { fromHex, signatureBytes, verifyEd25519 } from "../src/index.ts";
import { sampleBytes } from "./support.ts";

interface Group {
  readonly publicKey: { readonly pk: string };
  readonly tests: readonly (WycheproofTest & { readonly msg: string; readonly sig: string })[];
}

describeWithVectors<Wycheproof<Group>>("Wycheproof", "ed25519_test.json", (vectors) => {
  const cases = vectors.testGroups.flatMap(({ publicKey, tests }) =>
    tests.map((test) => ({ ...test, pk: publicKey.pk })),
  );
  const verdict = (tcId: number) => {
    const { pk, msg, sig } = cases.find((test) => test.tcId === tcId)!;
    return verifyEd25519(fromHex(pk), fromHex(msg), fromHex(sig));
  };

  it("are all there", () => {
    expect(cases).toHaveLength(vectors.numberOfTests);
    expect(cases.length).toBeGreaterThan(140);
  });

  it("get the verdict that they demand", { timeout: 60_000 }, () => {
    const wrong = cases.filter(({ tcId, result }) => verdict(tcId) !== (result === "valid"));
    expect(wrong).toEqual([]);
  });

  it.each([63, 64, 65, 66, 85])("number %i, with s at or above the group order, is refused", (tcId) => {
    expect(verdict(tcId)).toBe(false);
  });
});

describe("verifyEd25519", () => {
  const keys = nacl.sign.keyPair.fromSeed(new Uint8Array(32).fill(5));
  const message = sampleBytes(50);
  const signature = nacl.sign.detached(message, keys.secretKey);
  const identityPoint = fromHex(`01${"00".repeat(31)}`);
  const zeroSignature = fromHex(`01${"00".repeat(63)}`);

  it("accepts a signature and refuses it for another message or key", () => {
    expect(verifyEd25519(keys.publicKey, message, signature)).toBe(true);
    expect(verifyEd25519(keys.publicKey, sampleBytes(50, 2), signature)).toBe(false);
    expect(verifyEd25519(nacl.sign.keyPair().publicKey, message, signature)).toBe(false);
  });

  it("refuses wrong lengths", () => {
    expect(verifyEd25519(keys.publicKey.subarray(1), message, signature)).toBe(false);
    expect(verifyEd25519(keys.publicKey, message, signature.subarray(1))).toBe(false);
    expect(verifyEd25519(keys.publicKey, message, new Uint8Array(signatureBytes + 1))).toBe(false);
    expect(verifyEd25519(new Uint8Array(0), message, new Uint8Array(0))).toBe(false);
  });

  it("is cofactorless, and takes a canonical key of low order for what it is", () => {
    expect(verifyEd25519(identityPoint, message, zeroSignature)).toBe(true);
  });

  it.each([
    ["y = p + 1", `ee${"ff".repeat(30)}7f`],
    ["x = 0 with a sign", `01${"00".repeat(30)}80`],
  ])("refuses a key in another encoding, which the library would accept: %s", (_, hex) => {
    expect(nacl.sign.detached.verify(message, zeroSignature, fromHex(hex))).toBe(true);
    expect(verifyEd25519(fromHex(hex), message, zeroSignature)).toBe(false);
  });

  it("refuses s equal to the group order, which the library would accept", () => {
    const order = "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010";
    const withOrder = fromHex(`01${"00".repeat(31)}${order}`);
    expect(nacl.sign.detached.verify(message, withOrder, identityPoint)).toBe(true);
    expect(verifyEd25519(identityPoint, message, withOrder)).toBe(false);
  });
});
