/** In place of `hints.ts` in what is built for the users of a page: they are 3 KB that nobody there would read. */
import type * as given from "./hints.ts";

export const wireHints = {} as typeof given.wireHints;
export const schemaHints = {} as typeof given.schemaHints;
