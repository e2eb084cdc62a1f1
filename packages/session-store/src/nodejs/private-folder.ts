/** A folder that only its owner can enter, and small files in it: what keys on disk need before anything is written. */

import { chmod, mkdir, open, readdir, readFile, rename, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { StoreError } from "../errors.ts";

const folderMode = 0o700;
export const fileMode = 0o600;

/**
 * Makes the folder, or takes one that exists.
 *
 * @param isOurs - Whether a folder with these names in it may be closed to others: it is empty or a store already.
 * @throws {@link StoreError} `EGTP_STORE_EXPOSED` when others may enter a folder that holds something else;
 *   `EGTP_STORE_UNWRITABLE`.
 */
export async function ensurePrivateFolder(path: string, isOurs: (names: readonly string[]) => boolean): Promise<void> {
  try {
    await mkdir(dirname(path), { recursive: true, mode: folderMode });
    await mkdir(path, { mode: folderMode }).catch((error) => {
      if (systemCode(error) !== "EEXIST") throw error;
    });
    const names = await readdir(path);
    const { mode } = await stat(path);
    if (process.platform === "win32" || (mode & 0o077) === 0) return;
    if (names.length > 0 && !isOurs(names)) {
      throw new StoreError("EGTP_STORE_EXPOSED", `Others may enter ${path}, where keys would be kept.`, {
        hint: `Name a folder of its own for the store, or close this one: chmod 700 ${path}`,
      });
    }
    await chmod(path, folderMode);
  } catch (error) {
    throw unwritable(path, error);
  }
}

/** Replaces a file whole: after a crash it has either its old content or the new one, on disk. */
export async function replaceFile(path: string, content: string): Promise<void> {
  const draft = `${path}.new`;
  const file = await open(draft, "w", fileMode);
  try {
    await file.writeFile(content);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(draft, path);
  await syncFolder(dirname(path));
}

/** Sees to it that names in a folder are on disk: a new name of a file is not on disk because the file is. */
async function syncFolder(path: string): Promise<void> {
  if (process.platform === "win32") return; // no folder can be opened there
  const folder = await open(path, "r");
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/** The content, or `undefined` when there is no such file. */
export async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (systemCode(error) === "ENOENT") return undefined;
    throw error;
  }
}

/** The system's name of an error, such as `EACCES`. */
export function systemCode(error: unknown): unknown {
  return (error as { code?: unknown } | undefined)?.code;
}

/** An error of the system in the words of this package; one that is ours already stays as it is. */
export function unwritable(path: string, error: unknown): StoreError {
  if (error instanceof StoreError) return error;
  const said = error instanceof Error ? error.message : String(error);
  const hints: Record<string, string> = {
    EACCES: "Run as the owner of the folder, or give it to the user you run as.",
    EPERM: "Run as the owner of the folder, or give it to the user you run as.",
    EROFS: "The disk is mounted read-only: name a folder on another one.",
    ENOSPC: "The disk is full: make room and start again.",
    EDQUOT: "Your share of the disk is used up: make room and start again.",
    EFBIG: "Files of this user may not grow further: raise the limit (ulimit -f) and start again.",
    EEXIST: "Something that is not a folder has this name: choose another.",
    ENOTDIR: "Part of this path is not a folder: choose another.",
  };
  const hint = hints[String(systemCode(error))] ?? "Name a folder on a local disk that you may write to.";
  return new StoreError("EGTP_STORE_UNWRITABLE", `The store cannot be kept in ${path}: ${said}`, {
    cause: error,
    hint,
  });
}
