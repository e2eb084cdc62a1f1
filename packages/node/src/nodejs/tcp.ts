/**
 * Links over TCP, in Node.js.
 *
 * A dialer sends its dial tag, then both sides send envelopes, each behind its length. Nothing else is on the wire: no
 * greeting, no version, no word of refusal.
 *
 * @see docs/spec.md, "Links"
 */
import dns from "node:dns";
import net from "node:net";
import { networkInterfaces } from "node:os";
import { defaultCryptoProvider } from "@egtp/mesgen";
import { type PeerId, peerIdToBytes, type Strategy } from "@egtp/wire";
import { isRoutableAddress, sourceOf } from "../address.ts";
import { createDialTag, type DialCrypto } from "../dial-tag.ts";
import type { DialOptions, Link, RefusalReason, Served, ServedIdentity, Transport } from "../transport.ts";
import { systemClock, type TransportClock } from "../transport-clock.ts";
import { type Admission, Door, type Resident } from "../transport-door.ts";
import { TransportError, type TransportErrorCode } from "../transport-error.ts";
import { dialSaltBytes, dialTagBytes, type TransportLimits, transportLimits } from "../transport-limits.ts";
import { MediumLink } from "../transport-link.ts";
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

/** Addresses of this machine that are advertised: a contact record has room for few, and few are worth a try. */
const maxOwnAddresses = 4;

class TcpTransport implements Transport {
  readonly kind = "tcp";
  readonly #options: TcpOptions;
  readonly #limits: TransportLimits;
  readonly #crypto: DialCrypto;
  readonly #clock: TransportClock;
  readonly #door: Door;
  readonly #memory: ReadMemory | undefined;
  #listener: Promise<Listener> | undefined;
  /** Resolves when a listener that was closed before is gone. */
  #closing: Promise<void> = Promise.resolve();

  constructor(options: TcpOptions) {
    const port = options.port ?? 0;
    if (!Number.isInteger(port) || port < 0 || port > 65_535) throw new RangeError(`${port} is not a port`);
    this.#options = options;
    this.#limits = transportLimits(options.limits);
    this.#crypto = options.crypto ?? defaultCryptoProvider;
    this.#clock = options.clock ?? systemClock;
    this.#door = new Door(this.#crypto.sha512, this.#limits);
    this.#memory = options.reuseReadMemory === false ? undefined : ReadMemory.create();
  }

  get refusals(): Readonly<Record<RefusalReason, number>> {
    return this.#door.refusals;
  }

  async serve(identity: ServedIdentity, onLink: (link: Link) => void): Promise<Served> {
    const resident = this.#door.moveIn(identity.peer, onLink);
    if (this.#options.listen === false) {
      return { strategies: [], stop: async () => this.#door.moveOut(resident) };
    }
    try {
      this.#listener ??= this.#closing.then(() => this.#listen());
      const listener = await this.#listener;
      let stopped: Promise<void> | undefined;
      return {
        strategies: this.#strategies(listener.port),
        stop: () => {
          stopped ??= this.#stop(resident, listener);
          return stopped;
        },
      };
    } catch (error) {
      this.#door.moveOut(resident);
      this.#listener = undefined;
      throw error;
    }
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
    const medium = new TcpMedium(socket, reader, tag, this.#limits);
    const link = new MediumLink(medium, {
      direction: "outgoing",
      remote: addressText(strategy.host, strategy.port),
      source: sourceOf(socket.remoteAddress ?? strategy.host),
      limits: this.#limits,
      clock: this.#clock,
      unauthenticatedUntil: this.#clock.now() + this.#limits.unauthenticatedMs,
    });
    medium.attach(link);
    return link;
  }

  #connect(
    strategy: TcpStrategy,
    reader: SocketReader,
    signal: AbortSignal,
    permits: DialOptions["permits"],
  ): Promise<net.Socket> {
    const { host, port } = strategy;
    const address = addressText(host, port);
    return new Promise((resolve, reject) => {
      if (signal.aborted) throw new TransportError("EGTP_DIAL_ABORTED", address, { cause: signal.reason });
      if (!isHost(host) || !Number.isInteger(port) || port < 1 || port > 65_535) {
        throw new TransportError("EGTP_BAD_ADDRESS", address);
      }
      if (permits !== undefined && net.isIP(host) !== 0 && !permits(host)) {
        throw new TransportError("EGTP_DIAL_FORBIDDEN", address);
      }
      const lookup = permits === undefined ? {} : { lookup: permittedLookup(permits, address) };
      const socket = net.connect({ host, port, noDelay: true, ...lookup, ...reader.connectOptions });
      reader.attach(socket);
      socket.on("error", ignore); // whoever waits hears of it below, later ones through "close"
      const settle = (finish: () => void): void => {
        cancelTimer();
        signal.removeEventListener("abort", onAbort);
        socket.off("connect", onConnect);
        socket.off("error", onError);
        finish();
      };
      const fail = (code: TransportErrorCode, cause?: unknown): void =>
        settle(() => {
          socket.destroy();
          reject(cause instanceof TransportError ? cause : new TransportError(code, address, { cause }));
        });
      const onConnect = (): void => settle(() => resolve(socket));
      const onError = (error: NodeJS.ErrnoException): void => fail(dialErrorCode(error), error);
      const onAbort = (): void => fail("EGTP_DIAL_ABORTED", signal.reason);
      const cancelTimer = this.#clock.setTimer(() => fail("EGTP_DIAL_TIMEOUT"), this.#limits.dialMs);
      socket.on("connect", onConnect);
      socket.on("error", onError);
      signal.addEventListener("abort", onAbort);
    });
  }

  async #listen(): Promise<Listener> {
    const listener = new Listener(this.#door, this.#memory, this.#limits, this.#clock);
    await listener.open(this.#options.host, this.#options.port ?? 0);
    return listener;
  }

  async #stop(resident: Resident, listener: Listener): Promise<void> {
    this.#door.moveOut(resident);
    const closed = [listener.stopLinksOf(resident)];
    if (this.#door.empty) {
      this.#listener = undefined;
      this.#closing = listener.close();
      closed.push(this.#closing);
    }
    await Promise.all(closed);
  }

  #strategies(port: number): Strategy[] {
    const { advertise, host } = this.#options;
    const hosts = advertise ?? (host === undefined || isWildcard(host) ? ownAddresses() : [host]);
    return hosts.map((entry) => ({ kind: "tcp", ...(typeof entry === "string" ? { host: entry, port } : entry) }));
  }
}

/** One listening socket and everything that came in through it. */
class Listener {
  readonly #door: Door;
  readonly #memory: ReadMemory | undefined;
  readonly #limits: TransportLimits;
  readonly #clock: TransportClock;
  readonly #server: net.Server;
  /** Connections whose tag has not arrived. */
  readonly #tagless = new Set<net.Socket>();
  /** The links of each identity, and who waits for the last of them to go. */
  readonly #links = new Map<Resident, Set<MediumLink>>();
  readonly #waiting = new Map<Resident, () => void>();

