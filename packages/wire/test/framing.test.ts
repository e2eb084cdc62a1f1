/** Envelopes on a byte stream, however it is cut. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { concatBytes, EnvelopeSplitter, fromHex, maxEnvelopeBytes, toHex, writeLengthPrefix } from "../src/index.ts";
import { codeOf, sampleBytes, thrownBy } from "./support.ts";

function framed(...envelopes: readonly Uint8Array[]): Uint8Array {
  return concatBytes(
    ...envelopes.flatMap((envelope) => {
      const prefix = new Uint8Array(4);
      writeLengthPrefix(envelope.length, prefix);
      return [prefix, envelope];
    }),
  );
}

interface Outcome {
  /** In hexadecimal: quicker to compare. */
  readonly envelopes: string[];
  readonly code: string | undefined;
}

/** Feeds the chunks, overwriting each afterwards as a socket might, and returns what came out. */
function split(chunks: Iterable<Uint8Array>): Outcome {
  const splitter = new EnvelopeSplitter();
  const envelopes: string[] = [];
  const thrown = thrownBy(() => {
    for (const chunk of chunks) {
      const lent = chunk.slice();
      for (const envelope of splitter.push(lent)) envelopes.push(toHex(envelope));
      lent.fill(0xee);
    }
  });
  expect([undefined, splitter.failure]).toContain(thrown);
  return { envelopes, code: splitter.failure?.code };
}

function* oneByOne(bytes: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at++) yield bytes.slice(at, at + 1);
}

describe("the length prefix", () => {
  it("is four bytes, big-endian", () => {
    const into = new Uint8Array(6).fill(9);
    writeLengthPrefix(0x01_02_03 & 0xffff, into, 1);
    expect(into).toEqual(Uint8Array.of(9, 0, 0, 2, 3, 9));
    writeLengthPrefix(maxEnvelopeBytes, into);
    expect(into.subarray(0, 4)).toEqual(fromHex("000100ca"));
  });

  it("is not written for what cannot be", () => {
    for (const length of [0, -1, 1.5, maxEnvelopeBytes + 1]) {
      expect(() => writeLengthPrefix(length, new Uint8Array(4))).toThrow(RangeError);
    }
    expect(() => writeLengthPrefix(5, new Uint8Array(4), 1)).toThrow(RangeError);
  });
});

describe("the splitter", () => {
  const three = [sampleBytes(100, 1), sampleBytes(1, 2), sampleBytes(900, 3)];

  it("finds the same envelopes in one chunk, byte by byte, and cut anywhere", () => {
    const stream = framed(...three);
    expect(split([stream])).toEqual({ envelopes: three.map(toHex), code: undefined });
    expect(split(oneByOne(stream))).toEqual({ envelopes: three.map(toHex), code: undefined });
    for (let at = 0; at <= 120; at++) {
      expect(split([stream.slice(0, at), stream.slice(at)])).toEqual({ envelopes: three.map(toHex), code: undefined });
    }
  });

  it("finds the same however the stream is cut", () => {
    const envelope = fc.uint8Array({ minLength: 1, maxLength: 2_000 });
    fc.assert(
      fc.property(fc.array(envelope, { maxLength: 5 }), fc.array(fc.integer({ min: 1, max: 1_500 })), (list, sizes) => {
        let rest = framed(...list);
        const chunks: Uint8Array[] = [];
        for (const size of sizes) {
          chunks.push(rest.slice(0, size));
          rest = rest.slice(size);
        }
        expect(split([...chunks, rest])).toEqual({ envelopes: list.map(toHex), code: undefined });
      }),
    );
  });

  it("gives views of what came in one piece", () => {
    const stream = framed(...three);
    for (const envelope of new EnvelopeSplitter().push(Buffer.from(stream.buffer))) {
      expect(envelope.buffer).toBe(stream.buffer);
      expect(envelope.constructor).toBe(Uint8Array);
    }
  });

  it("does not write over an envelope that it gave away", () => {
    const stream = framed(sampleBytes(300, 1), sampleBytes(300, 2));
    const splitter = new EnvelopeSplitter();
    const out = [...oneByOne(stream)].flatMap((byte) => splitter.push(byte));
    expect(out).toEqual([sampleBytes(300, 1), sampleBytes(300, 2)]);
  });

  it("takes the longest envelope and says how much it holds", () => {
    const longest = sampleBytes(maxEnvelopeBytes);
    const stream = framed(longest);
    const splitter = new EnvelopeSplitter();
    expect(splitter.push(stream.subarray(0, 2))).toEqual([]);
    expect(splitter.bufferedBytes).toBe(2);
    expect(splitter.push(stream.subarray(2, 40_000))).toEqual([]);
    expect(splitter.bufferedBytes).toBe(40_000);
    expect(splitter.push(stream.subarray(40_000))).toEqual([longest]);
    expect(splitter.bufferedBytes).toBe(0);
    expect(splitter.failure).toBeUndefined();
  });

  it.each([
    ["00000000", "EGTP_WIRE_BAD_LENGTH"],
    ["000100cb", "EGTP_WIRE_TOO_LARGE"],
    ["ffffffff", "EGTP_WIRE_TOO_LARGE"],
  ])("refuses the length %s for good", (hex, code) => {
    const splitter = new EnvelopeSplitter();
    expect(codeOf(() => splitter.push(fromHex(hex)))).toBe(code);
    expect(codeOf(() => splitter.push(framed(three[0]!)))).toBe(code);
    const good = framed(...three);
    const chunks = [good, fromHex(hex), good];
    for (const cut of [[concatBytes(...chunks)], chunks, oneByOne(concatBytes(...chunks))]) {
      expect(split(cut)).toEqual({ envelopes: three.map(toHex), code });
    }
  });

  it("can be told a lower limit, not a higher one", () => {
    expect(new EnvelopeSplitter({ maxBytes: 100 }).push(framed(three[0]!))).toHaveLength(1);
    expect(codeOf(() => new EnvelopeSplitter({ maxBytes: 99 }).push(framed(three[0]!)))).toBe("EGTP_WIRE_TOO_LARGE");
    expect(codeOf(() => new EnvelopeSplitter({ maxBytes: 1e9 }).push(fromHex("00100000")))).toBe("EGTP_WIRE_TOO_LARGE");
  });

  it("sets aside memory for what arrived, not for what was announced", () => {
    const announced = concatBytes(fromHex("00010000"), Uint8Array.of(1));
    const before = process.memoryUsage().arrayBuffers;
    const splitters = Array.from({ length: 1_000 }, () => new EnvelopeSplitter());
    for (const splitter of splitters) splitter.push(announced);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(4_000_000);
    expect(splitters.every((splitter) => splitter.bufferedBytes === 5)).toBe(true);
  });

  it("gives any bytes envelopes or a WireError, the same in one chunk and byte by byte", () => {
    const likely = fc.oneof(
      fc.uint8Array({ maxLength: 40 }),
      fc.constantFrom("00000003", "00000000", "0000").map(fromHex),
    );
    fc.assert(
      fc.property(fc.array(likely, { maxLength: 6 }), (pieces) => {
        const stream = concatBytes(...pieces);
        expect(split([stream, new Uint8Array(0)])).toEqual(split(oneByOne(stream)));
      }),
    );
  });
});
