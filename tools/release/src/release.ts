/**
 * One release: in a fresh clone versions and changelogs are made from the changesets, everything is built, checked and packed,
 * and what would be published is judged. Only then, and not in a dry run, is it published, and the clone's commit and tags are
 * taken over. Until then nothing outside the clone has changed. Begun again after it was interrupted it publishes what is left.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type PublishedPackage, publishedPackages } from "./packages.ts";
import { type RunOptions, run } from "./run.ts";
import { faultsOf, packTarball, type Tarball } from "./tarball.ts";

export interface ReleaseOptions {
  /** Of the workspace, a git repository. */
  readonly root: string;
  readonly dryRun: boolean;
  /** Where anybody finds the sources. Default: what git calls `origin`. */
  readonly repository: string | undefined;
  /** Whether `pnpm check` is run. */
  readonly check: boolean;
  /** Whether the registry is given proof of where the packages were made. */
  readonly provenance: boolean;
  readonly tell: (progress: string) => void;
}

export interface Release {
  /** Commit of what was released. */
  readonly commit: string;
  readonly packages: readonly ReleasedPackage[];
  /** What is missing, in sentences: with any, nothing was published. */
  readonly missing: readonly string[];
}

export interface ReleasedPackage {
  readonly name: string;
  readonly version: string;
  readonly bytes: number;
  readonly files: number;
}

export async function release(options: ReleaseOptions): Promise<Release> {
  const { root, dryRun, tell } = options;
  const place = mkdtempSync(join(tmpdir(), "egtp-release-"));
  const clone = join(place, "clone");
  const inRoot = { cwd: root };
  const inClone: RunOptions = { cwd: clone, env: { ...process.env, CI: "true", TURBO_TELEMETRY_DISABLED: "1" } };
  const pnpm = (...args: readonly string[]) =>
    run(process.execPath, [join(root, "node_modules/pnpm/bin/pnpm.cjs"), ...args], inClone);
  try {
    tell("a fresh clone");
    const commit = (await run("git", ["rev-parse", "HEAD"], inRoot)).trim();
    const missing: string[] = [];
    const repository = publicUrl(options.repository ?? (await origin(root)));
    if (repository === undefined) {
      missing.push("the public address of this repository: add a git remote origin, or give --repository URL");
    }
    if ((await run("git", ["status", "--porcelain"], inRoot)) !== "") {
      const note = "uncommitted changes here are left out";
      if (dryRun) tell(note);
      else missing.push(`a clean working tree: ${note}, and would be in the way of the release commit`);
    }
    if (!dryRun && options.provenance && !canProveProvenance()) {
      missing.push("a CI that proves provenance (id-token: write on GitHub Actions): or give --no-provenance");
    }
    const author = await authorOf(root);
    if (!dryRun && author === undefined) missing.push("whose commit it is: git config user.name and user.email");
    if (!dryRun && missing.length > 0) return { commit, packages: [], missing };
    await run("git", ["clone", "--quiet", root, clone], inRoot);
    await run("git", ["checkout", "--quiet", "-B", "release", commit], inClone);
    await pnpm("install", "--frozen-lockfile", "--prefer-offline");

    tell("versions and changelogs");
    const before = publishedPackages(clone);
    await pnpm("changeset", "version");
    const changed = publishedPackages(clone).filter(({ folder, manifest }) => {
      return manifest.version !== before.find((one) => one.folder === folder)?.manifest.version;
    });
    if (changed.length === 0) missing.push("changesets: without one there is nothing to release");

    tell("build");
    await pnpm("build");
    if (options.check) {
      tell("check");
      await pnpm("check");
    }

    tell("pack");
    const tarballs: Tarball[] = [];
    for (const one of changed) {
      const restore = writeManifest(clone, one, { repository, provenance: options.provenance });
      tarballs.push(await packTarball(clone, one, place));
      restore();
    }
    const isExpected = (fault: string): boolean => !options.provenance && fault.includes("publishConfig.provenance");
    missing.push(...tarballs.flatMap(faultsOf).filter((fault) => !isExpected(fault)));
    const packages = tarballs.map(({ manifest: { name, version }, bytes, files }) => {
      return { name, version, bytes, files: files.length };
    });
    if (dryRun || missing.length > 0) return { commit, packages, missing };

    for (const tarball of tarballs) {
      const { name, version } = tarball.manifest;
      if (await isPublished(place, `${name}@${version}`)) tell(`${name}@${version} is published already`);
      else {
        tell(`publish ${name}@${version}`);
        await run("npm", ["publish", tarball.path], { cwd: place });
      }
    }
    await takeOver(root, clone, packages, author!);
    return { commit, packages, missing };
  } finally {
    rmSync(place, { recursive: true, force: true });
  }
}

