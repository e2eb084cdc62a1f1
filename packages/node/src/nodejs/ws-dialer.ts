/** Opens WebSockets with the package ws. */
import type { Socket } from "node:net";
import type { SecureContext } from "node:tls";
import type { WebSocket } from "ws";
import { hostOfUrl } from "../address.ts";
import type { TransportErrorCode } from "../transport-error.ts";
import type { ConnectWebSocket } from "../websocket-transport.ts";
import { dialErrorCode, permittedLookup } from "./socket-address.ts";
import { WsMedium, wsOptions } from "./ws-medium.ts";

/** @param secureContext - Whom to trust; absent: whom Node.js trusts. */
export function connectWithWs(Socket: typeof WebSocket, secureContext: SecureContext | undefined): ConnectWebSocket {
  return ({ url, opening, limits, permits }, { succeed, fail }) => {
    const socket = new Socket(url, {
      ...wsOptions(limits),
      ...(permits !== undefined && { lookup: permittedLookup(permits, url) }),
      ...(secureContext !== undefined && { secureContext }),
    });
    let raw: Socket | undefined;
    socket.on("upgrade", (response) => {
      raw = response.socket;
    });
    socket.on("unexpected-response", (_request, response) => {
      fail("EGTP_DIAL_NO_WEBSOCKET", new Error(`Status ${response.statusCode} ${response.statusMessage}`));
    });
    socket.on("error", (error) => fail(errorCode(error), error));
    socket.on("open", () => {
      const address = raw!.remoteAddress ?? hostOfUrl(url);
      succeed({ medium: new WsMedium(socket, raw!, opening), address });
    });
    return () => socket.terminate();
  };
}

function errorCode(error: NodeJS.ErrnoException): TransportErrorCode {
  const { code } = error;
  const known = dialErrorCode(error);
  if (known !== undefined) return known;
  if (code === undefined) return "EGTP_DIAL_NO_WEBSOCKET"; // those of ws itself
  if (/^(CERT|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO|ERR_TLS_CERT|INVALID_CA|PATH_LENGTH)/.test(code)) {
    return "EGTP_DIAL_BAD_CERTIFICATE";
  }
  return /^(HPE_|ERR_SSL_|EPROTO)/.test(code) ? "EGTP_DIAL_NO_WEBSOCKET" : "EGTP_DIAL_FAILED";
}
