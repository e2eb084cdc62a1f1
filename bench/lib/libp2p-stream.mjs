// What the libp2p peers share: length-prefixed messages over one stream per connection.

import { once } from "node:events";
import "./with-resolvers.mjs";
import { noise } from "@libp2p/noise";
import { tcp } from "@libp2p/tcp";
import { yamux } from "@libp2p/yamux";
import { answer, OpenRequests } from "./exchange.mjs";
import { encodeFrame, FrameReader, headerBytes, MESSAGE, REPLY, REQUEST, writeHeader } from "./frames.mjs";

const protocol = "/bench/1";
const closeTimeoutMs = 2000;
const copyBytes = 64 * 1024; // a larger body goes into several yamux frames anyway: a header of its own saves the copy

// The defaults guard a public node: 5 new connections a second per host, 10 handshakes at once, 300 connections.
const connectionManager = {
  inboundConnectionThreshold: Infinity,
  maxIncomingPendingConnections: 1000,
  maxConnections: 10_000,
};

/** Options of every node. */
export function nodeOptions({ transports = [], ...more } = {}) {
  return {
    transports: [tcp(), ...transports],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    connectionManager,
    ...more,
  };
}

/** Takes the streams that others open. */
export async function serveStreams(node, handlers) {
  await node.handle(protocol, (stream) => {
    const reader = new FrameReader((kind, id, body) => {
      if (kind === MESSAGE) handlers.onMessage(body);
      else answer(handlers.onRequest(body), (reply) => stream.send(encodeFrame(REPLY, id, reply)));
    });
    read(stream, reader);
  });
}

/** Opens the stream of a connection. */
export async function openStream(connection) {
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
export function bounded(closing) {
  const timeout = new Promise((resolve) => setTimeout(resolve, closeTimeoutMs).unref());
  return Promise.race([closing.catch(() => {}), timeout]);
}
