/** The public names of @egtp/metatracker: the client, for Node.js and browsers. */

export type { Fetch } from "./boot-page-request.ts";
export { type BootPageUrl, parseBootPageUrl } from "./boot-page-url.ts";
export type { BootPageCache, BootPageEvent, CachedBootPage } from "./boot-pages.ts";
export {
  BootPageError,
  type BootPageErrorCode,
  MetatrackerError,
  type MetatrackerErrorCode,
  type MetatrackerFailure,
  NoMetatrackerError,
} from "./errors.ts";
export {
  type BootPageLimits,
  defaultBootPageLimits,
  defaultLookupLimits,
  type LookupLimits,
} from "./limits.ts";
export {
  type KnownMetatracker,
  type Metatrackers,
  type MetatrackersEvent,
  type MetatrackersOptions,
  metatrackers,
} from "./metatrackers.ts";
export type { Publication, RefusalReason } from "./protocol.ts";
export { orderByNearness } from "./rendezvous.ts";
