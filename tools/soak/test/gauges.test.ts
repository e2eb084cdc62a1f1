/** What the soak looks for it must be able to see. */
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { open } from "lmdb";
import { expect, test } from "vitest";
import { growth, readCounts, readersOf, readGauges } from "../src/gauges.ts";

test("a timer, a server and a listener that are left over are seen, and are gone when they are gone", async () => {
  const before = readCounts();
  expect(growth(before, readCounts())).toEqual([]);
  const timer = setInterval(() => {}, 1_000);
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const onExit = (): void => {};
  process.on("exit", onExit);
  const seen = growth(before, readCounts()).join("\n");
  expect(seen).toContain("Timeout: ");
  expect(seen).toContain("TCPServerWrap: ");
  expect(seen).toContain("listeners on the process: ");
  expect(seen.includes("open files and sockets: ")).toBe(process.platform === "linux");
  clearInterval(timer);
  process.off("exit", onExit);
  server.close();
  await once(server, "close");
  // Handles go after whoever waits for them was told.
  for (let turns = 0; turns < 100 && growth(before, readCounts()).length > 0; turns++) await new Promise(setImmediate);
  expect(growth(before, readCounts())).toEqual([]);
});

test("memory that is kept is seen, and memory that is not kept is not", () => {
  const before = readGauges().heapBytes;
  let kept: object[] | undefined = Array.from({ length: 200_000 }, (_, n) => ({ n }));
  expect(readGauges().heapBytes - before).toBeGreaterThan(4 * 1024 * 1024);
  expect(kept).toHaveLength(200_000);
  kept = undefined;
  expect(readGauges().heapBytes - before).toBeLessThan(2 * 1024 * 1024);
});

test("a reader of an LMDB file is seen", async () => {
  const folder = await mkdtemp(join(tmpdir(), "egtp-gauges-"));
  const path = join(folder, "data.mdb");
  const database = open<string, string>({ path, noSubdir: true, maxReaders: 8, encoding: "binary" });
  const none = readersOf([path]);
  const reading = database.useReadTransaction();
  database.get("key", { transaction: reading });
  expect(readersOf([path])).toBe(none + 1);
  reading.done();
  await database.close();
  await rm(folder, { recursive: true });
});
