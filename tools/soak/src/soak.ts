/**
 * One soak: visits for so many minutes, several at a time, while servers are started again. When the tables are full and all code
 * has run, everybody pauses and what the process holds is noted; at the end again, and nothing may have grown.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as passes } from "node:timers/promises";
import { type Gauges, growth, readCounts, readersOf, readGauges } from "./gauges.ts";
import { Random } from "./random.ts";
import { Visitors } from "./visitors.ts";
import { type ServerName, World } from "./world.ts";

/** The heap may be so much larger at the end. */
export const maxHeapGrowthBytes = 5 * 1024 * 1024;
/** Visits at a time. */
const lanes = 32;
/** A server is started again after so many visits, on average. */
const restartEvery = 150;
/** Until then what is taken for the start is not looked at, of the whole time. */
const warmUpShare = 0.3;
const maxWarmUpMs = 5 * 60_000;
/** How long what was closed may take to be gone: links that nobody uses are kept for two seconds. */
const quietMs = 15_000;
const sampleMs = 60_000;

export interface Sample {
  readonly minute: number;
  readonly visits: number;
  readonly heapMiB: number;
}

export interface SoakResult {
  readonly ok: boolean;
  readonly seed: number;
  readonly minutes: number;
  readonly visits: number;
  /** Links that were made, carried something and were let go. */
  readonly cycles: number;
  readonly sent: number;
  readonly stored: number;
  readonly handled: number;
  readonly restarts: Readonly<Record<ServerName, number>>;
  readonly heapGrowthMiB: number;
  readonly start: Gauges;
  readonly end: Gauges;
  readonly samples: readonly Sample[];
  /** What grew, what was lost. */
  readonly faults: readonly string[];
}

export interface SoakOptions {
  readonly minutes: number;
  readonly seed: number;
  readonly tell: (progress: string) => void;
}

export async function soak({ minutes, seed, tell }: SoakOptions): Promise<SoakResult> {
  const faults: string[] = [];
  const onWarning = ({ name, message }: Error): void => {
    faults.push(`${name}: ${message}`);
  };
  process.on("warning", onWarning);
  const folder = await mkdtemp(join(tmpdir(), "egtp-soak-"));
  const world = await World.open(folder);
  try {
    const run = new Run(world, seed, tell);
    const begun = performance.now();
    const durationMs = minutes * 60_000;
    await run.until(begun + Math.min(durationMs * warmUpShare, maxWarmUpMs));
    const start = await quietGauges();
    const startReaders = readersOf(world.files);
    tell(`${run.visitors.visits} visits to warm up; ${mib(start.heapBytes)} MiB in use`);
    await run.until(begun + durationMs);
    const end = await quietGauges(start);
    const endReaders = readersOf(world.files);

    faults.push(...run.visitors.faults, ...growth(start, end));
    const { visits, cycles, sent, stored } = run.visitors;
    const heapGrowth = end.heapBytes - start.heapBytes;
    if (heapGrowth > maxHeapGrowthBytes) faults.push(`the heap grew by ${mib(heapGrowth)} MiB`);
    if (endReaders > startReaders) faults.push(`readers of LMDB files: ${startReaders} at first, ${endReaders} now`);
    if (world.handled < sent - stored)
      faults.push(`${sent - stored} notes were delivered, and ${world.handled} handled`);
    return {
      ok: faults.length === 0,
      seed,
      minutes,
      visits,
      cycles,
      sent,
      stored,
      handled: world.handled,
      restarts: run.restarts,
      heapGrowthMiB: mib(heapGrowth),
      start,
      end,
      samples: run.samples,
      faults,
    };
  } finally {
    await world.close();
    await rm(folder, { recursive: true, force: true });
    process.off("warning", onWarning);
  }
}

class Run {
  readonly visitors: Visitors;
  readonly restarts: Record<ServerName, number> = { metatracker: 0, relay: 0 };
  readonly samples: Sample[] = [];
  readonly #world: World;
  readonly #random: Random;
  readonly #tell: (progress: string) => void;
  readonly #begun = performance.now();
  #sampledAt = this.#begun;
  /** A server that is being started again; the other one waits. */
  #restarting: Promise<void> = Promise.resolve();

  constructor(world: World, seed: number, tell: (progress: string) => void) {
    this.#world = world;
    this.#random = new Random(seed);
    this.#tell = tell;
    this.visitors = new Visitors(world, this.#random);
  }

  /** Goes on until then, and leaves nobody there. */
  async until(endAt: number): Promise<void> {
    const lane = async (): Promise<void> => {
      while (performance.now() < endAt) {
        if (this.#random.below(restartEvery) === 0) this.#restarting = this.#restarting.then(() => this.#restart());
        await this.visitors.visit();
        this.#sample();
      }
    };
    await Promise.all(Array.from({ length: lanes }, lane));
    await this.#restarting;
  }

  async #restart(): Promise<void> {
    const name = this.#random.below(3) === 0 ? "metatracker" : "relay";
    await this.#world.restart(name, this.#random.below(2) === 0);
    this.restarts[name] += 1;
  }

  #sample(): void {
    const now = performance.now();
    if (now - this.#sampledAt < sampleMs) return;
    this.#sampledAt = now;
    const minute = Math.round((now - this.#begun) / 60_000);
    const heapMiB = mib(readGauges().heapBytes);
    this.samples.push({ minute, visits: this.visitors.visits, heapMiB });
    this.#tell(`${minute} min, ${this.visitors.visits} visits, ${this.visitors.cycles} links, ${heapMiB} MiB`);
  }
}

/** What the process holds when all that is going on has come to rest: no more than before, or nothing changes any more. */
async function quietGauges(before?: Gauges): Promise<Gauges> {
  const endAt = performance.now() + quietMs;
  // What nobody uses is let go in the first seconds.
  await passes(3_000);
  while (before !== undefined && performance.now() < endAt && growth(before, readCounts()).length > 0)
    await passes(100);
  return readGauges();
}

function mib(bytes: number): number {
  return Math.round((bytes / 2 ** 20) * 10) / 10;
}
