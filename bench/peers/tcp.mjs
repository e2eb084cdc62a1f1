// Raw TCP: no encryption, no identity. The measure for the rest.

import { once } from "node:events";
import net from "node:net";
import { FramedSocket } from "../lib/framed-socket.mjs";

export const { title, calls, variantOf, listen, createDialer } = tcpPeer({ joined: false });

export function tcpPeer({ joined }) {
  return {
    title: joined ? "tcp, a turn's sends joined" : "tcp, one write a message",
    calls: "net.createServer, net.connect, socket.write, 'drain'",
    variantOf: joined ? "tcp" : undefined,

    async listen(_material, handlers) {
      const server = net.createServer({ noDelay: true }, (socket) => new FramedSocket(socket, { joined, handlers }));
      server.listen({ port: 0, host: "127.0.0.1", backlog: 1024 });
      await once(server, "listening");
      return { address: { port: server.address().port } };
    },

    async createDialer() {
      return {
        async connect({ port }) {
          const socket = net.connect({ port, host: "127.0.0.1", noDelay: true });
          await once(socket, "connect");
          return new FramedSocket(socket, { joined });
        },
        async close() {},
      };
    },
  };
}
