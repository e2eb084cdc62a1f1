/** The plugin: a node whose only way in is its standard input. */
import { join } from "node:path";
import { Readable, Writable } from "node:stream";
import { createNode, defineMessage } from "@egtp/node";
import { loadIdentity } from "@egtp/node/files";
import { streams } from "@egtp/node/streams";
import { z } from "zod";
import { FileStore } from "./file-store.ts";

const shout = defineMessage("plugin/shout", { body: z.string(), reply: z.string() });

const folder = process.argv[2]!;
const node = await createNode({
  identity: await loadIdentity(join(folder, "plugin.key")),
  sessions: new FileStore(join(folder, "plugin.sessions")),
  transports: [
    streams({
      kind: "x-pipe",
      listen: async (accept) => {
        accept(
          {
            readable: Readable.toWeb(process.stdin) as unknown as ReadableStream<Uint8Array>,
            writable: Writable.toWeb(process.stdout) as WritableStream<Uint8Array>,
          },
          "parent",
        );
        return { addresses: ["plugin"], close: () => {} };
      },
    }),
  ],
});
node.handle(shout, ({ body }) => body.toUpperCase());
await node.start();
console.error(node.peerId);
