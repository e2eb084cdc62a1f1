/** The fast suite. Tests run against `src/`; only those that start programs need what is built, see vitest.setup.ts. */
import { configDefaults, defineConfig } from "vitest/config";

const conditions = ["@egtp/source", "module", "node", "development|production"];

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  test: {
    globalSetup: "vitest.setup.ts",
    include: [
      "packages/*/test/**/*.test.ts",
      "apps/*/test/**/*.test.ts",
      "tools/*/test/**/*.test.ts",
      "examples/test/**/*.test.ts",
    ],
