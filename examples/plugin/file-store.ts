/** A session store in one file, which is written anew each time: slow, short, and never half. */
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from "node:fs";
import type { SessionStore, StoreEntry } from "@egtp/session-store";

export class FileStore implements SessionStore {
  readonly #path: string;
  readonly #entries: Map<string, Uint8Array>;
  #isClosed = false;

  constructor(path: string) {
    this.#path = path;
    this.#entries = new Map(Object.entries(read(path)).map(([key, hex]) => [key, Buffer.from(hex, "hex")]));
  }

  load(): ReadonlyMap<string, Uint8Array> {
    return this.#entries;
  }

  /** All of a batch is there after it, or none. */
  write(batch: readonly StoreEntry[]): undefined {
    if (this.#isClosed) throw new Error("This store was closed");
    for (const [key, value] of batch) {
      if (value === undefined) this.#entries.delete(key);
      else this.#entries.set(key, value.slice());
    }
    const hex = [...this.#entries].map(([key, value]) => [key, Buffer.from(value).toString("hex")]);
    const file = openSync(`${this.#path}.new`, "w", 0o600);
    writeSync(file, JSON.stringify(Object.fromEntries(hex)));
    fsyncSync(file);
    closeSync(file);
    renameSync(`${this.#path}.new`, this.#path);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
  }
}

function read(path: string): Record<string, string> {
  try {
    return JSON.parse(readFileSync(path, "utf8")) as Record<string, string>;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return {};
    throw error;
  }
}
