// The process between two peers: a relay, a broker, a metatracker. Where that is a program of its own, this process starts
// it and looks after it. Started by team.mjs, which speaks to it over the process channel.

import { serveCommands } from "./commands.mjs";
import { readMemory, readMemoryOf } from "./memory.mjs";
import { readCpuOf } from "./other-process.mjs";

const peer = await import(`../peers/${process.argv[2]}.mjs`);
let pid; // of the program, if it is not this process

serveCommands({
  async serve({ folder }) {
    const served = await peer.serve({ folder });
    pid = served.pid;
    return { address: served.address, pid: pid ?? process.pid };
  },
  cpu: () => (pid === undefined ? process.cpuUsage() : readCpuOf(pid)),
  memory: () => (pid === undefined ? readMemory() : readMemoryOf(pid)),
  collectGarbage: () => (pid === undefined ? globalThis.gc() : undefined),
});
