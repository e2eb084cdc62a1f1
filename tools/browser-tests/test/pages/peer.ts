/** A tab that is a peer, as a page of a user would be one; peers.slow.test.ts tells it what to do. */
import { metatrackers } from "@egtp/metatracker";
import { createNode, type EgtpNode, identityFromSeed, type PeerId } from "@egtp/node";
import { loadIdentity } from "@egtp/node/browser-identity";
import { websocket } from "@egtp/node/websocket";
import { relayClient } from "@egtp/relay";
import { IndexedDbSessionStore } from "@egtp/session-store/indexeddb";
import { ask, note } from "../messages.ts";

let node: EgtpNode;
let sessions: IndexedDbSessionStore;

globalThis.peer = {
  start: async ({ name, bootPage, seed }) => {
    const identity = seed === undefined ? await loadIdentity(name) : identityFromSeed(Uint8Array.from(seed));
    sessions = await IndexedDbSessionStore.open(name);
    node = await createNode({
      identity,
      sessions,
      transports: [websocket()],
      lookup: metatrackers({ bootPages: [bootPage] }),
      parts: [relayClient()],
      allowPrivateAddresses: true, // the servers of this test are on this machine
    });
    node.handle(note, ({ from, messageId, body }) => globalThis.tell(name, { from, messageId, n: body.n }));
    node.handle(ask, ({ body }) => ({ n: body.n + 1 }));
    await node.start();
    return { peer: node.peerId, seed: [...identity.exportSeed()] };
  },
  stop: () => node.stop(),
  ask: async (other, n) => (await node.request(other, ask, { n }, { failFast: false })).n,
  send: async (other, n) => (await node.send(other, note, { n }, { failFast: false })).state,
  sessions: (other) => node.sessions(other).length,
  transports: () => node.links().map(({ transport }) => transport),
};

export interface Told {
  readonly from: PeerId;
  readonly messageId: string;
  readonly n: number;
}

declare global {
  /** Of the test: what a tab was sent. Resolves when it is written down. */
  var tell: (name: string, what: Told) => Promise<void>;
  var peer: {
    start(options: { name: string; bootPage: string; seed?: number[] }): Promise<{ peer: PeerId; seed: number[] }>;
    stop(): Promise<void>;
    ask(other: PeerId, n: number): Promise<number>;
    send(other: PeerId, n: number): Promise<string>;
    sessions(other: PeerId): number;
    transports(): string[];
  };
}
