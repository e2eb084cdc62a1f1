/**
 * The address of a boot page: where it lies, and whose it must be.
 *
 *     https://example.org/boot.json#ybndrfg8ejkmcpqxot1uwisza345h769ybndrfg8ejkmcpqxot1y
 *
 * @see docs/spec.md, "Boot page"
 */
import { type PeerId, parsePeerId, WireError } from "@egtp/wire";
import { BootPageError } from "./errors.ts";

export interface BootPageUrl {
  /** Without the publisher's ID: what is asked for. */
  readonly url: string;
  /** Whose page it must be; `undefined` when the address does not say. */
  readonly publisher: PeerId | undefined;
}

/**
 * Reads the address of a boot page.
 *
 * @param allowInsecure - Allow http: for addresses other than loopback's. The page is signed; what TLS adds is that nobody on
 *   the way can hold back a newer one, or take the place of a publisher whose ID is not in the address.
 * @throws {@link BootPageError} `EGTP_BOOT_PAGE_URL`.
 */
export function parseBootPageUrl(text: string, allowInsecure = false): BootPageUrl {
  const refuse = (what: string, cause: unknown): BootPageError =>
    new BootPageError("EGTP_BOOT_PAGE_URL", text, { detail: what, cause });
  let parsed: URL;
  try {
    parsed = new URL(text);
  } catch (cause) {
    throw refuse("it is no URL", cause);
  }
  const problem = problemOf(parsed, allowInsecure);
  // What may be a password is repeated nowhere.
  if (problem !== undefined) throw new BootPageError("EGTP_BOOT_PAGE_URL", `of ${parsed.host}`, { detail: problem });
  let publisher: PeerId | undefined;
  try {
    publisher = parsed.hash === "" ? undefined : parsePeerId(parsed.hash.slice(1));
  } catch (cause) {
    if (cause instanceof WireError) throw refuse("what follows # is no peer ID", cause);
    throw cause;
  }
  parsed.hash = "";
  return { url: parsed.href, publisher };
}

/** Why a page is not loaded from there; `undefined` when it may be. */
export function problemOf(url: URL, allowInsecure: boolean): string | undefined {
  if (url.username !== "" || url.password !== "") return "it names a user or a password";
  if (url.protocol === "https:") return undefined;
  if (url.protocol !== "http:") return "it begins neither with https: nor with http:";
  return allowInsecure || isLoopback(url.hostname) ? undefined : "http: is for this machine only";
}

function isLoopback(host: string): boolean {
  return host === "localhost" || host === "[::1]" || /^127\.\d+\.\d+\.\d+$/.test(host);
}
