/** Everything of this package that reads bytes from outside, for `fuzz.property.test.ts` and the long run. */
import assert from "node:assert/strict";
import type { BytesTarget, FuzzedPackage } from "@egtp/test-kit/fuzz";
import {
  ByteReader,
  ByteWriter,
  type Epoch,
  encodeEnvelopeHeader,
  envelopeHeaderBytes,
  fromHex,
  type StoreTag,
  toHex,
} from "@egtp/wire";
import { readControl, withControl } from "../src/control-frames.ts";
import { tagBytes } from "../src/crypto.ts";
import { openWithNonce as openPortably } from "../src/crypto-portable.ts";
import { type CryptoProvider, defaultCryptoProvider, identityFromSeed, portableCryptoProvider } from "../src/index.ts";
import { openWithNonce } from "../src/nodejs/crypto-node.ts";
import { readMessage, startHandshake } from "../src/noise.ts";
import {
  consumeAcceptance,
  consumeOffer,
  createAcceptance,
  createOffer,
  noTag,
  offerIdOfAcceptance,
  type Statics,
} from "../src/offer.ts";
import { openSender, sealSender } from "../src/sealed-sender.ts";
import { fingerprint, TestPeer, textFrame } from "./peers.ts";

const now = 1_800_000_000_000;

/** The same "random" bytes each time. */
function repeatable(): CryptoProvider {
  let count = 0;
  const randomBytes = (length: number): Uint8Array => {
    count += 1;
    return defaultCryptoProvider.sha512(Uint8Array.of(count >> 8, count)).slice(0, length);
  };
  return Object.create(defaultCryptoProvider, {
    randomBytes: { value: randomBytes },
    generateDhKeyPair: { value: () => defaultCryptoProvider.dhKeyPairFromSecret(randomBytes(32)) },
  }) as CryptoProvider;
}

const crypto = repeatable();
const ours = identityFromSeed(new Uint8Array(32).fill(1));
const theirs = identityFromSeed(new Uint8Array(32).fill(2));
const third = identityFromSeed(new Uint8Array(32).fill(3));

const theirStatics: Statics = {
  ours: theirs.keys.dh,
  ourId: theirs.keys.publicKey,
  theirs: ours.keys.dh.publicKey,
  theirId: ours.keys.publicKey,
};
const ourStatics: Statics = {
  ours: ours.keys.dh,
  ourId: ours.keys.publicKey,
  theirs: theirs.keys.dh.publicKey,
  theirId: theirs.keys.publicKey,
};
const offer = createOffer(
  crypto,
  theirStatics,
  { stamp: now, makerTag: "0102030405060708" as StoreTag, recipientTag: noTag, makerEpoch: "11".repeat(8) as Epoch },
  { createdAt: now, expiresAt: now + 1_000 },
);
const acceptance = createAcceptance(crypto, ourStatics, consumeOffer(crypto, ourStatics, offer.pending.message)!, {
  tag: "0807060504030201" as StoreTag,
  epoch: "22".repeat(8) as Epoch,
});

const controls: BytesTarget = {
  name: "control-frames",
  kind: "bytes",
  covers: ["control-frames.ts#readControl"],
  seeds: () => ({
    list: withControl([{ id: offer.pending.id, vouch: { tag: noTag, floor: now } }], undefined, textFrame("hi")),
    "list-and-close": withControl([{ id: offer.pending.id, vouch: undefined }], 1, new Uint8Array(0)),
    none: textFrame("hi"),
  }),
  codes: [],
  read: (bytes) => {
    const read = readControl(bytes);
    if (read === null) return null;
    const { rejected, close, rest } = read;
    const again = withControl(rejected.length === 0 ? undefined : rejected, close, rest);
    assert.deepEqual(readControl(again), read);
    return read;
  },
};

const sealedSenders: BytesTarget = {
  name: "sealed-sender",
  kind: "bytes",
  covers: ["sealed-sender.ts#openSender"],
  seeds: () => ({
    ours: sealSender(
      defaultCryptoProvider,
      ours.keys.dh.publicKey,
      ours.keys.publicKey,
      theirs.keys.publicKey,
      defaultCryptoProvider.dhKeyPairFromSecret(new Uint8Array(32).fill(9)),
    ),
  }),
  codes: [],
  runs: 10,
  read: (bytes) => openSender(defaultCryptoProvider, ours.keys.dh, ours.keys.publicKey, bytes),
};

