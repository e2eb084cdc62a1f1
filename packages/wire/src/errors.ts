/**
 * The errors of this package, and `EgtpError`, from which every coded error of EGTP derives.
 *
 * Callers and tests compare `code`, never the text. A mistake in the calling program (a wrong argument) is a plain
 * `TypeError` or `RangeError` without a code; these classes report what came from outside.
 */
import { schemaHints, wireHints } from "#hints";

/** The root of every error that carries an EGTP code. */
export class EgtpError extends Error {
  override readonly name: string = "EgtpError";
  /** Stable, upper case. */
  readonly code: string;
  /** What the reader can do about it. Absent in what is built for the users of a page; the READMEs have it by code. */
  readonly hint: string | undefined;

  constructor(code: string, message: string, options: { cause?: unknown; hint?: string | undefined } = {}) {
    super(message, { cause: options.cause });
    this.code = code;
    this.hint = options.hint;
  }
}

/** Every code a {@link WireError} can carry. The README says what each means. */
export type WireErrorCode = keyof typeof wireHints;

/** Bytes or text from outside that are not what they should be. */
export class WireError extends EgtpError {
  override readonly name: string = "WireError";
  declare readonly code: WireErrorCode;

  constructor(code: WireErrorCode, message: string, options: { cause?: unknown } = {}) {
    super(code, message, { cause: options.cause, hint: wireHints[code] });
  }
}

/** One complaint of a schema validator. */
export interface SchemaIssue {
  readonly message: string;
  /** Where in the value, outermost key first. */
  readonly path: readonly PropertyKey[];
}

/** Every code a {@link SchemaError} can carry. */
export type SchemaErrorCode = keyof typeof schemaHints;

/** A body that the schema of its message type refused. */
export class SchemaError extends EgtpError {
  override readonly name: string = "SchemaError";
  declare readonly code: SchemaErrorCode;
  /** The name of the message type. */
  readonly typeName: string;
  /** Which of the type's two schemas refused. */
  readonly part: "body" | "reply";
  /** Who noticed: the sender before sending, or the receiver. */
  readonly where: "sender" | "receiver";
  readonly issues: readonly SchemaIssue[];

  constructor(
    typeName: string,
    part: "body" | "reply",
    where: "sender" | "receiver",
    issues: readonly SchemaIssue[],
    options: { cause?: unknown } = {},
  ) {
    const code = "EGTP_SCHEMA_MISMATCH";
    const said = issues.map(
      (issue) => (issue.path.length === 0 ? "" : `${issue.path.map(String).join(".")}: `) + issue.message,
    );
    super(code, `The ${part} of "${typeName}" does not fit its schema (seen by the ${where}): ${said.join("; ")}`, {
      cause: options.cause,
      hint: schemaHints[code],
    });
    this.typeName = typeName;
    this.part = part;
    this.where = where;
    this.issues = issues;
  }
}
