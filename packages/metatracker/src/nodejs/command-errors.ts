/** The errors of the commands. What the packages below throw passes through unchanged. */
import { EgtpError } from "@egtp/wire";

/** The command line is not understood: exit code 2. */
export class UsageError extends EgtpError {
  override readonly name: string = "UsageError";
  declare readonly code: "EGTP_COMMAND_USAGE";

  constructor(message: string, hint?: string) {
    super("EGTP_COMMAND_USAGE", message, { hint: hint ?? "Add --help to see what is understood." });
  }
}

const hints = {
  EGTP_COMMAND_DATA: "Name a folder that you may write to with --data. See the cause.",
  EGTP_COMMAND_FILE: "Check the name of the file, and that you may read it, or write it. See the cause.",
  EGTP_COMMAND_CERTIFICATE:
    "Name the full chain with --tls-cert and its own private key with --tls-key, both in PEM, for the host of --public-url.",
} as const;

/** Every code a {@link CommandError} can carry. */
export type CommandErrorCode = keyof typeof hints;

/** Something around the command keeps it from its work: exit code 1. */
export class CommandError extends EgtpError {
  override readonly name: string = "CommandError";
  declare readonly code: CommandErrorCode;

  constructor(code: CommandErrorCode, message: string, options: { cause?: unknown } = {}) {
    super(code, message, { cause: options.cause, hint: hints[code] });
  }
}