/**
 * Says in a manifest where its sources are, as a registry that proves provenance wants it.
 *
 * @returns What takes it back: this is for the registry, and no part of the release commit.
 */
function writeManifest(
  clone: string,
  { folder }: PublishedPackage,
  { repository, provenance }: { repository: string | undefined; provenance: boolean },
): () => void {
  const path = join(clone, folder, "package.json");
  const text = readFileSync(path, "utf8");
  const manifest = JSON.parse(text);
  if (repository !== undefined) manifest.repository = { type: "git", url: repository, directory: folder };
  if (!provenance) delete manifest.publishConfig.provenance;
  writeFileSync(path, `${JSON.stringify(manifest, null, 2)}\n`);
  return () => writeFileSync(path, text);
}

/** Commits what was released, with a tag for each package, and brings both into the repository. */
async function takeOver(
  root: string,
  clone: string,
  packages: readonly ReleasedPackage[],
  author: readonly string[],
): Promise<void> {
  const inClone = { cwd: clone };
  const tags = packages.map(({ name, version }) => `${name}@${version}`);
  await run("git", ["add", "--all"], inClone);
  await run("git", [...author, "commit", "--quiet", "--message", `Release ${tags.join(", ")}`], inClone);
  for (const tag of tags) await run("git", [...author, "tag", "--annotate", "--message", tag, tag], inClone);
  await run("git", ["fetch", "--quiet", "--tags", clone, "release"], { cwd: root });
  await run("git", ["merge", "--quiet", "--ff-only", "FETCH_HEAD"], { cwd: root });
}

/** @returns Options of git for what is made in a clone, which does not have the settings of this repository. */
async function authorOf(root: string): Promise<string[] | undefined> {
  const keys = ["user.name", "user.email"];
  try {
    const values = await Promise.all(keys.map((key) => run("git", ["config", key], { cwd: root })));
    return keys.flatMap((key, index) => ["-c", `${key}=${values[index]!.trim()}`]);
  } catch {
    return undefined;
  }
}

async function origin(root: string): Promise<string | undefined> {
  return await run("git", ["remote", "get-url", "origin"], { cwd: root }).then(
    (url) => url.trim(),
    () => undefined,
  );
}

/** As npm wants it. A folder on this machine is none. */
function publicUrl(url: string | undefined): string | undefined {
  const parts = /^(?:git\+)?(?:https:\/\/|ssh:\/\/(?:[^/@]+@)?|[^/@]+@)([^/:]+)[/:](.+?)(?:\.git)?\/?$/.exec(url ?? "");
  return parts === null ? undefined : `git+https://${parts[1]}/${parts[2]}.git`;
}

function canProveProvenance(): boolean {
  const { ACTIONS_ID_TOKEN_REQUEST_URL, SIGSTORE_ID_TOKEN } = process.env;
  return ACTIONS_ID_TOKEN_REQUEST_URL !== undefined || SIGSTORE_ID_TOKEN !== undefined;
}

async function isPublished(place: string, spec: string): Promise<boolean> {
  try {
    return (await run("npm", ["view", spec, "version"], { cwd: place })).trim() !== "";
  } catch (error) {
    if (error instanceof Error && error.message.includes("E404")) return false;
    throw error;
  }
}
