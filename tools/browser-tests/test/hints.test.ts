/** Errors have their hints wherever somebody writes a program, and their codes and messages everywhere. */
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { bundle } from "../src/bundle.ts";
import { errors } from "./pages/errors.ts";

const page = fileURLToPath(new URL("pages/errors.ts", import.meta.url));

async function built(mode: "production" | "development"): Promise<typeof errors> {
  const code = await bundle(page, { minify: false, mode });
  const module = (await import(`data:text/javascript,${encodeURIComponent(code)}`)) as { errors: typeof errors };
  return module.errors;
}

const textsOf = (list: typeof errors) => list.map(({ code, message }) => [code, message]);

it("in Node.js and in a page under development errors have hints", async () => {
  for (const error of [...errors, ...(await built("development"))]) expect(error.hint).toMatch(/^[A-Z].*[.]$/);
});

it("in a page that is built for its users they have not, but say the same otherwise", async () => {
  const lean = await built("production");
  for (const error of lean) expect(error.hint).toBeUndefined();
  expect(textsOf(lean)).toEqual(textsOf(errors));
});
