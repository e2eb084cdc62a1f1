/**
 * A transport that loses some of what is sent, as chosen: for showing what happens then. Nothing in a product wants this.
 *
 * To the node above, an envelope that is left out looks as if it had left.
 */
import type {
  DialOptions,
  Link,
  LinkHandlers,
  NodePart,
  Served,
  ServedIdentity,
  TakeMail,
  Transport,
} from "@egtp/node";
import type { RelayClient } from "@egtp/relay";
import { decodeEnvelope, type PeerId, type Strategy } from "@egtp/wire";

/** Whether an envelope may leave. The bytes are lent. */
export type Passes = (envelope: Uint8Array) => boolean;

export class FilteredTransport implements Transport {
  readonly #inner: Transport;
  readonly #passes: Passes;

  constructor(inner: Transport, passes: Passes) {
    this.#inner = inner;
    this.#passes = passes;
  }

  get kind(): string {
    return this.#inner.kind;
  }

  get refusals(): Transport["refusals"] {
    return this.#inner.refusals;
  }

  serve(identity: ServedIdentity, onLink: (link: Link) => void, onMail?: TakeMail): Promise<Served> {
    return this.#inner.serve(identity, (link) => onLink(new FilteredLink(link, this.#passes)), onMail);
  }

  canDial(strategy: Strategy): boolean {
    return this.#inner.canDial(strategy);
  }

  async dial(strategy: Strategy, target: PeerId, options: DialOptions): Promise<Link> {
    return new FilteredLink(await this.#inner.dial(strategy, target, options), this.#passes);
  }
}

/**
 * A relay's client that lets no session message out while that is wanted: all that a peer without a session can say travels
 * in an offer, and in 2004 this answer did not exist.
 */
export function withoutOffers(relay: RelayClient, isWanted: () => boolean, onHeldBack: () => void): NodePart {
  const transport = new FilteredTransport(relay.transport, (envelope) => {
    if (!isWanted() || decodeEnvelope(envelope).type !== "offer") return true;
    onHeldBack();
    return false;
  });
  return {
    transport,
    start: (node, options, tell) => relay.start(node, options, tell),
    stop: () => relay.stop(),
  };
}

class FilteredLink implements Link {
  readonly direction: Link["direction"];
  readonly remote: string;
  readonly source: string;
  readonly #inner: Link;
  readonly #passes: Passes;

  constructor(inner: Link, passes: Passes) {
    this.direction = inner.direction;
    this.remote = inner.remote;
    this.source = inner.source;
    this.#inner = inner;
    this.#passes = passes;
  }

  get bytesReceived(): number {
    return this.#inner.bytesReceived;
  }

  get bytesSent(): number {
    return this.#inner.bytesSent;
  }

  get queuedBytes(): number {
    return this.#inner.queuedBytes;
  }

  get writable(): boolean {
    return this.#inner.writable;
  }

  start(handlers: LinkHandlers): void {
    this.#inner.start(handlers);
  }

  send(envelope: Uint8Array): boolean {
    return this.#passes(envelope) ? this.#inner.send(envelope) : this.#inner.writable;
  }

  authenticated(): void {
    this.#inner.authenticated();
  }

  pause(): void {
    this.#inner.pause();
  }

  resume(): void {
    this.#inner.resume();
  }

  close(detail?: string): void {
    this.#inner.close(detail);
  }
}
