/**
 * Three peers with sessions between them, and somebody on the path who has seen everything they ever said: whatever is made of
 * that by repeating, damaging, mixing, cutting and sending it to somebody else must change nothing.
 */
import assert from "node:assert/strict";
import { decodeEnvelope, encodeEnvelopeHeader, envelopeHeaderBytes, type PeerId, toHex } from "@egtp/wire";
import fc from "fast-check";
import { defaultCryptoProvider, MesgenError } from "../src/index.ts";
import { fingerprint, strangers, TestPeer } from "./peers.ts";

const start = 1_800_000_000_000;

const kinds = ["replay", "damage", "cut", "lengthen", "rename", "splice", "retype", "invent"] as const;
const deedsOfOneRun = 1_000;

/** @param runs - Each with new peers, and with a thousand envelopes of the attacker. A failure prints the seed of its run. */
export function attack(runs: number): void {
  fc.assert(
    fc.property(fc.integer(), fc.boolean(), (seed, sealedSender) => {
      new Scene(seed, sealedSender).suffer(deedsOfOneRun);
    }),
    { numRuns: runs, endOnFailure: true },
  );
}

class Scene {
  readonly #peers: readonly TestPeer[];
  /** Names of nobody here: the same few, since the tables are bounded. */
  readonly #names: readonly Uint8Array[];
  readonly #seen: Uint8Array[] = [];
  /** By session ID and direction, which its counters tell apart no better: every key that ever sealed under it. */
  readonly #keys = new Map<string, Set<string>>();
  #now = start;
  #random: number;

  constructor(seed: number, sealedSender: boolean) {
    this.#random = seed | 1;
    const keys = this.#keys;
    const crypto: typeof defaultCryptoProvider = Object.create(defaultCryptoProvider, {
      seal: {
        value: (...args: Parameters<typeof defaultCryptoProvider.seal>) => {
          const [key, , header] = args;
          // What seals a sender has no envelope's header.
          if (header.length >= envelopeHeaderBytes("data", sealedSender)) {
            const at = envelopeHeaderBytes("data", sealedSender) - 8 - 16;
            const name = `${toHex(header.subarray(2, at))} ${toHex(header.subarray(at, at + 16))}`;
            keys.set(name, (keys.get(name) ?? new Set()).add(toHex(key)));
          }
          return defaultCryptoProvider.seal(...args);
        },
      },
    });
    const { leader, follower } = strangers({ sealedSender, crypto });
    this.#peers = [leader, follower, new TestPeer({ sealedSender, crypto })];
    this.#names = [1, 2, 3].map(() => new TestPeer().identity.keys.publicKey);
    for (let round = 0; round < 3; round++) {
      for (const from of this.#peers) for (const to of this.#peers) if (from !== to) this.#talk(from, to);
    }
  }

  #talk(from: TestPeer, to: TestPeer): void {
    const envelope = from.say(to, "said", this.#now);
    this.#seen.push(envelope.slice());
    to.hear(envelope, this.#now);
  }

  /** Xorshift: a whole number below `end`. */
  #below(end: number): number {
    this.#random ^= this.#random << 13;
    this.#random ^= this.#random >>> 17;
    this.#random ^= this.#random << 5;
    return (this.#random >>> 0) % end;
  }

  #pick<T>(from: readonly T[]): T {
    return from[this.#below(from.length)] as T;
  }

  suffer(deeds: number): void {
    const before = this.#peers.map((peer) => stateOf(peer));
    const read = this.#peers.map((peer) => peer.read.length);
    const offers = new Map<string, Set<string>>();
    for (let done = 0; done < deeds; done++) {
      this.#now += 1;
      const peer = this.#pick(this.#peers);
      const kind = this.#pick(kinds);
      const result = peer.hear(this.#make(kind), this.#now);
      assert.notEqual(result.kind, "opened", `made by ${kind}`);
      for (const answered of peer.mesgen.due(this.#now)) {
        const offer = this.#answer(peer, answered);
        if (offer === undefined) continue;
        const way = `${peer.id} to ${answered}`;
        offers.set(way, (offers.get(way) ?? new Set()).add(offer));
      }
    }
    assert.deepEqual(
      this.#peers.map((peer) => stateOf(peer)),
      before,
    );
    assert.deepEqual(
      this.#peers.map((peer) => peer.read.length),
      read,
    );
    // P10: one pending offer for each peer that was named, however often.
    for (const [way, ids] of offers) assert.deepEqual([way, ids.size], [way, 1]);
    for (const [name, used] of this.#keys) assert.deepEqual([name, used.size], [name, 1]);
    // And all of them still reach each other.
    for (const from of this.#peers) for (const to of this.#peers) if (from !== to) this.#talk(from, to);
    assert.deepEqual(
      this.#peers.map((peer) => peer.read.length),
      read.map((count) => count + 2),
    );
  }

  /** @returns The offer under which the answer left, if there was one. */
  #answer(peer: TestPeer, to: PeerId): string | undefined {
    try {
      const carrier = peer.mesgen.carrier(to, this.#now, { application: false });
      const answer = peer.mesgen.seal(carrier, new Uint8Array(0), this.#now);
      return decodeEnvelope(answer).type === "offer" ? carrier.id : undefined;
    } catch (error) {
      // A name that was damaged need not be one of a key.
      if (error instanceof MesgenError && error.code === "EGTP_MESGEN_BAD_PEER") return undefined;
      throw error;
    }
  }

  #make(kind: (typeof kinds)[number]): Uint8Array {
    const envelope = this.#pick(this.#seen).slice();
    const second = this.#pick(this.#seen);
    const byte = 1 + this.#below(255);
    switch (kind) {
      case "replay":
        return envelope;
      case "damage":
        // Changed bytes at one to four places, and never back to what was there.
        for (
          let place = this.#below(envelope.length);
          place < envelope.length;
          place += 1 + this.#below(envelope.length)
        ) {
          envelope[place]! ^= byte;
        }
        return envelope;
      case "cut":
        return envelope.subarray(0, this.#below(envelope.length));
      case "lengthen": {
        const longer = new Uint8Array(envelope.length + byte);
        longer.set(envelope);
        return longer;
      }
      case "rename":
        if ((envelope[1]! & 1) === 0) envelope.set(this.#name(), 2);
        return envelope;
      case "splice": {
        const spliced = second.slice();
        spliced.set(envelope.subarray(0, this.#below(Math.min(envelope.length, second.length))));
        return spliced;
      }
      case "retype":
        envelope[0] = this.#below(2) === 0 ? byte : 0x10 | (byte & 0x03);
        return envelope;
      case "invent": {
        const invented = new Uint8Array(envelopeHeaderBytes("data", false) + 16 + this.#below(64)).fill(byte);
        const id = new Uint8Array(16).fill(byte);
        encodeEnvelopeHeader(
          { type: "data", sender: this.#name(), id, counter: this.#below(1_000), handshake: undefined },
          invented,
        );
        return invented;
      }
    }
  }

  /** Of somebody here, or of nobody. */
  #name(): Uint8Array {
    return this.#pick([...this.#names, ...this.#peers.map(({ identity }) => identity.keys.publicKey)]);
  }
}

/** Lists, their order, which of them send, and every key that is kept. */
function stateOf(peer: TestPeer): string {
  const keys = [...peer.maps.counterparties()].flatMap(({ sessions, accepted }) => [
    ...sessions.map(({ receiveKey }) => toHex(receiveKey)),
    ...accepted.map(({ earlyKey }) => (earlyKey === undefined ? "" : toHex(earlyKey))),
  ]);
  return `${fingerprint(peer)} ${keys.join(" ")}`;
}
