#!/usr/bin/env node
/** `pnpm soak`: nodes that come and go for as long as you like, in one process that must be none the larger for it. */
import { parseArgs } from "node:util";
import { paintFor } from "@egtp/metatracker/command";
import { Progress } from "@egtp/terminal";
import { maxHeapGrowthBytes, type SoakResult, soak } from "./soak.ts";

const usage = `pnpm soak [options]

Nodes are made, send to others directly and through a relay, and are stopped, while relay and metatracker are started again and
sessions are forgotten. At the end the heap may be ${maxHeapGrowthBytes / 2 ** 20} MiB larger than when everything had run once; timers, sockets,
listeners, open files and readers of LMDB files may not have become more.

  --minutes N  for how long, fractions too (default 2)
  --seed S     for the choices that are made (default 1)
  --json       one JSON object at the end instead of text
  --help

Exit codes: 0 nothing grew and nothing was lost, 1 something did or was, 2 the command line is wrong.
`;

const options = {
  minutes: { type: "string", default: "2" },
  seed: { type: "string", default: "1" },
  json: { type: "boolean", default: false },
  help: { type: "boolean", default: false },
} as const;

const paint = paintFor(process.stdout);

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
  const minutes = Number(values.minutes);
  const seed = Number(values.seed);
  if (!(minutes > 0)) return complain("--minutes takes a number above 0.");
  if (!Number.isSafeInteger(seed)) return complain("--seed takes a whole number.");
  const progress = new Progress();
  const startedAt = performance.now();
  let said = "warming up";
  const tell = (text: string): void => {
    said = text;
    if (!progress.isLive) process.stderr.write(`${text}\n`);
  };
  // The time before and after it is counted as none: it is seconds.
  const share = (): number => (performance.now() - startedAt) / (minutes * 60_000);
  const timer = progress.isLive && !values.json && setInterval(() => progress.tell(said, share()), progress.everyMs);
  const result = await soak({ minutes, seed, tell: values.json ? () => {} : tell });
  if (timer) clearInterval(timer);
  progress.clear();
  process.stdout.write(values.json ? `${JSON.stringify(result)}\n` : describe(result));
  return result.ok ? 0 : 1;
}

function describe({
  ok,
  seed,
  minutes,
  visits,
  cycles,
  sent,
  stored,
  restarts,
  start,
  end,
  heapGrowthMiB,
  faults,
}: SoakResult): string {
  const sockets = end.resources.TCPSocketWrap ?? 0;
  const lines = [
    `seed ${seed}, ${minutes} minutes: ${visits} visits over ${cycles} links, ${sent - stored} notes delivered, ${stored} left with the relay, ${restarts.relay} starts of the relay, ${restarts.metatracker} of the metatracker`,
    `heap ${(start.heapBytes / 2 ** 20).toFixed(1)} MiB at first and ${(end.heapBytes / 2 ** 20).toFixed(1)} MiB now (${heapGrowthMiB >= 0 ? "+" : ""}${heapGrowthMiB}); ${end.resources.Timeout ?? 0} timers, ${sockets} sockets, ${end.listeners} listeners, ${end.descriptors} open files`,
    ...faults.slice(0, 20).map((fault) => paint("red", fault)),
    ok ? paint("green", "nothing grew") : paint("red", "FAILED"),
  ];
  return `${lines.join("\n")}\n`;
}

function complain(what: string): number {
  process.stderr.write(`${what}\n\n${usage}`);
  return 2;
}

function parse() {
  // `pnpm soak -- --minutes 5` hands the two dashes on.
  const args = process.argv.slice(2).filter((arg) => arg !== "--");
  return parseArgs({ args, options }).values;
}

process.exitCode = await main();
