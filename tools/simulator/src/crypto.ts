/**
 * The third provider behind the crypto seam, for the simulator alone: a keyed hash that is fast and no secret to anyone, and
 * that watches what the real ones cannot: whether a nonce is ever used for two plaintexts.
 *
 * Shared secrets are hashes of both public keys, so that everything a handshake needs holds: both sides agree, another pair
 * does not. An attacker in the simulator never computes; it only records, mutates and replays, and for that the tags hold.
 */

import { type CryptoProvider, type DhKeyPair, tagBytes } from "@egtp/mesgen";
import { isEd25519PublicKey } from "@egtp/wire";
import type { Random } from "./random.ts";

export class NonceReuse extends Error {
  override readonly name = "NonceReuse";
}

/** Remembers, from outside the code that chooses nonces, what each key sealed under each counter. */
export class NonceWatch {
  readonly #sealed = new Map<string, string>();

  /** @param tag - Over key, counter, associated data and plaintext: another plaintext has another. */
  note(key: Uint8Array, counter: number, tag: Uint8Array): void {
    const name = `${text(key)}${counter}`;
    const what = text(tag);
    const before = this.#sealed.get(name);
    if (before === undefined) this.#sealed.set(name, what);
    else if (before !== what) throw new NonceReuse(`Counter ${counter} of a key was used twice`);
  }
}

export function simulatedCrypto(random: Random, watch: NonceWatch): CryptoProvider {
  const keyPair = (secret: Uint8Array): DhKeyPair => ({ secret, publicKey: digest([label("public"), secret], 32) });
  return {
    name: "simulated",
    randomBytes: (length) => random.bytes(length),
    generateDhKeyPair: () => keyPair(random.bytes(32)),
    dhKeyPairFromSecret: (secret) => keyPair(secret.slice()),
    dh: (own, theirs) => {
      const ours = text(own.publicKey) < text(theirs) ? [own.publicKey, theirs] : [theirs, own.publicKey];
      return digest([label("shared"), ...ours], 32);
    },
    identityFromSeed: (seed) => {
      // Its public key must be one that can be a peer's: half of all byte strings can.
      let dh = keyPair(seed.slice());
      while (!isEd25519PublicKey(dh.publicKey)) dh = { secret: dh.secret, publicKey: digest([dh.publicKey], 32) };
      return { publicKey: dh.publicKey, dh, sign: (message) => digest([label("signed"), dh.publicKey, message], 64) };
    },
    verify: (publicKey, message, signature) =>
      text(digest([label("signed"), publicKey, message], 64)) === text(signature),
    dhPublicKeyOf: (publicKey) => publicKey.slice(),
    sha512: (...parts) => digest(parts, 64),
    hmacSha512: (key, ...parts) => digest([label("mac"), key, ...parts], 64),
    hkdf2: (chainingKey, input) => [
      digest([label("first"), chainingKey, input], 64),
      digest([label("second"), chainingKey, input], 64),
    ],
    seal: (key, counter, associatedData, plaintext, out, outOffset) => {
      const tag = digest([key, numberBytes(counter), associatedData, plaintext], tagBytes);
      watch.note(key, counter, tag);
      out.set(plaintext, outOffset);
      out.set(tag, outOffset + plaintext.length);
    },
    open: (key, counter, associatedData, sealed) => {
      if (sealed.length < tagBytes) return null;
      const plaintext = sealed.subarray(0, sealed.length - tagBytes);
      const tag = digest([key, numberBytes(counter), associatedData, plaintext], tagBytes);
      return sameBytes(tag, sealed.subarray(sealed.length - tagBytes)) ? plaintext.slice() : null;
    },
    equal: sameBytes,
  };
}

/** The real provider with the nonce watch before it. */
export function watched(crypto: CryptoProvider, watch: NonceWatch, random: Random): CryptoProvider {
  return {
    ...crypto,
    name: `${crypto.name}, watched`,
    randomBytes: (length) => random.bytes(length),
    generateDhKeyPair: () => crypto.dhKeyPairFromSecret(random.bytes(32)),
    seal: (key, counter, associatedData, plaintext, out, outOffset) => {
      crypto.seal(key, counter, associatedData, plaintext, out, outOffset);
      const tagAt = outOffset + plaintext.length;
      watch.note(key, counter, out.subarray(tagAt, tagAt + tagBytes));
    },
  };
}

const encoder = new TextEncoder();
const labels = new Map<string, Uint8Array>();

function label(name: string): Uint8Array {
  let bytes = labels.get(name);
  if (bytes === undefined) {
    bytes = encoder.encode(name);
    labels.set(name, bytes);
  }
  return bytes;
}

/** Of keys, tags and digests: short. */
function text(bytes: Uint8Array): string {
  return String.fromCharCode.apply(null, bytes as unknown as number[]);
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

function numberBytes(value: number): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setFloat64(0, value);
  return bytes;
}

/**
 * Two multiplying lanes over length-prefixed parts, stretched to the length asked for. Not a cryptographic hash, but any bit that
 * changes changes all of it.
 */
function digest(parts: readonly Uint8Array[], length: number): Uint8Array {
  let a = 0x243f6a88 | 0;
  let b = 0x85a308d3 | 0;
  for (const part of parts) {
    const { length: size } = part;
    a = Math.imul(a ^ size, 0xcc9e2d51);
    let i = 0;
    for (; i + 4 <= size; i += 4) {
      const word = part[i]! | (part[i + 1]! << 8) | (part[i + 2]! << 16) | (part[i + 3]! << 24);
      a = Math.imul((a ^ word) + b, 0x9e3779b1);
      a = (a << 15) | (a >>> 17);
      b = Math.imul(b + word, 0x85ebca6b) ^ a;
    }
    let last = 0x80;
    for (; i < size; i++) last = (last << 8) | part[i]!;
    a = Math.imul((a ^ last) + b, 0x9e3779b1);
    a = (a << 15) | (a >>> 17);
    b = Math.imul(b + last, 0x85ebca6b) ^ a;
  }
  const out = new Uint8Array(length);
  for (let i = 0; i < length; i += 4) {
    a = Math.imul((a ^ (i + 1)) + b, 0x9e3779b1);
    a ^= a >>> 15;
    b = Math.imul(b + a, 0xc2b2ae35);
    b ^= b >>> 13;
    for (let j = 0; j < 4 && i + j < length; j++) out[i + j] = (a ^ b) >>> (8 * j);
  }
  return out;
}
