/** The page of all error codes. It is put together from the tables of the packages' READMEs, where each code is explained. */
import { join, relative } from "node:path/posix";
import { read } from "./repository.ts";

const head = `# Error codes

Everything that EGTP throws or gives as a reason is an \`EgtpError\` with a stable \`code\`, and mostly a \`hint\`: compare the
code, never the text. A wrong argument of the calling program is a plain \`TypeError\` or \`RangeError\` without a code. Classes and
fields are told in the README of the package, and how to handle errors in the [tutorial](tutorial.md#errors).

<!-- Made from the READMEs by a test, which also says when it is out of date: npx vitest run tools/docs/test/promises.test.ts -u -->

| code | means | what to do | of |
| --- | --- | --- | --- |
`;

/** @param packages - From the lowest: a code that several explain is taken from the first. */
export function errorPage(packages: readonly string[]): string {
  const rows = new Map<string, string>();
  for (const name of packages) {
    const folder = `packages/${name}`;
    for (const [, code = "", cells = ""] of read(`${folder}/README.md`).matchAll(
      /^\| `(EGTP_[A-Z0-9_]+)` \| (.*) \|$/gm,
    )) {
      const [means = "", remedy = ""] = cells.split(" | ").slice(-2);
      if (rows.has(code)) continue;
      const texts = [means, remedy].map((text) => sentence(linksFromDocs(text, folder)));
      rows.set(code, `| \`${code}\` | ${texts.join(" | ")} | [${name}](../${folder}/README.md#errors) |`);
    }
  }
  const sorted = [...rows].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, row]) => row);
  return `${head}${sorted.join("\n")}\n`;
}

function linksFromDocs(text: string, folder: string): string {
  return text.replaceAll(/\]\(([^)#]+)/g, (_whole, target: string) => `](${relative("docs", join(folder, target))}`);
}

function sentence(text: string): string {
  const isCode = text.startsWith("`");
  const end = /[.`]$/.test(text) ? "" : ".";
  return (isCode ? text : text.charAt(0).toUpperCase() + text.slice(1)) + end;
}
