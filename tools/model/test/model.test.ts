/** The model of renegotiation holds, and fails as soon as a rule is left out of it. */
import { describe, expect, test } from "vitest";
import { brokenModels, questions } from "../src/questions.ts";
import { missingProgram, search } from "../src/spin.ts";

const missing = await missingProgram();
// In CI it is there; who has not installed it can run everything else.
const isSkipped = missing !== undefined && process.env.EGTP_NO_SKIP !== "1";

/** The others are asked by `pnpm model`, as CI does: each has to be compiled. */
describe.skipIf(isSkipped)(`the model of renegotiation${isSkipped ? ` (skipped: ${missing} is missing)` : ""}`, () => {
  test.for(questions.slice(0, 2))(
    "P1, P6, P8: no deadlock, no livelock, and one session that both prefer: $name",
    async (question) => {
      const answer = await search(question);
      expect({ fault: answer.fault, story: answer.story }).toEqual({ fault: undefined, story: [] });
      expect(answer.states).toBeGreaterThan(1_000);
    },
  );

  test.for(brokenModels)("a fault is found in it $name", async (question) => {
    const answer = await search(question);
    expect(answer.fault).toMatch(/non-progress cycle|assertion violated/);
    expect(answer.story).not.toEqual([]);
  });
});
