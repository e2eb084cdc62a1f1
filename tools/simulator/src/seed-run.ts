/** One seed with one profile, of either kind, and the few acts that show why it failed. */

import { minimise } from "./minimise.ts";
import { realCores } from "./real-cores.ts";
import { coresProfile, type Profile, profiles, run } from "./run.ts";
import { realStack } from "./stack/real-stack.ts";
import { runStack, type StackProfile, stackProfiles } from "./stack/stack-run.ts";
import { actMark, type Violation } from "./world.ts";

export type AnyProfile = Profile | StackProfile;

export interface SeedOptions {
  readonly realCrypto: boolean;
  readonly trace?: boolean;
  readonly acts?: ReadonlySet<number> | undefined;
}

/** What both kinds of runs tell. */
export interface Outcome {
  readonly violations: readonly Violation[];
  readonly messages: number;
  readonly envelopes: number;
  readonly crashes: number;
  readonly acts: number;
  readonly log: readonly string[];
}

export interface Failure {
  readonly seed: number;
  readonly profile: AnyProfile;
  readonly realCrypto: boolean;
  readonly violations: readonly Violation[];
  /** How many acts the run had, and the numbers of those that suffice. */
  readonly actsOfRun: number;
  readonly acts: readonly number[];
  /** What happened in a run with those alone, up to the first violation. */
  readonly log: readonly string[];
}

/** One seed in twenty runs real cryptography, whatever the profile. */
export function usesRealCrypto(seed: number): boolean {
  return seed % 20 === 7;
}

export async function runSeed(seed: number, profile: AnyProfile, options: SeedOptions): Promise<Outcome> {
  if (isStackProfile(profile)) return runStack(seed, profile, { stack: realStack, ...options });
  return run(seed, profile, { cores: realCores, ...options });
}

/**
 * Tells a failed run with as few acts as were found to show the same.
 *
 * @param limitMs - How long may be spent on finding fewer acts.
 */
export async function explain(
  seed: number,
  profile: AnyProfile,
  realCrypto: boolean,
  { violations, acts: actsOfRun }: Outcome,
  limitMs: number,
): Promise<Failure> {
  const property = violations[0]!.property;
  const isShown = async (acts: ReadonlySet<number>): Promise<boolean> => {
    const again = await runSeed(seed, profile, { realCrypto, acts });
    return again.violations.some((violation) => violation.property === property);
  };
  const acts = await minimise(actsOfRun, isShown, limitMs);
  const { log } = await runSeed(seed, profile, { realCrypto, acts: new Set(acts), trace: true });
  return { seed, profile, realCrypto, violations, actsOfRun, acts, log: shortened(log) };
}

/** Lines before the violation that are told whatever they are of. */
const lastLines = 25;
const mostLines = 60;

/** What stations say to each other all the time. */
const isRoutine = /relay\/register|metatracker\/|published|\blink \{/;
/** What became of messages and of peers. */
const telling = /message \d+|crashes|ends, store|starts, life|session \{|cannot read|VIOLATION/;

function shortened(log: readonly string[]): string[] {
  const end = log.findIndex((line) => line.includes("VIOLATION")) + 1;
  const told = end === 0 ? log : log.slice(0, end);
  const isAct = (line: string): boolean => line.slice(0, 15).includes(actMark);
  const spoken = told.filter((line) => isAct(line) || !isRoutine.test(line));
  return spoken
    .filter((line, i) => i >= spoken.length - lastLines || isAct(line) || telling.test(line))
    .slice(-mostLines);
}

function isStackProfile(profile: string): profile is StackProfile {
  return (stackProfiles as readonly string[]).includes(profile);
}

/** Which profiles a seed is run with: most seeds are spent where most can go wrong. */
export function chooser(name: string): ((seed: number) => readonly AnyProfile[]) | undefined {
  const ofStack = (seed: number): StackProfile => (seed % 4 === 0 ? "mail" : "storm");
  if (name === "cores") return (seed) => [coresProfile(seed)];
  if (name === "stack") return (seed) => [ofStack(seed)];
  if (name === "all") return (seed) => [coresProfile(seed), ofStack(seed)];
  const only = [...profiles, ...stackProfiles].find((profile) => profile === name);
  return only && (() => [only]);
}
