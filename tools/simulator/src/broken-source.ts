/**
 * Real source of a package with a few lines changed, built beside it, loaded, and taken away again. When the lines are not found
 * any more, loading fails.
 */

import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath, pathToFileURL } from "node:url";

export interface Edit {
  /** In the package's `src`. */
  readonly file: string;
  /** Stands there once. */
  readonly find: string;
  readonly replace: string;
}

/**
 * @param name - Of the folder in `packages`.
 * @param entries - Files in `src` to import.
 * @returns Their modules, in this order.
 */
export async function loadBroken(
  name: string,
  edits: readonly Edit[],
  entries: readonly string[],
): Promise<readonly unknown[]> {
  const packageFolder = fileURLToPath(new URL(`../../../packages/${name}/`, import.meta.url));
  const folder = mkdtempSync(`${packageFolder}.variant-`);
  try {
    cpSync(`${packageFolder}src`, `${folder}/src`, { recursive: true });
    cpSync(`${packageFolder}package.json`, `${folder}/package.json`);
    for (const { file, find, replace } of edits) {
      const path = `${folder}/src/${file}`;
      const source = readFileSync(path, "utf8");
      if (source.split(find).length !== 2)
        throw new Error(`${file} of ${name} does not hold this once any more: ${find}`);
      writeFileSync(
        path,
        source.replace(find, () => replace),
      );
    }
    const modules: unknown[] = [];
    for (const entry of entries) modules.push(await import(pathToFileURL(`${folder}/src/${entry}`).href));
    return modules;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
