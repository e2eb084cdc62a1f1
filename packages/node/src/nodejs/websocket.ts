/**
 * Links over WebSocket, in Node.js, with the package ws.
 *
 * @see docs/spec.md, "Links"
 */
import type { Transport } from "../transport.ts";
import { TransportError } from "../transport-error.ts";
import { Reception } from "../transport-reception.ts";
import { checkWebSocketOptions, type WebSocketOptions } from "../websocket-options.ts";
import { WebSocketTransport } from "../websocket-transport.ts";
import { trusting } from "./certificate.ts";
import { checkPort } from "./socket-address.ts";
import { connectWithWs } from "./ws-dialer.ts";
import { listenForWebSockets } from "./ws-listener.ts";

export { TransportError, type TransportErrorCode } from "../transport-error.ts";
export type { TransportLimits } from "../transport-limits.ts";
export type { HttpServer, WebSocketOptions } from "../websocket-options.ts";

/** A transport over WebSocket: it dials, and listens when it is given a port or a server. */
export function websocket(options: WebSocketOptions = {}): Transport {
  checkWebSocketOptions(options);
  checkPort(options.port ?? 0);
  const secureContext = options.ca === undefined ? undefined : trusting(options.ca);
  const isListening = options.port !== undefined || options.server !== undefined;
  return new WebSocketTransport(options, {
    loadConnect: async () => connectWithWs((await loadWs()).WebSocket, secureContext),
    makeReception: ({ sha512 }, watch) => {
      const { limits } = watch;
      const reception: Reception = new Reception({
        sha512,
        watch,
        listen: isListening
          ? async () => {
              const { WebSocketServer: Server } = await loadWs();
              return await listenForWebSockets(options, { Server, reception, limits });
            }
          : undefined,
      });
      return reception;
    },
  });
}

async function loadWs(): Promise<typeof import("ws")> {
  try {
    return await import("ws");
  } catch (cause) {
    throw new TransportError("EGTP_MISSING_PART", "ws", { cause });
  }
}
