/** Both stores pass the conformance suite; and what only the one on disk must do. */
import { type ChildProcess, spawn } from "node:child_process";
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { peerIdToBytes } from "@egtp/wire";
import { afterEach, describe, expect, it } from "vitest";
import { describeMailboxStore } from "../src/conformance.ts";
import type { StoredMail } from "../src/mailbox-store.ts";
import { MemoryMailboxStore } from "../src/memory-store.ts";
import { type LmdbMailboxOptions, LmdbMailboxStore } from "../src/nodejs/lmdb.ts";
import { anyPeer, contentOf, envelopeOf, mailOf } from "./mails.ts";

const mustRun = process.env.EGTP_NO_SKIP === "1";
const hasLmdb = await import("lmdb").then(
  () => true,
  () => false,
);

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

const owner = anyPeer(101);
const now = 1_800_000_000_000;
const wholeMailbox = { maxMessages: 10_000, maxBytes: 1e9 };

function newPlace(): string {
  const parent = mkdtempSync(join(tmpdir(), "egtp-mail-"));
  cleanups.push(() => rmSync(parent, { recursive: true, force: true }));
  return join(parent, "mail");
}

async function open(folder: string, options?: LmdbMailboxOptions): Promise<LmdbMailboxStore> {
  const store = await LmdbMailboxStore.open(folder, options);
  cleanups.push(() => store.close());
  return store;
}

/** A mailbox with so many mails, closed. */
async function filled(mails: number): Promise<string> {
  const folder = newPlace();
  const store = await open(folder);
  await store.register(owner, { id: "01", isFirst: true }, now);
  await Promise.all(Array.from({ length: mails }, async (_, n) => store.deposit(owner, mailOf(n), false, now)));
  await store.close();
  return folder;
}

class Depositor {
  readonly #process: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  constructor(folder: string, count: number) {
    const main = fileURLToPath(new URL("deposit-child.ts", import.meta.url));
    const root = fileURLToPath(new URL("../../..", import.meta.url));
    const args = ["--conditions=@egtp/source", "--import", "tsx", main, folder, owner, String(count)];
    this.#process = spawn(process.execPath, args, { cwd: root, stdio: ["ignore", "pipe", "inherit"] });
    this.#lines = createInterface({ input: this.#process.stdout! })[Symbol.asyncIterator]();
    cleanups.push(() => this.kill());
  }

  async said(): Promise<string | undefined> {
    return (await this.#lines.next()).value;
  }

  kill(): void {
    this.#process.kill("SIGKILL");
  }
}

describeMailboxStore("memory", () => ({ open: (limits) => new MemoryMailboxStore({ limits }), survives: false }), {
  describe,
  it,
});

// Gives a mailbox up and registers it anew while the steps look at the other one.
describeMailboxStore(
  "memory, seed 302",
  () => ({ open: (limits) => new MemoryMailboxStore({ limits }), survives: false, seed: 302 }),
  { describe, it },
);

// Of a cluster it is what the disks hold.
it("bytes of envelopes in all are bounded", () => {
  const bytes = mailOf(0).body.length - 16;
  const store = new MemoryMailboxStore({ limits: { maxTotalBytes: 3 * bytes + 1 } });
  const owners = [owner, anyPeer(102)];
  for (const each of owners) store.register(each, { id: "01", isFirst: true }, now);
  const deposit = (n: number) => store.deposit(owners[n % 2]!, mailOf(n), false, now);
  expect([0, 1, 2].map((n) => deposit(n).state)).toEqual(["stored", "stored", "stored"]);
  expect(deposit(3)).toEqual({ state: "refused", refusal: "mailbox-full" });
  expect(deposit(4)).toEqual({ state: "refused", refusal: "mailbox-full" });
});

