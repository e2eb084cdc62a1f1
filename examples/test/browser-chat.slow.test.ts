/** The chat as its reader runs it: two tabs of a real browser, one of which came by the other's link. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { describeInChromium } from "@egtp/browser-tests/chromium";
import { describe, expect, it } from "vitest";

const serve = fileURLToPath(new URL("../browser-chat/serve.ts", import.meta.url));

describeInChromium(describe, "browser-chat", (browser) => {
  it("two tabs talk, and what is said to a closed one is there when it is opened again", async () => {
    const args = ["--conditions=@egtp/source", "--import", "tsx", serve];
    const server = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
    const context = await browser().newContext();
    try {
      const [url] = (await once(createInterface({ input: server.stdout }), "line")) as [string];
      const alice = await context.newPage();
      await alice.goto(url);
      const invitation = await alice.locator("#invitation[href*='peer=']").getAttribute("href");

      const bob = await context.newPage();
      await bob.goto(invitation!);
      const say = async (tab: typeof bob, text: string): Promise<void> => {
        await tab.getByLabel("Say").fill(text);
        await tab.getByRole("button", { name: "Send" }).click();
      };
      await bob.locator("#invitation[href*='peer=']").waitFor();
      await say(bob, "Hello alice");
      await alice.getByText("Hello alice").waitFor();
      await bob.getByText("you: Hello alice delivered").waitFor();
      await say(alice, "Hello bob"); // to whom she heard from
      await bob.getByText("Hello bob").waitFor();

      await alice.close();
      await say(bob, "Until <b>later</b>");
      await bob.getByText("you: Until <b>later</b> waits at a relay").waitFor();
      const again = await context.newPage();
      await again.goto(url);
      await again.getByText("Until <b>later</b>").waitFor();
      expect(await again.locator("#own").textContent()).toBe(new URL(invitation!).searchParams.get("peer"));
    } finally {
      await context.close();
      server.kill("SIGKILL");
    }
  });
});
