/** Our offer and acceptance against noise-c, an independent implementation of the Noise framework, in both roles. */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { toHex } from "@egtp/wire";
import createNoise from "noise-c.wasm";
import { beforeAll, describe, expect, it } from "vitest";
import { readAcceptance, readOffer, writeAcceptance, writeOffer } from "../src/noise.ts";
import { providers } from "./crypto-providers.ts";

const protocolName = "Noise_KK_25519_ChaChaPoly_SHA512";
const prologue = new TextEncoder().encode("prologue");
const nothing = new Uint8Array(0);
const [first, second] = [new Uint8Array(32).fill(1), new Uint8Array(16).fill(2)];
const text = new TextEncoder().encode("a message after the handshake");

let noise: createNoise.Noise;

beforeAll(async () => {
  const wasmBinary = readFileSync(createRequire(import.meta.url).resolve("noise-c.wasm/src/noise-c.wasm"));
  noise = await new Promise<createNoise.Noise>((resolve) => createNoise({ wasmBinary }, resolve));
});

describe.each(providers)("noise-c against $name", (crypto) => {
  const [ours, theirs] = [crypto.generateDhKeyPair(), crypto.generateDhKeyPair()];

  it("accepts our offer", () => {
    const ephemeral = crypto.generateDhKeyPair();
    const offer = writeOffer(crypto, {
      prologue,
      ourStatic: ours,
      theirStatic: theirs.publicKey,
      ephemeral,
      payload: first,
    });
    const peer = noise.HandshakeState(protocolName, noise.constants.NOISE_ROLE_RESPONDER);
    peer.Initialize(prologue, theirs.secret, ours.publicKey);
    expect(toHex(peer.ReadMessage(offer.message, true)!)).toBe(toHex(first));
    const message = peer.WriteMessage(second);
    const read = readAcceptance(crypto, { ...offer, ourStatic: ours, ephemeral, message })!;
    expect(toHex(read.payload)).toBe(toHex(second));
    expect(toHex(peer.GetHandshakeHash())).toBe(toHex(read.hash));
    const [send, receive] = peer.Split();
    expectTalk(read.initiatorKey, receive, read.responderKey, send);
  });

  it("has its offer accepted by us", () => {
    const peer = noise.HandshakeState(protocolName, noise.constants.NOISE_ROLE_INITIATOR);
    peer.Initialize(prologue, theirs.secret, ours.publicKey);
    const statics = { prologue, ourStatic: ours, theirStatic: theirs.publicKey };
    const offer = readOffer(crypto, { ...statics, message: peer.WriteMessage(first) })!;
    expect(toHex(offer.payload)).toBe(toHex(first));
    const acceptance = writeAcceptance(crypto, {
      ...statics,
      offer,
      ephemeral: crypto.generateDhKeyPair(),
      payload: second,
    });
    expect(toHex(peer.ReadMessage(acceptance.message, true)!)).toBe(toHex(second));
    expect(toHex(peer.GetHandshakeHash())).toBe(toHex(acceptance.hash));
    const [send, receive] = peer.Split();
    expectTalk(acceptance.responderKey, receive, acceptance.initiatorKey, send);
  });

  /** Two messages each way, so that the counters move. */
  function expectTalk(
    ourKey: Uint8Array,
    theirReceive: createNoise.CipherState,
    theirKey: Uint8Array,
    theirSend: createNoise.CipherState,
  ): void {
    for (const counter of [0, 1]) {
      const sealed = new Uint8Array(text.length + 16);
      crypto.seal(ourKey, counter, prologue, text, sealed, 0);
      expect(toHex(theirReceive.DecryptWithAd(prologue, sealed))).toBe(toHex(text));
      const opened = crypto.open(theirKey, counter, nothing, theirSend.EncryptWithAd(nothing, text));
      expect(toHex(opened!)).toBe(toHex(text));
    }
  }
});
