/** Every count that bounds what the store keeps, with its reason. All are ours to choose except where said. */

/** The bounds of one {@link SessionMaps}. */
export interface StoreLimits {
  /** Sessions listed per counterparty. The proposal's rule R4 says ten. */
  readonly maxSessions: number;
  /** Offers remembered as accepted per counterparty. The protocol says sixteen; a forgotten one raises the floor. */
  readonly maxAccepted: number;
  /** Counterparties that proved themselves at least once: a full one takes about 5 KiB, an idle one under 1 KiB. */
  readonly maxCounterparties: number;
  /**
   * Counterparties of which nothing authentic was ever seen. They have a bound of their own, so that whoever names
   * peers that do not exist cannot push out the sessions of those that do.
   */
  readonly maxStrangers: number;
  /** Floors kept for counterparties that left, about 150 bytes each. */
  readonly maxFloors: number;
}

export const defaultStoreLimits: StoreLimits = {
  maxSessions: 10,
  maxAccepted: 16,
  maxCounterparties: 16_384,
  maxStrangers: 4_096,
  maxFloors: 65_536,
};

/** Bytes of a receive key, an early key, an ephemeral secret (X25519, ChaCha20). Fixed by the protocol. */
export const keyBytes = 32;
/** Bytes of a SHA-512 chaining key or handshake hash. Fixed by the protocol. */
export const hashBytes = 64;
/** Digits of a message number in a key: enough for 2^53 - 1, and always as many, so that keys sort by number. */
export const numberDigits = 14;
/** The longest key a store is asked to keep: `o:`, a peer ID, `:`, an epoch, `:`, a number. All keys are printable ASCII. */
export const maxStoreKeyLength = 2 + 52 + 1 + 16 + 1 + numberDigits;
