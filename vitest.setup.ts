/**
 * Compiles what end-to-end tests start as programs, once and before all of them: two that compile at the same time would
 * write over what the processes of the other are reading. It takes half a second when nothing has changed.
 */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";

export default function setup(): void {
  const root = fileURLToPath(new URL(".", import.meta.url));
  const tsc = fileURLToPath(new URL("node_modules/typescript/bin/tsc", import.meta.url));
  const { status } = spawnSync(process.execPath, [tsc, "-b"], { cwd: root, stdio: "inherit" });
  // Type errors do not keep it from writing the programs, nor other tests from running.
  if (status !== 0) console.error("tsc -b found errors; tests run all the same");
}
