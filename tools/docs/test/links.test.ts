/** Every relative link of the documentation leads somewhere, and so does every section that the code refers to. */
import { existsSync, statSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { describe, expect, test } from "vitest";
import { type Page, prose, readPages } from "./page.ts";
import { findFiles, read, root } from "./repository.ts";

const pages = readPages();

/** The anchors of a page, as GitHub makes them from its headings. */
function anchorsOf(page: Page): Set<string> {
  const seen = new Map<string, number>();
  const anchors = new Set<string>();
  const withoutBlocks = page.text.replaceAll(/^( *)(`{3,}|~{3,})[\s\S]*?^ *\2 *$/gm, "");
  for (const [, heading = ""] of withoutBlocks.matchAll(/^#{1,6} +(.*?) *#*$/gm)) {
    const text = heading.replaceAll(/\[([^\]]*)\]\([^)]*\)/g, "$1").toLowerCase();
    const slug = text.replaceAll(/[^\p{L}\p{N}\s_-]/gu, "").replaceAll(/\s/g, "-");
    const count = seen.get(slug) ?? 0;
    seen.set(slug, count + 1);
    anchors.add(count === 0 ? slug : `${slug}-${count}`);
  }
  return anchors;
}

const anchors = new Map(pages.map((page) => [page.path, anchorsOf(page)]));

function faultOfLink(page: Page, target: string): string | undefined {
  if (/^[a-z]+:/.test(target)) return undefined;
  const [file = "", anchor] = target.split("#");
  const path = file === "" ? page.path : relative(root, join(root, dirname(page.path), decodeURIComponent(file)));
  if (path.startsWith("..")) return "leads out of the repository";
  if (!existsSync(join(root, path))) return `there is no ${path}`;
  if (anchor === undefined) return undefined;
  const readme = statSync(join(root, path)).isDirectory() ? join(path, "README.md") : path;
  return anchors.get(readme)?.has(anchor) === true ? undefined : `${readme} has no heading #${anchor}`;
}

describe("links", () => {
  test.for(pages)("$path", (page) => {
    const text = prose(page);
    const inline = [...text.matchAll(/\[[^\]]*\]\(\s*<?([^)\s>]+)>?[^)]*\)/g)].map(([, target = ""]) => target);
    const named = [...text.matchAll(/^\[[^\]]+\]: +(\S+)/gm)].map(([, target = ""]) => target);
    const tags = [...text.matchAll(/\b(?:href|src|srcset)="([^"]+)"/g)].map(([, target = ""]) => target);
    const faults = [...inline, ...named, ...tags].flatMap((target) => {
      const fault = faultOfLink(page, target);
      return fault === undefined ? [] : [`${target}: ${fault}`];
    });
    expect(faults).toEqual([]);
  });
});

test("sections of the specification that the code refers to exist", () => {
  const spec = pages.find(({ path }) => path === "docs/spec.md")!;
  const headings = new Set([...spec.text.matchAll(/^## (.*)$/gm)].map(([, heading]) => heading));
  const faults = findFiles(/^(?:packages|apps|tools)\/.*\.ts$/).flatMap((path) => {
    return [...read(path).matchAll(/@see docs\/spec\.md, (.*)$/gm)].flatMap(([, sections = ""]) =>
      [...sections.matchAll(/"([^"]+)"/g)]
        .filter(([, section]) => !headings.has(section))
        .map(([, section]) => `${path}: "${section}"`),
    );
  });
  expect(faults).toEqual([]);
});
