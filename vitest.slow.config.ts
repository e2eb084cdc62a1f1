/** The slow suite: long fuzzing runs and many seeds, in files named `*.slow.test.ts`. */
import { configDefaults, defineConfig } from "vitest/config";
import fast from "./vitest.config.ts";

export default defineConfig({
  ...fast,
  test: {
    ...fast.test,
    include: ["packages", "apps", "tools"]
      .map((folder) => `${folder}/*/test/**/*.slow.test.ts`)
      .concat("examples/test/**/*.slow.test.ts"),
    exclude: configDefaults.exclude,
    passWithNoTests: true,
    testTimeout: 600_000,
    outputFile: { json: "reports/vitest-slow.json" },
  },
});
