/** The directory on disk: conformance, across kill -9 too, and what happens when the file or the folder is bad. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { createIdentity } from "@egtp/node";
import { afterEach, describe, expect, it } from "vitest";
import { describeDirectoryStore } from "../src/conformance.ts";
import type { KeptRecord } from "../src/directory-store.ts";
import { LmdbDirectoryStore } from "../src/nodejs/lmdb.ts";

const mustRun = process.env.EGTP_NO_SKIP === "1";
const hasLmdb = await import("lmdb").then(
  () => true,
  () => false,
);

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

function newPlace(): string {
  const parent = mkdtempSync(join(tmpdir(), "egtp-directory-"));
  cleanups.push(() => rmSync(parent, { recursive: true, force: true }));
  return join(parent, "directory");
}

/** Puts records in a process of its own, which is killed after the last. */
async function putAndCrash(folder: string, records: readonly KeptRecord[]): Promise<void> {
  const main = fileURLToPath(new URL("put-child.ts", import.meta.url));
  const root = fileURLToPath(new URL("../../..", import.meta.url));
  const args = ["--conditions=@egtp/source", "--import", "tsx", main, folder];
  const child = spawn(process.execPath, args, { cwd: root, stdio: ["pipe", "pipe", "inherit"] });
  const exited = once(child, "exit");
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  expect((await lines.next()).value).toBe("open");
  for (const record of records) {
    child.stdin.write(`${JSON.stringify({ ...record, bytes: Buffer.from(record.bytes).toString("hex") })}\n`);
    expect((await lines.next()).value).toBe("kept");
  }
  child.kill("SIGKILL");
  await exited;
}

const now = 1_800_000_000_000;

function recordOf(seq: number): KeptRecord {
  const validUntil = now + 60_000;
  const bytes = new Uint8Array(300).fill(seq);
  return { peer: createIdentity().peer, seq, bytes, services: ["relay"], validUntil, keepUntil: validUntil };
}

describe.skipIf(!hasLmdb && !mustRun)("the LMDB store", () => {
  describeDirectoryStore(
    "LMDB",
    () => {
      const folder = newPlace();
      return {
        open: (limits) => LmdbDirectoryStore.open(folder, { limits }),
        putAndCrash: (records) => putAndCrash(folder, records),
      };
    },
    { describe, it },
  );

  it("loses damaged records alone, and keeps them out of the file from then on", async () => {
    const folder = newPlace();
    const records = Array.from({ length: 40 }, (_, i) => recordOf(100 + i));
    const store = await LmdbDirectoryStore.open(folder);
    for (const record of records) store.put(record);
    await store.close();
    const path = join(folder, "data.mdb");
    const file = readFileSync(path);
    const { mtime, atime } = statSync(path);
    for (const { bytes } of records.slice(0, 3)) {
      // Pages that LMDB left behind may hold it, too.
      let at = file.indexOf(Buffer.from(bytes));
      expect(at).toBeGreaterThan(0);
      for (; at >= 0; at = file.indexOf(Buffer.from(bytes), at)) file[at + 100]! ^= 0x10;
    }
    writeFileSync(path, file);
    utimesSync(path, atime, mtime);
    for (let round = 0; round < 2; round++) {
      const again = await LmdbDirectoryStore.open(folder);
      expect(again.size.records).toBe(37);
      expect(again.damagedRecords).toBe(round === 0 ? 3 : 0);
      for (const record of records.slice(3)) expect(again.get(record.peer)).toEqual(record);
      again.expire(now);
      await again.close();
    }
  });

  it("sets a file aside that cannot be read, tells it, and begins anew", async () => {
    const folder = newPlace();
    const store = await LmdbDirectoryStore.open(folder);
    store.put(recordOf(1));
    await store.close();
    writeFileSync(join(folder, "data.mdb"), "not a database at all");
    const told: unknown[] = [];
    const again = await LmdbDirectoryStore.open(folder, { onDamage: (damage) => told.push(damage) });
    cleanups.push(() => again.close());
    expect(told).toMatchObject([{ kind: "damaged" }]);
    expect(again.report.setAside).toBeDefined();
    expect(again.size.records).toBe(0);
    expect(again.put(recordOf(2))).toBeUndefined();
  });

  it("is open in one place at a time", async () => {
    const folder = newPlace();
    const store = await LmdbDirectoryStore.open(folder);
    await expect(LmdbDirectoryStore.open(folder)).rejects.toMatchObject({ code: "EGTP_STORE_LOCKED" });
    await store.close();
    await (await LmdbDirectoryStore.open(folder)).close();
  });

  it("says when the folder cannot be used", async () => {
    const place = newPlace();
    writeFileSync(place, "");
    await expect(LmdbDirectoryStore.open(join(place, "below"))).rejects.toMatchObject({
      code: "EGTP_STORE_UNWRITABLE",
    });
  });

  it("does not say that a record is kept that it could not write, and writes it when it can again", async () => {
    const folder = newPlace();
    const store = await LmdbDirectoryStore.open(folder);
    const [record, other] = [recordOf(1), recordOf(2)];
    await store.close();
    for (let i = 0; i < 2; i++)
      expect(() => store.put(record)).toThrow(expect.objectContaining({ code: "EGTP_STORE_CLOSED" }));
    const again = await LmdbDirectoryStore.open(folder);
    expect(again.size.records).toBe(0);
    expect(again.put(other)).toBeUndefined();
    await again.close();
  });
});
