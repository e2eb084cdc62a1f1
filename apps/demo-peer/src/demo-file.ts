/** The file that travels in the demo: made from a seed, cut into pieces, put together again, compared by SHA-256. */
import { createCipheriv, createHash } from "node:crypto";
import {
  closeSync,
  constants,
  createReadStream,
  fstatSync,
  openSync,
  readSync,
  writeFileSync,
  writeSync,
} from "node:fs";

/** Bytes of a piece. Each travels as one message, which the node cuts once more for the wire. */
export const partBytes = 256 * 1024;

export function partCount(fileBytes: number): number {
  return Math.ceil(fileBytes / partBytes);
}

/** Writes bytes that no compression shortens and every run with this seed repeats. */
export function makeFile(path: string, fileBytes: number, seed: number): void {
  const key = createHash("sha256").update(`egtp demo file ${seed}`).digest();
  const cipher = createCipheriv("aes-256-ctr", key, new Uint8Array(16));
  writeFileSync(path, cipher.update(new Uint8Array(fileBytes)), { mode: 0o600 });
}

/** @returns SHA-256 in hexadecimal. */
export async function hashFile(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path)) hash.update(chunk as Uint8Array);
  return hash.digest("hex");
}

/** A file that is read or written piece by piece, in any order. */
export class FileInParts {
  readonly path: string;
  readonly #file: number;

  /** @param purpose - To write: the file is made when it is not there, and kept when it is. */
  constructor(path: string, purpose: "read" | "write") {
    this.path = path;
    // Not "a+", which would write everything at the end.
    this.#file = purpose === "read" ? openSync(path, "r") : openSync(path, constants.O_RDWR | constants.O_CREAT, 0o600);
  }

  get bytes(): number {
    return fstatSync(this.#file).size;
  }

  read(index: number): Uint8Array {
    const bytes = new Uint8Array(partBytes);
    return bytes.subarray(0, readSync(this.#file, bytes, 0, partBytes, index * partBytes));
  }

  write(index: number, bytes: Uint8Array): void {
    writeSync(this.#file, bytes, 0, bytes.length, index * partBytes);
  }

  close(): void {
    closeSync(this.#file);
  }
}
