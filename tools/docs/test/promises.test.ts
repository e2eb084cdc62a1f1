/** What the documentation promises to be complete is: tested rules and properties, error codes, changesets. */
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { errorPage } from "./error-page.ts";
import { findFiles, read, readAll, root } from "./repository.ts";

describe("each rule and property of the specification has a test that bears its name", () => {
  const titles = [
    ...readAll(/^(?:packages|apps|tools)\/.*(?<!\.slow)\.test\.ts$/).matchAll(
      /^\s*(?:describe|it|test)\b[^"'`\n]*\(\s*(["'`])(.*?)\1/gm,
    ),
  ].map(([, , title = ""]) => title);
  const names = [...read("docs/spec.md").matchAll(/^\| ([RP]\d+) \|/gm)].map(([, name = ""]) => name);

  test("there are 8 rules and 10 properties", () => {
    expect(names).toHaveLength(18);
  });

  test.for(names)("%s", (name) => {
    expect(titles.filter((title) => new RegExp(`\\b${name}\\b`).test(title))).not.toEqual([]);
  });
});

describe("each promise of the security page has a test, in that file and with that title", () => {
  const promises = [...read("docs/security.md").matchAll(/^\| (.+) \| `(.+)`: (.+) \|$/gm)];

  test("each row of its tables of promises is one", () => {
    const promised = /## What is promised([\s\S]*?)\n## /.exec(read("docs/security.md"))![1]!;
    const rows = promised.split("\n").filter((line) => /^\| (?!promise|---)/.test(line));
    expect(promises.length).toBeGreaterThan(20);
    expect(promises).toHaveLength(rows.length);
  });

  test.for(promises.map(([, promise = "", path = "", title = ""]) => [promise, path, title] as const))(
    "%s",
    ([, path, title]) => {
      const quoted = title.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&");
      expect(read(path)).toMatch(new RegExp(`\\b(?:describe|it|test)\\b[^"'\`\\n]*\\(\\s*(["'\`])${quoted}\\1`));
    },
  );
});

/** The ladder: each package stands on those before it, and may throw their errors. */
const packages = ["wire", "session-store", "mesgen", "node", "metatracker", "relay"];
const code = /\bEGTP_[A-Z0-9]+(?:_[A-Z0-9]+)*\b/g;

test("each error code stands in the README of the lowest package that uses it", () => {
  const faults: string[] = [];
  const explained = new Set<string>();
  for (const name of packages) {
    const used = readAll(new RegExp(`^packages/${name}/src/.*\\.ts$`)).match(code) ?? [];
    const inReadme = new Set(read(`packages/${name}/README.md`).match(code) ?? []);
    for (const one of new Set(used)) {
      if (!explained.has(one) && !inReadme.has(one)) faults.push(`${name} does not explain ${one}`);
      explained.add(one);
    }
    for (const one of inReadme) if (!explained.has(one)) faults.push(`${name} explains ${one}, which nothing throws`);
  }
  expect(faults).toEqual([]);
});

test("the page of error codes has all of them, as the READMEs explain them", async () => {
  const page = errorPage(packages);
  const used = packages.flatMap((name) => readAll(new RegExp(`^packages/${name}/src/.*\\.ts$`)).match(code) ?? []);
  const explained = [...page.matchAll(/^\| `(EGTP_\w+)` \| [^|]{10,} \| [^|]{5,} \| \[/gm)].map(([, one = ""]) => one);
  expect(explained).toEqual([...new Set(used)].toSorted());
  await expect(page).toMatchFileSnapshot(join(root, "docs/errors.md"));
});

describe("each layer's design page answers the same questions in the same order, briefly", () => {
  test.for(findFiles(/^docs\/design\/(?!README).*\.md$/))("%s", (path) => {
    const text = read(path);
    const questions = [...text.matchAll(/^## (.*)$/gm)].map(([, heading = ""]) => heading);
    expect(questions).toEqual([
      "Its role",
      "What it gives upward",
      "What it needs from below",
      expect.stringMatching(/^The life of an? /),
      "When both sides start at once",
      "What it does not promise",
    ]);
    expect(text.split("\n").length).toBeLessThanOrEqual(80);
  });
});

describe("changesets", () => {
  const publicNames = new Set(
    findFiles(/^(?:packages|apps|tools)\/[^/]+\/package\.json$/)
      .map((path) => JSON.parse(read(path)) as { name: string; private?: boolean })
      .filter((manifest) => manifest.private !== true)
      .map(({ name }) => name),
  );

  test.for(findFiles(/^\.changeset\/(?!README).*\.md$/))("%s", (path) => {
    const [, header = "", sentence = ""] = /^---\n([\s\S]*?)---\n([\s\S]*)$/.exec(read(path)) ?? [];
    const lines = header.trim().split("\n");
    for (const line of lines) {
      const [, name = "", bump] = /^"([^"]+)": (major|minor|patch)$/.exec(line) ?? [];
      expect(publicNames, `${line} names a published package and how much it changed`).toContain(name);
      expect(bump).toBeDefined();
    }
    expect(lines.length).toBeGreaterThan(0);
    expect(sentence.trim()).toMatch(/^\S.*[.!]$/s);
  });
});
