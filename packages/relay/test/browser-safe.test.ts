/** What a browser loads imports nothing of Node.js, however deep. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { importsOf, unsafeImports } from "@egtp/test-kit/browser-safe";
import { expect, test } from "vitest";

const source = fileURLToPath(new URL("../src/", import.meta.url));

test.each(["index.ts", "server.ts"])("%s", (entry) => {
  const imports = importsOf(join(source, entry));
  expect(imports.length).toBeGreaterThan(3);
  expect(unsafeImports(imports, ["zod/mini"])).toEqual([]);
});
