/** The relay client over real sockets, with relays in processes of their own that are killed. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { createIdentity, createNode, type EgtpNode, type Identity, MemoryLookup, type PeerId } from "@egtp/node";
import { tcp } from "@egtp/node/tcp";
import { websocket } from "@egtp/node/websocket";
import { defineMessage, fromHex, toHex } from "@egtp/wire";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type RelayClient, type RelayClientOptions, relayClient } from "../src/index.ts";

const note = defineMessage("test/note");
const main = fileURLToPath(new URL("relay-child.ts", import.meta.url));
const root = fileURLToPath(new URL("../../..", import.meta.url));

type Kind = "tcp" | "websocket";

let folder: string;
let lookup: MemoryLookup;
const relays = new Set<RelayProcess>();
const nodes: EgtpNode[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "egtp-relay-"));
  lookup = new MemoryLookup();
});

afterEach(async () => {
  await Promise.all(nodes.splice(0).map((node) => node.stop()));
  await Promise.all([...relays].map((relay) => relay.kill()));
  await rm(folder, { recursive: true });
});

class RelayProcess {
  readonly identity: Identity;
  readonly #kind: Kind;
  readonly #folder: string;
  #process: ChildProcess | undefined;

  constructor(kind: Kind, name: string) {
    this.identity = createIdentity();
    this.#kind = kind;
    this.#folder = join(folder, name);
    relays.add(this);
  }

  /** Starts it, and makes known where it is. */
  async start(): Promise<void> {
    const seed = toHex(this.identity.exportSeed());
    const args = ["--conditions=@egtp/source", "--import", "tsx", main, seed, this.#kind, this.#folder];
    this.#process = spawn(process.execPath, args, { cwd: root, stdio: ["ignore", "pipe", "inherit"] });
    const lines = createInterface({ input: this.#process.stdout! });
    const [record] = (await once(lines, "line")) as [string];
    await lookup.publish(fromHex(record));
  }

  async kill(): Promise<void> {
    const running = this.#process;
    this.#process = undefined;
    if (running === undefined) return;
    running.kill("SIGKILL");
    await once(running, "exit");
  }
}

interface Peer {
  readonly node: EgtpNode;
  readonly client: RelayClient;
  readonly heard: number[];
  readonly times: number[];
}

/** A peer that accepts no connections. */
async function peer(kind: Kind, identity = createIdentity(), options: RelayClientOptions = {}): Promise<Peer> {
  const client = relayClient(options);
  const node = await createNode({
    identity,
    transports: [kind === "websocket" ? websocket() : tcp({ listen: false })],
    lookup,
    parts: [client],
    allowPrivateAddresses: true,
  });
  nodes.push(node);
  const heard: number[] = [];
  const times: number[] = [];
  node.handle(note, ({ body }) => {
    heard.push(new DataView(body.buffer, body.byteOffset).getUint32(0));
    times.push(performance.now());
  });
  await node.start();
  return { node, client, heard, times };
}

function numbered(number: number): Uint8Array {
  const body = new Uint8Array(100);
  new DataView(body.buffer).setUint32(0, number);
  return body;
}

const upTo = (count: number): number[] => Array.from({ length: count }, (_, n) => n);

/** Resolves when so much was heard. */
async function hears(node: EgtpNode, heard: readonly number[], count: number): Promise<void> {
  for await (const _ of node.events({ kinds: ["message"] })) if (heard.length >= count) return;
}

describe.each(["tcp", "websocket"] as const)("over %s", (kind) => {
  test("two peers talk, and leave each other mail across a kill -9 of the relay", async () => {
    const relay = new RelayProcess(kind, "relay");
    await relay.start();
    const alice = await peer(kind);
    const identity = createIdentity();
    const bob = await peer(kind, identity);
    expect(await alice.node.send(bob.node.peerId, note, numbered(0))).toEqual({ state: "delivered" });
    expect(await bob.node.send(alice.node.peerId, note, numbered(0))).toEqual({ state: "delivered" });

    await bob.node.stop();
    const mail = upTo(200).map((n) => alice.node.send(bob.node.peerId, note, numbered(n), { softTimeoutMs: 1 }));
    const states = new Set((await Promise.all(mail)).map(({ state }) => state));
    expect(states).toEqual(new Set(["stored"]));
    await relay.kill();
    await relay.start();
    const back = await peer(kind, identity);
    if (back.heard.length < 200) await hears(back.node, back.heard, 200);
    // It had its sessions in memory: what was left is sent again by its sender.
    expect(new Set(back.heard)).toEqual(new Set(upTo(200)));
    expect(back.heard).toHaveLength(200);
  });
});

test("a relay that is killed under load: the other goes on within two seconds, and nothing is lost", async () => {
  const both = new Map<PeerId, RelayProcess>();
  for (const name of ["one", "two"]) {
    const relay = new RelayProcess("tcp", name);
    await relay.start();
    both.set(relay.identity.peer, relay);
  }
  const alice = await peer("tcp");
  const bob = await peer("tcp");
  const outcomes = [alice.node.send(bob.node.peerId, note, numbered(0))];
  await outcomes[0];
  const stream = setInterval(() => {
    outcomes.push(alice.node.send(bob.node.peerId, note, numbered(outcomes.length)));
  }, 2);
  await hears(bob.node, bob.heard, 100);
  const used = alice.node
    .links()
    .find(({ transport }) => transport === "relay")!
    .remote.slice("relay ".length);
  await both.get(used as PeerId)!.kill();
  const killed = bob.heard.length;
  await hears(bob.node, bob.heard, killed + 200);
  clearInterval(stream);
  expect(new Set((await Promise.all(outcomes)).map(({ state }) => state))).toEqual(new Set(["delivered"]));
  expect(bob.heard.toSorted((a, b) => a - b)).toEqual(upTo(outcomes.length));
  const pauses = bob.times.map((time, at) => time - (bob.times[at - 1] ?? time));
  expect(Math.max(...pauses)).toBeLessThan(2_000);
});
