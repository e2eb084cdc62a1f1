/**
 * Takes the pictures of the page that the README shows, light and dark, a moment after a healing: `pnpm screenshots`. They are
 * to be looked at before they are committed.
 */
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { type Browser, chromium } from "playwright-core";
import { Command } from "./command.ts";

const executablePath = process.env.EGTP_CHROMIUM ?? "/usr/bin/chromium";
const size = { width: 1240, height: 960 };

const demo = new Command(["demo", "--ui", "--json"]);
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
try {
  const { url } = (await demo.event("page")) as { url: string };
  for (const colorScheme of ["light", "dark"] as const) {
    const png = await takePicture(url, colorScheme);
    const path = fileURLToPath(new URL(`../../../docs/demo-page-${colorScheme}.webp`, import.meta.url));
    writeFileSync(path, await asWebp(browser, png));
    console.log(path);
  }
} finally {
  await browser.close();
  demo.signal("SIGINT");
  await demo.ended;
}

async function takePicture(url: string, colorScheme: "light" | "dark"): Promise<Buffer> {
  const context = await browser.newContext({ viewport: size, colorScheme, bypassCSP: true });
  const page = await context.newPage();
  const shows = (id: string, text: string) => page.locator(`#${id}`).getByText(text).last().waitFor();
  const say = async (text: string, answer: string): Promise<void> => {
    await page.locator("#text").fill(text);
    await page.keyboard.press("Enter");
    await shows("chat", answer);
  };
  await page.goto(url);
  await page.locator("html[data-ready]").waitFor();
  await say("hello bob", "I read “hello bob”");
  await page.locator("#forget-there").click();
  await shows("story", "is back: the same key");
  await say("are you still there?", "I read “are you still there?”");
  await shows("verdict", "You and bob share a session");
  const png = await page.screenshot({ animations: "disabled" });
  await context.close();
  return png;
}

/** A quarter of the size of a PNG. The browser can write one, and no other part is needed. */
async function asWebp(browser: Browser, png: Buffer): Promise<Buffer> {
  const page = await browser.newPage();
  const url = await page.evaluate(
    async (source) => {
      const image = new Image();
      image.src = source;
      await image.decode();
      const canvas = document.createElement("canvas");
      [canvas.width, canvas.height] = [image.width, image.height];
      canvas.getContext("2d")!.drawImage(image, 0, 0);
      return canvas.toDataURL("image/webp", 0.9);
    },
    `data:image/png;base64,${png.toString("base64")}`,
  );
  await page.close();
  return Buffer.from(url.slice(url.indexOf(",") + 1), "base64");
}
