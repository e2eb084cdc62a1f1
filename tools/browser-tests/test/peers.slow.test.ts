/**
 * Two tabs of a real browser and a peer in Node.js, none of which can be dialled: they have the address of a boot page, and
 * find a relay by it. The servers are the commands that anybody would start.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { metatrackers } from "@egtp/metatracker";
import { createIdentity, createNode, type EgtpNode, type PeerId } from "@egtp/node";
import { tcp } from "@egtp/node/tcp";
import { relayClient } from "@egtp/relay";
import { ServerProcess } from "@egtp/test-kit/server-process";
import type { BrowserContext, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { describeInChromium } from "../src/chromium.ts";
import { PageSite } from "../src/page-site.ts";
import { ask, note } from "./messages.ts";
import type { Told } from "./pages/peer.ts";

describeInChromium(describe, "peers in tabs", (browser) => {
  let folder: string;
  const servers: ServerProcess[] = [];
  let bootPage: string;
  let site: PageSite;
  let context: BrowserContext;
  /** By name. */
  const told = new Map<string, Told[]>();
  let wake = (): void => {};
  let carol: EgtpNode;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "egtp-tabs-"));
    const start = (name: string, ...args: string[]): ServerProcess => {
      const place = ["--host", "127.0.0.1", "--port", "0", "--ws-port", "0", "--store", "memory"];
      const main = new URL(`../../../packages/${name}/src/nodejs/main.ts`, import.meta.url);
      const server = new ServerProcess(
        main,
        ...place,
        "--data",
        join(folder, name),
        "--allow-private-addresses",
        ...args,
      );
      servers.push(server);
      return server;
    };
    site = await PageSite.serve(new URL("pages/peer.ts", import.meta.url));
    ({ bootPage } = await start("metatracker", "--bootpage-port", "0").listening());
    await start("relay", "--boot-page", bootPage).listening();
    context = await browser().newContext();
    await context.exposeFunction("tell", (name: string, what: Told) => {
      told.set(name, [...(told.get(name) ?? []), what]);
      wake();
    });
    carol = await createNode({
      identity: createIdentity(),
      transports: [tcp({ listen: false })],
      lookup: metatrackers({ bootPages: [bootPage] }),
      parts: [relayClient()],
      allowPrivateAddresses: true,
    });
    carol.handle(ask, ({ body }) => ({ n: body.n + 1 }));
    await carol.start();
  });
  afterAll(async () => {
    await carol?.stop();
    await context?.close();
    await site?.[Symbol.asyncDispose]();
    await Promise.all(servers.map((server) => server.kill()));
    await rm(folder, { recursive: true, force: true });
  });

  const enter = async (name: string, seed?: number[]) => {
    const tab = await site.open(await context.newPage());
    const options = { name, bootPage, ...(seed && { seed }) };
    return { tab, ...(await tab.evaluate((given) => peer.start(given), options)) };
  };
  const askFrom = (tab: Page, other: PeerId, n: number) =>
    tab.evaluate(([to, value]) => peer.ask(to, value), [other, n] as const);
  /** Waits until a tab was told all of these, in whatever order. */
  const untilTold = async (name: string, numbers: readonly number[]) => {
    const isTold = () => numbers.every((n) => told.get(name)?.some((one) => one.n === n));
    while (!isTold()) await new Promise<void>((resolve) => (wake = resolve));
  };

  it("two tabs and a peer in Node.js find each other by key and talk", async () => {
    const [alice, bob] = await Promise.all([enter("alice"), enter("bob")]);
    const answers = await Promise.all([
      askFrom(alice.tab, bob.peer, 1),
      askFrom(bob.tab, alice.peer, 2),
      askFrom(alice.tab, carol.peerId, 3),
      askFrom(bob.tab, carol.peerId, 4),
      carol.request(alice.peer, ask, { n: 5 }, { failFast: false }).then(({ n }) => n),
      carol.request(bob.peer, ask, { n: 6 }, { failFast: false }).then(({ n }) => n),
    ]);
    expect(answers).toEqual([2, 3, 4, 5, 6, 7]);
    expect(new Set(await alice.tab.evaluate(() => peer.transports()))).toEqual(new Set(["websocket", "relay"]));
    await Promise.all([alice.tab.close(), bob.tab.close()]);
  });

  it("mail waits for a tab that was closed in mid-conversation, and heals when its storage was cleared", async () => {
    const before = await enter("dave");
    const count = 60;
    const sends: Promise<unknown>[] = [];
    for (let n = 0; n < 30; n++)
      sends.push(carol.send(before.peer, note, { n }, { failFast: false, softTimeoutMs: 500 }));
    await untilTold("dave", [0]);
    await before.tab.close(); // without a word
    for (let n = 30; n < count; n++) {
      sends.push(carol.send(before.peer, note, { n }, { failFast: false, softTimeoutMs: 500 }));
    }
    const states = (await Promise.all(sends)) as { readonly state: string }[];
    expect(states.at(-1)).toMatchObject({ state: "stored" });
    expect(states.filter(({ state }) => state !== "stored" && state !== "delivered")).toEqual([]);

    // All that the user kept is the key.
    const cleaner = await context.newPage();
    const cdp = await context.newCDPSession(cleaner);
    await cdp.send("Storage.clearDataForOrigin", { origin: new URL(site.url).origin, storageTypes: "all" });
    await cleaner.close();
    const after = await enter("dave", before.seed);
    expect(after.peer).toBe(before.peer);
    await untilTold(
      "dave",
      Array.from({ length: count }, (_, n) => n),
    );

    // A message that was handed over and not receipted comes once more, under the same ID.
    const ids = new Map<number, string>();
    for (const { from, n, messageId } of told.get("dave")!) {
      expect(from).toBe(carol.peerId);
      expect(ids.get(n) ?? messageId).toBe(messageId);
      ids.set(n, messageId);
    }
    expect(ids.size).toBe(count);
    expect(await askFrom(after.tab, carol.peerId, 1)).toBe(2);
    await after.tab.close();
  });

  it("a tab that is loaded again goes on, with the sessions that it kept", async () => {
    const first = await enter("erin");
    expect(await askFrom(first.tab, carol.peerId, 1)).toBe(2);
    await site.open(first.tab); // the old page goes, the new one comes
    const again = await first.tab.evaluate((given) => peer.start(given), { name: "erin", bootPage });
    expect(again.peer).toBe(first.peer);
    expect(await first.tab.evaluate((other) => peer.sessions(other), carol.peerId)).toBeGreaterThan(0);
    expect(await carol.send(first.peer, note, { n: 7 }, { failFast: false })).toEqual({ state: "delivered" });
    expect(await askFrom(first.tab, carol.peerId, 2)).toBe(3);
    await first.tab.evaluate(() => peer.stop());
    await first.tab.close();
  });

  it("a key that runs in one tab is refused in another", async () => {
    const first = await enter("frank");
    const second = await site.open(await context.newPage());
    const refusal = second.evaluate((given) => peer.start(given).catch((error) => error.code), {
      name: "frank",
      bootPage,
    });
    expect(await refusal).toBe("EGTP_STORE_LOCKED");
    expect(await askFrom(first.tab, carol.peerId, 1)).toBe(2);
    await Promise.all([first.tab.close(), second.close()]);
  });
});
