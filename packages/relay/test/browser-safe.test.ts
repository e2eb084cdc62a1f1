/** What a browser loads imports nothing of Node.js, however deep. */
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const source = fileURLToPath(new URL("../src/", import.meta.url));

function importsOf(file: string, seen = new Set<string>()): Set<string> {
  if (seen.has(file)) return seen;
  seen.add(file);
  for (const [, name] of readFileSync(file, "utf8").matchAll(/from "([^"]+)"/g)) {
    if (name!.startsWith(".")) importsOf(join(dirname(file), name!), seen);
    else seen.add(name!);
  }
  return seen;
}

test.each(["index.ts", "server.ts"])("%s", (entry) => {
  const imports = [...importsOf(join(source, entry))];
  expect(imports.length).toBeGreaterThan(3);
  expect(imports.filter((name) => name.startsWith("node:") || name.includes("/nodejs/"))).toEqual([]);
  const others = imports.filter((name) => !name.startsWith("/") && !name.startsWith("@egtp/"));
  expect(others.filter((name) => name !== "zod/mini")).toEqual([]);
});
