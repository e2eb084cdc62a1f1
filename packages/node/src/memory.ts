/**
 * A network inside one process: the same links, tags and limits as over TCP, without sockets, under a test's control.
 *
 * Everything that travels is a task for the network's scheduler, so a run is as deterministic as the scheduler is. What
 * it hands over it overwrites afterwards: whoever keeps bytes that were only lent finds out here, not in production.
 */
import { defaultCryptoProvider } from "@egtp/mesgen";
import { type PeerId, peerIdToBytes, type Strategy } from "@egtp/wire";
import { createDialTag, type DialCrypto } from "./dial-tag.ts";
import { LinkWatch } from "./link-watch.ts";
import type { DialOptions, Link, RefusalReason, Served, ServedIdentity, Transport } from "./transport.ts";
import { systemClock, type TransportClock } from "./transport-clock.ts";
import { attemptDial } from "./transport-dial.ts";
import { type Admission, Door, type Resident } from "./transport-door.ts";
import { TransportError, type TransportErrorCode } from "./transport-error.ts";
import { dialSaltBytes, linkBytesOf, type TransportLimits, transportLimits } from "./transport-limits.ts";
import { type LinkMedium, MediumLink } from "./transport-link.ts";

export { TransportError, type TransportErrorCode } from "./transport-error.ts";
export type { TransportLimits } from "./transport-limits.ts";
export { VirtualTime } from "./virtual-time.ts";

export interface MemoryNetworkOptions {
  /**
   * Runs what travels, each task once and never before it returned: a simulator gives one that waits. Tasks of one link
   * and direction may be run in any order, what they carry keeps the order of sending. Default: `queueMicrotask`.
   */
  readonly schedule?: (task: () => void, hop: MemoryHop) => void;
  /** Makes the salts of dial tags repeatable. Default: random ones. */
  readonly seed?: number;
  readonly clock?: TransportClock;
  readonly crypto?: DialCrypto;
  /** For all transports of this network. */
  readonly limits?: Partial<TransportLimits>;
}

/** Something on its way. */
export interface MemoryHop {
  /** Names of transports. */
  readonly from: string;
  readonly to: string;
  /** The envelope; undefined for a connection or its end. */
  readonly envelope: Uint8Array | undefined;
}

export interface MemoryTransportOptions {
  /** False: dials only. */
  readonly listen?: boolean;
  readonly limits?: Partial<TransportLimits>;
  readonly crypto?: DialCrypto;
  readonly clock?: TransportClock;
}

/** The domain of the hosts of this network: names under `.invalid` exist nowhere else (RFC 2606). */
const domain = ".memory.invalid";
const port = 1;

export class MemoryNetwork {
  readonly #schedule: (task: () => void, hop: MemoryHop) => void;
  readonly #transports = new Map<string, MemoryTransport>();
  readonly #links = new Set<Wire>();
  readonly #blocked = new Set<string>();
  readonly #held = new Set<string>();
  readonly #bytes = new Map<string, number>();
  readonly #options: MemoryNetworkOptions;

  /** Asked for each envelope when it would arrive: true loses it, as a connection that breaks unnoticed does. */
  drop: ((hop: MemoryHop) => boolean) | undefined;

  constructor(options: MemoryNetworkOptions = {}) {
    this.#options = options;
    this.#schedule = options.schedule ?? ((task) => queueMicrotask(task));
  }

