/** Message types: which schema sees what, on which side, and the types that follow. */
import { describe, expect, expectTypeOf, it } from "vitest";
import { z } from "zod";
import {
  decodeBody,
  decodeMessageBody,
  decodeMessageReply,
  defineMessage,
  encodeBody,
  encodeMessageBody,
  encodeMessageReply,
  fromHex,
  type MessageType,
  SchemaError,
} from "../src/index.ts";
import { codeOf } from "./support.ts";

const ping = defineMessage("demo/ping", {
  body: z.object({ n: z.number(), note: z.string().default("none") }),
  reply: z.object({ n: z.string().transform(Number) }),
});
const raw = defineMessage("demo/raw", { established: true });
const slow = defineMessage("demo/slow", {
  body: z.object({ n: z.number() }).refine(async ({ n }) => n > 0, "too small"),
});

/** The error that `run` throws or rejects with. */
async function schemaErrorOf(run: () => unknown): Promise<SchemaError> {
  const error: unknown = await Promise.resolve()
    .then(run)
    .catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(SchemaError);
  return error as SchemaError;
}

describe("defineMessage", () => {
  it("keeps what it was told", () => {
    expect(ping).toMatchObject({ name: "demo/ping", established: false });
    expect(raw).toEqual({ name: "demo/raw", body: undefined, reply: undefined, established: true });
  });

  it.each(["", "a".repeat(129), "é".repeat(65), "a\nb", "a\u0000", "\u0085", "\ud800"])(
    "refuses the name %j",
    (name) => {
      expect(() => defineMessage(name)).toThrow(TypeError);
    },
  );

  it.each(["a", "a".repeat(128), "é".repeat(64), "chat/👋 message.v2"])("accepts the name %j", (name) => {
    expect(defineMessage(name).name).toBe(name);
  });

  it("infers both sides of each schema", () => {
    expectTypeOf(ping).toEqualTypeOf<
      MessageType<{ n: number; note?: string | undefined }, { n: number; note: string }, { n: string }, { n: number }>
    >();
    expectTypeOf(raw).toEqualTypeOf<MessageType<Uint8Array, Uint8Array, Uint8Array, Uint8Array>>();
    expectTypeOf(encodeMessageBody<{ n: number }>)
      .parameter(1)
      .toEqualTypeOf<{ n: number }>();
    expectTypeOf(decodeMessageBody(raw, fromHex(""))).toEqualTypeOf<Uint8Array | Promise<Uint8Array>>();
    const wrongTypes = () => [
      // @ts-expect-error: not what the schema takes in
      encodeMessageBody(ping, { n: "1" }),
      // @ts-expect-error: a reply takes text in
      encodeMessageReply(ping, { n: 1 }),
      // @ts-expect-error: a property is missing
      encodeMessageBody(ping, {}),
      // @ts-expect-error: raw bodies are bytes
      encodeMessageBody(raw, "text"),
    ];
    expect(wrongTypes).toThrow(SchemaError);
  });
});

describe("raw bytes", () => {
  it("pass untouched, not even copied", () => {
    const bytes = fromHex("00ff");
    expect(encodeMessageBody(raw, bytes)).toBe(bytes);
    expect(decodeMessageBody(raw, bytes)).toBe(bytes);
    expect(encodeMessageReply(raw, bytes)).toBe(bytes);
    expect(decodeMessageReply(raw, bytes)).toBe(bytes);
  });

  it("are bytes", () => {
    expect(() => encodeMessageBody(raw, "text" as never)).toThrow(TypeError);
    expect(() => encodeMessageReply(raw, undefined as never)).toThrow(TypeError);
  });
});

describe("structured bodies", () => {
  it("travel as they were given and arrive as the schema gives them out", () => {
    const sent = encodeMessageBody(ping, { n: 1 });
    expect(sent).toEqual(encodeBody({ n: 1 }));
    expect(decodeMessageBody(ping, sent as Uint8Array)).toEqual({ n: 1, note: "none" });
    const answered = encodeMessageReply(ping, { n: "42" });
    expect(answered).toEqual(encodeBody({ n: "42" }));
    expect(decodeMessageReply(ping, answered as Uint8Array)).toEqual({ n: 42 });
  });

  it("are checked by the sender", async () => {
    const body = await schemaErrorOf(() => encodeMessageBody(ping, { n: "1" } as never));
    expect(body).toMatchObject({ code: "EGTP_SCHEMA_MISMATCH", typeName: "demo/ping", part: "body", where: "sender" });
    expect(body.issues).toEqual([{ message: expect.any(String), path: ["n"] }]);
    const reply = await schemaErrorOf(() => encodeMessageReply(ping, { n: 1 } as never));
    expect(reply).toMatchObject({ part: "reply", where: "sender" });
  });

  it("are checked by the receiver", async () => {
    const body = await schemaErrorOf(() => decodeMessageBody(ping, encodeBody({ n: null })));
    expect(body).toMatchObject({ part: "body", where: "receiver", issues: [{ path: ["n"] }] });
    const reply = await schemaErrorOf(() => decodeMessageReply(ping, encodeBody(7)));
    expect(reply).toMatchObject({ part: "reply", where: "receiver", issues: [{ path: [] }] });
  });

  it("must be such that a body can hold them", () => {
    const anything = defineMessage("demo/any", { body: z.unknown() });
    expect(codeOf(() => encodeMessageBody(anything, new Map()))).toBe("EGTP_WIRE_BAD_BODY");
    expect(codeOf(() => decodeMessageBody(anything, fromHex("ff")))).toBe("EGTP_WIRE_BAD_BODY");
    expect(codeOf(() => decodeMessageBody(anything, fromHex("0000")))).toBe("EGTP_WIRE_TRAILING_BYTES");
  });

  it("wait for a validator that takes its time", async () => {
    const sent = await encodeMessageBody(slow, { n: 5 });
    expect(decodeBody(sent)).toEqual({ n: 5 });
    expect(await decodeMessageBody(slow, sent)).toEqual({ n: 5 });
    expect(await schemaErrorOf(() => encodeMessageBody(slow, { n: 0 }))).toMatchObject({ where: "sender" });
    expect(await schemaErrorOf(() => decodeMessageBody(slow, encodeBody({ n: 0 })))).toMatchObject({
      where: "receiver",
    });
  });

  it("are not made into promises by a validator that answers at once", () => {
    expect(encodeMessageBody(ping, { n: 1 })).toBeInstanceOf(Uint8Array);
  });

  it("name the key of a path that is given as an object", async () => {
    const type = defineMessage("demo/path", {
      body: {
        "~standard": {
          version: 1,
          vendor: "test",
          validate: () => ({ issues: [{ message: "no", path: [{ key: "a" }, "b", 0] }, { message: "never" }] }),
        },
      },
    });
    const error = await schemaErrorOf(() => encodeMessageBody(type, 1));
    expect(error.issues).toEqual([
      { message: "no", path: ["a", "b", 0] },
      { message: "never", path: [] },
    ]);
  });
});
