/**
 * Which run of an owner's client has its mailbox: the newest that said it is the first, and no fight.
 *
 * @see docs/spec.md, "Relay"
 */
import { maxSupersededRuns } from "./limits.ts";
import type { OwnerRun } from "./mailbox-store.ts";

export interface OwnerRuns {
  /** The run to which mail is handed. */
  readonly run: string | undefined;
  /** Runs it took over from, the oldest first. At most `maxSupersededRuns`. */
  readonly superseded: readonly string[];
}

/**
 * Lets a run have the mailbox.
 *
 * @param isLive - Whether the one that has it was heard of lately.
 * @returns `undefined` when the run is superseded.
 */
export function registerRun(runs: OwnerRuns, run: OwnerRun, isLive: boolean): OwnerRuns | undefined {
  if (runs.run === run.id) return runs;
  if (runs.run !== undefined && isLive && (!run.isFirst || runs.superseded.includes(run.id))) return undefined;
  const others = runs.superseded.filter((id) => id !== run.id);
  if (runs.run !== undefined) others.push(runs.run);
  return { run: run.id, superseded: others.slice(-maxSupersededRuns) };
}
