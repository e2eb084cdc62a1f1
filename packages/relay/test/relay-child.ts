/**
 * Run as a process of its own: a relay with the key `argv[2]`, on the transport `argv[3]`, with its mailboxes in the folder
 * `argv[4]`. Says its contact record once it listens. Its end is a kill.
 */
import { createNode, identityFromSeed } from "@egtp/node";
import { tcp } from "@egtp/node/tcp";
import { websocket } from "@egtp/node/websocket";
import { fromHex, toHex } from "@egtp/wire";
import { LmdbMailboxStore } from "../src/nodejs/lmdb.ts";
import { relayServer } from "../src/server.ts";

const [, , seed = "", kind, folder = ""] = process.argv;
const address = { host: "127.0.0.1", port: 0 };
const node = await createNode({
  identity: identityFromSeed(fromHex(seed)),
  transports: [kind === "websocket" ? websocket(address) : tcp(address)],
  parts: [relayServer({ store: await LmdbMailboxStore.open(folder) })],
  services: ["relay"],
});
await node.start();
console.log(toHex(node.contactRecord!));
