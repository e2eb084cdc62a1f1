/** Bodies: the table of docs/body-values.md row by row, and that any bytes give a value or a WireError. */
import { isDeepStrictEqual } from "node:util";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { concatBytes, decodeBody, encodeBody, fromHex, maxBodyDepth, toHex } from "../src/index.ts";
import { bitFlips, codeOf, cuts, ifDecoded, sampleBytes, thrownBy } from "./support.ts";

/** `levels` arrays inside one another. */
function nested(levels: number): unknown {
  let value: unknown[] = [];
  for (let i = 1; i < levels; i++) value = [value];
  return value;
}

const protoKey = JSON.parse('{"__proto__":1}') as object;

const kept: readonly (readonly [name: string, value: unknown, hex: string])[] = [
  ["null", null, "f6"],
  ["false", false, "f4"],
  ["true", true, "f5"],
  ["0", 0, "00"],
  ["an integer", 1_000_000, "1a000f4240"],
  ["a negative integer", -500, "3901f3"],
  ["the largest safe integer", Number.MAX_SAFE_INTEGER, "1b001fffffffffffff"],
  ["the smallest safe integer", Number.MIN_SAFE_INTEGER, "3b001ffffffffffffe"],
  ["a fraction", 1.5, "fb3ff8000000000000"],
  ["a number beyond the safe integers", 2 ** 53, "fb4340000000000000"],
  ["a number beyond all integers", -1e300, "fbfe37e43c8800759c"],
  ["the smallest number above zero", 5e-324, "fb0000000000000001"],
  ["minus zero", -0, "fb8000000000000000"],
  ["bigint 0", 0n, "c240"],
  ["a small bigint", 5n, "c24105"],
  ["bigint -1", -1n, "c340"],
  ["a bigint of 64 bits", 2n ** 64n - 1n, "c248ffffffffffffffff"],
  ["a bigint beyond", 2n ** 64n, "c249010000000000000000"],
  ["a negative bigint", -(2n ** 64n) - 1n, "c349010000000000000000"],
  ["empty text", "", "60"],
  ["text", "grüße 👋", "6c6772c3bcc39f6520f09f918b"],
  ["text that begins with a byte order mark", "\ufeffa", "64efbbbf61"],
  ["text with a replacement character", "\ufffd", "63efbfbd"],
  ["text with a zero character", "a\0b", "63610062"],
  ["no bytes", new Uint8Array(0), "40"],
  ["bytes", fromHex("c0ffee"), "43c0ffee"],
  ["a date in whole seconds", new Date(1_700_000_000_000), "c11a6553f100"],
  ["a date with milliseconds", new Date(1_700_000_000_123), "c1fb41d954fc4007df3b"],
  ["the beginning of time", new Date(0), "c100"],
  ["a date before it", new Date(-1_500), "c1fbbff8000000000000"],
  ["the latest date", new Date(8.64e15), "c11b000007dba8218000"],
  ["the earliest date", new Date(-8.64e15), "c13b000007dba8217fff"],
  ["an empty array", [], "80"],
  ["an array", [1, [2, "x"], null], "830182026178f6"],
  ["an empty object", {}, "a0"],
  ["an object, keys in the order of their encodings", { b: 1, aa: 2, a: 3, "": 4 }, "a4600461610361620162616102"],
  ["an object with a key __proto__", protoKey, "a1695f5f70726f746f5f5f01"],
  [
    "an object with a key constructor",
    { constructor: 1, toString: 2 },
    "a268746f537472696e67026b636f6e7374727563746f7201",
  ],
  ["as much nesting as is allowed", nested(maxBodyDepth), `${"81".repeat(maxBodyDepth - 1)}80`],
];

const changed: readonly (readonly [name: string, value: unknown, arrives: unknown])[] = [
  ["a property that is undefined is left out", { a: undefined, b: 1, c: undefined }, { b: 1 }],
  ["an object of nothing but undefined becomes empty", { a: undefined }, {}],
  ["an object without prototype gets one", Object.assign(Object.create(null), { a: 1 }), { a: 1 }],
  ["a Buffer arrives as Uint8Array", Buffer.from("c0ffee", "hex"), fromHex("c0ffee")],
  ["an array's own properties are not looked at", Object.assign([1], { extra: 2 }), [1]],
];

