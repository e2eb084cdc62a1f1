/**
 * The crypto provider over `node:crypto`, and libsodium for short texts, byte for byte the portable one and many times faster.
 *
 * Raw keys are imported as JWK, since OpenSSL 3 takes a tenfold time for DER; our own long-term keys are imported once
 * and kept as key objects.
 */
import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createHmac,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  sign as ed25519Sign,
  verify as ed25519Verify,
  KeyObject,
  randomFillSync,
  timingSafeEqual,
} from "node:crypto";
import { isWellFormedSignature, x25519PublicKeyOf } from "@egtp/wire";
import { type CryptoProvider, type DhKeyPair, type IdentityKeys, identityScalar, tagBytes } from "../crypto.ts";
import { writeNonce } from "../noise-nonce.ts";
import { rememberVerified } from "../verified-signatures.ts";
import { maxShortTextBytes, shortTextLibrary } from "./short-texts.ts";

type Curve = "X25519" | "Ed25519";

const algorithm = "chacha20-poly1305";
const cipherOptions = { authTagLength: tagBytes };
const nonce = new Uint8Array(12);
const nonceView = new DataView(nonce.buffer);
const one = Uint8Array.of(1);
const two = Uint8Array.of(2);

export const nodeCryptoProvider: CryptoProvider = {
  name: "node",
  randomBytes,
  generateDhKeyPair: () => dhKeyPairFromSecret(randomBytes(32)),
  dhKeyPairFromSecret,
  dh,
  identityFromSeed,
  verify: rememberVerified(
    (publicKey, message, signature) =>
      isWellFormedSignature(publicKey, signature) &&
      ed25519Verify(null, message, importPublicKey("Ed25519", publicKey), signature),
  ),
  dhPublicKeyOf: x25519PublicKeyOf,
  sha512,
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
  equal: (a, b) => a.length === b.length && timingSafeEqual(a, b),
};

/**
 * What `#crypto-provider` means in Node.
 *
 * @alias
 */
export const defaultCryptoProvider: CryptoProvider = nodeCryptoProvider;

function randomBytes(length: number): Uint8Array {
  return randomFillSync(new Uint8Array(length));
}

function dhKeyPairFromSecret(secret: Uint8Array): DhKeyPair {
  const handle = importPrivateKey("X25519", secret);
  return { publicKey: exportPublicKey(handle), secret: Uint8Array.from(secret), handle };
}

function dh(own: DhKeyPair, theirPublicKey: Uint8Array): Uint8Array | null {
  if (theirPublicKey.length !== 32) return null;
  const privateKey = own.handle instanceof KeyObject ? own.handle : importPrivateKey("X25519", own.secret);
  const publicKey = importPublicKey("X25519", theirPublicKey);
  try {
    return plain(diffieHellman({ privateKey, publicKey }));
  } catch {
    return null; // OpenSSL refuses a shared secret of zero
  }
}

function identityFromSeed(seed: Uint8Array): IdentityKeys {
  const signingKey = importPrivateKey("Ed25519", seed);
  return {
    publicKey: exportPublicKey(signingKey),
    dh: dhKeyPairFromSecret(identityScalar(sha512(seed))),
    sign: (message) => plain(ed25519Sign(null, message, signingKey)),
  };
}

function sha512(...parts: readonly Uint8Array[]): Uint8Array {
  const hash = createHash("sha512");
  for (const part of parts) hash.update(part);
  return plain(hash.digest());
}

function hmacSha512(key: Uint8Array, ...parts: readonly Uint8Array[]): Uint8Array {
  const mac = createHmac("sha512", key);
  for (const part of parts) mac.update(part);
  return plain(mac.digest());
}

const lentKey = new Uint8Array(32);

/**
 * A copy of a key for one call. Node moves what it is handed out of V8's heap for good, which would make every kept key
 * three times as large.
 */
function lent(key: Uint8Array): Uint8Array {
  checkKey(key);
  lentKey.set(key);
  return lentKey;
}

function checkKey(key: Uint8Array): void {
  if (key.length !== lentKey.length) throw new RangeError("a key is 32 bytes");
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
  if (outOffset + plaintext.length + tagBytes > out.length) {
    throw new RangeError("no room for the ciphertext and its tag");
  }
  const sodium = plaintext.length <= maxShortTextBytes ? shortTextLibrary() : undefined;
  if (sodium !== undefined) {
    checkKey(key);
    out.set(sodium.crypto_aead_chacha20poly1305_ietf_encrypt(plaintext, associatedData, null, nonce, key), outOffset);
    return;
  }
  const cipher = createCipheriv(algorithm, lent(key), nonce, cipherOptions);
  cipher.setAAD(associatedData, { plaintextLength: plaintext.length });
  const ciphertext = cipher.update(plaintext);
  cipher.final();
  out.set(ciphertext, outOffset);
  out.set(cipher.getAuthTag(), outOffset + ciphertext.length);
}

/** `open` under any nonce of 12 bytes, for test vectors. */
export function openWithNonce(
  key: Uint8Array,
  nonce: Uint8Array,
  associatedData: Uint8Array,
  ciphertextAndTag: Uint8Array,
): Uint8Array | null {
  checkKey(key);
  const length = ciphertextAndTag.length - tagBytes;
  if (length < 0) return null;
  const sodium = length <= maxShortTextBytes ? shortTextLibrary() : undefined;
  if (sodium !== undefined) {
    try {
      return sodium.crypto_aead_chacha20poly1305_ietf_decrypt(null, ciphertextAndTag, associatedData, nonce, key);
    } catch {
      return null; // the sizes are right, so it is the tag
    }
  }
  const decipher = createDecipheriv(algorithm, lent(key), nonce, cipherOptions);
  decipher.setAAD(associatedData, { plaintextLength: length });
  decipher.setAuthTag(ciphertextAndTag.subarray(length));
  const plaintext = decipher.update(ciphertextAndTag.subarray(0, length));
  try {
    decipher.final();
  } catch {
    return null;
  }
  return plain(plaintext);
}

/** The same memory without Buffer's methods, of which `slice` would not copy. */
function plain(buffer: Buffer): Uint8Array {
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.length);
}

function importPrivateKey(crv: Curve, secret: Uint8Array): KeyObject {
  if (secret.length !== 32) throw new RangeError("a secret is 32 bytes");
  // Node wants an `x`, and takes the public half from the secret all the same.
  return createPrivateKey({ key: { kty: "OKP", crv, x: "", d: toBase64Url(secret) }, format: "jwk" });
}

function importPublicKey(crv: Curve, publicKey: Uint8Array): KeyObject {
  return createPublicKey({ key: { kty: "OKP", crv, x: toBase64Url(publicKey) }, format: "jwk" });
}

function exportPublicKey(privateKey: KeyObject): Uint8Array {
  const bytes = new Uint8Array(32);
  bytes.set(Buffer.from(createPublicKey(privateKey).export({ format: "jwk" }).x!, "base64url"));
  return bytes;
}

function toBase64Url(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("base64url");
}