  /**
   * Makes a transport, the one place of the network with this name.
   *
   * @param name - Letters, digits and hyphens; the `source` of its links.
   */
  transport(name: string, options: MemoryTransportOptions = {}): Transport {
    if (!/^[a-z0-9-]+$/i.test(name)) throw new TypeError(`"${name}" cannot name a place in a memory network`);
    if (this.#transports.has(name)) throw new TypeError(`There is a transport called "${name}" already`);
    const { clock = systemClock, crypto = defaultCryptoProvider, seed, limits } = this.#options;
    const seeded = seed === undefined ? crypto : { sha512: crypto.sha512, randomBytes: seededBytes(seed, name) };
    const transport = new MemoryTransport(this, name, {
      listen: options.listen ?? true,
      limits: transportLimits({ ...limits, ...options.limits }),
      crypto: options.crypto ?? seeded,
      clock: options.clock ?? clock,
    });
    this.#transports.set(name, transport);
    return transport;
  }

  /** Where a transport of this network is reached, whether it listens or not. */
  static strategy(name: string): Strategy {
    return { kind: "tcp", host: name + domain, port };
  }

  /** Breaks the open links between two places, or all of one place. */
  cut(name: string, other?: string): void {
    for (const wire of this.#links) {
      if (wire.joins(name, other)) wire.break();
    }
  }

  /**
   * Takes away what is at a place, as `kill -9` takes a process: what it sent arrives, nothing more comes from there, and another
   * transport may be made there. What was there is not told.
   *
   * @param silently - Its links stay open at their other ends, which hear nothing: its machine is gone too. Else they break.
   */
  vanish(name: string, silently = false): void {
    this.#transports.get(name)?.vanish();
    this.#transports.delete(name);
    for (const wire of this.#links) {
      if (wire.joins(name, undefined)) wire.vanish(name, silently);
    }
  }

  /** Lets no new link come about between two places. Returns what allows it again. */
  block(name: string, other: string): () => void {
    const routes = [route(name, other), route(other, name)];
    for (const blocked of routes) this.#blocked.add(blocked);
    return () => {
      for (const blocked of routes) this.#blocked.delete(blocked);
    };
  }

  /** Keeps what goes from one place to another on its way. Returns what lets it arrive. */
  hold(from: string, to: string): () => void {
    this.#held.add(route(from, to));
    return () => {
      this.#held.delete(route(from, to));
      for (const wire of this.#links) {
        if (wire.joins(from, to)) wire.goOn();
      }
    };
  }

  /** Bytes of envelopes and their lengths that arrived at `to` from `from` since the start. */
  bytes(from: string, to: string): number {
    return this.#bytes.get(route(from, to)) ?? 0;
  }

  /** Links that are open. */
  get links(): number {
    return this.#links.size;
  }

  // ---- For the transports of this network

  /** @internal */
  travel(task: () => void, hop: MemoryHop): void {
    this.#schedule(task, hop);
  }

  /** @internal */
  isHeld(from: string, to: string): boolean {
    return this.#held.has(route(from, to));
  }

  /** @internal Whether the envelope arrives. */
  arrives(hop: MemoryHop & { readonly envelope: Uint8Array }): boolean {
    if (this.drop?.(hop) === true) return false;
    const way = route(hop.from, hop.to);
    this.#bytes.set(way, (this.#bytes.get(way) ?? 0) + linkBytesOf(hop.envelope));
    return true;
  }

  /** @internal Who listens there, or why nobody can be reached. */
  find(from: string, to: string): MemoryTransport | TransportErrorCode {
    if (this.#blocked.has(route(from, to))) return "EGTP_DIAL_UNREACHABLE";
    const found = this.#transports.get(to);
    if (found === undefined) return "EGTP_DIAL_NAME_NOT_FOUND";
    return found.listening ? found : "EGTP_DIAL_REFUSED";
  }

  /** @internal */
  connect(from: string, to: string): Wire {
    const wire = new Wire(this, from, to, () => this.#links.delete(wire));
    this.#links.add(wire);
    return wire;
  }
}

interface MemoryTransportSettings {
  readonly listen: boolean;
  readonly limits: TransportLimits;
  readonly crypto: DialCrypto;
  readonly clock: TransportClock;
}

class MemoryTransport implements Transport {
  readonly kind = "memory";
  readonly #network: MemoryNetwork;
  readonly #name: string;
  readonly #settings: MemoryTransportSettings;
  readonly #watch: LinkWatch;
  readonly #door: Door;
  readonly #links = new Map<MediumLink, Resident>();
  readonly #stopping = new Map<Resident, () => void>();
  #isGone = false;

  constructor(network: MemoryNetwork, name: string, settings: MemoryTransportSettings) {
    this.#network = network;
    this.#name = name;
    this.#settings = settings;
    this.#watch = new LinkWatch(settings.limits, settings.clock);
    this.#door = new Door(settings.crypto.sha512, settings.limits);
  }

  get refusals(): Readonly<Record<RefusalReason, number>> {
    return this.#door.refusals;
  }

  get listening(): boolean {
    return this.#settings.listen && !this.#door.empty;
  }

  vanish(): void {
    this.#isGone = true;
  }

  async serve(identity: ServedIdentity, onLink: (link: Link) => void): Promise<Served> {
    const resident = this.#door.moveIn(identity.peer, onLink);
    let stopped: Promise<void> | undefined;
    return {
      strategies: this.#settings.listen ? [MemoryNetwork.strategy(this.#name)] : [],
      stop: () => {
        stopped ??= this.#stop(resident);
        return stopped;
      },
    };
  }

  canDial(strategy: Strategy): boolean {
    return nameIn(strategy) !== undefined;
  }

  async dial(strategy: Strategy, target: PeerId, { signal, permits }: DialOptions): Promise<Link> {
    const { crypto, clock, limits } = this.#settings;
    const network = this.#network;
    const name = nameIn(strategy);
    if (name === undefined) throw new TypeError("The memory transport cannot dial outside of its network");
    return await attemptDial<Link>({ address: name, signal, limits, clock }, ({ succeed, fail }) => {
      if (permits?.(name + domain) === false) throw new TransportError("EGTP_DIAL_FORBIDDEN", name);
      let isGivenUp = false;
      network.travel(
        () => {
          if (isGivenUp || this.#isGone) return;
          const found = network.find(this.#name, name);
          if (typeof found === "string") return fail(found);
          const wire = network.connect(this.#name, name);
          const tag = createDialTag(crypto.sha512, crypto.randomBytes(dialSaltBytes), peerIdToBytes(target));
          const link = this.#openLink(wire.near, "outgoing", name, clock.now() + limits.unauthenticatedMs);
          wire.near.knock(tag);
          found.#accept(wire.far, this.#name);
          succeed(link);
        },
        { from: this.#name, to: name, envelope: undefined },
      );
      return () => {
        isGivenUp = true;
      };
    });
  }

  #accept(medium: MemoryMedium, from: string): void {
    let link: MediumLink | undefined;
    const admission = this.#door.admit(from, () => (link === undefined ? medium.destroy() : link.abort("displaced")));
    if (admission === undefined) {
      medium.destroy();
      return;
    }
    const { clock, limits } = this.#settings;
    const until = clock.now() + limits.unauthenticatedMs;
    medium.onKnock = (tag) => {
      const resident = this.#door.recognise(tag, clock.now());
      if (resident === undefined) {
        admission.leave();
        return medium.destroy();
      }
      link = this.#openLink(medium, "incoming", from, until, admission, (gone) => {
        this.#links.delete(gone);
        this.#forget(resident);
      });
      this.#links.set(link, resident);
      resident.onLink(link);
    };
    medium.onLost = () => {
      admission.leave();
      this.#door.refuse("no-tag");
    };
  }

  #openLink(
    medium: MemoryMedium,
    direction: Link["direction"],
    other: string,
    unauthenticatedUntil: number,
    admission?: Admission,
    onGone?: (link: MediumLink) => void,
  ): MediumLink {
    const link = new MediumLink(medium, {
      direction,
      remote: `memory:${other}`,
      source: other,
      watch: this.#watch,
      unauthenticatedUntil,
      ...(admission !== undefined && { admission }),
      ...(onGone !== undefined && { onGone }),
    });
    medium.link = link;
    return link;
  }

  #stop(resident: Resident): Promise<void> {
    this.#door.moveOut(resident);
    return new Promise((resolve) => {
      this.#stopping.set(resident, resolve);
      for (const [link, owner] of this.#links) {
        if (owner === resident) link.stop();
      }
      this.#forget(resident);
    });
  }

  #forget(resident: Resident): void {
    for (const owner of this.#links.values()) {
      if (owner === resident) return;
    }
    this.#stopping.get(resident)?.();
    this.#stopping.delete(resident);
  }
}

/** One connection: two ends. */
class Wire {
  readonly near: MemoryMedium;
  readonly far: MemoryMedium;
  readonly #from: string;
  readonly #to: string;
  readonly #onGone: () => void;
  #open = 2;

