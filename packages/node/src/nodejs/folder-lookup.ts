/**
 * Contact records in a folder, one file for each peer: a directory for the nodes of one machine or of a shared disk.
 *
 * Files are replaced whole, so a reader sees a record or the one before. Whoever may write into the folder can remove or
 * withhold records, never forge them.
 */
import { randomBytes } from "node:crypto";
import { mkdir, open, readdir, rename, unlink } from "node:fs/promises";
import { join } from "node:path";
import {
  type ContactRecord,
  equalBytes,
  isPeerId,
  type Millis,
  maxContactRecordBytes,
  type PeerId,
  verifyContactRecord,
  WireError,
} from "@egtp/wire";
import { type DiscoverOptions, type Lookup, LookupError } from "../lookup.ts";

const recordEnding = ".record";

export interface FolderLookupOptions {
  readonly now?: () => Millis;
}

/**
 * A lookup in a folder, which is made when it does not exist.
 *
 * A record that is out of date counts as none; any other file that is not a valid record of its peer is an error.
 */
export function folderLookup(path: string, options: FolderLookupOptions = {}): Lookup {
  return new FolderLookup(path, options.now ?? Date.now);
}

class FolderLookup implements Lookup {
  readonly kind = "folder";
  readonly #path: string;
  readonly #now: () => Millis;

  constructor(path: string, now: () => Millis) {
    this.#path = path;
    this.#now = now;
  }

  async lookUp(peer: PeerId): Promise<Uint8Array | undefined> {
    return (await this.#read(peer))?.bytes;
  }

  /** Reads every record of the folder; what is damaged or out of date is passed over. */
  async discover(service: string, { max, signal }: DiscoverOptions): Promise<readonly Uint8Array[]> {
    let names: string[];
    try {
      names = await readdir(this.#path);
    } catch (cause) {
      if ((cause as { code?: unknown }).code === "ENOENT") return [];
      throw new LookupError("EGTP_LOOKUP_IO", this.#path, { cause });
    }
    const found: Uint8Array[] = [];
    for (const name of names) {
      if (found.length >= max) break;
      signal.throwIfAborted();
      const peer = name.endsWith(recordEnding) ? name.slice(0, -recordEnding.length) : "";
      if (!isPeerId(peer)) continue;
      const known = await this.#read(peer).catch((error: unknown) => {
        if (error instanceof LookupError && error.code === "EGTP_LOOKUP_BAD_RECORD") return undefined;
        throw error;
      });
      if (known?.record.services.includes(service) === true) found.push(known.bytes);
    }
    return found;
  }

  async publish(record: Uint8Array): Promise<Uint8Array | undefined> {
    const { id, seq } = verifyContactRecord(record, this.#now());
    const known = await this.#read(id).catch((error) => {
      // What is damaged makes room for what is not.
      if (error instanceof LookupError && error.code === "EGTP_LOOKUP_BAD_RECORD") return undefined;
      throw error;
    });
    if (known !== undefined && known.record.seq >= seq) {
      return equalBytes(known.bytes, record) ? undefined : known.bytes;
    }
    const place = this.#placeOf(id);
    const draft = `${place}.${randomBytes(6).toString("hex")}.new`;
    try {
      await mkdir(this.#path, { recursive: true });
      try {
        const file = await open(draft, "wx", 0o644);
        try {
          await file.writeFile(record);
          await file.sync();
        } finally {
          await file.close();
        }
        await rename(draft, place);
      } catch (error) {
        await unlink(draft).catch(() => {});
        throw error;
      }
    } catch (cause) {
      throw new LookupError("EGTP_LOOKUP_IO", place, { cause });
    }
    return undefined;
  }

  #placeOf(peer: PeerId): string {
    return join(this.#path, `${peer}${recordEnding}`);
  }

  async #read(peer: PeerId): Promise<{ readonly bytes: Uint8Array; readonly record: ContactRecord } | undefined> {
    const place = this.#placeOf(peer);
    let bytes: Uint8Array;
    try {
      const file = await open(place, "r");
      try {
        const buffer = new Uint8Array(maxContactRecordBytes + 1);
        const { bytesRead } = await file.read(buffer, 0, buffer.length, 0);
        bytes = buffer.subarray(0, bytesRead);
      } finally {
        await file.close();
      }
    } catch (cause) {
      if ((cause as { code?: unknown }).code === "ENOENT") return undefined;
      throw new LookupError("EGTP_LOOKUP_IO", place, { cause });
    }
    try {
      const record = verifyContactRecord(bytes, this.#now());
      if (record.id === peer) return { bytes, record };
    } catch (cause) {
      if (cause instanceof WireError && cause.code === "EGTP_WIRE_EXPIRED") return undefined;
      throw new LookupError("EGTP_LOOKUP_BAD_RECORD", place, { cause });
    }
    throw new LookupError("EGTP_LOOKUP_BAD_RECORD", place);
  }
}
