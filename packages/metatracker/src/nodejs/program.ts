/** Finds the command and runs it; whatever goes wrong becomes a sentence, a hint and an exit code. */
import { EgtpError } from "@egtp/wire";
import { UsageError } from "./command-errors.ts";
import { paintFor } from "./paint.ts";

/** How a command ended, for scripts. */
export const exitCodes = { ok: 0, failed: 1, usage: 2 } as const;

export interface Command {
  /** What `--help` prints. */
  readonly usage: string;
  /** @returns The exit code. Throws an `EgtpError` for what is not to be done. */
  readonly run: (args: readonly string[]) => Promise<number>;
}

export interface Program {
  /** What runs when no subcommand is named. */
  readonly main: Command;
  readonly subcommands: Readonly<Record<string, Command>>;
}

/** @returns The exit code. */
export async function runProgram({ main, subcommands }: Program, args: readonly string[]): Promise<number> {
  const [first = "", ...rest] = args;
  const subcommand = Object.hasOwn(subcommands, first) ? subcommands[first] : undefined;
  const command = subcommand ?? main;
  const words = subcommand === undefined ? args : rest;
  const options = words.slice(0, words.includes("--") ? words.indexOf("--") : words.length);
  if (options.includes("--help") || options.includes("-h")) {
    process.stdout.write(command.usage);
    return exitCodes.ok;
  }
  try {
    return await command.run(words);
  } catch (error) {
    if (!(error instanceof EgtpError)) throw error;
    tell(error, options.includes("--json"));
    return error instanceof UsageError ? exitCodes.usage : exitCodes.failed;
  }
}

/** Runs a program and ends the process with its exit code. */
export async function runAsProcess(program: Program): Promise<void> {
  // Whoever read our output has gone and wants no more of it: what runs ends as if it were asked to.
  let isUnread = false;
  process.stdout.on("error", () => {
    if (isUnread) return;
    isUnread = true;
    if (!process.emit("SIGTERM", "SIGTERM")) process.exit(exitCodes.ok);
  });
  process.exitCode = await runProgram(program, process.argv.slice(2));
}

function tell(error: EgtpError, asJson: boolean): void {
  const { code, message, hint } = error;
  const because = error.cause instanceof Error ? error.cause.message : undefined;
  if (asJson) {
    const time = new Date().toISOString();
    process.stderr.write(
      `${JSON.stringify({ time, level: "error", event: "failed", message, code, because, hint })}\n`,
    );
    return;
  }
  process.stderr.write(errorLines({ message, because, hint }));
}

/** What went wrong, why, and what to do about it, for people. */
export function errorLines(error: {
  readonly message: string;
  readonly because: string | undefined;
  readonly hint: string | undefined;
}): string {
  const { message, because, hint } = error;
  const paint = paintFor(process.stderr);
  const lines = [paint("red", message)];
  if (because !== undefined) lines.push(`  because: ${because}`);
  if (hint !== undefined) lines.push(`  ${paint("cyan", hint)}`);
  return `${lines.join("\n")}\n`;
}
