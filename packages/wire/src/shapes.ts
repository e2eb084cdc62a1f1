/**
 * Schemas for bodies of plain parts: the few kinds that the messages of relays and metatrackers are made of, so that a page needs
 * no validation library for them. They are Standard Schemas like any other; whoever wants transformations, defaults or texts
 * for users takes a library.
 *
 * Of an object only the named fields are read, and handed over: a later version may say more.
 *
 * @see docs/spec.md, "Bodies"
 */
import type { StandardSchemaV1 } from "@standard-schema/spec";

type Result<Value> = StandardSchemaV1.Result<Value>;

/** A schema that answers at once, with the first thing that is wrong, or with the value as it is but for other fields. */
export interface Shape<Value> extends StandardSchemaV1<Value> {
  readonly "~standard": ShapeProps<Value>;
}

interface ShapeProps<Value> extends StandardSchemaV1.Props<Value> {
  readonly validate: (value: unknown) => Result<Value>;
}

/** What a shape lets through. */
export type ShapeOf<Of extends Shape<unknown>> = StandardSchemaV1.InferOutput<Of>;

type Fields = Readonly<Record<string, Shape<unknown>>>;
type ObjectOf<Of extends Fields> = { [Name in keyof Of]: ShapeOf<Of[Name]> };
/** As one object type, so that it reads well. */
type Flat<Type> = { [Name in keyof Type]: Type[Name] };

/** `true` or `false`. */
export function flag(): Shape<boolean> {
  return leaf((value) => typeof value === "boolean", "true or false");
}

/** A whole number; without bounds any that is not negative. */
export function integer(min = 0, max = Number.MAX_SAFE_INTEGER): Shape<number> {
  return leaf(
    (value) => Number.isSafeInteger(value) && isWithin(value as number, min, max),
    `a whole number from ${min} to ${max}`,
  );
}

/** From `min` to `max` bytes. */
export function bytes(min: number, max: number): Shape<Uint8Array> {
  return leaf((value) => value instanceof Uint8Array && isWithin(value.length, min, max), `${min} to ${max} bytes`);
}

/** From `min` to `max` UTF-16 units. */
export function text(min: number, max: number): Shape<string> {
  return leaf((value) => typeof value === "string" && isWithin(value.length, min, max), `${min} to ${max} characters`);
}

/** One of these words. */
export function oneOf<Word extends string>(...words: readonly Word[]): Shape<Word> {
  return leaf((value) => (words as readonly unknown[]).includes(value), `one of ${words.join(", ")}`);
}

/** At most `max` items of one shape. */
export function list<Value>(item: Shape<Value>, max: number): Shape<Value[]> {
  return shape((value) => {
    if (!Array.isArray(value) || value.length > max) return mismatch(`a list of at most ${max}`);
    const items: Value[] = [];
    for (const [index, each] of value.entries()) {
      const result = item["~standard"].validate(each);
      if (result.issues !== undefined) return within(index, result);
      items.push(result.value);
    }
    return { value: items };
  });
}

/** An object with these fields. */
export function object<Of extends Fields>(fields: Of): Shape<ObjectOf<Of>> {
  return shape((value) => {
    if (!isObject(value)) return mismatch("an object");
    const named: Record<string, unknown> = {};
    for (const [name, field] of Object.entries(fields)) {
      const result = field["~standard"].validate(value[name]);
      if (result.issues !== undefined) return within(name, result);
      named[name] = result.value;
    }
    return { value: named as ObjectOf<Of> };
  });
}

/** An object whose field `state` is one of these words, and decides which others there are. */
export function states<Of extends Readonly<Record<string, Fields>>>(
  fieldsOf: Of,
): Shape<{ [State in keyof Of & string]: Flat<{ state: State } & ObjectOf<Of[State]>> }[keyof Of & string]> {
  const state = oneOf(...Object.keys(fieldsOf));
  const shapes = new Map(Object.entries(fieldsOf).map(([word, fields]) => [word, object({ state, ...fields })]));
  return shape((value) => {
    const found = shapes.get(isObject(value) ? (value.state as string) : "") ?? object({ state });
    return found["~standard"].validate(value) as Result<never>;
  });
}

function shape<Value>(validate: (value: unknown) => Result<Value>): Shape<Value> {
  return { "~standard": { version: 1, vendor: "egtp", validate } };
}

function leaf<Value>(isValid: (value: unknown) => boolean, what: string): Shape<Value> {
  return shape((value) => (isValid(value) ? { value: value as Value } : mismatch(what)));
}

function isWithin(value: number, min: number, max: number): boolean {
  return value >= min && value <= max;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function mismatch(expected: string): StandardSchemaV1.FailureResult {
  return { issues: [{ message: `Expected ${expected}` }] };
}

/** What is wrong with a part, told by where in the whole it is. */
function within(key: PropertyKey, { issues }: StandardSchemaV1.FailureResult): StandardSchemaV1.FailureResult {
  return { issues: issues.map(({ message, path = [] }) => ({ message, path: [key, ...path] })) };
}
