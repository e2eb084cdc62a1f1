// EGTP itself: direct TCP, memory stores, delivery with receipts. The first request to a peer makes the session, so a
// first contact is timed from `request` on.

import * as egtp from "../lib/egtp-node.mjs";

export const title = "EGTP, direct tcp, with receipts";
export const packageFile = egtp.packageFileOf("node");
export const calls = "createNode, defineMessage, node.handle, node.send, node.request";

export const checkBuilt = () => egtp.checkBuilt("node", "tcp");

export async function listen(_material, handlers) {
  const node = await egtp.startNode(egtp.listening);
  await egtp.serveMessages(node, handlers);
  return { address: { contactRecord: egtp.toHex(node.contactRecord) } };
}

export async function createDialer() {
  const node = await egtp.startNode(egtp.dialling);
  return {
    connect: ({ contactRecord }) => egtp.talkTo(node, contactRecord),
    close: () => node.stop(),
  };
}