describe.skipIf(!hasLmdb && !mustRun)("LmdbMailboxStore", () => {
  /** What the mails were made from; -1 for one that differs. */
  const contentsOf = (mails: readonly StoredMail[]) => mails.map(({ body }) => contentOf(body.subarray(16)));
  const upTo = (count: number) => Array.from({ length: count }, (_, n) => n);

  describeMailboxStore(
    "lmdb",
    () => {
      const folder = newPlace();
      return { open: (limits) => LmdbMailboxStore.open(folder, { limits }), survives: true };
    },
    { describe, it },
  );

  describe("kill -9", () => {
    it("loses none of a thousand mails that were said to be stored, and gives no number again", async () => {
      const folder = newPlace();
      const child = new Depositor(folder, 1_500);
      expect(await child.said()).toBe("open");
      const stored = new Map<number, number>();
      for (let line = await child.said(); line !== undefined && line !== "done"; line = await child.said()) {
        const [, content, number] = /^(\d+) (\d+)\.$/.exec(line) ?? [];
        if (number === undefined) continue; // cut off by the kill
        stored.set(Number(content), Number(number));
        if (stored.size === 1_000) child.kill();
      }
      expect(stored.size).toBeGreaterThanOrEqual(1_000);
      const store = await open(folder);
      expect(store.report).toEqual({ uncleanStop: true, setAside: undefined });
      const found = new Map(store.collect(owner, 0, wholeMailbox, now).map(({ number, body }) => [number, body]));
      for (const [content, number] of stored) {
        expect(contentOf(found.get(number)!.subarray(16))).toBe(content);
      }
      const deposited = await store.deposit(owner, mailOf(5_000), false, now);
      expect(deposited.state === "stored" && deposited.number > Math.max(...found.keys())).toBe(true);
    });

    it("takes a mail out of the file that was acknowledged while it was being written", async () => {
      const folder = await filled(0);
      const store = await open(folder);
      await store.deposit(owner, mailOf(0), false, now);
      const deposits = upTo(5).map(async (n) => store.deposit(owner, mailOf(n), false, now));
      const { tag, firstNumber } = store.find(owner)!;
      expect(store.acknowledge(owner, tag, [firstNumber, firstNumber + 3])).toEqual({ acknowledged: 3, unknown: 0 });
      await Promise.all(deposits);
      await store.close();
      const again = await open(folder);
      expect(contentsOf(again.collect(owner, 0, wholeMailbox, now))).toEqual([2, 3, 4]);
    });

    it("gives out no more numbers than the file says, however fast mail comes", async () => {
      const much = { maxMessages: 1e6, maxBytes: 1e9, maxSenderMessages: 1e6, maxSenderBytes: 1e9 };
      const store = await open(newPlace(), { limits: much });
      await store.register(owner, { id: "01", isFirst: true }, now);
      const [sender, body] = [anyPeer(1), new Uint8Array(90)];
      let given = 0;
      let waiting: unknown;
      for (; given < 100_000 && waiting === undefined; given++) {
        const deposited = store.deposit(owner, { sender, isStranger: false, body }, true, now);
        if (deposited instanceof Promise) waiting = await deposited;
      }
      expect(given).toBeLessThanOrEqual(65_537);
      expect(waiting).toEqual({ state: "held", number: given });
    });

    it("gives no number again that a held mail had", async () => {
      const folder = await filled(0);
      const store = await open(folder);
      const held = await store.deposit(owner, mailOf(1), true, now);
      await store.close(); // As after a crash, nothing says that a number was given to it.
      const again = await open(folder);
      expect(again.collect(owner, 0, wholeMailbox, now)).toEqual([]);
      const next = await again.deposit(owner, mailOf(2), true, now);
      if (held.state !== "held" || next.state !== "held") throw new Error("not held");
      expect(next.number).toBeGreaterThan(held.number);
    });
  });

  describe("damage", () => {
    /** Flips a bit in each place where these bytes are. */
    function flip(folder: string, bytes: Uint8Array): void {
      const path = join(folder, "data.mdb");
      const file = readFileSync(path);
      let at = file.indexOf(bytes);
      expect(at).toBeGreaterThan(0);
      for (; at >= 0; at = file.indexOf(bytes)) file[at + (bytes.length >> 1)]! ^= 16;
      writeFileSync(path, file);
    }

    it.each([
      ["copied", undefined],
      ["walked through", 0],
    ])("loses only the mail whose envelope was damaged, when the file is %s", async (_, maxCopiedBytes) => {
      const folder = await filled(50);
      flip(folder, envelopeOf(7));
      const store = await open(folder, maxCopiedBytes === undefined ? {} : { maxCopiedBytes });
      expect(store.report.setAside).toBeUndefined();
      const mails = store.collect(owner, 0, wholeMailbox, now);
      expect(contentsOf(mails)).toEqual(upTo(50).filter((n) => n !== 7));
      expect(store.counts()).toMatchObject({ found: 50, dropped: 1, waiting: 49 });
      await store.close();
      expect((await open(folder)).counts()).toMatchObject({ found: 49, dropped: 0 });
    });

    it("loses only the mail whose index record was damaged", async () => {
      const folder = await filled(20);
      const first = await open(folder);
      const sender = anyPeer(77);
      await first.deposit(owner, { ...mailOf(20), sender }, false, now);
      await first.deposit(owner, mailOf(21), false, now);
      await first.close();
      flip(folder, peerIdToBytes(sender));
      const store = await open(folder);
      expect(contentsOf(store.collect(owner, 0, wholeMailbox, now))).toEqual([...upTo(20), 21]);
      expect(store.counts()).toMatchObject({ found: 22, dropped: 1, waiting: 21 });
    });

    it("makes a mailbox again from its mails when its own record was damaged", async () => {
      const folder = await filled(20);
      const before = await open(folder);
      const tag = Buffer.from(before.find(owner)!.tag);
      await before.close();
      flip(folder, Buffer.concat([Buffer.from([1, 1]), tag, Buffer.alloc(4)]));
      const store = await open(folder);
      expect(Buffer.from(store.find(owner)!.tag).equals(tag)).toBe(true);
      expect(contentsOf(store.collect(owner, 0, wholeMailbox, now))).toEqual(upTo(20));
      const next = await store.deposit(owner, mailOf(20), false, now);
      expect(next.state === "stored" && next.number).toBeGreaterThan(65_537);
      await store.close();
      expect((await open(folder)).find(owner)!.messages).toBe(21);
    });

    it("sets a file aside that was cut short, says so, and begins anew", async () => {
      const folder = await filled(200);
      truncateSync(join(folder, "data.mdb"), 30_000);
      const told: unknown[] = [];
      const store = await open(folder, { onDamage: (damage) => told.push(damage) });
      expect(store.report.setAside).toMatchObject({ kind: "damaged" });
      expect(told).toEqual([store.report.setAside]);
      expect(readdirSync(folder)).toContain("data.mdb.damaged-1");
      expect(store.counts()).toMatchObject({ mailboxes: 0, found: 0 });
      await store.register(owner, { id: "02", isFirst: true }, now);
      expect((await store.deposit(owner, mailOf(1), false, now)).state).toBe("stored");
    });
  });

  describe("surroundings", () => {
    it("lets one process at a time have a folder", async () => {
      const folder = newPlace();
      await open(folder);
      await expect(LmdbMailboxStore.open(folder)).rejects.toMatchObject({ code: "EGTP_STORE_LOCKED" });
      expect(await new Depositor(folder, 1).said()).toBe("EGTP_STORE_LOCKED");
    });

    it("says that a folder cannot be written", async () => {
      await expect(LmdbMailboxStore.open("/proc/egtp-mail")).rejects.toMatchObject({ code: "EGTP_STORE_UNWRITABLE" });
      const other = newPlace();
      mkdirSync(other);
      writeFileSync(join(other, "letter.txt"), "dear");
      chmodSync(other, 0o755);
      await expect(LmdbMailboxStore.open(other)).rejects.toMatchObject({ code: "EGTP_STORE_EXPOSED" });
    });

    it("rejects what it cannot write, and takes the mail back", async () => {
      const store = await open(await filled(3));
      await store.deposit(owner, mailOf(3), false, now);
      await store.close();
      await expect(async () => store.deposit(owner, mailOf(9), false, now)).rejects.toMatchObject({
        code: "EGTP_STORE_CLOSED",
      });
      expect(store.counts()).toMatchObject({ withdrawn: 1, held: 0, waiting: 4 });
    });
  });
});
