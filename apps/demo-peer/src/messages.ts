/** The kinds of messages that the demo and the hand-driven peers exchange. */
import { defineMessage } from "@egtp/node";
import * as z from "zod/mini";

const bytes = z.custom<Uint8Array>((value) => value instanceof Uint8Array, "expected bytes");

/** What one says to another; nothing comes back but that it was handled. */
export const note = defineMessage("demo/note", { body: z.object({ n: z.int(), text: z.string() }) });

/** A question with an answer: the number after it. */
export const ping = defineMessage("demo/ping", {
  body: z.object({ n: z.int() }),
  reply: z.object({ n: z.int() }),
});

/** A piece of a file; they may arrive in any order. */
export const filePart = defineMessage("demo/file-part", { body: z.object({ index: z.int(), bytes }) });

/** All pieces were handled: what did they add up to? */
export const fileEnd = defineMessage("demo/file-end", {
  body: z.object({ bytes: z.int() }),
  reply: z.object({ bytes: z.int(), sha256: z.string() }),
});

/** A line of chat. The name is what its writer calls itself; only the ID is proven. */
export const chatText = defineMessage("demo/chat", {
  body: z.object({ text: z.string(), name: z.optional(z.string()) }),
});

/** A piece of a file that was dropped on a page; see {@link PieceCollector}. */
export const filePiece = defineMessage("demo/file-piece", {
  body: z.object({ file: z.string(), name: z.string(), index: z.int(), count: z.int(), bytes }),
});
