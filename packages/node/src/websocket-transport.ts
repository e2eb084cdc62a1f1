/**
 * The WebSocket transport without its sockets, which Node.js and browsers bring.
 *
 * What is on the wire is what is on a TCP connection, cut into binary messages anyhow: the dial tag of whoever dials, then
 * envelopes, each behind its length.
 *
 * @see docs/spec.md, "Links"
 */
import { defaultCryptoProvider } from "@egtp/mesgen";
import { isWebSocketUrl, type PeerId, peerIdToBytes, type Strategy } from "@egtp/wire";
import { hostOfUrl, isIpAddress, sourceOf } from "./address.ts";
import { createDialTag, type DialCrypto } from "./dial-tag.ts";
import type { StreamMedium } from "./envelope-stream.ts";
import { LinkWatch } from "./link-watch.ts";
import {
  type DialOptions,
  type Link,
  noRefusals,
  type RefusalReason,
  type Served,
  type ServedIdentity,
  type Transport,
} from "./transport.ts";
import { systemClock, type TransportClock } from "./transport-clock.ts";
import { attemptDial, type DialAttempt } from "./transport-dial.ts";
import { TransportError } from "./transport-error.ts";
import { dialSaltBytes, type TransportLimits, transportLimits } from "./transport-limits.ts";
import { MediumLink } from "./transport-link.ts";
import type { Reception } from "./transport-reception.ts";
import type { WebSocketOptions } from "./websocket-options.ts";

/** Begins to open a WebSocket, and returns what gives it up: see `attemptDial`. */
export type ConnectWebSocket = (facts: ConnectFacts, attempt: DialAttempt<WebSocketConnection>) => () => void;

export interface ConnectFacts {
  /** Valid, and its host permitted if that is an address. */
  readonly url: string;
  /** What to send first. */
  readonly opening: Uint8Array;
  readonly limits: TransportLimits;
  readonly clock: TransportClock;
  readonly permits: DialOptions["permits"];
}

export interface WebSocketConnection {
  readonly medium: StreamMedium;
  /** The address at the other end, where it is known. */
  readonly address: string | undefined;
}

/** What differs from one platform to the other. */
export interface WebSocketPlatform {
  /** @throws {@link TransportError} `EGTP_MISSING_PART` */
  readonly loadConnect: () => Promise<ConnectWebSocket>;
  /** Where connections come in. Absent on a platform that cannot listen, which then need not load it. */
  readonly makeReception?: (crypto: DialCrypto, watch: LinkWatch) => Reception;
}

export class WebSocketTransport implements Transport {
  readonly kind = "websocket";
  readonly #platform: WebSocketPlatform;
  readonly #crypto: DialCrypto;
  readonly #watch: LinkWatch;
  readonly #reception: Reception | undefined;

  constructor(options: WebSocketOptions, platform: WebSocketPlatform) {
    this.#platform = platform;
    this.#crypto = options.crypto ?? defaultCryptoProvider;
    this.#watch = new LinkWatch(transportLimits(options.limits), options.clock ?? systemClock);
    this.#reception = platform.makeReception?.(this.#crypto, this.#watch);
  }

  get refusals(): Readonly<Record<RefusalReason, number>> {
    return this.#reception?.refusals ?? noRefusals;
  }

  async serve(identity: ServedIdentity, onLink: (link: Link) => void): Promise<Served> {
    await this.#platform.loadConnect(); // what is missing shows at the start, not at the first dial
    if (this.#reception !== undefined) return await this.#reception.serve(identity.peer, onLink);
    return { strategies: [], stop: async () => {} };
  }

  canDial(strategy: Strategy): boolean {
    return strategy.kind === "websocket";
  }

  async dial(strategy: Strategy, target: PeerId, { signal, permits }: DialOptions): Promise<Link> {
    if (strategy.kind !== "websocket") throw new TypeError(`The websocket transport cannot dial ${strategy.kind}`);
    const { url } = strategy;
    if (!isWebSocketUrl(url)) throw new TransportError("EGTP_BAD_ADDRESS", url);
    const host = hostOfUrl(url);
    const opening = createDialTag(this.#crypto.sha512, this.#crypto.randomBytes(dialSaltBytes), peerIdToBytes(target));
    const { limits, clock } = this.#watch;
    const connect = await this.#platform.loadConnect();
    const { medium, address } = await attemptDial<WebSocketConnection>(
      { address: url, signal, limits, clock },
      (attempt) => {
        if (permits !== undefined && isIpAddress(host) && !permits(host)) {
          throw new TransportError("EGTP_DIAL_FORBIDDEN", url);
        }
        return connect({ url, opening, limits, clock, permits }, attempt);
      },
    );
    const link = new MediumLink(medium, {
      direction: "outgoing",
      remote: url,
      source: sourceOf(address ?? host),
      watch: this.#watch,
      unauthenticatedUntil: clock.now() + limits.unauthenticatedMs,
    });
    medium.attach(link);
    return link;
  }
}
