import { describeWithVectors } from "@egtp/test-kit/vectors";
import { fromHex, toHex } from "@egtp/wire";
import { describe, expect, it } from "vitest";
import type { CryptoProvider, DhKeyPair } from "../src/crypto.ts";
import {
  type HandshakeKeys,
  type HandshakeState,
  readAcceptance,
  readMessage,
  readOffer,
  splitKeys,
  startHandshake,
  type Token,
  writeAcceptance,
  writeMessage,
  writeOffer,
} from "../src/noise.ts";
import { providers } from "./crypto-providers.ts";

interface NoiseVector {
  readonly protocol_name: string;
  readonly init_prologue: string;
  readonly init_static?: string;
  readonly init_ephemeral: string;
  readonly init_remote_static?: string;
  readonly resp_static?: string;
  readonly resp_ephemeral?: string;
  readonly resp_remote_static?: string;
  readonly handshake_hash: string;
  readonly messages: readonly { readonly payload: string; readonly ciphertext: string }[];
}

interface Pattern {
  readonly messages: readonly (readonly Token[])[];
  /** Whether the initiator's static is known beforehand; the responder's always is. */
  readonly initiatorKnown: boolean;
}

const patterns: Readonly<Record<string, Pattern>> = {
  Noise_KK_25519_ChaChaPoly_SHA512: {
    messages: [
      ["e", "es", "ss"],
      ["e", "ee", "se"],
    ],
    initiatorKnown: true,
  },
  Noise_K_25519_ChaChaPoly_SHA512: { messages: [["e", "es", "ss"]], initiatorKnown: true },
  Noise_N_25519_ChaChaPoly_SHA512: { messages: [["e", "es"]], initiatorKnown: false },
};

describeWithVectors<{ readonly vectors: readonly NoiseVector[] }>(
  "Noise vectors",
  "noise-25519-chachapoly-sha512.json",
  ({ vectors }) => {
    const vectorOf = (name: string) => vectors.find((vector) => vector.protocol_name === name)!;

    describe.each(providers)("$name", (crypto) => {
      const pair = (secret: string | undefined) =>
        secret === undefined ? undefined : crypto.dhKeyPairFromSecret(fromHex(secret));

      it.each(Object.keys(patterns))("%s", (name) => {
        const vector = vectorOf(name);
        const pattern = patterns[name]!;
        const initiatorStatic = pair(vector.init_static);
        const responderStatic = pair(vector.resp_static);
        expect(responderStatic && toHex(responderStatic.publicKey)).toBe(vector.init_remote_static);
        expect(initiatorStatic && toHex(initiatorStatic.publicKey)).toBe(vector.resp_remote_static);
        const statics = pattern.initiatorKnown ? [initiatorStatic!, responderStatic!] : [responderStatic!];
        const known = statics.map((key) => key.publicKey);
        let initiatorKeys: HandshakeKeys = {
          role: "initiator",
          ourStatic: initiatorStatic,
          ourEphemeral: pair(vector.init_ephemeral),
          theirStatic: responderStatic?.publicKey,
        };
        let responderKeys: HandshakeKeys = {
          role: "responder",
          ourStatic: responderStatic,
          ourEphemeral: pair(vector.resp_ephemeral),
          theirStatic: initiatorStatic?.publicKey,
        };
        let initiator: HandshakeState = startHandshake(crypto, name, fromHex(vector.init_prologue), known);
        let responder = initiator;
        for (const [i, tokens] of pattern.messages.entries()) {
          const { payload, ciphertext } = vector.messages[i]!;
          const initiates = i % 2 === 0;
          const [from, keys] = initiates ? [initiator, initiatorKeys] : [responder, responderKeys];
          const written = writeMessage(crypto, from, tokens, keys, fromHex(payload));
          expect(toHex(written.message)).toBe(ciphertext);
          const [at, theirKeys] = initiates ? [responder, responderKeys] : [initiator, initiatorKeys];
          const read = readMessage(crypto, at, tokens, theirKeys, written.message)!;
          expect(toHex(read.payload)).toBe(payload);
          [initiator, responder] = initiates ? [written, read] : [read, written];
          if (initiates) responderKeys = { ...responderKeys, theirEphemeral: read.theirEphemeral };
          else initiatorKeys = { ...initiatorKeys, theirEphemeral: read.theirEphemeral };
        }
        expect(toHex(initiator.hash)).toBe(vector.handshake_hash);
        expect(toHex(responder.hash)).toBe(vector.handshake_hash);
        expect(splitKeys(crypto, initiator)).toEqual(splitKeys(crypto, responder));
        expectTransport(crypto, splitKeys(crypto, initiator), vector, pattern.messages.length);
      });

      it("KK as offer and acceptance", () => {
        const vector = vectorOf("Noise_KK_25519_ChaChaPoly_SHA512");
        const [initiator, responder] = [pair(vector.init_static)!, pair(vector.resp_static)!];
        const prologue = fromHex(vector.init_prologue);
        const ephemeral = pair(vector.init_ephemeral)!;
        const offer = writeOffer(crypto, {
          prologue,
          ourStatic: initiator,
          theirStatic: responder.publicKey,
          ephemeral,
          payload: fromHex(vector.messages[0]!.payload),
        });
        expect(toHex(offer.message)).toBe(vector.messages[0]!.ciphertext);
        const theirs = { prologue, ourStatic: responder, theirStatic: initiator.publicKey };
        const read = readOffer(crypto, { ...theirs, message: offer.message })!;
        const acceptance = writeAcceptance(crypto, {
          ...theirs,
          offer: read,
          ephemeral: pair(vector.resp_ephemeral)!,
          payload: fromHex(vector.messages[1]!.payload),
        });
        expect(toHex(acceptance.message)).toBe(vector.messages[1]!.ciphertext);
        expect(toHex(acceptance.hash)).toBe(vector.handshake_hash);
        const done = readAcceptance(crypto, {
          chainingKey: offer.chainingKey,
          hash: offer.hash,
          ourStatic: initiator,
          ephemeral,
          message: acceptance.message,
        })!;
        expect(toHex(done.hash)).toBe(vector.handshake_hash);
        expectTransport(crypto, done, vector, 2);
        expectTransport(crypto, acceptance, vector, 2);
      });
    });
  },
);

