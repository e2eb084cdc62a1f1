/**
 * Tests that stand in a page, told one by one in Node.js: both sides register the same suite, the page to run it, Node.js to
 * report it.
 */
import type { Page } from "playwright-core";

/**
 * @param vitest - Its `describe` and `it`.
 * @param page - Where the tests run.
 * @returns What to register the suite with; nothing of its tests runs here.
 */
export function testsInPage(vitest: TestApi, page: () => Promise<Page>): TestApi {
  let count = 0;
  return {
    describe: vitest.describe,
    it: (title) => {
      const index = count++;
      return vitest.it(title, async () => (await page()).evaluate((at) => globalThis.runTest(at), index));
    },
  };
}

export interface TestApi {
  readonly describe: (name: string, body: () => void) => unknown;
  readonly it: (title: string, body: () => Promise<void>) => unknown;
}

declare global {
  /** In a page: runs a registered test. */
  var runTest: (index: number) => Promise<void>;
}
