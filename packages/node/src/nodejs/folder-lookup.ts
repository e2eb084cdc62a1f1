/**
 * Contact records in a folder, one file for each peer: a directory for the nodes of one machine or of a shared disk.
 *
 * Files are replaced whole, so a reader sees a record or the one before. Whoever may write into the folder can remove or
 * withhold records, never forge them.
 */
import { randomBytes } from "node:crypto";
import { mkdir, open, rename, unlink } from "node:fs/promises";
import { join } from "node:path";
import { type Millis, maxContactRecordBytes, type PeerId, verifyContactRecord, WireError } from "@egtp/wire";
import { type Lookup, LookupError } from "../lookup.ts";

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

  async publish(record: Uint8Array): Promise<void> {
    const { id, seq } = verifyContactRecord(record, this.#now());
    const known = await this.#read(id).catch((error) => {
      // What is damaged makes room for what is not.
      if (error instanceof LookupError && error.code === "EGTP_LOOKUP_BAD_RECORD") return undefined;
      throw error;
    });
    if (known !== undefined && known.seq >= seq) return;
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
  }

  #placeOf(peer: PeerId): string {
    return join(this.#path, `${peer}.record`);
  }

  async #read(peer: PeerId): Promise<{ readonly bytes: Uint8Array; readonly seq: number } | undefined> {
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
      const { id, seq } = verifyContactRecord(bytes, this.#now());
      if (id === peer) return { bytes, seq };
    } catch (cause) {
      if (cause instanceof WireError && cause.code === "EGTP_WIRE_EXPIRED") return undefined;
      throw new LookupError("EGTP_LOOKUP_BAD_RECORD", place, { cause });
    }
    throw new LookupError("EGTP_LOOKUP_BAD_RECORD", place);
  }
}
