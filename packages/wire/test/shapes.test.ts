/** Shapes: what they let through, what they hand over, and that they say where something is wrong. */
import { describe, expect, expectTypeOf, it } from "vitest";
import { bytes, flag, integer, list, object, oneOf, type Shape, type ShapeOf, states, text } from "../src/shapes.ts";

const validate = (shape: Shape<unknown>, value: unknown) => shape["~standard"].validate(value);

const leaves: readonly (readonly [name: string, shape: Shape<unknown>, good: unknown[], bad: unknown[]])[] = [
  ["flag", flag(), [true, false], [0, 1, "true", null, undefined]],
  ["integer", integer(), [0, -0, 1, Number.MAX_SAFE_INTEGER], [-1, 1.5, 2 ** 53, Number.NaN, 1n, "1", null, undefined]],
  ["integer within bounds", integer(-2, 3), [-2, 0, 3], [-3, 4]],
  ["bytes", bytes(2, 3), [new Uint8Array(2), Buffer.alloc(3)], [new Uint8Array(1), new Uint8Array(4), [1, 2], "ab"]],
  ["text", text(1, 2), ["a", "ab"], ["", "abc", ["a"], 1, null, undefined]],
  ["oneOf", oneOf("a", "b"), ["a", "b"], ["c", "", 0, null, undefined, ["a"], "constructor"]],
];

describe("shapes of parts", () => {
  it.each(leaves)("%s", (_, shape, good, bad) => {
    for (const value of good) expect(validate(shape, value)).toEqual({ value });
    for (const value of bad) {
      expect(validate(shape, value)).toEqual({ issues: [{ message: expect.stringMatching(/^Expected /) }] });
    }
  });
});

describe("shapes of wholes", () => {
  const line = object({ name: text(1, 9), marks: list(integer(), 3) });
  const answer = states({ done: { line }, refused: { reason: oneOf("busy", "full") }, gone: {} });

  it("hand over what they name, and nothing else", () => {
    const value = { name: "x", marks: [1, 2], later: true };
    expect(validate(line, value)).toEqual({ value: { name: "x", marks: [1, 2] } });
    expect(validate(answer, { state: "done", line: value, more: 1 })).toEqual({
      value: { state: "done", line: { name: "x", marks: [1, 2] } },
    });
    expect(validate(answer, { state: "gone" })).toEqual({ value: { state: "gone" } });
  });

  it("say where something is wrong", () => {
    const pathOf = (value: unknown) => validate(answer, value).issues?.map(({ path }) => path);
    expect(pathOf({ state: "done", line: { name: "x", marks: [1, -1] } })).toEqual([["line", "marks", 1]]);
    expect(pathOf({ state: "done", line: { name: "x", marks: [1, 2, 3, 4] } })).toEqual([["line", "marks"]]);
    expect(pathOf({ state: "done", line: { marks: [] } })).toEqual([["line", "name"]]);
    expect(pathOf({ state: "done", line: [] })).toEqual([["line"]]);
    expect(pathOf({ state: "refused", reason: "tired" })).toEqual([["reason"]]);
    for (const state of ["elsewhere", "constructor", "", 1, null, undefined]) {
      expect(pathOf({ state })).toEqual([["state"]]);
    }
    for (const value of [null, undefined, "done", 1, [], ["gone"]]) expect(pathOf(value)).toEqual([undefined]);
  });

  it("have the types of what they let through", () => {
    expectTypeOf<ShapeOf<typeof answer>>().toEqualTypeOf<
      | { state: "done"; line: { name: string; marks: number[] } }
      | { state: "refused"; reason: "busy" | "full" }
      | { state: "gone" }
    >();
  });
});
