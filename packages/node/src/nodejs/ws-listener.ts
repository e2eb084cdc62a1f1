/**
 * Takes WebSockets in, with a server of its own or one that is there already.
 *
 * Before an authentic envelope nothing is said but HTTP and WebSocket, and nothing that another server would not say. Neither
 * Origin nor cookies decide anything, since a link proves itself.
 */
import http from "node:http";
import { type AddressInfo, isIP, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import tls from "node:tls";
import type { Strategy } from "@egtp/wire";
import type { WebSocket, WebSocketServer } from "ws";
import { sourceOf } from "../address.ts";
import { TransportError } from "../transport-error.ts";
import type { TransportLimits } from "../transport-limits.ts";
import type { Listener, Reception, Visitor } from "../transport-reception.ts";
import type { WebSocketOptions } from "../websocket-options.ts";
import { createSecureServer } from "./certificate.ts";
import { addressText, hostsOf, listen, remoteAddressOf } from "./socket-address.ts";
import { endWebSocket, limitPings, maxTimeoutMs, WsMedium, wsOptions } from "./ws-medium.ts";

export interface WsListenerParts {
  readonly Server: typeof WebSocketServer;
  readonly reception: Reception;
  readonly limits: TransportLimits;
}

/** @throws {@link TransportError} `EGTP_ADDRESS_IN_USE`, `EGTP_LISTEN_FAILED`, `EGTP_BAD_CERTIFICATE`. */
export async function listenForWebSockets(options: WebSocketOptions, parts: WsListenerParts): Promise<Listener> {
  const gate = new Gate(options, parts);
  if (options.server !== undefined) return joinServer(options, options.server as unknown as http.Server, gate);
  return await openServer(options, parts, gate);
}

/** A server that has no other purpose. */
async function openServer(options: WebSocketOptions, parts: WsListenerParts, gate: Gate): Promise<Listener> {
  const { reception, limits } = parts;
  const server = createServer(options, limits);
  // Connections without a link, by their two ends: TLS makes another object of the same connection.
  const guests = new Map<string, Guest>();
  server.maxConnections = limits.maxLinks;
  server.on("drop", () => reception.refuse("full"));
  server.on("connection", (socket: Socket) => {
    socket.on("error", ignore); // "close" follows
    const address = remoteAddressOf(socket);
    // Behind a proxy the source is not known before the request.
    const visitor = options.trustProxy === true ? undefined : gate.admit(socket, address);
    if (socket.destroyed) return;
    const name = nameOf(socket);
    const onClose = (): void => {
      guests.delete(name);
      visitor?.turnAway();
    };
    socket.on("close", onClose);
    guests.set(name, {
      socket,
      visitor,
      linked: () => {
        guests.delete(name);
        socket.off("close", onClose);
      },
    });
  });
  server.on("request", (_request, response) => {
    response.writeHead(426, { connection: "close", upgrade: "websocket", "content-type": "text/plain" });
    response.end("Upgrade Required\n");
  });
  server.on("upgrade", (request, socket, head) => {
    if (gate.isAt(request)) gate.open(request, socket as Socket, head, guests.get(nameOf(socket as Socket)));
    else answerNotFound(socket);
  });
  await listen(server, options.host, options.port!);
  const { port } = server.address() as AddressInfo;
  return {
    get strategies() {
      return strategiesOf(options, options.tls !== undefined, options.host, port);
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        reception.dismiss();
        for (const { socket } of guests.values()) socket.destroy();
      }),
  };
}

function createServer(options: WebSocketOptions, limits: TransportLimits): http.Server {
  const timeMs = Math.min(Math.ceil(limits.unauthenticatedMs), maxTimeoutMs);
  // A visitor has its own time limit. Behind a proxy there is none before the request.
  const timing =
    options.trustProxy === true
      ? { headersTimeout: timeMs, requestTimeout: timeMs, connectionsCheckingInterval: timeMs }
      : { headersTimeout: 0, requestTimeout: 0 };
  if (options.tls === undefined) return http.createServer(timing);
  return createSecureServer(options.tls, { ...timing, handshakeTimeout: timeMs });
}

/** A server that does other things too. */
function joinServer(options: WebSocketOptions, server: http.Server, gate: Gate): Listener {
  if (!server.listening && options.publicUrl === undefined) {
    const cause = new Error("It does not listen yet: let it, before the node starts, or give a publicUrl");
    throw new TransportError("EGTP_LISTEN_FAILED", "the server that was given", { cause });
  }
  const onUpgrade = (request: http.IncomingMessage, socket: Duplex, head: Buffer): void => {
    if (gate.isAt(request)) gate.open(request, socket as Socket, head, undefined);
    else if (server.listenerCount("upgrade") === 1) answerNotFound(socket);
  };
  server.on("upgrade", onUpgrade);
  return {
    get strategies() {
      const bound = server.address();
      if (typeof bound === "string") return strategiesOf(options, false, undefined, undefined);
      return strategiesOf(options, server instanceof tls.Server, bound?.address, bound?.port);
    },
    close: () => {
      server.off("upgrade", onUpgrade);
      return gate.close();
    },
  };
}

