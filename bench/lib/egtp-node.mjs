// What the EGTP peers share, from the built packages beside this folder. All that is particular to its API stands here and
// in the peers' files.

import { existsSync } from "node:fs";

const packageFolder = (name) => new URL(`../../packages/${name}/`, import.meta.url);
const built = {
  wire: ["wire", "dist/index.js"],
  node: ["node", "dist/index.js"],
  tcp: ["node", "dist/nodejs/tcp.js"],
  sessionStore: ["session-store", "dist/nodejs/lmdb.js"],
  relay: ["relay", "dist/index.js"],
  relayServer: ["relay", "dist/server.js"],
  relayStore: ["relay", "dist/nodejs/lmdb.js"],
  metatracker: ["metatracker", "dist/index.js"],
  metatrackerServer: ["metatracker", "dist/server.js"],
};
const fileOf = (part) => new URL(built[part][1], packageFolder(built[part][0]));

// A sender goes on while this much is not yet delivered. It is the backpressure: a send resolves with its outcome.
const maxOpenMessages = 8192;
const maxOpenBytes = 16 * 1024 * 1024;

// All peers of the benchmark share one address: the bounds per address are not what is measured.
const manyLinks = {
  maxLinks: 20_000,
  maxLinksPerSource: 20_000,
  maxUnauthenticated: 2_000,
  maxUnauthenticatedPerSource: 2_000,
};
export const listening = { host: "127.0.0.1", port: 0, limits: manyLinks };
export const dialling = { listen: false };

export function packageFileOf(name) {
  return new URL("package.json", packageFolder(name));
}

/** Something of the packages, such as `load("tcp")`. */
export const load = (part) => import(fileOf(part));

/** @throws When the packages have not been built; the message says how to build them. */
export async function checkBuilt(...parts) {
  const missing = parts.filter((part) => !existsSync(fileOf(part)));
  if (missing.length > 0 || (await load("node")).createNode === undefined) {
    throw new Error(
      "the packages are not built. Run `pnpm install && pnpm build` in the repository first, or leave EGTP out with --only.",
    );
  }
}

/** Makes a node; everything but transport and identity comes with the options. */
export async function createNode(tcpOptions, options = {}) {
  const { createIdentity, createNode } = await load("node");
  const { tcp } = await load("tcp");
  return createNode({
    identity: createIdentity(),
    transports: [tcp(tcpOptions)],
    allowPrivateAddresses: true,
    ...options,
  });
}

/** Makes and starts one. @param known - Contact records that it knows beforehand. */
export async function startNode(tcpOptions, options = {}, known = []) {
  const node = await createNode(tcpOptions, options);
  for (const record of known) node.learn(fromHex(record));
  await node.start();
  return node;
}

/** The message types: without schemas bodies and replies are raw bytes. */
export async function messageTypes() {
  const { defineMessage } = await load("node");
  return { note: defineMessage("bench/note"), echo: defineMessage("bench/echo") };
}

export async function serveMessages(node, handlers) {
  const { note, echo } = await messageTypes();
  node.handle(note, ({ body }) => handlers.onMessage(body));
  node.handle(echo, ({ body }) => handlers.onRequest(body));
}

/** What a dialer does with one peer, whose contact record it was given. */
export async function talkTo(node, contactRecord, sendOptions) {
  const { note, echo } = await messageTypes();
  const peerId = node.learn(fromHex(contactRecord));
  return {
    sendMany: (body, count) => sendMany(count, body.byteLength, () => node.send(peerId, note, body, sendOptions)),
    request: (body) => node.request(peerId, echo, body),
    async close() {},
  };
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

export function toHex(bytes) {
  return Buffer.from(bytes).toString("hex");
}

export function fromHex(text) {
  return new Uint8Array(Buffer.from(text, "hex"));
}
