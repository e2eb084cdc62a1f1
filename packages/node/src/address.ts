/**
 * What an address is: whether the whole internet can route to it, and which source it counts as.
 *
 * Records come from strangers. If a node dialled whatever they say, anyone could make it knock on doors inside its own
 * network; so the node dials only routable addresses unless it is configured otherwise.
 *
 * @see docs/spec.md, "Limits"
 */

/**
 * Whether a host is, or may be, on the public internet. A name is taken for routable unless it is local by definition or
 * would be read as a number; whether it leads to a private address shows only when it is resolved, so ask again then.
 *
 * @param host - A name or an IP address, without brackets.
 */
export function isRoutableAddress(host: string): boolean {
  const v4 = parseIpv4(host);
  if (v4 !== undefined) return isRoutableIpv4(v4);
  const v6 = parseIpv6(host);
  if (v6 !== undefined) return isRoutableIpv6(v6);
  return isPublicName(host);
}

/** Whether a host is an IP address and not a name, without brackets or zone. */
export function isIpAddress(host: string): boolean {
  return parseIpv4(host) !== undefined || parseIpv6(host) !== undefined;
}

/** The host that a URL names, without brackets. */
export function hostOfUrl(url: string): string {
  const { hostname } = new URL(url);
  return hostname.startsWith("[") ? hostname.slice(1, -1) : hostname;
}

/**
 * The source that an IP address counts as where limits go by source: an IPv4 address stands for itself, an IPv6 address
 * for its /64, within which one subscriber has all addresses.
 */
export function sourceOf(address: string): string {
  const zone = address.indexOf("%");
  const bytes = parseIpv6(zone < 0 ? address : address.slice(0, zone));
  if (bytes === undefined) return address;
  if (embeddedAt(bytes, mappedPrefix)) return ipv4Text(bytes, 12);
  const groups = [0, 2, 4, 6].map((at) => ((bytes[at]! << 8) | bytes[at + 1]!).toString(16));
  return `${groups.join(":")}::/64`;
}

/** Networks of IPv4 that are not routed on the internet, as address and prefix length (IANA special-purpose registry). */
const unroutableIpv4 = [
  "0.0.0.0/8", // this network
  "10.0.0.0/8", // private
  "100.64.0.0/10", // behind a carrier's NAT
  "127.0.0.0/8", // loopback
  "169.254.0.0/16", // link-local, and the metadata services of clouds
  "172.16.0.0/12", // private
  "192.0.0.0/24", // protocol assignments
  "192.0.2.0/24", // documentation
  "192.88.99.0/24", // 6to4 relays, withdrawn
  "192.168.0.0/16", // private
  "198.18.0.0/15", // benchmarks
  "198.51.100.0/24", // documentation
  "203.0.113.0/24", // documentation
  "224.0.0.0/4", // multicast
  "240.0.0.0/4", // reserved, broadcast
].map((network) => {
  const [address, length] = network.split("/") as [string, string];
  const mask = (-1 << (32 - Number(length))) >>> 0;
  return { mask, value: numberOf(parseIpv4(address)!) };
});

function isRoutableIpv4(bytes: Uint8Array): boolean {
  const number = numberOf(bytes);
  return !unroutableIpv4.some(({ mask, value }) => (number & mask) >>> 0 === value);
}

/** Prefixes behind which an IPv4 address stands, and where in the address it does. */
const mappedPrefix = { prefix: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff], at: 12 };
const nat64Prefix = { prefix: [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0], at: 12 };
const sixToFourPrefix = { prefix: [0x20, 0x02], at: 2 };

function isRoutableIpv6(bytes: Uint8Array): boolean {
  for (const kind of [mappedPrefix, nat64Prefix, sixToFourPrefix]) {
    if (embeddedAt(bytes, kind)) return isRoutableIpv4(bytes.subarray(kind.at, kind.at + 4));
  }
  // Only 2000::/3 is assigned. Out of it: protocol assignments with Teredo (2001::/23), documentation (2001:db8::/32, 3fff::/20).
  if ((bytes[0]! & 0xe0) !== 0x20) return false;
  if (bytes[0] === 0x20 && bytes[1] === 0x01 && bytes[2]! < 2) return false;
  if (bytes[0] === 0x20 && bytes[1] === 0x01 && bytes[2] === 0x0d && bytes[3] === 0xb8) return false;
  return !(bytes[0] === 0x3f && bytes[1] === 0xff && bytes[2]! < 0x10);
}

function embeddedAt(bytes: Uint8Array, kind: { readonly prefix: readonly number[] }): boolean {
  return kind.prefix.every((value, index) => bytes[index] === value);
}

/** Names that never leave the local network, by RFC 6761, RFC 6762 and RFC 8375 and by custom. */
const localSuffixes = ["localhost", "local", "internal", "lan", "home", "home.arpa", "corp", "private", "intranet"];

function isPublicName(host: string): boolean {
  const name = (host.endsWith(".") ? host.slice(0, -1) : host).toLowerCase();
  const labels = name.split(".");
  if (labels.length < 2 || labels.some((label) => !/^[a-z0-9_-]{1,63}$/.test(label))) return false;
  // Resolvers read "127.1", "2130706433" and "0x7f.1" as addresses; real names do not end in a number.
  if (/^(\d+|0x[0-9a-f]*)$/.test(labels.at(-1)!)) return false;
  return !localSuffixes.some((suffix) => name === suffix || name.endsWith(`.${suffix}`));
}

function numberOf(bytes: Uint8Array): number {
  return ((bytes[0]! << 24) | (bytes[1]! << 16) | (bytes[2]! << 8) | bytes[3]!) >>> 0;
}

function ipv4Text(bytes: Uint8Array, at: number): string {
  return bytes.subarray(at, at + 4).join(".");
}

/** Four decimal numbers and nothing else; no leading zeros, which some readers take for octal. */
function parseIpv4(text: string): Uint8Array | undefined {
  const parts = text.split(".");
  if (parts.length !== 4 || !parts.every((part) => /^(0|[1-9]\d{0,2})$/.test(part) && Number(part) < 256))
    return undefined;
  return Uint8Array.from(parts, Number);
}

/** The text forms of RFC 4291, without a zone. */
function parseIpv6(text: string): Uint8Array | undefined {
  if (!/^[0-9a-fA-F:.]{2,45}$/.test(text) || !text.includes(":")) return undefined;
  const halves = text.split("::");
  if (halves.length > 2) return undefined;
  const front = groupsOf(halves[0]!, halves.length === 1);
  const back = halves.length === 2 ? groupsOf(halves[1]!, true) : [];
  if (front === undefined || back === undefined) return undefined;
  const missing = 16 - front.length - back.length;
  if (halves.length === 2 ? missing < 2 : missing !== 0) return undefined;
  return Uint8Array.from([...front, ...new Uint8Array(missing), ...back]);
}

/** The bytes of groups of hexadecimal digits; the last one may be an IPv4 address. */
function groupsOf(text: string, mayEndInIpv4: boolean): number[] | undefined {
  if (text === "") return [];
  const bytes: number[] = [];
  const groups = text.split(":");
  for (const [index, group] of groups.entries()) {
    const v4 = mayEndInIpv4 && index === groups.length - 1 ? parseIpv4(group) : undefined;
    if (v4 !== undefined) bytes.push(...v4);
    else if (/^[0-9a-fA-F]{1,4}$/.test(group))
      bytes.push(Number.parseInt(group, 16) >> 8, Number.parseInt(group, 16) & 255);
    else return undefined;
  }
  return bytes;
}
