/**
 * What a metatracker and those who ask it say to each other. A metatracker is an ordinary peer, so each of these travels
 * sealed, numbered and receipted like any message. Contact records travel as they were signed, and are verified by
 * whoever takes them in.
 *
 * @see docs/spec.md, "Metatracker"
 */
import { defineMessage, maxContactRecordBytes, maxServiceNameBytes } from "@egtp/wire";
import * as z from "zod/mini";
import { maxListed } from "./limits.ts";

// Few kinds of schema, since each kind is code that a page loads.
const recordBytes = z.custom<Uint8Array>(
  (value) => value instanceof Uint8Array && value.length <= maxContactRecordBytes,
  `Not at most ${maxContactRecordBytes} bytes`,
);

const textOf = (least: number, most: number) =>
  z.custom<string>(
    (value) => typeof value === "string" && value.length >= least && value.length <= most,
    "Not such a text",
  );

const publication = z.union([
  /** The metatracker keeps this very record. */
  z.object({ state: z.literal("kept") }),
  /** It keeps another one, whose number is not lower. */
  z.object({ state: z.literal("older"), record: recordBytes }),
  /** `reason`: one of {@link RefusalReason}, or of a later version. */
  z.object({ state: z.literal("refused"), reason: textOf(0, 32) }),
]);

/** What became of a record. */
export type Publication = z.infer<typeof publication>;

/** Why a metatracker does not keep a record. */
export type RefusalReason =
  /** It is not a contact record, or nobody signed it. */
  | "invalid"
  /** It is out of date, by the metatracker's clock. */
  | "expired"
  /** It was issued more than a day ahead of the metatracker's clock. */
  | "not-yet-valid"
  /** It is another peer's than the one who brought it. */
  | "not-yours"
  /** Its sender, or all strangers together, publish more than is allowed. */
  | "too-fast"
  /** The metatracker cannot write it down. */
  | "store-failed";

/** Publishes a contact record. The body is the record. */
export const helloRequest = defineMessage("metatracker/hello", { reply: publication });

/** The same for a goodbye, a record with `gone: true`. */
export const goodbyeRequest = defineMessage("metatracker/goodbye", { reply: publication });

/** Asks for the record of a peer. The body is its ID, 32 bytes; the reply is the record, or empty. */
export const lookUpRequest = defineMessage("metatracker/look-up");

/** Asks for peers that offer a service: some of them, chosen at random. */
export const listRequest = defineMessage("metatracker/list", {
  body: z.object({
    service: textOf(1, maxServiceNameBytes),
    max: z.custom<number>(
      (value) => Number.isSafeInteger(value) && (value as number) >= 1 && (value as number) <= maxListed,
      `Not from 1 to ${maxListed}`,
    ),
  }),
  reply: z.object({ records: z.array(recordBytes).check(z.maxLength(maxListed)) }),
});
