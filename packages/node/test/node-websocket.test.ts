/** Nodes over WebSocket: found by ID, beside TCP, and healing when one of them has forgotten everything. */
import { once } from "node:events";
import http from "node:http";
import type net from "node:net";
import { createIdentity } from "@egtp/mesgen";
import { localCertificate } from "@egtp/test-kit/certificate";
import { defineMessage, type Strategy, verifyContactRecord } from "@egtp/wire";
import { afterEach, expect, test } from "vitest";
import {
  createNode,
  type EgtpNode,
  MemoryLookup,
  type NodeEvent,
  type NodeOptions,
  type SendOutcome,
} from "../src/index.ts";
import { tcp } from "../src/nodejs/tcp.ts";
import { websocket } from "../src/nodejs/websocket.ts";
import { errorOf } from "./world.ts";

const note = defineMessage("test/note");
const echo = defineMessage("test/echo");
const local = { host: "127.0.0.1" };

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

async function start(options: Partial<NodeOptions> & Pick<NodeOptions, "transports">): Promise<EgtpNode> {
  const node = await createNode({ identity: createIdentity(), allowPrivateAddresses: true, ...options });
  cleanups.push(() => node.stop());
  await node.start();
  return node;
}

/** The first event that fits. */
async function eventOf(node: EgtpNode, fits: (event: NodeEvent) => boolean): Promise<NodeEvent> {
  for await (const event of node.events()) if (fits(event)) return event;
  throw new Error("The node stopped first");
}

function addressOf(node: EgtpNode): Extract<Strategy, { kind: "websocket" }> {
  const [strategy] = verifyContactRecord(node.contactRecord!, Date.now()).strategies;
  return strategy as Extract<Strategy, { kind: "websocket" }>;
}

async function openServer(): Promise<http.Server> {
  const server = http.createServer((_request, response) => void response.end("healthy"));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  cleanups.push(() => server.close());
  return server;
}

test("requests and messages over WebSocket, found by ID through a lookup; only one of the two listens", async () => {
  const lookup = new MemoryLookup();
  const alice = await start({ lookup, transports: [websocket()] });
  const bob = await start({ lookup, transports: [websocket({ ...local, port: 0 })] });
  bob.handle(echo, ({ body }) => body);
  expect([...(await alice.request(bob.peerId, echo, Uint8Array.of(1, 2)))]).toEqual([1, 2]);
  alice.handle(note, () => {});
  expect(await bob.send(alice.peerId, note, Uint8Array.of(3))).toEqual({ state: "delivered" });
  expect(bob.stats().dials).toBe(0);
  expect(alice.links()).toMatchObject([{ transport: "websocket", direction: "outgoing" }]);
});

test("large messages over TLS, both ways at once", async () => {
  const tls = localCertificate();
  const lookup = new MemoryLookup();
  const alice = await start({ lookup, transports: [websocket({ ca: tls.cert })] });
  const bob = await start({ lookup, transports: [websocket({ ...local, port: 0, tls })] });
  const body = Uint8Array.from({ length: 3_000_000 }, (_, index) => index * 7);
  for (const node of [alice, bob]) node.handle(echo, (message) => message.body);
  const [one, other] = await Promise.all([
    alice.request(bob.peerId, echo, body),
    bob.request(alice.peerId, echo, body, { failFast: false }),
  ]);
  expect(Buffer.from(one).equals(body)).toBe(true);
  expect(Buffer.from(other).equals(body)).toBe(true);
});

test("a peer that forgot its sessions: the next message arrives, and so does what was under way", async () => {
  const server = await openServer();
  const identity = createIdentity();
  const received: number[] = [];
  const startBob = async (): Promise<EgtpNode> => {
    const bob = await start({ identity, transports: [websocket({ server })] });
    bob.handle(note, ({ body }) => void received.push(body[0]!));
    return bob;
  };
  const alice = await start({ transports: [websocket()] });
  const { port } = server.address() as net.AddressInfo;
  alice.introduce(identity.peer, [{ kind: "websocket", url: `ws://127.0.0.1:${port}/` }]);
  const before = await startBob();
  expect(await alice.send(identity.peer, note, Uint8Array.of(0))).toEqual({ state: "delivered" });
  await before.stop();
  await startBob();
  const outcomes = Array.from({ length: 20 }, (_, index) =>
    alice.send(identity.peer, note, Uint8Array.of(index + 1), { failFast: false }),
  );
  expect(await Promise.all(outcomes)).toEqual(Array(20).fill({ state: "delivered" }));
  expect(received.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 21 }, (_, index) => index));
});

