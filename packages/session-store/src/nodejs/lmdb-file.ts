/**
 * One LMDB file that has a folder to itself, for the stores above it:
 *
 *     data.mdb, data.mdb-lock   the records, and LMDB's own lock
 *     lock.<n>                  the socket that stands for the lock on the folder, see folder-lock.ts
 *     run.json                  how the last run ended, or that one is on
 *     data.mdb.damaged-<n>      files that were set aside
 *
 * After an unclean stop, or when it is not as it was left, a child process looks at the file (rescue.ts): a small one it
 * copies, a large one it walks through. A file that is damaged, or that the machine may have lost writes of when it went
 * down, is set aside and an empty one begins: losing a store heals, trusting a wrong one may not.
 *
 * Whoever need not wait for the disk writes on the calling thread: a transaction takes about 20 µs, less than handing it
 * to another. Whoever waits for it has a thread for it (write-thread.ts), and the event loop goes on. lmdb's own writing
 * thread is not used: a write that fails there leaves promises that never settle.
 */

import { createHash } from "node:crypto";
import { createReadStream, type Stats } from "node:fs";
import { chmod, readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { join, resolve } from "node:path";
import { StoreError } from "../errors.ts";
import type { StoreEntry } from "../session-store.ts";
import { DiskRoom, type FileStats } from "./disk-room.ts";
import { FolderLock, isLockName } from "./folder-lock.ts";
import { ensurePrivateFolder, fileMode, readIfThere, replaceFile, systemCode, unwritable } from "./private-folder.ts";
import { probeRecords, rescueRecords } from "./rescue.ts";
import { type Checksum, checkedValue, WriteThread } from "./write-thread.ts";

export interface LmdbFileOptions {
  /**
   * What a write waits for. `commit` (the default): it survives the end of this process by any means and is done at
   * once; if the machine itself goes down, the file counts as lost at the next start. `flush`: it is on disk and survives
   * that too; what is written while the disk is busy waits together for its next turn.
   */
  readonly sync?: "commit" | "flush";
  /** Told of a file that was set aside while opening; also in {@link OpenReport}. */
  readonly onDamage?: (damage: SetAside) => void;
}

/** A file that was not used any further. */
export interface SetAside {
  /** Where it lies now. It holds receive keys; only the newest two are kept. */
  readonly path: string;
  /** `damaged`: it could not be read whole. `outdated`: the machine went down and its last writes may be missing. */
  readonly kind: "damaged" | "outdated";
  /** For people. */
  readonly reason: string;
}

/** What opening found. */
export interface OpenReport {
  /** Whether the last run ended without closing the store. */
  readonly uncleanStop: boolean;
  readonly setAside: SetAside | undefined;
}

const dataName = "data.mdb";
const copyName = "data.mdb.copy";
const runName = "run.json";
const maxDamagedKept = 2;
/** After an unclean stop a file of up to so many bytes is copied, which mends more; a larger one would take too long. */
const maxCopiedBytes = 64 * 1024 * 1024;

type Run =
  /** With the SHA-256 of a file that is not too large to be read for it. */
  | { readonly state: "stopped"; readonly size: number; readonly mtimeMs: number; readonly sha256?: string | undefined }
  | {
      readonly state: "running";
      readonly pid: number;
      readonly sync: "commit" | "flush";
      readonly boot: string | null;
    };

type Lmdb = typeof import("lmdb");

/** What is used of lmdb's database. The types of lmdb itself stay inside: as an ES module they do not compile. */
export interface Database {
  getRange(range: KeyRange): Iterable<{ readonly key: string; readonly value: Uint8Array }>;
  getKeys(range: KeyRange): Iterable<string>;
  getBinary(key: string): Uint8Array | undefined;
  getStats(): object;
  put(key: string, value: Uint8Array): Promise<boolean>;
  remove(key: string): Promise<boolean>;
  transactionSync(action: () => void): void;
  resetReadTxn(): void;
  close(): Promise<void>;
}

interface KeyRange {
  readonly start?: string;
  readonly end?: string;
  readonly reverse?: boolean;
  readonly limit?: number;
}

/** What a store wants of its file beside its user's wishes. */
export interface FilePlan {
  /** Reads what the store needs from the start. What fails here as damage sets the file aside, and it is called again. */
  readonly read: (database: Database) => void;
  /** Stands after every value, 4 bytes. Default: none, the store sees to it itself. */
  readonly checksum?: Checksum;
  /** Default 64 MiB. */
  readonly maxCopiedBytes?: number;
}

export class LmdbFile {
  /** What opening found: whether the last run ended well, and whether a file was set aside. */
  readonly report: OpenReport;

  readonly #folder: string;
  readonly #lock: FolderLock;
  readonly #database: Database;
  readonly #room: DiskRoom;
  readonly #checksum: Checksum | undefined;
  readonly #maxCopiedBytes: number;
  readonly #thread: WriteThread | undefined;
  #closed: Promise<void> | undefined;

  /**
   * Opens the file in a folder, which is made if needed (0700, files 0600).
   *
   * @throws {@link StoreError} `EGTP_STORE_MISSING_PART` without the package `lmdb`; `EGTP_STORE_LOCKED` while another
   *   has it open; `EGTP_STORE_EXPOSED`, `EGTP_STORE_UNWRITABLE`, `EGTP_STORE_UNCHECKED`, `EGTP_STORE_DAMAGED`.
   */
  static async open(folder: string, options: LmdbFileOptions, plan: FilePlan): Promise<LmdbFile> {
    const lmdb = await loadLmdb();
    const path = resolve(folder);
    await ensurePrivateFolder(path, (names) => names.includes(dataName) || names.every((name) => isLockName(name)));
    const lock = await FolderLock.take(path).catch((error) => {
      throw unwritable(path, error);
    });
    if (lock === undefined) throw await lockedError(path);
    try {
      const opened = await openFile(lmdb, path, options.sync ?? "commit", plan);
      const file = new LmdbFile(path, lock, opened, plan);
      if (opened.report.setAside !== undefined) options.onDamage?.(opened.report.setAside);
      return file;
    } catch (error) {
      await lock.release();
      throw unwritable(path, error);
    }
  }

  private constructor(folder: string, lock: FolderLock, opened: OpenedFile, plan: FilePlan) {
    this.#folder = folder;
    this.#lock = lock;
    this.#checksum = plan.checksum;
    this.#maxCopiedBytes = plan.maxCopiedBytes ?? maxCopiedBytes;
    this.#database = opened.database;
    this.#room = opened.room;
    this.report = opened.report;
    if (opened.options.noSync) return;
    this.#thread = new WriteThread(opened.options, {
      checksum: plan.checksum,
      room: opened.room,
      // What is read from now on sees what was written.
      written: () => opened.database.resetReadTxn(),
      errorOf: (cause) => unwritable(folder, cause),
    });
  }

  /**
   * Writes a batch, whole or not at all, after those before it.
   *
   * @param batch - Not to be changed afterwards.
   * @returns With `sync: "commit"` always `undefined`: it is done, or it throws. Else a promise.
   * @throws {@link StoreError} `EGTP_STORE_CLOSED`, `EGTP_STORE_UNWRITABLE`; the promise rejects with the latter.
   */
  write(batch: readonly StoreEntry[]): Promise<void> | undefined {
    this.#checkOpen("written to");
    if (this.#thread !== undefined) return this.#thread.write(batch);
    const database = this.#database;
    try {
      this.#room.reserve(batch);
      database.transactionSync(() => {
        for (const [key, value] of batch) {
          if (value === undefined) void database.remove(key);
          else void database.put(key, this.#checksum === undefined ? value : checkedValue(key, value, this.#checksum));
        }
      });
    } catch (error) {
      throw unwritable(this.#folder, error);
    }
    return undefined;
  }

  /**
   * Reads. What is written in this turn is not seen yet, unless it was done at once.
   *
   * @throws {@link StoreError} `EGTP_STORE_CLOSED`; `EGTP_STORE_DAMAGED` when the file cannot be read any more.
   */
  read<Value>(from: (database: Database) => Value): Value {
    this.#checkOpen("read");
    try {
      return from(this.#database);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw new StoreError("EGTP_STORE_DAMAGED", `The store in ${this.#folder} cannot be read: ${reason}`, {
        cause: error,
        hint: "Check the disk, and start again: a file that is broken is then set aside.",
      });
    }
  }

  /** Waits for what was written and gives the folder free. Calling it twice does no harm. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  #checkOpen(done: string): void {
    if (this.#closed === undefined) return;
    throw new StoreError("EGTP_STORE_CLOSED", `The store in ${this.#folder} was ${done} after it was closed.`, {
      hint: "Commit before closing; to go on, open it again.",
    });
  }

  async #close(): Promise<void> {
    try {
      await this.#thread?.close();
      await this.#database.close();
      this.#room.flush();
      this.#room.close();
      const path = join(this.#folder, dataName);
      const { size, mtimeMs } = await stat(path);
      const sha256 = size > this.#maxCopiedBytes ? undefined : await sha256Of(path);
      await saveRun(this.#folder, { state: "stopped", size, mtimeMs, sha256 });
    } catch (error) {
      throw unwritable(this.#folder, error);
    } finally {
      await this.#lock.release();
    }
  }
}

interface OpenedFile {
  readonly database: Database;
  readonly options: FileOptions;
  readonly room: DiskRoom;
  readonly report: OpenReport;
}

/** Called with the lock held. */
async function openFile(lmdb: Lmdb, folder: string, sync: "commit" | "flush", plan: FilePlan): Promise<OpenedFile> {
  const path = join(folder, dataName);
  const options = fileOptions(path, sync);
  const boot = await bootId();
  const found = await stat(path).catch(() => undefined);
  const before = found === undefined ? undefined : await readRun(folder);
  let endedWell = true;
  let aside: SetAside | undefined;
  if (found !== undefined) {
    await chmod(path, fileMode);
    if (before?.state === "stopped") endedWell = await isAsLeft(path, found, before);
    else endedWell = found.size === 0; // else stopped while it was being made
  }
  if (!endedWell) {
    const wentDown = before?.state === "running" && before.sync === "commit" && (boot === null || before.boot !== boot);
    if (wentDown) aside = await setAside(folder, "outdated", "the machine went down while it was open");
    else {
      const reason = await mend(folder, options, found?.size ?? 0, plan.maxCopiedBytes ?? maxCopiedBytes);
      if (reason !== undefined) aside = await setAside(folder, "damaged", reason);
    }
  }
  await saveRun(folder, { state: "running", pid: process.pid, sync, boot });
  for (;;) {
    let database: Database | undefined;
    try {
      database = lmdb.open<Uint8Array, string>(options);
      plan.read(database);
      const stats = database.getStats.bind(database) as () => FileStats;
      return {
        database,
        options,
        room: new DiskRoom(path, stats),
        report: { uncleanStop: !endedWell, setAside: aside },
      };
    } catch (error) {
      await database?.close();
      if (!isDamage(error)) throw error;
      const reason = error instanceof Error ? error.message : String(error);
      if (aside !== undefined) throw damagedError(folder, reason, error);
      aside = await setAside(folder, "damaged", reason);
    }
  }
}

/** Whether the file is what the last run left. One that is not, though nobody had it open, must not be opened here. */
async function isAsLeft(path: string, found: Stats, left: Extract<Run, { state: "stopped" }>): Promise<boolean> {
  if (left.size !== found.size || left.mtimeMs !== found.mtimeMs) return false;
  return left.sha256 === undefined || left.sha256 === (await sha256Of(path));
}

async function sha256Of(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path, { highWaterMark: 1024 * 1024 })) hash.update(chunk as Uint8Array);
  return hash.digest("hex");
}

