/**
 * Records on disk for services that keep more than fits into memory, such as a relay's mailboxes: a map from short text
 * keys to bytes, in order of the keys, in an LMDB file (lmdb-file.ts). It reads single records and ranges when asked, and at
 * start only what its user wants to see.
 *
 * Every record carries a checksum over its key and value. One that was damaged is as if it were not there, and reported.
 */

import { recordChecksum } from "../checksum.ts";
import type { StoreEntry } from "../session-store.ts";
import { BrokenFileError, type Database, LmdbFile, type LmdbFileOptions, type OpenReport } from "./lmdb-file.ts";

export { StoreError } from "../errors.ts";
export type { StoreEntry } from "../session-store.ts";
export type { LmdbFileOptions, OpenReport, SetAside } from "./lmdb-file.ts";

/** Keys are printable ASCII of at most 1,900 characters, in the order of their characters. */
export interface KeyRange {
  /** The first key. */
  readonly from: string;
  /** The first key that is not wanted any more. */
  readonly to: string;
  /** Default: all. */
  readonly max?: number;
}

export interface RecordFileOptions extends LmdbFileOptions {
  /** Told of each damaged record that is come across. */
  readonly onDamagedRecord?: (key: string) => void;
  /** Records that are read at start, in order. */
  readonly load?: KeyRange & {
    /** Called before the first record, and again should the file turn out to be broken and another one begin. */
    readonly begin: () => void;
    /** @param value - The caller's to keep. */
    readonly record: (key: string, value: Uint8Array) => void;
  };
  /** After an unclean stop a file larger than this is walked through and not copied. Default 64 MiB. */
  readonly maxCopiedBytes?: number;
}

const checksumBytes = 4;

export class RecordFile {
  readonly #file: LmdbFile;
  readonly #onDamagedRecord: (key: string) => void;

  /**
   * Opens the file in a folder of its own, which is made if needed (0700, files 0600).
   *
   * @throws {@link StoreError} `EGTP_STORE_MISSING_PART` without the package `lmdb`; `EGTP_STORE_LOCKED` while another
   *   has it open; `EGTP_STORE_EXPOSED`, `EGTP_STORE_UNWRITABLE`, `EGTP_STORE_UNCHECKED`, `EGTP_STORE_DAMAGED`.
   */
  static async open(folder: string, options: RecordFileOptions = {}): Promise<RecordFile> {
    const { load, maxCopiedBytes, onDamagedRecord = () => {} } = options;
    const read = (database: Database): void => {
      if (load === undefined) return;
      load.begin();
      let previous = "";
      for (const { key, value } of database.getRange(rangeOf(load))) {
        if (typeof key !== "string" || key <= previous) throw new BrokenFileError("its keys are out of order");
        previous = key;
        const record = opened(key, Uint8Array.from(value));
        if (record === undefined) onDamagedRecord(key);
        else load.record(key, record);
      }
    };
    const plan = { read, checksum: recordChecksum, ...(maxCopiedBytes === undefined ? {} : { maxCopiedBytes }) };
    return new RecordFile(await LmdbFile.open(folder, options, plan), onDamagedRecord);
  }

  private constructor(file: LmdbFile, onDamagedRecord: (key: string) => void) {
    this.#file = file;
    this.#onDamagedRecord = onDamagedRecord;
  }

  /** What opening found: whether the last run ended well, and whether a file was set aside. */
  get report(): OpenReport {
    return this.#file.report;
  }

  /**
   * The value under a key, in memory of its own; `undefined` when there is none, or when it is damaged.
   *
   * @throws {@link StoreError} `EGTP_STORE_DAMAGED` when the file cannot be read any more; `EGTP_STORE_CLOSED`.
   */
  get(key: string): Uint8Array | undefined {
    const value = this.#file.read((database) => database.getBinary(key));
    if (value === undefined) return undefined;
    return this.#opened(key, value);
  }

  /** The records of a range, in order of their keys. Throws like {@link get}. */
  entries(range: KeyRange): (readonly [key: string, value: Uint8Array])[] {
    const found = this.#file.read((database) =>
      Array.from(database.getRange(rangeOf(range)), ({ key, value }) => [key, Uint8Array.from(value)] as const),
    );
    return found.flatMap(([key, value]) => {
      const record = this.#opened(key, value);
      return record === undefined ? [] : [[key, record] as const];
    });
  }

  /** The keys of a range, in order; their values are not looked at. Throws like {@link get}. */
  keys(range: KeyRange): string[] {
    return this.#file.read((database) => [...database.getKeys(rangeOf(range))]);
  }

  /**
   * Writes a batch, whole or not at all, after those before it. What is read sees it once it is done.
   *
   * @param batch - Neither it nor its values may be changed afterwards.
   * @returns With `sync: "commit"` always `undefined`: it is done, or it throws. With `flush` a promise.
   * @throws {@link StoreError} `EGTP_STORE_CLOSED`, `EGTP_STORE_UNWRITABLE`; the promise rejects with the latter.
   */
  write(batch: readonly StoreEntry[]): Promise<void> | undefined {
    return this.#file.write(batch);
  }

  /** Waits for what was written and gives the folder free. Calling it twice does no harm. */
  close(): Promise<void> {
    return this.#file.close();
  }

  #opened(key: string, value: Uint8Array): Uint8Array | undefined {
    const record = opened(key, value);
    if (record === undefined) this.#onDamagedRecord(key);
    return record;
  }
}

function rangeOf({ from, to, max }: KeyRange) {
  return { start: from, end: to, ...(max === undefined ? {} : { limit: max }) };
}

/** The value without its checksum, if that is right. A view. */
function opened(key: string, checked: Uint8Array): Uint8Array | undefined {
  const length = checked.length - checksumBytes;
  if (length < 0) return undefined;
  const value = new Uint8Array(checked.buffer, checked.byteOffset, length);
  const view = new DataView(checked.buffer, checked.byteOffset + length, checksumBytes);
  return view.getUint32(0) === recordChecksum(key, value) ? value : undefined;
}
