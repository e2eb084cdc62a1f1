// Follows every link of the built site: the file must be there, and the place in it. Links to elsewhere are only listed.

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, sep } from "node:path";

/** @returns What leads nowhere, as text; the addresses elsewhere; and how many links were followed. */
export function followLinks(folder) {
  const paths = readdirSync(folder, { recursive: true }).filter((path) => /\.(?:html|svg)$/.test(path));
  const pages = new Map(paths.map((path) => [path.replaceAll(sep, "/"), read(join(folder, path))]));
  const faults = [];
  const elsewhere = new Set();
  let followed = 0;
  for (const [path, { links }] of pages) {
    for (const link of links) {
      if (/^(?:https?:)?\/\//.test(link)) {
        elsewhere.add(link);
        continue;
      }
      if (/^[a-z]+:/.test(link)) continue;
      followed += 1;
      const [file = "", anchor = ""] = link.split("#");
      const place = relative(folder, join(folder, dirname(path), decodeURIComponent(file)));
      const target = file === "" ? path : file.endsWith("/") ? join(place, "index.html") : place;
      if (target.startsWith("..") || !existsSync(join(folder, target)))
        faults.push(`${path}: ${link}: there is no such page`);
      else if (anchor !== "" && pages.get(target)?.anchors.has(decodeURIComponent(anchor)) !== true)
        faults.push(`${path}: ${link}: there is no such place in it`);
    }
  }
  return { faults, elsewhere: [...elsewhere].toSorted((a, b) => (a < b ? -1 : 1)), followed };
}

function read(path) {
  const html = readFileSync(path, "utf8").replaceAll(/<script\b[\s\S]*?<\/script>/g, "");
  const values = (pattern) => [...html.matchAll(pattern)].map(([, value]) => plain(value));
  return { links: values(/\b(?:href|src|srcset)="([^"]*)"/g), anchors: new Set(values(/\b(?:id|name)="([^"]*)"/g)) };
}

function plain(text) {
  return text
    .replaceAll("&quot;", '"')
    .replaceAll("&#39;", "'")
    .replaceAll("&lt;", "<")
    .replaceAll("&gt;", ">")
    .replaceAll("&amp;", "&");
}
