/** The suite that every transport passes, run in a real browser: its WebSocket dials, Node.js listens. */
import { describeTransport } from "@egtp/node/conformance";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { describeInChromium } from "../src/chromium.ts";
import { PageSite } from "../src/page-site.ts";
import { testsInPage } from "./page-suite.ts";
import { RemoteHosts } from "./remote-hosts.ts";

describeInChromium(describe, "in Chromium", (browser) => {
  let site: PageSite;
  let page: Page;
  beforeAll(async () => {
    site = await PageSite.serve(new URL("pages/transport.ts", import.meta.url), new RemoteHosts().answer);
    page = await site.open(await browser().newPage());
  });
  afterAll(async () => {
    await page?.close();
    await site?.[Symbol.asyncDispose]();
  });

  const runner = testsInPage({ describe, it }, async () => page);
  const nothing = (): never => {
    throw new Error("The page makes the transports");
  };
  describeTransport("websocket of a browser", nothing, { ...runner, expect });
});
