/** Runs of frames made by fast-check: how to write them, and what reading them must give. */
import fc from "fast-check";
import { expect } from "vitest";
import { type Epoch, FrameWriter, partBytes, type SessionId, type StoreTag, toHex } from "../src/index.ts";
import type { PlainFrame } from "./frame-support.ts";
import { sampleBytes } from "./support.ts";

const number = fc.oneof(fc.nat(200), fc.nat(100_000), fc.nat({ max: 2 ** 50 }));
const body = fc.uint8Array({ maxLength: 80 });
const eight = fc.uint8Array({ minLength: 8, maxLength: 8 });
const hexName = <Name extends string>(bytes: number) =>
  fc.uint8Array({ minLength: bytes, maxLength: bytes }).map((value) => toHex(value) as Name);
const ranges = fc
  .array(fc.tuple(fc.integer({ min: 1, max: 500 }), fc.integer({ min: 1, max: 500 })), { maxLength: 20 })
  .map((pairs) => {
    let end = 0;
    return pairs.flatMap(([gap, length]) => {
      const from = end + gap;
      end = from + length;
      return [from, end];
    });
  });
/** A part of a long body: which, how many bytes in all, and its own. */
const part = fc.tuple(fc.integer({ min: partBytes + 1, max: 3 * partBytes }), fc.nat(2)).map(([totalBytes, index]) => {
  const partIndex = Math.min(index, Math.ceil(totalBytes / partBytes) - 1);
  return { partIndex, totalBytes, body: sampleBytes(Math.min(partBytes, totalBytes - partIndex * partBytes)) };
});
const whole = body.map((bytes) => ({ partIndex: undefined, totalBytes: undefined, body: bytes }));
const content = fc.oneof({ weight: 6, arbitrary: whole }, { weight: 1, arbitrary: part });
const typeName = fc.stringMatching(/^[a-zé👋/.-]{1,20}$/u);

type Step = readonly [write: (writer: FrameWriter) => boolean, frame: (base: number) => PlainFrame];

const step: fc.Arbitrary<(base: number) => Step> = fc.oneof(
  fc
    .record({
      above: number,
      typeNumber: number,
      name: fc.option(typeName, { nil: undefined }),
      remainingMs: fc.option(number, { nil: undefined }),
      isRequest: fc.boolean(),
      content,
    })
    .map(({ above, content: { partIndex, totalBytes, body: bytes }, ...rest }) => (base: number): Step => {
      const own = { ...rest, number: base + above + 2, partIndex, body: bytes };
      return [
        (w) => w.message({ ...own, totalBytes }),
        () => ({
          kind: "message",
          base,
          ...own,
          firstNumber: own.number - (partIndex ?? 0),
          totalBytes: totalBytes ?? bytes.length,
        }),
      ];
    }),
  fc
    .record({ above: number, requestNumber: number, epoch: fc.option(hexName<Epoch>(8), { nil: undefined }), content })
    .map(
      ({ above, requestNumber, content: { partIndex, totalBytes, body: bytes }, ...rest }) =>
        (base: number): Step => {
          const own = {
            requestNumber,
            epoch: rest.epoch,
            number: base + above + 2,
            partIndex,
            body: bytes,
          };
          return [
            (w) => w.reply({ ...own, totalBytes }),
            () => ({
              kind: "reply",
              base,
              ...own,
              firstNumber: own.number - (partIndex ?? 0),
              totalBytes: totalBytes ?? bytes.length,
            }),
          ];
        },
    ),
  fc
    .record({
      epoch: hexName<Epoch>(8),
      received: ranges,
      handled: ranges,
      complete: fc.option(
        fc.tuple(number, number).map(([from, span]) => ({ from, to: from + span })),
        { nil: undefined },
      ),
    })
    .map((fields) => constantStep((w) => w.receipt(fields), { kind: "receipt", ...fields })),
  fc.tuple(hexName<Epoch>(8), number, fc.nat(255)).map(([name, refused, code]) =>
    constantStep((w) => w.rejection(name, refused, code), {
      kind: "rejection",
      epoch: name,
      number: refused,
      code,
    }),
  ),
  fc
    .array(
      fc.record({
        id: hexName<SessionId>(16),
        vouch: fc.option(fc.record({ tag: hexName<StoreTag>(8), floor: fc.maxSafeNat() }), { nil: undefined }),
      }),
      { minLength: 1, maxLength: 16 },
    )
    .map((list) => constantStep((w) => w.rejectedList(list), { kind: "rejectedList", entries: list })),
  body.map((bytes) => constantStep((w) => w.contactRecord(bytes), { kind: "contactRecord", body: bytes })),
  eight.map((bytes) => constantStep((w) => w.linkChallenge(bytes), { kind: "linkChallenge", body: bytes })),
  eight.map((bytes) => constantStep((w) => w.linkResponse(bytes), { kind: "linkResponse", body: bytes })),
  fc.nat(255).map((reason) => constantStep((w) => w.close(reason), { kind: "close", reason })),
  fc
    .tuple(number, number)
    .map(([from, span]) => constantStep((w) => w.probe(from, span + 1), { kind: "probe", from, to: from + span + 1 })),
  fc.constant(constantStep((w) => w.prompt(), { kind: "prompt" })),
);

function constantStep(write: Step[0], frame: PlainFrame): (base: number) => Step {
  return () => [write, () => frame];
}

interface Run {
  readonly base: number;
  readonly earlierEpoch: Epoch | undefined;
  readonly steps: readonly Step[];
  readonly padding: readonly number[];
}

/** Any frames that can be written, in any order, with padding between. */
export const anyRun: fc.Arbitrary<Run> = fc
  .record({
    base: number,
    earlierEpoch: fc.option(hexName<Epoch>(8), { nil: undefined }),
    makers: fc.array(step, { maxLength: 6 }),
    padding: fc.array(fc.nat(5), { minLength: 6, maxLength: 6 }),
  })
  .map(({ base, makers, ...rest }) => ({ base, steps: makers.map((make) => make(base)), ...rest }));

export function writeRun({ base, earlierEpoch, steps, padding }: Run): Uint8Array {
  const writer = new FrameWriter(new Uint8Array(200_000));
  writer.reset(base, earlierEpoch);
  steps.forEach(([write], i) => {
    expect(writer.padding(padding[i] ?? 0) && write(writer)).toBe(true);
  });
  return writer.bytes().slice();
}

/** What reading the run must give. */
export function plainRun({ base, earlierEpoch, steps }: Run): PlainFrame[] {
  const frames = steps.map(([, frame]) => frame(base));
  const first = frames.findIndex(({ kind }) => kind === "message" || kind === "reply" || kind === "probe");
  if (earlierEpoch === undefined || first < 0) return frames;
  return [...frames.slice(0, first), { kind: "earlierEpoch", epoch: earlierEpoch }, ...frames.slice(first)];
}
