/**
 * The comm strategy "relay": links that lead to a peer by way of a relay that keeps its mail.
 *
 * A link comes about when the relay is reached, which is looked into once for all that want to go that way. Nothing goes to a
 * relay by way of a relay, or messages would be wrapped for ever.
 *
 * Bounds: a hop for each relay that is being reached, has links, or is linked to the sending node, which bounds those.
 *
 * @see docs/spec.md, "Relay"
 */
import {
  type DialOptions,
  type EgtpNode,
  type Link,
  noRefusals,
  type Served,
  type ServedIdentity,
  type TakeMail,
  type Transport,
  TransportError,
} from "@egtp/node";
import type { Millis, PeerId, Strategy } from "@egtp/wire";
import { Hop, type PassAlongCounts } from "./client-hop.ts";
import type { RelayClientLimits } from "./client-limits.ts";
import { type LinkNews, watchLinks } from "./client-watch.ts";
import { RelayError } from "./errors.ts";
import type { PublishedLimits } from "./protocol.ts";

/** What the transport works with once the node has started. */
export interface Running {
  readonly node: EgtpNode;
  /** Passes envelopes along: the node itself, or one with another identity. */
  readonly sender: EgtpNode;
  readonly now: () => Millis;
  readonly setTimer: (task: () => void, delayMs: Millis) => () => void;
  /** Whether we are registered, or about to be, with this peer. */
  readonly isOurRelay: (peer: PeerId) => boolean;
  /** What a relay published to the node over a link that stands. */
  readonly publishedTo: (relay: PeerId) => PublishedLimits | undefined;
}

export class RelayTransport implements Transport {
  readonly kind = "relay";
  readonly refusals = noRefusals;
  readonly counts: PassAlongCounts = { passed: 0, stored: 0, refused: {}, lost: 0 };
  /** Takes in what comes for the node; known as long as it is served. */
  takeMail: TakeMail | undefined;

  readonly #limits: RelayClientLimits;
  readonly #hops = new Map<PeerId, Hop>();
  #running: Running | undefined;
  #stopWatching = (): void => {};
  /** Looks now and then for links that nobody uses. */
  #cancelSweep: (() => void) | undefined;

  constructor(limits: RelayClientLimits) {
    this.#limits = limits;
  }

  async serve(_identity: ServedIdentity, _onLink: (link: Link) => void, onMail?: TakeMail): Promise<Served> {
    if (this.takeMail !== undefined) throw new TypeError("A relay client belongs to one node");
    this.takeMail = onMail ?? (() => Promise.resolve(false));
    return { strategies: [], stop: () => this.#stop() };
  }

  /** The node has started: from now on links can come about. */
  start(running: Running): void {
    this.#running = running;
    this.#stopWatching = watchLinks(running.sender, {
      counted: () => this.#hops.keys(),
      tell: (relay, news) => this.#heed(relay, news),
    });
  }

  canDial(strategy: Strategy): boolean {
    return strategy.kind === "relay";
  }

  /** @throws {@link RelayError}, and `EGTP_DIAL_ABORTED`. */
  async dial(strategy: Strategy, target: PeerId, { signal }: DialOptions): Promise<Link> {
    if (strategy.kind !== "relay") throw new TypeError(`Not a way through a relay: ${strategy.kind}`);
    const { relay } = strategy;
    const running = this.#running;
    if (running === undefined) throw new RelayError("EGTP_RELAY_NOT_RUNNING", "The relay client does not run");
    this.#checkRecursion(running, relay, target);
    const hop = this.#hop(running, relay);
    await abortable(hop.reach(), signal, relay);
    // Meanwhile the target may have become a relay that is being reached.
    this.#checkRecursion(running, relay, target);
    this.#watchIdle(running);
    return hop.open(target);
  }

  #checkRecursion({ node, isOurRelay }: Running, relay: PeerId, target: PeerId): void {
    if (relay === node.peerId) throw new RelayError("EGTP_RELAY_RECURSION", "The relay is this very node");
    if (relay === target || this.#hops.has(target) || isOurRelay(target)) {
      throw new RelayError("EGTP_RELAY_RECURSION", `${target} is a relay itself, and ${relay} leads no further`);
    }
  }

  #hop(running: Running, relay: PeerId): Hop {
    const known = this.#hops.get(relay);
    if (known !== undefined) return known;
    const { node, sender, now, setTimer, publishedTo } = running;
    const hop = new Hop({
      relay,
      sender,
      now,
      setTimer,
      limits: this.#limits,
      counts: this.counts,
      registered: () => (sender === node ? publishedTo(relay) : undefined),
      onUnused: () => {
        if (this.#hops.get(relay) === hop) this.#hops.delete(relay);
      },
    });
    this.#hops.set(relay, hop);
    this.leaveWaysTo(relay);
    return hop;
  }

  /** A peer is used as a relay from now on: nothing goes to it by way of another. */
  leaveWaysTo(relay: PeerId): void {
    for (const hop of this.#hops.values()) {
      for (const link of hop.links()) if (link.target === relay) link.close("it is a relay");
    }
  }

  #heed(relay: PeerId, news: LinkNews): void {
    const hop = this.#hops.get(relay);
    if (news === "lost") hop?.lose();
    else if (news === "closed") hop?.rest();
  }

  #watchIdle(running: Running): void {
    const { idleMs } = this.#limits;
    this.#cancelSweep ??= running.setTimer(() => {
      this.#cancelSweep = undefined;
      const since = running.now() - idleMs;
      let isUsed = false;
      for (const hop of this.#hops.values()) {
        for (const link of hop.links()) {
          link.closeIfIdle(since);
          isUsed = true;
        }
      }
      if (isUsed) this.#watchIdle(running);
    }, idleMs / 2);
  }

  async #stop(): Promise<void> {
    const running = this.#running;
    this.#running = undefined;
    this.takeMail = undefined;
    this.#stopWatching();
    this.#cancelSweep?.();
    for (const hop of this.#hops.values()) hop.lose();
    if (running !== undefined && running.sender !== running.node) await running.sender.stop();
  }
}

/** Waits for something, unless the signal gives it up. */
function abortable<T>(something: Promise<T>, signal: AbortSignal, relay: PeerId): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void =>
      reject(new TransportError("EGTP_DIAL_ABORTED", `relay ${relay}`, { cause: signal.reason }));
    signal.addEventListener("abort", onAbort);
    if (signal.aborted) onAbort();
    something.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}
