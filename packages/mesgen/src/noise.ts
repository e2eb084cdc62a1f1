/**
 * The Noise handshake, as much of it as EGTP needs: `Noise_KK_25519_ChaChaPoly_SHA512` in two halves that can be kept and
 * resumed. An offer is message 1, an acceptance is message 2.
 *
 * Every function is pure: all randomness comes in as ephemeral key pairs, nothing is kept, and a message that does not
 * read leaves no trace. The general part (`startHandshake`, `writeMessage`, `readMessage`) plays any pattern whose statics
 * are known beforehand; that no static travels is what makes it short. The `ss` of KK depends on the pair of
 * peers only, so whoever has it at hand passes it in.
 *
 * @see docs/spec.md, "Handshake"; the Noise Protocol Framework, revision 34
 */
import { type CryptoProvider, type DhKeyPair, tagBytes } from "./crypto.ts";

/** What a message does besides carrying its payload: `e` sends an ephemeral key, the others mix a shared secret in. */
export type Token = "e" | "ee" | "es" | "se" | "ss";

/** All that is left of a handshake between two messages. */
export interface HandshakeState {
  /** 64 bytes, secret. */
  readonly chainingKey: Uint8Array;
  /** 64 bytes: binds everything sent so far. */
  readonly hash: Uint8Array;
}

/** The keys of one side. Which ones must be there follows from the tokens. */
export interface HandshakeKeys {
  readonly role: "initiator" | "responder";
  readonly ourStatic?: DhKeyPair | undefined;
  readonly ourEphemeral?: DhKeyPair | undefined;
  readonly theirStatic?: Uint8Array | undefined;
  readonly theirEphemeral?: Uint8Array | undefined;
  /** The shared secret of both statics, where it is at hand. */
  readonly ss?: Uint8Array | undefined;
}

/** The keys after the last message, 32 bytes each: the initiator sends under the first, the responder under the second. */
export interface SplitKeys {
  readonly initiatorKey: Uint8Array;
  readonly responderKey: Uint8Array;
}

export interface OfferWritten extends HandshakeState {
  /** Ephemeral key (32), then the sealed payload. */
  readonly message: Uint8Array;
  /** The key for envelopes from the initiator that leave before the offer is accepted, 32 bytes. */
  readonly earlyKey: Uint8Array;
}

export interface OfferRead extends HandshakeState {
  readonly payload: Uint8Array;
  readonly earlyKey: Uint8Array;
  readonly theirEphemeral: Uint8Array;
}

export interface AcceptanceWritten extends SplitKeys {
  /** Ephemeral key (32), then the sealed payload. */
  readonly message: Uint8Array;
  /** The handshake hash, 64 bytes: the same on both sides. */
  readonly hash: Uint8Array;
}

export interface AcceptanceRead extends SplitKeys {
  readonly payload: Uint8Array;
  readonly hash: Uint8Array;
}

const dhBytes = 32;
const keyBytes = 32;
const kkName = "Noise_KK_25519_ChaChaPoly_SHA512";
const offerTokens: readonly Token[] = ["e", "es", "ss"];
const acceptanceTokens: readonly Token[] = ["e", "ee", "se"];
const nothing = new Uint8Array(0);

/**
 * The initiator writes message 1.
 *
 * @param offer.theirStatic - From `dhPublicKeyOf`, which refuses the keys that no secret can be shared with.
 * @returns What to send, and with the ephemeral secret all that `readAcceptance` needs.
 */
export function writeOffer(
  crypto: CryptoProvider,
  offer: {
    readonly prologue: Uint8Array;
    readonly ourStatic: DhKeyPair;
    readonly theirStatic: Uint8Array;
    readonly ss?: Uint8Array | undefined;
    readonly ephemeral: DhKeyPair;
    readonly payload: Uint8Array;
  },
): OfferWritten {
  const { ourStatic, theirStatic } = offer;
  const start = startHandshake(crypto, kkName, offer.prologue, [ourStatic.publicKey, theirStatic]);
  const keys = { role: "initiator", ourStatic, theirStatic, ss: offer.ss, ourEphemeral: offer.ephemeral } as const;
  const { message, chainingKey, hash } = writeMessage(crypto, start, offerTokens, keys, offer.payload);
  return { message, chainingKey, hash, earlyKey: earlyKeyOf(crypto, { chainingKey, hash }) };
}