class Point {
  x = 1;
}
const circular: Record<string, unknown> = {};
circular.self = { circular };

const refused: readonly (readonly [name: string, value: unknown, where: string])[] = [
  ["undefined", undefined, "value is of type undefined"],
  ["undefined in an array", [1, undefined], "value[1] is of type undefined"],
  ["a hole in an array", Object.assign(Array(2), { 0: 1 }), "value[1] is of type undefined"],
  ["NaN", { a: [Number.NaN] }, "value.a[0] is NaN"],
  ["Infinity", Number.POSITIVE_INFINITY, "value is Infinity"],
  ["-Infinity", Number.NEGATIVE_INFINITY, "value is -Infinity"],
  ["half a surrogate pair", "a\ud800", "value is text with half"],
  ["the other half", "\udc00a", "value is text with half"],
  ["half a surrogate pair in a key", { "\ud83d": 1 }, "value has a key with half"],
  ["a symbol", Symbol("s"), "value is of type symbol"],
  ["a symbol as key", { [Symbol("s")]: 1 }, "value has a symbol as key"],
  ["a function", { f: () => 1 }, "value.f is of type function"],
  ["an invalid date", new Date(Number.NaN), "value is an invalid date"],
  ["a Map", new Map([["a", 1]]), "value is an instance of Map"],
  ["a Set", new Set([1]), "value is an instance of Set"],
  ["a class instance", { p: new Point() }, "value.p is an instance of Point"],
  ["an error", new RangeError("x"), "value is an instance of RangeError"],
  ["a regular expression", /x/, "value is an instance of RegExp"],
  ["a boxed number", Object(1), "value is an instance of Number"],
  ["a promise", Promise.resolve(1), "value is an instance of Promise"],
  ["an ArrayBuffer", new ArrayBuffer(4), "value is an instance of ArrayBuffer"],
  ["a DataView", new DataView(new ArrayBuffer(4)), "value is an instance of DataView"],
  ["a Uint8ClampedArray", new Uint8ClampedArray(4), "value is an instance of Uint8ClampedArray"],
  ["a Float64Array", new Float64Array(4), "value is an instance of Float64Array"],
  ["an object made from another", Object.create({ a: 1 }), "value is an instance of Object"],
  ["too much nesting", nested(maxBodyDepth + 1), "is nested deeper than 64"],
  ["a value that contains itself", circular, "is nested deeper than 64"],
];

const foreign: readonly (readonly [name: string, hex: string])[] = [
  ["nothing", ""],
  ["an integer in a longer form", "1800"],
  ["an integer in 8 bytes for 4", "1b00000000ffffffff"],
  ["an integer beyond the safe range", "1b0020000000000000"],
  ["a negative integer beyond the safe range", "3b001fffffffffffff"],
  ["a float of 16 bits", "f93e00"],
  ["a float of 32 bits", "fa3fc00000"],
  ["an integer as a float", "fb3ff0000000000000"],
  ["zero as a float", "fb0000000000000000"],
  ["NaN", "fb7ff8000000000000"],
  ["Infinity", "fb7ff0000000000000"],
  ["-Infinity", "fbfff0000000000000"],
  ["undefined", "f7"],
  ["another simple value", "e0"],
  ["a simple value of two bytes", "f8ff"],
  ["a break", "ff"],
  ["bytes of indefinite length", "5f4101ff"],
  ["text of indefinite length", "7f6161ff"],
  ["an array of indefinite length", "9f01ff"],
  ["an object of indefinite length", "bf616101ff"],
  ["a length in a longer form", "580161"],
  ["text that is not UTF-8", "61ff"],
  ["text with half a surrogate pair", "63eda080"],
  ["text in overlong UTF-8", "62c080"],
  ["keys out of order", "a2616201616101"],
  ["longer keys before shorter", "a262616101616201"],
  ["a key twice", "a2616101616101"],
  ["the key __proto__ twice", "a2695f5f70726f746f5f5f01695f5f70726f746f5f5f02"],
  ["a key that is a number", "a10101"],
  ["a key that is bytes", "a1416101"],
  ["a key that is an array", "a18001"],
  ["a key that is tagged", "a1c2410101"],
  ["an object without a value", "a16161"],
  ["an array with fewer items", "8201"],
  ["an array of more items than memory", "9bffffffffffffffff"],
  ["an array of many items", "9affffffff"],
  ["an object of many items", "baffffffff"],
  ["many bytes", "5affffffff"],
  ["much text", "7affffffff"],
  ["an unknown tag", "c001"],
  ["a tag in a longer form", "d80100"],
  ["a tag without content", "c1"],
  ["a tagged tag", "c1c100"],
  ["a date as text", "c16130"],
  ["a date finer than a millisecond", "c1fb3f1a36e2eb1c432d"],
  ["a date out of range", "c11b000007dba8218001"],
  ["a date of minus zero", "c1fb8000000000000000"],
  ["a date in an array", "c18100"],
  ["a bignum with a leading zero", "c2420005"],
  ["a bignum that is a number", "c205"],
  ["a bignum that is text", "c26105"],
  ["a bignum of bignums", "c2c24105"],
  ["too much nesting", `${"81".repeat(maxBodyDepth + 1)}00`],
  ["too much nesting that ends in nothing", `${"81".repeat(maxBodyDepth)}80`],
  ["too much nesting that ends in an empty object", `${"81".repeat(maxBodyDepth)}a0`],
];