const offers: BytesTarget = {
  name: "offer",
  kind: "bytes",
  covers: ["offer.ts#consumeOffer", "noise.ts#readOffer"],
  seeds: () => ({ offer: offer.pending.message }),
  codes: [],
  runs: 10,
  read: (bytes) => {
    const read = consumeOffer(defaultCryptoProvider, ourStatics, bytes);
    assert.equal(read !== null, toHex(bytes) === toHex(offer.pending.message), "nobody else can make one");
    return read;
  },
};

const acceptances: BytesTarget = {
  name: "acceptance",
  kind: "bytes",
  covers: ["offer.ts#consumeAcceptance", "offer.ts", "noise.ts#readAcceptance"],
  seeds: () => ({ acceptance: acceptance.field }),
  codes: [],
  runs: 10,
  read: (bytes) => {
    const read = consumeAcceptance(defaultCryptoProvider, theirs.keys.dh, offer.pending, offer.ephemeral, bytes);
    const made = toHex(acceptance.field);
    // The ID before it is what finds the pending offer, and is checked by that.
    assert.equal(read !== null, toHex(bytes).slice(32) === made.slice(32) && bytes.length >= 16);
    if (read !== null) assert.equal(read.sessionId, acceptance.sessionId);
    assert.equal(offerIdOfAcceptance(bytes), toHex(bytes.subarray(0, 16)));
    return read;
  },
};

const handshakes: BytesTarget = {
  name: "handshake",
  kind: "bytes",
  covers: ["noise.ts#readMessage"],
  seeds: () => ({ low: new Uint8Array(80), ours: offer.pending.message }),
  codes: [],
  runs: 10,
  read: (bytes) => {
    const start = startHandshake(defaultCryptoProvider, "Noise_NK_25519_ChaChaPoly_SHA512", bytes, []);
    const keys = { role: "responder", ourStatic: ours.keys.dh } as const;
    assert.equal(readMessage(defaultCryptoProvider, start, ["e", "es"], keys, bytes), null);
    return true;
  },
};

const sealedKey = new Uint8Array(32).fill(7);
const nonce = new Uint8Array(12);

const ciphertexts: BytesTarget = {
  name: "ciphertext",
  kind: "bytes",
  covers: ["crypto-portable.ts#openWithNonce", "crypto-node.ts#openWithNonce"],
  seeds: () => {
    const short = new Uint8Array(30 + tagBytes);
    defaultCryptoProvider.seal(sealedKey, 0, nonce, new Uint8Array(30).fill(5), short, 0);
    const long = new Uint8Array(2_000 + tagBytes);
    defaultCryptoProvider.seal(sealedKey, 0, nonce, new Uint8Array(2_000).fill(5), long, 0);
    return { short, long };
  },
  codes: [],
  read: (bytes) => {
    const opened = openWithNonce(sealedKey, nonce, nonce, bytes);
    assert.deepEqual(openPortably(sealedKey, nonce, nonce, bytes), opened);
    assert.deepEqual(portableCryptoProvider.open(sealedKey, 0, nonce, bytes), opened);
    if (opened === null) return null;
    const again = new Uint8Array(bytes.length);
    defaultCryptoProvider.seal(sealedKey, 0, nonce, opened, again, 0);
    assert.equal(toHex(again), toHex(bytes));
    return opened;
  },
};

const seedsOfIdentities: BytesTarget = {
  name: "identity-seed",
  kind: "bytes",
  covers: ["identity.ts#identityFromSeed"],
  seeds: () => ({ seed: new Uint8Array(32).fill(4) }),
  codes: ["EGTP_MESGEN_BAD_SEED"],
  runs: 10,
  read: (bytes) => {
    const identity = identityFromSeed(bytes);
    assert.equal(toHex(identity.exportSeed()), toHex(bytes));
    return identity;
  },
};

interface Overheard {
  readonly peers: readonly TestPeer[];
  readonly envelopes: Readonly<Record<string, Uint8Array>>;
  readonly states: readonly string[];
}

let overheard: Overheard | undefined;

/** Three who talked, and all that somebody on the path saw of it. */
function talk(): Overheard {
  const source = repeatable();
  const peers = [ours, theirs, third].map((identity) => new TestPeer({ identity, crypto: source }));
  const envelopes: Record<string, Uint8Array> = {};
  for (let round = 1; round <= 3; round++) {
    for (const [i, from] of peers.entries()) {
      for (const [j, to] of peers.entries()) {
        if (i === j) continue;
        const envelope = from.say(to, "said", now);
        envelopes[`${i}-to-${j}-in-round-${round}`] = envelope.slice();
        to.hear(envelope, now);
      }
    }
  }
  return { peers, envelopes, states: peers.map(fingerprint) };
}

