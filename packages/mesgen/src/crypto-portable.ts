/**
 * The crypto provider for every JavaScript engine: tweetnacl for X25519, Ed25519, SHA-512 and randomness, noble for
 * ChaCha20-Poly1305 and HMAC. It closes what tweetnacl leaves open: shared secrets of zero, signatures with S out of range,
 * points that are not canonical.
 */
import { concatBytes, verifyEd25519, x25519PublicKeyOf } from "@egtp/wire";
import { chacha20poly1305 } from "@noble/ciphers/chacha.js";
import { hmac } from "@noble/hashes/hmac.js";
import type { CHash, Hash } from "@noble/hashes/utils.js";
import nacl from "tweetnacl";
import { type CryptoProvider, type DhKeyPair, type IdentityKeys, identityScalar, tagBytes } from "./crypto.ts";
import { writeNonce } from "./noise-nonce.ts";
import { rememberVerified } from "./verified-signatures.ts";

const nonce = new Uint8Array(12);
const nonceView = new DataView(nonce.buffer);
const one = Uint8Array.of(1);
const two = Uint8Array.of(2);

export const portableCryptoProvider: CryptoProvider = {
  name: "portable",
  randomBytes: (length) => nacl.randomBytes(length),
  generateDhKeyPair: () => dhKeyPairFromSecret(nacl.randomBytes(32)),
  dhKeyPairFromSecret,
  dh,
  identityFromSeed,
  verify: rememberVerified(verifyEd25519),
  dhPublicKeyOf: x25519PublicKeyOf,
  sha512: (...parts) => nacl.hash(concatBytes(...parts)),
  hmacSha512,
  hkdf2: (chainingKey, input) => {
    const extracted = hmacSha512(chainingKey, input);
    const first = hmacSha512(extracted, one);
    return [first, hmacSha512(extracted, first, two)];
  },
  seal: (key, counter, associatedData, plaintext, out, outOffset) => {
    writeNonce(nonceView, counter);
    sealWithNonce(key, nonce, associatedData, plaintext, out, outOffset);
  },
  open: (key, counter, associatedData, ciphertextAndTag) => {
    writeNonce(nonceView, counter);
    return openWithNonce(key, nonce, associatedData, ciphertextAndTag);
  },
  equal: (a, b) => a.length === b.length && (a.length === 0 || nacl.verify(a, b)),
};

/**
 * What `#crypto-provider` means where there is no `node:crypto`.
 *
 * @alias
 */
export const defaultCryptoProvider: CryptoProvider = portableCryptoProvider;

function dhKeyPairFromSecret(secret: Uint8Array): DhKeyPair {
  if (secret.length !== 32) throw new RangeError("a secret is 32 bytes");
  const { publicKey, secretKey } = nacl.box.keyPair.fromSecretKey(secret);
  return { publicKey, secret: secretKey };
}

function dh(own: DhKeyPair, theirPublicKey: Uint8Array): Uint8Array | null {
  if (theirPublicKey.length !== 32) return null;
  const shared = nacl.scalarMult(own.secret, theirPublicKey);
  let bits = 0;
  for (const byte of shared) bits |= byte;
  return bits === 0 ? null : shared;
}

function identityFromSeed(seed: Uint8Array): IdentityKeys {
  if (seed.length !== 32) throw new RangeError("a seed is 32 bytes");
  const { publicKey, secretKey } = nacl.sign.keyPair.fromSeed(seed);
  return {
    publicKey,
    dh: dhKeyPairFromSecret(identityScalar(nacl.hash(seed))),
    sign: (message) => nacl.sign.detached(message, secretKey),
  };
}

/** tweetnacl's SHA-512 in the form that noble's HMAC takes, so that no second one is loaded. */
class NaclSha512 implements Hash<NaclSha512> {
  readonly blockLen = 128;
  readonly outputLen = 64;
  readonly canXOF = false;
  #input: Uint8Array;

  constructor(input: Uint8Array = new Uint8Array(0)) {
    this.#input = input;
  }

  update(part: Uint8Array): this {
    this.#input = concatBytes(this.#input, part);
    return this;
  }

  digest(): Uint8Array<ArrayBuffer> {
    return Uint8Array.from(nacl.hash(this.#input));
  }

  digestInto(out: Uint8Array): void {
    out.set(nacl.hash(this.#input));
  }

  destroy(): void {
    this.#input.fill(0);
  }

  clone(): NaclSha512 {
    return new NaclSha512(this.#input.slice());
  }

  _cloneInto(): NaclSha512 {
    return this.clone();
  }
}

const sha512: CHash<NaclSha512> = Object.assign((message: Uint8Array) => new NaclSha512().update(message).digest(), {
  blockLen: 128,
  outputLen: 64,
  canXOF: false,
  create: () => new NaclSha512(),
});

function hmacSha512(key: Uint8Array, ...parts: readonly Uint8Array[]): Uint8Array {
  return hmac(sha512, key, concatBytes(...parts));
}

/** `seal` under any nonce of 12 bytes, for test vectors. */
export function sealWithNonce(
  key: Uint8Array,
  nonce: Uint8Array,
  associatedData: Uint8Array,
  plaintext: Uint8Array,
  out: Uint8Array,
  outOffset: number,
): void {
  if (key.length !== 32) throw new RangeError("a key is 32 bytes");
  const length = plaintext.length + tagBytes;
  if (outOffset + length > out.length) throw new RangeError("no room for the ciphertext and its tag");
  const cipher = chacha20poly1305(key, nonce, associatedData);
  // noble takes a quarter longer on memory that is not aligned to words; a copy costs less.
  if ((out.byteOffset + outOffset) % 4 === 0) cipher.encrypt(plaintext, out.subarray(outOffset, outOffset + length));
  else out.set(cipher.encrypt(plaintext), outOffset);
}

/** `open` under any nonce of 12 bytes, for test vectors. */
export function openWithNonce(
  key: Uint8Array,
  nonce: Uint8Array,
  associatedData: Uint8Array,
  ciphertextAndTag: Uint8Array,
): Uint8Array | null {
  if (key.length !== 32) throw new RangeError("a key is 32 bytes");
  if (ciphertextAndTag.length < tagBytes) return null;
  const cipher = chacha20poly1305(key, nonce, associatedData);
  try {
    return cipher.decrypt(ciphertextAndTag);
  } catch {
    return null; // the sizes are right, so it is the tag
  }
}