  constructor(door: Door, memory: ReadMemory | undefined, limits: TransportLimits, clock: TransportClock) {
    this.#door = door;
    this.#memory = memory;
    this.#limits = limits;
    this.#clock = clock;
    this.#server = net.createServer({ noDelay: true, pauseOnConnect: true }, (socket) => this.#accept(socket));
    this.#server.maxConnections = limits.maxLinks;
    this.#server.on("drop", () => door.refuse("full"));
  }

  get port(): number {
    return (this.#server.address() as net.AddressInfo).port;
  }

  open(host: string | undefined, port: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const onError = (error: NodeJS.ErrnoException): void => {
        reject(new TransportError(listenErrorCode(error), addressText(host ?? "*", port), { cause: error }));
      };
      this.#server.once("error", onError);
      this.#server.listen({ port, ...(host !== undefined && { host }) }, () => {
        this.#server.off("error", onError);
        this.#server.on("error", ignore); // a connection that could not be accepted; the next may be
        resolve();
      });
    });
  }

  /** Closes the listening socket and whatever has named nobody; resolves when no connection is left. */
  close(): Promise<void> {
    return new Promise((resolve) => {
      this.#server.close(() => resolve());
      for (const socket of this.#tagless) socket.destroy();
    });
  }

  stopLinksOf(resident: Resident): Promise<void> {
    const links = this.#links.get(resident);
    if (links === undefined) return Promise.resolve();
    return new Promise((resolve) => {
      this.#waiting.set(resident, resolve);
      for (const link of links) link.stop();
    });
  }

  #accept(socket: net.Socket): void {
    const address = socket.remoteAddress?.replace(/^::ffff:(?=\d+\.)/, ""); // IPv4 on a socket for both
    socket.on("error", ignore); // "close" follows
    if (address === undefined) {
      socket.destroy();
      return;
    }
    const source = sourceOf(address);
    let link: MediumLink | undefined;
    const admission = this.#door.admit(source, () => (link === undefined ? socket.destroy() : link.abort("displaced")));
    if (admission === undefined) {
      socket.destroy();
      return;
    }
    const until = this.#clock.now() + this.#limits.unauthenticatedMs;
    const remote = addressText(address, socket.remotePort ?? 0);
    const reader = new SocketReader(this.#memory);
    reader.attachAccepted(socket);
    this.#readTag(socket, reader, admission, until, (resident, rest) => {
      const medium = new TcpMedium(socket, reader, undefined, this.#limits);
      link = this.#openLink(medium, resident, admission, { remote, source, until }, rest);
    });
  }

  /** Reads the dial tag, and hands on whom it names with what came after it. Else the connection ends without a word. */
  #readTag(
    socket: net.Socket,
    reader: SocketReader,
    admission: Admission,
    until: number,
    found: (resident: Resident, rest: Uint8Array) => void,
  ): void {
    const tag = new Uint8Array(dialTagBytes);
    let filled = 0;
    const leave = (): void => {
      cancelTimer();
      reader.onBytes = () => {};
      socket.off("end", onEnd);
      socket.off("close", onEnd);
      this.#tagless.delete(socket);
    };
    const onEnd = (): void => {
      leave();
      admission.leave();
      this.#door.refuse("no-tag");
      socket.destroy();
    };
    reader.onBytes = (chunk) => {
      const part = chunk.subarray(0, dialTagBytes - filled);
      tag.set(part, filled);
      filled += part.length;
      if (filled < dialTagBytes) return;
      leave();
      const resident = this.#door.recognise(tag, this.#clock.now());
      if (resident === undefined) {
        admission.leave();
        socket.destroy();
      } else found(resident, chunk.subarray(part.length));
    };
    const cancelTimer = this.#clock.setTimer(onEnd, until - this.#clock.now());
    socket.on("end", onEnd);
    socket.on("close", onEnd);
    this.#tagless.add(socket);
    socket.resume();
  }

  #openLink(
    medium: TcpMedium,
    resident: Resident,
    admission: Admission,
    facts: { readonly remote: string; readonly source: string; readonly until: number },
    rest: Uint8Array,
  ): MediumLink {
    const link: MediumLink = new MediumLink(medium, {
      direction: "incoming",
      remote: facts.remote,
      source: facts.source,
      limits: this.#limits,
      clock: this.#clock,
      unauthenticatedUntil: facts.until,
      admission,
      onGone: () => this.#forget(resident, link),
    });
    const links = this.#links.get(resident) ?? new Set();
    this.#links.set(resident, links.add(link));
    medium.attach(link);
    resident.onLink(link);
    if (rest.length > 0) medium.receive(rest);
    return link;
  }

  #forget(resident: Resident, link: MediumLink): void {
    const links = this.#links.get(resident);
    links?.delete(link);
    if (links?.size !== 0) return;
    this.#links.delete(resident);
    this.#waiting.get(resident)?.();
    this.#waiting.delete(resident);
  }
}

