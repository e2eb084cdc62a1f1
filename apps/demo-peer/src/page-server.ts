/**
 * The web server of the page, for this machine alone: the files of the page, what happens as server-sent events, and orders.
 *
 * Other sites that are open in the same browser can order nothing: an order is JSON, for which a browser asks a server first,
 * and this one does not agree; and names that lead here by a trick are refused by the header Host.
 */
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join, normalize } from "node:path";
import { isPeerId } from "@egtp/node";
import * as z from "zod/mini";
import type { News } from "./page-news.ts";
import { pageOrder } from "./page-news.ts";
import type { PageStage } from "./page-stage.ts";

const types: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".svg": "image/svg+xml",
};
const json = { "content-type": "application/json", "cache-control": "no-store" };
const maxOrderBytes = 1_000;
/** Pages that hear what happens; a browser opens few. */
const maxListeners = 32;
/** What the page may load: nothing from elsewhere, so that no other script comes near its key. */
const policy =
  "default-src 'self'; connect-src 'self' http://127.0.0.1:* ws://127.0.0.1:*; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

export class PageServer {
  readonly #folder: string;
  readonly #server: Server;
  readonly #listeners = new Set<ServerResponse>();
  #stage: PageStage | undefined;

  /** @param folder - Of the files of the page. */
  static async listen(folder: string, port: number): Promise<PageServer> {
    const server = new PageServer(folder);
    await once(server.#server.listen(port, "127.0.0.1"), "listening");
    return server;
  }

  private constructor(folder: string) {
    this.#folder = folder;
    this.#server = createServer((request, response) => {
      this.#answer(request, response).catch(() => response.writeHead(500).end());
    });
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}/`;
  }

  /** From now on there is something to show. */
  present(stage: PageStage): void {
    this.#stage = stage;
  }

  tell(news: News): void {
    const text = `data: ${JSON.stringify(news)}\n\n`;
    for (const listener of this.#listeners) listener.write(text);
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  get #port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? "/", this.url);
    const hosts = [`127.0.0.1:${this.#port}`, `localhost:${this.#port}`];
    if (!hosts.includes(request.headers.host ?? "") || this.#stage === undefined) response.writeHead(403).end();
    else if (url.pathname === "/news") this.#listen(url, response, this.#stage);
    else if (url.pathname === "/roll") response.writeHead(200, json).end(JSON.stringify(this.#stage.roll));
    else if (url.pathname === "/orders") await this.#obey(request, response, this.#stage);
    else await this.#file(url.pathname, response);
  }

  /** With the ID of a peer it is a tab that is there as long as it listens. */
  #listen(url: URL, response: ServerResponse, stage: PageStage): void {
    if (this.#listeners.size >= maxListeners) {
      response.writeHead(503).end();
      return;
    }
    response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-store" });
    response.write(`data: ${JSON.stringify(stage.roll)}\n\n`);
    this.#listeners.add(response);
    const peer = url.searchParams.get("peer") ?? "";
    const leave = isPeerId(peer) ? stage.enter(peer, (url.searchParams.get("name") ?? "").slice(0, 40)) : undefined;
    response.on("close", () => {
      this.#listeners.delete(response);
      leave?.();
    });
  }

  async #obey(request: IncomingMessage, response: ServerResponse, stage: PageStage): Promise<void> {
    if (request.method !== "POST" || request.headers["content-type"] !== "application/json") {
      response.writeHead(405).end();
      return;
    }
    let text = "";
    for await (const chunk of request.setEncoding("utf8")) {
      text += chunk;
      if (text.length > maxOrderBytes) break;
    }
    const order = z.safeParse(pageOrder, parsed(text));
    if (!order.success) {
      response.writeHead(400).end();
      return;
    }
    await stage.carryOut(order.data);
    response.writeHead(204).end();
  }

  async #file(path: string, response: ServerResponse): Promise<void> {
    const name = path === "/" ? "index.html" : normalize(path).replace(/^\/+/, "");
    const type = types[extname(name)];
    const content =
      type && !name.includes("..") ? await readFile(join(this.#folder, name)).catch(() => undefined) : undefined;
    if (type === undefined || content === undefined) response.writeHead(404).end();
    else response.writeHead(200, { "content-type": type, "content-security-policy": policy }).end(content);
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
