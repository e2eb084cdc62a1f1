/** Where a story takes place: a folder, an address of its own on loopback, and the processes that were started there. */
import { randomInt } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test as anyTest } from "vitest";
import type { PeerOptions } from "../src/orders.ts";
import { Peer } from "./peer.ts";
import { Server, type ServerOptions } from "./server.ts";

/** A second of patience where a minute would do as well: a story shall be short. What it tells does not depend on it. */
export const shortPauses: NonNullable<PeerOptions["limits"]> = {
  node: { maxRetryMs: 1_000, busyRetryMs: 1_000 },
  relay: { maxRetryMs: 1_000 },
};

export class Place {
  readonly folder: string;
  readonly host: string;
  readonly #story: string;
  readonly #servers: Server[] = [];
  readonly #peers: Peer[] = [];

  /** @param story - What takes place there. */
  static async open(story: string): Promise<Place> {
    return new Place(story, await mkdtemp(join(tmpdir(), "egtp-story-")));
  }

  private constructor(story: string, folder: string) {
    this.#story = story;
    this.folder = folder;
    // A server that was killed comes back to its port. On Linux each story has an address to itself, so that meanwhile the
    // system gives that port to nobody else.
    this.host =
      process.platform === "linux" ? `127.${randomInt(1, 255)}.${randomInt(256)}.${randomInt(1, 255)}` : "127.0.0.1";
  }

  metatracker(name = "metatracker", options: Partial<ServerOptions> = {}): Promise<Server> {
    return this.#serve(name, { program: "@egtp/metatracker", servesBootPage: true, ...options });
  }

  relay(bootPage: string, name = "relay", options: Partial<ServerOptions> = {}): Promise<Server> {
    return this.#serve(name, {
      program: "@egtp/relay",
      ...options,
      args: ["--boot-page", bootPage, ...(options.args ?? [])],
    });
  }

  async #serve(
    name: string,
    options: Omit<ServerOptions, "folder" | "host"> & Partial<ServerOptions>,
  ): Promise<Server> {
    const server = new Server({ folder: join(this.folder, name), host: this.host, ...options });
    this.#servers.push(server);
    await server.start();
    return server;
  }

  /** A peer that is not there yet. @param namespace - The network namespace that it will be in. */
  peer(name: string, bootPage: string, options: Partial<PeerOptions> = {}, namespace?: string): Peer {
    const all = { folder: join(this.folder, name), bootPages: [bootPage], limits: shortPauses, ...options };
    const peer = new Peer(all, namespace);
    this.#peers.push(peer);
    return peer;
  }

  /** Ends what still runs, and leaves nothing; with EGTP_KEEP=1 the folder, where each peer has its logs. */
  async close(): Promise<void> {
    await Promise.all([...this.#peers, ...this.#servers].map((each) => each.kill()));
    if (process.env.EGTP_KEEP === "1") console.log(`${this.folder} is kept: ${this.#story}`);
    else await rm(this.folder, { recursive: true, force: true });
  }
}

/** A test that is given a place, which is closed after it, however it ends. */
export const test = anyTest.extend<{ readonly place: Place }>({
  place: async ({ task }, use) => {
    const place = await Place.open(task.name);
    await use(place);
    await place.close();
  },
});
