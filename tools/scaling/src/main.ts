#!/usr/bin/env node
/** `pnpm scaling`: how records spread over metatrackers, and what many millions of peers would take. */
import { parseArgs } from "node:util";
import { Progress } from "@egtp/terminal";
import { chancePercent, idsOf, moveOf, place, spreadOf } from "./nearness.ts";
import { costOfMillion, measuredCosts, planDirectory, planRelays } from "./plan.ts";

const usage = `pnpm scaling [options]

Places records of made-up peers with the code that every client runs, lets a metatracker join and leave, and reckons from the
costs that the benchmark measured what so many peers would take.

  --peers N    peers in the plan (default 100000000)
  --owners N   of them, connected to a relay all the time (default 1000000)
  --sample N   peers whose records are placed in truth (default 20000)
  --json       one JSON object instead of tables
  --help

Exit codes: 0 done, 2 the command line is wrong.
`;

const options = {
  peers: { type: "string", default: "100000000" },
  owners: { type: "string", default: "1000000" },
  sample: { type: "string", default: "20000" },
  json: { type: "boolean", default: false },
  help: { type: "boolean", default: false },
} as const;

/** As the clients do by default. */
const copies = 3;
const recheckSeconds = 120;
const refreshSeconds = 60;
const maxOwners = 65_536;
const numbersOfMetatrackers = [3, 10, 30, 100];
/** Of rented machines, in dollars. */
const prices = { coreHour: 0.04, gigabyte: 0.02 };

type Row = Readonly<Record<string, number>>;

/** @param tell - Of one step and how much of all is done, from 0 to 1. */
function spreads(sample: number, peers: number, tell: (step: string, share: number) => void): Row[] {
  const ids = idsOf("peer", sample);
  // A record is placed three times: as things are, after a join, after a leave. Each takes as long as there are metatrackers.
  const work = 3 * sample * numbersOfMetatrackers.reduce((sum, count) => sum + count, 0);
  let done = 0;
  return numbersOfMetatrackers.map((count) => {
    const metatrackers = idsOf("metatracker", count + 1);
    const some = metatrackers.slice(0, count);
    const placeOn = (those: typeof metatrackers) =>
      place(ids, those, copies, () => {
        done += count;
        tell(`records on ${count} metatrackers`, done / work);
      });
    const before = placeOn(some);
    const spread = spreadOf(before, some);
    const joined = moveOf(before, placeOn(metatrackers));
    const left = count > copies ? moveOf(before, placeOn(some.slice(1))) : undefined;
    return {
      metatrackers: count,
      least: spread.least,
      most: spread.most,
      "beside chance": spread.besideChance,
      "+-% of all peers": chancePercent(peers, count, copies),
      "moved by a join": joined.moved,
      "found by old lists": joined.stillFound,
      ...(left !== undefined && { "moved by a leave": left.moved }),
    };
  });
}

function directories(peers: number): Row[] {
  return [100, 300, 1_000, 3_000].map((metatrackers) => ({
    metatrackers,
    ...planDirectory({ peers, metatrackers, copies, recheckSeconds }, measuredCosts),
  }));
}

function main(): number {
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
  const [peers, owners, sample] = [values.peers, values.owners, values.sample].map(Number) as [number, number, number];
  if (![peers, owners, sample].every((number) => Number.isSafeInteger(number) && number > 0)) {
    return complain("--peers, --owners and --sample take whole numbers above 0.");
  }
  const progress = new Progress();
  const report = {
    spreads: spreads(sample, peers, (step, share) => {
      if (!values.json) progress.tell(step, share);
    }),
    directories: directories(peers),
    relays: [{ owners, ...planRelays({ owners, maxOwners, refreshSeconds }, measuredCosts) }],
    "a million messages of 1 KiB, passed along": [costOfMillion(measuredCosts.passSeconds, prices)],
    "a million messages of 1 KiB, left and collected": [costOfMillion(measuredCosts.mailSeconds, prices)],
  };
  progress.clear();
  if (values.json) process.stdout.write(`${JSON.stringify(report)}\n`);
  else for (const [title, rows] of Object.entries(report)) process.stdout.write(`\n${title}\n\n${table(rows)}`);
  return 0;
}

function table(rows: readonly Row[]): string {
  const names = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  const cells = [names, ...rows.map((row) => names.map((name) => text(row[name])))];
  const widths = names.map((_, column) => Math.max(...cells.map((line) => line[column]!.length)));
  return cells.map((line) => `${line.map((cell, n) => cell.padStart(widths[n]!)).join("  ")}\n`).join("");
}

function text(value: number | undefined): string {
  if (value === undefined) return "-";
  return value >= 1_000 ? Math.round(value).toLocaleString("en") : String(Number(value.toPrecision(3)));
}

function complain(what: string): number {
  process.stderr.write(`${what}\n\n${usage}`);
  return 2;
}

function parse() {
  // `pnpm scaling -- --json` hands the two dashes on.
  const args = process.argv.slice(2).filter((arg) => arg !== "--");
  return parseArgs({ args, options }).values;
}

process.exitCode = main();
