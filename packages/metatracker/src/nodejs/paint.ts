/**
 * Colours for a terminal. There are none where the output is a pipe or a file, nor where the user wants none: `NO_COLOR`, or a
 * terminal that cannot (`TERM=dumb`). `FORCE_COLOR` decides before all of that, either way.
 */
const codes = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33, magenta: 35, cyan: 36 } as const;

export type Colour = keyof typeof codes;
export type Paint = (colour: Colour, text: string) => string;

export function paintFor(
  stream: { readonly isTTY?: boolean },
  env: Readonly<Record<string, string | undefined>> = process.env,
): Paint {
  return isColourful(stream, env) ? (colour, text) => `\x1b[${codes[colour]}m${text}\x1b[0m` : (_colour, text) => text;
}

function isColourful(stream: { readonly isTTY?: boolean }, env: Readonly<Record<string, string | undefined>>): boolean {
  const forced = env.FORCE_COLOR;
  if (forced) return forced !== "0" && forced !== "false";
  return stream.isTTY === true && !env.NO_COLOR && env.TERM !== "dumb";
}
