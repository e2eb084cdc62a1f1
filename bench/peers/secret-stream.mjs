// @hyperswarm/secret-stream over TCP: Noise IK, so that one dials a public key. The stream keeps the bounds of each
// write, so a message needs no length of its own, only a byte that says what it is.

import { once } from "node:events";
import net from "node:net";
import SecretStream from "@hyperswarm/secret-stream";
import { answer, ignore, OpenRequests } from "../lib/exchange.mjs";
import { MESSAGE, REPLY, REQUEST, readUint32, writeUint32 } from "../lib/frames.mjs";

export const title = "@hyperswarm/secret-stream, IK";
export const packageName = "@hyperswarm/secret-stream";
export const calls =
  "new SecretStream(isInitiator, socket, { pattern: 'IK', keyPair, remotePublicKey }), alloc, write, 'drain'";

export async function listen(_material, handlers) {
  const keyPair = SecretStream.keyPair();
  const server = net.createServer({ noDelay: true }, (socket) => {
    const stream = new SecretStream(false, socket, { pattern: "IK", keyPair });
    stream.on("error", ignore);
    stream.on("data", (bytes) => {
      if (bytes[0] === MESSAGE) handlers.onMessage(bytes.subarray(1));
      else answer(handlers.onRequest(bytes.subarray(5)), (reply) => write(stream, REPLY, readUint32(bytes, 1), reply));
    });
  });
  server.listen({ port: 0, host: "127.0.0.1", backlog: 1024 });
  await once(server, "listening");
  return { address: { port: server.address().port, publicKey: keyPair.publicKey.toString("hex") } };
}

export async function createDialer() {
  const keyPair = SecretStream.keyPair();
  return {
    async connect({ port, publicKey }) {
      const socket = net.connect({ port, host: "127.0.0.1", noDelay: true });
      const remotePublicKey = Buffer.from(publicKey, "hex");
      const stream = new SecretStream(true, socket, { pattern: "IK", keyPair, remotePublicKey });
      const requests = new OpenRequests();
      stream.on("error", ignore);
      stream.on("close", () => requests.failAll(new Error("the connection closed")));
      stream.on("data", (bytes) => requests.settle(readUint32(bytes, 1), bytes.subarray(5)));
      if ((await stream.opened) === false) throw new Error("the handshake failed");
      return {
        async sendMany(body, count) {
          for (let i = 0; i < count; i++) if (!write(stream, MESSAGE, 0, body)) await once(stream, "drain");
        },
        request: (body) => requests.ask((id) => write(stream, REQUEST, id, body)),
        async close() {
          const closed = new Promise((resolve) => stream.once("close", resolve));
          stream.destroy();
          await closed;
        },
      };
    },
    async close() {},
  };
}

/** `alloc` leaves room for the frame around the bytes, which saves the stream a copy. */
function write(stream, kind, id, body) {
  const header = kind === MESSAGE ? 1 : 5;
  const bytes = stream.alloc(header + body.byteLength);
  bytes[0] = kind;
  if (kind !== MESSAGE) writeUint32(bytes, 1, id);
  bytes.set(body, header);
  return stream.write(bytes);
}
