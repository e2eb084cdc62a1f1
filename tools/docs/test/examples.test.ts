/** Every fenced block of the documentation is what it claims to be: programs run, commands exist, JSON parses. */
import { describe, expect, test } from "vitest";
import { type Block, blocksOf, readPages } from "./page.ts";
import { compilePrograms, isAsPromised, programsOf, runCommand, runProgram, writePrograms } from "./program.ts";
import { commandsOf, faultOf, scriptBehind } from "./shell-command.ts";

/** Each example has a limit of its own; this one bounds them all on a machine that is busy with other things. */
const timeout = 150_000;

// Benchmarks are installed apart.
const pages = readPages().filter(({ path }) => !path.startsWith("bench/"));
const programs = pages.flatMap(programsOf);
writePrograms(programs);

const named = programs
  .filter(({ isForBrowsers }) => !isForBrowsers)
  .map((program) => [`${program.page}:${program.line}`, program] as const);
test.concurrent("all examples are correct TypeScript", { timeout }, async ({ expect }) => {
  const { code, all } = await compilePrograms();
  expect(all.replaceAll(/^tools\/docs\/dist\//gm, "")).toBe("");
  expect(code).toBe(0);
});

test.concurrent.for(named)("%s runs", { timeout }, async ([, program], { expect }) => {
  expect((await runProgram(program)).join("\n")).toBe("");
});

const toRun = pages.flatMap((page) =>
  page.blocks
    .filter(({ mark }) => mark === "run")
    .flatMap(({ line, lines }) => commandsOf(lines).map((command) => ({ place: `${page.path}:${line}`, command }))),
);
test.concurrent.for(toRun)("$place: $command", { timeout }, async ({ command }, { expect }) => {
  const { code, all } = await runCommand(scriptBehind(command));
  expect(code, all).toBe(0);
});

describe("blocks say what they are, and commands exist", () => {
  test.for(pages.filter(({ blocks }) => blocks.length > 0))("$path", ({ path, blocks }) => {
    expect(blocks.flatMap((block) => faultsOf(path, block))).toEqual([]);
  });
});

function faultsOf(path: string, { language, mark, line, lines }: Block): string[] {
  const place = `${path}:${line}`;
  if (mark === "not run" || mark === "prints" || language === "ts") return [];
  switch (language) {
    case "json":
      JSON.parse(lines.join("\n"));
      return [];
    case "sh":
      return commandsOf(lines).flatMap((command) => {
        const fault = faultOf(command);
        return fault === undefined ? [] : [`${place}: ${command}: ${fault}`];
      });
    default:
      return [`${place}: "${language}" is not run: say so above it with <!-- not run: why -->`];
  }
}

describe("this test", () => {
  test("finds blocks, and what is said about them", () => {
    const text = ["a", "<!-- prints -->", "```text", "one", "```", "- b", "  ~~~ts", "  two();", "  ~~~"].join("\n");
    expect(blocksOf("a page", text)).toEqual([
      { language: "text", mark: "prints", line: 4, lines: ["one"] },
      { language: "ts", mark: undefined, line: 8, lines: ["two();"] },
    ]);
    expect(() => blocksOf("a page", "<!-- skip -->\n```ts\n```")).toThrow("says nothing");
    expect(() => blocksOf("a page", "```ts\n")).toThrow("does not end");
  });

  test("compares what was printed", () => {
    expect(isAsPromised("a (1)\nb\n", ["a (…)", "b"])).toBe(true);
    expect(isAsPromised("a (1)\nb\nc\n", ["a (…)", "b"])).toBe(false);
    expect(isAsPromised("axb", ["a.b"])).toBe(false);
  });

  test.for<[command: string, fault: string]>([
    ["npx -y pnpm@1.2.3 test", "npx runs pnpm@"],
    ["pnpm tset", 'no script "tset"'],
    ["pnpm sim --seeds 5", ""],
    ["pnpm sim --sedes 5", "no option --sedes"],
    ["pnpm demo --no-heal", ""],
    ["npm install @egtp/node zod@4", ""],
    ["npm install @egtp/nod", 'a package "@egtp/nod"'],
    ["node apps/demo-peer/dist/main.js listen --data ./a", ""],
    ["node apps/demo-peer/dist/main.js lisen", 'no command "lisen"'],
    ["node apps/demo-peer/dist/man.js", "there is no apps/demo-peer/src/man.ts"],
    ["bash .ci/runs", "there is no .ci/runs"],
    ["curl https://example.org", "no command that this test knows"],
  ])("judges %s", ([command, fault]) => {
    expect(faultOf(command) ?? "nothing is wrong").toContain(fault || "nothing is wrong");
  });
});
