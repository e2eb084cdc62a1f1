/** Hexadecimal, comparison, varints, reader and writer. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  ByteReader,
  ByteWriter,
  compareBytes,
  concatBytes,
  decodeUtf8,
  encodeUtf8,
  epochFromBytes,
  equalBytes,
  fromHex,
  offerIdFromBytes,
  sessionIdFromBytes,
  storeTagFromBytes,
  toHex,
  varintLength,
  writeVarint,
} from "../src/index.ts";
import { codeOf, ifDecoded } from "./support.ts";

const bytes = fc.uint8Array({ maxLength: 70 });
const number = fc.oneof(fc.maxSafeNat(), fc.nat(70_000), fc.nat({ max: 300 }));

describe("hexadecimal", () => {
  it("undoes itself and agrees with Buffer", () => {
    fc.assert(
      fc.property(bytes, (b) => {
        expect(toHex(b)).toBe(Buffer.from(b).toString("hex"));
        expect(fromHex(toHex(b))).toEqual(b);
      }),
    );
  });

  it("keeps results of equal length apart", () => {
    const first = toHex(new Uint8Array(16).fill(1));
    expect(toHex(new Uint8Array(16).fill(2))).not.toBe(first);
    expect(first).toBe("01".repeat(16));
  });

  it.each(["0", "0g", "AB", "\u0100\u0100", "  ", "0x12", "1 ", "é0", "ab\n"])("refuses %j", (text) => {
    expect(codeOf(() => fromHex(text))).toBe("EGTP_WIRE_BAD_HEX");
  });

  it("gives any text bytes or a WireError", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        ifDecoded(
          () => fromHex(text),
          (result) => expect(toHex(result)).toBe(text),
        );
      }),
    );
  });
});

describe("names", () => {
  it("are the hexadecimal of 16 or 8 bytes", () => {
    expect(sessionIdFromBytes(new Uint8Array(16).fill(0xab))).toBe("ab".repeat(16));
    expect(offerIdFromBytes(new Uint8Array(16))).toBe("00".repeat(16));
    expect(epochFromBytes(new Uint8Array(8).fill(9))).toBe("09".repeat(8));
    expect(storeTagFromBytes(new Uint8Array(8))).toBe("00".repeat(8));
    for (const make of [sessionIdFromBytes, offerIdFromBytes, epochFromBytes, storeTagFromBytes]) {
      expect(() => make(new Uint8Array(15))).toThrow(RangeError);
    }
  });
});

describe("bytes", () => {
  it("join and compare", () => {
    fc.assert(
      fc.property(bytes, bytes, (a, b) => {
        expect(concatBytes(a, b)).toEqual(Uint8Array.from([...a, ...b]));
        expect(equalBytes(a, b)).toBe(Buffer.compare(a, b) === 0);
        expect(Math.sign(compareBytes(a, b))).toBe(Buffer.compare(a, b));
      }),
    );
    expect(concatBytes()).toEqual(new Uint8Array(0));
  });

  it("hold UTF-8 and nothing else", () => {
    expect(decodeUtf8(encodeUtf8("\ufeffgrüße 👋"))).toBe("\ufeffgrüße 👋");
    for (const bad of ["80", "c080", "eda080", "f8888080", "e282"]) expect(decodeUtf8(fromHex(bad))).toBeUndefined();
  });
});

describe("varints", () => {
  it.each([
    [0, "00"],
    [1, "01"],
    [127, "7f"],
    [128, "8001"],
    [300, "ac02"],
    [16_383, "ff7f"],
    [16_384, "808001"],
    [2 ** 28 - 1, "ffffff7f"],
    [2 ** 28, "8080808001"],
    [2 ** 31, "8080808008"],
    [2 ** 32 - 1, "ffffffff0f"],
    [2 ** 35, "808080808001"],
    [2 ** 42, "80808080808001"],
    [2 ** 49, "8080808080808001"],
    [2 ** 53 - 1, "ffffffffffffff0f"],
  ])("%i is %s", (value, hex) => {
    expect(toHex(new ByteWriter().varint(value).bytes())).toBe(hex);
    expect(varintLength(value)).toBe(hex.length / 2);
    const reader = new ByteReader(fromHex(hex));
    expect(reader.varint()).toBe(value);
    expect(reader.remaining).toBe(0);
  });

  it("undo themselves, with the length foretold", () => {
    fc.assert(
      fc.property(number, (value) => {
        const into = new Uint8Array(8);
        const end = writeVarint(value, into, 0);
        expect(end).toBe(varintLength(value));
        expect(new ByteReader(into).varint()).toBe(value);
      }),
    );
  });

  it.each([
    ["8000", "EGTP_WIRE_BAD_NUMBER"],
    ["ff00", "EGTP_WIRE_BAD_NUMBER"],
    ["ffffffffffffff10", "EGTP_WIRE_BAD_NUMBER"],
    ["ffffffffffffff7f", "EGTP_WIRE_BAD_NUMBER"],
    ["808080808080808001", "EGTP_WIRE_BAD_NUMBER"],
    ["ffffffffffffffffff", "EGTP_WIRE_BAD_NUMBER"],
    ["", "EGTP_WIRE_TRUNCATED"],
    ["80", "EGTP_WIRE_TRUNCATED"],
    ["ffffffffffffff", "EGTP_WIRE_TRUNCATED"],
  ])("refuses %s", (hex, code) => {
    expect(codeOf(() => new ByteReader(fromHex(hex)).varint())).toBe(code);
  });

  it("have one form each: what is read is written the same", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 10 }), (b) => {
        const reader = new ByteReader(b);
        ifDecoded(
          () => reader.varint(),
          (value) => expect(new ByteWriter().varint(value).bytes()).toEqual(b.slice(0, reader.offset)),
        );
      }),
    );
  });
});

describe("reader and writer", () => {
  it("undo each other", () => {
    fc.assert(
      fc.property(
        fc.nat(255),
        fc.nat({ max: 2 ** 32 - 1 }),
        number,
        number,
        fc.uint8Array({ maxLength: 600 }),
        (a, b, c, d, e) => {
          const writer = new ByteWriter(1).u8(a).u32(b).u64(c).varint(d).put(e);
          expect(writer.length).toBe(writer.bytes().length);
          const reader = new ByteReader(writer.bytes());
          expect([reader.u8(), reader.u32(), reader.u64(), reader.varint()]).toEqual([a, b, c, d]);
          expect(reader.take(e.length)).toEqual(e);
          reader.end();
        },
      ),
    );
  });

  it("reads big-endian numbers", () => {
    expect(new ByteReader(fromHex("ff010203")).u32()).toBe(0xff01_0203);
    expect(new ByteReader(fromHex("001fffffffffffff")).u64()).toBe(Number.MAX_SAFE_INTEGER);
    expect(codeOf(() => new ByteReader(fromHex("0020000000000000")).u64())).toBe("EGTP_WIRE_BAD_NUMBER");
  });

  it("ends where the bytes end", () => {
    const reader = new ByteReader(fromHex("0102"));
    expect(codeOf(() => reader.u32())).toBe("EGTP_WIRE_TRUNCATED");
    expect(codeOf(() => reader.u64())).toBe("EGTP_WIRE_TRUNCATED");
    expect(codeOf(() => reader.take(3))).toBe("EGTP_WIRE_TRUNCATED");
    expect(codeOf(() => reader.end())).toBe("EGTP_WIRE_TRAILING_BYTES");
    expect(reader.take(2)).toEqual(Uint8Array.of(1, 2));
    expect(codeOf(() => reader.u8())).toBe("EGTP_WIRE_TRUNCATED");
    reader.end();
  });

  it("gives views, plain also of a Buffer", () => {
    const buffer = Buffer.from("010203", "hex");
    const view = new ByteReader(buffer).take(2);
    expect(view.constructor).toBe(Uint8Array);
    buffer[0] = 9;
    expect(view[0]).toBe(9);
  });
});
