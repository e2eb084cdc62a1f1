// zeromq with CURVE: a Router listens, each peer is a Dealer with a key pair of its own. A message is one part; a request
// and its reply are two, the first being the number.

import { curveKeyPair, Dealer, Router } from "zeromq";
import { answer, OpenRequests } from "../lib/exchange.mjs";
import { readUint32, writeUint32 } from "../lib/frames.mjs";

export const title = "zeromq, CURVE";
export const packageName = "zeromq";
export const calls =
  "new Router({ curveServer }), new Dealer({ curveServerKey }), socket.send, for await (… of socket)";
export const maxIdlePeers = 900; // a context holds 1,023 sockets

// A send that waits for room in the queue is sometimes never woken (zeromq 6.8). With a time limit it fails with EAGAIN,
// the message not sent, and the next try goes through.
const sendTimeoutMs = 20;

export async function listen(_material, handlers) {
  const keys = curveKeyPair();
  const router = new Router({ curveServer: true, curveSecretKey: keys.secretKey, sendTimeout: sendTimeoutMs });
  await router.bind("tcp://127.0.0.1:*");
  const send = createSender(router);
  (async () => {
    for await (const [route, first, body] of router) {
      if (body === undefined) handlers.onMessage(first);
      else answer(handlers.onRequest(body), (reply) => send([route, first, reply]));
    }
  })();
  return { address: { endpoint: router.lastEndpoint, publicKey: keys.publicKey } };
}

export async function createDialer() {
  const keys = curveKeyPair();
  return {
    async connect({ endpoint, publicKey }) {
      const dealer = new Dealer({
        curvePublicKey: keys.publicKey,
        curveSecretKey: keys.secretKey,
        curveServerKey: publicKey,
        linger: 0,
        sendTimeout: sendTimeoutMs,
      });
      dealer.connect(endpoint);
      const requests = new OpenRequests();
      const send = createSender(dealer);
      (async () => {
        for await (const [number, body] of dealer) requests.settle(readUint32(number, 0), body);
      })();
      return {
        async sendMany(body, count) {
          for (let sent = 0; sent < count; ) {
            try {
              await dealer.send(body);
              sent += 1;
            } catch (error) {
              if (error.code !== "EAGAIN") throw error;
            }
          }
        },
        request(body) {
          return requests.ask((id) => {
            const number = Buffer.allocUnsafe(4);
            writeUint32(number, 0, id);
            send([number, body]);
          });
        },
        async close() {
          dealer.close();
        },
      };
    },
    async close() {},
  };
}

/** A zeromq socket takes one send at a time: the rest wait here. The callers bound how many. */
function createSender(socket) {
  const waiting = [];
  let busy = false;
  async function run() {
    busy = true;
    while (waiting.length > 0) {
      try {
        await socket.send(waiting[0]);
        waiting.shift();
      } catch (error) {
        if (error.code !== "EAGAIN") throw error;
      }
    }
    busy = false;
  }
  return (parts) => {
    waiting.push(parts);
    if (!busy) run();
  };
}
