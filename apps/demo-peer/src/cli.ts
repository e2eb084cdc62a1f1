/** Finds the command and runs it; whatever goes wrong becomes a sentence, a hint and an exit code. */
import { errorLines } from "@egtp/metatracker/command";
import { EgtpError } from "@egtp/node";
import { actorCommand } from "./demo-actor.ts";
import { demoCommand, demoUsage } from "./demo-command.ts";
import { runDemoPeerProcess } from "./demo-peer-process.ts";
import { doctorCommand, doctorUsage } from "./doctor-command.ts";
import { UsageError } from "./errors.ts";
import { exitCodes } from "./exit-code.ts";
import { idCommand, idUsage } from "./id-command.ts";
import { listenCommand, listenCommandUsage } from "./listen-command.ts";
import { otherWord, runPageOther } from "./page-other-process.ts";
import { relayWord, runPageRelay } from "./page-relay-process.ts";
import { peerCommand, peerUsage } from "./peer-command.ts";
import { sendCommand, sendUsage } from "./send-command.ts";

interface Command {
  readonly usage: string;
  readonly run: (args: readonly string[]) => Promise<number>;
}

const commands: Readonly<Record<string, Command>> = {
  demo: { usage: demoUsage, run: demoCommand },
  peer: { usage: peerUsage, run: peerCommand },
  id: { usage: idUsage, run: idCommand },
  send: { usage: sendUsage, run: sendCommand },
  listen: { usage: listenCommandUsage, run: listenCommand },
  doctor: { usage: doctorUsage, run: doctorCommand },
};

const usage = `Usage: egtp-demo-peer COMMAND [options]

  demo     see two peers at work, a sudden death, and nothing lost: start here; with --ui in a page
  peer     a peer in your terminal
  id       print a peer's ID
  send     send a line of text
  listen   print each line of text that comes in
  doctor   see what works here, what does not, and what to do about it

  COMMAND --help says more. Exit codes: 0 done, 1 failed, 2 the command line is wrong; send has more.
`;

/** @returns The exit code. */
export async function runCommandLine(args: readonly string[]): Promise<number> {
  const [name, ...rest] = args;
  try {
    if (name === actorCommand && process.send !== undefined) {
      await runDemoPeerProcess();
      return exitCodes.ok;
    }
    if (name === relayWord && process.send !== undefined) await runPageRelay();
    if (name === otherWord && process.send !== undefined) await runPageOther();
    if (name === undefined || name === "--help" || name === "-h" || name === "help") {
      (name === undefined ? process.stderr : process.stdout).write(usage);
      return name === undefined ? exitCodes.usage : exitCodes.ok;
    }
    const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
    if (command === undefined) throw new UsageError(`There is no command "${name}".`);
    const options = rest.slice(0, rest.includes("--") ? rest.indexOf("--") : rest.length);
    if (options.includes("--help") || options.includes("-h")) {
      process.stdout.write(command.usage);
      return exitCodes.ok;
    }
    return await command.run(rest);
  } catch (error) {
    if (!(error instanceof EgtpError)) throw error;
    const { message, cause, hint } = error;
    process.stderr.write(errorLines({ message, because: cause instanceof Error ? cause.message : undefined, hint }));
    return error instanceof UsageError ? exitCodes.usage : exitCodes.failed;
  }
}
