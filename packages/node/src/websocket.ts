/**
 * Links over WebSocket. Here the half that every platform with a global `WebSocket` has: dialling. In Node.js
 * `src/nodejs/websocket.ts` takes its place, which listens too.
 *
 * @see docs/spec.md, "Links"
 */
import type { Transport } from "./transport.ts";
import { TransportError } from "./transport-error.ts";
import { connectWith } from "./websocket-medium.ts";
import { checkWebSocketOptions, type WebSocketOptions } from "./websocket-options.ts";
import { WebSocketTransport } from "./websocket-transport.ts";

export { TransportError, type TransportErrorCode } from "./transport-error.ts";
export type { TransportLimits } from "./transport-limits.ts";
export type { HttpServer, WebSocketOptions } from "./websocket-options.ts";

/** A transport over WebSocket. In a browser it dials; in Node.js it also listens when it is given a port or a server. */
export function websocket(options: WebSocketOptions = {}): Transport {
  checkWebSocketOptions(options);
  if (options.port !== undefined || options.server !== undefined) {
    throw new TypeError("Only Node.js can listen: leave out port and server");
  }
  return new WebSocketTransport(options, {
    loadConnect: async () => {
      if (globalThis.WebSocket === undefined) throw new TransportError("EGTP_MISSING_PART", "WebSocket");
      return connectWith(globalThis.WebSocket);
    },
    listen: undefined,
  });
}
