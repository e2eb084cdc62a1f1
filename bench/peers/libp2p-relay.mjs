// js-libp2p through a circuit relay v2: both peers are connected to the relay and accept no connections. Limits of time
// and data are off. What the peers say to each other is encrypted between them, and once more to and from the relay.

import { once } from "node:events";
import { circuitRelayServer, circuitRelayTransport } from "@libp2p/circuit-relay-v2";
import { identify } from "@libp2p/identify";
import { multiaddr } from "@multiformats/multiaddr";
import { createLibp2p } from "libp2p";
import { bounded, nodeOptions, openStream, serveStreams } from "../lib/libp2p-stream.mjs";

export const title = "libp2p, circuit relay v2 without limits, one stream";
export const packageName = "@libp2p/circuit-relay-v2";
export const calls =
  "circuitRelayServer({ reservations }), circuitRelayTransport(), identify(), createLibp2p, node.handle, node.dial, connection.newStream, stream.send, 'drain', 'message'";

const maxReservations = 10_000; // the default is 15

export async function serve() {
  const node = await createLibp2p(
    nodeOptions({
      addresses: { listen: ["/ip4/127.0.0.1/tcp/0"] },
      services: {
        identify: identify(),
        relay: circuitRelayServer({ reservations: { applyDefaultLimit: false, maxReservations } }),
      },
    }),
  );
  return { address: { multiaddr: node.getMultiaddrs()[0].toString() } };
}

export async function listen(_material, handlers, relay) {
  const node = await register(relay);
  await serveStreams(node, handlers);
  const address = node.getMultiaddrs().find((each) => each.toString().includes("/p2p-circuit"));
  return { address: { multiaddr: address.toString() } };
}

/** A node that can be reached by way of the relay only. */
export async function register(relay) {
  const node = await createLibp2p(
    nodeOptions({
      transports: [circuitRelayTransport()],
      services: { identify: identify() },
      addresses: { listen: [`${relay.multiaddr}/p2p-circuit`] },
    }),
  );
  while (node.getMultiaddrs().length === 0) await once(node, "self:peer:update");
  return node;
}

export async function createDialer() {
  const node = await createLibp2p(
    nodeOptions({ transports: [circuitRelayTransport()], services: { identify: identify() } }),
  );
  return {
    connect: async (address) => openStream(await node.dial(multiaddr(address.multiaddr))),
    close: () => bounded(node.stop()),
  };
}