  constructor(network: MemoryNetwork, from: string, to: string, onGone: () => void) {
    this.#from = from;
    this.#to = to;
    this.#onGone = onGone;
    const onEndGone = (): void => {
      this.#open -= 1;
      if (this.#open === 0) this.#onGone();
    };
    this.near = new MemoryMedium(network, from, to, onEndGone);
    this.far = new MemoryMedium(network, to, from, onEndGone);
    this.near.other = this.far;
    this.far.other = this.near;
  }

  joins(name: string, other: string | undefined): boolean {
    if (other === undefined) return this.#from === name || this.#to === name;
    return (this.#from === name && this.#to === other) || (this.#from === other && this.#to === name);
  }

  break(): void {
    this.near.lose();
    this.far.lose();
  }

  vanish(name: string, silently: boolean): void {
    if (this.#from === name) this.near.vanish(silently);
    if (this.#to === name) this.far.vanish(silently);
  }

  goOn(): void {
    this.near.deliver();
    this.far.deliver();
  }
}

/** What travels from one end to the other. */
type Item =
  | { readonly kind: "tag"; readonly tag: Uint8Array }
  | { readonly kind: "envelope"; readonly envelope: Uint8Array; readonly done: (() => void) | undefined }
  | { readonly kind: "end" }
  | { readonly kind: "break" };

/** What lent bytes are overwritten with. */
const spent = 0xa5;

/** One end of a connection, with what is on its way from here. */
class MemoryMedium implements LinkMedium {
  readonly lends = true;
  other!: MemoryMedium;
  link: MediumLink | undefined;
  onKnock: ((tag: Uint8Array) => void) | undefined;
  onLost: (() => void) | undefined;
  readonly #network: MemoryNetwork;
  readonly #from: string;
  readonly #to: string;
  readonly #onGone: () => void;
  /** On its way from here, and how much of it has had the time to arrive. */
  readonly #items: Item[] = [];
  #arrived = 0;
  #delivering = false;
  #paused = true;
  /** This end has nothing more to say, and drops what it hears. */
  #ended = false;
  #gone = false;

  constructor(network: MemoryNetwork, from: string, to: string, onGone: () => void) {
    this.#network = network;
    this.#from = from;
    this.#to = to;
    this.#onGone = onGone;
  }

  knock(tag: Uint8Array): void {
    this.#post({ kind: "tag", tag });
  }

  write(batch: readonly Uint8Array[], done: () => void): void {
    const last = batch.length - 1;
    batch.forEach((envelope, index) => {
      this.#post({ kind: "envelope", envelope, done: index === last ? done : undefined });
    });
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    this.other.deliver();
  }

  authenticated(): void {}

  end(): void {
    this.#ended = true;
    this.#post({ kind: "end" });
    this.resume();
  }

  destroy(): void {
    this.#ended = true;
    this.#items.length = 0;
    this.#arrived = 0;
    this.#post({ kind: "end" });
    queueMicrotask(() => this.#leave("lost"));
  }

  /** The connection breaks. */
  lose(): void {
    queueMicrotask(() => this.#leave("lost"));
  }

  /** This end is no more, and who was there is not told. */
  vanish(silently: boolean): void {
    this.link = this.onLost = undefined;
    if (!silently) {
      // Nobody was there already: its machine comes back, and knows nothing of the connection.
      if (this.#gone) this.other.lose();
      else this.#post({ kind: "break" });
    }
    this.#leave("lost");
  }

  /** Delivers from here what had the time to arrive, as far as the other end takes it. */
  deliver(): void {
    if (this.#delivering) return;
    this.#delivering = true;
    while (this.#arrived > 0 && this.#items.length > 0 && this.#takes(this.#items[0]!)) {
      this.#arrived -= 1;
      this.other.#take(this.#items.shift()!, { from: this.#from, to: this.#to });
    }
    this.#delivering = false;
  }

  #post(item: Item): void {
    if (this.#gone) return;
    this.#items.push(item);
    const envelope = item.kind === "envelope" ? item.envelope : undefined;
    this.#network.travel(
      () => {
        this.#arrived += 1;
        this.deliver();
      },
      { from: this.#from, to: this.#to, envelope },
    );
  }

  #takes(item: Item): boolean {
    if (this.#network.isHeld(this.#from, this.#to)) return false;
    return item.kind === "tag" || this.other.#gone || !this.other.#paused;
  }

  #take(item: Item, way: { readonly from: string; readonly to: string }): void {
    if (this.#gone) return;
    if (item.kind === "tag") this.onKnock?.(item.tag);
    else if (item.kind === "break") this.#leave("lost");
    else if (item.kind === "end") {
      // Whoever hears the end says it too: the first to say it waits for that.
      if (!this.#ended) this.#post({ kind: "end" });
      this.#leave("closed-by-peer");
    } else {
      const hop = { ...way, envelope: item.envelope };
      if (this.#network.arrives(hop) && !this.#ended) {
        const lent = item.envelope.slice();
        this.link?.receive(lent);
        lent.fill(spent);
      }
      item.done?.();
    }
  }

  #leave(reason: "closed-by-peer" | "lost"): void {
    if (this.#gone) return;
    this.#gone = true;
    if (this.link !== undefined) this.link.gone(reason);
    else this.onLost?.();
    this.#onGone();
    this.other.deliver();
  }
}

function route(from: string, to: string): string {
  return `${from}>${to}`;
}

function nameIn(strategy: Strategy): string | undefined {
  if (strategy.kind !== "tcp" || !strategy.host.endsWith(domain)) return undefined;
  return strategy.host.slice(0, -domain.length);
}

/** Repeatable bytes for salts, different for each name. */
function seededBytes(seed: number, name: string): (length: number) => Uint8Array {
  let state = seed >>> 0;
  for (const character of name) state = Math.imul(state ^ character.charCodeAt(0), 0x01000193) >>> 0;
  const next = (): number => {
    // mulberry32
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (mixed ^ (mixed >>> 14)) & 255;
  };
  return (length) => Uint8Array.from({ length }, next);
}
