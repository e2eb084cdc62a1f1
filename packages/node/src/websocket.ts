/**
 * Links over WebSocket. Here the half that every platform with a global `WebSocket` has: dialling. In Node.js
 * `src/nodejs/websocket.ts` takes its place, which listens too.
 *
 * @see docs/spec.md, "Links"
 */
import type { Transport } from "./transport.ts";
import { TransportError } from "./transport-error.ts";
import { connectWith } from "./websocket-medium.ts";
import type { WebSocketOptions } from "./websocket-options.ts";
import { WebSocketTransport } from "./websocket-transport.ts";

export { TransportError, type TransportErrorCode } from "./transport-error.ts";
export type { TransportLimits } from "./transport-limits.ts";
export type { HttpServer, WebSocketOptions } from "./websocket-options.ts";

const listeningOptions = ["port", "host", "tls", "server", "path", "publicUrl", "trustProxy"] as const;

/** A transport over WebSocket. In a browser it dials; in Node.js it also listens when it is given a port or a server. */
export function websocket(options: WebSocketOptions = {}): Transport {
  for (const name of listeningOptions) {
    if (options[name] !== undefined) throw new TypeError(`Only Node.js can listen: leave out ${name}`);
  }
  return new WebSocketTransport(options, {
    loadConnect: async () => {
      if (globalThis.WebSocket === undefined) throw new TransportError("EGTP_MISSING_PART", "WebSocket");
      return connectWith(globalThis.WebSocket);
    },
  });
}
