/**
 * The crypto provider for every JavaScript engine: tweetnacl for X25519, Ed25519 and randomness, ed2curve for the
 * conversion of keys, noble for ChaCha20-Poly1305 and the hashes. It closes what tweetnacl leaves open: shared secrets of
 * zero, signatures with S out of range, points that are not canonical.
 */
import { chacha20poly1305 } from "@noble/ciphers/chacha.js";
import { hkdf } from "@noble/hashes/hkdf.js";
import { hmac } from "@noble/hashes/hmac.js";
import { sha512 } from "@noble/hashes/sha2.js";
import ed2curve from "ed2curve";
import nacl from "tweetnacl";
import { isLowOrderImage } from "./birational-map.ts";
import { type CryptoProvider, type DhKeyPair, type IdentityKeys, tagBytes } from "./crypto.ts";
import { isCanonicalPoint, isWellFormedSignature } from "./ed25519-encoding.ts";
import { writeNonce } from "./noise-nonce.ts";
import { rememberVerified } from "./verified-signatures.ts";

const nonce = new Uint8Array(12);
const nonceView = new DataView(nonce.buffer);

export const portableCryptoProvider: CryptoProvider = {
  name: "portable",
  randomBytes: (length) => nacl.randomBytes(length),
  generateDhKeyPair: () => dhKeyPairFromSecret(nacl.randomBytes(32)),
  dhKeyPairFromSecret,
  dh,
  identityFromSeed,
  verify: rememberVerified(
    (publicKey, message, signature) =>
      isWellFormedSignature(publicKey, signature) && nacl.sign.detached.verify(message, signature, publicKey),
  ),
  dhPublicKeyOf,
  sha512: (...parts) => {
    const hash = sha512.create();
    for (const part of parts) hash.update(part);
    return hash.digest();
  },
  hmacSha512: (key, ...parts) => {
    const mac = hmac.create(sha512, key);
    for (const part of parts) mac.update(part);
    return mac.digest();
  },
  hkdf2: (chainingKey, input) => {
    const output = hkdf(sha512, input, chainingKey, undefined, 128);
    return [output.slice(0, 64), output.slice(64)];
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
    dh: dhKeyPairFromSecret(ed2curve.convertSecretKey(secretKey)),
    sign: (message) => nacl.sign.detached(message, secretKey),
  };
}

function dhPublicKeyOf(ed25519PublicKey: Uint8Array): Uint8Array | null {
  if (ed25519PublicKey.length !== 32 || !isCanonicalPoint(ed25519PublicKey, 0)) return null;
  const image = ed2curve.convertPublicKey(ed25519PublicKey);
  return image === null || isLowOrderImage(image) ? null : image;
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
