/** What a process holds: memory, timers, sockets, listeners, open files, and readers of LMDB files. */
import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

export interface Gauges {
  /** After garbage collection. */
  readonly heapBytes: number;
  /** What keeps the event loop alive, by type: timers, sockets, servers, threads. */
  readonly resources: Readonly<Record<string, number>>;
  /** Listeners on the process. */
  readonly listeners: number;
  /** Open files and sockets; 0 where the system does not tell. */
  readonly descriptors: number;
}

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

export function readGauges(): Gauges {
  // What was freed may free more: finalizers run in between.
  for (let i = 0; i < 3; i++) collectGarbage();
  return { heapBytes: process.memoryUsage().heapUsed, ...readCounts() };
}

/** All but the memory, which takes no time. */
export function readCounts(): Omit<Gauges, "heapBytes"> {
  const resources: Record<string, number> = {};
  for (const type of process.getActiveResourcesInfo()) {
    // What is over with this turn is not held.
    if (type !== "Immediate") resources[type] = (resources[type] ?? 0) + 1;
  }
  const listeners = process.eventNames().reduce((sum, name) => sum + process.listenerCount(name), 0);
  return { resources, listeners, descriptors: descriptors() };
}

/** What there is more of than there was, in words; empty when there is nothing. */
export function growth(before: Omit<Gauges, "heapBytes">, after: Omit<Gauges, "heapBytes">): string[] {
  const grown: string[] = [];
  const compare = (what: string, from: number, to: number): void => {
    if (to > from) grown.push(`${what}: ${from} at first, ${to} now`);
  };
  for (const [type, count] of Object.entries(after.resources)) compare(type, before.resources[type] ?? 0, count);
  compare("listeners on the process", before.listeners, after.listeners);
  compare("open files and sockets", before.descriptors, after.descriptors);
  return grown;
}

function descriptors(): number {
  try {
    return readdirSync("/proc/self/fd").length;
  } catch {
    return 0;
  }
}

/** Runs in a process of its own: it must not become a reader of this one. */
const listReaders = `
const { open } = require(process.argv[1]);
for (const path of process.argv.slice(2)) {
  const db = open({ path, noSubdir: true, readOnly: true, maxReaders: 8, encoding: "binary" });
  console.log(db.readerList());
}
`;

/** How many readers are noted down in LMDB files for this process. */
export function readersOf(files: readonly string[]): number {
  const lmdb = createRequire(import.meta.url).resolve("lmdb");
  const { stdout, stderr, status } = spawnSync(process.execPath, ["-e", listReaders, lmdb, ...files], {
    encoding: "utf8",
  });
  if (status !== 0) throw new Error(`The readers of the LMDB files cannot be listed: ${stderr}`);
  return stdout.split("\n").filter((line) => line.trim().split(/\s+/)[0] === String(process.pid)).length;
}
