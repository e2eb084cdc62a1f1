/**
 * Room in the LMDB file, taken before LMDB needs it. When a page cannot be written because the disk is full, the lmdb
 * package (3.5.6) writes its error text past the end of the memory it has for it, and the process may crash or worse.
 * So the file is lengthened with zeros ahead of every write, by us: a full disk is then an ordinary error.
 */

import { closeSync, fdatasyncSync, fstatSync, ftruncateSync, openSync, writeSync } from "node:fs";
import type { StoreEntry } from "../session-store.ts";

/** What LMDB tells of its file, as far as it is needed here. */
export interface FileStats {
  readonly pageSize: number;
  readonly treeDepth: number;
  readonly treeBranchPageCount: number;
  readonly treeLeafPageCount: number;
  readonly lastPageNumber: number;
}

/** The file grows by so much at a time, so that it does so seldom, and has about that much to spare. */
const stepBytes = 1024 * 1024;
/** Pages for the head of LMDB's own list of free pages, and for what the estimate below does not see. */
const sparePages = 16;
/** Bytes that LMDB keeps beside each value: its key, a header, a slot. */
const overheadBytes = 104;

export class DiskRoom {
  readonly #file: number;
  readonly #stats: () => FileStats;
  #size: number;
  /** The file's length as far as LMDB may have used it, seen pessimistically. */
  #usedBytes = 0;
  #known: FileStats | undefined;

  /** @param stats - Asked seldom: when the pessimistic view says that the room is used up. */
  constructor(path: string, stats: () => FileStats) {
    this.#file = openSync(path, "r+");
    this.#size = fstatSync(this.#file).size;
    this.#stats = stats;
  }

  /**
   * Makes sure that writing the batch needs no new space on the disk.
   *
   * @throws The system's error, such as `ENOSPC`; LMDB's content is as it was.
   */
  reserve(batch: readonly StoreEntry[]): void {
    const wanted = this.want(batch);
    if (wanted > this.#size) this.has(lengthen(this.#file, this.#size, wanted));
  }

  /**
   * How long the file must be before the batch is written.
   *
   * @returns Its length as it is, when that will do. Else whoever writes lengthens it and tells with {@link has}.
   */
  want(batch: readonly StoreEntry[]): number {
    this.#known ??= this.#refreshed();
    let need = this.#needOf(batch, this.#known);
    if (this.#usedBytes + need > this.#size) {
      this.#known = this.#refreshed();
      need = this.#needOf(batch, this.#known);
    }
    this.#usedBytes += need;
    return this.#usedBytes > this.#size ? this.#usedBytes + stepBytes : this.#size;
  }

  /** The file is so long now. */
  has(size: number): void {
    this.#size = size;
  }

  /** Its length as far as is known. */
  get size(): number {
    return this.#size;
  }

  /** Waits until the whole file is on the disk. */
  flush(): void {
    fdatasyncSync(this.#file);
  }

  close(): void {
    closeSync(this.#file);
  }

  #refreshed(): FileStats {
    const stats = this.#stats();
    this.#usedBytes = (stats.lastPageNumber + 1) * stats.pageSize;
    return stats;
  }

  /** LMDB copies each page it changes with the pages above it, fills pages at least by half, and long values apart. */
  #needOf(batch: readonly StoreEntry[], stats: FileStats): number {
    const { pageSize } = stats;
    const treePages = stats.treeBranchPageCount + stats.treeLeafPageCount;
    let bytes = 0;
    for (const [, value] of batch) bytes += overheadBytes + (value === undefined ? 0 : value.length);
    const changedPages = Math.min(batch.length * (stats.treeDepth + 2), treePages + 2);
    const freeListPages = Math.ceil((8 * changedPages) / pageSize);
    return (sparePages + changedPages + freeListPages + Math.ceil((4 * bytes) / pageSize)) * pageSize;
  }
}

/**
 * Lengthens a file with zeros, or leaves it as it was.
 *
 * @returns Its new length, at least what was asked for.
 */
function lengthen(file: number, before: number, wanted: number): number {
  const zeros = new Uint8Array(stepBytes);
  let size = before;
  try {
    while (size < wanted) size += writeSync(file, zeros, 0, stepBytes - (size % stepBytes), size);
  } catch (error) {
    ftruncateSync(file, before); // leave the last of the disk to others
    throw error;
  }
  return size;
}
