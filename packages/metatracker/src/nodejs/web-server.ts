/**
 * A small HTTP server for what the commands hand out: health, metrics, boot pages. It answers GET and HEAD of fixed
 * paths, keeps nobody waiting, and bounds what a slow or greedy client can hold.
 */
import http from "node:http";
import https from "node:https";
import type { AddressInfo } from "node:net";
import { TransportError } from "@egtp/node";
import type { Certificate } from "./certificate.ts";

/** What a path gives out, made anew for each request. */
export type WebPage = () => WebAnswer | Promise<WebAnswer>;

export interface WebAnswer {
  readonly status?: number;
  readonly type: string;
  readonly body: string | Uint8Array;
  /** Names this very content: whoever has it already is told so instead. */
  readonly etag?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface WebServerOptions {
  /** 0: one that the system picks. */
  readonly port: number;
  /** Default: all addresses of this machine. */
  readonly host?: string | undefined;
  /** With one it speaks TLS. */
  readonly certificate?: Certificate | undefined;
  /** By path, such as "/health". */
  readonly pages: Readonly<Record<string, WebPage>>;
  /** Connections at one time. Default 256: some megabytes. */
  readonly maxConnections?: number;
}

/** How long a request's headers, and the rest of it, may take. */
const requestMs = 10_000;
/** How long a connection is kept for another request. */
const keepAliveMs = 5_000;

export class WebServer {
  /** For whatever else shares its port. */
  readonly server: http.Server;
  readonly port: number;

  /** @throws {@link TransportError} `EGTP_ADDRESS_IN_USE`, `EGTP_LISTEN_FAILED`. */
  static async open(options: WebServerOptions): Promise<WebServer> {
    const { certificate, pages, port, host, maxConnections = 256 } = options;
    const answer = (request: http.IncomingMessage, response: http.ServerResponse): void => {
      void respond(pages, request, response);
    };
    const limits = { headersTimeout: requestMs, requestTimeout: requestMs, keepAliveTimeout: keepAliveMs };
    const server =
      certificate === undefined
        ? http.createServer(limits, answer)
        : https.createServer({ ...limits, ...certificate }, answer);
    server.maxConnections = maxConnections;
    await new Promise<void>((resolve, reject) => {
      server.once("error", (cause: NodeJS.ErrnoException) => {
        const code = cause.code === "EADDRINUSE" ? "EGTP_ADDRESS_IN_USE" : "EGTP_LISTEN_FAILED";
        const place = host?.includes(":") === true ? `[${host}]` : (host ?? "port");
        reject(new TransportError(code, host === undefined ? `port ${port}` : `${place}:${port}`, { cause }));
      });
      server.listen({ port, host }, resolve);
    });
    server.on("error", () => {}); // of single connections that could not be accepted
    return new WebServer(server);
  }

  private constructor(server: http.Server) {
    this.server = server;
    this.port = (server.address() as AddressInfo).port;
  }

  /** Shows another certificate to whoever connects from now on. Only for a server that speaks TLS. */
  renewCertificate(certificate: Certificate): void {
    (this.server as https.Server).setSecureContext(certificate);
  }

  /** Ends every connection. */
  close(): Promise<void> {
    return new Promise((resolve) => {
      this.server.close(() => resolve());
      this.server.closeAllConnections();
    });
  }
}

async function respond(
  pages: Readonly<Record<string, WebPage>>,
  request: http.IncomingMessage,
  response: http.ServerResponse,
): Promise<void> {
  response.on("error", () => {}); // whoever asked has gone
  request.resume(); // nothing that is sent along is of interest
  const path = (request.url ?? "").replace(/[?#].*$/s, "");
  const page = Object.hasOwn(pages, path) ? pages[path] : undefined;
  let answer: WebAnswer;
  try {
    if (page === undefined) answer = { status: 404, type: "text/plain", body: "Not found\n" };
    else if (request.method === "GET" || request.method === "HEAD") answer = await page();
    else if (request.method === "OPTIONS")
      answer = { status: 204, type: "", body: "", headers: (await page()).headers ?? {} };
    else answer = { status: 405, type: "text/plain", body: "Only GET\n", headers: { allow: "GET, HEAD, OPTIONS" } };
  } catch {
    answer = { status: 500, type: "text/plain", body: "Failed\n" };
  }
  const { status = 200, type, body, etag, headers } = answer;
  const isKnown = etag !== undefined && status === 200 && request.headers["if-none-match"]?.includes(etag) === true;
  response.writeHead(isKnown ? 304 : status, {
    ...headers,
    ...(type !== "" && !isKnown && { "content-type": type }),
    ...(etag !== undefined && { etag }),
    "x-content-type-options": "nosniff",
    ...(!isKnown && status !== 204 && { "content-length": Buffer.byteLength(body) }),
  });
  response.end(isKnown || request.method === "HEAD" || status === 204 ? undefined : body);
}
