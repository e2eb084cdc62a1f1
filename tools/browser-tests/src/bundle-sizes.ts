/**
 * Prints how much of a page each package takes, with all that it imports, minified and gzipped, beside its budget in
 * `bundle-budgets.json`. Ends with 1 when one is over it. A budget is raised by hand, in the commit that needs it.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { bundle } from "./bundle.ts";

interface Budget {
  /** Names by entry; `*` stands for all. */
  readonly exports: Readonly<Record<string, readonly string[]>>;
  readonly maxGzipBytes: number;
}

const folder = fileURLToPath(new URL("..", import.meta.url));
const budgets = JSON.parse(readFileSync(join(folder, "bundle-budgets.json"), "utf8")) as Record<string, Budget>;

// It lies where imports find the packages, and is ignored by git.
mkdirSync(join(folder, "dist"), { recursive: true });
const place = mkdtempSync(join(folder, "dist", "sizes-"));
try {
  const kilobytes = (bytes: number): string => `${(bytes / 1_000).toFixed(1)} KB`.padStart(9);
  console.log(`${"gzipped".padStart(36)}${"budget".padStart(10)}${"minified".padStart(10)}`);
  for (const [name, { exports, maxGzipBytes }] of Object.entries(budgets)) {
    const entry = join(place, "entry.ts");
    const lines = Object.entries(exports).map(([from, names]) => {
      return `export ${names[0] === "*" ? "*" : `{ ${names.join(", ")} }`} from "${from}";\n`;
    });
    writeFileSync(entry, lines.join(""));
    const code = await bundle(entry, { minify: true });
    const size = gzipSync(code, { level: 9 }).length;
    const isOver = size > maxGzipBytes;
    if (isOver) process.exitCode = 1;
    const verdict = isOver ? "  over its budget" : "";
    console.log(`${name.padEnd(27)}${kilobytes(size)} ${kilobytes(maxGzipBytes)} ${kilobytes(code.length)}${verdict}`);
  }
} finally {
  rmSync(place, { recursive: true });
}
