/**
 * A session store in an LMDB file. It has the folder to itself:
 *
 *     data.mdb, data.mdb-lock   the records, and LMDB's own lock
 *     lock.<n>                  the socket that stands for the lock on the folder, see folder-lock.ts
 *     run.json                  how the last run ended, or that one is on
 *     data.mdb.damaged-<n>      files that were set aside
 *
 * After an unclean stop a child process copies the records to a new file (rescue.ts). A file that is damaged, or that
 * the machine may have lost writes of when it went down, is set aside and an empty store begins: losing a store heals,
 * trusting a wrong one may not.
 *
 * Transactions run on the calling thread. Without waiting for the disk one takes about 20 µs, less than handing it to
 * lmdb's writing thread, and a write that failed says so at once; those of that thread leave promises that never settle.
 */

import { chmod, readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { join, resolve } from "node:path";
import { StoreError } from "../errors.ts";
import type { SessionStore, StoreEntry } from "../session-store.ts";
import { DiskRoom, type FileStats } from "./disk-room.ts";
import { FolderLock, isLockName } from "./folder-lock.ts";
import { ensurePrivateFolder, fileMode, readIfThere, replaceFile, systemCode, unwritable } from "./private-folder.ts";
import { rescueRecords } from "./rescue.ts";

export { StoreError } from "../errors.ts";

export interface LmdbStoreOptions {
  /**
   * What a write waits for. `commit` (the default): it survives the end of this process by any means and is done at
   * once; if the machine itself goes down, the store counts as lost at the next start and peers heal. `flush`: it is
   * on disk and survives that too; all writes of one turn of the event loop then wait together, as long as the disk takes.
   */
  readonly sync?: "commit" | "flush";
  /** Told of a file that was set aside while opening; also in {@link LmdbSessionStore.report}. */
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

type Run =
  | { readonly state: "stopped"; readonly size: number; readonly mtimeMs: number }
  | {
      readonly state: "running";
      readonly pid: number;
      readonly sync: "commit" | "flush";
      readonly boot: string | null;
    };

type Lmdb = typeof import("lmdb");
type Database = import("lmdb").RootDatabase<Uint8Array, string>;
type Loaded = (readonly [key: string, value: Uint8Array])[];

export class LmdbSessionStore implements SessionStore {
  /** What opening found: whether the last run ended well, and whether a file was set aside. */
  readonly report: OpenReport;

  readonly #folder: string;
  readonly #lock: FolderLock;
  readonly #database: Database;
  readonly #room: DiskRoom;
  readonly #waitsForDisk: boolean;
  #loaded: Loaded | undefined;
  /** Batches of this turn that wait for the disk together; `undefined` when there are none. */
  #gathered: StoreEntry[] | undefined;
  #inFlight: Promise<void> = Promise.resolve();
  #closed: Promise<void> | undefined;

  /**
   * Opens the store in a folder, which is made if needed (0700, files 0600).
   *
   * @throws {@link StoreError} `EGTP_STORE_MISSING_PART` without the package `lmdb`; `EGTP_STORE_LOCKED` while another
   *   has it open; `EGTP_STORE_EXPOSED`, `EGTP_STORE_UNWRITABLE`, `EGTP_STORE_UNCHECKED`, `EGTP_STORE_DAMAGED`.
   */
  static async open(folder: string, options: LmdbStoreOptions = {}): Promise<LmdbSessionStore> {
    const lmdb = await loadLmdb();
    const path = resolve(folder);
    await ensurePrivateFolder(path, (names) => names.includes(dataName) || names.every(isLockName));
    const lock = await FolderLock.take(path).catch((error) => {
      throw unwritable(path, error);
    });
    if (lock === undefined) throw await lockedError(path);
    try {
      const opened = await openFile(lmdb, path, options.sync ?? "commit");
      const store = new LmdbSessionStore(path, lock, options.sync === "flush", opened);
      if (opened.report.setAside !== undefined) options.onDamage?.(opened.report.setAside);
      return store;
    } catch (error) {
      await lock.release();
      throw unwritable(path, error);
    }
  }

  private constructor(folder: string, lock: FolderLock, waitsForDisk: boolean, opened: OpenedFile) {
    this.#folder = folder;
    this.#lock = lock;
    this.#waitsForDisk = waitsForDisk;
    this.#database = opened.database;
    this.#room = opened.room;
    this.#loaded = opened.loaded;
    this.report = opened.report;
  }

  load(): Iterable<readonly [key: string, value: Uint8Array]> {
    const loaded = this.#loaded ?? readAll(this.#database);
    this.#loaded = undefined;
    return loaded;
  }

  /** @returns With `sync: "commit"` always `undefined`: it is done, or it throws. */
  write(batch: readonly StoreEntry[]): Promise<void> | undefined {
    if (this.#closed !== undefined) {
      throw new StoreError("EGTP_STORE_CLOSED", `The store in ${this.#folder} was written to after it was closed.`, {
        hint: "Commit before closing; to go on, open it again.",
      });
    }
    if (!this.#waitsForDisk) {
      this.#writeNow(batch);
      return undefined;
    }
    if (this.#gathered !== undefined) {
      this.#gathered.push(...batch);
      return this.#inFlight;
    }
    const gathered = [...batch];
    this.#gathered = gathered;
    this.#inFlight = new Promise((resolve, reject) => {
      setImmediate(() => {
        this.#gathered = undefined;
        try {
          this.#writeNow(gathered);
          resolve();
        } catch (error) {
          reject(error);
        }
      });
    });
    return this.#inFlight;
  }

  #writeNow(batch: readonly StoreEntry[]): void {
    const database = this.#database;
    try {
      this.#room.reserve(batch);
      database.transactionSync(() => {
        for (const [key, value] of batch) {
          if (value === undefined) void database.remove(key);
          else void database.put(key, value);
        }
      });
    } catch (error) {
      throw unwritable(this.#folder, error);
    }
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    this.#loaded = undefined;
    try {
      await this.#inFlight.catch(() => {}); // its writer was told
      await this.#database.close();
      this.#room.flush();
      this.#room.close();
      const { size, mtimeMs } = await stat(join(this.#folder, dataName));
      await saveRun(this.#folder, { state: "stopped", size, mtimeMs });
    } catch (error) {
      throw unwritable(this.#folder, error);
    } finally {
      await this.#lock.release();
    }
  }
}

interface OpenedFile {
  readonly database: Database;
  readonly room: DiskRoom;
  readonly loaded: Loaded;
  readonly report: OpenReport;
}

/** Called with the lock held. */
async function openFile(lmdb: Lmdb, folder: string, sync: "commit" | "flush"): Promise<OpenedFile> {
  const path = join(folder, dataName);
  const options = fileOptions(path, sync);
  const boot = await bootId();
  const found = await stat(path).catch(() => undefined);
  const before = found === undefined ? undefined : await readRun(folder);
  let endedWell = true;
  let aside: SetAside | undefined;
  if (found !== undefined) {
    await chmod(path, fileMode);
    if (before?.state === "stopped") endedWell = before.size === found.size && before.mtimeMs === found.mtimeMs;
    else endedWell = found.size === 0; // else stopped while it was being made
  }
  if (!endedWell) {
    const wentDown = before?.state === "running" && before.sync === "commit" && (boot === null || before.boot !== boot);
    if (wentDown) aside = await setAside(folder, "outdated", "the machine went down while it was open");
    else {
      const copy = join(folder, copyName);
      const reason = found?.size === 0 ? "it is empty" : await rescueRecords(options, copy);
      if (reason !== undefined) aside = await setAside(folder, "damaged", reason);
      else await rename(copy, path);
    }
  }
  await saveRun(folder, { state: "running", pid: process.pid, sync, boot });
  for (;;) {
    let database: Database | undefined;
    try {
      database = lmdb.open<Uint8Array, string>(options);
      const loaded = readAll(database);
      const stats = database.getStats.bind(database) as () => FileStats;
      return {
        database,
        room: new DiskRoom(path, stats),
        loaded,
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

/** Everything in the file, copied, for LMDB's own memory changes under a reader. */
function readAll(database: Database): Loaded {
  const loaded: Loaded = [];
  let previous = "";
  for (const { key, value } of database.getRange({})) {
    if (typeof key !== "string" || key <= previous) throw new BrokenFileError("its keys are out of order");
    previous = key;
    loaded.push([key, Uint8Array.from(value)]);
  }
  const { entryCount } = database.getStats() as { entryCount: number };
  if (loaded.length !== entryCount) {
    throw new BrokenFileError(`it should hold ${entryCount} records and shows ${loaded.length}`);
  }
  return loaded;
}

/** Private: becomes the reason of a {@link SetAside}. */
class BrokenFileError extends Error {}

/** Whether an error says that the file is broken, not that the system refused something. LMDB's own are below -30000. */
function isDamage(error: unknown): boolean {
  const code = systemCode(error);
  return (
    error instanceof BrokenFileError || error instanceof RangeError || (typeof code === "number" && code < -30_000)
  );
}

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
