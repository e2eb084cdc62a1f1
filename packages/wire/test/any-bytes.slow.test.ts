/** The long run of every decoder over bytes that were made, damaged and mixed at random. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  concatBytes,
  decodeBody,
  decodeEnvelope,
  EnvelopeSplitter,
  encodeBody,
  fromHex,
  parsePeerId,
  peerIdFromBytes,
  toHex,
  verifyBootPage,
  verifyContactRecord,
} from "../src/index.ts";
import { anyRun, plainRun, writeRun } from "./frame-arbitrary.ts";
import { readFrames, readNoFurther, samples } from "./frame-support.ts";
import { ifDecoded, valueOrWireError } from "./support.ts";

const anyBytes = fc.uint8Array({ maxLength: 400 });

describe("any bytes give a value or a WireError", () => {
  it("frames", () => {
    const pieces = fc.oneof(
      fc.constantFrom(...samples.map(([, , hex]) => fromHex(hex))),
      fc.uint8Array({ maxLength: 6 }),
    );
    fc.assert(
      fc.property(fc.array(pieces, { maxLength: 12 }), fc.nat(), fc.nat(255), (parts, at, byte) => {
        const bytes = concatBytes(...parts);
        if (bytes.length > 0) bytes[at % bytes.length] = byte;
        readNoFurther(bytes);
      }),
      { numRuns: 100_000 },
    );
    fc.assert(
      fc.property(anyRun, (run) => {
        expect(readFrames(writeRun(run))).toEqual(plainRun(run));
      }),
      { numRuns: 5_000 },
    );
  });

  it("bodies", () => {
    const piece = fc.oneof(
      fc
        .constantFrom("81", "82", "a1", "a2", "6161", "6162", "01", "c1", "c2", "c3", "41", "fb", "f6", "1b", "78")
        .map(fromHex),
      fc.uint8Array({ maxLength: 3 }),
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 16 }), (pieces) => {
        const bytes = concatBytes(...pieces);
        ifDecoded(
          () => decodeBody(bytes),
          (value) => expect(toHex(encodeBody(value))).toBe(toHex(bytes)),
        );
      }),
      { numRuns: 300_000 },
    );
  });

  it("envelopes, records, boot pages, peer IDs, streams", () => {
    fc.assert(
      fc.property(anyBytes, fc.constantFrom("", "1100", "1201", "1300"), (bytes, start) => {
        valueOrWireError(() => decodeEnvelope(concatBytes(fromHex(start), bytes)));
        expect(valueOrWireError(() => verifyContactRecord(bytes, 0))).toBeUndefined();
        expect(valueOrWireError(() => verifyBootPage(bytes, 0))).toBeUndefined();
        const splitter = new EnvelopeSplitter();
        valueOrWireError(() => splitter.push(bytes));
        valueOrWireError(() => splitter.push(bytes));
      }),
      { numRuns: 50_000 },
    );
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 31, maxLength: 33 }), fc.string({ unit: "binary" }), (bytes, text) => {
        ifDecoded(
          () => peerIdFromBytes(bytes),
          (id) => expect(parsePeerId(id)).toBe(id),
        );
        valueOrWireError(() => parsePeerId(text));
      }),
      { numRuns: 5_000 },
    );
  });
});
