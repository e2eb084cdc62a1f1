/** What the entry of a package needs to be loaded: a browser must find nothing of Node.js there, however deep. */
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";

/** Files that a file imports, however deep, and the names of the packages that they import. */
export function importsOf(file: string): string[] {
  const seen = new Set<string>();
  const visit = (path: string): void => {
    if (seen.has(path)) return;
    seen.add(path);
    for (const [, name] of readFileSync(path, "utf8").matchAll(/from "([^"]+)"/g)) {
      if (name!.startsWith(".")) visit(join(dirname(path), name!));
      else if (name!.startsWith("#")) for (const chosen of chosenFor(name!, path)) visit(chosen);
      else seen.add(name!);
    }
  };
  visit(file);
  return [...seen];
}

/** The files of a package that a browser may get for an import that its `package.json` decides about. */
function chosenFor(name: string, importer: string): string[] {
  const folder = importer.slice(0, importer.lastIndexOf("/src/"));
  const { imports } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as {
    imports: Record<string, { "@egtp/source": Record<string, string> }>;
  };
  const { node: _node, types: _types, ...others } = imports[name]!["@egtp/source"];
  return Object.values(others).map((file) => join(folder, file));
}

/** Those of the imports that no browser can load, or that `allowed` and the packages of this project do not cover. */
export function unsafeImports(imports: readonly string[], allowed: readonly string[] = []): string[] {
  const isOurs = (name: string): boolean => name.startsWith("/") || name.startsWith("@egtp/");
  return imports.filter((name) => name.includes("/nodejs/") || !(isOurs(name) || allowed.includes(name)));
}
