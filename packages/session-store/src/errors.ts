/**
 * The errors of this package. Damage to single records is no error: it is a value, {@link DamagedRecord}, because a
 * peer heals from it. The README lists every code with its meaning and remedy.
 */

import { EgtpError } from "@egtp/wire";

/** Every code that a {@link StoreError} can carry. */
export type StoreErrorCode =
  | "EGTP_STORE_LOCKED"
  | "EGTP_STORE_UNWRITABLE"
  | "EGTP_STORE_EXPOSED"
  | "EGTP_STORE_MISSING_PART"
  | "EGTP_STORE_DAMAGED"
  | "EGTP_STORE_UNCHECKED"
  | "EGTP_STORE_CLOSED"
  | "EGTP_STORE_UNREACHABLE"
  | "EGTP_STORE_DUPLICATE_ID"
  | "EGTP_STORE_GONE";

/** Something around the store, or the way it was used, keeps it from doing its work. */
export class StoreError extends EgtpError {
  override readonly name: string = "StoreError";

  constructor(code: StoreErrorCode, message: string, options: { cause?: unknown; hint?: string } = {}) {
    super(code, message, options);
  }
}

/** An ID names exactly one key pair, so an ID that is already kept is refused. */
export class DuplicateIdError extends StoreError {
  override readonly name: string = "DuplicateIdError";
  /** The session or offer ID that is kept already. */
  readonly id: string;

  constructor(what: "session" | "accepted offer" | "pending offer", id: string) {
    super("EGTP_STORE_DUPLICATE_ID", `The ${what} ${id} is already kept.`, {
      hint: "Treat the handshake that led to it as a repetition: drop it and keep what is there.",
    });
    this.id = id;
  }
}
