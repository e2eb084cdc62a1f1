/** Colours for a terminal: none when the output is no terminal, or NO_COLOR is set. */
const codes = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33, magenta: 35, cyan: 36 } as const;

export type Colour = keyof typeof codes;
export type Paint = (colour: Colour, text: string) => string;

export function paintFor(stream: { readonly isTTY?: boolean }): Paint {
  const isColourful = stream.isTTY === true && !process.env.NO_COLOR && process.env.TERM !== "dumb";
  return isColourful ? (colour, text) => `\x1b[${codes[colour]}m${text}\x1b[0m` : (_colour, text) => text;
}
