/**
 * Those who stay: a metatracker, a relay, a peer that listens, and one that is reached by the relay only. The servers are stopped
 * and started again now and then, some of the time without what they had kept.
 *
 * Tables that grow with the number of peers are kept small here, so that they are full, and make room, from the beginning.
 */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { type MetatrackersOptions, metatrackers } from "@egtp/metatracker";
import { LmdbDirectoryStore } from "@egtp/metatracker/lmdb";
import { metatrackerServer } from "@egtp/metatracker/server";
import {
  createIdentity,
  createNode,
  defineMessage,
  type EgtpNode,
  type NodeOptionsLimits,
  type NodePart,
} from "@egtp/node";
import { tcp } from "@egtp/node/tcp";
import { relayClient } from "@egtp/relay";
import { LmdbMailboxStore } from "@egtp/relay/lmdb";
import { relayServer } from "@egtp/relay/server";
import { LmdbSessionStore } from "@egtp/session-store/lmdb";
import { type PeerId, type Strategy, verifyContactRecord } from "@egtp/wire";

/** A note of a hundred bytes. */
export const note = defineMessage("soak/note");

export type ServerName = "metatracker" | "relay";

const host = "127.0.0.1";
const plenty = { burst: 1e6, perSecond: 1e6 };
const few = 128;

/** All come from one address, and more quickly than strangers usually may. */
const linkLimits = {
  maxUsedSalts: 1_024,
  maxLinksPerSource: 1_024,
  maxUnauthenticatedPerSource: 256,
  idleMs: 2_000,
};
/** Owners of mailboxes are heard every minute, and keep their links. */
const ownersIdleMs = 180_000;

const nodeLimits: NodeOptionsLimits = {
  node: { maxRoutes: few, busyRetryMs: 250, maxRetryMs: 500 },
  delivery: { maxConversations: few },
  store: { maxCounterparties: few },
  admission: {
    link: plenty,
    authenticatedLink: plenty,
    source: plenty,
    knownPeer: plenty,
    strangers: plenty,
    known: plenty,
  },
};

/** Whoever was forgotten by a metatracker is known there again after a second, and not after two minutes. */
const lookupLimits = { maxCached: few, recheckMs: 1_000, minRefreshMs: 500, minRetryMs: 500 };

/** Whoever lost its relay comes back to it soon. */
const relayLimits = { maxRetryMs: 500 };

/** Of those who come and go. */
export const visitorLimits: NodeOptionsLimits = { node: { busyRetryMs: 250, maxRetryMs: 500 } };

interface Server {
  readonly name: ServerName;
  readonly identity: ReturnType<typeof createIdentity>;
  node: EgtpNode;
  /** The same after each start. */
  port: number;
}

export class World {
  readonly folder: string;
  readonly listener: EgtpNode;
  readonly hidden: EgtpNode;
  /** Where the listener can be dialled. */
  readonly ways: readonly Strategy[];
  /** Notes that those two were handed. */
  handled = 0;
  readonly #servers: Readonly<Record<ServerName, Server>>;

  static async open(folder: string): Promise<World> {
    const metatracker = await openServer("metatracker", folder, undefined);
    const relay = await openServer("relay", folder, lookupAt(metatracker));
    const atServers = { lookup: lookupAt(metatracker), relay: relay.node.peerId };
    const [listener, hidden] = await Promise.all([
      openPeer(join(folder, "listener"), true, atServers),
      openPeer(join(folder, "hidden"), false, atServers),
    ]);
    return new World(folder, { metatracker, relay }, listener, hidden);
  }

  private constructor(
    folder: string,
    servers: Readonly<Record<ServerName, Server>>,
    listener: EgtpNode,
    hidden: EgtpNode,
  ) {
    this.folder = folder;
    this.#servers = servers;
    this.listener = listener;
    this.ways = waysTo(listener);
    this.hidden = hidden;
    for (const node of [listener, hidden]) {
      node.handle(note, () => {
        this.handled += 1;
      });
    }
  }

