// Installs the alternatives on the first run, and when others are wanted. They are no part of the workspace: they are
// heavy, and nothing else needs them. All of them ship prebuilt, so no install script has to run.

import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const folder = fileURLToPath(new URL("..", import.meta.url));

export function installOnce(progress) {
  if (isInstalled()) return;
  progress("installing the alternatives into bench/node_modules (about 95 MB, once)");
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
    throw new Error(`npm ci failed in bench/${error ? `: ${error.message}` : ""}`);
}

function isInstalled() {
  const { dependencies } = readJson("../package.json");
  return Object.entries(dependencies).every(
    ([name, version]) => readJson(`../node_modules/${name}/package.json`)?.version === version,
  );
}

function readJson(path) {
  const file = new URL(path, import.meta.url);
  return existsSync(file) ? JSON.parse(readFileSync(file, "utf8")) : undefined;
}
