/**
 * Runs of properties whose input is damaged at random, short ones and long ones.
 *
 * `EGTP_FUZZ_SEED` repeats a run, `EGTP_FUZZ_TIMES` says how many short runs it is as long as.
 */
import fc from "fast-check";
import type { Damage } from "./damage.ts";

const seed = Number(process.env.EGTP_FUZZ_SEED ?? Date.now() % 2 ** 31);

/** What is done to one entry of a corpus: often nothing. */
export const someDamage: fc.Arbitrary<readonly Damage[]> = fc.oneof(
  fc.constant([]),
  fc.array(fc.tuple(fc.nat(), fc.nat(), fc.nat()), { maxLength: 4 }),
);

export interface FuzzRun {
  /** How often in the short run. */
  readonly runs: number;
  /** How many short runs this one is as long as. */
  readonly times: number;
}

/** Judges a property again and again. The seed is printed with a failure, and now and then in a long run, which can be gone on with from there. */
export async function fuzz<T>(property: fc.IAsyncProperty<T>, { runs, times }: FuzzRun): Promise<void> {
  const all = Math.ceil(runs * Number(process.env.EGTP_FUZZ_TIMES ?? times));
  const atOnce = Math.max(runs, Math.ceil(all / 20));
  for (let done = 0; done < all; done += atOnce) {
    await fc.assert(property, { seed: seed + done, numRuns: Math.min(atOnce, all - done) });
    if (all > atOnce) console.log(`${Math.min(all, done + atOnce)} of ${all}, seed ${seed + done}`);
  }
}
