/** A plain npm project outside the workspace, as of somebody who installs the packages. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { run } from "../src/run.ts";
import type { Tarball } from "../src/tarball.ts";

export class NpmProject implements Disposable {
  readonly folder: string = mkdtempSync(join(tmpdir(), "egtp-project-"));

  /**
   * @param own - Those of our packages that it depends on.
   * @param all - Where npm finds the packages that those depend on, since no registry has them.
   * @param others - From the registry, each with its version.
   */
  static async install(
    own: readonly Tarball[],
    all: readonly Tarball[],
    others: Readonly<Record<string, string>> = {},
  ): Promise<NpmProject> {
    const project = new NpmProject();
    const places = (tarballs: readonly Tarball[]) =>
      Object.fromEntries(tarballs.map(({ manifest, path }) => [manifest.name, `file:${path}`]));
    const manifest = {
      name: "project",
      private: true,
      type: "module",
      dependencies: { ...places(own), ...others },
      overrides: places(all.filter((one) => !own.includes(one))),
    };
    project.write("package.json", JSON.stringify(manifest));
    await project.run("npm", "install", "--no-audit", "--no-fund", "--prefer-offline");
    return project;
  }

  write(path: string, text: string): void {
    mkdirSync(dirname(join(this.folder, path)), { recursive: true });
    writeFileSync(join(this.folder, path), text);
  }

  /** @returns What it said. Rejects when it fails, or complains. */
  async run(file: string, ...args: readonly string[]): Promise<string> {
    return await run(file, args, { cwd: this.folder, env: plainEnvironment() });
  }

  node(...args: readonly string[]): Promise<string> {
    return this.run(process.execPath, ...args);
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Without what this run of pnpm and vitest told its children. */
function plainEnvironment(): NodeJS.ProcessEnv {
  const isForeign = (name: string) =>
    /^(?:npm_(?!config_(?:registry|cache|userconfig))|NODE_|VITEST|VITE_|PNPM_)/i.test(name);
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !isForeign(name)));
}
