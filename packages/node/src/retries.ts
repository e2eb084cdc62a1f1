/**
 * Peers that could not be reached: when they are tried again.
 *
 * The pause grows with the time since the first failure, and what the program sends meanwhile shortens it. What must fail fast is
 * tried at once, unless its like failed a moment ago.
 *
 * Bounds: the routes, which the router bounds.
 */
import type { Millis, PeerId } from "@egtp/wire";
import type { NodeLimits } from "./limits.ts";
import type { PeerRoute } from "./route.ts";

export interface RetriesOptions {
  readonly limits: NodeLimits;
  /** Whether something for the peer fails as soon as nothing can leave. */
  readonly mustFailFast: (peer: PeerId) => boolean;
  readonly randomBytes: (length: number) => Uint8Array;
}

const none: readonly PeerRoute[] = [];

export class Retries {
  readonly #options: RetriesOptions;
  /** Peers that could not be reached, until their next attempt succeeds. */
  readonly #resting = new Map<PeerId, PeerRoute>();
  /** Of those, the ones with something to say. */
  readonly #waiting = new Set<PeerRoute>();

  constructor(options: RetriesOptions) {
    this.#options = options;
  }

  /** Nobody is out of reach. */
  get isEmpty(): boolean {
    return this.#resting.size === 0;
  }

  /** The route of a peer that could not be reached. */
  get(peer: PeerId): PeerRoute | undefined {
    return this.#resting.get(peer);
  }

  /** Something new is to be sent: the next attempt is not far away. */
  urge(route: PeerRoute, now: Millis): void {
    route.urgedAt = now;
    route.retryAt = Math.min(
      route.retryAt,
      route.attemptedAt + Math.min(route.pauseMs, this.#options.limits.busyRetryMs),
    );
  }

  /** There is something to say, and no way to say it now. */
  wait(route: PeerRoute): void {
    this.#waiting.add(route);
  }

  /** There is nothing to say any more, or an attempt begins. */
  stopWaiting(route: PeerRoute): void {
    this.#waiting.delete(route);
  }

  isWaiting(route: PeerRoute): boolean {
    return this.#waiting.has(route);
  }

  /** Those that wait and whose time has come; they wait no more. */
  takeDue(now: Millis): readonly PeerRoute[] {
    if (this.#waiting.size === 0) return none;
    const due = [...this.#waiting].filter((route) => now >= route.retryAt);
    for (const route of due) this.#waiting.delete(route);
    return due;
  }

  /** When the first of those that wait is to be tried. */
  get nextAt(): Millis {
    let next = Infinity;
    for (const route of this.#waiting) next = Math.min(next, route.retryAt);
    return next;
  }

  /** Nothing is tried for a while; for how long depends on what the program sends meanwhile. */
  rest(route: PeerRoute, pauseMs: Millis, now: Millis): void {
    const { limits, mustFailFast, randomBytes } = this.#options;
    const { minRetryMs, busyRetryMs, maxRetryMs } = limits;
    route.attemptedAt = now;
    if (mustFailFast(route.peer)) route.failedFastAt = now;
    route.pauseMs = Math.max(pauseMs, minRetryMs);
    const waitMs = Math.min(route.pauseMs, Math.max(busyRetryMs, now - route.urgedAt), maxRetryMs);
    route.retryAt = now + Math.ceil(waitMs * (0.75 + randomBytes(1)[0]! / 512));
    this.#resting.set(route.peer, route);
  }

  /** Before this nothing is tried. */
  dueAt(route: PeerRoute): Millis {
    const { supersededUntil } = route;
    if (route.isUrgent) return supersededUntil;
    const { limits, mustFailFast } = this.#options;
    if (!mustFailFast(route.peer)) return Math.max(route.retryAt, supersededUntil);
    return Math.max(Math.min(route.retryAt, route.failedFastAt + limits.minRetryMs), supersededUntil);
  }

  /** What failed before on the way to the peer is over. */
  reached(route: PeerRoute): void {
    route.failingSince = Infinity;
    route.retryAt = -Infinity;
    route.failures = [];
    this.#resting.delete(route.peer);
    this.#waiting.delete(route);
  }

  /** The route is forgotten. */
  forget(peer: PeerId): void {
    this.#resting.delete(peer);
  }
}
