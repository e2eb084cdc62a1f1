/** Sessions and identities in the IndexedDB of a real browser: the store's suite, tabs that want the same, and `kill -9`. */
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describeSessionStore } from "@egtp/session-store/conformance";
import { type BrowserContext, chromium, type Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { describeInChromium, launchOptions } from "../src/chromium.ts";
import { PageSite } from "../src/page-site.ts";
import { testsInPage } from "./page-suite.ts";
import type {} from "./pages/storage.ts";

describeInChromium(describe, "in Chromium", (browser) => {
  let site: PageSite;
  let context: BrowserContext;
  beforeAll(async () => {
    site = await PageSite.serve(new URL("pages/storage.ts", import.meta.url));
    context = await browser().newContext();
    await context.exposeFunction("writeInTabThatCloses", async (name: string, batches: []) => {
      const tab = await newTab();
      await tab.evaluate(([at, what]) => storage.open(at).then(() => storage.write(at, what)), [
        name,
        batches,
      ] as const);
      await tab.close();
    });
  });
  afterAll(async () => {
    await context?.close();
    await site?.[Symbol.asyncDispose]();
  });
  const newTab = async (): Promise<Page> => site.open(await context.newPage());

  let suitePage: Promise<Page> | undefined;
  const runner = testsInPage({ describe, it }, () => {
    suitePage ??= newTab();
    return suitePage;
  });
  describeSessionStore("IndexedDB", () => ({ open: () => undefined as never }), runner);

  describe("several tabs", () => {
    let first: Page;
    let second: Page;
    beforeEach(async () => {
      [first, second] = [await newTab(), await newTab()];
    });
    afterEach(() => Promise.all([first.close(), second.close()]));
    const open = (tab: Page, name: string) => tab.evaluate((at) => storage.open(at), name);

    it("refuses the sessions that another tab has open, until that closes them", async () => {
      expect(await open(first, "alice")).toEqual([]);
      const refused = {
        error: { name: "StoreError", code: "EGTP_STORE_LOCKED", hint: expect.stringContaining("tab") },
      };
      expect(await open(second, "alice")).toMatchObject(refused);
      expect(await open(first, "alice")).toMatchObject(refused);
      expect(await second.evaluate(() => storage.delete("alice"))).toMatchObject(refused);
      expect(await open(second, "bob")).toEqual([]);
      await first.evaluate(() => storage.write("alice", [[["a", [1, 2]]]]));
      await first.evaluate(() => storage.close("alice"));
      expect(await open(second, "alice")).toEqual([["a", [1, 2]]]);
    });

    it("gives them free when their tab is gone, or goes elsewhere", async () => {
      await open(first, "carol");
      await first.goto("about:blank");
      await expect.poll(() => open(second, "carol")).toEqual([]);
      await second.close();
      const third = await newTab();
      await expect.poll(() => open(third, "carol")).toEqual([]);
      await third.close();
    });

    it("makes an identity once, the same for all who ask at once and ever after", async () => {
      const load = (tab: Page) => tab.evaluate(() => storage.loadIdentity("dave"));
      const made = await Promise.all([load(first), load(second), load(first), load(second)]);
      const [one] = made;
      expect(one).toMatchObject({ peer: expect.stringMatching(/^[a-z0-9]{52}$/) });
      expect(new Set(made.map((identity) => JSON.stringify({ ...identity, isNew: 0 }))).size).toBe(1);
      expect(made.filter((identity) => "isNew" in identity && identity.isNew)).toHaveLength(1);
      await first.reload();
      await first.waitForFunction("globalThis.isReady");
      expect(await load(first)).toEqual({ ...one, isNew: false });
      await first.evaluate(() => storage.deleteIdentity("dave"));
      const another = await load(second);
      expect(another).toMatchObject({ isNew: true });
      expect(another).not.toMatchObject({ peer: (one as { peer: string }).peer });
    });

    it("refuses a second node with a key whose node runs in another tab, until that stops or is gone", async () => {
      const start = (tab: Page) => tab.evaluate(() => storage.startNode("grace"));
      const peer = await start(first);
      expect(peer).toMatch(/^[a-z0-9]{52}$/);
      const refused = {
        error: { name: "IdentityStoreError", code: "EGTP_IDENTITY_STORE_IN_USE", hint: expect.stringContaining("tab") },
      };
      expect(await start(second)).toMatchObject(refused);
      expect(await start(first)).toMatchObject(refused);
      await first.evaluate(() => storage.stopNode("grace"));
      expect(await start(second)).toBe(peer);
      await second.goto("about:blank");
      await expect.poll(() => start(first)).toBe(peer);
      await first.evaluate(() => storage.stopNode("grace"));
    });

    it("refuses what is kept under the name of an identity and is none", async () => {
      const { peer } = (await first.evaluate(() => storage.loadIdentity("eve"))) as { peer: string };
      for (const bad of ["{ seed: new Uint8Array(32), peer }", "{ seed: new Uint8Array(31), peer }", "{}"]) {
        await first.evaluate(`new Promise((resolve, reject) => {
          const peer = ${JSON.stringify(peer)};
          const opening = indexedDB.open("egtp-identities");
          opening.onsuccess = () => {
            const change = opening.result.transaction("identities", "readwrite");
            change.objectStore("identities").put(${bad}, "eve");
            change.oncomplete = () => resolve(opening.result.close());
            change.onabort = reject;
          };
        })`);
        expect(await first.evaluate(() => storage.loadIdentity("eve"))).toMatchObject({
          error: { name: "IdentityStoreError", code: "EGTP_IDENTITY_STORE_BAD", hint: expect.any(String) },
        });
      }
    });

    it("tells whoever writes that the site's data was cleared under it, and starts empty afterwards", async () => {
      await open(first, "frank");
      await first.evaluate(() => storage.write("frank", [[["a", [1]]]]));
      const session = await context.newCDPSession(first);
      const origin = new URL(site.url).origin;
      await session.send("Storage.clearDataForOrigin", { origin, storageTypes: "indexeddb" });
      expect(await first.evaluate(() => storage.writeAtOnce("frank", [[["b", [2]]], [["c", [3]]]]))).toMatchObject({
        error: { name: "StoreError", code: "EGTP_STORE_UNWRITABLE", hint: expect.stringContaining("clear") },
      });
      await first.evaluate(() => storage.close("frank"));
      expect(await open(second, "frank")).toEqual([]);
    });
  });

  it("keeps every acknowledged batch across kill -9 of the whole browser", async () => {
    const profile = await mkdtemp(join(tmpdir(), "egtp-profile-"));
    const started = async () => {
      const persistent = await chromium.launchPersistentContext(profile, launchOptions);
      return { persistent, tab: await site.open(persistent.pages()[0] ?? (await persistent.newPage())) };
    };
    try {
      const { persistent, tab } = await started();
      await tab.evaluate(() => storage.open("grace"));
      const batches = Array.from({ length: 50 }, (_, index): [string, number[]][] => [
        ["last", [index]],
        [`only:${index}`, [index]],
      ]);
      await tab.evaluate((all) => storage.write("grace", all), batches);
      const gone = new Promise((resolve) => persistent.once("close", resolve));
      for (const pid of await processesOf(profile)) process.kill(pid, "SIGKILL");
      await gone;
      const again = await started();
      const kept = (await again.tab.evaluate(() => storage.open("grace"))) as [string, number[]][];
      expect(new Map(kept)).toEqual(new Map(batches.flat()));
      await again.persistent.close();
    } finally {
      await rm(profile, { recursive: true, force: true, maxRetries: 5 });
    }
  });
});

/** The main processes of the browser that runs on a profile; the others end with them. */
async function processesOf(profile: string): Promise<number[]> {
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  const lines = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "")));
  return pids.filter((_, index) => lines[index]!.includes(`--user-data-dir=${profile}`)).map(Number);
}
