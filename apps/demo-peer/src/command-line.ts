/**
 * Reads the words after a command: options by name, checked and converted by a schema.
 *
 * Everything that is wrong with them is a {@link UsageError}.
 */
import { type ParseArgsConfig, parseArgs } from "node:util";
import { EgtpError, type PeerId, parsePeerId, type Strategy } from "@egtp/node";
import * as z from "zod/mini";
import { UsageError } from "./errors.ts";

export type OptionSpecs = NonNullable<ParseArgsConfig["options"]>;

/** The options as the schema gives them out, and the words beside them. */
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
  const wanted = words.names ?? [];
  if (parsed.positionals.length > wanted.length) {
    throw new UsageError(`Too many words: "${parsed.positionals[wanted.length]}" is not expected.`);
  }
  if (parsed.positionals.length < wanted.length) {
    throw new UsageError(`${wanted[parsed.positionals.length]} is missing.`);
  }
  const checked = z.safeParse(schema, parsed.values);
  if (!checked.success) {
    const [issue] = checked.error.issues;
    throw new UsageError(`--${issue?.path.join(".")}: ${issue?.message}.`);
  }
  return { options: checked.data, words: parsed.positionals };
}

/** A whole number within bounds, written in decimal digits. */
export function wholeNumber(min: number, max: number) {
  const error = `must be a whole number from ${min} to ${max}`;
  return z.pipe(
    z.string().check(z.regex(/^\d{1,15}$/, error)),
    z.pipe(z.transform(Number), z.number().check(z.minimum(min, error), z.maximum(max, error))),
  );
}

/** Text that is not empty. */
export const someText = z.string().check(z.minLength(1, "must not be empty"));

/** A peer, and where to reach it when that was said. */
export interface NamedPeer {
  readonly peer: PeerId;
  readonly strategies: readonly Strategy[];
}

/** `ID` or `ID@host:port`. */
export function parseNamedPeer(text: string): NamedPeer {
  const at = text.indexOf("@");
  let peer: PeerId;
  try {
    peer = parsePeerId(at < 0 ? text : text.slice(0, at));
  } catch (error) {
    if (error instanceof EgtpError) throw new UsageError(`--peer: ${error.message}`, error.hint);
    throw error;
  }
  if (at < 0) return { peer, strategies: [] };
  const { host, port } = parseAddress(text.slice(at + 1), "--peer");
  if (host === undefined || port === 0) throw new UsageError("--peer: the address must be host:port.");
  return { peer, strategies: [{ kind: "tcp", host, port }] };
}

/** `host:port`, `[IPv6]:port`, or a port alone. */
export function parseAddress(
  text: string,
  option: string,
): { readonly host: string | undefined; readonly port: number } {
  const match = /^(?:(?:\[([0-9a-fA-F:.]+)\]|([^\s:[\]]+)):)?(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  if (match === null || port > 65_535) {
    throw new UsageError(`${option}: "${text}" is not host:port, [IPv6 address]:port or a port.`);
  }
  return { host: match[1] ?? match[2], port };
}
