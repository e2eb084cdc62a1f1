/** `pnpm sim`: many runs on all processors, with progress; a failure prints its seed, which replays it exactly. */

import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";
import { Worker } from "node:worker_threads";
import { paintFor } from "@egtp/metatracker/command";
import { Progress } from "@egtp/terminal";
import { profiles } from "./run.ts";
import { chooser, type Failure, runSeed, usesRealCrypto } from "./seed-run.ts";
import { noTotals, type Portion, type PortionDone, type Totals } from "./seed-worker.ts";
import { stackProfiles } from "./stack/stack-run.ts";

const usage = `pnpm sim [options]

  --seeds N      how many seeds, over the profiles in turn (default 1000)
  --seconds S    or as many as fit into so many seconds of processor time
  --from S       the first seed (default 1); how to go on after an end is told
  --profile P    cores (default): ${profiles.join(", ")}: the cores alone, on a simulated network
                 stack: ${stackProfiles.join(", ")}: whole nodes with relays and metatrackers
                 all: each seed once with each; or one of those named above
  --real-crypto  real cryptography in every run, not in one of twenty
  --jobs N       how many run at once (default: one for each processor)
  --trace        print everything that happens, acts marked with *; for one seed
  --acts A       with those acts alone, such as 3,17-19; for one seed
  --json         one JSON object at the end instead of text
  --help
`;

const options = {
  seeds: { type: "string" },
  seconds: { type: "string" },
  from: { type: "string", default: "1" },
  profile: { type: "string", default: "cores" },
  "real-crypto": { type: "boolean", default: false },
  jobs: { type: "string" },
  trace: { type: "boolean", default: false },
  acts: { type: "string" },
  json: { type: "boolean", default: false },
  help: { type: "boolean", default: false },
} as const;

interface Plan {
  readonly seeds: number;
  readonly from: number;
  readonly profile: string;
  readonly realCrypto: boolean;
  readonly seconds: number;
  readonly jobs: number;
}

const paint = paintFor(process.stdout);
/** Few enough that no thread is long alone at the end, and the end is told soon. */
const portionSeeds = { cores: 20, stack: 2 };

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
  const { profile, json, trace } = values;
  const realCrypto = values["real-crypto"];
  const seconds = values.seconds === undefined ? Infinity : Number(values.seconds);
  const seeds = values.seeds === undefined ? (seconds === Infinity ? 1_000 : Infinity) : Number(values.seeds);
  const from = Number(values.from);
  const jobs = values.jobs === undefined ? availableParallelism() : Number(values.jobs);
  if ((seeds !== Infinity && !isCount(seeds, 1)) || !isCount(from, 0)) {
    return complain("--seeds and --from take whole numbers.");
  }
  if (!(seconds > 0)) return complain("--seconds takes a number above 0.");
  if (!isCount(jobs, 1)) return complain("--jobs takes a whole number.");
  if (chooser(profile) === undefined) return complain(`There is no profile ${profile}.`);
  if (trace || values.acts !== undefined) {
    const acts = values.acts === undefined ? undefined : parseActs(values.acts);
    if (acts === null) return complain("--acts takes numbers and ranges of them, such as 3,17-19.");
    if (seeds !== 1) return complain("--trace and --acts are for one seed: --seeds 1.");
    return replay(from, profile, realCrypto, trace, acts);
  }
  return runMany({ seeds, from, profile, realCrypto, seconds, jobs }, json);
}

/** One seed, with all that is known of it. */
async function replay(
  seed: number,
  profile: string,
  realCrypto: boolean,
  trace: boolean,
  acts: ReadonlySet<number> | undefined,
): Promise<number> {
  let failed = 0;
  for (const one of chooser(profile)!(seed)) {
    const isReal = realCrypto || usesRealCrypto(seed);
    const { log, violations, acts: count } = await runSeed(seed, one, { realCrypto: isReal, trace, acts });
    for (const line of log) process.stdout.write(`${line}\n`);
    process.stdout.write(`seed ${seed} (${one}), ${acts?.size ?? count} of ${count} acts: ${textOf(violations)}\n`);
    if (violations.length > 0) failed += 1;
  }
  return failed === 0 ? 0 : 1;
}

