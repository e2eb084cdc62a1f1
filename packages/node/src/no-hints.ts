/** In place of `hints.ts` in what is built for the users of a page: they are 3 KB that nobody there would read. */
import type * as given from "./hints.ts";

export const nodeHints = {} as typeof given.nodeHints;
export const rejectHints = {} as typeof given.rejectHints;
export const routeHints = {} as typeof given.routeHints;
export const deliveryHints = {} as typeof given.deliveryHints;
export const transportHints = {} as typeof given.transportHints;
