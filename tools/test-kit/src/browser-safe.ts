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
      else seen.add(name!);
    }
  };
  visit(file);
  return [...seen];
}

/** Those of the imports that no browser can load, or that `allowed` and the packages of this project do not cover. */
export function unsafeImports(imports: readonly string[], allowed: readonly string[] = []): string[] {
  const isOurs = (name: string): boolean => name.startsWith("/") || name.startsWith("@egtp/");
  return imports.filter((name) => name.includes("/nodejs/") || !(isOurs(name) || allowed.includes(name)));
}
