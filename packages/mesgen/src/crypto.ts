/**
 * The cryptographic seam: everything mesgen asks of a crypto library, in mesgen's words.
 *
 * Two providers implement it, one over portable JavaScript and one over `node:crypto` and libsodium. They give the same bytes and the
 * same verdicts on every input, also on hostile ones, so nothing above the seam knows which one is at work. Functions
 * never use `this`. Byte arguments are borrowed: neither kept nor changed. Results belong to the caller, are plain
 * `Uint8Array`s and share no memory with anything else.
 *
 * A wrong size of something of our own (a secret, a key, a buffer) is a mistake in the program and throws `RangeError`;
 * whatever a peer may have chosen yields `null` or `false` instead.
 *
 * @see docs/spec.md, "Identity" and "Handshake"
 */

/** An X25519 key pair. */
export interface DhKeyPair {
  /** The u-coordinate, 32 bytes. */
  readonly publicKey: Uint8Array;
  /** The scalar before clamping, 32 bytes: what a store keeps. */
  readonly secret: Uint8Array;
  /** The provider's own form of the secret, so that it is not imported again for each use. Absent is always allowed. */
  readonly handle?: unknown;
}

/** The long-term keys of one of our identities. */
export interface IdentityKeys {
  /** The Ed25519 public key, 32 bytes: the peer ID. */
  readonly publicKey: Uint8Array;
  /** The X25519 image of the Ed25519 key pair; its public half is `dhPublicKeyOf(publicKey)`. */
  readonly dh: DhKeyPair;
  /** Signs with Ed25519; 64 bytes. */
  sign(message: Uint8Array): Uint8Array;
}

export interface CryptoProvider {
  /** For logs and benchmarks. */
  readonly name: string;

  /** `length` bytes from the system's random source. */
  randomBytes(length: number): Uint8Array;

  generateDhKeyPair(): DhKeyPair;

  /** @param secret - 32 bytes, copied. */
  dhKeyPairFromSecret(secret: Uint8Array): DhKeyPair;

  /**
   * X25519.
   *
   * @param theirPublicKey - Any bytes. A u-coordinate that is not reduced, or lies on the twist, is used as RFC 7748 says.
   * @returns 32 bytes, or `null` when the shared secret is all zero (a point of low order) or the key is not 32 bytes.
   */
  dh(own: DhKeyPair, theirPublicKey: Uint8Array): Uint8Array | null;

  /** @param seed - The 32-byte Ed25519 seed of RFC 8032, copied. */
  identityFromSeed(seed: Uint8Array): IdentityKeys;

  /**
   * Checks an Ed25519 signature: S below the group order, R and the public key in canonical form, the public key on the
   * curve, and the cofactorless equation. Any bytes are allowed as key and signature.
   */
  verify(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean;

  /**
   * The X25519 public key that belongs to an Ed25519 public key (the birational image).
   *
   * @returns 32 bytes, or `null` when the key is not 32 bytes, not canonical, not on the curve, or of low order. `dh` with
   *   a result of this function therefore never yields `null`.
   */
  dhPublicKeyOf(ed25519PublicKey: Uint8Array): Uint8Array | null;

  /** SHA-512 of the parts joined, 64 bytes. */
  sha512(...parts: readonly Uint8Array[]): Uint8Array;

  /** HMAC-SHA512 of the parts joined, 64 bytes. */
  hmacSha512(key: Uint8Array, ...parts: readonly Uint8Array[]): Uint8Array;

  /** HKDF of the Noise framework with two outputs of 64 bytes: HKDF-SHA512 with the chaining key as salt and no info. */
  hkdf2(chainingKey: Uint8Array, input: Uint8Array): [Uint8Array, Uint8Array];

  /**
   * ChaCha20-Poly1305 with the nonce form of Noise: 4 zero bytes, then the counter as 8 bytes little-endian.
   *
   * @param key - 32 bytes.
   * @param counter - At most 2^53-1. The caller never uses one twice with a key.
   * @param plaintext - May lie in `out` exactly at `outOffset`; otherwise it must not overlap what is written.
   * @param out - Receives the ciphertext and the 16-byte tag at `outOffset`; must have room for both.
   */
  seal(
    key: Uint8Array,
    counter: number,
    associatedData: Uint8Array,
    plaintext: Uint8Array,
    out: Uint8Array,
    outOffset: number,
  ): void;

  /**
   * Reverses `seal`.
   *
   * @returns The plaintext, or `null` when it is not authentic.
   */
  open(key: Uint8Array, counter: number, associatedData: Uint8Array, ciphertextAndTag: Uint8Array): Uint8Array | null;

  /** Compares in constant time; `false` when the lengths differ. */
  equal(a: Uint8Array, b: Uint8Array): boolean;
}

/** The bytes that `seal` adds. */
export const tagBytes = 16;

/** The X25519 secret of an identity: the scalar that RFC 8032 takes from the SHA-512 of its seed. */
export function identityScalar(hashOfSeed: Uint8Array): Uint8Array {
  const scalar = hashOfSeed.slice(0, 32);
  scalar[0]! &= 0xf8;
  scalar[31] = (scalar[31]! & 0x7f) | 0x40;
  return scalar;
}
