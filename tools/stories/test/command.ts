/** The commands as they were compiled: what anybody starts who installed the packages. */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";

export type Program = "@egtp/metatracker" | "@egtp/relay";

/** The file of the only command that a package brings. */
export function commandOf(program: Program): string {
  const file = createRequire(import.meta.url).resolve(`${program}/package.json`);
  const { bin } = JSON.parse(readFileSync(file, "utf8")) as { readonly bin: Record<string, string> };
  return join(dirname(file), Object.values(bin)[0]!);
}
