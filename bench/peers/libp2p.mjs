// js-libp2p: TCP, Noise, yamux, and one stream per connection that carries length-prefixed messages.

import { once } from "node:events";
import "../lib/with-resolvers.mjs";
import { noise } from "@libp2p/noise";
import { tcp } from "@libp2p/tcp";
import { yamux } from "@libp2p/yamux";
import { multiaddr } from "@multiformats/multiaddr";
import { createLibp2p } from "libp2p";
import { answer, OpenRequests } from "../lib/exchange.mjs";
import { encodeFrame, FrameReader, headerBytes, MESSAGE, REPLY, REQUEST, writeHeader } from "../lib/frames.mjs";

export const title = "libp2p, noise + yamux, one stream";
export const packageName = "libp2p";
export const calls = "createLibp2p, node.handle, node.dial, connection.newStream, stream.send, 'drain', 'message'";

const protocol = "/bench/1";
const closeTimeoutMs = 2000;
const copyBytes = 64 * 1024; // a larger body goes into several yamux frames anyway: a header of its own saves the copy

// The defaults guard a public node: 5 new connections a second per host, 10 handshakes at once, 300 connections.
const connectionManager = {
  inboundConnectionThreshold: Infinity,
  maxIncomingPendingConnections: 1000,
  maxConnections: 10_000,
};

export async function listen(_material, handlers) {
  const node = await createLibp2p({ ...parts(), addresses: { listen: ["/ip4/127.0.0.1/tcp/0"] }, connectionManager });
  await node.handle(protocol, (stream) => {
    const reader = new FrameReader((kind, id, body) => {
      if (kind === MESSAGE) handlers.onMessage(body);
      else answer(handlers.onRequest(body), (reply) => stream.send(encodeFrame(REPLY, id, reply)));
    });
    read(stream, reader);
  });
  const address = node.getMultiaddrs()[0];
  return { address: { multiaddr: address.toString() } };
}

export async function createDialer() {
  const node = await createLibp2p({ ...parts(), connectionManager });
  return {
    async connect(address) {
      const connection = await node.dial(multiaddr(address.multiaddr));
      const stream = await connection.newStream(protocol);
      const requests = new OpenRequests();
      read(stream, new FrameReader((_kind, id, body) => requests.settle(id, body)));
      stream.addEventListener("close", () => requests.failAll(new Error("the stream closed")));
      return {
        async sendMany(body, count) {
          for (let i = 0; i < count; i++) {
            if (!send(stream, body)) await once(stream, "drain");
          }
        },
        request: (body) => requests.ask((id) => stream.send(encodeFrame(REQUEST, id, body))),
        close: () => bounded(connection.close({ signal: AbortSignal.timeout(closeTimeoutMs) })),
      };
    },
    close: () => bounded(node.stop()),
  };
}

function parts() {
  return { transports: [tcp()], connectionEncrypters: [noise()], streamMuxers: [yamux()] };
}

/** Returns false when the caller should wait for "drain". */
function send(stream, body) {
  if (body.byteLength <= copyBytes) return stream.send(encodeFrame(MESSAGE, 0, body));
  const header = new Uint8Array(headerBytes(MESSAGE));
  writeHeader(header, 0, MESSAGE, 0, body.byteLength);
  stream.send(header);
  return stream.send(body);
}

function read(stream, reader) {
  stream.addEventListener("message", ({ data }) => {
    if (data instanceof Uint8Array) reader.push(data);
    else for (const chunk of data) reader.push(chunk);
  });
}

/** Closing can hang when a stream is busy; what was measured is over by then. */
function bounded(closing) {
  const timeout = new Promise((resolve) => setTimeout(resolve, closeTimeoutMs).unref());
  return Promise.race([closing.catch(() => {}), timeout]);
}
