/**
 * Any medium that carries bytes in order, both ways, as a transport: a Unix socket, a serial line, a WebRTC data channel,
 * WebTransport, a worker. It brings pairs of streams as the web platform has them; the dial tag, the limits for strangers, back
 * pressure and the orderly end are those of TCP.
 *
 * @see docs/spec.md, "Links"
 */
import { defaultCryptoProvider } from "@egtp/mesgen";
import { isOwnStrategyKind, type OwnStrategyKind, type PeerId, peerIdToBytes, type Strategy } from "@egtp/wire";
import { createDialTag, type DialCrypto } from "./dial-tag.ts";
import { LinkWatch } from "./link-watch.ts";
import { ByteStreamMedium, type ByteStreams, StreamReader } from "./stream-medium.ts";
import type { DialOptions, Link, RefusalReason, Served, ServedIdentity, Transport } from "./transport.ts";
import { systemClock, type TransportClock } from "./transport-clock.ts";
import { attemptDial } from "./transport-dial.ts";
import { TransportError } from "./transport-error.ts";
import { dialSaltBytes, type TransportLimits, transportLimits } from "./transport-limits.ts";
import { MediumLink } from "./transport-link.ts";
import { type Listener, Reception } from "./transport-reception.ts";

export type { OwnStrategyKind } from "@egtp/wire";
export type { ByteStreams } from "./stream-medium.ts";
export { TransportError, type TransportErrorCode } from "./transport-error.ts";
export type { TransportLimits } from "./transport-limits.ts";

export interface StreamsOptions {
  /** Of its strategies: "x-" and a name, so that no kind of the specification is ever meant. */
  readonly kind: OwnStrategyKind;
  /**
   * Connects to an address. Absent: nobody is dialled. What it rejects with is the cause of an `EGTP_DIAL_FAILED`.
   *
   * @param address - Of a strategy of this kind: up to 253 printable characters of ASCII. It may be a stranger's, if the node is
   *   configured to dial private addresses.
   * @param signal - Gives the attempt up.
   */
  readonly dial?: (address: string, signal: AbortSignal) => Promise<ByteStreams>;
  /**
   * Begins to let connections in. Absent: nobody is let in.
   *
   * @param accept - To be called with each connection, and with what limits per source count by, and reports name.
   */
  readonly listen?: (accept: (streams: ByteStreams, source: string) => void) => Promise<StreamsListener>;
  readonly limits?: Partial<TransportLimits>;
  readonly crypto?: DialCrypto;
  readonly clock?: TransportClock;
}

export interface StreamsListener {
  /** Where to be dialled, best first: these stand in contact records. */
  readonly addresses: readonly string[];
  /** Lets nobody in any more. The connections that were let in are closed by the transport. */
  close(): void | Promise<void>;
}

/** @throws `TypeError` for a kind that is none. */
export function streams(options: StreamsOptions): Transport {
  if (!isOwnStrategyKind(options.kind)) throw new TypeError(`"${String(options.kind)}" is not "x-" and a name`);
  return new StreamsTransport(options);
}

class StreamsTransport implements Transport {
  readonly kind: OwnStrategyKind;
  readonly #options: StreamsOptions;
  readonly #crypto: DialCrypto;
  readonly #watch: LinkWatch;
  readonly #reception: Reception;

  constructor(options: StreamsOptions) {
    this.kind = options.kind;
    this.#options = options;
    this.#crypto = options.crypto ?? defaultCryptoProvider;
    this.#watch = new LinkWatch(transportLimits(options.limits), options.clock ?? systemClock);
    this.#reception = new Reception({
      sha512: this.#crypto.sha512,
      watch: this.#watch,
      listen: options.listen && (() => this.#listen(options.listen!)),
    });
  }

  get refusals(): Readonly<Record<RefusalReason, number>> {
    return this.#reception.refusals;
  }

  serve(identity: ServedIdentity, onLink: (link: Link) => void): Promise<Served> {
    return this.#reception.serve(identity.peer, onLink);
  }

  canDial(strategy: Strategy): boolean {
    return strategy.kind === this.kind && this.#options.dial !== undefined;
  }

  async dial(strategy: Strategy, target: PeerId, { signal }: DialOptions): Promise<Link> {
    if (!this.canDial(strategy)) throw new TypeError(`This transport cannot dial ${strategy.kind}`);
    const { address } = strategy as Extract<Strategy, { kind: OwnStrategyKind }>;
    const { readable, writable } = await this.#connect(address, signal);
    const tag = createDialTag(this.#crypto.sha512, this.#crypto.randomBytes(dialSaltBytes), peerIdToBytes(target));
    const medium = new ByteStreamMedium(new StreamReader(readable), writable, tag);
    const { limits, clock } = this.#watch;
    const link = new MediumLink(medium, {
      direction: "outgoing",
      remote: address,
      source: address,
      watch: this.#watch,
      unauthenticatedUntil: clock.now() + limits.unauthenticatedMs,
    });
    medium.attach(link);
    return link;
  }

  #connect(address: string, signal: AbortSignal): Promise<ByteStreams> {
    const { limits, clock } = this.#watch;
    const facts = { address: `${this.kind} ${address}`, signal, limits, clock };
    return attemptDial<ByteStreams>(facts, ({ succeed, fail }) => {
      const controller = new AbortController();
      this.#options.dial!(address, controller.signal).then(
        (connection) => {
          if (controller.signal.aborted) discard(connection);
          else succeed(connection);
        },
        (error: unknown) => fail("EGTP_DIAL_FAILED", error),
      );
      return () => controller.abort();
    });
  }

  async #listen(listen: NonNullable<StreamsOptions["listen"]>): Promise<Listener> {
    let listener: StreamsListener;
    try {
      listener = await listen((connection, source) => this.#accept(connection, source));
    } catch (cause) {
      throw cause instanceof TransportError ? cause : new TransportError("EGTP_LISTEN_FAILED", this.kind, { cause });
    }
    const { kind } = this;
    return {
      strategies: listener.addresses.map((address): Strategy => ({ kind, address })),
      close: async () => {
        this.#reception.dismiss();
        await listener.close();
      },
    };
  }

  #accept(connection: ByteStreams, source: string): void {
    const { readable, writable } = connection;
    let reader: StreamReader | undefined;
    const hangUp = (): void => {
      reader?.cancel();
      void (reader === undefined ? discard(connection) : writable.abort().catch(() => {}));
    };
    const visitor = this.#reception.admit(source, hangUp);
    if (visitor === undefined) {
      hangUp();
      return;
    }
    const caller = { remote: source, open: () => new ByteStreamMedium(reader!, writable, undefined) };
    reader = new StreamReader(readable);
    reader.onEnd = () => visitor.turnAway();
    reader.onBytes = (bytes) => visitor.receive(bytes, caller);
    reader.resume();
  }
}

/** Of a connection that nobody uses. */
function discard({ readable, writable }: ByteStreams): void {
  readable.cancel().catch(() => {});
  writable.abort().catch(() => {});
}
