/** Each example runs to its end, and prints what it says at its end that it prints. */
import { execFile } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describeSessionStore } from "@egtp/session-store/conformance";
import { describe, expect, it, test } from "vitest";
import { FileStore } from "../plugin/file-store.ts";

const folder = fileURLToPath(new URL("..", import.meta.url));
const examples = readdirSync(folder).filter((name) => name.endsWith(".ts"));

test("there are some", () => {
  expect(examples.length).toBeGreaterThanOrEqual(4);
});

test.concurrent.for(examples)("%s", { timeout: 60_000 }, async (name, { expect: expected }) => {
  const said = /\/\* prints\n([\s\S]*)\*\/\n$/.exec(readFileSync(join(folder, name), "utf8"))?.[1];
  const args = ["--conditions=@egtp/source", "--import", "tsx", join(folder, name)];
  const { stdout, stderr } = await promisify(execFile)(process.execPath, args, { cwd: folder });
  expected(stderr).toBe("");
  expected(stdout).toBe(said);
});

describeSessionStore(
  "in a file, of an example",
  () => {
    const place = mkdtempSync(join(tmpdir(), "file-store-"));
    return {
      open: () => new FileStore(join(place, "sessions")),
      dispose: () => rmSync(place, { recursive: true }),
    };
  },
  { describe, it },
);
