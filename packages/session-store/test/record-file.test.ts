/** The record file that other services keep their records in. */
import { createHash } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { recordChecksum } from "../src/checksum.ts";
import { RecordFile, type RecordFileOptions } from "../src/nodejs/record-file.ts";
import { bytes } from "./builders.ts";
import { Child } from "./child.ts";

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
  const parent = mkdtempSync(join(tmpdir(), "egtp-records-"));
  cleanups.push(() => rmSync(parent, { recursive: true, force: true }));
  return join(parent, "records");
}

async function open(folder: string, options?: RecordFileOptions): Promise<RecordFile> {
  const file = await RecordFile.open(folder, options);
  cleanups.push(() => file.close());
  return file;
}

/** Another process that writes with `flush`. */
async function writer(folder: string, fileLimit?: number): Promise<Child> {
  const child = new Child(folder, { fileLimit, kind: "records" });
  cleanups.push(() => child.kill());
  expect(await child.said()).toBe("open");
  return child;
}

const key = (n: number) => `m:${String(n).padStart(6, "0")}`;
const text = (value: Uint8Array | undefined) => (value === undefined ? undefined : Buffer.from(value).toString("hex"));
/** 1,000 bytes that are found nowhere else. */
const noise = (n: number) =>
  Buffer.concat(Array.from({ length: 20 }, (_, i) => createHash("sha512").update(`${n} ${i}`).digest())).subarray(
    0,
    1_000,
  );
const all = { from: "!", to: "~" };

describe("the checksum", () => {
  it("is CRC-32C, whatever the length", () => {
    expect(recordChecksum("", Buffer.from("123456789"))).toBe(0xe3069283);
    expect(recordChecksum("1234", Buffer.from("56789"))).toBe(0xe3069283);
    for (let length = 0; length < 40; length++) {
      const value = bytes(length, length);
      let crc = 0xffffffff;
      for (const byte of value) {
        crc ^= byte;
        for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
      }
      expect(recordChecksum("", value)).toBe(~crc >>> 0);
    }
  });
});