describe("a body keeps", () => {
  it.each(kept)("%s", (_, value, hex) => {
    expect(toHex(encodeBody(value))).toBe(hex);
    const decoded = decodeBody(fromHex(hex));
    expect(decoded).toStrictEqual(value);
    expect(Object.is(decoded, value) || typeof value === "object").toBe(true);
  });

  it("the prototype of everything, whatever the keys", () => {
    const decoded = decodeBody(fromHex("a1695f5f70726f746f5f5fa1616101"));
    expect(Object.getPrototypeOf(decoded)).toBe(Object.prototype);
    expect(Object.keys(decoded as object)).toEqual(["__proto__"]);
    expect((decoded as { a?: number }).a).toBeUndefined();
  });

  it("copies of byte strings", () => {
    const bytes = Buffer.from("43c0ffee", "hex");
    const decoded = decodeBody(bytes) as Uint8Array;
    expect(decoded.constructor).toBe(Uint8Array);
    bytes.fill(0);
    expect(decoded).toEqual(fromHex("c0ffee"));
  });

  it("long text, bytes and arrays", () => {
    for (const length of [22, 23, 24, 31, 32, 33, 255, 256, 65_535, 65_536]) {
      for (const value of ["a".repeat(length), "é".repeat(length), sampleBytes(length), Array(length).fill(7)]) {
        expect(decodeBody(encodeBody(value))).toEqual(value);
      }
    }
  });

  it("keys of all lengths in the order of RFC 8949", () => {
    const keys = [0, 1, 22, 23, 24, 25, 255, 256, 300].flatMap((length) =>
      ["z", "a", "é"].map((c) => c.repeat(length)),
    );
    const value = Object.fromEntries(keys.map((key) => [key, 1]));
    expect(decodeBody(encodeBody(value))).toEqual(value);
    expect(encodeBody(Object.fromEntries(keys.toReversed().map((key) => [key, 1])))).toEqual(encodeBody(value));
  });
});

describe("a body changes", () => {
  it.each(changed)("%s", (_, value, arrives) => {
    expect(decodeBody(encodeBody(value))).toStrictEqual(arrives);
  });
});

describe("a body refuses", () => {
  it.each(refused)("%s", (_, value, where) => {
    expect(() => encodeBody(value)).toThrow(where);
    expect(codeOf(() => encodeBody(value))).toBe("EGTP_WIRE_BAD_BODY");
  });

  it("what answers differently each time", () => {
    let calls = 0;
    const shifty = {
      get a() {
        calls += 1;
        return calls === 1 ? 1 : Symbol("s");
      },
    };
    expect(codeOf(() => encodeBody(shifty))).toBe("EGTP_WIRE_BAD_BODY");
  });
});

