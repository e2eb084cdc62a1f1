/** Runs seeds in a thread, as many at a time as it is asked for. */

import { parentPort } from "node:worker_threads";
import { chooser, explain, type Failure, runSeed, usesRealCrypto } from "./seed-run.ts";

/** Seeds from one on. */
export interface Portion {
  readonly from: number;
  readonly count: number;
  /** As the command line names it. */
  readonly profile: string;
  readonly realCrypto: boolean;
}

export interface Totals {
  seeds: number;
  runs: number;
  messages: number;
  envelopes: number;
  crashes: number;
}

export interface PortionDone {
  readonly from: number;
  readonly totals: Totals;
  readonly failures: readonly Failure[];
}

/** When much fails, few acts are looked for in the first failures of each thread alone. */
const maxExplained = 3;
const explainMs = 20_000;
let explained = 0;

export function noTotals(): Totals {
  return { seeds: 0, runs: 0, messages: 0, envelopes: 0, crashes: 0 };
}

export async function runPortion({ from, count, profile, realCrypto }: Portion): Promise<PortionDone> {
  const totals = noTotals();
  const failures: Failure[] = [];
  const choose = chooser(profile)!;
  for (let seed = from; seed < from + count; seed++) {
    totals.seeds += 1;
    const isReal = realCrypto || usesRealCrypto(seed);
    for (const one of choose(seed)) {
      const outcome = await runSeed(seed, one, { realCrypto: isReal });
      totals.runs += 1;
      totals.messages += outcome.messages;
      totals.envelopes += outcome.envelopes;
      totals.crashes += outcome.crashes;
      if (outcome.violations.length === 0) continue;
      explained += 1;
      failures.push(await explain(seed, one, isReal, outcome, explained <= maxExplained ? explainMs : 0));
    }
  }
  return { from, totals, failures };
}

async function serve(portion: Portion): Promise<void> {
  parentPort!.postMessage(await runPortion(portion));
}

// Errors are everyday values here, and where they came from is of interest in a trace alone.
Error.stackTraceLimit = 0;
parentPort?.on("message", (portion: Portion) => void serve(portion));
