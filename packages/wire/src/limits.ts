/**
 * Every size and count of the wire format, with its unit and its reason.
 *
 * What the protocol fixes must be equal on both sides of a link; what we chose could differ between two
 * implementations that still understand each other.
 *
 * @see docs/spec.md, "Limits"
 */

/** A duration, or an instant since the Unix epoch, in milliseconds. */
export type Millis = number;

// ---- Fixed by the protocol ----

/** The version in the high half of an envelope's first byte. */
export const protocolVersion = 1;

/** Bytes of an Ed25519 public key, which is a peer ID. */
export const peerIdBytes = 32;

/** Characters of a peer ID as text: 256 bits in z-base-32, 5 bits each. */
export const peerIdTextLength = 52;

/** Bytes of a sealed sender: ephemeral key 32, encrypted ID 32, tag 16. */
export const sealedSenderBytes = 80;

/** Bytes of a session ID and of an offer ID: 128 bits, too many to meet by chance. */
export const sessionIdBytes = 16;

/** Bytes of an epoch: random for each start of a node. */
export const epochBytes = 8;

/** Bytes of a store tag: random for each birth of a store. */
export const storeTagBytes = 8;

/** Bytes that ChaCha20-Poly1305 adds to what it seals. */
export const authTagBytes = 16;

/** Counters stay below this: a session is renewed long before, and a replay window fits small integers. */
export const counterLimit = 2 ** 32;

/** Bytes of an offer in an envelope's header: ephemeral key 32, sealed payload 32 + 16. */
export const offerBytes = 80;

/** Bytes of an acceptance in an envelope's header: offer ID 16, ephemeral key 32, sealed payload 16 + 16. */
export const acceptanceBytes = 80;

/** Bytes of plaintext in one envelope: large enough to pay its cost over many messages, small enough to buffer unasked. */
export const maxPlaintextBytes = 65_536;

/** Bytes of the shortest envelope: a data header of 58, nothing inside, and the tag. */
export const minEnvelopeBytes = 58 + authTagBytes;

/** Bytes of the longest envelope: sealed sender, offer or acceptance, full plaintext, tag. */
export const maxEnvelopeBytes = 58 + (sealedSenderBytes - peerIdBytes) + offerBytes + maxPlaintextBytes + authTagBytes;

/** Bytes of the big-endian length before each envelope on a byte stream. */
export const lengthPrefixBytes = 4;

/** Bytes of a varint: 8 times 7 bits hold every safe integer (2^53 - 1). */
export const maxVarintBytes = 8;

/**
 * Bytes of body in every part of a long message but the last. Four such parts with their frame headers fill one
 * envelope, and a fixed size makes the offset of a part follow from its index.
 */
export const partBytes = 16_320;

/** Bytes of UTF-8 in the name of a message type: it is sent once for each epoch. */
export const maxTypeNameBytes = 128;

/** Ranges in each of the two lists of a receipt: a receipt then fits beside other frames. */
export const maxReceiptRanges = 256;

/** Entries of a rejected list: more than the sessions that one peer can hold. */
export const maxRejectedEntries = 16;

/** Bytes of a link challenge and of its response: 64 bits cannot be guessed in the life of a link. */
export const linkChallengeBytes = 8;

/** Bytes of a contact record with its signature: it travels inside first envelopes and fills directories. */
export const maxContactRecordBytes = 1_024;

/** Arrays and objects inside one another in a body: bounds the stack of whoever reads it. */
export const maxBodyDepth = 64;

// ---- Fixed too: who signs a contact record and who checks it must agree ----

/** How long a contact record may be valid, 30 days: outlives the mail that waits at relays, yet lets a directory forget. */
export const maxContactRecordTtlMs: Millis = 30 * 24 * 60 * 60 * 1_000;

/** How far in the future a record may have been issued, 24 hours: the clocks of two peers are assumed this close. */
export const maxClockSkewMs: Millis = 24 * 60 * 60 * 1_000;

/** Ways in that one contact record may list: more would only delay whoever tries them all. */
export const maxStrategies = 16;

/** Services that one contact record may list. */
export const maxServices = 16;

/** Bytes of UTF-8 in a service's name. */
export const maxServiceNameBytes = 32;

/** Bytes of a boot page as text: some fifty of the longest records, and little enough to read unasked. */
export const maxBootPageBytes = 65_536;

/** Records in one boot page: more than the bytes have room for, so it only bounds the work of reading a false one. */
export const maxBootPageRecords = 256;

/** How long a boot page may be valid, 30 days: none of the records in it can be valid any longer. */
export const maxBootPageLifeMs: Millis = 30 * 24 * 60 * 60 * 1_000;
