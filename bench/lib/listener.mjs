// The listening process of one alternative. It counts what arrives, echoes requests, and confirms totals; or it is away
// while mail is left for it, and comes back for it. Started by team.mjs, which speaks to it over the process channel.

import { performance } from "node:perf_hooks";
import { serveCommands } from "./commands.mjs";
import { readMemory } from "./memory.mjs";
import { ECHO, encodeTotal, readConfirm } from "./signals.mjs";

const peer = await import(`../peers/${process.argv[2]}.mjs`);

let messages = 0;
let bytes = 0;
let awaited;
let mailbox;

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

/** Arranges for mail and is away. @returns What a sender must know. */
async function openMailbox({ server, folder }) {
  mailbox = await peer.openMailbox(server, folder);
  return mailbox.address;
}

/** Comes back and takes all there is, until the last is handed over. Is away again after it. */
async function collect({ count, size }) {
  let received = 0;
  let receivedBytes = 0;
  globalThis.gc();
  const cpu = process.cpuUsage();
  const started = performance.now();
  const leave = await mailbox.collect(count, (body) => {
    received += 1;
    receivedBytes += body.byteLength;
  });
  const seconds = (performance.now() - started) / 1000;
  const used = process.cpuUsage(cpu);
  await leave();
  if (received !== count || receivedBytes !== count * size) {
    throw new Error(
      `${count} mails of ${size} bytes were left, ${received} of ${receivedBytes} bytes in all were collected`,
    );
  }
  return { seconds, cpu: used };
}

serveCommands({
  listen: async ({ material, server }) => (await peer.listen(material, handlers, server)).address,
  openMailbox,
  collect,
  cpu: () => process.cpuUsage(),
  memory: readMemory,
  collectGarbage: () => globalThis.gc(),
});
