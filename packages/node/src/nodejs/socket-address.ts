/** Addresses of sockets: what may be used, which of this machine's are worth telling, and what went wrong with one. */
import dns from "node:dns";
import type net from "node:net";
import { networkInterfaces } from "node:os";
import { isRoutableAddress } from "../address.ts";
import { TransportError, type TransportErrorCode } from "../transport-error.ts";

/** Addresses of this machine that are advertised: a contact record has room for few, and few are worth a try. */
const maxOwnAddresses = 4;

export function addressText(host: string, port: number): string {
  // Joined, which makes one flat string: a template would keep its parts, too, for as long as a link lives.
  return [host.includes(":") ? `[${host}]` : host, port].join(":");
}

/** The address at the other end; an IPv4 one as such, also when it came to a socket for both. */
export function remoteAddressOf(socket: { readonly remoteAddress?: string | undefined }): string | undefined {
  return socket.remoteAddress?.replace(/^::ffff:(?=\d+\.)/, "");
}

/** @throws `RangeError` for what is no port to listen at. */
export function checkPort(port: number): void {
  if (!Number.isInteger(port) || port < 0 || port > 65_535) throw new RangeError(`${port} is not a port`);
}

/** The hosts at which a listener that is bound to a host can be dialled. */
export function hostsOf(host: string | undefined): string[] {
  const isWildcard = host === undefined || host === "0.0.0.0" || host === "::" || host === "";
  return isWildcard ? ownAddresses() : [host];
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

/**
 * Listens, and goes on when a connection could not be accepted: the next one may be.
 *
 * @throws {@link TransportError} `EGTP_ADDRESS_IN_USE`, `EGTP_LISTEN_FAILED`.
 */
export function listen(server: net.Server, host: string | undefined, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const onError = (error: NodeJS.ErrnoException): void => {
      const code = error.code === "EADDRINUSE" ? "EGTP_ADDRESS_IN_USE" : "EGTP_LISTEN_FAILED";
      reject(new TransportError(code, addressText(host ?? "*", port), { cause: error }));
    };
    server.once("error", onError);
    server.listen({ port, ...(host !== undefined && { host }) }, () => {
      server.off("error", onError);
      server.on("error", () => {});
      resolve();
    });
  });
}

/** Resolves a name, and leaves out what may not be dialled. */
export function permittedLookup(permits: (address: string) => boolean, address: string): net.LookupFunction {
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

/** What an error of a socket says about a dial; undefined when it says nothing that is known here. */
export function dialErrorCode(error: NodeJS.ErrnoException): TransportErrorCode | undefined {
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
      return undefined;
  }
}