test("a connection that is broken under way loses nothing", async () => {
  const server = await openServer();
  const bob = await start({ transports: [websocket({ server })] });
  const received: number[] = [];
  bob.handle(note, ({ body }) => void received.push(body[0]!));
  const sockets = new Set<net.Socket>();
  server.on("connection", (socket) => sockets.add(socket));
  const alice = await start({ transports: [websocket()] });
  const { port } = server.address() as net.AddressInfo;
  alice.introduce(bob.peerId, [{ kind: "websocket", url: `ws://127.0.0.1:${port}/` }]);
  await alice.send(bob.peerId, note, Uint8Array.of(0));
  const rest = Array.from({ length: 50 }, (_, index) => alice.send(bob.peerId, note, Uint8Array.of(index + 1)));
  for (const socket of sockets) socket.resetAndDestroy();
  expect(await Promise.all(rest)).toEqual(Array(50).fill({ state: "delivered" }));
  expect(received).toEqual(Array.from({ length: 51 }, (_, index) => index));
});

test("one dials by TCP and the other by WebSocket: both reach whoever listens at both, and each other through nobody", async () => {
  const lookup = new MemoryLookup();
  const carol = await start({ lookup, transports: [tcp(local), websocket({ ...local, port: 0 })] });
  const alice = await start({ lookup, transports: [tcp({ listen: false })] });
  const bob = await start({ lookup, transports: [websocket()] });
  carol.handle(echo, ({ body }) => body);
  for (const [node, transport] of [
    [alice, "tcp"],
    [bob, "websocket"],
  ] as const) {
    expect([...(await node.request(carol.peerId, echo, Uint8Array.of(4)))]).toEqual([4]);
    expect(node.links()).toMatchObject([{ transport, peer: carol.peerId }]);
    node.handle(note, () => {});
    expect(await carol.send(node.peerId, note, Uint8Array.of(5))).toEqual({ state: "delivered" });
  }
  expect((await alice.send(bob.peerId, note, Uint8Array.of(6))).state).toBe("unreachable");
});

test("a peer that listens by TCP and one that listens by WebSocket reach each other, whoever begins", async () => {
  for (const begins of ["tcp", "websocket"]) {
    const lookup = new MemoryLookup();
    const alice = await start({ lookup, transports: [tcp(local), websocket()] });
    const bob = await start({ lookup, transports: [tcp({ listen: false }), websocket({ ...local, port: 0 })] });
    for (const node of [alice, bob]) node.handle(note, () => {});
    const [first, second] = begins === "tcp" ? [bob, alice] : [alice, bob];
    expect(await first.send(second.peerId, note, Uint8Array.of(1))).toEqual({ state: "delivered" });
    expect(await second.send(first.peerId, note, Uint8Array.of(2))).toEqual({ state: "delivered" });
    expect(first.links()).toMatchObject([{ transport: begins }]);
  }
});

test("someone else at the URL, and nobody: the reasons are told, and the next way is tried at once", async () => {
  const alice = await start({ transports: [websocket()] });
  const bob = await start({ transports: [websocket({ ...local, port: 0 })] });
  const mallory = await start({ transports: [websocket({ ...local, port: 0 })] });
  bob.handle(note, () => {});
  const gone = await start({ transports: [websocket({ ...local, port: 0 })] });
  const [nobody, wrong, right] = [gone, mallory, bob].map(addressOf);
  await gone.stop();
  const failures: unknown[] = [];
  const watching = eventOf(alice, (event) => {
    if (event.kind === "dial-failed") failures.push((event.error as { code?: string }).code);
    return failures.length === 2;
  });
  alice.introduce(bob.peerId, [nobody!, wrong!, right!]);
  expect(await alice.send(bob.peerId, note, Uint8Array.of(1))).toEqual({ state: "delivered" });
  await watching;
  expect(failures).toEqual(["EGTP_DIAL_REFUSED", "EGTP_WRONG_PEER"]);

  const eve = await start({ transports: [websocket()] });
  eve.introduce(bob.peerId, [nobody!]);
  const outcome = await eve.send(bob.peerId, note, Uint8Array.of(1));
  expect(outcome.state).toBe("unreachable");
  const [reason] = (outcome as Extract<SendOutcome, { state: "unreachable" }>).reasons;
  expect(reason).toMatchObject({ strategy: `websocket ${nobody!.url}`, error: { code: "EGTP_DIAL_REFUSED" } });
  expect(await errorOf(eve.request(bob.peerId, echo, Uint8Array.of(1)))).toMatchObject({ code: "EGTP_UNREACHABLE" });
});

test("a node that cannot listen does not start", async () => {
  const server = await openServer();
  const { port } = server.address() as net.AddressInfo;
  const node = await createNode({ identity: createIdentity(), transports: [websocket({ ...local, port })] });
  expect(await errorOf(node.start())).toMatchObject({ code: "EGTP_ADDRESS_IN_USE" });
  const { cert } = localCertificate();
  const { key } = localCertificate();
  const other = await createNode({
    identity: createIdentity(),
    transports: [websocket({ ...local, port: 0, tls: { cert, key } })],
  });
  expect(await errorOf(other.start())).toMatchObject({ code: "EGTP_BAD_CERTIFICATE" });
});
