/**
 * Fuzzing of everything that makes values of bytes or text from outside. A package lists its targets, each with real values made by
 * its own code; these lie in `test/corpus/`, one file for each target, with every input that ever found a fault.
 *
 * What is judged, for whatever was made of the corpus: a value comes out or an error with a code that the target names, nothing
 * else is thrown, and no more memory is set aside than a small multiple of the input. A list of the sources sees to it that no
 * reader is forgotten.
 *
 * `EGTP_FUZZ_SEED` repeats a run, `EGTP_FUZZ_TIMES` makes it that many times as long, `EGTP_RENEW_CORPUS=1` writes the corpora anew.
 */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { heldAside } from "./allocations.ts";
import { type Damage, damaged, damagedText } from "./damage.ts";

interface Target<Input> {
  /** In kebab-case: the name of its corpus. */
  readonly name: string;
  /** What it runs, as `file.ts#name`. */
  readonly covers: readonly string[];
  /** Real values by name, the same each time; and such as are refused, under names that begin with `refused-`. */
  readonly seeds: () => Readonly<Record<string, Input>>;
  /** The codes of the errors that may come out. */
  readonly codes: readonly string[];
  /**
   * Reads the input, and fails when what came out is wrong: most often when it is not the same once it was written again.
   *
   * @returns `undefined`, `null` or `false` for what is refused without an error.
   */
  readonly read: (input: Input) => unknown;
  /** How often in the short run; 40 by default. */
  readonly runs?: number;
  /** Bytes that may be set aside for each byte of the input; 16 by default. */
  readonly allocates?: number;
  /** And those beside that, for what it takes to read at all; 16 KiB by default. */
  readonly beside?: number;
}

/** A reader of bytes. */
export interface BytesTarget extends Target<Uint8Array> {
  readonly kind: "bytes";
}

/** A reader of text. */
export interface TextTarget extends Target<string> {
  readonly kind: "text";
}

export type FuzzTarget = BytesTarget | TextTarget;

export interface FuzzedPackage {
  /** `import.meta.url` of a file in the package's folder `test`. */
  readonly here: string;
  readonly targets: readonly FuzzTarget[];
  /** Readers without a target, by `file.ts#name` or by the file: why they need none, or their own test as `path.test.ts: title`. */
  readonly elsewhere: Readonly<Record<string, string>>;
}

/** One line of a corpus. */
interface Entry {
  readonly name: string;
  /** `value`, `nothing`, or the code of an error. */
  readonly outcome: string;
  readonly input: Uint8Array | string;
}

const seed = Number(process.env.EGTP_FUZZ_SEED ?? Date.now() % 2 ** 31);
const runsAtOnce = 20_000;
const found = "found-";
const refused = "refused-";

/**
 * Declares the tests of a package: of its corpora, of what is made of them, and of the list of its readers.
 *
 * @param times - How many short runs this one is as long as; `EGTP_FUZZ_TIMES` says it instead.
 */
export function describeFuzzing({ here, targets, elsewhere }: FuzzedPackage, times = 1): void {
  const folder = join(dirname(fileURLToPath(here)), "corpus");
  describe.each(targets.map((target) => [target.name, target] as const))("%s", (name, target) => {
    const path = join(folder, `${name}.txt`);

    it("reads the corpus as it says, which is what the code makes", async () => {
      const seeds = Object.entries<Uint8Array | string>(target.seeds());
      const kept = existsSync(path) ? parseCorpus(readFileSync(path, "utf8"), target.kind) : [];
      const entries: Entry[] = [];
      for (const [entry, input] of [
        ...seeds,
        ...kept.filter(isFound).map((each) => [each.name, each.input] as const),
      ]) {
        entries.push({ name: entry, input, outcome: await outcomeOf(target, input) });
      }
      const text = entries.map(lineOf).join("");
      if (process.env.EGTP_RENEW_CORPUS === "1") {
        mkdirSync(folder, { recursive: true });
        writeFileSync(path, text);
      }
      expect(entries.filter(({ name: each, outcome }) => isReal(each) && outcome !== "value")).toEqual([]);
      expect(existsSync(path) ? readFileSync(path, "utf8") : "", `EGTP_RENEW_CORPUS=1 renews ${path}`).toBe(text);
    });

    it(`makes of whatever else a value or an error with a code (seed ${seed})`, async () => {
      const inputs = parseCorpus(readFileSync(path, "utf8"), target.kind).map(({ input }) => input);
      const all = Math.ceil((target.runs ?? 40) * Number(process.env.EGTP_FUZZ_TIMES ?? times));
      for (let done = 0; done < all; done += runsAtOnce) {
        await fuzz(target, inputs, seed + done, Math.min(runsAtOnce, all - done));
        if (all > runsAtOnce)
          console.log(`${name}: ${Math.min(all, done + runsAtOnce)} of ${all}, seed ${seed + done}`);
      }
    });
  });

  it("has a target for each reader of bytes or text from outside, and each target is there", () => {
    const source = join(folder, "../../src");
    const readers = readersIn(source);
    const covered = new Set([...targets.flatMap(({ covers }) => covers), ...Object.keys(elsewhere)]);
    expect([...readers].filter((reader) => !covered.has(reader) && !covered.has(reader.split("#")[0]!))).toEqual([]);
    const names = [...covered].filter((each) => !readers.has(each) && !isDefined(source, each));
    expect(names, "is covered and not there").toEqual([]);
    const others = Object.values(elsewhere).flatMap((other) => [...other.matchAll(/^(\S+\.test\.ts): (.+)$/g)]);
    for (const [, path = "", title = ""] of others) {
      expect(readFileSync(join(folder, "../../../..", path), "utf8")).toContain(`"${title}"`);
    }
    const files = readdirSync(folder).map((file) => basename(file, ".txt"));
    expect(files.sort()).toEqual(targets.map(({ name }) => name).sort());
  });
}

