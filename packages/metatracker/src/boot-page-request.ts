/**
 * Loads one boot page, once: with `fetch`, as Node.js and browsers have it, within a time, a number of redirects, and a
 * size that is watched while the page comes in.
 *
 * @see docs/spec.md, "Boot page"
 */
import { concatBytes, maxBootPageBytes } from "@egtp/wire";
import { problemOf } from "./boot-page-url.ts";
import { BootPageError } from "./errors.ts";
import { maxBootPageRedirects } from "./limits.ts";

/** As much of `fetch` as is used here. */
export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

export interface BootPageRequest {
  readonly url: string;
  readonly allowInsecure: boolean;
  /** What the server said of the page that we have. */
  readonly etag: string | undefined;
  readonly fetch: Fetch;
  readonly signal: AbortSignal;
}

/** What came: `undefined` when the page that we have is still the newest. */
export type BootPageResponse = { readonly bytes: Uint8Array; readonly etag: string | undefined } | undefined;

/**
 * @throws {@link BootPageError} `EGTP_BOOT_PAGE_UNREACHABLE`, `EGTP_BOOT_PAGE_STATUS`, `EGTP_BOOT_PAGE_REDIRECT`,
 *   `EGTP_BOOT_PAGE_TOO_LARGE`. Rejects with the reason of the signal when that aborts.
 */
export async function requestBootPage(request: BootPageRequest): Promise<BootPageResponse> {
  const { url, signal } = request;
  try {
    const response = await follow(request);
    if (response.status === 304 && request.etag !== undefined) {
      await response.body?.cancel();
      return undefined;
    }
    if (response.status !== 200) {
      await response.body?.cancel();
      throw new BootPageError("EGTP_BOOT_PAGE_STATUS", url, { detail: `the server answered ${response.status}` });
    }
    const bytes = await readBounded(response, url);
    return { bytes, etag: readETag(response) };
  } catch (cause) {
    signal.throwIfAborted();
    if (cause instanceof BootPageError) throw cause;
    throw new BootPageError("EGTP_BOOT_PAGE_UNREACHABLE", url, { cause });
  }
}

async function follow({ url, allowInsecure, etag, fetch, signal }: BootPageRequest): Promise<Response> {
  // A browser keeps pages and ETags by itself.
  const headers = { accept: "application/json", ...(etag !== undefined && { "if-none-match": etag }) };
  const init: RequestInit = { headers, signal, cache: "no-cache", credentials: "omit", referrerPolicy: "no-referrer" };
  let at = url;
  for (let hops = 0; ; hops += 1) {
    const response = await fetch(at, { ...init, redirect: "manual" });
    // A browser does not show where a redirect leads, and bounds their number itself.
    if (response.type === "opaqueredirect") return fetch(at, { ...init, redirect: "follow" });
    const location = response.headers.get("location");
    if (![301, 302, 303, 307, 308].includes(response.status) || location === null) return response;
    await response.body?.cancel();
    const next = URL.canParse(location, at) ? new URL(location, at) : undefined;
    const problem = next === undefined ? "it is no URL" : problemOf(next, allowInsecure);
    if (next === undefined || problem !== undefined) {
      throw new BootPageError("EGTP_BOOT_PAGE_REDIRECT", url, { detail: `of where it leads, ${problem}` });
    }
    if (hops === maxBootPageRedirects) {
      throw new BootPageError("EGTP_BOOT_PAGE_REDIRECT", url, { detail: `more than ${hops} redirects` });
    }
    at = next.href;
  }
}

/** Reads as much as a page may have, and ends the connection at the first byte more. */
async function readBounded(response: Response, url: string): Promise<Uint8Array> {
  const tooLarge = (): BootPageError =>
    new BootPageError("EGTP_BOOT_PAGE_TOO_LARGE", url, { detail: `it has more than ${maxBootPageBytes} bytes` });
  const announced = Number(response.headers.get("content-length") ?? 0);
  const reader = response.body?.getReader();
  if (reader === undefined) return new Uint8Array(0);
  const parts: Uint8Array[] = [];
  let length = 0;
  let isWhole = false;
  try {
    if (announced > maxBootPageBytes) throw tooLarge();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      length += value.length;
      if (length > maxBootPageBytes) throw tooLarge();
      parts.push(value);
    }
    isWhole = true;
  } finally {
    if (!isWhole) void reader.cancel().catch(() => {});
  }
  return concatBytes(...parts);
}

function readETag(response: Response): string | undefined {
  const etag = response.headers.get("etag");
  return etag === null || etag.length > 256 ? undefined : etag;
}
