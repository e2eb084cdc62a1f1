/** `pnpm release` in a clone of this repository, with a registry on loopback. What is not committed takes no part. */
import { existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Release } from "../src/release.ts";
import { run } from "../src/run.ts";
import { Registry } from "./registry.ts";

const root = fileURLToPath(new URL("../../..", import.meta.url));
const ladder = ["wire", "session-store", "mesgen", "node", "metatracker", "relay"].map((name) => `@egtp/${name}`);
const repository = "https://git.example/egtp/egtp";

describe("pnpm release", () => {
  const place = mkdtempSync(join(tmpdir(), "egtp-release-test-"));
  const clone = join(place, "repository");
  let registry: Registry;
  /** Versions by name, as the dry run told them. */
  let plan: Map<string, string>;
  const git = (...args: readonly string[]): Promise<string> => run("git", args, { cwd: clone });
  const state = async (): Promise<string[]> => [
    await git("rev-parse", "HEAD"),
    await git("tag"),
    await git("status", "--short"),
  ];

  beforeAll(async () => {
    registry = await Registry.serve();
    await run("git", ["clone", "--quiet", root, clone], { cwd: place });
    for (const folder of [".", "tools/release"]) {
      symlinkSync(join(root, folder, "node_modules"), join(clone, folder, "node_modules"));
    }
    writeFileSync(join(clone, ".git/info/exclude"), "node_modules\n");
    await git("config", "user.name", "Somebody");
    await git("config", "user.email", "somebody@example.org");
    // Right after a release there is none.
    const bumps = ladder.map((name) => `"${name}": patch\n`).join("");
    writeFileSync(join(clone, ".changeset/something.md"), `---\n${bumps}---\n\nSomething changed.\n`);
    await git("add", "--all");
    await git("commit", "--quiet", "--message", "Change something");
    const own = process.env.NPM_CONFIG_USERCONFIG ?? join(homedir(), ".npmrc");
    const settings = existsSync(own) ? readFileSync(own, "utf8") : "";
    writeFileSync(join(place, ".npmrc"), `${settings}\n${registry.npmrc}`);
  });
  afterAll(async () => {
    await registry?.[Symbol.asyncDispose]();
    rmSync(place, { recursive: true });
  });

  const release = async (...args: readonly string[]): Promise<{ code: number; result: Release }> => {
    const script = JSON.parse(readFileSync(join(root, "package.json"), "utf8")).scripts.release as string;
    const [program, ...words] = script.split(" ");
    const env: NodeJS.ProcessEnv = { ...process.env, NPM_CONFIG_USERCONFIG: join(place, ".npmrc") };
    // Where this test is part of a CI that could prove provenance.
    for (const name of Object.keys(env)) if (/^(?:ACTIONS|SIGSTORE)_/.test(name)) delete env[name];
    try {
      const stdout = await run(program!, [...words, "--json", "--no-check", ...args], { cwd: clone, env });
      return { code: 0, result: JSON.parse(stdout) as Release };
    } catch (error) {
      const { code, stdout, stderr } = (error as Error).cause as { code: number; stdout: string; stderr: string };
      if (stdout === "") throw new Error(stderr);
      return { code, result: JSON.parse(stdout) as Release };
    }
  };

  it("says what is missing, and does nothing", async () => {
    writeFileSync(join(clone, "notes.txt"), "not committed");
    const before = await state();
    const { code, result } = await release();
    expect(code).toBe(1);
    expect(result.missing).toEqual([
      expect.stringMatching(/^the public address of this repository/), // it was cloned from a folder
      expect.stringMatching(/^a clean working tree/),
      expect.stringMatching(/^a CI that proves provenance/),
    ]);
    expect(await state()).toEqual(before);
    expect(registry.published).toEqual([]);
    rmSync(join(clone, "notes.txt"));
  });

  it("as a dry run says what would be published, and touches nothing", async () => {
    const before = await state();
    const { code, result } = await release("--dry-run", "--repository", repository);
    expect(result.missing).toEqual([]);
    expect(code).toBe(0);
    expect(result.packages.map(({ name }) => name)).toEqual(ladder);
    plan = new Map(result.packages.map(({ name, version }) => [name, version]));
    for (const { version, bytes } of result.packages) {
      expect(version).toMatch(/^\d+\.\d+\.\d+$/);
      expect(bytes).toBeGreaterThan(10_000);
    }
    expect(await state()).toEqual(before);
    expect(existsSync(join(clone, "packages/wire/CHANGELOG.md"))).toBe(false);
    expect(registry.published).toEqual([]);
  });

  it("publishes what the registry has not yet, in the order of the ladder, and keeps commit and tags", async () => {
    const [head] = await state();
    registry.knows("@egtp/wire", plan.get("@egtp/wire")!); // of a release that was interrupted
    const { code, result } = await release("--repository", repository, "--no-provenance");
    expect([code, result.missing]).toEqual([0, []]);
    expect(registry.published.map(({ name }) => name)).toEqual(ladder.slice(1));
    for (const { name, version, repository: source, dependencies } of registry.published) {
      expect(version).toBe(plan.get(name));
      expect(source).toMatchObject({ url: `git+${repository}.git`, directory: name.replace("@egtp", "packages") });
      expect(dependencies?.["@egtp/wire"]).toBe(plan.get("@egtp/wire"));
    }
    expect(await git("rev-parse", "HEAD~1")).toBe(head);
    expect((await git("tag")).trim().split("\n").sort()).toEqual([...plan].map((entry) => entry.join("@")).sort());
    expect(await git("status", "--short")).toBe("");
    const changelog = readFileSync(join(clone, "packages/wire/CHANGELOG.md"), "utf8");
    expect(changelog).toContain(`## ${plan.get("@egtp/wire")}`);
    expect(changelog).toContain("Something changed.");
    const manifest = JSON.parse(readFileSync(join(clone, "packages/wire/package.json"), "utf8"));
    expect(manifest).toMatchObject({ version: plan.get("@egtp/wire"), publishConfig: { provenance: true } });
  });
});
