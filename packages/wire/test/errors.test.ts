/** The error classes: codes, hints and fields. */
import { describe, expect, it } from "vitest";
import { EgtpError, SchemaError, WireError } from "../src/index.ts";

describe("errors", () => {
  it("carry code, hint, cause and name", () => {
    const cause = new Error("below");
    const error = new WireError("EGTP_WIRE_BAD_BODY", "no body", { cause });
    expect(error).toBeInstanceOf(EgtpError);
    expect(error).toBeInstanceOf(Error);
    expect(error).toMatchObject({ name: "WireError", code: "EGTP_WIRE_BAD_BODY", message: "no body", cause });
    expect(error.hint).toContain("docs/body-values.md");
    expect(new EgtpError("EGTP_ANY", "text")).toMatchObject({ name: "EgtpError", code: "EGTP_ANY", hint: undefined });
    expect(new EgtpError("EGTP_ANY", "text", { hint: "do this" }).hint).toBe("do this");
  });

  it("say which schema refused what", () => {
    const issues = [
      { message: "too small", path: ["list", 0, Symbol("s")] },
      { message: "not at all", path: [] },
    ];
    const error = new SchemaError("demo/ping", "reply", "receiver", issues);
    expect(error).toMatchObject({ name: "SchemaError", code: "EGTP_SCHEMA_MISMATCH", typeName: "demo/ping" });
    expect(error).toMatchObject({ part: "reply", where: "receiver", issues });
    expect(error.message).toBe(
      'The reply of "demo/ping" does not fit its schema (seen by the receiver): list.0.Symbol(s): too small; not at all',
    );
    expect(error.hint).toBeTypeOf("string");
  });
});
