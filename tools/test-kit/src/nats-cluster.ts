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
import { CutLine } from "./cut-line.ts";

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
const maxServers = 5;
/** Ports of one server: for clients, for the other servers, for the monitor; then its lines to each of them. */
const portsPerServer = 3 + maxServers;

interface RunningServer {
  readonly process: ChildProcess;
  readonly ended: Promise<void>;
}

/** What is read of what a server's monitor says at `/jsz`. */
interface ServerReport {
  readonly meta_cluster?: { readonly leader?: string };
  readonly account_details?: readonly { readonly stream_detail?: readonly StreamDetail[] }[];
}

interface StreamDetail {
  readonly name: string;
  readonly cluster?: { readonly leader?: string };
}

const lookAgainMs = 20;

export class NatsCluster {
  readonly #folder = mkdtempSync(join(tmpdir(), "egtp-nats-"));
  readonly #host: string;
  readonly #firstPort: number;
  readonly #servers: (RunningServer | undefined)[];
  /** From a server to each of the others. */
  readonly #lines: { readonly from: number; readonly to: number; readonly line: CutLine }[] = [];

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
      await cluster.#openLines();
      // The first dials the others, who listen by then: one that finds nobody tries again after a second.
      for (let n = size - 1; n >= 0; n--) await cluster.#spawn(n);
      await Promise.all(cluster.#servers.map((_, n) => cluster.#untilReady(n)));
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

  /** Starts a server that does not run, with what it kept. Resolves when it is well and knows the cluster's leader. */
  async restart(n: number): Promise<void> {
    await this.#spawn(n);
    await this.#untilReady(n);
  }

  /** Resolves when it listens. */
  async #spawn(n: number): Promise<void> {
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
          // Nobody listens there: servers must not find each other but by the lines that can be cut.
          advertise: this.#address(n, 3 + n),
          routes: this.#servers.flatMap((_, to) => (to === n ? [] : [`nats://${this.#address(n, 3 + to)}`])),
        },
      }),
    };
    writeFileSync(join(folder, "server.conf"), JSON.stringify(config));
    const child = spawn("nats-server", ["-c", join(folder, "server.conf")], { stdio: ["ignore", "ignore", "pipe"] });
    const ended = new Promise<void>((resolve) => {
      child.once("exit", () => resolve());
    });
    this.#servers[n] = { process: child, ended };
    await saidBy(child, this.#servers.length === 1 ? /Server is ready/ : /Listening for route connections/);
  }

  /** Asks until it says so: it tells nobody of its own accord, and one that comes late logs nothing of a leader that it finds. */
  async #untilReady(n: number): Promise<void> {
    const { ended, process } = this.#running(n);
    while (!(await this.#isReady(n))) {
      if (process.exitCode !== null) throw new Error(`Server n${n} ended`);
      await Promise.race([ended, new Promise((resolve) => setTimeout(resolve, lookAgainMs))]);
    }
  }

  async #isReady(n: number): Promise<boolean> {
    const isHealthy = await fetch(`${this.monitorUrl(n)}/healthz`).then(
      ({ ok }) => ok,
      () => false,
    );
    if (!isHealthy || this.#servers.length === 1) return isHealthy;
    return ((await this.#report(n))?.meta_cluster?.leader ?? "") !== "";
  }

  /** Stops a server in its tracks, as a network does that swallows everything. */
  freeze(n: number): void {
    this.#running(n).process.kill("SIGSTOP");
  }

  thaw(n: number): void {
    this.#running(n).process.kill("SIGCONT");
  }

  /** Cuts a server off from the others. Clients still reach it, and it does not know at once that it is alone. */
  isolate(n: number): void {
    for (const { line } of this.#linesOf(n)) line.cut();
  }

  rejoin(n: number): void {
    for (const { line } of this.#linesOf(n)) line.mend();
  }

  /** Cuts two servers off from each other; others still reach both. */
  part(one: number, other: number): void {
    for (const { line } of this.#linesBetween(one, other)) line.cut();
  }

  unite(one: number, other: number): void {
    for (const { line } of this.#linesBetween(one, other)) line.mend();
  }

  /** The server that leads a stream, as the first says that can be asked; `undefined` while none is known to. */
  async leaderOf(stream: string): Promise<number | undefined> {
    for (const [n, server] of this.#servers.entries()) {
      if (server === undefined) continue;
      const details = (await this.#report(n))?.account_details?.flatMap((account) => account.stream_detail ?? []) ?? [];
      const leader = details.find(({ name }) => name === stream)?.cluster?.leader;
      if (leader !== undefined && leader !== "") return Number(leader.slice(1));
    }
    return undefined;
  }

  async stop(): Promise<void> {
    for (const [n, server] of this.#servers.entries()) if (server !== undefined) await this.kill(n);
    await Promise.all(this.#lines.splice(0).map(({ line }) => line.close()));
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /** `undefined` when it does not answer, as one that is frozen. */
  async #report(n: number): Promise<ServerReport | undefined> {
    try {
      const response = await fetch(`${this.monitorUrl(n)}/jsz?streams=true`, { signal: AbortSignal.timeout(2_000) });
      return (await response.json()) as ServerReport;
    } catch {
      return undefined;
    }
  }

  #address(n: number, port: number): string {
    return `${this.#host}:${this.#port(n, port)}`;
  }

  #port(n: number, port: number): number {
    return this.#firstPort + n * portsPerServer + port;
  }

  /** One between any two: of two that dial each other at once each may hang up on the other. Where there is none nobody answers. */
  async #openLines(): Promise<void> {
    const host = this.#host;
    for (const from of this.#servers.keys()) {
      for (let to = from + 1; to < this.#servers.length; to++) {
        const line = await CutLine.open({ host, port: this.#port(from, 3 + to) }, { host, port: this.#port(to, 1) });
        this.#lines.push({ from, to, line });
      }
    }
  }

  #linesOf(n: number) {
    return this.#lines.filter(({ from, to }) => from === n || to === n);
  }

  #linesBetween(one: number, other: number) {
    return this.#linesOf(one).filter(({ from, to }) => from === other || to === other);
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
