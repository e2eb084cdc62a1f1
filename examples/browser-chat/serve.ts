/**
 * What the chat needs, behind one port of this machine until Ctrl-C: the page, bundled by Vite; a metatracker; its boot page; a
 * relay. In real life the last three are somebody else's: then the page is a few files on any web server.
 */
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import { metatrackers } from "@egtp/metatracker";
import { BootPageMaker, metatrackerServer } from "@egtp/metatracker/server";
import { createIdentity, createNode } from "@egtp/node";
import { websocket } from "@egtp/node/websocket";
import { relayServer } from "@egtp/relay/server";
import { build, type Rolldown } from "vite";

const { output } = (await build({
  root: fileURLToPath(new URL(".", import.meta.url)),
  logLevel: "error",
  resolve: { conditions: ["@egtp/source", "module", "browser", "production"] }, // not needed outside this repository
  build: { write: false, target: "es2023" },
})) as Rolldown.RolldownOutput;
const files = new Map(output.map((file) => [file.fileName, file.type === "chunk" ? file.code : file.source]));

const server = createServer((request, response) => {
  const { pathname } = new URL(request.url ?? "/", "http://localhost");
  const name = pathname === "/" ? "index.html" : pathname.slice(1);
  response.setHeader("content-type", name.endsWith(".js") ? "text/javascript" : "text/html; charset=utf-8");
  if (name === "boot.json") void bootPage.page().then(({ bytes }) => response.end(bytes));
  else response.writeHead(files.has(name) ? 200 : 404).end(files.get(name));
});
await once(server.listen(Number(process.argv[2] ?? 0), "127.0.0.1"), "listening");
const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
const behind = (path: string) => ({
  transports: [websocket({ server, path, publicUrl: `ws://${host}${path}` })],
  allowPrivateAddresses: true, // all of this is on one machine
});

const identity = createIdentity();
const parts = [metatrackerServer()];
const directory = await createNode({ ...behind("/metatracker"), identity, services: ["metatracker"], parts });
await directory.start();
const bootPage = new BootPageMaker({ identity, records: () => [directory.contactRecord!] });
const bootPageUrl = `http://${host}/boot.json#${directory.peerId}`; // signed by that peer, whoever hands it out

const relay = await createNode({
  ...behind("/relay"),
  identity: createIdentity(),
  services: ["relay"],
  parts: [relayServer()],
  lookup: metatrackers({ bootPages: [bootPageUrl] }),
});
await relay.start();
console.log(`http://${host}/?boot=${encodeURIComponent(bootPageUrl)}`);
