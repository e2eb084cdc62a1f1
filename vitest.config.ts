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
    exclude: [...configDefaults.exclude, "**/*.slow.test.ts"],
    // All processors: by default one is left free, which on two of them is half.
    maxWorkers: "100%",
    // A slow machine is no fault of a test; what hangs still ends.
    testTimeout: 60_000,
    hookTimeout: 60_000,
    expect: { poll: { timeout: 30_000 } },
    reporters: process.env.CI ? ["default", "json"] : ["default"],
    outputFile: { json: "reports/vitest.json" },
    coverage: { provider: "v8", include: ["packages/*/src/**/*.ts"], reportsDirectory: "reports/coverage" },
  },
});
