/**
 * An agent behind a NAT, with an inbox that never closes: tasks are left for it while it is off, and it leaves the results for
 * whoever is off by then. Neither of the two accepts connections; they know each other's ID and where a metatracker is.
 *
 * Each task is done once, though the agent is killed in the midst of its work: a message that comes again has the same ID.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { metatrackers } from "@egtp/metatracker";
import { createNode, defineMessage, type EgtpNode } from "@egtp/node";
import { loadIdentity } from "@egtp/node/files";
import { tcp } from "@egtp/node/tcp";
import { relayClient } from "@egtp/relay";
import { LmdbSessionStore } from "@egtp/session-store/lmdb";
import { z } from "zod";
import { DoneOnce } from "./agent-inbox/done-once.ts";
import { startServers } from "./agent-inbox/servers.ts";

const task = defineMessage("agent/task", { body: z.object({ add: z.array(z.number()) }) });
const result = defineMessage("agent/result", { body: z.object({ task: z.string(), sum: z.number() }) });

const folder = await mkdtemp(join(tmpdir(), "agent-inbox-"));
const servers = await startServers(); // in real life somebody else's, found by a boot page

/** A node as both sides have it: a key and sessions on disk, no port. */
async function openNode(name: string): Promise<EgtpNode> {
  const node = await createNode({
    identity: await loadIdentity(join(folder, `${name}.key`)),
    sessions: await LmdbSessionStore.open(join(folder, `${name}.sessions`)),
    transports: [tcp({ listen: false })],
    lookup: metatrackers({ metatrackers: servers.metatrackers }),
    parts: [relayClient()],
    keepOutbox: true, // what is not delivered yet goes on after a restart
    allowPrivateAddresses: true, // the servers of this example are on this machine
  });
  return node;
}

const patient = { failFast: false, softTimeoutMs: 200, timeoutMs: 7 * 86_400_000 };

/** @returns The agent, and what resolves when it has left that many results. */
async function startAgent(tasks: number): Promise<{ node: EgtpNode; isDone: Promise<void> }> {
  const node = await openNode("agent");
  let left = tasks;
  let finish = () => {};
  const isDone = new Promise<void>((resolve) => {
    finish = resolve;
  });
  const done = await DoneOnce.open(join(folder, "agent.done"));
  node.handle(task, async ({ from, messageId, body }) => {
    await done.once(messageId, () => console.log(`agent: adds ${body.add.join(" and ")}`));
    const sum = body.add.reduce((a, b) => a + b, 0);
    const { state } = await node.send(from, result, { task: body.add.join("+"), sum }, patient);
    console.log(`agent: its result is ${state}`);
    if (--left === 0) finish();
  });
  await node.start();
  return { node, isDone };
}

// The agent has been here before: a relay keeps its mail from then on.
let agent = await startAgent(0);
const agentId = agent.node.peerId;
await agent.node.stop();

let client = await openNode("client");
await client.start();
for (const add of [
  [1, 2],
  [3, 4, 5],
]) {
  const { state } = await client.send(agentId, task, { add }, patient);
  console.log(`client: task ${add.join("+")} is ${state}`);
}
await client.stop();
console.log("client: goes to sleep");

agent = await startAgent(2);
await agent.isDone;
await agent.node.stop();
console.log("agent: goes to sleep");

client = await openNode("client");
const results = new Map<string, number>(); // in whatever order they come: no order is promised
const isComplete = new Promise<void>((resolve) => {
  client.handle(result, ({ body }) => {
    results.set(body.task, body.sum);
    if (results.size === 2) resolve();
  });
});
await client.start();
await isComplete;
for (const name of ["1+2", "3+4+5"]) console.log(`client: ${name} = ${results.get(name)}`);
await client.stop();
await servers.stop();
await rm(folder, { recursive: true });

/* prints
client: task 1+2 is stored
client: task 3+4+5 is stored
client: goes to sleep
agent: adds 1 and 2
agent: adds 3 and 4 and 5
agent: its result is stored
agent: its result is stored
agent: goes to sleep
client: 1+2 = 3
client: 3+4+5 = 12
*/
