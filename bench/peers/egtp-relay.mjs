// EGTP through a relay: both peers are registered with it and accept no connections. It keeps mail in LMDB, and says
// "stored" when that is on disk; what its recipient takes at once is never written. What the peers say to each other is
// sealed between them, and once more to and from the relay; each message has a receipt from its recipient.

import { join } from "node:path";
import * as egtp from "../lib/egtp-node.mjs";

export const title = "EGTP, through a relay with mailboxes in LMDB, synced to disk before it says stored";
export const packageFile = egtp.packageFileOf("relay");
export const calls =
  "relayServer, LmdbMailboxStore.open, relayClient, createNode, defineMessage, node.learn, node.handle, node.send, node.request, LmdbSessionStore.open";

export const checkBuilt = () => egtp.checkBuilt("node", "tcp", "sessionStore", "relay", "relayServer", "relayStore");

// What one sender may pass along is bounded, and how much of a mailbox is his. That is not what is measured.
const boundless = { messages: { burst: 1e9, perSecond: 1e9 }, bytes: { burst: 1e12, perSecond: 1e12 } };
const serverLimits = {
  registeredSender: boundless,
  stranger: boundless,
  strangers: boundless,
  newMailboxes: { burst: 1e6, perSecond: 1e6 },
};
const roomyMailbox = { maxMessages: 1e6, maxBytes: 1e9 };
const mailboxLimits = {
  ...roomyMailbox,
  maxSenderMessages: roomyMailbox.maxMessages,
  maxSenderBytes: roomyMailbox.maxBytes,
  maxStrangerMessages: roomyMailbox.maxMessages,
  maxStrangerBytes: roomyMailbox.maxBytes,
};

// A message counts when its recipient has it, also when the relay had to write it down meanwhile.
const untilDelivered = { softTimeoutMs: 60_000 };

export async function serve({ folder }) {
  const { relayServer } = await egtp.load("relayServer");
  const { LmdbMailboxStore } = await egtp.load("relayStore");
  const store = await LmdbMailboxStore.open(join(folder, "mailboxes"), { limits: mailboxLimits });
  const relay = relayServer({ store, limits: serverLimits });
  const node = await egtp.startNode(egtp.listening, { parts: [relay], services: ["relay"] });
  return { address: { peer: node.peerId, contactRecord: egtp.toHex(node.contactRecord) } };
}

export async function listen(_material, handlers, relay) {
  const node = await register(relay);
  await egtp.serveMessages(node, handlers);
  return { address: { contactRecord: egtp.toHex(node.contactRecord) } };
}

export async function createDialer(_material, relay) {
  const node = await register(relay);
  return {
    connect: ({ contactRecord }) => egtp.talkTo(node, contactRecord, untilDelivered),
    close: () => node.stop(),
  };
}

/** A node that can be reached by way of the relay only, and is when this resolves. */
export async function register({ peer, contactRecord }, options = {}) {
  const { relayClient } = await egtp.load("relay");
  const parts = [relayClient({ relays: [peer] })];
  const node = await egtp.startNode(egtp.dialling, { ...options, parts }, [contactRecord]);
  if (node.contactRecord === undefined) throw new Error("the relay took no registration");
  return node;
}

// ---- Mail for somebody who is away

/** A recipient with a name and sessions that last. It registers with the relay, and stops. */
export async function openMailbox(relay, folder) {
  const { createIdentity } = await egtp.load("node");
  const { LmdbSessionStore } = await egtp.load("sessionStore");
  const identity = createIdentity();
  const appear = async () => {
    const sessions = await LmdbSessionStore.open(join(folder, identity.peer));
    return register(relay, { identity, sessions });
  };
  const node = await appear();
  const contactRecord = egtp.toHex(node.contactRecord);
  await node.stop();
  return { address: { contactRecord }, collect: (count, onMessage) => collect(appear, count, onMessage) };
}

/** Comes back, and waits until the last mail is handed over. The relay hears of it in the turns after, or at the end. */
async function collect(appear, count, onMessage) {
  const { note } = await egtp.messageTypes();
  const node = await appear();
  await new Promise((resolve) => {
    let taken = 0;
    node.handle(note, ({ body }) => {
      onMessage(body);
      if (++taken === count) resolve();
    });
  });
  return () => node.stop();
}

let sender; // one for all mailboxes

export async function createSender({ peer, contactRecord }, recipient) {
  const { note } = await egtp.messageTypes();
  const { relayClient } = await egtp.load("relay");
  sender ??= await egtp.startNode(egtp.dialling, { parts: [relayClient({ count: 0 })] }, [contactRecord]);
  const peerId = sender.learn(egtp.fromHex(recipient.contactRecord));
  return {
    async leave(body) {
      const outcome = await sender.send(peerId, note, body, { softTimeoutMs: 0 });
      if (outcome.state !== "stored" || outcome.relay !== peer) throw new Error(`a message was ${outcome.state}`);
    },
  };
}