describe.skipIf(!hasLmdb && !mustRun)("RecordFile", () => {
  describe.each(["commit", "flush"] as const)("sync %s", (sync) => {
    it("keeps, replaces and removes, and gives out single records and ranges in order", async () => {
      const folder = newPlace();
      const file = await open(folder, { sync });
      for (let n = 9; n >= 0; n--) void file.write([[key(n), bytes(10 + n, n)]]);
      await file.write([
        [key(3), undefined],
        [key(4), bytes(5_000, 44)],
        ["n", bytes(0, 0)],
      ]);
      expect(text(file.get(key(4)))).toBe(text(bytes(5_000, 44)));
      expect(file.get(key(3))).toBeUndefined();
      expect(file.get("n")).toHaveLength(0);
      expect(file.keys({ from: key(2), to: key(6) })).toEqual([key(2), key(4), key(5)]);
      expect(file.keys({ from: key(2), to: "m;", max: 2 })).toEqual([key(2), key(4)]);
      expect(file.entries({ from: key(8), to: "~" }).map(([k, value]) => [k, text(value)])).toEqual([
        [key(8), text(bytes(18, 8))],
        [key(9), text(bytes(19, 9))],
        ["n", ""],
      ]);
      await file.close();
      const again = await open(folder, { sync });
      expect(again.keys(all)).toHaveLength(10);
      expect(text(again.get(key(9)))).toBe(text(bytes(19, 9)));
    });

    it("refuses to read or write once it is closed, and finishes what was written before", async () => {
      const folder = newPlace();
      const file = await open(folder, { sync });
      const written = file.write([[key(1), bytes(10, 1)]]);
      await file.close();
      await written;
      for (const attempt of [() => file.get(key(1)), () => file.keys(all), () => file.write([])]) {
        expect(attempt).toThrow(expect.objectContaining({ code: "EGTP_STORE_CLOSED" }));
      }
      expect((await open(folder)).keys(all)).toEqual([key(1)]);
    });

    it("grows while it is read", async () => {
      const file = await open(newPlace(), { sync });
      for (let round = 0; round < 20; round++) {
        const done = file.write(Array.from({ length: 50 }, (_, i) => [key(50 * round + i), bytes(20_000, i)]));
        for (let n = 0; n < 50 * round; n += 37) expect(text(file.get(key(n)))).toBe(text(bytes(20_000, n % 50)));
        await done;
      }
      expect(file.keys(all)).toHaveLength(1_000);
    });
  });

  it("reads at start only what it is asked to", async () => {
    const folder = newPlace();
    const first = await open(folder);
    await first.write([
      ["a:1", bytes(10, 1)],
      ["a:2", bytes(10, 2)],
      ["b:1", bytes(10, 3)],
    ]);
    await first.close();
    const seen: string[] = [];
    const begin = () => seen.push("begin");
    const record = (k: string, value: Uint8Array) => seen.push(`${k} ${value.length}`);
    await open(folder, { load: { from: "a:", to: "a;", begin, record } });
    expect(seen).toEqual(["begin", "a:1 10", "a:2 10"]);
  });

  it("lets the event loop go on while the disk works", async () => {
    const file = await open(newPlace(), { sync: "flush" });
    let turns = 0;
    let written = false;
    const done = file.write([[key(1), bytes(4_000_000, 1)]])!.then(() => {
      written = true;
    });
    while (!written) {
      turns++;
      await new Promise(setImmediate);
    }
    await done;
    expect(turns).toBeGreaterThan(1);
  });

  it.each([
    ["small", undefined],
    ["large", 0],
  ])("loses only records whose bytes were flipped, and reports them: a %s file", async (_, maxCopiedBytes) => {
    const folder = newPlace();
    const first = await open(folder);
    await first.write(Array.from({ length: 100 }, (__, n) => [key(n), noise(n)]));
    await first.close();
    const path = join(folder, "data.mdb");
    const content = readFileSync(path);
    for (const n of [7, 42]) {
      // In each place: LMDB leaves old copies in pages it split.
      for (let at = content.indexOf(noise(n)); at >= 0; at = content.indexOf(noise(n))) content[at + 500]! ^= 4;
    }
    writeFileSync(path, content);
    const damaged: string[] = [];
    const loaded: string[] = [];
    const file = await open(folder, {
      ...(maxCopiedBytes === undefined ? {} : { maxCopiedBytes }),
      onDamagedRecord: (k) => damaged.push(k),
      load: { from: key(0), to: key(10), begin: () => {}, record: (k) => loaded.push(k) },
    });
    expect(file.report.setAside).toBeUndefined();
    expect(loaded).toHaveLength(9);
    expect(damaged).toEqual([key(7)]);
    for (let n = 0; n < 100; n++) expect(file.get(key(n)) === undefined).toBe(n === 7 || n === 42);
    expect(file.entries(all)).toHaveLength(98);
    expect(new Set(damaged)).toEqual(new Set([key(7), key(42)]));
  });

  describe("after kill -9", () => {
    it.each([
      ["a small file is copied", undefined, false],
      ["a large one is not", 0, true],
    ])("%s, and nothing that was on disk is lost", async (_, maxCopiedBytes, isSame) => {
      const folder = newPlace();
      const child = await writer(folder);
      for (let n = 0; n < 300; n++) child.write([[key(n), bytes(900, n)]]);
      let kept = 0;
      while (kept < 200 && (await child.said()) === "kept") kept++;
      await child.kill();
      while ((await child.said()) === "kept") kept++;
      const { ino } = statSync(join(folder, "data.mdb"));
      const file = await open(folder, maxCopiedBytes === undefined ? {} : { maxCopiedBytes });
      expect(file.report).toEqual({ uncleanStop: true, setAside: undefined });
      expect(statSync(join(folder, "data.mdb")).ino === ino).toBe(isSame);
      for (let n = 0; n < kept; n++) expect(text(file.get(key(n)))).toBe(text(bytes(900, n)));
    });

    it.each([undefined, 0])("a file cut short is set aside whole (copied up to %s bytes)", async (maxCopiedBytes) => {
      const folder = newPlace();
      const child = await writer(folder);
      for (let n = 0; n < 50; n++) child.write([[key(n), bytes(3_000, n)]]);
      for (let n = 0; n < 50; n++) expect(await child.said()).toBe("kept");
      await child.kill();
      truncateSync(join(folder, "data.mdb"), 40_000);
      const begun: string[] = [];
      const file = await open(folder, {
        ...(maxCopiedBytes === undefined ? {} : { maxCopiedBytes }),
        load: { ...all, begin: () => begun.push("begin"), record: (k) => begun.push(k) },
      });
      expect(file.report.setAside).toMatchObject({ kind: "damaged" });
      expect(readdirSync(folder)).toContain("data.mdb.damaged-1");
      expect(begun).toEqual(["begin"]);
      await file.write([[key(1), bytes(10, 1)]]);
      expect(file.keys(all)).toEqual([key(1)]);
    });

    it.skipIf(process.platform === "win32")("after a full disk what was kept is there", async () => {
      const folder = newPlace();
      const child = await writer(folder, 10_000);
      let kept = 0;
      const write = async () => {
        child.write([[key(kept), bytes(20_000, kept)]]);
        return child.said();
      };
      while ((await write()) === "kept") kept++;
      for (let again = 0; again < 5; again++) expect(await write()).toBe("EGTP_STORE_UNWRITABLE");
      await child.kill();
      const file = await open(folder);
      expect(file.keys(all)).toHaveLength(kept);
    });
  });
});
