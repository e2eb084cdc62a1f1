/** `egtp-relay` as a process, with real nodes over TCP and WebSocket; and how it ends when it cannot do its work. */
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runProgram } from "@egtp/metatracker/command";
import { createIdentity, createNode, defineMessage, type EgtpNode, type Identity, type Transport } from "@egtp/node";
import { tcp } from "@egtp/node/tcp";
import { websocket } from "@egtp/node/websocket";
import { LmdbSessionStore } from "@egtp/session-store/lmdb";
import { type Listening, ServerProcess } from "@egtp/test-kit/server-process";
import { parsePeerId, verifyBootPage, verifyContactRecord } from "@egtp/wire";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { type RelayClient, relayClient } from "../src/index.ts";
import { relayCommand, relayUsage } from "../src/nodejs/relay-command.ts";

const main = new URL("../src/nodejs/main.ts", import.meta.url);
const note = defineMessage("test/note");

let folder: string;
const cleanups: (() => unknown)[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "egtp-relay-"));
});
afterEach(async () => {
  vi.restoreAllMocks();
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  rmSync(folder, { recursive: true, force: true });
});

const data = () => join(folder, "data");
const upTo = (count: number) => Array.from({ length: count }, (_, n) => n);

async function start(...args: readonly string[]): Promise<{ relay: ServerProcess; place: Listening }> {
  const relay = new ServerProcess(main, "--data", data(), "--host", "127.0.0.1", "--port", "0", ...args);
  cleanups.push(() => relay.kill());
  return { relay, place: await relay.listening() };
}

interface Peer {
  readonly node: EgtpNode;
  readonly client: RelayClient;
  /** The first bytes of what it was sent. */
  readonly heard: number[];
}

interface PeerOptions {
  readonly identity?: Identity;
  readonly sessions?: LmdbSessionStore;
  readonly transport?: Transport;
}

/** A peer that accepts no connections and knows the relay. */
async function peer({ peer: relay }: Listening, options: PeerOptions = {}): Promise<Peer> {
  const { identity = createIdentity(), sessions, transport = tcp({ listen: false }) } = options;
  const client = relayClient({ relays: [parsePeerId(relay)], count: 1 });
  const node = await createNode({
    identity,
    transports: [transport],
    parts: [client],
    allowPrivateAddresses: true,
    ...(sessions !== undefined && { sessions }),
  });
  cleanups.push(() => node.stop());
  node.learn(readFileSync(join(data(), "contact.record")));
  const heard: number[] = [];
  node.handle(note, ({ body }) => {
    heard.push(body[0]!);
  });
  await node.start();
  return { node, client, heard };
}

/** One line of the metrics. */
async function metric({ metrics }: Listening, name: string): Promise<number> {
  const text = await (await fetch(`${metrics}/metrics`)).text();
  const line = text.split("\n").find((each) => each.startsWith(`${name} `));
  return Number(line?.slice(name.length + 1));
}

describe("a relay that was started by hand", () => {
  test("keeps mail on disk across kill -9, tells how it is, and ends when it is asked to", async () => {
    const first = await start("--metrics-port", "0", "--bootpage-port", "0");
    expect(statSync(data()).mode & 0o777).toBe(0o700);
    const page = new Uint8Array(await (await fetch(first.place.bootPage)).arrayBuffer());
    expect(verifyBootPage(page, Date.now()).records).toHaveLength(1);
    expect(verifyContactRecord(readFileSync(join(data(), "contact.record")), Date.now()).services).toEqual(["relay"]);

    const identity = createIdentity();
    const openSessions = () => LmdbSessionStore.open(join(folder, "alice"));
    const before = await peer(first.place, { identity, sessions: await openSessions() });
    const record = before.node.contactRecord!;
    const bob = await peer(first.place);
    bob.node.learn(record);
    expect(await bob.node.send(identity.peer, note, Uint8Array.of(0))).toEqual({ state: "delivered" });
    await before.node.stop();

    const sent = upTo(50).map((n) => bob.node.send(identity.peer, note, Uint8Array.of(n), { softTimeoutMs: 1 }));
    const outcomes = await Promise.all(sent);
    expect(outcomes.map(({ state }) => state)).toEqual(upTo(50).map(() => "stored"));
    expect(await (await fetch(`${first.place.metrics}/health`)).json()).toEqual({ status: "ok" });
    const waiting = await metric(first.place, "egtp_relay_waiting");
    expect(waiting).toBeGreaterThan(0);
    expect(await metric(first.place, "egtp_relay_passed_total")).toBeGreaterThan(0);
    await first.relay.kill();

    const second = await start("--metrics-port", "0");
    expect(second.place.peer).toBe(first.place.peer);
    expect(await metric(second.place, "egtp_relay_found")).toBe(waiting);
    const after = await peer(second.place, { identity, sessions: await openSessions() });
    await vi.waitFor(() => expect(after.heard).toHaveLength(50), { timeout: 20_000, interval: 20 });
    expect(after.heard).toEqual(upTo(50));
    await vi.waitFor(async () => expect(await metric(second.place, "egtp_relay_waiting")).toBe(0), { timeout: 20_000 });
    second.relay.signal("SIGTERM");
    expect(await second.relay.ended).toEqual({ code: 0, stderr: "" });
    await second.relay.event("stopped");
  });

  test("takes WebSockets, and registers those on its list", async () => {
    const [one, two] = [createIdentity(), createIdentity()];
    const list = join(folder, "allowed");
    writeFileSync(list, `# friends\n\n${one.peer} # alice\n${two.peer}\n`);
    const { place } = await start(
      "--store",
      "memory",
      "--ws-port",
      "0",
      "--access",
      "allow-list",
      "--allow-file",
      list,
    );
    const alice = await peer(place, { identity: one, transport: websocket() });
    const bob = await peer(place, { identity: two, transport: websocket() });
    const carol = await peer(place, { transport: websocket() });
    const states = [alice, bob, carol].map(({ client }) => client.stats().registrations[0]?.state);
    expect(states).toEqual(["live", "live", "refused"]);
    bob.node.learn(alice.node.contactRecord!);
    expect(await bob.node.send(one.peer, note, Uint8Array.of(7))).toEqual({ state: "delivered" });
    expect(alice.heard).toEqual([7]);
    expect(() => statSync(join(data(), "mailboxes"))).toThrow(/ENOENT/);
  });
});

