/**
 * Links over TCP, in Node.js.
 *
 * A dialer sends its dial tag, then both sides send envelopes, each behind its length. Nothing else is on the wire: no
 * greeting, no version, no word of refusal.
 *
 * @see docs/spec.md, "Links"
 */
import net from "node:net";
import { defaultCryptoProvider } from "@egtp/mesgen";
import { type PeerId, peerIdToBytes, type Strategy } from "@egtp/wire";
import { sourceOf } from "../address.ts";
import { createDialTag, type DialCrypto } from "../dial-tag.ts";
import { LinkWatch } from "../link-watch.ts";
import type { DialOptions, Link, RefusalReason, Served, ServedIdentity, Transport } from "../transport.ts";
import { systemClock, type TransportClock } from "../transport-clock.ts";
import { attemptDial } from "../transport-dial.ts";
import { TransportError } from "../transport-error.ts";
import { dialSaltBytes, type TransportLimits, transportLimits } from "../transport-limits.ts";
import { MediumLink } from "../transport-link.ts";
import { type Listener, Reception } from "../transport-reception.ts";
import {
  addressText,
  checkPort,
  dialErrorCode,
  hostsOf,
  listen,
  permittedLookup,
  remoteAddressOf,
} from "./socket-address.ts";
import { ReadMemory, SocketReader } from "./socket-reader.ts";
import { TcpMedium } from "./tcp-medium.ts";

export { TransportError, type TransportErrorCode } from "../transport-error.ts";
export type { TransportLimits } from "../transport-limits.ts";

export interface TcpOptions {
  /** Where to listen. 0, the default: a port that the system picks, another one at each start. */
  readonly port?: number;
  /** The address to listen at. Default: all of this machine's, IPv6 and IPv4. */
  readonly host?: string;
  /** False: dials only. */
  readonly listen?: boolean;
  /**
   * Where peers should dial, best first; what a contact record says. A string is a host, with the port that is listened
   * at; say the port too where a NAT forwards another one. Default: `host`, or the addresses of this machine.
   */
  readonly advertise?: readonly (string | { readonly host: string; readonly port: number })[];
  /**
   * False: receives in the plainest way that Node.js has, which takes more time and memory. Default: reads into memory
   * that is used again.
   */
  readonly reuseReadMemory?: boolean;
  readonly limits?: Partial<TransportLimits>;
  /** Where hashes and salts come from. Default: the provider of this platform. */
  readonly crypto?: DialCrypto;
  readonly clock?: TransportClock;
}

/** A transport over TCP. */
export function tcp(options: TcpOptions = {}): Transport {
  return new TcpTransport(options);
}

type TcpStrategy = Extract<Strategy, { kind: "tcp" }>;

class TcpTransport implements Transport {
  readonly kind = "tcp";
  readonly #options: TcpOptions;
  readonly #crypto: DialCrypto;
  readonly #watch: LinkWatch;
  readonly #memory: ReadMemory | undefined;
  readonly #reception: Reception;

