/** A node under floods over real sockets, and those who go on using it meanwhile. */
import { createIdentity, defaultCryptoProvider, type Identity, identityFromSeed } from "@egtp/mesgen";
import { Latencies } from "@egtp/test-kit/latencies";
import { OrderedChild } from "@egtp/test-kit/ordered-child";
import { usedBytes } from "@egtp/test-kit/used-memory";
import { defineMessage, type PeerId, type Strategy, verifyContactRecord } from "@egtp/wire";
import {
  type BucketRate,
  createNode,
  type EgtpNode,
  MemoryLookup,
  type NodeLimits,
  type Transport,
} from "../src/index.ts";
import { type TransportLimits, tcp } from "../src/nodejs/tcp.ts";
import type { FloodOrder, FloodReport } from "./flood-child.ts";

const echo = defineMessage("test/echo");

/** Peers that have a link all the time; as many come and go. */
const settledPeers = 4;
/** Requests while nothing is wrong, to compare with. */
const calmRequests = 300;
/** Sockets of honest peers: those of the settled ones and of one that comes, with both ends in this process. */
export const honestSockets = 2 * (settledPeers + 1);
/** What a visit costs the node: the offer that is read, the acceptance. Twice as much is no fault, if the machine is slow. */
const handshakesOfVisit = 2;
const agreementsOfVisit = 4;

/** What a bucket gives in so long. */
export function given({ burst, perSecond }: BucketRate, seconds: number): number {
  return burst + perSecond * seconds;
}

/** What a flood brought about, beside what honest peers did. */
export interface Damage extends FloodReport {
  /** From before its first byte until its last connection was gone. */
  readonly seconds: number;
  /** Halves of handshakes, as the node counts them, beside those of visits. */
  readonly handshakes: number;
  /** Key agreements, counted where they are computed, beside those of visits. */
  readonly agreements: number;
  readonly visits: number;
  /** Envelopes not opened, by reason. */
  readonly drops: Readonly<Record<string, number>>;
  /** Envelopes of unknown sessions that were to be answered. */
  readonly unreadable: number;
  readonly lookups: number;
  /** Connections turned away, by reason. */
  readonly refusals: Readonly<Record<string, number>>;
  /** The most sockets at one time, {@link honestSockets} included. */
  readonly sockets: number;
  /** Links of settled peers that were closed. */
  readonly lostLinks: number;
  /** Bytes of memory more than before, with what is held of connections that stay. */
  readonly memory: number;
  /** Requests of honest peers that did not reach the handler exactly once. Each of them was answered, or `flood` had thrown. */
  readonly misserved: number;
}

export interface FloodOptions {
  /** Also peers that nobody heard of before come, and are served. */
  readonly newcomers: boolean;
  /** The host has much to say to these, and no way to them of its own. */
  readonly wanted?: readonly PeerId[];
}

export interface FloodWorldOptions {
  readonly transport?: Partial<TransportLimits>;
  readonly node?: Partial<NodeLimits>;
}

type Counted = "handshakes" | "agreements" | "unreadable" | "lookups" | "visits" | "asked" | "served" | "lostLinks";

export class FloodWorld {
  readonly #flooder = new OrderedChild<FloodOrder, FloodReport>(new URL("flood-child.ts", import.meta.url));
  readonly #lookup = new MemoryLookup();
  readonly #counts = { agreements: 0, lookups: 0, visits: 0, asked: 0, served: 0, lostLinks: 0 };
  readonly #settled: EgtpNode[] = [];
  /** Known to the host, and not there: they come back with nothing of what they had. */
  readonly #away: Identity[] = [];
  // Set by `start`.
  #transport!: Transport;
  #host!: EgtpNode;

