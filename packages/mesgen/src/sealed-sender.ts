/**
 * The sealed sender: the ID of an envelope's sender, encrypted to its recipient.
 *
 *     ephemeral X25519 key (32) | sender's ID under ChaCha20-Poly1305 (32 + 16)
 *
 * The key comes from the shared secret of the ephemeral and the recipient's key, bound to both of them; the associated
 * data binds protocol version and recipient ID. One ephemeral seals one ID, so the counter is always 0. It proves nothing
 * about who made it: an ID found inside is a claim that the envelope's own tag has to bear out.
 *
 * @see docs/spec.md, "Sealed sender"
 */
import type { CryptoProvider, DhKeyPair } from "./crypto.ts";

/** The size of a sealed sender. */
export const sealedSenderBytes = 80;

const ephemeralBytes = 32;
const keyBytes = 32;
const label = new TextEncoder().encode("egtp sealed");
const version = Uint8Array.of(1);

/**
 * Seals our ID for a recipient.
 *
 * @param recipientDhPublicKey - From `dhPublicKeyOf`, which refuses the keys that no secret can be shared with.
 * @param recipientId - 32 bytes.
 * @param ourId - 32 bytes.
 * @param ephemeral - Fresh, and used for nothing else.
 */
export function sealSender(
  crypto: CryptoProvider,
  recipientDhPublicKey: Uint8Array,
  recipientId: Uint8Array,
  ourId: Uint8Array,
  ephemeral: DhKeyPair,
): Uint8Array {
  const secret = crypto.dh(ephemeral, recipientDhPublicKey);
  if (secret === null) throw new TypeError("a recipient's key of low order");
  const sealed = new Uint8Array(sealedSenderBytes);
  sealed.set(ephemeral.publicKey);
  const key = sealingKey(crypto, secret, ephemeral.publicKey, recipientDhPublicKey);
  crypto.seal(key, 0, associatedData(recipientId), ourId, sealed, ephemeralBytes);
  return sealed;
}

/**
 * Opens a sealed sender that was made for us.
 *
 * @param ourDh - The X25519 image of our identity.
 * @param ourId - 32 bytes.
 * @returns The 32 bytes that stand for the sender's ID, not checked to be one, or `null` when it was not made for us.
 */
export function openSender(
  crypto: CryptoProvider,
  ourDh: DhKeyPair,
  ourId: Uint8Array,
  sealed: Uint8Array,
): Uint8Array | null {
  if (sealed.length !== sealedSenderBytes) return null;
  const ephemeral = sealed.subarray(0, ephemeralBytes);
  const secret = crypto.dh(ourDh, ephemeral);
  if (secret === null) return null;
  const key = sealingKey(crypto, secret, ephemeral, ourDh.publicKey);
  return crypto.open(key, 0, associatedData(ourId), sealed.subarray(ephemeralBytes));
}

function sealingKey(
  crypto: CryptoProvider,
  secret: Uint8Array,
  ephemeral: Uint8Array,
  recipientDhPublicKey: Uint8Array,
): Uint8Array {
  const salt = crypto.sha512(label, version, ephemeral, recipientDhPublicKey);
  return crypto.hkdf2(salt, secret)[0].slice(0, keyBytes);
}

function associatedData(recipientId: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(label.length + version.length + recipientId.length);
  bytes.set(label);
  bytes.set(version, label.length);
  bytes.set(recipientId, label.length + version.length);
  return bytes;
}
