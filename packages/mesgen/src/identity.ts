/**
 * Our own long-term keys: an Ed25519 key pair, whose public half is our peer ID, and its X25519 image.
 *
 * One process may hold several (rule R8); nothing here is shared between them.
 *
 * @see docs/spec.md, "Identity"
 */

import { type PeerId, peerIdFromTrustedBytes } from "@egtp/wire";
import { defaultCryptoProvider } from "#crypto-provider";
import type { CryptoProvider, IdentityKeys } from "./crypto.ts";
import { MesgenError } from "./errors.ts";

export const identitySeedBytes = 32;

export interface Identity {
  readonly peer: PeerId;
  readonly keys: IdentityKeys;
  /**
   * True for keys made in this process: no message to them can be older than their first session store, which therefore has
   * no birth to doubt (spec, "Fresh offers").
   */
  readonly isNew: boolean;
  /** The 32 secret bytes from which everything follows. Keep them as one keeps a private key. */
  exportSeed(): Uint8Array;
  /**
   * Keeps others from running a peer with these keys, as far as the place that they came from can tell. A node calls it when it
   * starts. Absent: nothing tells.
   *
   * @returns What gives them free again.
   * @throws an `EgtpError` when somebody has them.
   */
  claim?(): Promise<() => Promise<void>>;
}

/** Makes a new identity. */
export function createIdentity(crypto: CryptoProvider = defaultCryptoProvider): Identity {
  return makeIdentity(crypto.randomBytes(identitySeedBytes), true, crypto);
}

/**
 * Restores an identity.
 *
 * @param seed - The 32 bytes of {@link Identity.exportSeed}. Copied.
 * @throws {@link MesgenError} `EGTP_MESGEN_BAD_SEED` when there are not 32 of them.
 */
export function identityFromSeed(seed: Uint8Array, crypto: CryptoProvider = defaultCryptoProvider): Identity {
  if (seed.length !== identitySeedBytes) {
    throw new MesgenError(
      "EGTP_MESGEN_BAD_SEED",
      `An identity seed has ${identitySeedBytes} bytes, not ${seed.length}.`,
    );
  }
  return makeIdentity(seed.slice(), false, crypto);
}

function makeIdentity(seed: Uint8Array, isNew: boolean, crypto: CryptoProvider): Identity {
  const keys = crypto.identityFromSeed(seed);
  return { peer: peerIdFromTrustedBytes(keys.publicKey), keys, isNew, exportSeed: () => seed.slice() };
}
