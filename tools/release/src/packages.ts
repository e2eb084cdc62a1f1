/** The packages of a workspace that are published, each after those that it depends on. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

export interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly description?: string;
  readonly license?: string;
  readonly private?: boolean;
  readonly repository?: { readonly type: string; readonly url: string; readonly directory: string };
  readonly publishConfig?: { readonly access?: string; readonly provenance?: boolean };
  readonly engines?: { readonly node?: string };
  readonly bin?: unknown;
  readonly exports?: Readonly<Record<string, unknown>>;
  readonly imports?: unknown;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly peerDependencies?: Readonly<Record<string, string>>;
}

export interface PublishedPackage {
  /** From the root of the workspace, with slashes. */
  readonly folder: string;
  readonly manifest: Manifest;
}

export function publishedPackages(root: string): PublishedPackage[] {
  const found = readdirSync(join(root, "packages"), { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => ({ folder: `packages/${name}`, manifest: readManifest(root, `packages/${name}`) }))
    .filter(({ manifest }) => manifest.private !== true);
  const ladder: PublishedPackage[] = [];
  const add = (one: PublishedPackage): void => {
    if (ladder.includes(one)) return;
    for (const other of found) if (one.manifest.dependencies?.[other.manifest.name] !== undefined) add(other);
    ladder.push(one);
  };
  for (const one of found) add(one);
  return ladder;
}

function readManifest(root: string, folder: string): Manifest {
  return JSON.parse(readFileSync(join(root, folder, "package.json"), "utf8")) as Manifest;
}
