/** What a bundler makes of a program for a browser: one file, from the sources of the packages. */
import { build, type Rolldown } from "vite";

/**
 * @param entry - The file of the program.
 * @returns Its code, with all that it imports.
 */
export async function bundle(entry: string, options: { readonly minify: boolean }): Promise<string> {
  const { output } = (await build({
    configFile: false,
    logLevel: "error",
    resolve: { conditions: ["@egtp/source", "module", "browser", "production"] },
    build: {
      write: false,
      minify: options.minify,
      target: "es2023",
      modulePreload: false,
      rolldownOptions: { input: entry, preserveEntrySignatures: "strict" },
    },
  })) as Rolldown.RolldownOutput;
  const [chunk, ...others] = output;
  if (others.length > 0) throw new Error(`${entry} became several files`);
  return chunk.code;
}
