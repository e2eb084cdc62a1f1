/** `pnpm sim`: many runs, with progress; a failure prints its seed, which replays it exactly. */

import { parseArgs } from "node:util";
import { Mesgen } from "@egtp/mesgen";
import { Delivery } from "@egtp/node/delivery";
import { type Profile, profiles, type Report, run } from "./run.ts";

const usage = `pnpm sim [options]

  --seeds N      how many seeds, over all profiles in turn (default 1000)
  --from S       the first seed (default 1)
  --profile P    only this one: ${profiles.join(", ")}
  --real-crypto  real cryptography in every run, not in one of twenty
  --trace        print everything that happens; for one seed
  --json         one JSON object at the end instead of text
  --help
`;

const options = {
  seeds: { type: "string", default: "1000" },
  from: { type: "string", default: "1" },
  profile: { type: "string" },
  "real-crypto": { type: "boolean", default: false },
  trace: { type: "boolean", default: false },
  json: { type: "boolean", default: false },
  help: { type: "boolean", default: false },
} as const;

function main(): number {
  let values: ReturnType<typeof parse>;
  try {
    values = parse();
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n\n${usage}`);
    return 2;
  }
  if (values.help) {
    process.stdout.write(usage);
    return 0;
  }
  const seeds = Number(values.seeds);
  const from = Number(values.from);
  const only = values.profile as Profile | undefined;
  if (!Number.isSafeInteger(seeds) || seeds < 1 || !Number.isSafeInteger(from) || from < 0) {
    process.stderr.write(`--seeds and --from take whole numbers.\n\n${usage}`);
    return 2;
  }
  if (only !== undefined && !profiles.includes(only)) {
    process.stderr.write(`There is no profile ${only}.\n\n${usage}`);
    return 2;
  }

  const started = Date.now();
  const failures: Report[] = [];
  const totals = { runs: 0, messages: 0, envelopes: 0, crashes: 0, handshakes: 0 };
  let spoke = started;
  for (let seed = from; seed < from + seeds; seed++) {
    // Most seeds are spent where most can go wrong.
    const profile = only ?? (seed % 8 === 0 ? "loss" : seed % 8 === 1 ? "strangers" : "chaos");
    const realCrypto = values["real-crypto"] || seed % 20 === 7;
    const report = run(seed, profile, { cores: { Mesgen, Delivery }, realCrypto, trace: values.trace });
    totals.runs += 1;
    totals.messages += report.messages;
    totals.envelopes += report.envelopes;
    totals.crashes += report.crashes;
    totals.handshakes += report.handshakes;
    if (values.trace) process.stdout.write(`${report.log.join("\n")}\n`);
    if (report.violations.length > 0) {
      failures.push(report);
      if (!values.json) {
        process.stdout.write(
          `seed ${seed} (${profile}): ${report.violations.map((v) => `${v.property} ${v.detail}`).join("; ")}\n` +
            `  pnpm sim --seeds 1 --from ${seed} --profile ${profile} --trace${realCrypto ? " --real-crypto" : ""}\n`,
        );
      }
    }
    if (Date.now() - spoke > 5_000 && !values.json) {
      spoke = Date.now();
      process.stderr.write(`${totals.runs} of ${seeds} seeds, ${failures.length} failed\n`);
    }
  }
  const seconds = (Date.now() - started) / 1_000;
  if (values.json) {
    const failed = failures.map(({ seed, profile, violations }) => ({ seed, profile, violations }));
    process.stdout.write(`${JSON.stringify({ ...totals, seconds, failed })}\n`);
  } else {
    process.stdout.write(
      `${totals.runs} seeds from ${from} in ${seconds.toFixed(1)} s: ${totals.messages} messages, ${totals.envelopes} envelopes, ` +
        `${totals.crashes} crashes, ${totals.handshakes} handshake halves; ${failures.length} failed\n`,
    );
  }
  return failures.length === 0 ? 0 : 1;
}

function parse() {
  // `pnpm sim -- --seeds 5` hands the two dashes on.
  const args = process.argv.slice(2).filter((arg) => arg !== "--");
  return parseArgs({ args, options }).values;
}

process.exitCode = main();
