// The listening process of one alternative. It counts what arrives, echoes requests, and confirms totals.
// Started by pair.mjs, which speaks to it over the process channel.

import { serveCommands } from "./commands.mjs";
import { readMemory } from "./memory.mjs";
import { ECHO, encodeTotal, readConfirm } from "./signals.mjs";

const peer = await import(`../peers/${process.argv[2]}.mjs`);

let messages = 0;
let bytes = 0;
let awaited;

const handlers = {
  onMessage(body) {
    messages += 1;
    bytes += body.byteLength;
    if (awaited !== undefined && messages >= awaited.expected) confirm();
  },

  /** Answers at once, or with a promise: a total is confirmed when that many messages are here. */
  onRequest(body) {
    if (body[0] === ECHO) return body;
    return new Promise((resolve) => {
      awaited = { expected: readConfirm(body), resolve };
      if (messages >= awaited.expected) confirm();
    });
  },
};

function confirm() {
  const { resolve } = awaited;
  resolve(encodeTotal(messages, bytes));
  awaited = undefined;
  messages = 0;
  bytes = 0;
}

serveCommands({
  listen: async ({ material }) => (await peer.listen(material, handlers)).address,
  cpu: () => process.cpuUsage(),
  memory: readMemory,
  collectGarbage: () => globalThis.gc(),
});
