// EGTP itself, from the built packages beside this folder: direct TCP, memory stores, delivery with receipts. All that
// is particular to its API stands in this file. The first request to a peer makes the session, so a first contact is
// timed from `request` on.

import { existsSync } from "node:fs";

const packageFolder = new URL("../../packages/node/", import.meta.url);
const modules = { node: new URL("dist/index.js", packageFolder), tcp: new URL("dist/nodejs/tcp.js", packageFolder) };

export const title = "EGTP, direct tcp, with receipts";
export const packageFile = new URL("package.json", packageFolder);
export const calls = "createNode, defineMessage, node.handle, node.send, node.request";

// A sender goes on while this much is not yet delivered. It is the backpressure: a send resolves with its outcome.
const maxOpenMessages = 8192;
const maxOpenBytes = 16 * 1024 * 1024;

/** @throws When the packages have not been built; the message says how to build them. */
export async function checkBuilt() {
  const missing = Object.values(modules).some((file) => !existsSync(file));
  if (missing || (await import(modules.node)).createNode === undefined) {
    throw new Error(
      "@egtp/node is not built. Run `pnpm install && pnpm build` in the repository first, or leave it out with --only.",
    );
  }
}

export async function listen(_material, handlers) {
  // All dialers of the benchmark share one address: the bounds per address are not what is measured.
  const limits = {
    maxLinks: 20_000,
    maxLinksPerSource: 20_000,
    maxUnauthenticated: 2_000,
    maxUnauthenticatedPerSource: 2_000,
  };
  const { node, note, echo } = await startNode({ host: "127.0.0.1", port: 0, limits });
  node.handle(note, ({ body }) => handlers.onMessage(body));
  node.handle(echo, ({ body }) => handlers.onRequest(body));
  return { address: { contactRecord: toHex(node.contactRecord) } };
}

export async function createDialer() {
  const { node, note, echo } = await startNode({ listen: false });
  return {
    async connect({ contactRecord }) {
      const peerId = node.learn(fromHex(contactRecord));
      return {
        sendMany: (body, count) => sendMany(count, body.byteLength, () => node.send(peerId, note, body)),
        request: (body) => node.request(peerId, echo, body),
        async close() {},
      };
    },
    close: () => node.stop(),
  };
}

async function startNode(tcpOptions) {
  const { createIdentity, createNode, defineMessage } = await import(modules.node);
  const { tcp } = await import(modules.tcp);
  const node = await createNode({
    identity: createIdentity(),
    transports: [tcp(tcpOptions)],
    allowPrivateAddresses: true,
  });
  await node.start();
  // Without schemas bodies and replies are raw bytes.
  const note = defineMessage("bench/note");
  const echo = defineMessage("bench/echo");
  return { node, note, echo };
}

/** Keeps the window full and resolves when every message was delivered. */
async function sendMany(count, size, send) {
  const window = Math.max(1, Math.min(maxOpenMessages, Math.floor(maxOpenBytes / size)));
  const refillAt = window >> 1; // refilled by halves: a turn of the event loop then has many messages to say
  let open = 0;
  let failure;
  let wake;
  let wakeAt = 0;
  const settle = (problem) => {
    failure ??= problem;
    open -= 1;
    if (open <= wakeAt) wake?.();
  };
  const settled = (outcome) =>
    settle(outcome.state === "delivered" ? undefined : new Error(`a message was ${outcome.state}`));
  const openAtMost = (limit) => {
    wakeAt = limit;
    return new Promise((resolve) => {
      wake = resolve;
    });
  };
  for (let sent = 0; sent < count && failure === undefined; sent++) {
    open += 1;
    send().then(settled, settle);
    if (open >= window) await openAtMost(refillAt);
  }
  if (open > 0) await openAtMost(0);
  if (failure !== undefined) throw failure;
}

function toHex(bytes) {
  return Buffer.from(bytes).toString("hex");
}

function fromHex(text) {
  return new Uint8Array(Buffer.from(text, "hex"));
}
