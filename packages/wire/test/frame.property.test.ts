/** Frames: any bytes give frames or a WireError, and what is written is read. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { concatBytes, FrameReader, fromHex } from "../src/index.ts";
import { anyRun, plainRun, writeRun } from "./frame-arbitrary.ts";
import { readFrames, readNoFurther, samples } from "./frame-support.ts";
import { ifDecoded, valueOrWireError } from "./support.ts";

describe("frames", () => {
  it("that were written are read the same, and written again have the same bytes", () => {
    fc.assert(
      fc.property(anyRun, (run) => {
        const bytes = writeRun(run);
        const frames = readFrames(bytes);
        expect(frames).toEqual(plainRun(run));
        expect(readFrames(concatBytes(bytes, new Uint8Array(3)))).toEqual(frames);
      }),
    );
  });

  it("come out of any bytes, or a WireError does", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => readNoFurther(bytes)),
      { numRuns: 1_000 },
    );
  });

  it("come out of damaged runs, or a WireError does", () => {
    const pieces = fc.array(
      fc.oneof(
        fc.constantFrom(...samples.map(([, , hex]) => fromHex(hex)), fromHex("0a0102030405060708")),
        fc.uint8Array({ maxLength: 4 }),
      ),
      { maxLength: 8 },
    );
    fc.assert(
      fc.property(pieces, fc.nat(), fc.nat(255), (parts, at, byte) => {
        const bytes = concatBytes(...parts);
        readNoFurther(bytes);
        if (bytes.length > 0) bytes[at % bytes.length] = byte;
        readNoFurther(bytes);
      }),
      { numRuns: 1_000 },
    );
  });

  it("are looked ahead at without being changed", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
        const reader = new FrameReader(bytes);
        const ahead = valueOrWireError(() => reader.peek());
        ifDecoded(
          () => readFrames(bytes),
          (frames) => expect(frames[0]?.kind).toBe(ahead),
        );
      }),
    );
  });
});
