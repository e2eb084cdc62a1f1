/** Examples that are for browsers run in a page of one. */
import { pathToFileURL } from "node:url";
import { describeInChromium } from "@egtp/browser-tests/chromium";
import { PageSite } from "@egtp/browser-tests/page-site";
import { describe, expect, test } from "vitest";
import { readPages } from "./page.ts";
import { faultsOf, type Program, programsOf, writePrograms } from "./program.ts";

const programs = readPages()
  .filter(({ path }) => !path.startsWith("bench/"))
  .flatMap(programsOf);
writePrograms(programs);
const named = programs
  .filter(({ isForBrowsers }) => isForBrowsers)
  .map((program) => [`${program.page}:${program.line}`, program] as const);

describeInChromium(describe, "in Chromium", (browser) => {
  test.for<readonly [string, Program]>(named)("%s", async ([, program]) => {
    await using site = await PageSite.serve(pathToFileURL(program.path));
    const context = await browser().newContext();
    try {
      const page = await context.newPage();
      const printed: string[] = [];
      page.on("console", (message) => printed.push(message.text()));
      const error = await Promise.race([
        new Promise<Error>((resolve) => page.on("pageerror", resolve)),
        site.open(page).then(() => undefined),
      ]);
      const ended = {
        code: error === undefined ? 0 : 1,
        stdout: printed.join("\n"),
        all: `${printed.join("\n")}\n${error?.message}`,
      };
      expect(faultsOf(program, ended).join("\n")).toBe("");
    } finally {
      await context.close();
    }
  });
});
