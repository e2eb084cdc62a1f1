/** Random numbers that a seed repeats: for the moment of the kill, never for keys. */
import { createHash } from "node:crypto";

/** The n-th number of a seed, at least 0 and below 1. */
export function seededRandom(seed: number, n: number): number {
  return createHash("sha256").update(`egtp demo ${seed} ${n}`).digest().readUInt32BE(0) / 2 ** 32;
}
