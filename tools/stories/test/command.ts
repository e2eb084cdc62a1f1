/** The commands as they were compiled: what anybody starts who installed the packages. */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export type Program = "@egtp/metatracker" | "@egtp/relay" | "relay on a disk that loses what was not synced";

/** The file of the only command that a package brings, or that of ours. */
export function commandOf(program: Program): string {
  if (program === "relay on a disk that loses what was not synced") {
    return fileURLToPath(new URL("../dist/story-relay.js", import.meta.url));
  }
  const file = createRequire(import.meta.url).resolve(`${program}/package.json`);
  // The command has its name in the published package only.
  const { publishConfig } = JSON.parse(readFileSync(file, "utf8")) as {
    publishConfig: { bin: Record<string, string> };
  };
  return join(dirname(file), Object.values(publishConfig.bin)[0]!);
}
