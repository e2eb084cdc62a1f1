/** A page made from one TypeScript file, as a bundler makes it, on a web server of its own. Browsers trust loopback as https:. */
import { once } from "node:events";
import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import type { Page } from "playwright-core";
import { bundle } from "./bundle.ts";

const html = `<!doctype html><title>EGTP</title>
<script type="module">import "/page.js"; globalThis.isReady = true;</script>`;

export class PageSite implements AsyncDisposable {
  readonly #server: Server;

  /**
   * @param entry - What it sets on `globalThis` is what `evaluate` finds.
   * @param answer - To what the page asks below `/api/`.
   */
  static async serve(entry: URL, answer?: RequestListener): Promise<PageSite> {
    const script = await bundle(fileURLToPath(entry), { minify: false });
    const server = createServer((request, response) => {
      if (answer !== undefined && request.url?.startsWith("/api/")) {
        answer(request, response);
        return;
      }
      const isScript = request.url === "/page.js";
      response.setHeader("content-type", isScript ? "text/javascript" : "text/html; charset=utf-8");
      response.end(isScript ? script : html);
    });
    await once(server.listen(0, "127.0.0.1"), "listening");
    return new PageSite(server);
  }

  private constructor(server: Server) {
    this.#server = server;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/`;
  }

  /** Opens it, and waits until its script has run to its end. */
  async open(page: Page): Promise<Page> {
    await page.goto(this.url);
    await page.waitForFunction("globalThis.isReady === true");
    return page;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