/**
 * The responder reads message 1.
 *
 * @returns `null` when it was not made by the owner of `theirStatic` for us under this prologue.
 */
export function readOffer(
  crypto: CryptoProvider,
  offer: {
    readonly prologue: Uint8Array;
    readonly ourStatic: DhKeyPair;
    readonly theirStatic: Uint8Array;
    readonly ss?: Uint8Array | undefined;
    readonly message: Uint8Array;
  },
): OfferRead | null {
  const { ourStatic, theirStatic } = offer;
  const start = startHandshake(crypto, kkName, offer.prologue, [theirStatic, ourStatic.publicKey]);
  const keys = { role: "responder", ourStatic, theirStatic, ss: offer.ss } as const;
  const read = readMessage(crypto, start, offerTokens, keys, offer.message);
  if (read === null) return null;
  const { payload, theirEphemeral, chainingKey, hash } = read;
  return { payload, theirEphemeral, chainingKey, hash, earlyKey: earlyKeyOf(crypto, { chainingKey, hash }) };
}

/** The responder writes message 2 to an offer that it has read. */
export function writeAcceptance(
  crypto: CryptoProvider,
  acceptance: {
    readonly offer: Pick<OfferRead, "chainingKey" | "hash" | "theirEphemeral">;
    readonly ourStatic: DhKeyPair;
    readonly theirStatic: Uint8Array;
    readonly ephemeral: DhKeyPair;
    readonly payload: Uint8Array;
  },
): AcceptanceWritten {
  const { offer, ourStatic, theirStatic, ephemeral } = acceptance;
  const { theirEphemeral } = offer;
  const keys = { role: "responder", ourStatic, theirStatic, ourEphemeral: ephemeral, theirEphemeral } as const;
  const written = writeMessage(crypto, offer, acceptanceTokens, keys, acceptance.payload);
  return { message: written.message, hash: written.hash, ...splitKeys(crypto, written) };
}

/**
 * The initiator reads message 2, long after message 1 if need be.
 *
 * @param acceptance.chainingKey - With `hash` and `ephemeral` of the offer, as written.
 * @returns `null` when it is no acceptance of that offer by its recipient.
 */
export function readAcceptance(
  crypto: CryptoProvider,
  acceptance: HandshakeState & {
    readonly ourStatic: DhKeyPair;
    readonly ephemeral: DhKeyPair;
    readonly message: Uint8Array;
  },
): AcceptanceRead | null {
  const keys = { role: "initiator", ourStatic: acceptance.ourStatic, ourEphemeral: acceptance.ephemeral } as const;
  const read = readMessage(crypto, acceptance, acceptanceTokens, keys, acceptance.message);
  if (read === null) return null;
  return { payload: read.payload, hash: read.hash, ...splitKeys(crypto, read) };
}

/**
 * The state before message 1.
 *
 * @param protocolName - At most 64 bytes of ASCII.
 * @param knownStatics - The public keys known beforehand, the initiator's first.
 */
export function startHandshake(
  crypto: CryptoProvider,
  protocolName: string,
  prologue: Uint8Array,
  knownStatics: readonly Uint8Array[],
): HandshakeState {
  const chainingKey = new Uint8Array(64);
  chainingKey.set(new TextEncoder().encode(protocolName));
  let hash = crypto.sha512(chainingKey, prologue);
  for (const publicKey of knownStatics) hash = crypto.sha512(hash, publicKey);
  return { chainingKey, hash };
}

