/** Boot pages on disk: what was kept is found again, and whatever else lies there does no harm. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createIdentity } from "@egtp/node";
import { maxBootPageBytes } from "@egtp/wire";
import { afterEach, beforeEach, expect, test } from "vitest";
import { bootPageFiles } from "../src/nodejs/boot-page-files.ts";

const url = "https://example.org/boot.json";
const publisher = createIdentity().peer;
const page = { publisher, bytes: Uint8Array.from({ length: 300 }, (_, i) => i), etag: '"a\n"' };

let folder: string;
beforeEach(() => {
  folder = join(mkdtempSync(join(tmpdir(), "egtp-boot-")), "made");
});
afterEach(() => rmSync(join(folder, ".."), { recursive: true }));

test("what was kept is found again, the newest under each address", async () => {
  await bootPageFiles(folder).save(url, { ...page, bytes: new Uint8Array(3), etag: undefined });
  await bootPageFiles(folder).save(url, page);
  await bootPageFiles(folder).save(`${url}?2`, { ...page, etag: undefined });
  const files = bootPageFiles(folder);
  expect(await files.load(url)).toEqual(page);
  expect(await files.load(`${url}?2`)).toEqual({ ...page, etag: undefined });
  expect(await files.load(`${url}?3`)).toBeUndefined();
  expect(readdirSync(folder)).toHaveLength(2);
});

test("whatever else lies there counts as nothing", async () => {
  const files = bootPageFiles(folder);
  expect(await files.load(url)).toBeUndefined();
  await files.save(url, page);
  const place = join(folder, readdirSync(folder)[0]!);
  const good = readFileSync(place);
  const bad = [
    "",
    "no line end",
    "{}\n",
    "[\n",
    `${JSON.stringify({ url: `${url}x`, publisher })}\n`,
    `${JSON.stringify({ url, publisher: "bob" })}\n`,
    Buffer.concat([good, Buffer.alloc(maxBootPageBytes + 9_000)]),
  ];
  for (const content of bad) {
    writeFileSync(place, content);
    expect(await files.load(url)).toBeUndefined();
  }
  await files.save(url, page);
  expect(await files.load(url)).toEqual(page);
});

test("a folder that cannot be used is told", async () => {
  writeFileSync(folder, "");
  await expect(bootPageFiles(folder).save(url, page)).rejects.toMatchObject({ code: "EGTP_LOOKUP_IO" });
  expect(await bootPageFiles(folder).load(url)).toBeUndefined();
});
