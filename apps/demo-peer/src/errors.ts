/** The errors of these commands. What the packages below throw passes through unchanged. */
import { EgtpError } from "@egtp/node";

/** The command line is not understood: exit code 2. */
export class UsageError extends EgtpError {
  override readonly name: string = "UsageError";
  declare readonly code: "EGTP_DEMO_USAGE";

  constructor(message: string, hint?: string) {
    super("EGTP_DEMO_USAGE", message, { hint: hint ?? "Add --help to see what is understood." });
  }
}

const hints = {
  EGTP_DEMO_DATA: "Name a folder that you may write to with --data. See the cause.",
  EGTP_DEMO_PROCESS_ENDED: "See what it wrote before; --keep keeps the data of a run.",
  EGTP_DEMO_TIMEOUT: "On a slow machine give it longer with --timeout; --keep keeps the data of a run.",
  EGTP_DEMO_TOO_LATE: "The stream was over before the kill: let it be longer with --megabytes or --messages.",
} as const;

/** Something around the demo went wrong. */
export class DemoError extends EgtpError {
  override readonly name: string = "DemoError";
  declare readonly code: keyof typeof hints;

  constructor(code: keyof typeof hints, message: string, options: { cause?: unknown; hint?: string | undefined } = {}) {
    super(code, message, { cause: options.cause, hint: options.hint ?? hints[code] });
  }
}
