// Installs what a folder outside the workspace needs, on the first run and when something else is wanted. Such a folder is
// heavy, and nothing else needs it. All of it ships prebuilt, so no install script has to run.

import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

/**
 * @param folder - Where package.json and package-lock.json are.
 * @param progress - Told beforehand, if there is something to install.
 */
export function installOnce(folder, progress) {
  if (isInstalled(folder)) return;
  progress();
  const { status, error } = spawnSync(
    "npm",
    ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"],
    {
      cwd: folder,
      stdio: ["ignore", 2, 2],
      shell: process.platform === "win32", // npm is a .cmd file there
    },
  );
  if (error !== undefined || status !== 0)
    throw new Error(`npm ci failed in ${folder}${error ? `: ${error.message}` : ""}`);
}

function isInstalled(folder) {
  const { dependencies } = readJson(folder, "package.json");
  return Object.entries(dependencies).every(
    ([name, version]) => readJson(folder, `node_modules/${name}/package.json`)?.version === version,
  );
}

function readJson(folder, path) {
  const file = join(folder, path);
  return existsSync(file) ? JSON.parse(readFileSync(file, "utf8")) : undefined;
}