  constructor(options: TcpOptions) {
    checkPort(options.port ?? 0);
    this.#options = options;
    this.#crypto = options.crypto ?? defaultCryptoProvider;
    this.#watch = new LinkWatch(transportLimits(options.limits), options.clock ?? systemClock);
    this.#memory = options.reuseReadMemory === false ? undefined : ReadMemory.create();
    this.#reception = new Reception({
      sha512: this.#crypto.sha512,
      watch: this.#watch,
      listen: options.listen === false ? undefined : () => this.#listen(),
    });
  }

  get refusals(): Readonly<Record<RefusalReason, number>> {
    return this.#reception.refusals;
  }

  serve(identity: ServedIdentity, onLink: (link: Link) => void): Promise<Served> {
    return this.#reception.serve(identity.peer, onLink);
  }

  canDial(strategy: Strategy): boolean {
    return strategy.kind === "tcp";
  }

  async dial(strategy: Strategy, target: PeerId, { signal, permits }: DialOptions): Promise<Link> {
    if (strategy.kind !== "tcp") throw new TypeError(`The tcp transport cannot dial ${strategy.kind}`);
    const salt = this.#crypto.randomBytes(dialSaltBytes);
    const tag = createDialTag(this.#crypto.sha512, salt, peerIdToBytes(target));
    const reader = new SocketReader(this.#memory);
    const socket = await this.#connect(strategy, reader, signal, permits);
    const { limits, clock } = this.#watch;
    const medium = new TcpMedium(socket, reader, tag, limits);
    const link = new MediumLink(medium, {
      direction: "outgoing",
      remote: addressText(strategy.host, strategy.port),
      source: sourceOf(socket.remoteAddress ?? strategy.host),
      watch: this.#watch,
      unauthenticatedUntil: clock.now() + limits.unauthenticatedMs,
    });
    medium.attach(link);
    return link;
  }

  #connect(
    { host, port }: TcpStrategy,
    reader: SocketReader,
    signal: AbortSignal,
    permits: DialOptions["permits"],
  ): Promise<net.Socket> {
    const address = addressText(host, port);
    const { limits, clock } = this.#watch;
    return attemptDial({ address, signal, limits, clock }, ({ succeed, fail }) => {
      if (!isHost(host) || !Number.isInteger(port) || port < 1 || port > 65_535) {
        throw new TransportError("EGTP_BAD_ADDRESS", address);
      }
      if (permits !== undefined && net.isIP(host) !== 0 && !permits(host)) {
        throw new TransportError("EGTP_DIAL_FORBIDDEN", address);
      }
      const lookup = permits === undefined ? {} : { lookup: permittedLookup(permits, address) };
      const socket = net.connect({ host, port, noDelay: true, ...lookup, ...reader.connectOptions });
      reader.attach(socket);
      const onError = (error: NodeJS.ErrnoException): void => fail(dialErrorCode(error) ?? "EGTP_DIAL_FAILED", error);
      socket.on("error", ignore); // later ones are heard of through "close"
      socket.on("error", onError);
      socket.once("connect", () => {
        socket.off("error", onError);
        succeed(socket);
      });
      return () => socket.destroy();
    });
  }

  async #listen(): Promise<Listener> {
    const { host, port = 0, advertise } = this.#options;
    const server = net.createServer({ noDelay: true, pauseOnConnect: true }, (socket) => this.#accept(socket));
    server.maxConnections = this.#watch.limits.maxLinks;
    server.on("drop", () => this.#reception.refuse("full"));
    await listen(server, host, port);
    const bound = (server.address() as net.AddressInfo).port;
    return {
      get strategies() {
        const entries = advertise ?? hostsOf(host);
        return entries.map(
          (entry): Strategy => ({
            kind: "tcp",
            ...(typeof entry === "string" ? { host: entry, port: bound } : entry),
          }),
        );
      },
      close: () =>
        new Promise((resolve) => {
          server.close(() => resolve());
          this.#reception.dismiss();
        }),
    };
  }

  #accept(socket: net.Socket): void {
    socket.on("error", ignore); // "close" follows
    const address = remoteAddressOf(socket);
    const visitor = address && this.#reception.admit(sourceOf(address), () => socket.destroy());
    if (!visitor) {
      socket.destroy();
      return;
    }
    const reader = new SocketReader(this.#memory);
    reader.attachAccepted(socket);
    const onEnd = (): void => visitor.turnAway();
    socket.on("end", onEnd);
    socket.on("close", onEnd);
    const caller = {
      remote: addressText(address, socket.remotePort ?? 0),
      open: () => {
        socket.off("end", onEnd);
        socket.off("close", onEnd);
        return new TcpMedium(socket, reader, undefined, this.#watch.limits);
      },
    };
    reader.onBytes = (bytes) => visitor.receive(bytes, caller);
    socket.resume();
  }
}

function ignore(): void {}

function isHost(host: string): boolean {
  return /^[\x21-\x7e]{1,253}$/.test(host);
}
