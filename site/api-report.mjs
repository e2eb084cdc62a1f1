// What the public types of each entry are, as text under `packages/*/api`, made by API Extractor from the compiled
// declarations. A change of them is seen in review that way. Without `--renew` nothing is written: what is not as reported is
// shown, and the exit code is 1.

import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { installOnce } from "../bench/lib/install.mjs";
import { publishedPackages, root } from "./lib/packages.mjs";

const isToRenew = process.argv.includes("--renew");
installOnce(import.meta.dirname, () => console.error("installing into site/node_modules (about 75 MB, once)"));
const { CompilerState, Extractor, ExtractorConfig } = await import("@microsoft/api-extractor");

const compilerOptions = {
  target: "es2023",
  lib: ["es2023", "esnext.disposable", "dom"],
  module: "nodenext",
  moduleResolution: "nodenext",
  strict: true,
  exactOptionalPropertyTypes: true,
  skipLibCheck: true,
  types: ["node"],
};

const reports = publishedPackages().flatMap(({ folder, entries }) =>
  entries.map((entry) => ({ folder, entry, name: `${entry.file}.api.md` })),
);
const configs = reports.map(({ folder, entry, name }) =>
  ExtractorConfig.prepare({
    configObjectFullPath: undefined,
    packageJsonFullPath: join(root, folder, "package.json"),
    configObject: {
      projectFolder: join(root, folder),
      mainEntryPointFilePath: join(root, entry.types),
      newlineKind: "lf",
      compiler: { overrideTsconfig: { compilerOptions, files: [join(root, entry.types)] } },
      apiReport: {
        enabled: true,
        reportFileName: name,
        reportFolder: join(root, folder, "api"),
        reportTempFolder: join(import.meta.dirname, "dist", "api", folder),
        // A type that is not exported, and that an exported one is made of, is as public.
        includeForgottenExports: true,
      },
      docModel: { enabled: false },
      dtsRollup: { enabled: false },
      tsdocMetadata: { enabled: false },
      // How comments are written is not its business here.
      messages: {
        extractorMessageReporting: { default: { logLevel: "none" } },
        tsdocMessageReporting: { default: { logLevel: "none" } },
      },
    },
  }),
);
// One program for all entries: made anew for each it takes ten times as long.
const compilerState = CompilerState.create(configs[0], {
  additionalEntryPoints: configs.map(({ mainEntryPointFilePath }) => mainEntryPointFilePath),
});

const changed = [];
for (const [index, config] of configs.entries()) {
  const { folder, entry } = reports[index];
  mkdirSync(join(root, folder, "api"), { recursive: true });
  const { apiReportChanged } = Extractor.invoke(config, {
    compilerState,
    localBuild: isToRenew,
    messageCallback: (message) => {
      if (message.logLevel === "error" && message.category === "Compiler") throw new Error(message.text);
      message.handled = true;
    },
  });
  if (apiReportChanged) {
    changed.push(entry.name);
    if (!isToRenew) showDifference(config.reportFilePath, config.reportTempFilePath);
  }
}
const wanted = new Set(reports.map(({ folder, name }) => join(folder, "api", name)));
for (const { folder } of publishedPackages()) {
  for (const file of readdirSync(join(root, folder, "api"))) {
    const path = join(folder, "api", file);
    if (wanted.has(path)) continue;
    changed.push(path);
    if (isToRenew) rmSync(join(root, path));
  }
}

if (changed.length === 0) console.log(`The public types of ${reports.length} entries are as reported.`);
else if (isToRenew) console.log(`Renewed: ${changed.join(", ")}`);
else {
  console.error(
    `Not as reported: ${changed.join(", ")}\nIf that is meant: pnpm api, and commit packages/*/api with it.`,
  );
  process.exitCode = 1;
}

function showDifference(before, after) {
  if (!existsSync(before)) return;
  spawnSync("git", ["--no-pager", "diff", "--no-index", "--unified=1", before, after], { stdio: ["ignore", 2, 2] });
}
