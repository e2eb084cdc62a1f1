/**
 * Every size, count and duration of the directory, with its unit and its reason.
 *
 * @see docs/spec.md, "Metatracker"
 */

// ---- Fixed by the protocol ----

/** Records in one answer to a list request: a choice for whoever asks, in one small message. */
export const maxListed = 16;