/** Runs the command in this process, to its end. */
async function run(...args: readonly string[]): Promise<{ code: number; out: string; err: string }> {
  const said = { out: "", err: "" };
  const to = (stream: "out" | "err") => (text: unknown) => {
    said[stream] += String(text);
    return true;
  };
  vi.spyOn(process.stdout, "write").mockImplementation(to("out"));
  vi.spyOn(process.stderr, "write").mockImplementation(to("err"));
  const code = await runProgram({ main: { usage: relayUsage, run: relayCommand }, subcommands: {} }, args);
  return { code, ...said };
}

describe("exit code 2: the command line is wrong", () => {
  test.for([
    ["--loud", "Unknown option '--loud'"],
    ["--quota-messages 0", "--quota-messages: must be a whole number from 1"],
    ["--quota-bytes 100", "--quota-bytes: must be at least 128K"],
    ["--quota-bytes 1T", "--quota-bytes: must be a whole number, or one and K, M or G"],
    ["--ttl 22d", "--ttl: must be a whole number and s, m, h or d"],
    ["--access everybody", "--access: must be open or allow-list"],
    ["--access allow-list", "--access allow-list needs --allow-file"],
    ["--allow-file x", "--allow-file needs --access allow-list"],
    ["--store nats", "--store nats needs --nats"],
    ["--replicas 3", "--replicas needs --store nats"],
    ["--store nats --nats nats://name:secret@host:4222", "--nats: must be nats://HOST:PORT"],
  ])("%s", async ([line, text]) => {
    expect(await run(...line!.split(" "))).toMatchObject({ code: 2, out: "", err: expect.stringContaining(text!) });
  });

  test("a line of the allow file is no peer ID", async () => {
    const list = join(folder, "allowed");
    writeFileSync(list, `${createIdentity().peer}\nbob\n`);
    const { code, err } = await run("--access", "allow-list", "--allow-file", list);
    expect(err).toContain(`${list}, line 2: Not a peer ID`);
    expect(code).toBe(2);
  });

  test("--help fits a terminal", async () => {
    const { code, out } = await run("--help");
    expect(code).toBe(0);
    expect(out).toMatch(/^Usage: egtp-relay /);
    for (const line of out.split("\n")) expect(line.length).toBeLessThanOrEqual(125);
  });
});

describe("exit code 1: it cannot do its work, and nothing of it is left open", () => {
  const place = (store: string) => ["--data", data(), "--host", "127.0.0.1", "--port", "0", "--store", store];

  test("the port is in use; afterwards the folder is free", async () => {
    const taken = createServer();
    await new Promise<void>((resolve) => {
      taken.listen(0, "127.0.0.1", resolve);
    });
    cleanups.push(() => taken.close());
    const { port } = taken.address() as { port: number };
    for (let attempt = 0; attempt < 2; attempt++) {
      const { code, err } = await run(...place("lmdb"), "--port", String(port));
      expect(err).toContain("Another program listens already at");
      expect(code).toBe(1);
    }
  });

  test("the mailboxes cannot be opened where they should be", async () => {
    const { relay } = await start("--store", "memory");
    await relay.kill();
    writeFileSync(join(data(), "mailboxes"), "in the way");
    const { code, err } = await run(...place("lmdb"));
    expect(err).toContain("cannot be kept in");
    expect(code).toBe(1);
  });

  test("another relay has the folder", async () => {
    await start();
    const { code, err } = await run(...place("lmdb"));
    expect(err).toContain("is open in process");
    expect(code).toBe(1);
  });

  test("the allow file cannot be read", async () => {
    const { code, err } = await run("--access", "allow-list", "--allow-file", join(folder, "nowhere"));
    expect(err).toContain("nowhere cannot be read\n  because: ENOENT");
    expect(code).toBe(1);
  });
});
