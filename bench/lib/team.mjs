// The processes of one alternative and the questions put to them: a listener and a dialer, and between them, where the
// alternative has one, a server. Each question has a time limit: a library that hangs costs its own figure, not the run.

import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { fileURLToPath } from "node:url";

const readyTimeoutMs = 20_000;
const keptErrorBytes = 4000;
const endTimeoutMs = 2_000;
const scratchFolder = fileURLToPath(new URL("../scratch-", import.meta.url));

export class Team {
  #workers = {};
  #cores;
  #folder;
  /** Where the server is to be found; `undefined` when there is none. */
  server;

  constructor(name, roles, cores) {
    this.#cores = cores;
    const hasCoreEach = cores.length >= roles.length;
    roles.forEach((role, at) => {
      this.#workers[role] = new Worker(role, name, hasCoreEach ? [cores[at]] : cores);
    });
    if (roles.includes("server")) this.#folder = mkdtempSync(scratchFolder);
  }

  /** Starts the processes, one core each where there are enough, and connects the dialer if there is somebody to dial. */
  static async start(name, cores) {
    const peer = await import(`../peers/${name}.mjs`);
    const roles = ["dialer", "listener", ...(peer.serve === undefined ? [] : ["server"])];
    const team = new Team(name, roles, cores);
    try {
      await Promise.all(Object.values(team.#workers).map((worker) => worker.ready()));
      await team.#connect(peer);
      return team;
    } catch (error) {
      await team.stop();
      throw error;
    }
  }

  async #connect(peer) {
    const { server, listener, dialer } = this.#workers;
    const material = await peer.prepare?.();
    if (server !== undefined) {
      const { address, pid } = await server.ask("serve", { folder: this.#folder }, readyTimeoutMs);
      this.server = address;
      server.pinsToo(pid);
    }
    if (peer.listen === undefined) return;
    const address = await listener.ask("listen", { material, server: this.server }, readyTimeoutMs);
    await dialer.ask("connect", { material, server: this.server, address }, readyTimeoutMs);
  }

  get hasServer() {
    return this.#workers.server !== undefined;
  }

  /** The folder that the processes may write to. It is removed with the team. */
  get folder() {
    return this.#folder;
  }

  ask(role, name, options, timeoutMs) {
    return this.#workers[role].ask(name, options, timeoutMs);
  }

  /** Puts all processes on the first core, or back where they were. */
  shareCore(shared) {
    for (const worker of Object.values(this.#workers)) worker.pin(shared ? this.#cores.slice(0, 1) : worker.cores);
  }

  /** Ends the processes at once. Resolves when they are gone. */
  async stop() {
    await Promise.all(Object.values(this.#workers).map((worker) => worker.end()));
    if (this.#folder !== undefined) rmSync(this.#folder, { recursive: true, force: true, maxRetries: 5 });
  }
}

class Worker {
  cores;
  #role;
  #child;
  #pids;
  #open = new Map();
  #next = 0;
  #stderr = "";
  #ended;
  #gone;

  /** @param cores - To run on; with none, the system chooses. */
  constructor(role, name, cores) {
    this.cores = cores;
    this.#role = role;
    const command = [process.execPath, "--expose-gc", fileURLToPath(new URL(`./${role}.mjs`, import.meta.url)), name];
    if (cores.length > 0) command.unshift("taskset", "-c", cores.join());
    this.#child = spawn(command[0], command.slice(1), { stdio: ["ignore", "ignore", "pipe", "ipc"] });
    this.#pids = new Set([this.#child.pid]);
    this.#child.stderr.setEncoding("utf8").on("data", (text) => {
      this.#stderr = (this.#stderr + text).slice(-keptErrorBytes);
    });
    this.#child.on("message", ({ ready, id, result, error }) => {
      const question = this.#open.get(ready ? "ready" : id);
      this.#open.delete(ready ? "ready" : id);
      if (error === undefined) question?.resolve(result);
      else question?.reject(new Error(error));
    });
    this.#child.on("close", (code, signal) => this.#end(`it ended with ${signal ?? code}`));
    this.#gone = new Promise((resolve) => {
      this.#child.on("exit", resolve); // "close" does not come after `disconnect`
      this.#child.on("error", (error) => {
        this.#end(error.message);
        resolve();
      });
    });
  }

  ready() {
    return this.#await("ready", "start", readyTimeoutMs);
  }

  ask(name, options, timeoutMs) {
    const id = this.#next++;
    const answered = this.#await(id, name, timeoutMs);
    if (this.#ended === undefined) this.#child.send({ id, name, options }, () => {}); // a failure shows as "close"
    return answered;
  }

  /** A program that this process started goes where it goes. */
  pinsToo(pid) {
    this.#pids.add(pid);
  }

  pin(cores) {
    if (cores.length === 0) return;
    for (const pid of this.#pids) execFileSync("taskset", ["-acp", cores.join(), String(pid)], { stdio: "ignore" });
  }

  /** Without its channel a process ends by itself, and ends what it started; one that hangs is killed. */
  end() {
    if (this.#child.connected) this.#child.disconnect();
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), this.#role === "server" ? endTimeoutMs : 0);
    return this.#gone.finally(() => clearTimeout(timer));
  }

  #await(id, what, timeoutMs) {
    return new Promise((resolve, reject) => {
      if (this.#ended !== undefined) return reject(this.#ended);
      const timer = setTimeout(() => {
        this.#open.delete(id);
        reject(new Error(`${this.#role}: ${what} took longer than ${timeoutMs / 1000} s`));
      }, timeoutMs);
      const settle = (then) => (value) => {
        clearTimeout(timer);
        then(value);
      };
      this.#open.set(id, { resolve: settle(resolve), reject: settle(reject) });
    });
  }

  #end(reason) {
    this.#ended ??= new Error(`${this.#role}: ${reason}\n${this.#stderr}`.trim());
    for (const question of this.#open.values()) question.reject(this.#ended);
    this.#open.clear();
  }
}

/** The cores to run on: the dialer's, the listener's, the server's; none where `taskset` is missing or there is only one. */
export function findCores() {
  try {
    const text = execFileSync("taskset", ["-cp", String(process.pid)], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    });
    const cores = text
      .slice(text.lastIndexOf(":") + 1)
      .trim()
      .split(",")
      .flatMap((range) => {
        const [first, last = first] = range.split("-").map(Number);
        return Array.from({ length: last - first + 1 }, (_, i) => first + i);
      });
    return cores.length < 2 ? [] : cores.slice(0, 3);
  } catch {
    return [];
  }
}
