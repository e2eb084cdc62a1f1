/**
 * Run as a process of its own, until it is killed: a node above an LMDB store that keeps its outbox and sends messages. It
 * says `kept` when all of them are in the store.
 *
 *     kept-sender.ts <folder of the store> <seed, hexadecimal> <recipient> <its port> <how many messages>
 */
import { identityFromSeed } from "@egtp/mesgen";
import type { StoreEntry } from "@egtp/session-store";
import { LmdbSessionStore } from "@egtp/session-store/lmdb";
import { defineMessage, fromHex, parsePeerId } from "@egtp/wire";
import { createNode } from "../src/index.ts";
import { tcp } from "../src/nodejs/tcp.ts";

const [folder, seed, recipient, port, count] = process.argv.slice(2) as [string, string, string, string, string];
const store = await LmdbSessionStore.open(folder);
const kept = new Set<string>();
const write = store.write.bind(store);
store.write = (batch: readonly StoreEntry[]) => {
  const written = write(batch);
  for (const [key, value] of batch) if (key.startsWith("o:") && value !== undefined) kept.add(key);
  if (kept.size === Number(count)) console.log("kept");
  return written;
};
const node = await createNode({
  identity: identityFromSeed(fromHex(seed)),
  sessions: store,
  keepOutbox: true,
  transports: [tcp({ host: "127.0.0.1", port: 0 })],
});
await node.start();
const peer = parsePeerId(recipient);
node.introduce(peer, [{ kind: "tcp", host: "127.0.0.1", port: Number(port) }]);
const note = defineMessage("test/note");
for (let i = 0; i < Number(count); i++) {
  void node.send(peer, note, Uint8Array.of(i >> 8, i), { failFast: false, timeoutMs: 3_600_000 });
}