function ignore(): void {}

/** Resolves a name, and leaves out what may not be dialled. */
function permittedLookup(permits: (address: string) => boolean, address: string): net.LookupFunction {
  return (hostname, options, callback) => {
    dns.lookup(hostname, { ...options, all: true }, (error, found) => {
      if (error !== null) return callback(error, []);
      const allowed = found.filter((entry) => permits(entry.address));
      const [first] = allowed;
      if (first === undefined) callback(new TransportError("EGTP_DIAL_FORBIDDEN", address), []);
      else if (options.all === true) callback(null, allowed);
      else callback(null, first.address, first.family);
    });
  };
}

function dialErrorCode(error: NodeJS.ErrnoException): TransportErrorCode {
  // Node.js tries all addresses of a name and collects the errors; the code is that of the first.
  switch (error.code) {
    case "ECONNREFUSED":
    case "ECONNRESET":
      return "EGTP_DIAL_REFUSED";
    case "ETIMEDOUT":
      return "EGTP_DIAL_TIMEOUT";
    case "ENOTFOUND":
    case "EAI_AGAIN":
    case "EAI_FAIL":
    case "EAI_NODATA":
      return "EGTP_DIAL_NAME_NOT_FOUND";
    case "EHOSTUNREACH":
    case "ENETUNREACH":
    case "EADDRNOTAVAIL":
    case "EAFNOSUPPORT":
    case "EACCES":
    case "EPERM":
      return "EGTP_DIAL_UNREACHABLE";
    case "EINVAL":
      return "EGTP_BAD_ADDRESS";
    default:
      return "EGTP_DIAL_FAILED";
  }
}

function listenErrorCode(error: NodeJS.ErrnoException): TransportErrorCode {
  return error.code === "EADDRINUSE" ? "EGTP_ADDRESS_IN_USE" : "EGTP_LISTEN_FAILED";
}

function isHost(host: string): boolean {
  return /^[\x21-\x7e]{1,253}$/.test(host);
}

function isWildcard(host: string): boolean {
  return host === "0.0.0.0" || host === "::" || host === "";
}

function addressText(host: string, port: number): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

/** The addresses of this machine, routable ones first; loopback when there is nothing else. */
function ownAddresses(): string[] {
  const addresses = Object.values(networkInterfaces())
    .flatMap((entries) => entries ?? [])
    .filter((entry) => !entry.internal && !/^(fe[89ab]|169\.254\.)/i.test(entry.address))
    .map((entry) => entry.address);
  if (addresses.length === 0) return ["127.0.0.1"];
  const routable = addresses.filter((address) => isRoutableAddress(address));
  const local = addresses.filter((address) => !isRoutableAddress(address));
  return [...routable, ...local].slice(0, maxOwnAddresses);
}
