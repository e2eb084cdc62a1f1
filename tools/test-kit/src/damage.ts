/** What is done to the entries of a corpus. */

/** What to do, where, and with what: any numbers will do. */
export type Damage = readonly [deed: number, place: number, value: number];

/** Numbers at which something may end: lengths of one byte and of several, in both orders and as varints, and heads of CBOR. */
const edges = [
  [0],
  [1],
  [0x7f],
  [0x80],
  [0xff],
  [0xff, 0xff],
  [0xff, 0xff, 0xff, 0xff],
  [0x7f, 0xff, 0xff, 0xff],
  [0, 0x1f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
  [0, 0x20, 0, 0, 0, 0, 0, 0],
  [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
  [0xff, 0xff, 0xff, 0xff, 0x0f],
  [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f],
  [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
  [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80],
  [0x1b, 0x00, 0x1f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
  [0x3b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
  [0x5b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
  [0x5a, 0x7f, 0xff, 0xff, 0xff],
  [0x7a, 0xff, 0xff, 0xff, 0xff],
  [0x9a, 0xff, 0xff, 0xff, 0xff],
  [0x9b, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00],
  [0xba, 0xff, 0xff, 0xff, 0xff],
  [0x9f],
  [0xbf],
  [0xc1],
  [0xc2],
  [0xc3],
  [0xf6],
  [0xf7],
  [0xfb, 0x7f, 0xf0, 0, 0, 0, 0, 0, 0],
].map((bytes) => Uint8Array.from(bytes));

/** @returns New bytes, never those that were given. */
export function damaged(entry: Uint8Array, other: Uint8Array, steps: readonly Damage[]): Uint8Array {
  let bytes: Uint8Array = entry.slice();
  for (const [deed, place, value] of steps) {
    const at = place % (bytes.length + 1);
    switch (deed % 10) {
      case 0:
        if (at < bytes.length) bytes[at]! ^= 1 << (value & 7);
        break;
      case 1:
        if (at < bytes.length) bytes[at] = value;
        break;
      case 2:
        bytes = bytes.slice(0, at);
        break;
      case 3:
        bytes = joined(bytes, new Uint8Array(1 + (value % 40)).fill(value >> 8));
        break;
      case 4:
        bytes = joined(bytes.subarray(0, at), other.subarray(value % (other.length + 1)));
        break;
      case 5:
        bytes = joined(bytes.subarray(0, at), edges[value % edges.length]!, bytes.subarray(at));
        break;
      case 6:
        bytes.set(edges[value % edges.length]!.subarray(0, bytes.length - at), at);
        break;
      case 7: {
        // What stands there, again.
        const end = Math.min(bytes.length, at + 1 + (value % 64));
        bytes = joined(bytes.subarray(0, end), bytes.subarray(at));
        break;
      }
      case 8: {
        // Left out.
        const end = Math.min(bytes.length, at + 1 + (value % 16));
        bytes = joined(bytes.subarray(0, at), bytes.subarray(end));
        break;
      }
      case 9: {
        // Two pieces change places.
        const cut = at + Math.floor((bytes.length - at) / 2);
        bytes = joined(bytes.subarray(0, at), bytes.subarray(cut), bytes.subarray(at, cut));
        break;
      }
    }
  }
  return bytes;
}

function joined(...parts: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from(Buffer.concat(parts));
}

/** Characters and pieces that somebody's reader takes for something else. */
const oddities = [
  "\0",
  " ",
  "\t",
  "\n",
  "\r\n",
  "\u0085",
  "\u00a0",
  "\u2028",
  "\u202e",
  "\ufeff",
  "\ufffd",
  "\ud800",
  "\udfff",
  "\u{10ffff}",
  "é",
  "e\u0301",
  "ſ",
  "İ",
  "ﬀ",
  "１",
  "。",
  "-",
  "--",
  "=",
  "#",
  "@",
  ":",
  "::",
  "/",
  "//",
  "?",
  "%00",
  "%",
  "[",
  "]",
  "{",
  "}",
  '"',
  "\\",
  "__proto__",
  "constructor",
  "null",
  "true",
  "[]",
  "{}",
  "-0",
  "1e999",
  "9007199254740993",
  "0x7f",
  "NaN",
];

/** The same for text. */
export function damagedText(entry: string, other: string, steps: readonly Damage[]): string {
  let text = entry;
  for (const [deed, place, value] of steps) {
    const at = place % (text.length + 1);
    switch (deed % 9) {
      case 0:
        text = `${text.slice(0, at)}${String.fromCharCode(value & 0x7f)}${text.slice(at + 1)}`;
        break;
      case 1:
        text = text.slice(0, at);
        break;
      case 2:
        text = `${text.slice(0, at)}${oddities[value % oddities.length]}${text.slice(at)}`;
        break;
      case 3:
        text = `${text.slice(0, at)}${oddities[value % oddities.length]}${text.slice(at + 1 + (value % 5))}`;
        break;
      case 4:
        text = text.slice(0, at) + other.slice(value % (other.length + 1));
        break;
      case 5:
        text = text.slice(0, at + 1 + (value % 32)) + text.slice(at);
        break;
      case 6:
        text = text.slice(0, at) + text.slice(at + 1 + (value % 8));
        break;
      case 7:
        text = value % 2 === 0 ? text.toUpperCase() : text.slice(0, at) + text.slice(at).toLowerCase();
        break;
      case 8:
        // Long, though not so long that each run takes its time.
        text = text.slice(0, at) + (text.slice(at, at + 8) || "a").repeat(1 + (value % 200)) + text.slice(at);
        break;
    }
  }
  return text;
}
