// NATS core: everything goes by subject through one nats-server, which keeps nothing. No encryption, and no receipts: what
// a slow receiver cannot take is dropped.

import { connect, createInbox } from "@nats-io/transport-node";
import { answer } from "../lib/exchange.mjs";
import { startNatsServer } from "../lib/nats-server.mjs";

export { findMissing, readVersion } from "../lib/nats-server.mjs";

export const title = "NATS core, publish and subscribe through one nats-server";
export const calls = "connect, nc.publish, nc.flush, nc.subscribe({ callback }), nc.request, message.respond";

const requestTimeoutMs = 60_000;
const windowBytes = 1 << 20; // published before the server was asked whether it has it; two of them may be under way

export const serve = () => startNatsServer([]);

export async function listen(_material, handlers, server) {
  const connection = await connect(server);
  const [notes, questions] = [createInbox(), createInbox()];
  connection.subscribe(notes, { callback: (_error, message) => handlers.onMessage(message.data) });
  connection.subscribe(questions, {
    callback: (_error, message) => answer(handlers.onRequest(message.data), (reply) => message.respond(reply)),
  });
  await connection.flush();
  return { address: { notes, questions } };
}

export async function createDialer(_material, server) {
  const connection = await connect(server);
  return {
    async connect({ notes, questions }) {
      return {
        sendMany: (body, count) => sendMany(connection, notes, body, count),
        request: async (body) => (await connection.request(questions, body, { timeout: requestTimeoutMs })).data,
        async close() {},
      };
    },
    close: () => connection.close(),
  };
}

/** The server would say nothing and drop: what is under way is bounded by asking it now and then. */
async function sendMany(connection, subject, body, count) {
  let flushed = Promise.resolve();
  let unasked = 0;
  for (let sent = 0; sent < count; sent++) {
    connection.publish(subject, body);
    unasked += body.byteLength;
    if (unasked < windowBytes) continue;
    await flushed;
    flushed = connection.flush();
    unasked = 0;
  }
  await flushed;
}

/** A client with a subject of its own. */
export async function register(server) {
  const connection = await connect(server);
  connection.subscribe(createInbox(), { callback: () => {} });
  await connection.flush();
  return connection;
}
