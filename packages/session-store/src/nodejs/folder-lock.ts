/**
 * One process, and one store in it, at a time. The lock is held by listening on a local socket in the folder, so the
 * kernel gives it free at the very moment its holder ends, `kill -9` included, and says reliably whether someone
 * holds it: no process IDs that may be used anew, no start times, and containers that share the folder see each other.
 *
 * The sockets are named `lock.1`, `lock.2`, … Taking the lock:
 *   1. connect to every `lock.*`; if one answers, the lock is held;
 *   2. listen on the next free number, which fails if someone else did so first;
 *   3. look again: give up if our own name is gone or if anyone else answers;
 *   4. remove the names that did not answer: their holders are dead.
 * Of two who try at once the one that comes later to step 3 sees the other, since both listened before they looked;
 * both may see each other and give up, then each tries again after a short random time. Step 4 happens with the lock
 * held, so someone who was between binding and listening then finds the lock held in step 3.
 *
 * On Windows a named pipe takes the place of the socket; it is exclusive by itself and leaves no name behind.
 */

import { createHash, randomInt } from "node:crypto";
import { closeSync, openSync } from "node:fs";
import { chmod, readdir, realpath, unlink } from "node:fs/promises";
import { createConnection, createServer, type Server } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { systemCode } from "./private-folder.ts";

const defaultName = "lock";
const numberPattern = /^[1-9]\d{0,14}$/;
const attempts = 4;
/** The shortest limit on the path of a socket among the systems we know, less the final zero. */
const maxSocketPathBytes = 103;

/** Whether a file of that name stands for the lock, or stood for one. */
export function isLockName(file: string, name = defaultName): boolean {
  return file.startsWith(`${name}.`) && numberPattern.test(file.slice(name.length + 1));
}

export class FolderLock {
  readonly #server: Server;
  readonly #sockets: SocketFolder | undefined;

  /**
   * Takes the lock of a folder.
   *
   * @param name - What its sockets are called, where a folder has several locks. Default: `lock`.
   * @returns `undefined` when someone holds it.
   * @throws An error of the system when sockets cannot be made there.
   */
  static async take(folder: string, name = defaultName): Promise<FolderLock | undefined> {
    if (process.platform === "win32") {
      const pipe = await listenOnPipe(folder, name);
      return pipe === undefined ? undefined : new FolderLock(pipe);
    }
    const sockets = new SocketFolder(folder, name);
    let lock: FolderLock | undefined;
    try {
      for (let attempt = 1; attempt <= attempts; attempt++) {
        if (attempt > 1) await sleep(randomInt(5, 50));
        const before = await sockets.names();
        if (await sockets.anyAnswers(before)) continue;
        const own = `${name}.${1 + Math.max(0, ...before.map(numberOf))}`;
        const server = await listen(sockets.pathOf(own));
        if (server === undefined) continue;
        const after = await sockets.names();
        const others = after.filter((other) => other !== own);
        if (!after.includes(own) || (await sockets.anyAnswers(others))) {
          await closed(server);
          continue;
        }
        await chmod(join(folder, own), 0o600);
        for (const other of others) await unlink(join(folder, other));
        lock = new FolderLock(server, sockets);
        return lock;
      }
      return undefined;
    } finally {
      if (lock === undefined) sockets.close();
    }
  }

  private constructor(server: Server, sockets?: SocketFolder) {
    this.#server = server;
    this.#sockets = sockets;
  }

  /** Gives the lock free and removes its name, which takes the open handle if there is one. */
  async release(): Promise<void> {
    await closed(this.#server);
    this.#sockets?.close();
  }
}

/** The folder as a place of sockets. Where its path is too long for one, Linux reaches it by an open handle. */
class SocketFolder {
  readonly #folder: string;
  readonly #name: string;
  readonly #prefix: string;
  readonly #handle: number | undefined;

  constructor(folder: string, name: string) {
    this.#folder = folder;
    this.#name = name;
    const isLong = Buffer.byteLength(join(folder, `${name}.${"9".repeat(15)}`)) > maxSocketPathBytes;
    this.#handle = isLong && process.platform === "linux" ? openSync(folder, "r") : undefined;
    this.#prefix = this.#handle === undefined ? folder : `/proc/self/fd/${this.#handle}`;
  }

  pathOf(name: string): string {
    return join(this.#prefix, name);
  }

  async names(): Promise<string[]> {
    return (await readdir(this.#folder)).filter((file) => isLockName(file, this.#name));
  }

  async anyAnswers(names: readonly string[]): Promise<boolean> {
    const answers = await Promise.all(names.map((name) => isHeld(this.pathOf(name))));
    return answers.includes(true);
  }

  close(): void {
    if (this.#handle !== undefined) closeSync(this.#handle);
  }
}

/** Whether someone listens. What cannot be told counts as held: a lock is never taken from a living holder. */
function isHeld(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const connection = createConnection(path);
    connection.on("connect", () => {
      connection.destroy();
      resolve(true);
    });
    connection.on("error", (error) => {
      const code = systemCode(error);
      resolve(code !== "ECONNREFUSED" && code !== "ENOENT");
    });
  });
}

/** @returns `undefined` when the name is taken. */
function listen(path: string): Promise<Server | undefined> {
  return new Promise((resolve, reject) => {
    const server = createServer((connection) => connection.destroy());
    server.on("error", (error) => {
      if (systemCode(error) === "EADDRINUSE") resolve(undefined);
      else reject(error);
    });
    // Exclusive: the workers of a cluster would otherwise share one listener, and each hold the lock.
    server.listen({ path, exclusive: true }, () => {
      server.unref();
      resolve(server);
    });
  });
}

async function listenOnPipe(folder: string, name: string): Promise<Server | undefined> {
  const place = createHash("sha256")
    .update(join(await realpath(folder), name))
    .digest("hex");
  return listen(`\\\\.\\pipe\\egtp-store-${place}`);
}

function closed(server: Server): Promise<void> {
  return new Promise((resolve) => server.close(() => resolve()));
}

function numberOf(name: string): number {
  return Number(name.slice(name.lastIndexOf(".") + 1));
}
