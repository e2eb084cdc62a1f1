// The two processes of one alternative, listener and dialer, and the questions put to them. Each question has a time
// limit: a library that hangs costs its own figure, not the run.

import { execFileSync, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";

const readyTimeoutMs = 20_000;
const keptErrorBytes = 4000;

export class Pair {
  #listener;
  #dialer;
  #cores;

  constructor(listener, dialer, cores) {
    this.#listener = listener;
    this.#dialer = dialer;
    this.#cores = cores;
  }

  /** Starts both processes, one core each where that is possible, and connects them. */
  static async start(name, cores) {
    const listener = new Worker("listener", name, cores[1]);
    const dialer = new Worker("dialer", name, cores[0]);
    const pair = new Pair(listener, dialer, cores);
    try {
      await Promise.all([listener.ready(), dialer.ready()]);
      const peer = await import(`../peers/${name}.mjs`);
      const material = await peer.prepare?.();
      const address = await listener.ask("listen", { material }, readyTimeoutMs);
      await dialer.ask("connect", { material, address }, readyTimeoutMs);
      return pair;
    } catch (error) {
      pair.stop();
      throw error;
    }
  }

  askDialer(name, options, timeoutMs) {
    return this.#dialer.ask(name, options, timeoutMs);
  }

  askListener(name, options, timeoutMs) {
    return this.#listener.ask(name, options, timeoutMs);
  }

  /** Puts both processes on the first core, or back on one each. */
  shareCore(shared) {
    if (this.#cores.length < 2) return;
    this.#dialer.pin(this.#cores[0]);
    this.#listener.pin(shared ? this.#cores[0] : this.#cores[1]);
  }

  stop() {
    this.#dialer.kill();
    this.#listener.kill();
  }
}

class Worker {
  #role;
  #child;
  #open = new Map();
  #next = 0;
  #stderr = "";
  #ended;

  constructor(role, name, core) {
    this.#role = role;
    const command = [process.execPath, "--expose-gc", fileURLToPath(new URL(`./${role}.mjs`, import.meta.url)), name];
    if (core !== undefined) command.unshift("taskset", "-c", String(core));
    this.#child = spawn(command[0], command.slice(1), { stdio: ["ignore", "ignore", "pipe", "ipc"] });
    this.#child.stderr.setEncoding("utf8").on("data", (text) => {
      this.#stderr = (this.#stderr + text).slice(-keptErrorBytes);
    });
    this.#child.on("message", ({ ready, id, result, error }) => {
      const question = this.#open.get(ready ? "ready" : id);
      this.#open.delete(ready ? "ready" : id);
      if (error === undefined) question?.resolve(result);
      else question?.reject(new Error(error));
    });
    this.#child.on("error", (error) => this.#end(error.message));
    this.#child.on("close", (code, signal) => this.#end(`it ended with ${signal ?? code}`));
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

  pin(core) {
    execFileSync("taskset", ["-acp", String(core), String(this.#child.pid)], { stdio: "ignore" });
  }

  kill() {
    this.#child.kill("SIGKILL");
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

/** The cores to pin to, dialer first; empty where `taskset` is missing or there is only one. */
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
    return cores.length < 2 ? [] : cores.slice(0, 2);
  } catch {
    return [];
  }
}
