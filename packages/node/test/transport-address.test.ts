import { describe, expect, it } from "vitest";
import { isRoutableAddress, sourceOf } from "../src/address.ts";

describe("a routable address", () => {
  it.each([
    "1.1.1.1",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.0.0.1",
    "172.15.255.255",
    "172.32.0.0",
    "192.0.1.1",
    "192.167.1.1",
    "198.17.255.255",
    "198.20.0.0",
    "223.255.255.255",
    "2606:4700:4700::1111",
    "2001:200::1",
    "2a00:1450:4001:80b::200e",
    "::ffff:8.8.8.8",
    "64:ff9b::808:808",
    "2002:0808:0808::1",
    "example.com",
    "EXAMPLE.com.",
    "relay.example",
    "xn--bcher-kva.example",
    "4chan.org",
  ])("is %s", (host) => {
    expect(isRoutableAddress(host)).toBe(true);
  });

  it.each([
    ["this network", "0.0.0.0"],
    ["private", "10.0.0.1"],
    ["private", "172.16.0.1"],
    ["private", "172.31.255.255"],
    ["private", "192.168.1.1"],
    ["behind a carrier's NAT", "100.64.0.1"],
    ["behind a carrier's NAT", "100.127.255.255"],
    ["loopback", "127.0.0.1"],
    ["loopback", "127.255.255.254"],
    ["link-local, a cloud's metadata", "169.254.169.254"],
    ["protocol assignments", "192.0.0.8"],
    ["documentation", "192.0.2.1"],
    ["documentation", "198.51.100.1"],
    ["documentation", "203.0.113.1"],
    ["benchmarks", "198.19.255.255"],
    ["multicast", "224.0.0.1"],
    ["reserved", "240.0.0.1"],
    ["broadcast", "255.255.255.255"],
    ["unspecified", "::"],
    ["loopback", "::1"],
    ["link-local", "fe80::1"],
    ["link-local with a zone", "fe80::1%eth0"],
    ["private", "fd12:3456:789a::1"],
    ["private", "fc00::"],
    ["site-local, withdrawn", "fec0::1"],
    ["multicast", "ff02::1"],
    ["documentation", "2001:db8::1"],
    ["documentation", "3fff::1"],
    ["Teredo", "2001::1"],
    ["discard", "100::1"],
    ["private within IPv6", "::ffff:10.0.0.1"],
    ["private within IPv6, hexadecimal", "::ffff:7f00:1"],
    ["private behind NAT64", "64:ff9b::a00:1"],
    ["private behind 6to4", "2002:7f00:1::1"],
    ["the old form of IPv4 within IPv6", "::127.0.0.1"],
    ["a local name", "localhost"],
    ["a local name", "a.localhost."],
    ["a local name", "printer.local"],
    ["a local name", "metadata.google.internal"],
    ["a name without a domain", "intranet"],
    ["a number that resolvers read as an address", "127.1"],
    ["a number that resolvers read as an address", "2130706433"],
    ["a number that resolvers read as an address", "0x7f.1"],
    ["a number that resolvers read as an address", "0177.0.0.1"],
    ["a number that resolvers read as an address", "127.0.0.0x1"],
    ["too many numbers", "1.2.3.4.5"],
    ["no name", ""],
    ["no name", "."],
    ["no name", "a..b"],
    ["brackets", "[::1]"],
    ["a port", "1.1.1.1:80"],
    ["not IPv6", "1::2::3"],
    ["not IPv6", "2606:4700"],
    ["not IPv6", "2606:4700:0:0:0:0:0:0:1"],
    ["not IPv6", ":::"],
  ])("is not %s: %s", (_, host) => {
    expect(isRoutableAddress(host)).toBe(false);
  });
});

describe("the source of an address", () => {
  it.each([
    ["192.0.2.7", "192.0.2.7"],
    ["::ffff:192.0.2.7", "192.0.2.7"],
    ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"],
    ["2001:db8:1:2::9", "2001:db8:1:2::/64"],
    ["fe80::1%eth0", "fe80:0:0:0::/64"],
    ["::1", "0:0:0:0::/64"],
    ["somewhere", "somewhere"],
  ])("of %s is %s", (address, source) => {
    expect(sourceOf(address)).toBe(source);
  });
});
