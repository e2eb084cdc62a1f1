/**
 * A session store in an LMDB file, see lmdb-file.ts. Everything in it is read once, at start; what the records mean, and
 * their checksums, are the business of {@link SessionMaps}.
 */

import type { SessionStore, StoreEntry } from "../session-store.ts";
import { BrokenFileError, type Database, LmdbFile, type LmdbFileOptions, type OpenReport } from "./lmdb-file.ts";

export { StoreError } from "../errors.ts";
export type { OpenReport, SetAside } from "./lmdb-file.ts";

export type LmdbStoreOptions = LmdbFileOptions;

type Loaded = (readonly [key: string, value: Uint8Array])[];

/** Sessions in a folder of this machine, which outlive the process: `await LmdbSessionStore.open("./alice.sessions")`. */
export class LmdbSessionStore implements SessionStore {
  readonly #file: LmdbFile;
  #loaded: Loaded | undefined;

  /**
   * Opens the store in a folder, which is made if needed (0700, files 0600).
   *
   * @throws {@link StoreError} `EGTP_STORE_MISSING_PART` without the package `lmdb`; `EGTP_STORE_LOCKED` while another
   *   has it open; `EGTP_STORE_EXPOSED`, `EGTP_STORE_UNWRITABLE`, `EGTP_STORE_UNCHECKED`, `EGTP_STORE_DAMAGED`.
   */
  static async open(folder: string, options: LmdbStoreOptions = {}): Promise<LmdbSessionStore> {
    let loaded: Loaded = [];
    const read = (database: Database): void => {
      loaded = readAll(database);
    };
    return new LmdbSessionStore(await LmdbFile.open(folder, options, { read }), loaded);
  }

  private constructor(file: LmdbFile, loaded: Loaded) {
    this.#file = file;
    this.#loaded = loaded;
  }

  /** What opening found: whether the last run ended well, and whether a file was set aside. */
  get report(): OpenReport {
    return this.#file.report;
  }

  load(): Iterable<readonly [key: string, value: Uint8Array]> {
    const loaded = this.#loaded ?? this.#file.read(readAll);
    this.#loaded = undefined;
    return loaded;
  }

  /** @returns With `sync: "commit"` always `undefined`: it is done, or it throws. */
  write(batch: readonly StoreEntry[]): Promise<void> | undefined {
    return this.#file.write(batch);
  }

  close(): Promise<void> {
    this.#loaded = undefined;
    return this.#file.close();
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