/** Whatever is made of what was seen, and sent to any of the three. */
const strangers: BytesTarget = {
  name: "overheard",
  kind: "bytes",
  covers: ["mesgen.ts#open"],
  seeds: () => {
    overheard ??= talk();
    return overheard.envelopes;
  },
  codes: [],
  runs: 20,
  read: (bytes) => {
    overheard ??= talk();
    const { peers, states } = overheard;
    for (const [i, peer] of peers.entries()) {
      const result = peer.hear(bytes, now);
      assert.notEqual(result.kind, "opened");
      assert.equal(fingerprint(peer), states[i]);
    }
    return true;
  },
  allocates: 64,
};

/** Stamp, tags, epoch, floor and the frames of somebody who has a key like anybody, and says in an offer what nobody else would. */
function lie(fields: { stamp: number; floor: number; named?: number; frames?: Uint8Array }): Uint8Array {
  const { stamp, floor, named = 1, frames = textFrame("hi") } = fields;
  return new ByteWriter().u8(named).u64(stamp).u64(floor).put(new Uint8Array(16).fill(6)).put(frames).bytes().slice();
}

/** A peer of ours that lies spoils nothing between us and others, nor what we keep. */
const liars: BytesTarget = {
  name: "offer-of-a-liar",
  kind: "bytes",
  covers: ["mesgen.ts#open"],
  seeds: () => ({
    honest: lie({ stamp: now, floor: 0 }),
    "first-contact": lie({ stamp: now, floor: now, named: 0 }),
    stale: lie({ stamp: 1, floor: now + 86_400_000 }),
  }),
  codes: [],
  runs: 10,
  beside: 100_000,
  read: (bytes) => {
    if (bytes.length < 33) return undefined;
    const victim = new TestPeer({ identity: ours });
    const other = new TestPeer({ identity: third });
    victim.say(new TestPeer({ identity: theirs }), "to the liar", now);
    const [asked] = [...victim.maps.counterparties()];
    const told = new ByteReader(bytes);
    const knowsTag = (told.u8() & 1) === 1;
    const [stamp, floor] = [wide(told), wide(told)];
    const [tag, epoch] = [toHex(told.take(8)) as StoreTag, toHex(told.take(8)) as Epoch];
    const terms = { stamp, makerTag: tag, recipientTag: knowsTag ? victim.maps.tag : noTag, makerEpoch: epoch };
    const made = createOffer(defaultCryptoProvider, theirStatics, terms, { createdAt: now, expiresAt: now + 1_000 });
    const list = [
      { id: asked!.pending!.id, vouch: { tag, floor: Math.min(floor, Number.MAX_SAFE_INTEGER) } },
      { id: made.pending.id, vouch: undefined },
    ];
    const frames = withControl(list, undefined, told.take(told.remaining));
    const header = envelopeHeaderBytes("offer", false);
    const envelope = new Uint8Array(header + frames.length + tagBytes);
    const sender = theirs.keys.publicKey;
    const id = fromHex(made.pending.id);
    encodeEnvelopeHeader({ type: "offer", sender, id, counter: 0, handshake: made.pending.message }, envelope);
    const { earlyKey } = made;
    defaultCryptoProvider.seal(earlyKey, 0, envelope.slice(0, header), frames, envelope, header);

    victim.mesgen.open(envelope, now);
    void victim.maps.commit();
    // After a restart it is all there, and offers leave: to the liar, and to others, who hear of it at once.
    victim.restart(now);
    assert.deepEqual(victim.maps.damaged, []);
    victim.say(new TestPeer({ identity: theirs }), "to the liar", now);
    other.hear(victim.say(other, "to another", now), now);
    assert.deepEqual(other.read, ["to another"]);
    victim.hear(other.say(victim, "back", now), now);
    assert.equal(victim.read.at(-1), "back");
    void victim.maps.commit();
    return true;
  },
};

/** Eight bytes as they are: more than a safe integer, too. */
function wide(input: ByteReader): number {
  return input.u32() * 2 ** 32 + input.u32();
}

export const fuzzed: FuzzedPackage = {
  here: import.meta.url,
  targets: [controls, sealedSenders, offers, acceptances, handshakes, ciphertexts, seedsOfIdentities, strangers, liars],
  elsewhere: {},
};
