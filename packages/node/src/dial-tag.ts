/**
 * The dial tag: the bytes that open a link and name, to whoever knows the name already, the identity that is dialled.
 *
 * It is a random salt and the first 16 bytes of SHA-512("egtp dial" || salt || target ID). A scanner that does not know
 * the ID can neither make one nor tell a listener that refuses it from any other program. It proves nothing about the
 * dialer, and an observer of the link who has a list of IDs can find the target among them.
 *
 * @see docs/spec.md, "Links"
 */
import { toHex } from "@egtp/wire";
import { dialSaltBytes, dialSaltLifeMs, dialTagBytes } from "./transport-limits.ts";

/** SHA-512 of the parts joined. */
export type Sha512 = (...parts: readonly Uint8Array[]) => Uint8Array;

/** What links need of a crypto provider. */
export interface DialCrypto {
  readonly sha512: Sha512;
  readonly randomBytes: (length: number) => Uint8Array;
}

const label = new TextEncoder().encode("egtp dial");

/**
 * Makes the tag for a target.
 *
 * @param salt - 16 random bytes, never used before.
 * @param target - The target's public key, 32 bytes.
 * @returns 32 bytes: the salt, then the hash.
 */
export function createDialTag(sha512: Sha512, salt: Uint8Array, target: Uint8Array): Uint8Array {
  if (salt.length !== dialSaltBytes) throw new RangeError(`A salt has ${dialSaltBytes} bytes, not ${salt.length}`);
  const tag = new Uint8Array(dialTagBytes);
  tag.set(salt);
  tag.set(sha512(label, salt, target).subarray(0, dialTagBytes - dialSaltBytes), dialSaltBytes);
  return tag;
}

/**
 * Finds the identity that a tag names. It takes the same time whichever it is, and if it is none.
 *
 * @param tag - 32 bytes from outside.
 * @param targets - The public keys of all identities served.
 * @returns The index among `targets`, or -1.
 */
export function matchDialTag(sha512: Sha512, tag: Uint8Array, targets: readonly Uint8Array[]): number {
  const salt = tag.subarray(0, dialSaltBytes);
  let found = -1;
  for (let index = 0; index < targets.length; index++) {
    const expected = sha512(label, salt, targets[index]!);
    let difference = 0;
    for (let i = dialSaltBytes; i < dialTagBytes; i++) difference |= tag[i]! ^ expected[i - dialSaltBytes]!;
    const mask = (difference - 1) >> 31; // all ones when equal, else zero
    found = (found & ~mask) | (index & mask);
  }
  return found;
}

/** The salts used lately. Holds at most `max`; the oldest leaves first, see `maxUsedSalts`. */
export class UsedSalts {
  readonly #max: number;
  /** When each salt was used, oldest first. */
  readonly #usedAt = new Map<string, number>();

  constructor(max: number) {
    this.#max = max;
  }

  get size(): number {
    return this.#usedAt.size;
  }

  /**
   * Marks a salt as used. Only salts of tags that named an identity come here: others cost nothing to make.
   *
   * @param now - Milliseconds of a clock that never goes back.
   * @returns False when it was used within the last ten minutes.
   */
  use(salt: Uint8Array, now: number): boolean {
    for (const [oldest, usedAt] of this.#usedAt) {
      if (now - usedAt < dialSaltLifeMs) break;
      this.#usedAt.delete(oldest);
    }
    const key = toHex(salt);
    if (this.#usedAt.has(key)) return false;
    if (this.#usedAt.size >= this.#max) this.#usedAt.delete(this.#usedAt.keys().next().value!);
    this.#usedAt.set(key, now);
    return true;
  }
}
