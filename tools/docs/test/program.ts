/**
 * Examples as programs: one file for each, its lines where they stand on the page, so that every message names the right
 * line. They are compiled together and run one process each, in an empty folder.
 */
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { availableParallelism, tmpdir } from "node:os";
import { basename, delimiter, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import type { Block, Page } from "./page.ts";
import { root } from "./repository.ts";

/** Ignored by git. It lies in a package that declares what examples import. */
const generated = fileURLToPath(new URL("../dist", import.meta.url));
const require = createRequire(import.meta.url);
const tsx = pathToFileURL(require.resolve("tsx")).href;
const tsc = join(root, "node_modules/typescript/bin/tsc");

/** No example takes longer, on however slow a machine. */
const exampleMs = 30_000;

export interface Program {
  readonly path: string;
  readonly page: string;
  readonly line: number;
  readonly isForBrowsers: boolean;
  readonly blocks: Block[];
  /** What its page says that it prints, in order. */
  readonly prints: string[];
  /** Programs that run beside it. */
  readonly beside: Program[];
}

/** The programs of a page; those that run beside another one belong to it. */
export function programsOf(page: Page): Program[] {
  const programs: Program[] = [];
  let last: Program | undefined;
  for (const block of page.blocks) {
    const { language, mark, line, lines } = block;
    const before = (): Program => {
      if (last === undefined) throw new Error(`${page.path}:${line}: there is no example before this`);
      return last;
    };
    if (mark === "prints") before().prints.push(lines.join("\n"));
    if (language !== "ts" || mark === "not run") continue;
    if (mark === "continues") before().blocks.push(block);
    else {
      const path = join(generated, `${page.path.replaceAll(/\W+/g, "-")}-${line}.ts`);
      const isForBrowsers = mark === "in a browser";
      last = { path, page: page.path, line, isForBrowsers, blocks: [block], prints: [], beside: [] };
      if (mark === "beside") {
        const main = programs.at(-1);
        if (main === undefined) throw new Error(`${page.path}:${line}: there is nothing to run this beside`);
        main.beside.push(last);
      } else programs.push(last);
    }
  }
  return programs;
}

/** Writes the files of the programs; what is there already stays untouched, as another run may be reading it. */
export function writePrograms(programs: readonly Program[]): void {
  mkdirSync(generated, { recursive: true });
  const files = programs.flatMap((program) => [program, ...program.beside]);
  for (const { path, blocks } of files) {
    const lines: string[] = [];
    for (const block of blocks) {
      for (const [index, line] of block.lines.entries()) lines[block.line - 1 + index] = line;
    }
    writeIfNew(path, `${Array.from(lines, (line) => line ?? "").join("\n")}\n`);
  }
  const config = {
    extends: "../../../tsconfig.test.json",
    include: [],
    files: files.map(({ path }) => basename(path)),
  };
  writeIfNew(join(generated, "tsconfig.json"), JSON.stringify(config));
}

function writeIfNew(path: string, text: string): void {
  if (!existsSync(path) || readFileSync(path, "utf8") !== text) writeFileSync(path, text);
}

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  /** Both outputs, for whoever wants to know what went wrong. */
  readonly all: string;
}

/** Compiles all programs that were written, without running them. */
export function compilePrograms(): Promise<Ended> {
  return inTurn(() => start(process.execPath, [tsc, "--pretty", "false", "-p", generated], root).ended);
}

/**
 * Runs a program, and what runs beside it, in a folder of their own.
 *
 * @returns What went wrong.
 */
export function runProgram(program: Program): Promise<string[]> {
  return inTurn(async () => {
    const folder = mkdtempSync(join(tmpdir(), "egtp-docs-"));
    try {
      const all = [program, ...program.beside];
      const running: Running[] = [];
      for (const { path } of all) {
        await running.at(-1)?.spoke;
        running.push(start(process.execPath, ["--conditions=@egtp/source", "--import", tsx, path], folder));
      }
      const results = await Promise.all(running.map(({ ended }) => ended));
      return results.flatMap((result, index) => faultsOf(all[index]!, result));
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
}

/** Carries out a command line in the root of the repository. The workspace's own commands are found. */
export function runCommand(line: string): Promise<Ended> {
  const path = `${join(root, "node_modules/.bin")}${delimiter}${process.env.PATH}`;
  return inTurn(() => start("sh", ["-c", line], root, { PATH: path }).ended);
}

/** What is wrong with how a program ended, or with what it printed. */
export function faultsOf({ page, line, prints }: Program, { code, stdout, all }: Ended): string[] {
  const place = `${page}:${line}`;
  if (code !== 0) return [`${place} ended with ${code} and printed:\n${all}`];
  if (prints.length === 0 || isAsPromised(stdout, prints)) return [];
  return [`${place} printed:\n${stdout}\nIts page says:\n${prints.join("\n")}`];
}

interface Running {
  /** Resolves with the first output, or at the end. */
  readonly spoke: Promise<unknown>;
  readonly ended: Promise<Ended>;
}

function start(command: string, args: readonly string[], cwd: string, env: NodeJS.ProcessEnv = {}): Running {
  const child = spawn(command, args, { cwd, env: { ...process.env, ...env, NODE_ENV: "", FORCE_COLOR: "0" } });
  let stdout = "";
  let all = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
    all += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    all += text;
  });
  child.stdin.end();
  const timer = setTimeout(() => {
    all += `\nkilled: it did not end within ${exampleMs} ms\n`;
    child.kill("SIGKILL");
  }, exampleMs);
  const ended = new Promise<Ended>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, stdout, all }));
  }).finally(() => clearTimeout(timer));
  const spoke = Promise.race([new Promise((resolve) => child.stdout.once("data", resolve)), ended]);
  return { spoke, ended };
}

/** As many at a time as there are processors. */
let free = Math.max(2, availableParallelism());
const queue: (() => void)[] = [];

async function inTurn<Result>(run: () => Promise<Result>): Promise<Result> {
  if (free === 0) await new Promise<void>((resolve) => queue.push(resolve));
  else free -= 1;
  try {
    return await run();
  } finally {
    const next = queue.shift();
    if (next === undefined) free += 1;
    else next();
  }
}

/** Whether text is what a page promised, in which `…` stands for anything. */
export function isAsPromised(text: string, promised: readonly string[]): boolean {
  const pattern = promised
    .join("\n")
    .split("…")
    .map((part) => part.replaceAll(/[\\^$.*+?()[\]{}|]/g, "\\$&"))
    .join("[\\s\\S]*?");
  return new RegExp(`^${pattern}$`).test(text.trimEnd());
}
