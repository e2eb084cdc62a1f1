/**
 * Two identities in one process, as of somebody who is somebody else at work: each has a node, a key and sessions of its own,
 * and both share one port. Nobody outside can tell that they are one person, except by the address.
 */
import { createIdentity, createNode, defineMessage } from "@egtp/node";
import { tcp } from "@egtp/node/tcp";
import { verifyContactRecord } from "@egtp/wire";
import { z } from "zod";

const hello = defineMessage("example/hello", { body: z.object({ text: z.string() }), reply: z.string() });
const port = tcp({ host: "127.0.0.1" });

async function open(name: string) {
  const node = await createNode({ identity: createIdentity(), transports: [port], allowPrivateAddresses: true });
  node.handle(hello, ({ body }) => `${name} heard "${body.text}"`);
  await node.start();
  return node;
}
await using work = await open("the one at work");
await using home = await open("the one at home");

await using friend = await createNode({
  identity: createIdentity(),
  transports: [tcp({ listen: false })],
  allowPrivateAddresses: true,
});
await friend.start();
for (const node of [work, home]) friend.learn(node.contactRecord!);

console.log(await friend.request(work.peerId, hello, { text: "the report" }));
console.log(await friend.request(home.peerId, hello, { text: "dinner?" }));
console.log("one key:", work.peerId === home.peerId, "- one port:", portOf(work) === portOf(home));

// They can talk to each other like any other two.
home.learn(work.contactRecord!);
console.log(await home.request(work.peerId, hello, { text: "note to self" }));

function portOf({ contactRecord }: typeof work): number | undefined {
  const [strategy] = verifyContactRecord(contactRecord!, Date.now()).strategies;
  return strategy?.kind === "tcp" ? strategy.port : undefined;
}

/* prints
the one at work heard "the report"
the one at home heard "dinner?"
one key: false - one port: true
the one at work heard "note to self"
*/
