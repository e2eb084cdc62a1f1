/**
 * Writes that wait for the disk, in a thread of their own: the event loop goes on while the disk works. What is written
 * meanwhile is gathered and goes next, in as few transactions as is good for LMDB, so a slow disk makes larger groups.
 *
 * The main thread alone decides what is written and makes room for it; this thread runs one transaction at a time.
 */

import { createRequire } from "node:module";
import { Worker } from "node:worker_threads";
import type { StoreEntry } from "../session-store.ts";
import type { DiskRoom } from "./disk-room.ts";

/** The checksum that stands after a value, 4 bytes big-endian, as an unsigned number. */
export type Checksum = (key: string, value: Uint8Array) => number;

const checksumBytes = 4;

/** The value with its checksum, in new memory. */
export function checkedValue(key: string, value: Uint8Array, checksum: Checksum): Uint8Array {
  const checked = new Uint8Array(value.length + checksumBytes);
  putChecked(key, value, checksum, checked, 0);
  return checked;
}

/**
 * Runs in the thread. A group is `count` entries in `memory`: length of the key 2, length of the value 4 or -1 for one that is
 * removed, key, value. Before they are written the file is lengthened from `size` to `wanted`, see disk-room.ts. The answer
 * gives the memory back.
 */
const script = `
const fs = require("node:fs");
const { parentPort, workerData } = require("node:worker_threads");
const { open } = require(workerData.lmdb);
const db = open(workerData.options);
const file = fs.openSync(workerData.options.path, "r+");
const zeros = new Uint8Array(2 ** 20);

const lengthen = (before, wanted) => {
  let size = before;
  try {
    while (size < wanted) size += fs.writeSync(file, zeros, 0, zeros.length - (size % zeros.length), size);
  } catch (error) {
    fs.ftruncateSync(file, before);
    throw error;
  }
  return size;
};

const write = ({ count, memory }) => {
  const bytes = Buffer.from(memory);
  let at = 0;
  db.transactionSync(() => {
    for (let i = 0; i < count; i++) {
      const valueAt = at + 6 + bytes.readUInt16BE(at);
      const length = bytes.readInt32BE(at + 2);
      const key = bytes.toString("latin1", at + 6, valueAt);
      if (length < 0) db.remove(key);
      else db.put(key, bytes.subarray(valueAt, valueAt + length));
      at = valueAt + Math.max(0, length);
    }
  });
};

parentPort.on("message", (group) => {
  if (group === undefined) {
    fs.closeSync(file);
    db.close().then(() => parentPort.close());
    return;
  }
  const answer = { size: group.size, memory: group.memory, error: undefined };
  try {
    answer.size = lengthen(group.size, group.wanted);
    write(group);
  } catch (error) {
    answer.error = { message: String(error && error.message), code: error && error.code };
  }
  parentPort.postMessage(answer, [group.memory]);
});
`;

interface Answer {
  readonly size: number;
  readonly memory: ArrayBuffer;
  readonly error: { readonly message: string; readonly code: unknown } | undefined;
}

/** Before each entry: length of its key 2, length of its value 4. */
const entryHeaderBytes = 6;
/** A group takes in no more once it has so many entries, or bytes in their values: larger transactions take LMDB longer than
 * two, and all the room that they might need is made first. */
const fullGroupEntries = 2_048;
const fullGroupBytes = 4 * 1024 * 1024;
/** Memory above this is not kept for the next group. */
const maxKeptMemory = 8 * 1024 * 1024;

interface Group {
  readonly entries: StoreEntry[];
  /** Of their values. */
  bytes: number;
  readonly done: Promise<void>;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

interface WriteThreadPlan {
  readonly checksum: Checksum | undefined;
  readonly room: DiskRoom;
  /** Told of each group on disk, before whoever waits for it. */
  readonly written: () => void;
  /** What to reject with when a group could not be written. */
  readonly errorOf: (cause: unknown) => Error;
}

export class WriteThread {
  readonly #plan: WriteThreadPlan;
  readonly #worker: Worker;
  readonly #ended: Promise<void>;
  /** Written since the thread was last given something, the oldest first; bounded by whoever writes. */
  readonly #gathered: Group[] = [];
  #writing: Group | undefined;
  /** Of the last group, for the next one. */
  #memory = new ArrayBuffer(0);
  /** Why the thread is no more. */
  #failure: Error | undefined;