describe("decoding refuses", () => {
  it.each(foreign)("%s", (_, hex) => {
    expect(codeOf(() => decodeBody(fromHex(hex)))).toBe("EGTP_WIRE_BAD_BODY");
  });

  it.each(["81", "a16161", "c1"])("%s without end before the stack overflows", (piece) => {
    const error = thrownBy(() => decodeBody(fromHex(piece.repeat(200_000))));
    expect(error).toMatchObject({ code: "EGTP_WIRE_BAD_BODY", cause: undefined });
  });

  it("bytes after the end", () => {
    expect(codeOf(() => decodeBody(fromHex("0000")))).toBe("EGTP_WIRE_TRAILING_BYTES");
    expect(codeOf(() => decodeBody(fromHex("a0f6")))).toBe("EGTP_WIRE_TRAILING_BYTES");
  });

  it("every beginning of a body", () => {
    const whole = encodeBody({ a: [1, 2.5, "text", fromHex("0102")], when: new Date(1), big: 7n });
    for (const cut of cuts(whole)) expect(codeOf(() => decodeBody(cut))).toBe("EGTP_WIRE_BAD_BODY");
  });
});

/** Whatever is decoded has been in its only form: it encodes to the same bytes. */
function check(bytes: Uint8Array): void {
  ifDecoded(
    () => decodeBody(bytes),
    (value) => expect(toHex(encodeBody(value))).toBe(toHex(bytes)),
  );
}

const text = fc.string({ unit: "binary" }).filter((value) => !/\p{Surrogate}/u.test(value));
const anyValue = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    fc.constantFrom(null, true, false, -0, 0),
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    fc.maxSafeInteger(),
    fc.bigInt(),
    text,
    fc.uint8Array({ maxLength: 40 }),
    fc.date({ noInvalidDate: true }),
    fc.array(tie("value"), { maxLength: 4 }),
    fc.dictionary(fc.oneof(text, fc.constantFrom("__proto__", "constructor")), tie("value"), {
      maxKeys: 4,
      noNullPrototype: true,
    }),
  ),
})).value;

describe("any date", () => {
  it("comes back to the millisecond, however far away", () => {
    const times = [4_401_709_367_960_063, -4_401_709_367_960_063, 8.64e15 - 1];
    for (const time of times) expect(decodeBody(encodeBody(new Date(time)))).toEqual(new Date(time));
    fc.assert(
      fc.property(fc.integer({ min: -8.64e15, max: 8.64e15 }), (time) => {
        expect(decodeBody(encodeBody(new Date(time)))).toEqual(new Date(time));
      }),
      { numRuns: 5_000 },
    );
  });
});

describe("any body", () => {
  it("comes back as it was sent", () => {
    fc.assert(
      fc.property(anyValue, (value) => {
        const bytes = encodeBody(value);
        // Not toStrictEqual: it is misled by a key named "constructor".
        expect(isDeepStrictEqual(decodeBody(bytes), value)).toBe(true);
        check(bytes);
      }),
    );
  });

  it("or damaged one gives a value in its only form, or a WireError", () => {
    fc.assert(
      fc.property(anyValue, fc.nat(), (value, at) => {
        const bytes = encodeBody(value);
        for (const flipped of bitFlips(bytes.subarray(0, 64))) check(concatBytes(flipped, bytes.subarray(64)));
        check(bytes.subarray(0, at % bytes.length));
      }),
    );
  });

  it("of bytes gives a value in its only form, or a WireError", () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 40 }), check), { numRuns: 1_000 });
    const piece = fc.constantFrom(
      "81",
      "82",
      "a1",
      "a2",
      "6161",
      "6162",
      "01",
      "c1",
      "c2",
      "c3",
      "41",
      "fb",
      "f6",
      "1b",
      "78",
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => check(fromHex(pieces.join("")))),
      { numRuns: 2_000 },
    );
  });

  it("or anything else at all gives bytes or a WireError when encoded", () => {
    fc.assert(
      fc.property(
        fc.anything({
          withBigInt: true,
          withDate: true,
          withMap: true,
          withTypedArray: true,
          withSparseArray: true,
          withNullPrototype: true,
        }),
        (value) => {
          ifDecoded(() => encodeBody(value), check);
        },
      ),
      { numRuns: 500 },
    );
  });

  it("names the cause of its refusal", () => {
    expect(thrownBy(() => decodeBody(fromHex("1800")))).toMatchObject({ cause: expect.any(Error) });
  });
});
