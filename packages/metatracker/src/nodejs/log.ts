/** What a server says of itself while it runs: one line for each event, for people or as JSON. Never a secret. */
import { EgtpError } from "@egtp/wire";
import { type Colour, type Paint, paintFor } from "./paint.ts";

export type LogLevel = "info" | "warning" | "error";

/** What a line says besides its text, for machines. */
export type LogFacts = Readonly<Record<string, unknown>>;

export interface LogOptions {
  /** One JSON object for each line: `{ time, level, event, message, ... }`. */
  readonly json: boolean;
  /** Where lines go, each with its end. Default: standard output. */
  readonly write?: (line: string) => void;
  readonly now?: () => number;
  /** Default: that of standard output. */
  readonly paint?: Paint;
}

const colours: Readonly<Record<Exclude<LogLevel, "info">, Colour>> = { warning: "yellow", error: "red" };

export class Log {
  readonly #json: boolean;
  readonly #write: (line: string) => void;
  readonly #now: () => number;
  readonly #paint: Paint;

  constructor(options: LogOptions) {
    this.#json = options.json;
    this.#write = options.write ?? ((line) => process.stdout.write(line));
    this.#now = options.now ?? Date.now;
    this.#paint = options.paint ?? paintFor(process.stdout);
  }

  /** @param event - A short name that stays, for whoever reads JSON. */
  info(event: string, message: string, facts: LogFacts = {}): void {
    this.#say("info", event, message, facts);
  }

  warning(event: string, message: string, facts: LogFacts = {}): void {
    this.#say("warning", event, message, facts);
  }

  /** Something went wrong and the program goes on. */
  failed(event: string, error: unknown): void {
    const facts = error instanceof EgtpError ? { code: error.code, hint: error.hint } : {};
    this.#say("error", event, errorText(error), facts);
  }

  #say(level: LogLevel, event: string, message: string, facts: LogFacts): void {
    const time = new Date(this.#now()).toISOString();
    if (this.#json) {
      this.#write(`${JSON.stringify({ time, level, event, message, ...facts })}\n`);
      return;
    }
    const mark = level === "info" ? "" : this.#paint(colours[level], `${level}: `);
    this.#write(`${this.#paint("dim", time)}  ${mark}${oneLine(message)}\n`);
  }
}

/** What an error says, and what is behind it. */
export function errorText(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? `${error.message} (${error.cause.message})` : error.message;
}

/** Text from outside must not look like another line, nor move the cursor. */
function oneLine(text: string): string {
  return text.replaceAll(/[\p{Cc}\u2028\u2029]+/gu, " ");
}
