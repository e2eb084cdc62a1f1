/** `demo --ui` in a real browser: what a visitor does with the page, and what it shows. */
import { describeInChromium } from "@egtp/browser-tests/chromium";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Command } from "./command.ts";

describeInChromium(describe, "the page of demo --ui", (browser) => {
  let demo: Command;
  let url: string;
  beforeAll(async () => {
    demo = new Command(["demo", "--ui", "--json"]);
    ({ url } = (await demo.event("page")) as { url: string });
  }, 120_000);
  afterAll(() => demo?.signal("SIGKILL"));

  test("is a peer that talks, forgets and heals, and shows a deadlock where healing is off", {
    timeout: 120_000,
  }, async () => {
    // The page allows no script but its own, and what the test asks it comes as one.
    const tabs = await browser().newContext({ bypassCSP: true });
    const faults: string[] = [];
    const open = async (): Promise<Page> => {
      const page = await tabs.newPage();
      page.on("pageerror", (error) => faults.push(error.message));
      await page.goto(url);
      await isReady(page);
      return page;
    };
    const page = await open();
    const shows = (id: string, text: string | RegExp) =>
      expect.poll(() => page.locator(`#${id}`).textContent(), patience).toMatch(text);
    const say = async (text: string): Promise<void> => {
      await page.locator("#text").fill(text);
      await page.keyboard.press("Enter");
    };

    await say("hello");
    await shows("chat", /I read “hello”: 1 word\. Message 1 since I woke up/);
    await shows("verdict", "You and bob share a session");
    await shows("sessions-here", "confirmed");
    const [preferred = ""] = /\w{8}…/.exec((await page.locator("#sessions-here").textContent()) ?? "") ?? [];
    await shows("sessions-there", preferred);
    await shows("envelopes", "you → boboffer");
    expect(await page.locator("#relayed").textContent()).not.toContain("hello");

    await page.locator("#file").setInputFiles({ name: "a.bin", mimeType: "", buffer: Buffer.alloc(300_000, 7) });
    await shows("chat", "I have your file “a.bin”, 300,000 bytes");

    await page.locator("#forget-there").click();
    await shows("story", "is back: the same key");
    await say("again");
    await shows("chat", /I read “again”: 1 word\. Message 1 since/);
    await shows("story", "cannot read you: that session is not kept here");

    await page.locator("#heals").uncheck();
    await shows("story", "healing is off");
    await page.locator("#forget-there").click();
    await shows("sessions-there", "none");
    await say("lost?");
    await shows("verdict", "Deadlock, as in 2004");
    await shows("chat", "the relay keeps it");
    await page.locator("#heals").check();
    await shows("chat", "I read “lost?”");
    await shows("verdict", "You and bob share a session");

    await Promise.all([page.waitForEvent("load"), page.locator("#forget-here").click()]);
    await isReady(page);
    await shows("sessions-here", "none");
    await say("me too");
    await shows("chat", "I read “me too”");

    await page.locator("#relay-switch").click();
    await shows("verdict", "The relay is down");
    await say("later");
    await page.locator("#relay-switch").click();
    await shows("chat", "I read “later”");

    const second = await open();
    await second.locator("#peers").getByText("tab 1").click();
    await second.locator("#text").fill("from the next tab");
    await second.keyboard.press("Enter");
    await shows("chat", "from the next tab");

    expect(faults).toEqual([]);
    await tabs.close();
  });

  test("fits a phone, has both themes, and takes orders of nobody else", async () => {
    const phone = await browser().newContext({ viewport: { width: 360, height: 740 }, colorScheme: "dark" });
    const page = await phone.newPage();
    await page.goto(url);
    await page.locator("html[data-ready]").waitFor();
    const colour = () => page.locator("body").evaluate((body) => getComputedStyle(body).backgroundColor);
    const isWide = await page.evaluate(() => document.documentElement.scrollWidth > innerWidth);
    expect(isWide).toBe(false);
    const dark = await colour();
    await page.locator("#theme").press("Enter");
    expect(await colour()).not.toBe(dark);

    // Nobody else may order anything: not another site, not under another name.
    const text = { method: "POST", headers: { "content-type": "text/plain" }, body: '{"order":"forget"}' };
    expect((await fetch(`${url}orders`, text)).status).toBe(405);
    const unknown = { method: "POST", headers: { "content-type": "application/json" }, body: '{"order":"dance"}' };
    expect((await fetch(`${url}orders`, unknown)).status).toBe(400);
    expect((await fetch(`${url}..%2fmain.js`)).status).toBe(404);
    await phone.close();
  });

  test("ends with Ctrl-C", async () => {
    demo.signal("SIGINT");
    expect((await demo.ended).code).toBe(0);
  });
});

/** All of this takes seconds; a busy machine needs its time. */
const patience = { timeout: 30_000, interval: 50 };

async function isReady(page: Page): Promise<void> {
  await page.locator("html[data-ready]").waitFor();
}
