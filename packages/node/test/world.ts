/**
 * A small world for tests: a memory network, virtual time and nodes. Nothing sleeps: `run` lets happen what is to happen,
 * turn by turn, and moves the clock when only timers are left.
 */
import { createIdentity, type Identity } from "@egtp/mesgen";
import { MemorySessionStore } from "@egtp/session-store";
import type { Millis } from "@egtp/wire";
import { createNode, type EgtpNode, MemoryLookup, type NodeEvent, type NodeOptions } from "../src/index.ts";
import { MemoryNetwork, VirtualTime } from "../src/memory.ts";

export interface WorldNode {
  readonly node: EgtpNode;
  readonly identity: Identity;
  readonly store: MemorySessionStore;
  readonly events: NodeEvent[];
}

export interface JoinOptions extends Omit<NodeOptions, "identity" | "sessions" | "transports"> {
  readonly identity?: Identity;
  readonly store?: MemorySessionStore;
  /** False: accepts no connections, as behind a NAT. */
  readonly listen?: boolean;
  /** False: publishes nothing and looks nothing up. */
  readonly isListed?: boolean;
}

/** One way through the network takes this long. */
export const hopMs = 10;

export class World {
  readonly time = new VirtualTime();
  readonly lookup = new MemoryLookup(() => this.time.now());
  readonly network: MemoryNetwork;
  /** Envelopes that arrived, by `from>to`. */
  readonly traffic: { from: string; to: string; envelope: Uint8Array; at: Millis }[] = [];
  readonly #nodes: EgtpNode[] = [];
  #places = 0;

  constructor() {
    this.network = new MemoryNetwork({
      clock: this.time,
      schedule: (task, hop) => {
        this.time.setTimer(task, hopMs);
        if (hop.envelope !== undefined) this.traffic.push({ ...hop, envelope: hop.envelope, at: this.time.now() });
      },
    });
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
    const place = this.#places++ === 0 || !this.#taken.has(name) ? name : `${name}-${this.#places}`;
    this.#taken.add(place);
    const node = await createNode({
      identity,
      sessions: keepOpen(store),
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
    return { node, identity, store, events };
  }

  readonly #taken = new Set<string>();

  /** Stops every node and checks that nothing is left. */
  async end(): Promise<void> {
    for (const node of this.#nodes) await this.time.of(node.stop());
    await this.time.pass(30_000);
    if (this.network.links > 0) throw new Error(`${this.network.links} links are left open`);
    if (this.time.timers > 0) throw new Error(`${this.time.timers} timers are left`);
  }
}

/** A store that the next node may open again. */
function keepOpen(store: MemorySessionStore): MemorySessionStore {
  return Object.assign(Object.create(store) as MemorySessionStore, {
    load: () => store.load(),
    write: (batch: Parameters<MemorySessionStore["write"]>[0]) => store.write(batch),
    close: async () => {},
  });
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
