/** What several relays know together of one mailbox: JSON, for whoever has to look into the engine. */
import { encodeUtf8, fromHex, type Millis, toHex } from "@egtp/wire";
import * as z from "zod/mini";
import type { OwnerRuns } from "./owner-runs.ts";

const record = z.object({
  v: z.literal(1),
  tag: z.string().check(z.regex(/^[0-9a-f]{16}$/)),
  isOpen: z.boolean(),
  /** When its owner was last heard of, at the time of writing. */
  contactAt: z.number(),
  /** Who wrote that: one start of a relay. */
  writer: z.string(),
  run: z.optional(z.string()),
  superseded: z.array(z.string()),
});

export interface MailboxRecord extends OwnerRuns {
  readonly tag: Uint8Array;
  readonly isOpen: boolean;
  readonly contactAt: Millis;
  readonly writer: string;
}

export function encodeMailboxRecord({ tag, ...rest }: MailboxRecord): Uint8Array {
  return encodeUtf8(JSON.stringify({ v: 1, tag: toHex(tag), ...rest }));
}

/** @returns `undefined` for what is none, or of a version to come: as if the mailbox had none. */
export function decodeMailboxRecord(bytes: Uint8Array): MailboxRecord | undefined {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return undefined;
  }
  const { success, data } = record.safeParse(value);
  if (!success) return undefined;
  const { tag, run, isOpen, contactAt, writer, superseded } = data;
  return { tag: fromHex(tag), run, isOpen, contactAt, writer, superseded };
}
