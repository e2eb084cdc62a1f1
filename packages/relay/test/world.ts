/**
 * A small world for tests: a memory network, virtual time, nodes and relays. Nothing sleeps: `run` lets happen what is to happen,
 * turn by turn, and moves the clock when only timers are left.
 */
import {
  createIdentity,
  createNode,
  type EgtpNode,
  type Identity,
  identityFromSeed,
  MemoryLookup,
  type NodeEvent,
  type NodeOptions,
} from "@egtp/node";
import { MemoryNetwork, VirtualTime } from "@egtp/node/memory";
import { MemorySessionStore, type SessionStore } from "@egtp/session-store";
import { type ContactRecord, type Millis, type Strategy, verifyContactRecord } from "@egtp/wire";
import { type RelayClient, type RelayClientOptions, relayClient } from "../src/index.ts";
import { WatchedRelay, type WatchedRelayOptions } from "./watched-relay.ts";

export interface WorldNode {
  readonly node: EgtpNode;
  readonly identity: Identity;
  readonly store: SessionStore;
  readonly events: NodeEvent[];
  /** Where it is in the network. */
  readonly place: string;
  /** From now on nothing is kept of what it writes. */
  readonly freeze: () => void;
}

/** A peer that accepts no connections and uses relays. */
export interface RelayedPeer extends WorldNode {
  readonly client: RelayClient;
}

export interface RelayNode extends WorldNode {
  readonly relay: WatchedRelay;
}

export interface JoinOptions extends Omit<NodeOptions, "identity" | "sessions" | "transports"> {
  readonly identity?: Identity;
  readonly store?: SessionStore;
  /** False: accepts no connections, as behind a NAT. */
  readonly listen?: boolean;
  /** False: publishes nothing and looks nothing up. */
  readonly isListed?: boolean;
}

export interface RelayOptions extends JoinOptions {
  readonly serves?: WatchedRelayOptions;
}

export interface PeerOptions extends JoinOptions {
  readonly relayed?: RelayClientOptions;
}

/** One way through the network takes this long. */
export const hopMs = 10;

export class World {
  readonly time = new VirtualTime();
  readonly lookup = new MemoryLookup(() => this.time.now());
  readonly network: MemoryNetwork;
  /** Envelopes that were sent. */
  readonly traffic: { from: string; to: string; envelope: Uint8Array; at: Millis }[] = [];
  readonly #nodes: EgtpNode[] = [];
  readonly #places = new Set<string>();
  readonly #dead = new Set<string>();

  constructor() {
    this.network = new MemoryNetwork({
      clock: this.time,
      schedule: (task, hop) => {
        this.time.setTimer(task, hopMs);
        if (hop.envelope !== undefined) this.traffic.push({ ...hop, envelope: hop.envelope, at: this.time.now() });
      },
    });
    this.network.drop = ({ from, to }) => this.#dead.has(from) || this.#dead.has(to);
  }

  /** A relay, found by whoever asks for one. */
  async relay(name: string, options: RelayOptions = {}): Promise<RelayNode> {
    const { serves, ...rest } = options;
    const relay = new WatchedRelay(serves);
    return { ...(await this.join(name, { services: ["relay"], parts: [relay], ...rest })), relay };
  }

  /** Kills a relay. @returns What makes it again, somewhere else, with what is left of it. */
  async killRelay(
    relay: RelayNode,
    left: "all" | "no sessions" | "nothing" = "all",
  ): Promise<() => Promise<RelayNode>> {
    const { place, store } = relay;
    const remains = relay.relay.die();
    await this.kill(relay);
    return () =>
      this.relay(`${place}-again`, {
        identity: again(relay),
        ...(left === "all" && { store }),
        ...(left !== "nothing" && { serves: { remains } }),
      });
  }

  async peer(name: string, options: PeerOptions = {}): Promise<RelayedPeer> {
    const { relayed, ...rest } = options;
    const client = relayClient(relayed);
    return { ...(await this.join(name, { listen: false, parts: [client], ...rest })), client };
  }

  /** A node at a new place of the network. It is started. */
  async join(name: string, options: JoinOptions = {}): Promise<WorldNode> {
    const made = await this.make(name, options);
    await this.time.of(made.node.start());
    return made;
  }

  async make(name: string, options: JoinOptions = {}): Promise<WorldNode> {
    const {
      identity = createIdentity(),
      store = new MemorySessionStore(),
      listen = true,
      isListed = true,
      ...rest
    } = options;
    const place = this.#places.has(name) ? `${name}-${this.#places.size}` : name;
    this.#places.add(place);
    let isFrozen = false;
    const node = await createNode({
      identity,
      sessions: lent(store, () => isFrozen),
      transports: [this.network.transport(place, { listen })],
      schedule: this.time,
      ...(isListed && { lookup: this.lookup }),
      ...rest,
    });
    const events: NodeEvent[] = [];
    void (async () => {
      for await (const event of node.events({ maxQueued: 100_000 })) events.push(event);
    })();
    this.#nodes.push(node);
    const freeze = (): void => {
      isFrozen = true;
    };
    return { node, identity, store, events, place, freeze };
  }

  /** As `kill -9`: its connections break, nobody listens there, and what it does from now on is of no effect. */
  async kill({ node, place, freeze }: WorldNode): Promise<void> {
    freeze();
    this.#dead.add(place);
    this.network.cut(place);
    for (const other of this.#places) this.network.block(place, other);
    // The links of the others break before this one closes its own.
    for (let turn = 0; turn < 5; turn++) await Promise.resolve();
    void node.stop();
  }

  /** What the newest record of somebody says. */
  async recordOf({ node }: WorldNode): Promise<ContactRecord> {
    return verifyContactRecord((await this.lookup.lookUp(node.peerId))!, this.time.now());
  }

  /** The names of the relays that a record of somebody names. */
  async relaysOf(peer: WorldNode, relays: readonly WorldNode[]): Promise<string[]> {
    const { strategies } = await this.recordOf(peer);
    const nameOf = (strategy: Strategy): string =>
      relays.find(({ node }) => strategy.kind === "relay" && strategy.relay === node.peerId)?.place ?? "?";
    return strategies.map(nameOf);
  }

  /** Stops every node and checks that nothing is left. */
  async end(): Promise<void> {
    for (const node of this.#nodes) await this.time.of(node.stop());
    await this.time.pass(30_000);
    if (this.network.links > 0) throw new Error(`${this.network.links} links are left open`);
    if (this.time.timers > 0) throw new Error(`${this.time.timers} timers are left`);
  }
}

/** The same keys in a process that cannot know that they are as old as its store. */
export function again({ identity }: WorldNode): Identity {
  return identityFromSeed(identity.exportSeed());
}

/** A store that the next node may open again. */
function lent(store: SessionStore, isFrozen: () => boolean): SessionStore {
  return {
    load: () => store.load(),
    write: (batch) => (isFrozen() ? undefined : store.write(batch)),
    close: async () => {},
  };
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
