// Installs the alternatives on the first run. They are no part of the workspace: they are heavy, and nothing else needs
// them. All of them ship prebuilt, so no install script has to run.

import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

const folder = fileURLToPath(new URL("..", import.meta.url));

export function installOnce(progress) {
  if (existsSync(new URL("../node_modules/.package-lock.json", import.meta.url))) return;
  progress("installing the alternatives into bench/node_modules (about 90 MB, once)");
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
