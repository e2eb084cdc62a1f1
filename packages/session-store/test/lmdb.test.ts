import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { chmod, type FileHandle, mkdir, open as openFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it, vi } from "vitest";
import { describeSessionStore } from "../src/conformance.ts";
import { LmdbSessionStore, type LmdbStoreOptions } from "../src/nodejs/lmdb.ts";
import { bytes, openMaps, peer, session, start } from "./builders.ts";
import { Child } from "./child.ts";
import { fillStore, flipBits } from "./damage.ts";

const hasLmdb = await import("lmdb").then(
  () => true,
  () => false,
);
const mustRun = process.env.EGTP_NO_SKIP === "1";
if (!hasLmdb && !mustRun)
  console.warn("skipped: the package lmdb cannot be loaded here, so the LMDB store is not tested");

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

function newPlace(): string {
  const parent = mkdtempSync(join(tmpdir(), "egtp-store-"));
  cleanups.push(() => rmSync(parent, { recursive: true, force: true }));
  return join(parent, "sessions");
}

async function open(folder: string, options?: LmdbStoreOptions): Promise<LmdbSessionStore> {
  const store = await LmdbSessionStore.open(folder, options);
  cleanups.push(() => store.close());
  return store;
}

function child(folder: string, fileLimit?: number): Child {
  const started = new Child(folder, { fileLimit });
  cleanups.push(() => started.kill());
  return started;
}

const modeOf = (path: string) => statSync(path).mode & 0o777;

async function openAndKill(folder: string): Promise<void> {
  const opener = child(folder);
  expect(await opener.said()).toBe("open");
  await opener.kill();
}

/** A filled folder, closed or left by a kill. */
async function filled(end: "closed" | "killed") {
  const folder = newPlace();
  const content = await fillStore(folder);
  if (end === "killed") await openAndKill(folder);
  return { folder, content };
}