  /** What a visitor needs to reach whom it knows by ID alone. */
  parts(): { readonly lookup: ReturnType<typeof metatrackers>; readonly part: NodePart } {
    return {
      lookup: metatrackers(lookupAt(this.#servers.metatracker)),
      part: relayClient({ relays: [this.#servers.relay.node.peerId], count: 1, limits: relayLimits }),
    };
  }

  /** Stops a server and starts it again. @param forgets - Without its sessions, and a metatracker without its records. */
  async restart(name: ServerName, forgets: boolean): Promise<void> {
    const server = this.#servers[name];
    await server.node.stop();
    if (forgets) {
      await rm(join(this.folder, name, "sessions"), { recursive: true });
      if (name === "metatracker") await rm(join(this.folder, name, "store"), { recursive: true });
    }
    const lookup = name === "relay" ? lookupAt(this.#servers.metatracker) : undefined;
    server.node = await openNode(server.name, this.folder, server.identity, server.port, lookup);
  }

  /** The LMDB files that are open for good. */
  get files(): readonly string[] {
    const stores = ["metatracker/sessions", "metatracker/store", "relay/sessions", "relay/store", "listener", "hidden"];
    return stores.map((store) => join(this.folder, store, "data.mdb"));
  }

  async close(): Promise<void> {
    await Promise.all([this.listener.stop(), this.hidden.stop()]);
    await this.#servers.relay.node.stop();
    await this.#servers.metatracker.node.stop();
  }
}

async function openServer(name: ServerName, folder: string, lookup: MetatrackersOptions | undefined): Promise<Server> {
  const identity = createIdentity();
  const node = await openNode(name, folder, identity, 0, lookup);
  const [way] = waysTo(node);
  return { name, identity, node, port: way?.kind === "tcp" ? way.port : 0 };
}

async function openNode(
  name: ServerName,
  folder: string,
  identity: Server["identity"],
  port: number,
  lookup: MetatrackersOptions | undefined,
): Promise<EgtpNode> {
  const place = join(folder, name, "store");
  const part =
    name === "relay"
      ? relayServer({ store: await LmdbMailboxStore.open(place) })
      : metatrackerServer({
          store: await LmdbDirectoryStore.open(place, { limits: { maxRecords: few } }),
          rates: { publish: plenty, ask: plenty, strangersPublish: plenty, strangersAsk: plenty },
        });
  const node = await createNode({
    identity,
    sessions: await LmdbSessionStore.open(join(folder, name, "sessions")),
    transports: [tcp({ host, port, limits: name === "relay" ? { ...linkLimits, idleMs: ownersIdleMs } : linkLimits })],
    services: [name],
    parts: [part],
    limits: nodeLimits,
    allowPrivateAddresses: true,
    ...(lookup !== undefined && { lookup: metatrackers(lookup) }),
  });
  await node.start();
  return node;
}

async function openPeer(
  folder: string,
  listen: boolean,
  { lookup, relay }: { readonly lookup: MetatrackersOptions; readonly relay: PeerId },
): Promise<EgtpNode> {
  const node = await createNode({
    identity: createIdentity(),
    sessions: await LmdbSessionStore.open(folder),
    transports: [tcp(listen ? { host, limits: linkLimits } : { listen: false })],
    parts: listen ? [] : [relayClient({ relays: [relay], count: 1, limits: relayLimits })],
    lookup: metatrackers(lookup),
    limits: nodeLimits,
    allowPrivateAddresses: true,
  });
  await node.start();
  return node;
}

function lookupAt({ node }: Server): MetatrackersOptions {
  return { metatrackers: [{ peer: node.peerId, strategies: waysTo(node) }], limits: lookupLimits };
}

function waysTo(node: EgtpNode): readonly Strategy[] {
  return verifyContactRecord(node.contactRecord!, undefined).strategies;
}
