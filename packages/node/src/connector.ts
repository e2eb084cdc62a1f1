/**
 * Finds a link to a peer: looks its contact record up, tries its strategies in order, and says why each failed.
 *
 * One attempt per peer runs at a time. The next strategy begins when the one before failed, or beside it when that takes
 * long; the first link that answers its challenge ends the attempt. It holds no state of its own but who waits for a place
 * among the `maxDials`.
 *
 * @see docs/spec.md, "Contact record"
 */
import { EgtpError, type Millis, type Strategy } from "@egtp/wire";
import { isRoutableAddress } from "./address.ts";
import type { ContactBook } from "./contact-book.ts";
import type { StrategyFailure } from "./delivery/outcome.ts";
import { RouteError } from "./errors.ts";
import type { NodeLimits } from "./limits.ts";
import type { Lookup } from "./lookup.ts";
import type { LinkVerdict, NodeLink, PeerRoute } from "./route.ts";
import type { NodeSchedule } from "./schedule.ts";
import { isRoutable, orderStrategies, strategyText } from "./strategy-order.ts";
import type { Link, Transport } from "./transport.ts";
import { TransportError } from "./transport-error.ts";

/** What the connector needs of the router. */
export interface ConnectorHost {
  /**
   * A link that was dialled: from now on the router's. It is told to the peer that there is one, and calls `judge`.
   *
   * @param isTrial - It is to carry nothing else before it answered.
   */
  adopt(link: Link, transport: Transport, strategy: Strategy, route: PeerRoute, isTrial: boolean): NodeLink;
  /** Begins to speak on an incoming link on which nothing authentic came. @returns Whether it may. */
  speakOn(link: NodeLink, route: PeerRoute): boolean;
  failed(route: PeerRoute, failure: StrategyFailure): void;
}

export interface ConnectorOptions {
  readonly transports: readonly Transport[];
  readonly lookup: Lookup | undefined;
  readonly book: ContactBook;
  readonly schedule: NodeSchedule;
  readonly limits: NodeLimits;
  readonly allowPrivateAddresses: boolean;
  readonly host: ConnectorHost;
}

/** One way that is to be tried. */
interface Way {
  readonly name: string;
  readonly strategy: Strategy | undefined;
  readonly begin: (signal: AbortSignal) => Promise<LinkVerdict>;
}

export class Connector {
  dials = 0;
  readonly #options: ConnectorOptions;
  /** What is given up when the node stops, and why, once it does. Not an AbortSignal: Node.js warns of more than ten listeners. */
  readonly #underWay = new Set<(reason: unknown) => void>();
  #stopReason: unknown;
  #dialling = 0;
  /** Attempts that wait for a place; bounded by the peers that are being connected to. */
  readonly #queue: (() => void)[] = [];

  constructor(options: ConnectorOptions) {
    this.#options = options;
  }

