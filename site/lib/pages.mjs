// The pages of the site: which there are, in what order, and under what heading of the menu.
//
// A page is a file of the repository, and its links are made for whoever reads the repository. Where one leads to a file that is
// no page, the site gets a page that shows the file as it is.

import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, extname, join, relative } from "node:path";
import { publishedPackages, root } from "./packages.mjs";

/** The page that one begins with. */
const home = "README.md";

/** In the order of the menu. A folder stands for all pages in it that are not named before. */
const sections = {
  "Start here": ["docs/tutorial.md", "examples/README.md", "docs/coming-from.md"],
  Concepts: ["docs/concepts/who-is-who.md", "docs/concepts/sessions-and-healing.md", "docs/concepts"],
  Guides: ["docs/guides", "docs/operations.md", "docs/scaling.md"],
  Reference: ["docs/errors.md", "docs/body-values.md", "docs/spec.md", "docs/security.md", "docs/model.md"],
  Packages: [...publishedPackages().map(({ folder }) => `${folder}/README.md`), "apps/demo-peer/README.md"],
  Design: ["docs/design/README.md", "docs/design"],
  "Working on EGTP": ["CONTRIBUTING.md", "docs"],
};
/** Where pages come that nothing but a link leads to. */
const [repository, files] = ["Working on EGTP", "Files"];
export const menu = [...Object.keys(sections), files];

const image = /\.(?:png|svg|webp)$/;
const languages = { ".ts": "ts", ".mjs": "js", ".json": "json", ".pml": "c" };

/**
 * Writes the pages below a folder, each at its path, ready for TypeDoc.
 *
 * @returns The file of the first page, and those of all others in the order of the menu.
 */
export function stagePages(folder) {
  rmSync(folder, { recursive: true, force: true });
  const pages = new Map(); // path -> section
  for (const [section, paths] of Object.entries(sections)) {
    for (const path of paths.flatMap(pagesAt)) if (!pages.has(path)) pages.set(path, section);
  }
  pages.set(home, undefined);
  // What comes by a link is visited, too: a map goes on with what is added to it meanwhile.
  for (const [path, section] of pages) {
    const text = path.endsWith(".md") ? readPage(path) : showFile(path);
    const { title, body } = splitTitle(path, text);
    const linked = turnLinks(body, path, (target) => {
      if (image.test(target)) copy(target, folder);
      else if (!pages.has(target)) pages.set(target, target.endsWith(".md") ? repository : files);
      return target.endsWith(".md") || image.test(target) ? target : `${target}.md`;
    });
    const header = section === undefined ? "" : `---\ntitle: ${JSON.stringify(title)}\ngroup: ${section}\n---\n\n`;
    const file = join(folder, path.endsWith(".md") ? path : `${path}.md`);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, header + drawDiagrams(linked));
  }
  const order = [...pages].filter(([, section]) => section !== undefined);
  return {
    home: join(folder, home),
    others: menu
      .flatMap((section) => order.filter(([, one]) => one === section))
      .map(([path]) => join(folder, path.endsWith(".md") ? path : `${path}.md`)),
  };
}

function pagesAt(path) {
  if (path.endsWith(".md")) return [path];
  if (!existsSync(join(root, path))) return [];
  return readdirSync(join(root, path))
    .filter((name) => name.endsWith(".md"))
    .toSorted()
    .map((name) => `${path}/${name}`);
}

function readPage(path) {
  return readFileSync(join(root, path), "utf8");
}

function showFile(path) {
  const isFolder = statSync(join(root, path)).isDirectory();
  const text = isFolder ? readdirSync(join(root, path)).join("\n") : readPage(path);
  return `# ${path}\n\n\`\`\`\`\`${languages[extname(path)] ?? "text"}\n${text}\n\`\`\`\`\`\n`;
}

/** The heading of a page is its name in the menu, too. Over the first page TypeDoc puts one itself. */
function splitTitle(path, text) {
  const [, heading = path, body = text] = /^# (.*)\n([\s\S]*)$/.exec(text) ?? [];
  return { title: heading.replaceAll("`", ""), body: path === home ? body : text };
}

/** Turns each relative link of a page to the path from the root that it means, and back after `where` was asked. */
function turnLinks(text, path, where) {
  return outsideCode(text, (prose) =>
    prose.replaceAll(
      /(\]\(|\b(?:src|srcset)=")([^)\s"#]+)(#[^)\s"]*)?(?=[)"])/g,
      (whole, open, target, anchor = "") => {
        if (/^[a-z]+:/.test(target)) return whole;
        const found = relative(root, join(root, dirname(path), decodeURIComponent(target)));
        const readme = join(found, "README.md");
        const meant = !existsSync(join(root, readme)) || found === "" ? found : readme;
        return `${open}${relative(dirname(path), where(meant))}${anchor}`;
      },
    ),
  );
}

/** Applies a change to everything but fenced blocks and quoted code. */
function outsideCode(text, change) {
  const code = /^( *)(`{3,}|~{3,})[\s\S]*?^ *\2 *$|(`+)[^`\n]+?\3/gm;
  let from = 0;
  let result = "";
  // A quoted name within a link belongs to the link's text, which is not changed: only what follows it is.
  for (const match of text.matchAll(code)) {
    result += change(text.slice(from, match.index)) + match[0];
    from = match.index + match[0].length;
  }
  return result + change(text.slice(from));
}

/** Diagrams are drawn in the browser, see `assets/site.js`. */
function drawDiagrams(text) {
  return text.replaceAll(/^```mermaid\n([\s\S]*?)^```$/gm, (_whole, diagram) => {
    const escaped = diagram.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(/\n\n+/g, "\n");
    return `<pre class="mermaid">${escaped}</pre>`;
  });
}

function copy(path, folder) {
  mkdirSync(dirname(join(folder, path)), { recursive: true });
  cpSync(join(root, path), join(folder, path));
}
