/**
 * Searches the model for one combination of faults: spin writes a program, the C compiler compiles it, and it visits every state
 * that can be reached. Whatever cycle it finds is a livelock, whatever other end a deadlock; see renegotiation.pml.
 */
import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const run = promisify(execFile);
const model = fileURLToPath(new URL("../src/renegotiation.pml", import.meta.url));
/** Longer ways than this one are not looked at, and said to be a fault: none is a tenth as long. */
const maxDepth = 100_000;

/** What may go wrong and how often: the constants at the top of renegotiation.pml. */
export interface Question {
  readonly name: string;
  readonly bounds: Readonly<Record<string, number>>;
  /** The name of a rule that is left out, without its WITHOUT_. */
  readonly without?: string;
  /** It has so many states that compiling its search well is worth the time. */
  readonly isLarge?: boolean;
}

export interface Answer {
  readonly question: Question;
  /** How the model fails; absent when nothing was found in any state. */
  readonly fault?: string;
  /** What happens on the way to the fault. */
  readonly story: readonly string[];
  readonly states: number;
  readonly depth: number;
  readonly seconds: number;
}

/** @returns What is missing to search the model; absent when nothing is. */
export async function missingProgram(): Promise<string | undefined> {
  for (const [program, flag] of [["spin", "-V"] as const, ["gcc", "--version"] as const]) {
    try {
      await run(program, [flag]);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return program;
    }
  }
  return undefined;
}

export async function search(question: Question, signal?: AbortSignal): Promise<Answer> {
  const began = performance.now();
  const cwd = await mkdtemp(join(tmpdir(), "egtp-model-"));
  try {
    const flags = Object.entries(question.bounds).map(([name, value]) => `-D${name}=${value}`);
    if (question.without !== undefined) flags.push(`-DWITHOUT_${question.without}`);
    const options = { cwd, maxBuffer: 2 ** 26, ...(signal === undefined ? {} : { signal }) };
    await run("spin", ["-a", ...flags, model], options);
    await run(
      "gcc",
      [question.isLarge ? "-O2" : "-O0", "-w", "-DNP", "-DCOLLAPSE", "-DVECTORSZ=1024", "-o", "pan", "pan.c"],
      options,
    );
    const { stdout } = await run("./pan", ["-l", `-m${maxDepth}`, "-w22"], options);
    const errors = number(stdout, /errors: (\d+)/);
    if (errors === undefined) throw new Error(`spin's program did not come to an end:\n${stdout}`);
    const fault =
      errors > 0
        ? (/pan:\d+: (.*)/.exec(stdout)?.[1] ?? "an error")
        : stdout.includes("max search depth too small")
          ? "not searched to the end"
          : undefined;
    return {
      question,
      ...(fault === undefined ? {} : { fault }),
      story: errors > 0 ? await storyOf(flags, options) : [],
      states: number(stdout, /^\s*([\d.e+]+) states, stored/m) ?? 0,
      depth: number(stdout, /depth reached (\d+)/) ?? 0,
      seconds: (performance.now() - began) / 1000,
    };
  } finally {
    await rm(cwd, { recursive: true, force: true });
  }
}

/** Replays the way to the fault: what the model prints on it. */
async function storyOf(flags: readonly string[], options: { cwd: string; maxBuffer: number }): Promise<string[]> {
  const trail = join(options.cwd, "renegotiation.pml.trail");
  const { stdout } = await run("spin", ["-T", ...flags, "-k", trail, model], options).catch(
    // It also exits with 1 where an assertion fails, having told what is wanted.
    (error: { stdout?: string }) => ({ stdout: error.stdout ?? "" }),
  );
  const end = stdout.search(/^spin: (?:trail ends|.*Error: assertion)/m);
  return stdout
    .slice(0, end < 0 ? undefined : end)
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "" && !line.startsWith("spin:"));
}

function number(text: string, pattern: RegExp): number | undefined {
  const found = pattern.exec(text)?.[1];
  return found === undefined ? undefined : Number(found);
}
