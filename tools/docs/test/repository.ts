/** The files of the repository, without what is installed, built or hidden. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("../../..", import.meta.url));

const skipped = /^(?:node_modules|dist|reports|\.(?!changeset$).*)$/;
const files = filesBelow("");

/** Paths from the root, with slashes, in a fixed order. */
export function findFiles(pattern: RegExp): string[] {
  return files.filter((path) => pattern.test(path));
}

export function read(path: string): string {
  return readFileSync(join(root, path), "utf8");
}

export function readAll(pattern: RegExp): string {
  return findFiles(pattern).map(read).join("\n");
}

function filesBelow(folder: string): string[] {
  return readdirSync(join(root, folder), { withFileTypes: true })
    .toSorted((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap((entry) => {
      const path = folder === "" ? entry.name : `${folder}/${entry.name}`;
      if (entry.isDirectory()) return skipped.test(entry.name) ? [] : filesBelow(path);
      return entry.isFile() ? [path] : [];
    });
}