describe.skipIf(!hasLmdb && !mustRun)("LmdbSessionStore", { timeout: 60_000 }, () => {
  for (const sync of ["commit", "flush"] as const) {
    describeSessionStore(
      `lmdb, sync ${sync}`,
      () => {
        const folder = newPlace();
        return {
          open: () => LmdbSessionStore.open(folder, { sync }),
          writeAndCrash: async (batches) => {
            const writer = child(folder);
            const answers = [await writer.said()];
            for (const batch of batches) {
              writer.write(batch);
              answers.push(await writer.said());
            }
            await writer.kill();
            if (answers.join() !== ["open", ...batches.map(() => "kept")].join()) throw new Error(answers.join());
          },
        };
      },
      { describe, it },
    );
  }

  describe("kill -9", () => {
    it("loses nothing that was acknowledged, and nothing of a batch is there without the rest", async () => {
      const folder = newPlace();
      let next = 0;
      for (let round = 0; round < 2; round++) {
        const writer = child(folder);
        expect(await writer.said()).toBe("open");
        const first = next;
        const pipelined = 400;
        for (let i = first; i < first + pipelined; i++)
          writer.write([
            [`a:${i}`, bytes(40, i)],
            [`b:${i}`, bytes(900, i)],
          ]);
        let kept = 0;
        while (kept < 100 + 40 * round && (await writer.said()) === "kept") kept++;
        await writer.kill();
        while ((await writer.said()) === "kept") kept++;
        const store = await open(folder);
        expect(store.report).toEqual({ uncleanStop: true, setAside: undefined });
        const found = new Map(store.load());
        for (let i = 0; i < first + kept; i++) {
          expect(Buffer.from(found.get(`a:${i}`)!).equals(bytes(40, i)), `a:${i}`).toBe(true);
          expect(found.get(`b:${i}`)?.length).toBe(900);
        }
        for (const key of found.keys())
          expect(found.has(key.startsWith("a") ? key.replace("a", "b") : key.replace("b", "a"))).toBe(true);
        next = found.size / 2;
        expect(next).toBeGreaterThanOrEqual(first + kept);
        await store.close();
      }
    });

    it.skipIf(process.platform === "win32")("says so when there is no more room, and keeps what it had", async () => {
      const folder = newPlace();
      const writer = child(folder, 10_000);
      expect(await writer.said()).toBe("open");
      let kept = 0;
      const write = async () => {
        writer.write([[`k:${kept}`, bytes(20_000, kept)]]);
        return writer.said();
      };
      while ((await write()) === "kept") kept++;
      expect(kept).toBeGreaterThan(5);
      for (let again = 0; again < 20; again++) expect(await write()).toBe("EGTP_STORE_UNWRITABLE");
      await writer.kill();
      const store = await open(folder);
      expect(store.report.setAside).toBeUndefined();
      expect([...store.load()].length).toBe(kept);
      await store.write([["k:more", bytes(20_000, 1)]]);
    });

    it("needs no look at the file after a clean stop", async () => {
      const { folder } = await filled("closed");
      expect((await open(folder)).report).toEqual({ uncleanStop: false, setAside: undefined });
    });
  });

  describe("the lock", () => {
    it("refuses a second writer in this process, and lets it in after close", async () => {
      const folder = newPlace();
      const first = await open(folder);
      await expect(LmdbSessionStore.open(folder)).rejects.toMatchObject({
        code: "EGTP_STORE_LOCKED",
        message: expect.stringContaining(`process ${process.pid}`),
        hint: expect.stringContaining("folder of its own"),
      });
      await first.close();
      await open(folder);
    });

    it("refuses a second process while the first lives, though it is stopped, and not after kill -9", async () => {
      const folder = newPlace();
      const holder = child(folder);
      expect(await holder.said()).toBe("open");
      await expect(LmdbSessionStore.open(folder)).rejects.toMatchObject({
        code: "EGTP_STORE_LOCKED",
        message: expect.stringContaining(`process ${holder.pid}`),
      });
      process.kill(holder.pid, "SIGSTOP");
      await expect(LmdbSessionStore.open(folder)).rejects.toMatchObject({ code: "EGTP_STORE_LOCKED" });
      await holder.kill();
      const store = await open(folder);
      expect(store.report.uncleanStop).toBe(true);
      const late = child(folder);
      expect(await late.said()).toBe("EGTP_STORE_LOCKED");
    });

    it("lets at most one of many in who come at once, dead names or not", async () => {
      const folder = newPlace();
      for (let round = 0; round < 2; round++) {
        const all = await Promise.allSettled(Array.from({ length: 8 }, () => LmdbSessionStore.open(folder)));
        const held = all.filter((one) => one.status === "fulfilled");
        expect(held.length).toBeLessThanOrEqual(1);
        const refused = all.flatMap((one) => (one.status === "rejected" ? [one.reason.code] : []));
        expect(new Set(refused)).toEqual(new Set(["EGTP_STORE_LOCKED"]));
        for (const one of held) await one.value.close();
        expect(readdirSync(folder).filter((name) => name.startsWith("lock."))).toEqual([]);
        await openAndKill(folder);
      }
    });

    it.skipIf(process.platform !== "linux")("works where the path is too long for a socket", async () => {
      const folder = join(newPlace(), "x".repeat(100), "y".repeat(100));
      const store = await open(folder);
      await expect(LmdbSessionStore.open(folder)).rejects.toMatchObject({ code: "EGTP_STORE_LOCKED" });
      await store.close();
      expect(readdirSync(folder).sort()).toEqual(["data.mdb", "data.mdb-lock", "run.json"]);
    });
  });

  describe("damage", () => {
    it("sets a file aside that was cut short, reports it, and begins anew", async () => {
      const { folder } = await filled("killed");
      const file = join(folder, "data.mdb");
      truncateSync(file, 20_000);
      const told: unknown[] = [];
      const store = await open(folder, { onDamage: (damage) => told.push(damage) });
      const { setAside } = store.report;
      expect(setAside).toMatchObject({ kind: "damaged", path: `${file}.damaged-1` });
      expect(told).toEqual([setAside]);
      expect(existsSync(`${file}.damaged-1`)).toBe(true);
      expect(modeOf(`${file}.damaged-1`)).toBe(0o600);
      const maps = openMaps(store);
      expect(maps.size).toBe(0);
      maps.insertSession(maps.ensure(peer(1), start), session(1));
      await maps.close();
      const again = await open(folder);
      expect(again.report).toEqual({ uncleanStop: false, setAside: undefined });
      expect(openMaps(again).findSession(session(1).id)).toBeDefined();
    });

    it("notices a file that was cut while nobody had it open", async () => {
      const { folder } = await filled("closed");
      truncateSync(join(folder, "data.mdb"), 8192);
      expect((await open(folder)).report.setAside?.kind).toBe("damaged");
    });

    it("notices a bit that flipped in it while nobody had it open, though its size and time are the same", async () => {
      const { folder } = await filled("closed");
      const file = join(folder, "data.mdb");
      const { atime, mtime } = statSync(file);
      const run = JSON.parse(readFileSync(join(folder, "run.json"), "utf8"));
      const content = readFileSync(file);
      const at = content.indexOf(session(10).receiveKey);
      content[at]! ^= 1;
      writeFileSync(file, content);
      utimesSync(file, atime, mtime);
      writeFileSync(join(folder, "run.json"), JSON.stringify({ ...run, mtimeMs: statSync(file).mtimeMs }));
      const store = await open(folder);
      expect(store.report).toEqual({ uncleanStop: true, setAside: undefined });
      expect(openMaps(store).damaged).toHaveLength(1);
    });

    it.each([
      ["emptied", ""],
      ["not of LMDB", "x".repeat(20_000)],
    ])("heals from a file that is %s", async (_, content) => {
      const { folder } = await filled("closed");
      writeFileSync(join(folder, "data.mdb"), content);
      const store = await open(folder);
      expect(store.report.setAside?.kind).toBe("damaged");
      expect([...store.load()]).toEqual([]);
    });

    it("heals from flipped bits: every record is right or left out, or the file is set aside", async () => {
      const { folder, content } = await filled("killed");
      const seen = await flipBits(folder, content, { rounds: 8, seed: 12345 });
      expect(seen.aside + seen.dropped).toBeGreaterThan(2);
      expect(readdirSync(folder).filter((name) => name.includes("damaged")).length).toBeLessThanOrEqual(2);
    });

    it("counts as lost after the machine went down, unless every write waited for the disk", async () => {
      for (const sync of ["commit", "flush"] as const) {
        const { folder } = await filled("killed");
        const path = join(folder, "run.json");
        const run = JSON.parse(readFileSync(path, "utf8"));
        writeFileSync(path, JSON.stringify({ ...run, sync, boot: "another start of the machine" }));
        const store = await open(folder);
        expect(store.report.setAside?.kind).toBe(sync === "commit" ? "outdated" : undefined);
        expect(openMaps(store).size).toBe(sync === "commit" ? 0 : 200);
      }
    });
  });

  it.skipIf(process.platform === "win32")(
    "says on disk that a run is on, its folder too, before the file is used",
    async () => {
      const folder = newPlace();
      const first = await open(folder);
      await first.close();
      // Were the old word on disk, the file would count as sound after the machine went down: it is as it was left.
      const synced: string[] = [];
      const probe = await openFile(tmpdir());
      const handles = Object.getPrototypeOf(probe) as FileHandle;
      await probe.close();
      const sync = Reflect.get(handles, "sync") as () => Promise<void>;
      const spy = vi.spyOn(handles, "sync").mockImplementation(async function (this: FileHandle) {
        const isFolder = (await this.stat()).isDirectory();
        synced.push(isFolder ? readFileSync(join(folder, "run.json"), "utf8").slice(0, 18) : "a file");
        return sync.call(this);
      });
      cleanups.push(() => spy.mockRestore());
      await open(folder);
      expect(synced).toEqual(["a file", '{"state":"running"']);
    },
  );

  describe.skipIf(process.platform === "win32")("permissions", () => {
    it("makes a folder of mode 0700 and files of mode 0600, whatever the umask", async () => {
      const folder = newPlace();
      const before = process.umask(0);
      cleanups.push(() => process.umask(before));
      const store = await open(folder);
      await store.write([["a", bytes(10, 1)]]);
      expect(modeOf(folder)).toBe(0o700);
      for (const name of readdirSync(folder)) expect([name, modeOf(join(folder, name))]).toEqual([name, 0o600]);
      await store.close();
      for (const name of readdirSync(folder)) expect([name, modeOf(join(folder, name))]).toEqual([name, 0o600]);
    });

    it("closes an open folder that is empty or its own, and refuses one that holds something else", async () => {
      const folder = newPlace();
      await mkdir(folder, { mode: 0o755 });
      const store = await open(folder);
      expect(modeOf(folder)).toBe(0o700);
      await store.close();
      await chmod(folder, 0o755);
      await chmod(join(folder, "data.mdb"), 0o644);
      await open(folder);
      expect(modeOf(folder)).toBe(0o700);
      expect(modeOf(join(folder, "data.mdb"))).toBe(0o600);
      const other = newPlace();
      await mkdir(other, { mode: 0o755 });
      writeFileSync(join(other, "letter.txt"), "dear");
      await expect(LmdbSessionStore.open(other)).rejects.toMatchObject({
        code: "EGTP_STORE_EXPOSED",
        hint: expect.stringContaining("chmod 700"),
      });
      expect(readdirSync(other)).toEqual(["letter.txt"]);
    });

    it("says what is in the way", async () => {
      const place = newPlace();
      writeFileSync(place, "a file");
      await expect(LmdbSessionStore.open(place)).rejects.toMatchObject({
        code: "EGTP_STORE_UNWRITABLE",
        hint: expect.stringContaining("not a folder"),
      });
      await expect(LmdbSessionStore.open(join(place, "below"))).rejects.toMatchObject({
        code: "EGTP_STORE_UNWRITABLE",
      });
      await expect(LmdbSessionStore.open("/proc/egtp-store")).rejects.toMatchObject({ code: "EGTP_STORE_UNWRITABLE" });
    });
  });
});

describe("without the package lmdb", () => {
  it("says how to install it, and makes nothing", async () => {
    vi.resetModules();
    vi.doMock("lmdb", () => {
      throw new Error("Cannot find package 'lmdb'");
    });
    cleanups.push(() => vi.doUnmock("lmdb"));
    const folder = newPlace();
    const { LmdbSessionStore: Unable } = await import("../src/nodejs/lmdb.ts");
    await expect(Unable.open(folder)).rejects.toMatchObject({
      code: "EGTP_STORE_MISSING_PART",
      hint: expect.stringContaining("npm install lmdb"),
    });
    expect(existsSync(folder)).toBe(false);
  });
});
