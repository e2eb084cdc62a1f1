/**
 * Writes that wait for the disk, in a thread of their own: the event loop goes on while the disk works. What is written
 * meanwhile is gathered and goes next, in one transaction, so a slow disk makes larger groups and not a longer queue.
 *
 * The main thread alone decides what is written and makes room for it; this thread runs one transaction at a time.
 */

import { createRequire } from "node:module";
import { Worker } from "node:worker_threads";
import type { StoreEntry } from "../session-store.ts";

/** The checksum that stands after a value, 4 bytes big-endian, as an unsigned number. */
export type Checksum = (key: string, value: Uint8Array) => number;

const checksumBytes = 4;

/** The value with its checksum, in new memory. */
export function checkedValue(key: string, value: Uint8Array, checksum: Checksum): Uint8Array {
  const checked = new Uint8Array(value.length + checksumBytes);
  putChecked(key, value, checksum, checked, 0);
  return checked;
}

/** Runs in the thread. A group: `keys`, where each value ends in `bytes`, or -1 for one that is removed. */
const script = `
const { parentPort, workerData } = require("node:worker_threads");
const { open } = require(workerData.lmdb);
const db = open(workerData.options);
const write = ({ keys, ends, bytes }) => {
  let start = 0;
  db.transactionSync(() => {
    for (let i = 0; i < keys.length; i++) {
      const end = ends[i];
      if (end < 0) db.remove(keys[i]);
      else {
        db.put(keys[i], bytes.subarray(start, end));
        start = end;
      }
    }
  });
};
parentPort.on("message", (group) => {
  if (group === undefined) {
    db.close().then(() => parentPort.close());
    return;
  }
  try {
    write(group);
    parentPort.postMessage(undefined);
  } catch (error) {
    parentPort.postMessage({ message: String(error && error.message), code: error && error.code });
  }
});
`;

interface Group {
  readonly entries: StoreEntry[];
  readonly done: Promise<void>;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

interface WriteThreadPlan {
  readonly checksum: Checksum | undefined;
  /** Makes room for a group, or throws. */
  readonly reserve: (group: readonly StoreEntry[]) => void;
  /** Told of each group on disk, before whoever waits for it. */
  readonly written: () => void;
  /** What to reject with when a group could not be written. */
  readonly errorOf: (cause: unknown) => Error;
}

export class WriteThread {
  readonly #plan: WriteThreadPlan;
  readonly #worker: Worker;
  readonly #ended: Promise<void>;
  /** Written since the thread was last given something; bounded by whoever writes. */
  #gathered: Group | undefined;
  #writing: Group | undefined;
  /** Why the thread is no more. */
  #failure: Error | undefined;

  /** @param options - Of the file, as `open` of lmdb takes them. This process has it open already. */
  constructor(options: object, plan: WriteThreadPlan) {
    this.#plan = plan;
    const lmdb = createRequire(import.meta.url).resolve("lmdb");
    this.#worker = new Worker(script, { eval: true, execArgv: [], workerData: { lmdb, options } });
    this.#worker.unref();
    this.#worker.on("message", (failed: { message: string; code: unknown } | undefined) => {
      this.#end(failed === undefined ? undefined : Object.assign(new Error(failed.message), { code: failed.code }));
    });
    this.#worker.on("error", (error) => {
      this.#failure = error;
    });
    this.#ended = new Promise((resolve) => {
      this.#worker.on("exit", () => {
        this.#failure ??= new Error("The thread that writes to the file ended");
        const error = plan.errorOf(this.#failure);
        this.#writing?.reject(error);
        this.#gathered?.reject(error);
        resolve();
      });
    });
  }

  /** @returns Resolves when the batch is on disk, and all before it; the same promise for all that go together. */
  write(batch: readonly StoreEntry[]): Promise<void> {
    if (this.#failure !== undefined) return Promise.reject(this.#plan.errorOf(this.#failure));
    if (this.#gathered === undefined) {
      this.#gathered = newGroup();
      // At the end of the turn, so that all of it goes together.
      if (this.#writing === undefined) setImmediate(() => this.#begin());
    }
    for (const entry of batch) this.#gathered.entries.push(entry);
    return this.#gathered.done;
  }

  /** Waits for what was written, then ends the thread. */
  async close(): Promise<void> {
    while (this.#failure === undefined && (this.#gathered ?? this.#writing) !== undefined) {
      await (this.#gathered ?? this.#writing)!.done.catch(() => {}); // its writer was told
    }
    this.#worker.ref();
    this.#worker.postMessage(undefined);
    await this.#ended;
  }

  #begin(): void {
    const group = this.#gathered;
    if (group === undefined || this.#writing !== undefined || this.#failure !== undefined) return;
    this.#gathered = undefined;
    this.#writing = group;
    try {
      this.#plan.reserve(group.entries);
      const message = encodeGroup(group.entries, this.#plan.checksum);
      this.#worker.ref();
      this.#worker.postMessage(message, [message.bytes.buffer]);
    } catch (error) {
      this.#end(error);
    }
  }

  #end(error: unknown): void {
    const group = this.#writing!;
    this.#writing = undefined;
    this.#worker.unref();
    if (error === undefined) {
      this.#plan.written();
      group.resolve();
    } else group.reject(this.#plan.errorOf(error));
    this.#begin();
  }
}

function newGroup(): Group {
  let resolve!: () => void;
  let reject!: (error: unknown) => void;
  const done = new Promise<void>((resolveDone, rejectDone) => {
    resolve = resolveDone;
    reject = rejectDone;
  });
  return { entries: [], done, resolve, reject };
}

function encodeGroup(entries: readonly StoreEntry[], checksum: Checksum | undefined) {
  const trailer = checksum === undefined ? 0 : checksumBytes;
  let length = 0;
  for (const [, value] of entries) if (value !== undefined) length += value.length + trailer;
  const keys: string[] = [];
  const ends = new Float64Array(entries.length);
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const [key, value] of entries) {
    if (value === undefined) ends[keys.length] = -1;
    else {
      if (checksum === undefined) bytes.set(value, at);
      else putChecked(key, value, checksum, bytes, at);
      at += value.length + trailer;
      ends[keys.length] = at;
    }
    keys.push(key);
  }
  return { keys, ends, bytes };
}

function putChecked(key: string, value: Uint8Array, checksum: Checksum, into: Uint8Array, at: number): void {
  into.set(value, at);
  const crc = checksum(key, value);
  const end = at + value.length;
  into[end] = crc >>> 24;
  into[end + 1] = crc >>> 16;
  into[end + 2] = crc >>> 8;
  into[end + 3] = crc;
}
