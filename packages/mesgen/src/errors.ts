/** What a caller of mesgen can do wrong, and what a peer ID or key file can be. Whatever an envelope may hold is a value, not an error. */

import { EgtpError } from "@egtp/wire";

export type MesgenErrorCode =
  | "EGTP_MESGEN_BAD_PEER"
  | "EGTP_MESGEN_SELF"
  | "EGTP_MESGEN_TOO_LARGE"
  | "EGTP_MESGEN_BAD_SEED";

const hints: Record<MesgenErrorCode, string> = {
  EGTP_MESGEN_BAD_PEER: "This ID has no usable key behind it; ask the peer for its ID again.",
  EGTP_MESGEN_SELF: "A node does not send to its own ID; call the handler directly.",
  EGTP_MESGEN_TOO_LARGE: "Frames of one envelope are limited by carrier.room; split them.",
  EGTP_MESGEN_BAD_SEED: "An identity is made from exactly 32 bytes.",
};

/** Thrown by `@egtp/mesgen`; `code` is stable. */
export class MesgenError extends EgtpError {
  override readonly name = "MesgenError";
  declare readonly code: MesgenErrorCode;

  constructor(code: MesgenErrorCode, message: string, options: { cause?: unknown } = {}) {
    super(code, message, { ...options, hint: hints[code] });
  }
}
