/** What `npm install` fetches of a package: packed as for publishing, read back, and judged. */
import { mkdirSync, readdirSync, readFileSync, renameSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import budgets from "../tarball-budgets.json" with { type: "json" };
import type { Manifest, PublishedPackage } from "./packages.ts";
import { run } from "./run.ts";

export interface Tarball {
  readonly path: string;
  readonly bytes: number;
  readonly manifest: Manifest;
  /** Paths in the package, with slashes. */
  readonly files: readonly string[];
}

/**
 * Packs a package that is built.
 *
 * @param folder - Where its tarball goes.
 */
export async function packTarball(
  root: string,
  { folder, manifest }: PublishedPackage,
  into: string,
): Promise<Tarball> {
  // A folder of its own first: how pnpm names the file is its own affair.
  const name = manifest.name.replace("@", "").replace("/", "-");
  const place = join(into, name);
  mkdirSync(place, { recursive: true });
  const pnpm = join(root, "node_modules/pnpm/bin/pnpm.cjs");
  await run(process.execPath, [pnpm, "pack", "--pack-destination", place], { cwd: join(root, folder) });
  const path = join(into, `${name}.tgz`);
  renameSync(join(place, readdirSync(place)[0]!), path);
  return readTarball(path);
}

export function readTarball(path: string): Tarball {
  const packed = readFileSync(path);
  const tar = gunzipSync(packed);
  const files: string[] = [];
  let manifest: Manifest | undefined;
  // Blocks of 512 bytes: a header (name at 0, size in octal at 124, prefix of the name at 345), then the file.
  for (let at = 0; at < tar.length && tar[at] !== 0; ) {
    const text = (start: number, length: number): string =>
      tar.toString("utf8", at + start, at + start + length).replace(/\0.*$/s, "");
    const size = Number.parseInt(text(124, 12), 8);
    const file = [text(345, 155), text(0, 100)].filter((part) => part !== "").join("/");
    files.push(file.replace(/^package\//, ""));
    if (file === "package/package.json") manifest = JSON.parse(tar.toString("utf8", at + 512, at + 512 + size));
    at += 512 + Math.ceil(size / 512) * 512;
  }
  if (manifest === undefined) throw new Error(`${path} holds no package.json`);
  return { path, bytes: packed.length, manifest, files };
}

/** @returns What is wrong with a tarball, in sentences; nothing when it may be published. */
export function faultsOf({ manifest, files, bytes }: Tarball): string[] {
  const { name } = manifest;
  const faults: string[] = [];
  const demand = (isMet: unknown, fault: string): void => {
    if (!isMet) faults.push(`${name}: ${fault}`);
  };
  for (const file of ["README.md", "LICENSE"]) demand(files.includes(file), `holds no ${file}`);
  for (const file of files) {
    const isExpected = /^(?:(?:dist|src)\/.+|package\.json|README\.md|LICENSE|CHANGELOG\.md)$/.test(file);
    const isLeftOver = /\.tsbuildinfo$|\.test\.|(?:^|\/)\./.test(file);
    demand(isExpected && !isLeftOver, `holds ${file}, which nobody needs`);
  }
  for (const file of filesNamedBy([manifest.exports, manifest.imports, manifest.bin])) {
    demand(files.includes(file), `holds no ${file}, which its package.json names`);
  }
  for (const field of ["description", "license", "engines", "exports"] as const) {
    demand(manifest[field] !== undefined, `its package.json has no "${field}"`);
  }
  demand(manifest.publishConfig?.access === "public", 'its package.json has no "publishConfig.access": "public"');
  demand(manifest.publishConfig?.provenance === true, 'its package.json has no "publishConfig.provenance": true');
  for (const [other, version] of Object.entries({ ...manifest.dependencies, ...manifest.peerDependencies })) {
    demand(!version.includes(":"), `depends on ${other} at "${version}", which a registry does not know`);
  }
  const budget = (budgets as Readonly<Record<string, number>>)[name];
  demand(budget !== undefined, "has no budget in tools/release/tarball-budgets.json");
  demand(bytes <= (budget ?? Infinity), `has ${bytes} bytes, and its budget is ${budget}`);
  return faults;
}

/** The paths in `exports` and the like, wherever they stand. */
function filesNamedBy(value: unknown): string[] {
  if (typeof value === "string") return [value.replace(/^\.\//, "")];
  return typeof value === "object" && value !== null ? Object.values(value).flatMap(filesNamedBy) : [];
}