async function runMany(plan: Plan, json: boolean): Promise<number> {
  const started = Date.now();
  const totals = noTotals();
  const failures: Failure[] = [];
  /** Portions that are done although one before them is not. */
  const ahead = new Set<number>();
  let next = plan.from;
  const goOn = (): string => `go on with --from ${next}`;
  const sizeOf =
    portionSeeds[plan.profile === "cores" || profiles.some((name) => name === plan.profile) ? "cores" : "stack"];

  const progress = new Progress();
  const note = (done: PortionDone): void => {
    for (const key of Object.keys(totals) as (keyof Totals)[]) totals[key] += done.totals[key];
    ahead.add(done.from);
    while (ahead.delete(next)) next = Math.min(next + sizeOf, plan.from + plan.seeds);
    for (const failure of done.failures) {
      failures.push(failure);
      progress.clear();
      if (!json) tell(failure);
    }
  };
  const timer = setInterval(() => {
    const of = plan.seeds === Infinity ? "" : ` of ${plan.seeds}`;
    const shares = [totals.seeds / plan.seeds, processorSeconds() / plan.seconds];
    progress.tell(`${totals.seeds}${of} seeds, ${failures.length} failed; ${goOn()}`, Math.max(...shares));
  }, progress.everyMs);
  const stop = new AbortController();
  process.once("SIGINT", () => stop.abort());

  let at = plan.from;
  await Promise.all(
    Array.from({ length: plan.jobs }, async () => {
      const thread = new SeedThread();
      try {
        while (at < plan.from + plan.seeds && processorSeconds() < plan.seconds && !stop.signal.aborted) {
          const count = Math.min(sizeOf, plan.from + plan.seeds - at);
          const portion = { from: at, count, profile: plan.profile, realCrypto: plan.realCrypto };
          at += count;
          note(await thread.run(portion));
        }
      } finally {
        await thread.end();
      }
    }),
  );
  clearInterval(timer);
  progress.clear();

  const tookSeconds = (Date.now() - started) / 1_000;
  failures.sort((a, b) => a.seed - b.seed);
  if (json) {
    const cpuSeconds = Math.round(processorSeconds());
    const facts = { ...totals, from: plan.from, next, profile: plan.profile, seconds: tookSeconds, cpuSeconds };
    process.stdout.write(`${JSON.stringify({ ...facts, failed: failures })}\n`);
  } else {
    process.stdout.write(
      `${totals.seeds} seeds from ${plan.from} (${plan.profile}) in ${tookSeconds.toFixed(1)} s: ${totals.runs} runs, ` +
        `${totals.messages} messages, ${totals.envelopes} envelopes, ${totals.crashes} crashes; ` +
        `${paint(failures.length === 0 ? "green" : "red", `${failures.length} failed`)}\n`,
    );
    if (next < plan.from + plan.seeds && plan.seeds !== Infinity) process.stdout.write(`Ended early: ${goOn()}\n`);
  }
  return failures.length === 0 && totals.runs > 0 ? 0 : 1;
}

/** A thread that runs one portion after another. */
class SeedThread {
  readonly #worker = new Worker(new URL("./seed-worker.js", import.meta.url));
  #settle: { readonly resolve: (done: PortionDone) => void; readonly reject: (error: unknown) => void } | undefined;

  constructor() {
    this.#worker.on("message", (done: PortionDone) => this.#settle?.resolve(done));
    this.#worker.on("error", (error) => this.#settle?.reject(error));
  }

  run(portion: Portion): Promise<PortionDone> {
    return new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
      this.#worker.postMessage(portion);
    });
  }

  async end(): Promise<void> {
    await this.#worker.terminate();
  }
}

function tell({ seed, profile, realCrypto, violations, actsOfRun, acts, log }: Failure): void {
  const command = `pnpm sim --seeds 1 --from ${seed} --profile ${profile}${realCrypto ? " --real-crypto" : ""}`;
  const lines = [
    paint("red", `seed ${seed} (${profile}): ${textOf(violations)}`),
    `  ${command} --trace`,
    `  shown by ${acts.length} of ${actsOfRun} acts: ${command} --acts ${actsText(acts)} --trace`,
    ...log.map((line) => `  ${line}`),
  ];
  process.stdout.write(`${lines.join("\n")}\n`);
}

function textOf(violations: Failure["violations"]): string {
  return violations.length === 0 ? "passed" : violations.map((v) => `${v.property} ${v.detail}`).join("; ");
}

function actsText(acts: readonly number[]): string {
  const ranges: [number, number][] = [];
  for (const act of acts) {
    const last = ranges.at(-1);
    if (last?.[1] === act - 1) last[1] = act;
    else ranges.push([act, act]);
  }
  return ranges.length === 0 ? "none" : ranges.map(([from, to]) => (from === to ? from : `${from}-${to}`)).join(",");
}

/** @returns `null` when it is nothing of the kind. */
function parseActs(text: string): Set<number> | null {
  const acts = new Set<number>();
  if (text === "none") return acts;
  for (const part of text.split(",")) {
    const match = /^(\d+)(?:-(\d+))?$/.exec(part);
    if (match === null) return null;
    for (let act = Number(match[1]); act <= Number(match[2] ?? match[1]); act++) acts.add(act);
  }
  return acts;
}

function isCount(value: number, least: number): boolean {
  return Number.isSafeInteger(value) && value >= least;
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
