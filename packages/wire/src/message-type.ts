/**
 * Message types: a name, and what its bodies and replies look like.
 *
 * A part with a schema is structured: the value goes through the schema on both sides and travels as deterministic CBOR.
 * A part without one is raw bytes and passes untouched. Any Standard Schema validator will do.
 *
 * @see docs/spec.md, "Bodies"
 */
import type { StandardSchemaV1 } from "@standard-schema/spec";
import { decodeBody, encodeBody } from "./body.ts";
import { SchemaError, type SchemaIssue } from "./errors.ts";
import { encodeTypeName } from "./type-name.ts";

/** The schema of a part that has none: raw bytes. */
export type RawBytes = StandardSchemaV1<Uint8Array, Uint8Array>;

/**
 * A kind of message. `In` types are what is given to send, `Out` types what the receiver is handed: the two sides of the
 * schema.
 */
export interface MessageType<BodyIn = Uint8Array, BodyOut = BodyIn, ReplyIn = Uint8Array, ReplyOut = ReplyIn> {
  readonly name: string;
  /** `undefined`: bodies are raw bytes. */
  readonly body: StandardSchemaV1<BodyIn, BodyOut> | undefined;
  /** `undefined`: replies are raw bytes. */
  readonly reply: StandardSchemaV1<ReplyIn, ReplyOut> | undefined;
  /** Whether it is handed over only under an established session, never as early data. */
  readonly established: boolean;
}

/** What {@link defineMessage} is told beside the name. */
export interface MessageTypeOptions<Body extends StandardSchemaV1, Reply extends StandardSchemaV1> {
  /** What a body must look like: the schema of any Standard Schema validator. Default: bodies are raw bytes. */
  readonly body?: Body;
  /** What a reply must look like. Default: replies are raw bytes. */
  readonly reply?: Reply;
  /**
   * True: refuse it as early data, which lacks forward secrecy and whose sender may have been someone who holds the
   * recipient's key. Default false.
   */
  readonly established?: boolean;
}

/**
 * Defines a kind of message. Both sides use the same definition:
 *
 *     const ping = defineMessage("demo/ping", { body: z.object({ n: z.number() }), reply: z.string() });
 *
 * @param name - The same on both sides: 1 to 128 bytes of UTF-8 without control characters, else `TypeError`.
 * @param options - Schemas of its body and its reply. Without a schema: raw bytes, a `Uint8Array`.
 */
export function defineMessage<Body extends StandardSchemaV1 = RawBytes, Reply extends StandardSchemaV1 = RawBytes>(
  name: string,
  options: MessageTypeOptions<Body, Reply> = {},
): MessageType<
  StandardSchemaV1.InferInput<Body>,
  StandardSchemaV1.InferOutput<Body>,
  StandardSchemaV1.InferInput<Reply>,
  StandardSchemaV1.InferOutput<Reply>
> {
  if (encodeTypeName(name) === undefined) {
    throw new TypeError(`Not a name for a message type: ${JSON.stringify(name)}`);
  }
  return { name, body: options.body, reply: options.reply, established: options.established ?? false } as MessageType<
    StandardSchemaV1.InferInput<Body>,
    StandardSchemaV1.InferOutput<Body>,
    StandardSchemaV1.InferInput<Reply>,
    StandardSchemaV1.InferOutput<Reply>
  >;
}

/**
 * The bytes of a body to send. The schema only checks: what travels is the value as it was given.
 *
 * @returns The bytes, later if the validator takes its time. Raw bytes are returned as they are, not copied.
 * @throws {@link SchemaError} (where: "sender"); {@link WireError} `EGTP_WIRE_BAD_BODY`; `TypeError` when a raw body is
 *   not a `Uint8Array`.
 */
export function encodeMessageBody<BodyIn>(
  type: MessageType<BodyIn, unknown, unknown, unknown>,
  value: NoInfer<BodyIn>,
): Uint8Array | Promise<Uint8Array> {
  return encodePart(type.name, "body", type.body, value);
}

/**
 * The body that arrived, as the schema gives it out.
 *
 * @param bytes - Borrowed. A raw body is this very view.
 * @throws {@link SchemaError} (where: "receiver"); {@link WireError} `EGTP_WIRE_BAD_BODY`, `EGTP_WIRE_TRAILING_BYTES`;
 *   whatever the validator itself throws.
 */
export function decodeMessageBody<BodyOut>(
  type: MessageType<unknown, BodyOut, unknown, unknown>,
  bytes: Uint8Array,
): BodyOut | Promise<BodyOut> {
  return decodePart(type.name, "body", type.body, bytes) as BodyOut | Promise<BodyOut>;
}

/** Like {@link encodeMessageBody}, for a reply. */
export function encodeMessageReply<ReplyIn>(
  type: MessageType<unknown, unknown, ReplyIn, unknown>,
  value: NoInfer<ReplyIn>,
): Uint8Array | Promise<Uint8Array> {
  return encodePart(type.name, "reply", type.reply, value);
}

/** Like {@link decodeMessageBody}, for a reply. */
export function decodeMessageReply<ReplyOut>(
  type: MessageType<unknown, unknown, unknown, ReplyOut>,
  bytes: Uint8Array,
): ReplyOut | Promise<ReplyOut> {
  return decodePart(type.name, "reply", type.reply, bytes) as ReplyOut | Promise<ReplyOut>;
}

type Part = "body" | "reply";

function encodePart(
  typeName: string,
  part: Part,
  schema: StandardSchemaV1 | undefined,
  value: unknown,
): Uint8Array | Promise<Uint8Array> {
  if (schema === undefined) {
    if (value instanceof Uint8Array) return value;
    throw new TypeError(`The ${part} of "${typeName}" has no schema, so it must be a Uint8Array`);
  }
  const result = schema["~standard"].validate(value);
  if (result instanceof Promise) {
    return result.then((late) => {
      refuse(typeName, part, "sender", late);
      return encodeBody(value);
    });
  }
  refuse(typeName, part, "sender", result);
  return encodeBody(value);
}

function decodePart(typeName: string, part: Part, schema: StandardSchemaV1 | undefined, bytes: Uint8Array): unknown {
  if (schema === undefined) return bytes;
  const result = schema["~standard"].validate(decodeBody(bytes));
  if (result instanceof Promise) return result.then((late) => refuse(typeName, part, "receiver", late));
  return refuse(typeName, part, "receiver", result);
}

/** What the validator gave out, unless it complained. */
function refuse(
  typeName: string,
  part: Part,
  where: "sender" | "receiver",
  result: StandardSchemaV1.Result<unknown>,
): unknown {
  if (result.issues === undefined) return result.value;
  throw new SchemaError(typeName, part, where, result.issues.map(plainIssue));
}

function plainIssue(issue: StandardSchemaV1.Issue): SchemaIssue {
  const path = (issue.path ?? []).map((segment) => (typeof segment === "object" ? segment.key : segment));
  return { message: issue.message, path };
}
