/**
 * Debian's Chromium, driven through playwright-core. Where it is missing the tests skip and say so; with EGTP_NO_SKIP=1 they
 * fail instead.
 */
import { existsSync } from "node:fs";
import { type Browser, chromium, type LaunchOptions } from "playwright-core";
import { afterAll, beforeAll, type SuiteAPI } from "vitest";

const executablePath = process.env.EGTP_CHROMIUM ?? "/usr/bin/chromium";

export const launchOptions: LaunchOptions = { executablePath, args: ["--no-sandbox"] };

/**
 * A suite with a browser of its own.
 *
 * @param suite - `describe` of vitest.
 */
export function describeInChromium(suite: SuiteAPI, name: string, body: (browser: () => Browser) => void): void {
  const isMissing = !existsSync(executablePath) && process.env.EGTP_NO_SKIP !== "1";
  const title = isMissing ? `${name}: skipped for want of ${executablePath}; apt-get install chromium` : name;
  suite.skipIf(isMissing)(title, () => {
    let browser: Browser | undefined;
    beforeAll(async () => {
      browser = await chromium.launch(launchOptions);
    });
    afterAll(() => browser?.close());
    body(() => browser!);
  });
}
