/**
 * Every size, count and duration of the relay protocol, with its unit and its reason.
 *
 * @see docs/spec.md, "Relay"
 */

// ---- Fixed by the protocol ----

/** Bytes of a mailbox's tag: random for each mailbox made, so that numbers of an earlier one are never taken for its own. */
export const mailboxTagBytes = 8;

/** Bytes of a client's run: random for each start, so that two processes with one key are told apart. */
export const clientRunBytes = 8;

/** Bytes before the envelope in a mail handed over: tag 8, number 8. */
export const mailIdBytes = 16;

/** Ranges in one acknowledgement, as many as in a receipt. */
export const maxAcknowledgeRanges = 256;

/** Bytes of a reply to a collect request: some dozens of full envelopes, and a message that fits every node's bounds. */
export const maxCollectBytes = 1024 * 1024;
