// What Linux tells of a process that is not ours; elsewhere nothing is told, and the figure is missing.

import { readdirSync, readFileSync } from "node:fs";

/** @returns CPU time of all its threads in microseconds, in the form of process.cpuUsage(), which tells more. */
export function readCpuOf(pid) {
  let nanoseconds = 0;
  try {
    for (const thread of readdirSync(`/proc/${pid}/task`)) {
      nanoseconds += Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, "utf8").split(" ")[0]);
    }
  } catch {
    return undefined;
  }
  return { user: nanoseconds / 1000, system: 0 };
}

/** @returns Bytes. */
export function readResidentOf(pid) {
  try {
    const status = readFileSync(`/proc/${pid}/status`, "utf8");
    return Number(status.match(/^VmRSS:\s*(\d+) kB$/m)[1]) * 1024;
  } catch {
    return undefined;
  }
}
