/**
 * What contact records and boot pages have in common: plain fields that somebody signed for a while, each of which is checked as it
 * is read.
 */
import { concatBytes, encodeUtf8 } from "./bytes.ts";
import { signatureBytes, type VerifySignature } from "./ed25519.ts";
import { WireError, type WireErrorCode } from "./errors.ts";
import { type Millis, maxClockSkewMs } from "./limits.ts";
import { type PeerId, peerIdFromBytes, peerIdToBytes } from "./peer-id.ts";

/** What the signature of somebody covers, and for how long. */
export interface SignedBy {
  readonly id: PeerId;
  readonly issued: Millis;
  /** Not valid from then on. */
  readonly until: Millis;
}

export class SignedFormat {
  readonly #name: string;
  readonly #code: WireErrorCode;
  readonly #domain: Uint8Array;

  /**
   * @param name - As errors say it, and what is signed begins: "egtp", the name, 1, and a zero byte.
   * @param code - Of what does not have this format.
   */
  constructor(name: string, code: WireErrorCode) {
    this.#name = name;
    this.#code = code;
    this.#domain = encodeUtf8(`egtp ${name} 1\0`);
  }

  sign(payload: Uint8Array, sign: (message: Uint8Array) => Uint8Array): Uint8Array {
    const signature = sign(concatBytes(this.#domain, payload));
    if (signature.length !== signatureBytes) throw new RangeError(`A signature of ${signature.length} bytes`);
    return signature;
  }

  /**
   * @param now - Absent: whether it is valid now is not asked.
   * @throws {@link WireError} `EGTP_WIRE_EXPIRED`, `EGTP_WIRE_NOT_YET_VALID`, `EGTP_WIRE_BAD_SIGNATURE`.
   */
  judge(
    { id, issued, until }: SignedBy,
    payload: Uint8Array,
    signature: Uint8Array,
    now: Millis | undefined,
    verify: VerifySignature,
  ): void {
    // Before the signature, which costs a thousand times as much to check.
    if (now !== undefined && now >= until) throw this.error("EGTP_WIRE_EXPIRED", `that was valid until ${until}`);
    if (now !== undefined && issued > now + maxClockSkewMs) {
      throw this.error("EGTP_WIRE_NOT_YET_VALID", `that was issued at ${issued}`);
    }
    if (!verify(peerIdToBytes(id), concatBytes(this.#domain, payload), signature)) {
      throw this.error("EGTP_WIRE_BAD_SIGNATURE", `that ${id} did not sign`);
    }
  }

  /** @param which - Follows the name. */
  error(code: WireErrorCode, which: string): WireError {
    return new WireError(code, `A ${this.#name} ${which}`);
  }

  bad(what: string, cause?: unknown): WireError {
    return new WireError(this.#code, `Not a ${this.#name}: ${what}`, { cause });
  }

  // ---- Fields. Each throws what {@link bad} makes.

  object(value: unknown, what: string): Record<string, unknown> {
    if (typeof value !== "object" || value === null || Array.isArray(value) || value instanceof Uint8Array) {
      throw this.bad(`${what} is not an object`);
    }
    return value as Record<string, unknown>;
  }

  array(value: unknown, most: number, what: string): readonly unknown[] {
    if (!Array.isArray(value) || value.length > most) throw this.bad(`${what} is not an array of at most ${most}`);
    return value;
  }

  integer(value: unknown, least: number, most: number, what: string): number {
    if (!Number.isSafeInteger(value) || (value as number) < least || (value as number) > most) {
      throw this.bad(`${what} is not an integer from ${least} to ${most}`);
    }
    return value as number;
  }

  peerId(value: unknown, what: string): PeerId {
    if (!(value instanceof Uint8Array)) throw this.bad(`${what} is not bytes`);
    try {
      return peerIdFromBytes(value);
    } catch (cause) {
      throw this.bad(`${what} is no peer ID`, cause);
    }
  }
}