  /** @param options - Of the file, as `open` of lmdb takes them. This process has it open already. */
  constructor(options: object, plan: WriteThreadPlan) {
    this.#plan = plan;
    const lmdb = createRequire(import.meta.url).resolve("lmdb");
    this.#worker = new Worker(script, { eval: true, execArgv: [], workerData: { lmdb, options } });
    this.#worker.unref();
    this.#worker.on("message", ({ size, memory, error }: Answer) => {
      this.#plan.room.has(size);
      this.#memory = memory.byteLength > maxKeptMemory ? new ArrayBuffer(0) : memory;
      this.#end(error === undefined ? undefined : Object.assign(new Error(error.message), { code: error.code }));
    });
    this.#worker.on("error", (error) => {
      this.#failure = error;
    });
    this.#ended = new Promise((resolve) => {
      this.#worker.on("exit", () => {
        this.#failure ??= new Error("The thread that writes to the file ended");
        const error = plan.errorOf(this.#failure);
        this.#writing?.reject(error);
        for (const group of this.#gathered) group.reject(error);
        resolve();
      });
    });
  }

  /** @returns Resolves when the batch is on disk, and all before it; the same promise for all that go together. */
  write(batch: readonly StoreEntry[]): Promise<void> {
    if (this.#failure !== undefined) return Promise.reject(this.#plan.errorOf(this.#failure));
    // At the end of the turn, so that all of it goes together.
    if (this.#gathered.length === 0 && this.#writing === undefined) setImmediate(() => this.#begin());
    let group = this.#gathered.at(-1);
    if (group === undefined || group.entries.length >= fullGroupEntries || group.bytes >= fullGroupBytes) {
      group = newGroup();
      this.#gathered.push(group);
    }
    for (const entry of batch) {
      group.entries.push(entry);
      if (entry[1] !== undefined) group.bytes += entry[1].length;
    }
    return group.done;
  }

  /** Waits for what was written, then ends the thread. */
  async close(): Promise<void> {
    for (;;) {
      const last = this.#gathered.at(-1) ?? this.#writing;
      if (this.#failure !== undefined || last === undefined) break;
      await last.done.catch(() => {}); // its writer was told
    }
    this.#worker.ref();
    this.#worker.postMessage(undefined);
    await this.#ended;
  }

  #begin(): void {
    if (this.#writing !== undefined || this.#failure !== undefined) return;
    const group = this.#gathered.shift();
    if (group === undefined) return;
    this.#writing = group;
    try {
      const { room, checksum } = this.#plan;
      const wanted = room.want(group.entries);
      const memory = encodeGroup(group.entries, checksum, this.#memory);
      this.#worker.ref();
      this.#worker.postMessage({ count: group.entries.length, memory, size: room.size, wanted }, [memory]);
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
  return { entries: [], bytes: 0, done, resolve, reject };
}

/** @param memory - Used if it is large enough. */
function encodeGroup(entries: readonly StoreEntry[], checksum: Checksum | undefined, memory: ArrayBuffer): ArrayBuffer {
  const trailer = checksum === undefined ? 0 : checksumBytes;
  let length = 0;
  for (const [key, value] of entries) {
    length += entryHeaderBytes + key.length + (value === undefined ? 0 : value.length + trailer);
  }
  const bytes = Buffer.from(memory.byteLength >= length ? memory : new ArrayBuffer(Math.max(length, 2 ** 16)));
  let at = 0;
  for (const [key, value] of entries) {
    bytes.writeUInt16BE(key.length, at);
    bytes.writeInt32BE(value === undefined ? -1 : value.length + trailer, at + 2);
    bytes.write(key, at + entryHeaderBytes, "latin1");
    at += entryHeaderBytes + key.length;
    if (value === undefined) continue;
    if (checksum === undefined) bytes.set(value, at);
    else putChecked(key, value, checksum, bytes, at);
    at += value.length + trailer;
  }
  return bytes.buffer;
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
