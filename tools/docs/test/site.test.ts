/** The parts of the site that need nothing installed: which pages it has, and that a link that leads nowhere is found. */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { readPages } from "./page.ts";
import { root } from "./repository.ts";

// It lies outside the workspace and is plain JavaScript.
const load = async <Module>(path: string) => (await import(pathToFileURL(join(root, path)).href)) as Module;
const { stagePages } = await load<{ stagePages: (folder: string) => { home: string; others: string[] } }>(
  "site/lib/pages.mjs",
);
const { followLinks } = await load<{
  followLinks: (folder: string) => { faults: string[]; elsewhere: string[]; followed: number };
}>("site/lib/links.mjs");

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "egtp-site-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe("pages", () => {
  test("all pages for users are there, and what they link to", () => {
    const { home, others } = stagePages(folder);
    const staged = new Set([home, ...others]);
    const wanted = readPages()
      .map(({ path }) => path)
      .filter((path) => /^(?:README|CONTRIBUTING|docs\/.*|packages\/[^/]+\/README)\.md$/.test(path));
    expect(wanted.filter((path) => !staged.has(join(folder, path)))).toEqual([]);

    const faults: string[] = [];
    for (const page of staged) {
      const prose = readFileSync(page, "utf8").replaceAll(/^( *)(`{3,})[\s\S]*?^ *\2 *$|`[^`\n]+`/gm, "");
      for (const [, target = ""] of prose.matchAll(/\]\(([^)\s#]+)[^)]*\)/g)) {
        if (!/^[a-z]+:/.test(target) && !existsSync(join(dirname(page), target))) faults.push(`${page}: ${target}`);
      }
    }
    expect(faults).toEqual([]);
  });

  test("a code file that is linked becomes a page, and a diagram is left for the browser", () => {
    stagePages(folder);
    expect(readFileSync(join(folder, "examples/usb-stick.ts.md"), "utf8")).toMatch(/^---\n.*usb-stick.*`````ts\n/s);
    const readme = readFileSync(join(folder, "README.md"), "utf8");
    expect(readme).toContain('<pre class="mermaid">sequenceDiagram');
    expect(readme).not.toContain("```mermaid");
  });
});

describe("links of the site", () => {
  const write = (path: string, html: string): void => {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), html);
  };

  test("are followed to the file and the place in it; those to elsewhere are listed", () => {
    write(
      "index.html",
      '<a href="b/c%20d.html#x&amp;y">1</a><a href="#top">2</a><p id="top"><a href="https://e.org/">3</a>',
    );
    write("b/c d.html", '<h2 id="x&amp;y"></h2><a href="../">4</a><a href="../index.html#top">5</a>');
    expect(followLinks(folder)).toEqual({ faults: [], elsewhere: ["https://e.org/"], followed: 4 });
  });

  test("that lead nowhere are told", () => {
    write("index.html", '<a href="a.html">1</a><a href="#a">2</a><img src="a.png"><a href="../index.html">3</a>');
    expect(followLinks(folder).faults).toEqual([
      "index.html: a.html: there is no such page",
      "index.html: #a: there is no such place in it",
      "index.html: a.png: there is no such page",
      "index.html: ../index.html: there is no such page",
    ]);
  });
});
