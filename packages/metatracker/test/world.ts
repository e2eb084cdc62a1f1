/**
 * A small world for tests: a memory network, virtual time, metatrackers, a web of boot pages, and nodes. Nothing sleeps:
 * `run` lets happen what is to happen, turn by turn, and moves the clock when only timers are left.
 */
import {
  createIdentity,
  createNode,
  type EgtpNode,
  type Identity,
  type NodeEvent,
  type NodeOptions,
  type Transport,
} from "@egtp/node";
import { MemoryNetwork, VirtualTime } from "@egtp/node/memory";
import { type BootPage, type ContactRecord, type Strategy, signBootPage, signContactRecord } from "@egtp/wire";
import { type Metatrackers, type MetatrackersEvent, type MetatrackersOptions, metatrackers } from "../src/index.ts";
import { type MetatrackerServer, type MetatrackerServerOptions, metatrackerServer } from "../src/server.ts";

/** One way through the network takes this long. */
export const hopMs = 10;

export interface WorldPeer {
  readonly node: EgtpNode;
  readonly identity: Identity;
  readonly lookup: Metatrackers;
  readonly said: MetatrackersEvent[];
  readonly events: NodeEvent[];
}

export interface WorldMetatracker {
  readonly name: string;
  readonly identity: Identity;
  readonly node: EgtpNode;
  readonly server: MetatrackerServer;
}

export interface JoinOptions extends Partial<NodeOptions> {
  readonly directory?: MetatrackersOptions;
  /** False: accepts no connections. */
  readonly listen?: boolean;
}

/** What a server of the web does with a request. */
export type Site = (request: {
  readonly url: string;
  readonly etag: string | null;
  readonly signal: AbortSignal;
}) => Response | Promise<Response>;

export class World {
  readonly time = new VirtualTime();
  readonly network = new MemoryNetwork({
    clock: this.time,
    schedule: (task) => void this.time.setTimer(task, hopMs),
  });
  /** By URL without the ID. */
  readonly web = new Map<string, Site>();
  /** URLs that were asked for. */
  readonly visits: string[] = [];
  readonly #nodes = new Set<EgtpNode>();
  readonly #places = new Map<string, Transport>();
  #random = 1;

  /** Repeats itself from run to run. */
  readonly random = (): number => {
    this.#random = (this.#random * 48_271) % 2_147_483_647;
    return this.#random / 2_147_483_647;
  };

  readonly fetch = async (url: string, init: RequestInit): Promise<Response> => {
    this.visits.push(url);
    const site = this.web.get(url);
    if (site === undefined) throw new TypeError("fetch failed");
    const headers = init.headers as Record<string, string>;
    return site({ url, etag: headers["if-none-match"] ?? null, signal: init.signal! });
  };

  /** A metatracker that runs. A name that was used before is the same place of the network again. */
  async metatracker(
    name: string,
    options: { identity?: Identity; server?: MetatrackerServerOptions; node?: Partial<NodeOptions> } = {},
  ): Promise<WorldMetatracker> {
    const { identity = createIdentity() } = options;
    const server = metatrackerServer(options.server);
    const node = await this.#start(name, { identity, services: ["metatracker"], parts: [server], ...options.node });
    return { name, identity, node, server };
  }

  async join(name: string, options: JoinOptions = {}): Promise<WorldPeer> {
    const { directory = {}, identity = createIdentity(), listen, ...rest } = options;
    const said: MetatrackersEvent[] = [];
    const lookup = metatrackers({
      random: this.random,
      fetch: this.fetch,
      onEvent: (event) => said.push(event),
      ...directory,
    });
    const events: NodeEvent[] = [];
    const node = await this.#start(name, { identity, lookup, ...rest }, listen, events);
    return { node, identity, lookup, said, events };
  }

  /** A node of any kind. */
  async node(name: string, options: NodeOptions): Promise<EgtpNode> {
    return this.#start(name, options);
  }

  async #start(name: string, options: NodeOptions, listen = true, events: NodeEvent[] = []): Promise<EgtpNode> {
    const transport = this.#places.get(name) ?? this.network.transport(name, { listen });
    this.#places.set(name, transport);
    const node = await createNode({
      transports: [transport],
      schedule: this.time,
      ...options,
    });
    this.#nodes.add(node);
    void (async () => {
      for await (const event of node.events({ maxQueued: 100_000 })) events.push(event);
    })();
    await this.time.of(node.start());
    return node;
  }

  /** Ends a node as a crash does: it says no word, and is not there any more. */
  async crash(place: string, node: EgtpNode): Promise<void> {
    this.network.cut(place);
    await this.time.of(node.stop());
    this.#nodes.delete(node);
  }

  async stop(node: EgtpNode): Promise<void> {
    await this.time.of(node.stop());
    this.#nodes.delete(node);
  }

  /** Publishes a boot page with these records. @returns The URL, with the publisher's ID. */
  publish(url: string, publisher: Identity, records: readonly Uint8Array[], fields: Partial<BootPage> = {}): string {
    const page = this.page(publisher, records, fields);
    this.web.set(url, () => new Response(page.slice()));
    return `${url}#${publisher.peer}`;
  }

  page(publisher: Identity, records: readonly Uint8Array[], fields: Partial<BootPage> = {}): Uint8Array {
    const issued = this.time.now();
    return signBootPage(
      { id: publisher.peer, seq: 1, issued, expires: issued + 7 * 86_400_000, records, ...fields },
      (message) => publisher.keys.sign(message),
    );
  }

  record(identity: Identity, fields: Partial<ContactRecord> = {}): Uint8Array {
    return signContactRecord(
      {
        id: identity.peer,
        seq: 1,
        issued: this.time.now(),
        ttl: 86_400_000,
        strategies: [],
        services: [],
        gone: false,
        ...fields,
      },
      (message) => identity.keys.sign(message),
    );
  }

  /** Stops every node and checks that nothing is left. */
  async end(): Promise<void> {
    for (const node of this.#nodes) await this.time.of(node.stop());
    await this.time.pass(30_000);
    if (this.network.links > 0) throw new Error(`${this.network.links} links are left open`);
    if (this.time.timers > 0) throw new Error(`${this.time.timers} timers are left`);
  }
}

export function at(name: string): Strategy {
  return MemoryNetwork.strategy(name);
}

/** Whatever the promise rejects with. @throws when it does not. */
export async function errorOf(promise: Promise<unknown>): Promise<unknown> {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error("It did not reject");
}