/** The messages after the handshake alternate, beginning with whoever did not write last; one-way patterns do not. */
function expectTransport(
  crypto: CryptoProvider,
  keys: { readonly initiatorKey: Uint8Array; readonly responderKey: Uint8Array },
  vector: NoiseVector,
  handshakeMessages: number,
): void {
  const oneWay = handshakeMessages === 1;
  const counters = { initiator: 0, responder: 0 };
  for (let i = handshakeMessages; i < vector.messages.length; i++) {
    const { payload, ciphertext } = vector.messages[i]!;
    const sender = oneWay || i % 2 === 0 ? "initiator" : "responder";
    const out = new Uint8Array(ciphertext.length / 2);
    const key = sender === "initiator" ? keys.initiatorKey : keys.responderKey;
    crypto.seal(key, counters[sender]++, new Uint8Array(0), fromHex(payload), out, 0);
    expect(toHex(out)).toBe(ciphertext);
  }
  expect(vector.messages.length).toBeGreaterThan(handshakeMessages);
}

describe.each(providers)("offer and acceptance over $name", (crypto) => {
  const keyPair = (fill: number): DhKeyPair => crypto.dhKeyPairFromSecret(new Uint8Array(32).fill(fill));
  const [initiator, responder, stranger] = [keyPair(1), keyPair(2), keyPair(3)];
  const [offerEphemeral, acceptanceEphemeral] = [keyPair(4), keyPair(5)];
  const prologue = Uint8Array.of(1, 2, 3);
  const payload = new Uint8Array(32).fill(9);
  const offerArguments = {
    prologue,
    ourStatic: initiator,
    theirStatic: responder.publicKey,
    ephemeral: offerEphemeral,
    payload,
  };
  const theirs = { prologue, ourStatic: responder, theirStatic: initiator.publicKey };
  const offer = writeOffer(crypto, offerArguments);
  const read = readOffer(crypto, { ...theirs, message: offer.message })!;
  const answer = { ...theirs, offer: read, ephemeral: acceptanceEphemeral, payload: payload.subarray(16) };
  const acceptance = writeAcceptance(crypto, answer);
  const pending = {
    chainingKey: offer.chainingKey,
    hash: offer.hash,
    ourStatic: initiator,
    ephemeral: crypto.dhKeyPairFromSecret(offerEphemeral.secret),
  };

  it("are 80 and 64 bytes for the payloads of EGTP", () => {
    expect(offer.message).toHaveLength(80);
    expect(acceptance.message).toHaveLength(64);
  });

  it("give both sides the same state, early key and keys", () => {
    expect(toHex(read.payload)).toBe(toHex(payload));
    expect(toHex(read.theirEphemeral)).toBe(toHex(offerEphemeral.publicKey));
    for (const name of ["chainingKey", "hash", "earlyKey"] as const) {
      expect(toHex(read[name])).toBe(toHex(offer[name]));
    }
    const done = readAcceptance(crypto, { ...pending, message: acceptance.message })!;
    expect(toHex(done.payload)).toBe(toHex(payload.subarray(16)));
    for (const name of ["hash", "initiatorKey", "responderKey"] as const) {
      expect(toHex(done[name])).toBe(toHex(acceptance[name]));
    }
    const keys = [offer.earlyKey, done.initiatorKey, done.responderKey];
    expect(keys.map((key) => key.length)).toEqual([32, 32, 32]);
    expect(new Set(keys.map(toHex)).size).toBe(3);
  });

  it("have an early key that is the first output of HKDF over chaining key and hash", () => {
    expect(toHex(offer.earlyKey)).toBe(toHex(crypto.hkdf2(offer.chainingKey, offer.hash)[0].subarray(0, 32)));
  });

  it("are the same bytes each time, with ss at hand or not", () => {
    const ss = crypto.dh(initiator, responder.publicKey)!;
    expect(writeOffer(crypto, { ...offerArguments, ss })).toEqual(offer);
    expect(readOffer(crypto, { ...theirs, ss, message: offer.message })).toEqual(read);
    expect(writeAcceptance(crypto, answer)).toEqual(acceptance);
  });

  it("leave what they are given as it was", () => {
    const before = [read.chainingKey, read.hash, offer.message, acceptance.message, offer.hash].map(toHex);
    readOffer(crypto, { ...theirs, message: offer.message });
    readAcceptance(crypto, { ...pending, message: flip(acceptance.message, 300) });
    readAcceptance(crypto, { ...pending, message: acceptance.message });
    expect([read.chainingKey, read.hash, offer.message, acceptance.message, offer.hash].map(toHex)).toEqual(before);
  });

  it("do not read when a bit is flipped or bytes are missing", () => {
    const step = crypto.name === "node" ? 1 : 37;
    for (let bit = 0; bit < 8 * offer.message.length; bit += step) {
      expect(readOffer(crypto, { ...theirs, message: flip(offer.message, bit) }), `offer, bit ${bit}`).toBeNull();
    }
    for (let bit = 0; bit < 8 * acceptance.message.length; bit += step) {
      const message = flip(acceptance.message, bit);
      expect(readAcceptance(crypto, { ...pending, message }), `acceptance, bit ${bit}`).toBeNull();
    }
    for (let size = 0; size < 80; size += 7) {
      expect(readOffer(crypto, { ...theirs, message: offer.message.subarray(0, size) })).toBeNull();
      expect(
        readAcceptance(crypto, { ...pending, message: acceptance.message.subarray(0, Math.min(size, 63)) }),
      ).toBeNull();
    }
  });

  it("do not read for a stranger, from a stranger, under another prologue or the other way round", () => {
    const { message } = offer;
    expect(readOffer(crypto, { ...theirs, ourStatic: stranger, message })).toBeNull();
    expect(readOffer(crypto, { ...theirs, theirStatic: stranger.publicKey, message })).toBeNull();
    expect(readOffer(crypto, { ...theirs, prologue: Uint8Array.of(1, 2), message })).toBeNull();
    expect(readOffer(crypto, { prologue, ourStatic: initiator, theirStatic: responder.publicKey, message })).toBeNull();
  });

  it("do not read against another offer, ephemeral or static", () => {
    const other = writeOffer(crypto, { ...offerArguments, ephemeral: stranger });
    const { message } = acceptance;
    expect(readAcceptance(crypto, { ...pending, chainingKey: other.chainingKey, message })).toBeNull();
    expect(readAcceptance(crypto, { ...pending, hash: other.hash, message })).toBeNull();
    expect(readAcceptance(crypto, { ...pending, ephemeral: stranger, message })).toBeNull();
    expect(readAcceptance(crypto, { ...pending, ourStatic: stranger, message })).toBeNull();
  });

  it("do not read with an ephemeral of low order", () => {
    for (const low of [new Uint8Array(32), Uint8Array.of(1, ...new Uint8Array(31))]) {
      const message = offer.message.slice();
      message.set(low);
      expect(readOffer(crypto, { ...theirs, message })).toBeNull();
      expect(readAcceptance(crypto, { ...pending, message: message.subarray(0, 64) })).toBeNull();
    }
  });

  it("are not written to a key of low order", () => {
    expect(() => writeOffer(crypto, { ...offerArguments, theirStatic: new Uint8Array(32) })).toThrow(TypeError);
  });
});

function flip(bytes: Uint8Array, bit: number): Uint8Array {
  const flipped = bytes.slice();
  flipped[bit >> 3]! ^= 1 << (bit & 7);
  return flipped;
}
