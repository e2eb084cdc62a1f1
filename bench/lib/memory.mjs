// Memory of this process once the garbage is gone. Needs --expose-gc.

import { setTimeout as sleep } from "node:timers/promises";
import { readResidentOf } from "./other-process.mjs";

const rounds = 4;
const roundMs = 50;

/** @returns Bytes: resident, and what JavaScript holds (heap, array buffers and other external memory). */
export async function readMemory() {
  for (let i = 0; i < rounds; i++) {
    globalThis.gc();
    await sleep(roundMs); // finalizers and closing sockets free memory in later turns
  }
  globalThis.gc();
  const { rss, heapUsed, external } = process.memoryUsage();
  return { resident: rss, javascript: heapUsed + external };
}

/** @returns The same of a program of another kind: what is resident, garbage included. */
export async function readMemoryOf(pid) {
  await sleep(rounds * roundMs);
  return { resident: readResidentOf(pid) };
}