/** A connection of our own server that is no link yet. */
interface Guest {
  readonly socket: Socket;
  readonly visitor: Visitor | undefined;
  /** It is one now. */
  readonly linked: () => void;
}

/** Makes WebSockets of requests to upgrade, and links of WebSockets that name somebody. */
class Gate {
  readonly #server: WebSocketServer;
  readonly #reception: Reception;
  readonly #path: string;
  readonly #trustsProxy: boolean;
  /** Connections that came by a request, until they are gone. */
  #open = 0;
  #onEmpty = (): void => {};

  constructor(options: WebSocketOptions, { Server, reception, limits }: WsListenerParts) {
    this.#server = new Server({
      ...wsOptions(limits),
      noServer: true,
      clientTracking: false,
      handleProtocols: () => false,
    });
    this.#reception = reception;
    this.#path = options.path ?? "/";
    this.#trustsProxy = options.trustProxy === true;
  }

  isAt(request: http.IncomingMessage): boolean {
    return request.url?.split("?", 1)[0] === this.#path;
  }

  /** Lets a connection in, or ends it. */
  admit(socket: Socket, address: string | undefined): Visitor | undefined {
    const visitor = address && this.#reception.admit(sourceOf(address), () => socket.destroy());
    if (visitor) return visitor;
    socket.destroy();
    return undefined;
  }

  /** Opens the WebSocket that a request asks for, and waits for the dial tag. */
  open(request: http.IncomingMessage, socket: Socket, head: Buffer, guest: Guest | undefined): void {
    socket.on("error", ignore);
    const address = this.#addressOf(request, socket);
    const visitor = guest?.visitor ?? this.admit(socket, address);
    if (visitor === undefined) return;
    const onClose = (): void => visitor.turnAway();
    socket.on("close", onClose);
    this.#count(socket);
    this.#server.handleUpgrade(request, socket, head, (webSocket) => {
      visitor.hangUp = () => endWebSocket(webSocket, socket);
      readTag(webSocket, visitor, {
        remote: this.#trustsProxy ? address! : addressText(address!, socket.remotePort ?? 0),
        open: () => {
          socket.off("close", onClose);
          guest?.linked();
          return new WsMedium(webSocket, socket, undefined);
        },
      });
    });
  }

  /** Ends what has named nobody, and resolves when no connection is left. */
  close(): Promise<void> {
    return new Promise((resolve) => {
      this.#onEmpty = resolve;
      this.#reception.dismiss();
      if (this.#open === 0) resolve();
    });
  }

  /** The other end; behind a proxy as the proxy names it, which it does last. */
  #addressOf(request: http.IncomingMessage, socket: Socket): string | undefined {
    const forwarded = String(request.headers["x-forwarded-for"] ?? "")
      .split(",")
      .at(-1)!
      .trim();
    return this.#trustsProxy && isIP(forwarded) !== 0 ? forwarded : remoteAddressOf(socket);
  }

  #count(socket: Socket): void {
    this.#open += 1;
    socket.once("close", () => {
      this.#open -= 1;
      if (this.#open === 0) this.#onEmpty();
    });
  }
}

function readTag(webSocket: WebSocket, visitor: Visitor, caller: { remote: string; open: () => WsMedium }): void {
  const turnAway = (): void => visitor.turnAway();
  webSocket.on("error", turnAway);
  limitPings(webSocket, turnAway);
  webSocket.on("message", (data: Buffer, isBinary) => {
    if (isBinary) visitor.receive(data, caller);
    else turnAway();
  });
}

/** Where peers should dial. */
function strategiesOf(
  { publicUrl, path = "/" }: WebSocketOptions,
  isSecure: boolean,
  host: string | undefined,
  port: number | undefined,
): Strategy[] {
  if (publicUrl !== undefined) return [{ kind: "websocket", url: publicUrl }];
  if (port === undefined) return [];
  const scheme = isSecure ? "wss" : "ws";
  return hostsOf(host).map((one) => ({
    kind: "websocket",
    url: new URL(`${scheme}://${addressText(one, port)}${path}`).href,
  }));
}

function nameOf(socket: Socket): string {
  return `${socket.remoteAddress} ${socket.remotePort}`;
}

function answerNotFound(socket: Duplex): void {
  socket.on("error", ignore);
  socket.once("finish", () => socket.destroy());
  socket.end("HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
}

function ignore(): void {}
