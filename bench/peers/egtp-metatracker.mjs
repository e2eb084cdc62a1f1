// Look-ups at one EGTP metatracker with its records in memory. The client verifies each record that it gets. Nothing is
// answered from a cache: each client asks for each peer once.

import * as egtp from "../lib/egtp-node.mjs";

export const title = "EGTP, look-ups at one metatracker";
export const packageFile = egtp.packageFileOf("metatracker");
export const calls = "metatrackerServer, metatrackers, createNode, node.advertise, verifyContactRecord, node.lookUp";

export const checkBuilt = () => egtp.checkBuilt("node", "tcp", "metatracker", "metatrackerServer");

// How much one peer may ask is bounded. That is not what is measured.
const boundless = { burst: 1e9, perSecond: 1e9 };
const rates = { publish: boundless, ask: boundless, strangersPublish: boundless, strangersAsk: boundless };
const publishedAtOnce = 16;

export async function serve() {
  const { metatrackerServer } = await egtp.load("metatrackerServer");
  const node = await egtp.startNode(egtp.listening, {
    parts: [metatrackerServer({ rates })],
    services: ["metatracker"],
  });
  const { verifyContactRecord } = await egtp.load("wire");
  const { strategies } = verifyContactRecord(node.contactRecord, Date.now());
  return { address: { peer: node.peerId, strategies } };
}

/** Peers that say where they are, and go. */
export async function publish(metatracker, count) {
  const peers = [];
  for (let at = 0; at < count; at += publishedAtOnce) {
    const batch = Array.from({ length: Math.min(publishedAtOnce, count - at) }, () => publishOne(metatracker));
    peers.push(...(await Promise.all(batch)));
  }
  return peers;
}

async function publishOne(metatracker) {
  const node = await startClient(metatracker, [{ kind: "tcp", host: "192.0.2.1", port: 4000 }]);
  await node.stop();
  return node.peerId;
}

export async function createLookUpClient(metatracker) {
  const node = await startClient(metatracker, []);
  return {
    async lookUp(peer) {
      if ((await node.lookUp(peer)) === undefined) throw new Error(`${peer} is not known`);
    },
    close: () => node.stop(),
  };
}

async function startClient(metatracker, advertised) {
  const { metatrackers } = await egtp.load("metatracker");
  const node = await egtp.createNode(egtp.dialling, { lookup: metatrackers({ metatrackers: [metatracker] }) });
  if (advertised.length > 0) node.advertise(advertised);
  await node.start();
  return node;
}
