// js-libp2p: TCP, Noise, yamux, and one stream per connection that carries length-prefixed messages.

import { multiaddr } from "@multiformats/multiaddr";
import { createLibp2p } from "libp2p";
import { bounded, nodeOptions, openStream, serveStreams } from "../lib/libp2p-stream.mjs";

export const title = "libp2p, noise + yamux, one stream";
export const packageName = "libp2p";
export const calls = "createLibp2p, node.handle, node.dial, connection.newStream, stream.send, 'drain', 'message'";

export async function listen(_material, handlers) {
  const node = await createLibp2p(nodeOptions({ addresses: { listen: ["/ip4/127.0.0.1/tcp/0"] } }));
  await serveStreams(node, handlers);
  const address = node.getMultiaddrs()[0];
  return { address: { multiaddr: address.toString() } };
}

export async function createDialer() {
  const node = await createLibp2p(nodeOptions());
  return {
    connect: async (address) => openStream(await node.dial(multiaddr(address.multiaddr))),
    close: () => bounded(node.stop()),
  };
}
