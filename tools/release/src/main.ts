/** `pnpm release`: versions, changelogs, build, checks, and the packages go to the registry. */
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { Progress } from "@egtp/terminal";
import { type Release, release } from "./release.ts";
import { Steps } from "./steps.ts";

const usage = `pnpm release [options]

In a fresh clone of the newest commit: makes versions and changelogs from the changesets, builds, runs pnpm check, packs, and judges
the tarballs. When nothing is missing it publishes them, and takes the release commit and its tags over; pushing them is yours.

  --dry-run         ends before anything is published, committed or tagged
  --repository URL  where anybody finds the sources (default: the git remote origin)
  --no-check        without pnpm check, where it has passed already
  --no-provenance   without proof of where the packages were made, for a registry that takes none
  --json            one JSON object at the end instead of text
  --help

The registry and the right to publish come from npm's own settings (.npmrc, NPM_CONFIG_REGISTRY).

Exit codes: 0 published, or it would be; 1 something is missing or failed; 2 the command line is wrong.
`;

const options = {
  "dry-run": { type: "boolean", default: false },
  repository: { type: "string" },
  "no-check": { type: "boolean", default: false },
  "no-provenance": { type: "boolean", default: false },
  json: { type: "boolean", default: false },
  help: { type: "boolean", default: false },
} as const;

async function main(): Promise<number> {
  let values: ReturnType<typeof parse>;
  try {
    values = parse();
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n\n${usage}`);
    return 2;
  }
  if (values.help) {
    process.stdout.write(usage);
    return 0;
  }
  const dryRun = values["dry-run"];
  const progress = new Progress();
  const steps = new Steps(values["no-check"] ? ["check"] : []);
  const timer = progress.isLive && setInterval(() => progress.tell(steps.current, steps.share), progress.everyMs);
  const tell = (text: string): void => {
    if (steps.begin(text) && progress.isLive) return;
    progress.clear();
    process.stderr.write(`${text}\n`);
  };
  try {
    const result = await release({
      root: fileURLToPath(new URL("../../..", import.meta.url)),
      dryRun,
      repository: values.repository,
      check: !values["no-check"],
      provenance: !values["no-provenance"],
      tell,
    });
    progress.clear();
    process.stdout.write(values.json ? `${JSON.stringify({ ...result, dryRun })}\n` : describe(result, dryRun));
    return result.missing.length === 0 ? 0 : 1;
  } catch (error) {
    progress.clear();
    process.stderr.write(`${(error as Error).message}\n`);
    return 1;
  } finally {
    if (timer) clearInterval(timer);
  }
}

function describe({ commit, packages, missing }: Release, dryRun: boolean): string {
  const done = dryRun || missing.length > 0 ? "to be published" : "published";
  const rows = packages.map(({ name, version, bytes, files }) => {
    const size = `${(bytes / 1_000).toFixed(1)} KB`;
    return `  ${name.padEnd(22)}${version.padEnd(10)}${size.padStart(10)}${String(files).padStart(6)} files`;
  });
  const gaps = missing.map((what) => `  - ${what}`);
  return [
    `${done} from ${commit.slice(0, 7)}:`,
    ...(rows.length === 0 ? ["  nothing"] : rows),
    ...(gaps.length === 0 ? [] : ["missing:", ...gaps]),
    ...(dryRun ? ["a dry run: nothing was published, committed or tagged"] : []),
    "",
  ].join("\n");
}

function parse() {
  // `pnpm release -- --dry-run` hands the two dashes on.
  const args = process.argv.slice(2).filter((arg) => arg !== "--");
  return parseArgs({ args, options }).values;
}

process.exitCode = await main();
