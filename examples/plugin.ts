/**
 * A stack of one's own: a program talks to its plugin, a process behind two pipes, by a transport and a session store that are
 * written here, and without any directory. The plugin is who its key says, whatever is between the two, and it may be killed
 * at any time: its next run reads what was under way.
 */
import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { Readable, Writable } from "node:stream";
import { fileURLToPath } from "node:url";
import { createIdentity, createNode, defineMessage, parsePeerId } from "@egtp/node";
import { type ByteStreams, streams } from "@egtp/node/streams";
import { z } from "zod";

export const shout = defineMessage("plugin/shout", { body: z.string(), reply: z.string() });

const folder = await mkdtemp(join(tmpdir(), "plugin-"));
const program = fileURLToPath(new URL("./plugin/child.ts", import.meta.url));

/** Starts the plugin. Its first line on standard error is its ID; what it says otherwise goes over the pipes. */
async function startPlugin() {
  const child = spawn(process.execPath, [...process.execArgv, program, folder]);
  const [id] = await new Promise<string[]>((resolve) => {
    createInterface({ input: child.stderr }).once("line", (line) => resolve([line]));
  });
  return { child, peer: parsePeerId(id!) };
}
let plugin = await startPlugin();

const node = await createNode({
  identity: createIdentity(),
  transports: [
    streams({
      kind: "x-pipe",
      // Each run of the plugin is one connection.
      dial: async () => pipesOf(plugin.child),
    }),
  ],
});
await node.start();
node.introduce(plugin.peer, [{ kind: "x-pipe", address: "plugin" }]);
console.log(await node.request(plugin.peer, shout, "hello"));

const ended = new Promise((resolve) => plugin.child.once("exit", resolve));
plugin.child.kill("SIGKILL");
await ended;
plugin = await startPlugin();
console.log(await node.request(plugin.peer, shout, "still there?", { failFast: false }));

await node.stop();
plugin.child.kill();
await rm(folder, { recursive: true });

function pipesOf({ stdin, stdout }: ReturnType<typeof spawn>): ByteStreams {
  return {
    readable: Readable.toWeb(stdout!) as unknown as ReadableStream<Uint8Array>,
    writable: Writable.toWeb(stdin!) as WritableStream<Uint8Array>,
  };
}

/* prints
HELLO
STILL THERE?
*/
