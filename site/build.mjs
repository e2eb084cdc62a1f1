// Builds the documentation as a site in `site/dist/html`: the pages, and a reference of everything that the packages export.
// TypeDoc makes it. Nothing in it comes from elsewhere, so it can be read offline.

import { copyFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { installOnce } from "../bench/lib/install.mjs";
import { followLinks } from "./lib/links.mjs";
import { publishedPackages, root } from "./lib/packages.mjs";
import { menu, stagePages } from "./lib/pages.mjs";

const folder = import.meta.dirname;
installOnce(folder, () => console.error("installing into site/node_modules (about 75 MB, once)"));
const { Application, Comment, Converter, OptionDefaults, ReflectionKind } = await import("typedoc");

const output = join(folder, "dist", "html");
rmSync(output, { recursive: true, force: true });
const pages = stagePages(join(folder, "dist", "pages"));
const entries = publishedPackages().flatMap((one) => one.entries);

const app = await Application.bootstrap({
  name: "EGTP",
  entryPoints: entries.map(({ source }) => join(root, source)),
  tsconfig: join(folder, "tsconfig.json"),
  alwaysCreateEntryPointModule: true,
  sortEntryPoints: false,
  readme: pages.home,
  projectDocuments: pages.others,
  groupOrder: [...menu, "Modules", "*"],
  navigation: { includeGroups: true, excludeReferences: true },
  modifierTags: [...OptionDefaults.modifierTags, "@alias"], // of knip
  excludeTags: [...OptionDefaults.excludeTags, "@alias"],
  searchInDocuments: true,
  searchInComments: true,
  excludeInternal: true,
  excludePrivate: true,
  excludeExternals: true,
  excludeReferences: false,
  disableSources: true,
  disableGit: true,
  hideGenerator: true,
  markdownItOptions: { html: true, linkify: false }, // Socket.IO is no address
  highlightLanguages: ["ts", "sh", "json", "js", "c", "text"],
  customCss: join(folder, "assets", "site.css"),
  customJs: join(folder, "assets", "site.js"),
  treatWarningsAsErrors: true,
  validation: { notExported: false, invalidLink: true, invalidPath: true, rewrittenLink: true, notDocumented: false },
  logLevel: "Warn",
});

// An entry is called what it is imported by, not what its file is called, and leads to the README of its package.
app.converter.on(Converter.EVENT_RESOLVE_BEGIN, ({ project }) => {
  for (const module of project.getReflectionsByKind(ReflectionKind.Module)) {
    const source = module.sources?.[0]?.fullFileName ?? project.getSymbolIdFromReflection(module)?.fileName;
    const entry = entries.find((one) => source?.endsWith(one.source));
    if (entry === undefined) continue;
    module.name = entry.name;
    const name = entry.name.split("/", 2).join("/");
    const readme = project.documents?.find((page) => page.name === name);
    module.comment = new Comment([
      { kind: "text", text: "How to use it, with examples: " },
      { kind: "inline-tag", tag: "@link", text: `${name}, README`, target: readme },
    ]);
  }
});

// A comment may name what its file does not import, such as the error of a lower layer.
app.converter.addUnknownSymbolResolver(({ symbolReference }, { project }, part) => {
  if (part === undefined) return undefined; // a type, no comment
  const path = symbolReference?.path?.map(({ path }) => path) ?? [];
  const target = project.children
    ?.map((module) => module.getChildByName(path))
    .find((found) => found !== undefined && !found.isReference());
  return target && { target };
});

app.converter.on(Converter.EVENT_END, ({ project }) => {
  for (const group of project.groups ?? []) if (group.title === "Modules") group.title = "What the packages export";
});

const project = await app.convert();
if (project === undefined) process.exit(1);
app.validate(project);
await app.generateDocs(project, output);
copyFileSync(
  join(folder, "node_modules/@mermaid-js/tiny/dist/mermaid.tiny.js"),
  join(output, "assets", "mermaid.tiny.js"),
);

const { faults, elsewhere, followed } = followLinks(output);
for (const fault of faults) console.error(fault);
writeFileSync(join(folder, "dist", "links-elsewhere.txt"), elsewhere.map((link) => `${link}\n`).join(""));
console.log(
  `${followed} links followed, ${faults.length} lead nowhere; ${elsewhere.length} lead elsewhere and are listed only.`,
);
if (faults.length > 0 || app.logger.hasErrors() || app.logger.hasWarnings()) process.exit(1);
console.log("The site is in site/dist/html: open index.html in a browser.");
