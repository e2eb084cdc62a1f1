/**
 * A directory in an LMDB file, in a folder of its own: `@egtp/metatracker/lmdb`. All of it is in memory, too, so nothing is
 * read from the file but at start.
 *
 *     r:<peer>   what is kept of it, as kept-record.ts writes it
 *
 * What is kept survives the end of the process by any means. When the machine itself goes down, the file counts as lost and
 * peers publish again. A record that was damaged is left out, and its peer publishes it again.
 */
import { type OpenReport, RecordFile, type SetAside, type StoreEntry } from "@egtp/session-store/record-file";
import { checkedLimits, equalBytes, type Millis, type PeerId } from "@egtp/wire";
import type { DirectorySize, DirectoryStore, KeptRecord } from "../directory-store.ts";
import { decodeKeptRecord, encodeKeptRecord } from "../kept-record.ts";
import { type DirectoryLimits, defaultDirectoryLimits } from "../limits.ts";
import { type RandomBelow, RecordTable, randomBelow } from "../record-table.ts";

export { StoreError } from "@egtp/session-store/record-file";

export interface LmdbDirectoryOptions {
  readonly limits?: Partial<DirectoryLimits>;
  /** Told of a file that was set aside while opening, with all records in it. */
  readonly onDamage?: (damage: SetAside) => void;
  /** Chooses whom `offering` names; a test gives one that can be repeated. */
  readonly random?: RandomBelow;
}

const keyPrefix = "r:";
/** The first key behind all of ours. */
const keysEnd = "r;";

export class LmdbDirectoryStore implements DirectoryStore {
  readonly kind = "lmdb";
  /** Records that could not be read when it was opened. Their peers publish them again. */
  readonly damagedRecords: number;
  readonly #file: RecordFile;
  readonly #table: RecordTable;
  /** Peers whose record in the table could not be written. Bounded by the table. */
  readonly #unwritten = new Set<PeerId>();
  /** Keys that leave the file with the next write. Bounded by the file. */
  readonly #leaving: Set<string>;

  /**
   * Opens the directory, in a folder which is made if needed (0700, files 0600).
   *
   * @throws {@link StoreError} `EGTP_STORE_MISSING_PART` without the package `lmdb`; `EGTP_STORE_LOCKED` while another
   *   has it open; `EGTP_STORE_EXPOSED`, `EGTP_STORE_UNWRITABLE`, `EGTP_STORE_UNCHECKED`, `EGTP_STORE_DAMAGED`.
   */
  static async open(folder: string, options: LmdbDirectoryOptions = {}): Promise<LmdbDirectoryStore> {
    const { onDamage, random = randomBelow } = options;
    const table = new RecordTable(checkedLimits(defaultDirectoryLimits, options.limits), random);
    let records: KeptRecord[] = [];
    let leaving = new Set<string>();
    const file = await RecordFile.open(folder, {
      ...(onDamage !== undefined && { onDamage }),
      onDamagedRecord: (key) => leaving.add(key),
      load: {
        from: keyPrefix,
        to: keysEnd,
        begin: () => {
          records = [];
          leaving = new Set();
        },
        record: (key, value) => {
          // Trusted, as its checksum is right: to check that it is a key takes long for a hundred thousand of them.
          const record = decodeKeptRecord(key.slice(keyPrefix.length) as PeerId, value);
          if (record === undefined) leaving.add(key);
          else records.push(record);
        },
      },
    });
    const damaged = leaving.size;
    // About the order in which they were put.
    records.sort((a, b) => a.validUntil - b.validUntil);
    for (const record of records) for (const { peer } of table.put(record).displaced) leaving.add(keyPrefix + peer);
    return new LmdbDirectoryStore(file, table, leaving, damaged);
  }

  private constructor(file: RecordFile, table: RecordTable, leaving: Set<string>, damaged: number) {
    this.damagedRecords = damaged;
    this.#file = file;
    this.#table = table;
    this.#leaving = leaving;
  }

  /** What opening found: whether the last run ended well, and whether a file was set aside. */
  get report(): OpenReport {
    return this.#file.report;
  }

  get size(): DirectorySize {
    return this.#table.size;
  }

  get(peer: PeerId): KeptRecord | undefined {
    return this.#table.get(peer);
  }

  put(record: KeptRecord): KeptRecord | undefined {
    const { peer } = record;
    const { kept, isNew, displaced } = this.#table.put(record);
    for (const other of displaced) this.#leave(other.peer);
    if (isNew) this.#unwritten.add(peer);
    if (this.#unwritten.has(peer)) {
      this.#write([[keyPrefix + peer, encodeKeptRecord(kept)]]);
      this.#unwritten.delete(peer);
    }
    return equalBytes(kept.bytes, record.bytes) ? undefined : kept;
  }

  offering(service: string, max: number, now: Millis): KeptRecord[] {
    return this.#table.offering(service, max, now);
  }

  expire(now: Millis): number {
    const forgotten = this.#table.expire(now);
    for (const record of forgotten) this.#leave(record.peer);
    if (this.#leaving.size > 0) this.#write([]);
    return forgotten.length;
  }

  close(): Promise<void> {
    return this.#file.close();
  }

  #leave(peer: PeerId): void {
    this.#unwritten.delete(peer);
    this.#leaving.add(keyPrefix + peer);
  }

  /** @throws {@link StoreError}; what was to leave leaves with the next write. */
  #write(batch: readonly StoreEntry[]): void {
    const kept = new Set(batch.map(([key]) => key));
    const removals = [...this.#leaving].filter((key) => !kept.has(key)).map((key): StoreEntry => [key, undefined]);
    // Synchronous, as the file does not wait for the disk.
    void this.#file.write([...removals, ...batch]);
    this.#leaving.clear();
  }
}
