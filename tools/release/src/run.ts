/** One command, to its end. What it says is shown only when it fails. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";

const execute = promisify(execFile);
/** Of what a command says; a type checker that finds everything wrong says some megabytes. */
const maxOutputBytes = 64 * 1024 * 1024;

export interface RunOptions {
  readonly cwd: string;
  readonly env?: NodeJS.ProcessEnv;
}

/** @returns What it said on its standard output. Rejects with all that it said when it fails. */
export async function run(file: string, args: readonly string[], { cwd, env }: RunOptions): Promise<string> {
  try {
    const { stdout } = await execute(file, args, { cwd, env: env ?? process.env, maxBuffer: maxOutputBytes });
    return stdout;
  } catch (cause) {
    const { stdout = "", stderr = "", message } = cause as Error & { stdout?: string; stderr?: string };
    const said = `${stdout}${stderr}`.trim();
    throw new Error(`${[file, ...args].join(" ")}, in ${cwd}:\n${said === "" ? message : said}`, { cause });
  }
}