/** Sees to it that the file can be used. @returns What is wrong with it when it cannot. */
async function mend(
  folder: string,
  options: FileOptions,
  size: number,
  maxCopied: number,
): Promise<string | undefined> {
  if (size === 0) return "it is empty";
  if (size > maxCopied) return probeRecords(options, size);
  const copy = join(folder, copyName);
  const reason = await rescueRecords(options, copy);
  if (reason === undefined) await rename(copy, options.path);
  return reason;
}

/** What is in the file contradicts itself. Becomes the reason of a {@link SetAside}. */
export class BrokenFileError extends Error {}

/** Whether an error says that the file is broken, not that the system refused something. LMDB's own are below -30000. */
function isDamage(error: unknown): boolean {
  const code = systemCode(error);
  return (
    error instanceof BrokenFileError || error instanceof RangeError || (typeof code === "number" && code < -30_000)
  );
}

export type FileOptions = ReturnType<typeof fileOptions>;

function fileOptions(path: string, sync: "commit" | "flush") {
  return {
    path,
    noSubdir: true,
    encoding: "binary" as const,
    maxDbs: 1,
    maxReaders: 8,
    // LMDB's two plain ways: leave the disk to the system, or wait for it twice per transaction.
    overlappingSync: false,
    noSync: sync === "commit",
    // Pages are not to carry old memory of this process into the file.
    noMemInit: false,
    permissionsMode: fileMode,
  };
}

