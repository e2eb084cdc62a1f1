/**
 * Boot pages in a folder, one file for each address, so that a node finds metatrackers when the web is down:
 * `@egtp/metatracker/files`. What is read is verified like what the web gives out.
 *
 * A file is a line of JSON, { url, publisher, etag }, and then the page as it came. Files are replaced whole.
 */
import { createHash } from "node:crypto";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { LookupError } from "@egtp/node";
import { isPeerId, maxBootPageBytes } from "@egtp/wire";
import * as z from "zod/mini";
import type { BootPageCache, CachedBootPage } from "../boot-pages.ts";
import { replaceFile } from "./replace-file.ts";

/** Of the line before the page: an address and an ETag. */
const maxHeadBytes = 8_192;

const head = z.object({
  url: z.string(),
  publisher: z.string().check(z.refine(isPeerId)),
  etag: z.optional(z.string()),
});

/** A cache in a folder, which is made when it does not exist. */
export function bootPageFiles(folder: string): BootPageCache {
  return new BootPageFiles(folder);
}

class BootPageFiles implements BootPageCache {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  async load(url: string): Promise<CachedBootPage | undefined> {
    const bytes = await readUpTo(this.#placeOf(url), maxHeadBytes + maxBootPageBytes).catch(() => undefined);
    const end = bytes?.indexOf(0x0a) ?? -1;
    if (bytes === undefined || end < 0) return undefined;
    const read = z.safeParse(head, jsonIn(bytes.subarray(0, end)));
    if (!read.success || read.data.url !== url || !isPeerId(read.data.publisher)) return undefined;
    const { publisher, etag } = read.data;
    return { publisher, etag, bytes: bytes.subarray(end + 1) };
  }

  /** @throws {@link LookupError} `EGTP_LOOKUP_IO`. */
  async save(url: string, { publisher, bytes, etag }: CachedBootPage): Promise<void> {
    const place = this.#placeOf(url);
    try {
      await replaceFile(place, `${JSON.stringify({ url, publisher, etag })}\n`, bytes);
    } catch (cause) {
      throw new LookupError("EGTP_LOOKUP_IO", place, { cause });
    }
  }

  #placeOf(url: string): string {
    return join(this.#folder, `${createHash("sha256").update(url).digest("hex").slice(0, 32)}.boot`);
  }
}

/** @returns `undefined` for a file that is longer. */
async function readUpTo(path: string, most: number): Promise<Uint8Array | undefined> {
  const file = await open(path, "r");
  try {
    const { size } = await file.stat();
    return size > most ? undefined : new Uint8Array(await file.readFile());
  } finally {
    await file.close();
  }
}

function jsonIn(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return undefined;
  }
}
