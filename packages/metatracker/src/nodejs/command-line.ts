/**
 * Reads the words after a command: options by name, checked and converted by a schema.
 *
 * Everything that is wrong with them is a {@link UsageError}.
 */
import { type ParseArgsConfig, parseArgs } from "node:util";
import { EgtpError, type PeerId, parsePeerId } from "@egtp/wire";
import * as z from "zod/mini";
import { UsageError } from "./command-errors.ts";

export type OptionSpecs = NonNullable<ParseArgsConfig["options"]>;

/**
 * The options as the schema gives them out, and the words beside them.
 *
 * @param words.names - What the words are, for whoever left one out; the last may be repeated if it ends in "...".
 */
export function readOptions<Out>(
  args: readonly string[],
  specs: OptionSpecs,
  schema: z.ZodMiniType<Out>,
  words: { readonly names?: readonly string[] } = {},
): { readonly options: Out; readonly words: readonly string[] } {
  let parsed: ReturnType<typeof parseArgs>;
  try {
    parsed = parseArgs({ args: [...args], options: specs, strict: true, allowPositionals: true });
  } catch (error) {
    // Node.js says what is wrong in its first sentence, and advises on quoting in the others.
    if (error instanceof TypeError) throw new UsageError(`${error.message.split(". ")[0]}.`);
    throw error;
  }
  const { positionals, values } = parsed;
  const wanted = words.names ?? [];
  if (positionals.length > wanted.length && wanted.at(-1)?.endsWith("...") !== true) {
    throw new UsageError(`Too many words: "${positionals[wanted.length]}" is not expected.`);
  }
  if (positionals.length < wanted.length) throw new UsageError(`${wanted[positionals.length]} is missing.`);
  const checked = z.safeParse(schema, values);
  if (!checked.success) {
    const [issue] = checked.error.issues;
    throw new UsageError(`--${issue?.path[0]?.toString()}: ${issue?.message}.`);
  }
  return { options: checked.data, words: positionals };
}

/** A whole number within bounds, written in decimal digits. */
export function wholeNumber(min: number, max: number) {
  const error = `must be a whole number from ${min} to ${max}`;
  return z.pipe(
    z.string().check(z.regex(/^\d{1,15}$/, error)),
    z.pipe(z.transform(Number), z.number().check(z.minimum(min, error), z.maximum(max, error))),
  );
}

/** A port to listen at; 0 lets the system choose. */
export const portNumber = wholeNumber(0, 65_535);

/** Text that is not empty. */
export const someText = z.string().check(z.minLength(1, "must not be empty"));

/** An option that is there or not. */
export const flag = z._default(z.boolean(), false);

/** An option that may be repeated. */
export const someTexts = z._default(z.array(someText), []);

const units: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** A duration in milliseconds, written as a whole number and one of s, m, h, d. */
export function duration(minMs: number, maxMs: number) {
  const bounds = `from ${durationText(minMs)} to ${durationText(maxMs)}`;
  const error = `must be a whole number and s, m, h or d, such as 90s or 7d, ${bounds}`;
  return z.pipe(
    z.string().check(z.regex(/^\d{1,9}[smhd]$/, error)),
    z.pipe(
      z.transform((text: string) => Number(text.slice(0, -1)) * units[text.slice(-1)]!),
      z.number().check(z.minimum(minMs, error), z.maximum(maxMs, error)),
    ),
  );
}

function durationText(ms: number): string {
  const unit = ["d", "h", "m"].find((name) => ms % units[name]! === 0) ?? "s";
  return `${ms / units[unit]!}${unit}`;
}

/** Reads the ID of a peer. */
export function readPeerId(text: string, option: string): PeerId {
  try {
    return parsePeerId(text);
  } catch (error) {
    if (error instanceof EgtpError) throw new UsageError(`${option}: ${error.message}`, error.hint);
    throw error;
  }
}

/** Reads a host, and a port where one is said: `host`, `host:port`, an IPv6 address, `[IPv6 address]:port`. */
export function readHost(text: string, option: string): { readonly host: string; readonly port: number | undefined } {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9._-]+))(?::(\d{1,5}))?$/.exec(text);
  const host = match?.[1] ?? match?.[2] ?? (/^[0-9a-fA-F:.]*:[0-9a-fA-F:.]*:[0-9a-fA-F:.]*$/.test(text) ? text : "");
  const port = match?.[3] === undefined ? undefined : Number(match[3]);
  if (host === "" || port === 0 || (port ?? 1) > 65_535) {
    throw new UsageError(`${option}: "${text}" is not a host, host:port or [IPv6 address]:port.`);
  }
  return { host, port };
}
