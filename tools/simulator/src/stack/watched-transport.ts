/** A transport, seen from outside: tells a watcher of every envelope that passes it, and is otherwise as it was. */

import type {
  DialOptions,
  EnvelopeFate,
  Link,
  LinkHandlers,
  Served,
  ServedIdentity,
  TakeMail,
  Transport,
} from "@egtp/node";
import type { PeerId, Strategy } from "@egtp/wire";

export interface EnvelopeWatcher {
  /** @param to - The peer that was dialled; `undefined` on a link that came in. */
  sent(envelope: Uint8Array, strategy: Strategy | undefined, to: PeerId | undefined): void;
  /** An envelope is handed to the node, by `hand`. Lent. */
  arrives(envelope: Uint8Array, hand: () => void): void;
  fate(envelope: Uint8Array, fate: EnvelopeFate, strategy: Strategy): void;
  /** Mail is handed to the node, by `hand`. */
  mail(envelope: Uint8Array, source: string, hand: () => Promise<boolean>): Promise<boolean>;
}

export class WatchedTransport implements Transport {
  readonly kind: string;
  readonly #transport: Transport;
  readonly #watcher: EnvelopeWatcher;

  constructor(transport: Transport, watcher: EnvelopeWatcher) {
    this.kind = transport.kind;
    this.#transport = transport;
    this.#watcher = watcher;
  }

  get refusals(): Transport["refusals"] {
    return this.#transport.refusals;
  }

  serve(identity: ServedIdentity, onLink: (link: Link) => void, onMail?: TakeMail): Promise<Served> {
    return this.#transport.serve(
      identity,
      (link) => onLink(new WatchedLink(link, this.#watcher, undefined, undefined)),
      onMail && ((envelope, source) => this.#watcher.mail(envelope, source, () => onMail(envelope, source))),
    );
  }

  canDial(strategy: Strategy): boolean {
    return this.#transport.canDial(strategy);
  }

  async dial(strategy: Strategy, target: PeerId, options: DialOptions): Promise<Link> {
    return new WatchedLink(await this.#transport.dial(strategy, target, options), this.#watcher, strategy, target);
  }
}

class WatchedLink implements Link {
  readonly direction: Link["direction"];
  readonly remote: string;
  readonly source: string;
  readonly #link: Link;
  readonly #watcher: EnvelopeWatcher;
  readonly #strategy: Strategy | undefined;
  readonly #to: PeerId | undefined;

  constructor(link: Link, watcher: EnvelopeWatcher, strategy: Strategy | undefined, to: PeerId | undefined) {
    this.direction = link.direction;
    this.remote = link.remote;
    this.source = link.source;
    this.#link = link;
    this.#watcher = watcher;
    this.#strategy = strategy;
    this.#to = to;
  }

  get headBytes(): number {
    return this.#link.headBytes ?? 0;
  }

  get bytesReceived(): number {
    return this.#link.bytesReceived;
  }

  get bytesSent(): number {
    return this.#link.bytesSent;
  }

  get queuedBytes(): number {
    return this.#link.queuedBytes;
  }

  get writable(): boolean {
    return this.#link.writable;
  }

  start(handlers: LinkHandlers): void {
    const strategy = this.#strategy;
    this.#link.start({
      envelope: (bytes) => this.#watcher.arrives(bytes, () => handlers.envelope(bytes)),
      drain: () => handlers.drain(),
      fate: (envelope, fate) => {
        if (strategy !== undefined) this.#watcher.fate(envelope, fate, strategy);
        handlers.fate?.(envelope, fate);
      },
      closed: (end) => handlers.closed(end),
    });
  }

  send(envelope: Uint8Array): boolean {
    this.#watcher.sent(envelope, this.#strategy, this.#to);
    return this.#link.send(envelope);
  }

  authenticated(): void {
    this.#link.authenticated();
  }

  pause(): void {
    this.#link.pause();
  }

  resume(): void {
    this.#link.resume();
  }

  close(detail?: string): void {
    this.#link.close(detail);
  }
}
