/** What a bundler makes of a program for a browser: one file, from the sources of the packages. */
import { build, type Rolldown } from "vite";

export interface BundleOptions {
  readonly minify: boolean;
  /** For whom it is built: the users of a page, or whoever writes it. Default: production. */
  readonly mode?: "production" | "development";
}

/**
 * @param entry - The file of the program.
 * @returns Its code, with all that it imports.
 */
export async function bundle(entry: string, { minify, mode = "production" }: BundleOptions): Promise<string> {
  const { output } = (await build({
    configFile: false,
    logLevel: "error",
    resolve: { conditions: ["@egtp/source", "module", "browser", mode] },
    build: {
      write: false,
      minify,
      target: "es2023",
      modulePreload: false,
      rolldownOptions: { input: entry, preserveEntrySignatures: "strict" },
    },
  })) as Rolldown.RolldownOutput;
  const [chunk, ...others] = output;
  if (others.length > 0) throw new Error(`${entry} became several files`);
  return chunk.code;
}
