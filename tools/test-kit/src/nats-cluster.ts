/**
 * NATS servers with JetStream for a test: one, or several that are a cluster. What they keep is in a temporary folder.
 *
 * They must know each other's addresses before they start, and clients must find them again after a restart. So all listen at
 * a loopback address that is made from this process's ID, where nobody else does: no port there can be taken.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { describe, it } from "vitest";

/** Whether there is a `nats-server` on this machine. */
export const hasNatsServer = spawnSync("nats-server", ["--version"]).status === 0;

/** Declares a suite that needs `nats-server`: without one it skips and says so; with `EGTP_NO_SKIP=1` it fails. */
export function describeWithNats(name: string, body: () => void): void {
  if (!hasNatsServer) {
    declareAbsent(name);
    return;
  }
  describe(`${name}`, () => {
    body();
  });
}

function declareAbsent(name: string): void {
  it.skipIf(process.env.EGTP_NO_SKIP !== "1")(`${name} (no nats-server here: apt-get install nats-server)`, () => {
    throw new Error("no nats-server");
  });
}

/** Clusters that this process started. */
let clusters = 0;
const firstPort = 20_000;
/** Ports of one server: for clients, for the other servers, for the monitor. */
const portsPerServer = 3;
const maxServers = 5;

interface RunningServer {
  readonly process: ChildProcess;
  readonly ended: Promise<void>;
}

/** What a server's monitor says of a stream. */
interface StreamDetail {
  readonly name: string;
  readonly cluster?: { readonly leader?: string };
}

export class NatsCluster {
  readonly #folder = mkdtempSync(join(tmpdir(), "egtp-nats-"));
  readonly #host: string;
  readonly #firstPort: number;
  readonly #servers: (RunningServer | undefined)[];

  private constructor(size: number) {
    const { pid } = process;
    this.#host = `127.${64 + ((pid >> 16) & 63)}.${(pid >> 8) & 255}.${pid & 255}`;
    this.#firstPort = firstPort + maxServers * portsPerServer * clusters++;
    this.#servers = Array.from({ length: size }, () => undefined);
  }

  /** Resolves when JetStream answers on each. Names of the servers are n0, n1, … */
  static async start(size: 1 | 3 | 5 = 1): Promise<NatsCluster> {
    const cluster = new NatsCluster(size);
    try {
      await Promise.all(cluster.#servers.map((_, n) => cluster.restart(n)));
    } catch (error) {
      await cluster.stop();
      throw error;
    }
    return cluster;
  }

  /** Addresses of all servers, also of those that do not run now: each stays as long as the cluster. */
  get urls(): readonly string[] {
    return this.#servers.map((_, n) => this.url(n));
  }

  url(n: number): string {
    return `nats://${this.#address(n, 0)}`;
  }

  /** Where a server tells how it is: `/jsz`, `/healthz`, … */
  monitorUrl(n: number): string {
    return `http://${this.#address(n, 2)}`;
  }

  /** Ends a server with SIGKILL. Resolves when it is gone. */
  async kill(n: number): Promise<void> {
    const { process, ended } = this.#running(n);
    process.kill("SIGKILL");
    await ended;
    this.#servers[n] = undefined;
  }

  /** Starts a server that does not run, with what it kept. Resolves when it knows the cluster's leader. */
  async restart(n: number): Promise<void> {
    const folder = join(this.#folder, `n${n}`);
    mkdirSync(folder, { recursive: true });
    const config = {
      server_name: `n${n}`,
      listen: this.#address(n, 0),
      http: this.#address(n, 2),
      jetstream: { store_dir: join(folder, "jetstream") },
      ...(this.#servers.length > 1 && {
        cluster: {
          name: "test",
          listen: this.#address(n, 1),
          routes: this.#servers.map((_, other) => `nats://${this.#address(other, 1)}`),
        },
      }),
    };
    writeFileSync(join(folder, "server.conf"), JSON.stringify(config));
    const child = spawn("nats-server", ["-c", join(folder, "server.conf")], { stdio: ["ignore", "ignore", "pipe"] });
    const ended = new Promise<void>((resolve) => {
      child.once("exit", () => resolve());
    });
    this.#servers[n] = { process: child, ended };
    const isAlone = this.#servers.length === 1;
    await saidBy(child, isAlone ? /Server is ready/ : /JetStream cluster (new )?metadata leader/);
  }

  /** Stops a server in its tracks, as a network does that swallows everything. */
  freeze(n: number): void {
    this.#running(n).process.kill("SIGSTOP");
  }

  thaw(n: number): void {
    this.#running(n).process.kill("SIGCONT");
  }

  /** The server that leads a stream, as the first says that can be asked; `undefined` while none is known to. */
  async leaderOf(stream: string): Promise<number | undefined> {
    for (const [n, server] of this.#servers.entries()) {
      if (server === undefined) continue;
      const answer = await fetch(`${this.monitorUrl(n)}/jsz?streams=true`, { signal: AbortSignal.timeout(2_000) })
        .then((response) => response.json() as Promise<{ account_details?: { stream_detail?: StreamDetail[] }[] }>)
        .catch(() => undefined);
      const details = answer?.account_details?.flatMap((account) => account.stream_detail ?? []) ?? [];
      const leader = details.find(({ name }) => name === stream)?.cluster?.leader;
      if (leader !== undefined && leader !== "") return Number(leader.slice(1));
    }
    return undefined;
  }

  async stop(): Promise<void> {
    for (const [n, server] of this.#servers.entries()) if (server !== undefined) await this.kill(n);
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #address(n: number, port: 0 | 1 | 2): string {
    return `${this.#host}:${this.#firstPort + n * portsPerServer + port}`;
  }

  #running(n: number): RunningServer {
    const server = this.#servers[n];
    if (server === undefined) throw new Error(`Server n${n} does not run`);
    return server;
  }
}

/** Waits for a line of its log. Rejects with the last of them when it ends instead. */
function saidBy(child: ChildProcess, pattern: RegExp): Promise<void> {
  const lines: string[] = [];
  return new Promise((resolve, reject) => {
    createInterface({ input: child.stderr! }).on("line", (line) => {
      if (pattern.test(line)) resolve();
      lines.push(line);
      if (lines.length > 5) lines.shift();
    });
    child.once("close", () => reject(new Error(`nats-server ended: ${lines.join("\n")}`)));
    child.once("error", reject);
  });
}