  /**
   * Tries to reach a peer.
   *
   * @returns `undefined` when a link answered; else the reason of everything that was tried.
   */
  async connect(route: PeerRoute): Promise<readonly StrategyFailure[] | undefined> {
    const { book, lookup, schedule } = this.#options;
    const failures: StrategyFailure[] = [];
    const tried = new Set<string>();
    const { peer } = route;
    let record = book.get(peer, schedule.now());
    let strategies = this.#knownWays(route);
    // Without anything known the record is looked up first; else only when nothing known works.
    if (strategies.length > 0 && (await this.#tryAll(route, strategies, tried, failures))) return undefined;
    if (lookup !== undefined) {
      const looking = this.#lookUp(route, lookup, failures, true);
      if (route.whisper !== undefined && !(await this.#isSoon(looking))) {
        if (await this.#whisper(route, failures)) return undefined;
      }
      await looking;
      record = book.get(peer, schedule.now());
      strategies = [...(record?.strategies ?? [])];
      if (strategies.length > 0 && (await this.#tryAll(route, strategies, tried, failures))) return undefined;
    }
    if (await this.#whisper(route, failures)) return undefined;
    if (tried.size === 0 && failures.length === 0) {
      const code =
        record === undefined ? "EGTP_NO_CONTACT_RECORD" : record.gone ? "EGTP_PEER_GONE" : "EGTP_NO_STRATEGIES";
      failures.push({ strategy: record === undefined ? "lookup" : "contact record", error: new RouteError(code) });
    }
    return failures;
  }

  /**
   * Tries the direct ways to a peer beside a link through a relay, which goes on carrying everything until one of them answers.
   * When none does, they may be out of date: its record is looked up. Whatever needs a link meanwhile does not wait for this.
   */
  async tryDirect(route: PeerRoute): Promise<void> {
    const ways = new Map<string, Way>();
    const now = this.#options.schedule.now();
    const known = this.#knownWays(route).filter((strategy) => this.#isDirect(route, strategy));
    for (const strategy of orderStrategies(known, (name) => route.setBackAt(name, this.#options.limits, now))) {
      const name = strategyText(strategy);
      if (!ways.has(name)) ways.set(name, this.#wayOf(route, strategy, name, true));
    }
    if (ways.size === 0 || (await this.#race(route, [...ways.values()], []))) return;
    if (this.#stopReason === undefined) await this.refresh(route);
  }

  /** Whether we can dial it, and no relay is between. */
  #isDirect(route: PeerRoute, strategy: Strategy): boolean {
    if (strategy.kind === "relay" || !this.#options.transports.some((known) => known.canDial(strategy))) return false;
    return this.#mayBePrivate(route, strategy) || isRoutable(strategy);
  }

  #mayBePrivate(route: PeerRoute, strategy: Strategy): boolean {
    return route.introduced.includes(strategy) || this.#options.allowPrivateAddresses;
  }

  #knownWays(route: PeerRoute): Strategy[] {
    const { book, schedule } = this.#options;
    return [...route.introduced, ...(book.get(route.peer, schedule.now())?.strategies ?? [])];
  }

  /** Whether another way to a peer is known than this one. */
  knowsOther(route: PeerRoute, name: string): boolean {
    return this.#knownWays(route).some((strategy) => strategyText(strategy) !== name);
  }

  /** Looks for a newer contact record of a peer than is known. */
  async refresh(route: PeerRoute): Promise<void> {
    const { lookup } = this.#options;
    if (lookup !== undefined) await this.#lookUp(route, lookup, [], false);
  }

  /** Gives up all dials and lookups. */
  stop(): void {
    this.#stopReason = new RouteError("EGTP_NODE_STOPPING");
    for (const giveUp of this.#underWay) giveUp(this.#stopReason);
  }

  /** @param isLost - What is known has failed, or shows no way. */
  async #lookUp(route: PeerRoute, lookup: Lookup, failures: StrategyFailure[], isLost: boolean): Promise<void> {
    const { book, schedule, limits, host } = this.#options;
    try {
      const tried = book.get(route.peer, schedule.now())?.seq;
      const bytes = await this.withTime(limits.lookupMs, (signal) => lookup.lookUp(route.peer, { signal, tried }));
      if (bytes === undefined) return;
      // What came meanwhile was not tried yet.
      if (isLost && book.get(route.peer, schedule.now())?.seq === tried) {
        book.replace(bytes, route.peer, schedule.now());
      } else book.learn(bytes, route.peer, schedule.now());
    } catch (cause) {
      const error = cause instanceof EgtpError ? cause : new RouteError("EGTP_LOOKUP_FAILED", { cause });
      const failure = { strategy: `lookup ${lookup.kind}`, error };
      failures.push(failure);
      host.failed(route, failure);
    }
  }

  /** Runs something with a signal that aborts after a time, or when the node stops. Rejects then, whatever it does. */
  withTime<T>(timeMs: Millis, run: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const controller = new AbortController();
    return new Promise((resolve, reject) => {
      const giveUp = (reason: unknown): void => {
        controller.abort(reason);
        finish(() => reject(reason));
      };
      const cancelTimer = this.#options.schedule.setTimer(() => giveUp(new RouteError("EGTP_NO_ANSWER")), timeMs);
      const finish = (settle: () => void): void => {
        cancelTimer();
        this.#underWay.delete(giveUp);
        settle();
      };
      if (this.#stopReason !== undefined) return giveUp(this.#stopReason);
      this.#underWay.add(giveUp);
      run(controller.signal).then(
        (value) => finish(() => resolve(value)),
        (error: unknown) => finish(() => reject(error)),
      );
    });
  }

  /** @returns Whether one of them led to a link that answered. */
  async #tryAll(
    route: PeerRoute,
    strategies: readonly Strategy[],
    tried: Set<string>,
    failures: StrategyFailure[],
  ): Promise<boolean> {
    const { schedule, limits } = this.#options;
    const ways: Way[] = [];
    const now = schedule.now();
    for (const strategy of orderStrategies(strategies, (name) => route.setBackAt(name, limits, now))) {
      const name = strategyText(strategy);
      if (tried.has(name)) continue;
      tried.add(name);
      ways.push(this.#wayOf(route, strategy, name, false));
    }
    return this.#race(route, ways, failures);
  }

  #wayOf(route: PeerRoute, strategy: Strategy, name: string, isTrial: boolean): Way {
    const { transports } = this.#options;
    const mayBePrivate = this.#mayBePrivate(route, strategy);
    const transport = transports.find((candidate) => candidate.canDial(strategy));
    return {
      name,
      strategy,
      begin: (signal) => {
        const refusal = route.refusals.get(name);
        if (refusal !== undefined) {
          if (this.#options.schedule.now() - refusal.at < this.#options.limits.refusedStrategyMs)
            return Promise.resolve(refusal.failure);
          route.refusals.delete(name);
        }
        if (!mayBePrivate && !isRoutable(strategy))
          return failure(name, new TransportError("EGTP_DIAL_FORBIDDEN", name));
        if (transport === undefined) return failure(name, new RouteError("EGTP_NO_TRANSPORT"));
        return this.#dial(route, strategy, name, transport, signal, mayBePrivate, isTrial);
      },
    };
  }

  async #dial(
    route: PeerRoute,
    strategy: Strategy,
    name: string,
    transport: Transport,
    signal: AbortSignal,
    mayBePrivate: boolean,
    isTrial: boolean,
  ): Promise<LinkVerdict> {
    const { limits, host } = this.#options;
    if (this.#dialling >= limits.maxDials) await new Promise<void>((resolve) => this.#queue.push(resolve));
    else this.#dialling += 1;
    let link: Link;
    try {
      if (signal.aborted) throw new TransportError("EGTP_DIAL_ABORTED", name, { cause: signal.reason });
      this.dials += 1;
      link = await transport.dial(strategy, route.peer, {
        signal,
        ...(mayBePrivate ? {} : { permits: isRoutableAddress }),
      });
    } catch (error) {
      return { strategy: name, error };
    } finally {
      const next = this.#queue.shift();
      if (next === undefined) this.#dialling -= 1;
      else next();
    }
    if (signal.aborted) {
      link.start({ envelope: () => {}, drain: () => {}, closed: () => {} });
      link.close("not needed");
      return { strategy: name, error: new TransportError("EGTP_DIAL_ABORTED", name, { cause: signal.reason }) };
    }
    const adopted = host.adopt(link, transport, strategy, route, isTrial);
    // What a relay keeps for an absent peer has no answer to wait for.
    if (adopted.isRelayed) return "answered";
    return new Promise((resolve) => {
      adopted.onVerdict = resolve;
    });
  }

  /** Answers on the incoming link itself what came on it and could not be read, when there is no other way. */
  async #whisper(route: PeerRoute, failures: StrategyFailure[]): Promise<boolean> {
    const link = route.whisper;
    if (link === undefined || !link.isOpen || !this.#options.host.speakOn(link, route)) return false;
    const begin = (): Promise<LinkVerdict> =>
      new Promise((resolve) => {
        link.onVerdict = resolve;
      });
    return this.#race(route, [{ name: link.name, strategy: undefined, begin }], failures);
  }

  /** Whether something ends before it is time to try the next thing. */
  #isSoon(looking: Promise<void>): Promise<boolean> {
    const { schedule, limits } = this.#options;
    return new Promise((resolve) => {
      const cancelTimer = schedule.setTimer(() => resolve(false), limits.nextStrategyAfterMs);
      void looking.then(() => {
        cancelTimer();
        resolve(true);
      });
    });
  }

  /** Tries ways one after another, without waiting for a slow one. */
  async #race(route: PeerRoute, ways: readonly Way[], failures: StrategyFailure[]): Promise<boolean> {
    const { schedule, limits, host } = this.#options;
    const controller = new AbortController();
    let wake = (): void => {};
    const giveUp = (reason: unknown): void => {
      controller.abort(reason);
      wake();
    };
    if (this.#stopReason !== undefined) giveUp(this.#stopReason);
    else this.#underWay.add(giveUp);
    let running = 0;
    let isAnswered = false;
    try {
      for (const way of ways) {
        if (controller.signal.aborted) break;
        running += 1;
        let isOver = false;
        const judged = (verdict: LinkVerdict): void => {
          running -= 1;
          isOver = true;
          if (verdict === "answered") isAnswered = true;
          else if (!controller.signal.aborted) {
            failures.push(verdict);
            if (way.strategy !== undefined) route.noteFailure(way.name, schedule.now());
            host.failed(route, verdict);
          }
          wake();
        };
        way.begin(controller.signal).then(judged, (error: unknown) => judged({ strategy: way.name, error }));
        const isLast = way === ways.at(-1);
        let cancelTimer = (): void => {};
        await new Promise<void>((resolve) => {
          wake = resolve;
          if (!isLast) cancelTimer = schedule.setTimer(resolve, limits.nextStrategyAfterMs);
          if (isOver) resolve();
        });
        cancelTimer();
        if (isAnswered || hasAnswer(route)) return true;
      }
      while (running > 0 && !controller.signal.aborted) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
        if (isAnswered || hasAnswer(route)) return true;
      }
      return hasAnswer(route);
    } finally {
      this.#underWay.delete(giveUp);
      controller.abort(new RouteError("EGTP_NO_ANSWER"));
    }
  }
}

function failure(strategy: string, error: EgtpError): Promise<LinkVerdict> {
  return Promise.resolve({ strategy, error });
}

/** Also by a link that came in meanwhile. */
function hasAnswer(route: PeerRoute): boolean {
  return route.links.some((link) => link.isOpen && link.isAnswered && !link.isSilent);
}
