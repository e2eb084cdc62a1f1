/** `pnpm sim`: many runs, with progress; a failure prints its seed, which replays it exactly. */

import { parseArgs } from "node:util";
import { Mesgen } from "@egtp/mesgen";
import { Delivery } from "@egtp/node/delivery";
import { type Profile, profiles, run } from "./run.ts";
import { realStack } from "./stack/real-stack.ts";
import { runStack, type StackProfile, stackProfiles } from "./stack/stack-run.ts";
import type { Violation } from "./world.ts";

const usage = `pnpm sim [options]

  --seeds N      how many seeds, over the profiles in turn (default 1000)
  --seconds S    or as many as fit into so many seconds of processor time
  --from S       the first seed (default 1)
  --profile P    cores (default): ${profiles.join(", ")}: the cores alone, on a simulated network
                 stack: ${stackProfiles.join(", ")}: whole nodes with relays and metatrackers
                 all: each seed once with each; or one of those named above
  --real-crypto  real cryptography in every run, not in one of twenty
  --trace        print everything that happens; for one seed
  --json         one JSON object at the end instead of text
  --help
`;

const options = {
  seeds: { type: "string" },
  seconds: { type: "string" },
  from: { type: "string", default: "1" },
  profile: { type: "string", default: "cores" },
  "real-crypto": { type: "boolean", default: false },
  trace: { type: "boolean", default: false },
  json: { type: "boolean", default: false },
  help: { type: "boolean", default: false },
} as const;

/** What both kinds of runs tell. */
interface Outcome {
  readonly violations: readonly Violation[];
  readonly messages: number;
  readonly envelopes: number;
  readonly crashes: number;
  readonly log: readonly string[];
}

interface Failure {
  readonly seed: number;
  readonly profile: Profile | StackProfile;
  readonly violations: readonly Violation[];
}

const progressMs = 5_000;

async function main(): Promise<number> {
  let values: ReturnType<typeof parse>;
  try {
    values = parse();
  } catch (error) {
    return complain((error as Error).message);
  }
  if (values.help) {
    process.stdout.write(usage);
    return 0;
  }
  const seconds = values.seconds === undefined ? undefined : Number(values.seconds);
  const seeds = values.seeds === undefined ? (seconds === undefined ? 1_000 : Infinity) : Number(values.seeds);
  const from = Number(values.from);
  const choose = chooser(values.profile);
  if ((seeds !== Infinity && !(Number.isSafeInteger(seeds) && seeds >= 1)) || !Number.isSafeInteger(from) || from < 0) {
    return complain("--seeds and --from take whole numbers.");
  }
  if (seconds !== undefined && !(seconds > 0)) return complain("--seconds takes a number above 0.");
  if (choose === undefined) return complain(`There is no profile ${values.profile}.`);
  // Errors are everyday values there, and where they came from is of interest in a trace alone.
  if (!values.trace) Error.stackTraceLimit = 0;

  const { trace, json } = values;
  const started = Date.now();
  const failures: Failure[] = [];
  const totals = { seeds: 0, runs: 0, messages: 0, envelopes: 0, crashes: 0 };
  let spoke = started;
  for (let seed = from; seed < from + seeds; seed++) {
    if (seconds !== undefined && processorSeconds() >= seconds) break;
    totals.seeds += 1;
    const realCrypto = values["real-crypto"] || seed % 20 === 7;
    for (const profile of choose(seed)) {
      const { violations, messages, envelopes, crashes, log } = await runOne(seed, profile, realCrypto, trace);
      totals.runs += 1;
      totals.messages += messages;
      totals.envelopes += envelopes;
      totals.crashes += crashes;
      if (trace) process.stdout.write(`${log.join("\n")}\n`);
      if (violations.length === 0) continue;
      failures.push({ seed, profile, violations });
      if (!json) {
        process.stdout.write(
          `seed ${seed} (${profile}): ${violations.map((v) => `${v.property} ${v.detail}`).join("; ")}\n` +
            `  pnpm sim --seeds 1 --from ${seed} --profile ${profile} --trace${realCrypto ? " --real-crypto" : ""}\n`,
        );
      }
    }
    if (Date.now() - spoke > progressMs && !json) {
      spoke = Date.now();
      const of = seeds === Infinity ? "" : ` of ${seeds}`;
      process.stderr.write(`${totals.seeds}${of} seeds, ${failures.length} failed\n`);
    }
  }
  const tookSeconds = (Date.now() - started) / 1_000;
  if (json) process.stdout.write(`${JSON.stringify({ ...totals, seconds: tookSeconds, failed: failures })}\n`);
  else {
    process.stdout.write(
      `${totals.seeds} seeds from ${from} (${values.profile}) in ${tookSeconds.toFixed(1)} s: ${totals.runs} runs, ${totals.messages} messages, ` +
        `${totals.envelopes} envelopes, ${totals.crashes} crashes; ${failures.length} failed\n`,
    );
  }
  return failures.length === 0 ? 0 : 1;
}

async function runOne(
  seed: number,
  profile: Profile | StackProfile,
  realCrypto: boolean,
  trace: boolean,
): Promise<Outcome> {
  if (isStackProfile(profile)) return runStack(seed, profile, { stack: realStack, realCrypto, trace });
  return run(seed, profile, { cores: { Mesgen, Delivery }, realCrypto, trace });
}

function isStackProfile(profile: string): profile is StackProfile {
  return (stackProfiles as readonly string[]).includes(profile);
}

/** Which profiles a seed is run with: most seeds are spent where most can go wrong. */
function chooser(name: string): ((seed: number) => readonly (Profile | StackProfile)[]) | undefined {
  const ofCores = (seed: number): Profile => (seed % 8 === 0 ? "loss" : seed % 8 === 1 ? "strangers" : "chaos");
  const ofStack = (seed: number): StackProfile => (seed % 4 === 0 ? "mail" : "storm");
  if (name === "cores") return (seed) => [ofCores(seed)];
  if (name === "stack") return (seed) => [ofStack(seed)];
  if (name === "all") return (seed) => [ofCores(seed), ofStack(seed)];
  const only = [...profiles, ...stackProfiles].find((profile) => profile === name);
  return only && (() => [only]);
}

function processorSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1_000_000;
}

function complain(what: string): number {
  process.stderr.write(`${what}\n\n${usage}`);
  return 2;
}

function parse() {
  // `pnpm sim -- --seeds 5` hands the two dashes on.
  const args = process.argv.slice(2).filter((arg) => arg !== "--");
  return parseArgs({ args, options }).values;
}

process.exitCode = await main();
