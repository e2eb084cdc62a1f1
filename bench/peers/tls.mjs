// TLS 1.3, both sides with a certificate the other pins. Every connection is a full handshake: no session is resumed.

import { once } from "node:events";
import tls from "node:tls";
import { createCertificate } from "../lib/certificate.mjs";
import { FramedSocket } from "../lib/framed-socket.mjs";

export const { title, calls, variantOf, prepare, listen, createDialer } = tlsPeer({ joined: false });

export function tlsPeer({ joined }) {
  return {
    title: joined ? "TLS 1.3, a turn's sends joined" : "TLS 1.3, mutual",
    calls: "tls.createServer({ requestCert, ca }), tls.connect({ key, cert, ca }), socket.write, 'drain'",
    variantOf: joined ? "tls" : undefined,

    prepare() {
      return { listener: createCertificate("listener.bench"), dialer: createCertificate("dialer.bench") };
    },

    async listen({ listener, dialer }, handlers) {
      const server = tls.createServer({
        ...listener,
        ca: [dialer.cert],
        requestCert: true,
        rejectUnauthorized: true,
        minVersion: "TLSv1.3",
        noDelay: true,
      });
      server.on("secureConnection", (socket) => new FramedSocket(socket, { joined, handlers }));
      server.listen({ port: 0, host: "127.0.0.1", backlog: 1024 });
      await once(server, "listening");
      return { address: { port: server.address().port } };
    },

    async createDialer({ listener, dialer }) {
      const secureContext = tls.createSecureContext({ ...dialer, ca: [listener.cert], minVersion: "TLSv1.3" });
      return {
        async connect({ port }) {
          const socket = tls.connect({ port, host: "127.0.0.1", servername: "listener.bench", secureContext });
          socket.setNoDelay(true);
          await once(socket, "secureConnect");
          return new FramedSocket(socket, { joined });
        },
        async close() {},
      };
    },
  };
}
