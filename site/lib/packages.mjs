// What is published: each package with every entry that its manifest exports.

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("../..", import.meta.url));

/** Each stands on those before it. */
const ladder = ["wire", "session-store", "mesgen", "node", "metatracker", "relay"];

/** @returns From the lowest to the highest; `source` and `types` of an entry are paths from the root. */
export function publishedPackages() {
  return readdirSync(join(root, "packages"))
    .toSorted((a, b) => ladder.indexOf(a) - ladder.indexOf(b))
    .map((folder) => {
      const { name, exports } = JSON.parse(readFileSync(join(root, "packages", folder, "package.json"), "utf8"));
      const entries = Object.entries(exports)
        .filter(([, target]) => typeof target === "object")
        .map(([path, target]) => {
          const source = target["@egtp/source"]; // by condition where Node.js has a file of its own
          return {
            name: name + path.slice(1),
            file: path === "." ? "index" : path.slice(2),
            source: join("packages", folder, source.types ?? source),
            types: join("packages", folder, target.types),
          };
        });
      return { name, folder: `packages/${folder}`, entries };
    });
}
