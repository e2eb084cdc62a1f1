/** What a browser loads imports nothing of Node.js, however deep. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { importsOf, unsafeImports } from "@egtp/test-kit/browser-safe";
import { expect, test } from "vitest";

const source = fileURLToPath(new URL("../src/", import.meta.url));

test.each([
  "index.ts",
  "websocket.ts",
  "streams.ts",
  "metrics.ts",
  "memory.ts",
  "delivery.ts",
  "endpoint.ts",
  "browser-identity.ts",
])("%s", (entry) => {
  const imports = importsOf(join(source, entry));
  expect(imports.length).toBeGreaterThan(2);
  expect(unsafeImports(imports, ["idb"])).toEqual([]);
});

test("a bundler for browsers takes the websocket that only dials, Node.js the one that listens too", () => {
  const { exports } = JSON.parse(readFileSync(join(source, "../package.json"), "utf8")) as {
    exports: Record<string, Record<string, string>>;
  };
  expect(exports["./websocket"]).toMatchObject({
    default: "./dist/websocket.js",
    node: "./dist/nodejs/websocket.js",
    types: "./dist/websocket.d.ts",
  });
});
