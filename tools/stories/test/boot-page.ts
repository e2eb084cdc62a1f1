/** A boot page as an operator publishes it: signed with the command, by a key of its own, and put on a web server. */
import { execFile } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer, type Server as WebServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { promisify } from "node:util";
import { commandOf } from "./command.ts";
import type { Place } from "./place.ts";
import type { Server } from "./server.ts";

export class BootPage {
  readonly #file: string;
  readonly #key: string;
  readonly #web: WebServer;
  #publisher = "";

  static async open({ folder }: Place): Promise<BootPage> {
    const file = join(folder, "boot.json");
    const web = createServer((_request, response) => {
      readFile(file).then(
        (page) => response.end(page),
        () => response.writeHead(404).end(),
      );
    });
    web.listen(0, "127.0.0.1");
    await once(web, "listening");
    return new BootPage(file, join(folder, "publisher.key"), web);
  }

  private constructor(file: string, key: string, web: WebServer) {
    this.#file = file;
    this.#key = key;
    this.#web = web;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#web.address() as AddressInfo).port}/boot.json#${this.#publisher}`;
  }

  /** Names these servers on it, and no others any more. */
  async publish(...servers: readonly Server[]): Promise<void> {
    const records = servers.flatMap(({ folder }) => ["--record", join(folder, "contact.record")]);
    const args = ["bootpage", "--key", this.#key, "--out", this.#file, "--json", ...records];
    const { stdout } = await promisify(execFile)(process.execPath, [commandOf("@egtp/metatracker"), ...args]);
    this.#publisher = (JSON.parse(stdout) as { readonly publisher: string }).publisher;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#web.closeAllConnections();
    this.#web.close();
    await once(this.#web, "close");
  }
}
