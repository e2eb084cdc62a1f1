// nats-server, a program that the system brings: found, started for one team, ended with the process that started it.

import { spawn, spawnSync } from "node:child_process";
import { createInterface } from "node:readline";

const names = ["nats-server", "/usr/sbin/nats-server", "/usr/local/bin/nats-server"]; // Debian's stands in no user's PATH
const startTimeoutMs = 10_000;

const found = names
  .map((command) => ({ command, ...spawnSync(command, ["--version"], { encoding: "utf8" }) }))
  .find(({ status }) => status === 0);

/** @returns Why it cannot run, if it cannot. */
export function findMissing() {
  if (found !== undefined) return undefined;
  return "nats-server is not installed (Debian and Ubuntu: apt-get install nats-server)";
}

/** @returns Like "2.9.10". */
export function readVersion() {
  return found?.stdout.match(/\d+\.\d+\.\d+/)?.[0];
}

/** Starts one on a port that the system picks, on loopback only. */
export async function startNatsServer(options) {
  const child = spawn(found.command, ["--addr", "127.0.0.1", "--port", "-1", ...options], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  process.on("exit", () => child.kill("SIGKILL"));
  return { address: { servers: await readAddress(child) }, pid: child.pid };
}

function readAddress(child) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error("nats-server did not start in time")), startTimeoutMs);
    child.on("error", reject);
    child.on("exit", (code) => reject(new Error(`nats-server ended with ${code}`)));
    createInterface({ input: child.stderr }).on("line", (line) => {
      const address = line.match(/Listening for client connections on (\S+)/)?.[1];
      if (address === undefined) return;
      clearTimeout(timer);
      resolve(address);
    });
  });
}