/** Moves the file out of the way and lets only the newest of those moved before stay. */
async function setAside(folder: string, kind: SetAside["kind"], reason: string): Promise<SetAside> {
  const prefix = `${dataName}.damaged-`;
  const numbers = (await readdir(folder))
    .filter((name) => name.startsWith(prefix))
    .map((name) => Number(name.slice(prefix.length)))
    .filter((number) => Number.isSafeInteger(number) && number > 0)
    .sort((a, b) => a - b);
  const path = join(folder, `${prefix}${1 + (numbers.at(-1) ?? 0)}`);
  await rename(join(folder, dataName), path);
  await rm(join(folder, `${dataName}-lock`), { force: true });
  for (const number of numbers.slice(0, Math.max(0, numbers.length + 1 - maxDamagedKept))) {
    await rm(join(folder, `${prefix}${number}`), { force: true });
  }
  return { path, kind, reason };
}

/** Which start of the machine this is, or `null` where the system does not tell: then every one counts as another. */
async function bootId(): Promise<string | null> {
  if (process.platform !== "linux") return null;
  const id = await readFile("/proc/sys/kernel/random/boot_id", "utf8").catch(() => "");
  return id.trim() || null;
}

async function readRun(folder: string): Promise<Run | undefined> {
  const text = await readIfThere(join(folder, runName));
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text) as Run;
  } catch {
    return undefined;
  }
}

function saveRun(folder: string, run: Run): Promise<void> {
  return replaceFile(join(folder, runName), `${JSON.stringify(run)}\n`);
}

async function loadLmdb(): Promise<Lmdb> {
  try {
    return await import("lmdb");
  } catch (cause) {
    throw new StoreError("EGTP_STORE_MISSING_PART", "The LMDB store needs the package lmdb, which cannot be loaded.", {
      cause,
      hint: "npm install lmdb@^3.5.6",
    });
  }
}

async function lockedError(folder: string): Promise<StoreError> {
  const run = await readRun(folder).catch(() => undefined);
  const holder = run?.state === "running" ? `process ${run.pid}` : "another process";
  return new StoreError("EGTP_STORE_LOCKED", `The store in ${folder} is open in ${holder}.`, {
    hint: "Stop that process, or give each peer a folder of its own. A lock never outlives its process: nothing to delete.",
  });
}

function damagedError(folder: string, reason: string, cause: unknown): StoreError {
  return new StoreError(
    "EGTP_STORE_DAMAGED",
    `The store in ${folder} is damaged again right after it was made: ${reason}`,
    {
      cause,
      hint: "Check the disk, or name a folder on another one.",
    },
  );
}