/** Writes the next message and gives the state after it. `from` stays as it is. */
export function writeMessage(
  crypto: CryptoProvider,
  from: HandshakeState,
  tokens: readonly Token[],
  keys: HandshakeKeys,
  payload: Uint8Array,
): HandshakeState & { readonly message: Uint8Array } {
  const message = new Uint8Array(dhBytes + payload.length + tagBytes);
  message.set(present(keys.ourEphemeral).publicKey);
  const mixed = mixTokens(crypto, from, tokens, keys, message.subarray(0, dhBytes));
  if (mixed === null) throw new TypeError("a public key of low order in a handshake of ours");
  crypto.seal(mixed.key, 0, mixed.hash, payload, message, dhBytes);
  const hash = crypto.sha512(mixed.hash, message.subarray(dhBytes));
  return { message, chainingKey: mixed.chainingKey, hash };
}

/** Reads the next message and gives the state after it, or `null` when it is not authentic. `from` stays as it is. */
export function readMessage(
  crypto: CryptoProvider,
  from: HandshakeState,
  tokens: readonly Token[],
  keys: HandshakeKeys,
  message: Uint8Array,
): (HandshakeState & { readonly payload: Uint8Array; readonly theirEphemeral: Uint8Array }) | null {
  if (message.length < dhBytes + tagBytes) return null;
  const theirEphemeral = message.slice(0, dhBytes);
  const mixed = mixTokens(crypto, from, tokens, { ...keys, theirEphemeral }, theirEphemeral);
  if (mixed === null) return null;
  const ciphertext = message.subarray(dhBytes);
  const payload = crypto.open(mixed.key, 0, mixed.hash, ciphertext);
  if (payload === null) return null;
  const hash = crypto.sha512(mixed.hash, ciphertext);
  return { payload, theirEphemeral, chainingKey: mixed.chainingKey, hash };
}

/** Noise's Split. */
export function splitKeys(crypto: CryptoProvider, state: HandshakeState): SplitKeys {
  const [first, second] = crypto.hkdf2(state.chainingKey, nothing);
  return { initiatorKey: first.slice(0, keyBytes), responderKey: second.slice(0, keyBytes) };
}

function earlyKeyOf(crypto: CryptoProvider, state: HandshakeState): Uint8Array {
  return crypto.hkdf2(state.chainingKey, state.hash)[0].slice(0, keyBytes);
}

/**
 * Everything of a message that comes before its payload, and the key for the payload. In the patterns played here a
 * shared secret precedes every payload, so there is always a key, it is fresh, and its counter is 0.
 *
 * @returns `null` when a shared secret is zero.
 */
function mixTokens(
  crypto: CryptoProvider,
  from: HandshakeState,
  tokens: readonly Token[],
  keys: HandshakeKeys,
  sentEphemeral: Uint8Array,
): (HandshakeState & { readonly key: Uint8Array }) | null {
  let { chainingKey, hash } = from;
  let key = nothing;
  for (const token of tokens) {
    if (token === "e") {
      hash = crypto.sha512(hash, sentEphemeral);
      continue;
    }
    const secret = sharedSecret(crypto, token, keys);
    if (secret === null) return null;
    const [nextChainingKey, output] = crypto.hkdf2(chainingKey, secret);
    chainingKey = nextChainingKey;
    key = output.slice(0, keyBytes);
  }
  return { chainingKey, hash, key };
}

/** The letters of a token name the initiator's key, then the responder's. */
function sharedSecret(crypto: CryptoProvider, token: Exclude<Token, "e">, keys: HandshakeKeys): Uint8Array | null {
  if (token === "ss" && keys.ss !== undefined) return keys.ss;
  const initiator = keys.role === "initiator";
  const ours = token[initiator ? 0 : 1] === "e" ? keys.ourEphemeral : keys.ourStatic;
  const theirs = token[initiator ? 1 : 0] === "e" ? keys.theirEphemeral : keys.theirStatic;
  return crypto.dh(present(ours), present(theirs));
}

function present<T>(key: T | undefined): T {
  if (key === undefined) throw new TypeError("a key that this handshake needs is missing");
  return key;
}
