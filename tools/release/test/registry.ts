/** As much of an npm registry as publishing needs, on loopback. */
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

interface Published {
  readonly name: string;
  readonly versions: Readonly<Record<string, PublishedVersion>>;
}

interface PublishedVersion {
  readonly version: string;
  readonly repository?: { readonly url: string; readonly directory: string };
  readonly dependencies?: Readonly<Record<string, string>>;
}

export class Registry implements AsyncDisposable {
  /** What was published here, in its order. */
  readonly published: (PublishedVersion & { readonly name: string })[] = [];
  readonly #known = new Map<string, unknown>();
  readonly #server: Server;

  static async serve(): Promise<Registry> {
    const registry = new Registry();
    await once(registry.#server.listen(0, "127.0.0.1"), "listening");
    return registry;
  }

  private constructor() {
    this.#server = createServer((request, response) => {
      this.#answer(request, response).catch(() => response.writeHead(500).end());
    });
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/`;
  }

  /** Settings of npm with which ours are published here; all others are where they always are. */
  get npmrc(): string {
    return `@egtp:registry=${this.url}\n${this.url.replace("http:", "")}:_authToken=test\n`;
  }

  /** Published before. */
  knows(name: string, version: string): void {
    const versions = { [version]: { name, version, dist: { tarball: this.url, shasum: "" } } };
    this.#known.set(name, { name, "dist-tags": { latest: version }, versions });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const name = decodeURIComponent(request.url!.slice(1));
    if (request.method === "PUT") {
      const { versions } = JSON.parse(Buffer.concat(await request.toArray()).toString()) as Published;
      for (const version of Object.values(versions)) this.published.push({ ...version, name });
      response.writeHead(201).end("{}");
      return;
    }
    const known = this.#known.get(name);
    response.writeHead(known === undefined ? 404 : 200, { "content-type": "application/json" });
    response.end(JSON.stringify(known ?? { error: "not found" }));
  }
}
