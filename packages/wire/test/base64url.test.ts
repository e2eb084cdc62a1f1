/** The text of bytes in boot pages. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { fromBase64Url, toBase64Url } from "../src/base64url.ts";

describe("base64url", () => {
  it("writes as the standard library of Node.js does, and reads it back", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
        const text = toBase64Url(bytes);
        expect(text).toBe(Buffer.from(bytes).toString("base64url"));
        expect(fromBase64Url(text)).toEqual(bytes);
      }),
    );
  });

  it("reads no text but the one that it writes", () => {
    const anyText = fc.string({ unit: fc.constantFrom(..."AQgwZz09-_+/= \né".split("")) });
    fc.assert(
      fc.property(anyText, (text) => {
        const bytes = fromBase64Url(text);
        expect(bytes === undefined ? text : toBase64Url(bytes)).toBe(text);
      }),
      { numRuns: 2_000 },
    );
    const others = ["A", "AB", "AAB", "AA==", "AA\n", "A+", "A/", "é", "AAAAA"];
    expect(others.filter((text) => fromBase64Url(text) !== undefined)).toEqual([]);
  });
});