  /** Resolves when the host has served everybody for a while. */
  async start(limits: FloodWorldOptions = {}): Promise<void> {
    const counts = this.#counts;
    this.#transport = tcp({ host: "127.0.0.1", limits: limits.transport ?? {} });
    this.#host = await createNode({
      identity: createIdentity(),
      transports: [this.#transport],
      allowPrivateAddresses: true,
      limits: { node: limits.node ?? {} },
      lookup: {
        kind: "counted",
        publish: (record) => this.#lookup.publish(record),
        lookUp: (peer) => {
          counts.lookups += 1;
          return this.#lookup.lookUp(peer);
        },
      },
      crypto: {
        ...defaultCryptoProvider,
        dh: (own, theirs) => {
          counts.agreements += 1;
          return defaultCryptoProvider.dh(own, theirs);
        },
      },
    });
    this.#host.handle(echo, ({ body }) => {
      counts.served += 1;
      return body;
    });
    await this.#host.start();
    for (let i = 0; i < settledPeers; i++) {
      const node = await this.#join(createIdentity());
      this.#settled.push(node);
      void this.#watch(node);
      this.#away.push(createIdentity());
      await this.#visit(this.#away[i]!);
    }
    const calm = new Latencies();
    await this.#use(calm, () => calm.count >= calmRequests, { newcomers: true });
    console.log(`without a flood: ${calm.text}`);
  }

  async stop(): Promise<void> {
    await this.#flooder.kill();
    await Promise.all([this.#host, ...this.#settled].map((node) => node.stop()));
  }

  /** Names that the host knows, half of them of peers that have links with it. */
  get known(): PeerId[] {
    return [...this.#settled.map(({ peerId }) => peerId), ...this.#away.map(({ peer }) => peer)];
  }

  /**
   * Lets a flood come over the host while all honest peers use it. Rejects when one of them is not served.
   *
   * @param order - But for its target.
   */
  async flood(name: string, order: UntargetedOrder, options: FloodOptions): Promise<Damage> {
    const usedBefore = usedBytes();
    const before = this.#state();
    const begun = performance.now();
    const latencies = new Latencies();
    let isOver = false;
    let sockets = 0;
    let used = 0;
    const target = { peer: this.#host.peerId, port: this.#address.port };
    const flooding = this.#flooder.order({ ...target, ...order }).then(async (said) => {
      if (order.kind !== "connections") return said;
      used = usedBytes();
      return this.#flooder.order({ kind: "hang-up" });
    });
    const look = (): boolean => {
      sockets = Math.max(sockets, openSockets());
      return isOver;
    };
    const over = flooding.finally(() => {
      isOver = true;
    });
    const wanting = this.#want(options.wanted ?? [], () => isOver);
    const [report] = await Promise.all([over, this.#use(latencies, look, options), ...wanting]);
    const seconds = (performance.now() - begun) / 1_000;
    const after = this.#state();
    const more = (of: Counted): number => after.counts[of] - before.counts[of];
    const visits = more("visits");
    const damage: Damage = {
      ...report,
      seconds,
      handshakes: more("handshakes") - visits * handshakesOfVisit,
      agreements: more("agreements") - visits * agreementsOfVisit,
      visits,
      drops: differences(after.drops, before.drops),
      unreadable: more("unreadable"),
      lookups: more("lookups"),
      refusals: differences(after.refusals, before.refusals),
      sockets,
      lostLinks: more("lostLinks"),
      memory: Math.max(used, usedBytes()) - usedBefore,
      misserved: Math.abs(more("asked") - more("served")),
    };
    console.log(`${name}: ${latencies.text}; ${JSON.stringify(damage)}`);
    return damage;
  }

  get #address(): Extract<Strategy, { kind: "tcp" }> {
    const [strategy] = verifyContactRecord(this.#host.contactRecord!, Date.now()).strategies;
    return strategy as Extract<Strategy, { kind: "tcp" }>;
  }

  #state() {
    const { handshakes, unreadable, drops } = this.#host.stats();
    return { counts: { ...this.#counts, handshakes, unreadable }, drops, refusals: { ...this.#transport.refusals } };
  }

  async #join(identity: Identity): Promise<EgtpNode> {
    const node = await createNode({
      identity: identityFromSeed(identity.exportSeed()),
      transports: [tcp({ listen: false })],
      allowPrivateAddresses: true,
    });
    await node.start();
    node.introduce(this.#host.peerId, [this.#address]);
    await this.#ask(node);
    return node;
  }

  async #watch(node: EgtpNode): Promise<void> {
    for await (const event of node.events({ maxQueued: 1_000 })) {
      if (event.kind === "link" && event.state === "closed") this.#counts.lostLinks += 1;
    }
  }

  async #ask(node: EgtpNode): Promise<void> {
    this.#counts.asked += 1;
    await node.request(this.#host.peerId, echo, new Uint8Array(100));
  }

  /** Comes, asks something, and goes. */
  async #visit(identity: Identity): Promise<void> {
    const visitor = await this.#join(identity);
    this.#counts.visits += 1;
    await visitor.stop();
  }

  #want(peers: readonly PeerId[], isOver: () => boolean): Promise<void>[] {
    return peers.map(async (peer) => {
      while (!isOver()) await this.#host.send(peer, echo, new Uint8Array(1_000), { timeoutMs: 500 });
    });
  }

  /** At least one visit, and one request of each, until it is over. */
  async #use(latencies: Latencies, isOver: () => boolean, { newcomers }: FloodOptions): Promise<void> {
    const ask = async (node: EgtpNode): Promise<void> => {
      do await latencies.of(() => this.#ask(node));
      while (!isOver());
    };
    const visit = async (): Promise<void> => {
      for (let visitor = 0; visitor === 0 || !isOver(); visitor++) {
        await this.#visit(this.#away[visitor % this.#away.length]!);
        if (newcomers) await this.#visit(createIdentity());
      }
    };
    await Promise.all([...this.#settled.map(ask), visit()]);
  }
}

type UntargetedOrder = FloodOrder extends infer Order
  ? Order extends { readonly port: number }
    ? Omit<Order, "peer" | "port">
    : never
  : never;

function openSockets(): number {
  return process.getActiveResourcesInfo().filter((name) => name === "TCPSocketWrap").length;
}

function differences(after: Readonly<Record<string, number>>, before: Readonly<Record<string, number>>) {
  const entries = Object.entries(after).map(([name, count]) => [name, count - (before[name] ?? 0)] as const);
  return Object.fromEntries(entries.filter(([, count]) => count !== 0));
}
