/** What the peers of these tests say to each other, in Node.js and in tabs. */
import { defineMessage } from "@egtp/node";
import * as z from "zod/mini";

const body = z.object({ n: z.number() });

export const note = defineMessage("test/note", { body });
export const ask = defineMessage("test/ask", { body, reply: body });
