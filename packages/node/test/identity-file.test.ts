import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { IdentityFileError, loadIdentity } from "../src/nodejs/files.ts";
import { errorOf } from "./world.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "egtp-identity-"));
});
afterEach(() => rm(folder, { recursive: true }));

test("an identity is made once, for its owner alone, and is the same ever after", async () => {
  const path = join(folder, "alice.key");
  const made = await loadIdentity(path);
  expect(made.isNew).toBe(true);
  expect((await stat(path)).mode & 0o777).toBe(0o600);
  const again = await loadIdentity(path);
  expect(again.isNew).toBe(false);
  expect(again.peer).toBe(made.peer);
  expect(again.exportSeed()).toEqual(made.exportSeed());
  expect(await readdir(folder)).toEqual(["alice.key"]);
});

test("several that make it at once get one identity", async () => {
  const path = join(folder, "alice.key");
  const all = await Promise.all(Array.from({ length: 8 }, () => loadIdentity(path)));
  expect(new Set(all.map(({ peer }) => peer)).size).toBe(1);
  expect(all.filter(({ isNew }) => isNew)).toHaveLength(1);
  expect(await readdir(folder)).toEqual(["alice.key"]);
});

test("a file that holds no identity is refused, whatever it holds", async () => {
  const path = join(folder, "alice.key");
  await loadIdentity(path);
  const good = await readFile(path, "utf8");
  const [first, seed, peer] = good.split("\n") as [string, string, string];
  const other = (await loadIdentity(join(folder, "other.key"))).peer;
  const wrong = [
    "",
    "hello\n",
    good.slice(0, -1),
    `${good}\n`,
    good.toUpperCase(),
    `${first}\n${seed.slice(2)}\n${peer}\n`,
    `${first}\n${seed}\n${other}\n`,
    "x".repeat(100_000),
  ];
  for (const content of wrong) {
    await writeFile(path, content, { mode: 0o600 });
    const error = await errorOf(loadIdentity(path));
    expect(error).toBeInstanceOf(IdentityFileError);
    expect(error).toMatchObject({ code: "EGTP_IDENTITY_FILE_BAD", path });
    expect((error as IdentityFileError).hint).toBeDefined();
    expect((error as Error).message).not.toContain(seed);
  }
});

test("a file that others may read is refused", async () => {
  const path = join(folder, "alice.key");
  await loadIdentity(path);
  for (const mode of [0o644, 0o640, 0o602]) {
    await chmod(path, mode);
    expect(await errorOf(loadIdentity(path))).toMatchObject({ code: "EGTP_IDENTITY_FILE_EXPOSED" });
  }
});

test("a place that cannot be used is told", async () => {
  expect(await errorOf(loadIdentity(join(folder, "no", "alice.key")))).toMatchObject({ code: "EGTP_IDENTITY_FILE_IO" });
  expect(await errorOf(loadIdentity(folder))).toMatchObject({ code: "EGTP_IDENTITY_FILE_BAD" });
});
