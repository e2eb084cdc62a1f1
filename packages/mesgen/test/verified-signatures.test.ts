import { expect, it } from "vitest";
import { portableCryptoProvider } from "../src/crypto-portable.ts";
import { rememberVerified } from "../src/verified-signatures.ts";

const crypto = portableCryptoProvider;
const signer = crypto.identityFromSeed(new Uint8Array(32).fill(7));
const other = crypto.identityFromSeed(new Uint8Array(32).fill(8));

function counting() {
  let asked = 0;
  const remembering = rememberVerified((...facts) => {
    asked += 1;
    return crypto.verify(...facts);
  });
  return { remembering, asked: () => asked };
}

it("the same bytes are verified once, and only those that were found good", () => {
  const { remembering, asked } = counting();
  const message = new Uint8Array(100).fill(1);
  const signature = signer.sign(message);
  for (let round = 0; round < 3; round++) {
    expect(remembering(signer.publicKey, message, signature)).toBe(true);
    expect(remembering(signer.publicKey.slice(), message.slice(), signature.slice())).toBe(true);
  }
  expect(asked()).toBe(1);

  const changed = (bytes: Uint8Array, at: number): Uint8Array => bytes.map((byte, i) => (i === at ? byte ^ 1 : byte));
  for (const at of [0, 31, 63]) {
    expect(remembering(signer.publicKey, message, changed(signature, at))).toBe(false);
    expect(remembering(signer.publicKey, changed(message, at), signature)).toBe(false);
  }
  expect(remembering(other.publicKey, message, signature)).toBe(false);
  expect(remembering(other.publicKey, message, signature)).toBe(false);
  expect(remembering(signer.publicKey, message.subarray(1), signature)).toBe(false);
});

it("what the caller does with the bytes afterwards changes nothing", () => {
  const { remembering } = counting();
  const message = new Uint8Array(100).fill(1);
  const signature = signer.sign(message);
  expect(remembering(signer.publicKey, message, signature)).toBe(true);
  message.fill(2);
  expect(remembering(signer.publicKey, message, signature)).toBe(false);
});

it("a few are remembered, and no long ones", () => {
  const { remembering, asked } = counting();
  const long = new Uint8Array(5_000);
  const signatureOfLong = signer.sign(long);
  remembering(signer.publicKey, long, signatureOfLong);
  remembering(signer.publicKey, long, signatureOfLong);
  expect(asked()).toBe(2);

  const messages = Array.from({ length: 40 }, (_, i) => Uint8Array.of(i));
  const signatures = messages.map((message) => signer.sign(message));
  messages.forEach((message, i) => void remembering(signer.publicKey, message, signatures[i]!));
  const before = asked();
  messages.slice(-30).forEach((message, i) => void remembering(signer.publicKey, message, signatures[i + 10]!));
  expect(asked()).toBe(before);
  remembering(signer.publicKey, messages[0]!, signatures[0]!);
  expect(asked()).toBe(before + 1);
});
