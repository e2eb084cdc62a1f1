/** What a WebSocket transport is made with, in Node.js and in a browser alike. */
import { isWebSocketUrl } from "@egtp/wire";
import type { DialCrypto } from "./dial-tag.ts";
import type { TransportClock } from "./transport-clock.ts";
import { TransportError } from "./transport-error.ts";
import type { TransportLimits } from "./transport-limits.ts";

export interface WebSocketOptions {
  /**
   * Listens at this port; 0 is one that the system picks. Without it and without `server` the transport only dials: it does
   * so in a browser, which cannot listen.
   */
  readonly port?: number;
  /** With `port`: the address to listen at. Default: all of this machine's, IPv6 and IPv4. */
  readonly host?: string;
  /**
   * With `port`: serves wss: with this certificate (with its chain) and its private key, each as PEM. Without it, ws:, for
   * a reverse proxy that speaks TLS, or for networks of one's own.
   */
  readonly tls?: { readonly cert: string | Uint8Array; readonly key: string | Uint8Array };
  /**
   * Listens with a server of `node:http` or `node:https` that is there already and stays the caller's to open and close.
   * Only requests to upgrade at `path` are taken.
   */
  readonly server?: HttpServer;
  /** Where WebSockets are opened: the path of the URL. Default: "/". */
  readonly path?: string;
  /**
   * Where peers should dial; what a contact record says. Default: what is listened at, with `host` or the addresses of
   * this machine. Say it with `tls`, whose certificate is for a name, and behind a reverse proxy.
   */
  readonly publicUrl?: string;
  /**
   * True: the source of a connection is the last address of the header X-Forwarded-For. For listeners that nobody but our
   * own reverse proxy can reach: others could write there what they like and so escape the limits for each source.
   */
  readonly trustProxy?: boolean;
  /** Certificates, as PEM, of authorities to trust when dialling, beside those that Node.js trusts. Not in browsers. */
  readonly ca?: string | Uint8Array;
  readonly limits?: Partial<TransportLimits>;
  /** Where hashes and salts come from. Default: the provider of this platform. */
  readonly crypto?: DialCrypto;
  readonly clock?: TransportClock;
}

/** What is used of an `http.Server` or `https.Server` of Node.js. */
export interface HttpServer {
  readonly listening: boolean;
  address(): unknown;
  on(event: "upgrade", listener: (...upgrade: unknown[]) => void): unknown;
  off(event: "upgrade", listener: (...upgrade: unknown[]) => void): unknown;
  listenerCount(event: "upgrade"): number;
}

/**
 * @throws `TypeError` for options that contradict each other; {@link TransportError} `EGTP_BAD_ADDRESS` for a public URL or
 *   a path that is none.
 */
export function checkWebSocketOptions(options: WebSocketOptions): void {
  const { port, host, tls, server, path, publicUrl, trustProxy } = options;
  if (port !== undefined && server !== undefined) throw new TypeError("Give port or server, not both");
  if (port === undefined && (host !== undefined || tls !== undefined)) throw new TypeError("host and tls need a port");
  if (port === undefined && server === undefined && (path ?? publicUrl ?? trustProxy) !== undefined) {
    throw new TypeError("path, publicUrl and trustProxy need a port or a server");
  }
  if (path !== undefined && !/^\/[!-~]*$/.test(path)) throw new TransportError("EGTP_BAD_ADDRESS", path);
  if (path !== undefined && /[?#]/.test(path)) throw new TransportError("EGTP_BAD_ADDRESS", path);
  if (publicUrl !== undefined && !isWebSocketUrl(publicUrl)) throw new TransportError("EGTP_BAD_ADDRESS", publicUrl);
}