/** Whether it is what somebody who keeps to the protocol would send. */
function isReal(name: string): boolean {
  return !name.startsWith(found) && !name.startsWith(refused);
}

function isFound({ name }: { readonly name: string }): boolean {
  return name.startsWith(found);
}

async function fuzz(target: FuzzTarget, inputs: readonly (Uint8Array | string)[], from: number, runs: number) {
  const damage: fc.Arbitrary<Damage> = fc.tuple(fc.nat(), fc.nat(), fc.nat());
  await fc.assert(
    fc.asyncProperty(fc.nat(), fc.nat(), fc.array(damage, { maxLength: 5 }), async (first, second, steps) => {
      const one = inputs[first % inputs.length]!;
      const other = inputs[second % inputs.length]!;
      const input =
        typeof one === "string" ? damagedText(one, other as string, steps) : damaged(one, other as Uint8Array, steps);
      try {
        await outcomeOf(target, input);
      } catch (cause) {
        const line = lineOf({ name: `${found}`, outcome: "?", input });
        throw new Error(`${target.name} is wrong about this line of its corpus: ${line}`, { cause });
      }
    }),
    { seed: from, numRuns: runs, endOnFailure: false },
  );
}

/** Reads, and judges what came of it. */
async function outcomeOf(target: FuzzTarget, input: Uint8Array | string): Promise<string> {
  const before = typeof input === "string" ? undefined : input.slice();
  const size = input.length;
  const { bytes, result, error } = heldAside(() => (target.read as (input: unknown) => unknown)(input));
  assert.ok(
    bytes <= (target.beside ?? 16_384) + (target.allocates ?? 16) * size,
    `${bytes} bytes set aside for an input of ${size}`,
  );
  let outcome: unknown = result;
  try {
    if (error !== undefined) throw error.thrown;
    outcome = await result;
  } catch (thrown) {
    const { code, hint } = thrown as { readonly code?: unknown; readonly hint?: unknown };
    if (typeof code !== "string" || !target.codes.includes(code)) throw thrown;
    assert.equal(typeof hint, "string", `${code} says what to do`);
    outcome = code;
    return code;
  } finally {
    if (before !== undefined) assert.deepEqual(input, before, "what was read is changed");
  }
  return outcome === undefined || outcome === null || outcome === false ? "nothing" : "value";
}

function lineOf({ name, outcome, input }: Entry): string {
  const text = typeof input === "string" ? JSON.stringify(input) : Buffer.from(input).toString("base64");
  return `${name} ${outcome} ${text}\n`;
}

function parseCorpus(text: string, kind: FuzzTarget["kind"]): Entry[] {
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => {
      const [, name = "", outcome = "", value = ""] = /^(\S+) (\S+) (.*)$/.exec(line) ?? [];
      const input = kind === "text" ? (JSON.parse(value) as string) : Uint8Array.from(Buffer.from(value, "base64"));
      return { name, outcome, input };
    });
}

/** What makes a value of bytes or text, whatever it is called. */
const primitive =
  /JSON\.parse\(|new URL\(|\bBuffer\.from\(|new ByteReader\(|new FrameReader\(|new DataView\(|\.getBigUint64\(|parseInt\(|parseFloat\(|Date\.parse\(|parseArgs\(|safeParse\(|defineMessage\("|decodeFirst\(|new X509Certificate\(|\b(?:strictUtf8|decoder)\.decode\(/;
const verbs =
  "decode|verify|parse|read|open|load|consume|match|check|receive|push|restore|from[A-Z]|is[A-Z]|\\w+From[A-Z]";

/** Exported functions and public methods that read, and files in which something is made of bytes or text. */
function readersIn(source: string): Set<string> {
  const readers = new Set<string>();
  const entries = readdirSync(source, { recursive: true, withFileTypes: true });
  for (const entry of entries.filter(({ name }) => /(?<!^conformance)\.ts$/.test(name))) {
    const code = readFileSync(join(entry.parentPath, entry.name), "utf8");
    const file = entry.name;
    const input = "[^)]*(?:Uint8Array|string\\b|unknown)";
    const functions = new RegExp(`^export (?:async )?function\\*? ((?:${verbs})\\w*)(?:<[^(]*>)?\\(${input}`, "gm");
    const methods = new RegExp(`^  (?:static )?(?:async )?((?:${verbs})\\w*)\\(${input}.*\\{$`, "gm");
    const taken = [...code.matchAll(functions), ...code.matchAll(methods)].map(([, name = ""]) => `${file}#${name}`);
    for (const reader of taken) readers.add(reader);
    if (taken.length === 0 && primitive.test(code)) readers.add(file);
  }
  return readers;
}

function isDefined(source: string, reader: string): boolean {
  const [file = "", name] = reader.split("#");
  const paths = readdirSync(source, { recursive: true, encoding: "utf8" });
  const path = paths.find((each) => basename(each) === file);
  if (path === undefined) return false;
  return name === undefined || new RegExp(`\\b${name}\\b`).test(readFileSync(join(source, path), "utf8"));
}
