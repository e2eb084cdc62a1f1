/** Nodes over real sockets: the bytes counted, refusals, and what strangers send. */
import net from "node:net";
import { createIdentity, defaultCryptoProvider } from "@egtp/mesgen";
import { defineMessage, type PeerId, peerIdToBytes, type Strategy, verifyContactRecord } from "@egtp/wire";
import { afterEach, expect, test } from "vitest";
import { createDialTag } from "../src/dial-tag.ts";
import {
  createNode,
  type EgtpNode,
  MemoryLookup,
  type NodeEvent,
  type NodeOptions,
  type SendOutcome,
} from "../src/index.ts";
import { tcp } from "../src/nodejs/tcp.ts";
import { errorOf } from "./world.ts";

const note = defineMessage("test/note");
const echo = defineMessage("test/echo");

const nodes: EgtpNode[] = [];
afterEach(async () => {
  await Promise.all(nodes.splice(0).map((node) => node.stop()));
});

async function start(options: Partial<NodeOptions> = {}): Promise<EgtpNode> {
  const node = await createNode({
    identity: createIdentity(),
    transports: [tcp({ host: "127.0.0.1" })],
    allowPrivateAddresses: true,
    ...options,
  });
  nodes.push(node);
  await node.start();
  return node;
}

function addressOf(node: EgtpNode): Extract<Strategy, { kind: "tcp" }> {
  const [strategy] = verifyContactRecord(node.contactRecord!, Date.now()).strategies;
  return strategy as Extract<Strategy, { kind: "tcp" }>;
}

/** The first event that fits. */
async function eventOf(node: EgtpNode, fits: (event: NodeEvent) => boolean): Promise<NodeEvent> {
  for await (const event of node.events()) if (fits(event)) return event;
  throw new Error("The node stopped first");
}

/** Passes a connection on and counts what goes by, so that bytes are counted where they count. */
async function counter(to: { host: string; port: number }): Promise<{
  strategy: Strategy;
  sent: Uint8Array[];
  close: () => Promise<void>;
}> {
  const sent: Uint8Array[] = [];
  const sockets = new Set<net.Socket>();
  const server = net.createServer((socket) => {
    const out = net.connect({ ...to, noDelay: true });
    socket.setNoDelay(true);
    socket.on("data", (chunk) => {
      sent.push(chunk);
      out.write(chunk);
    });
    out.on("data", (chunk) => socket.write(chunk));
    for (const [one, other] of [
      [socket, out],
      [out, socket],
    ] as const) {
      sockets.add(one);
      one.on("error", () => {});
      one.on("close", () => other.destroy());
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as net.AddressInfo;
  return {
    strategy: { kind: "tcp", host: "127.0.0.1", port },
    sent,
    close: () => {
      for (const socket of sockets) socket.destroy();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}

test("requests and messages over TCP, found by ID through a lookup", async () => {
  const lookup = new MemoryLookup();
  const alice = await start({ lookup });
  const bob = await start({ lookup });
  bob.handle(echo, ({ body }) => body);
  expect([...(await alice.request(bob.peerId, echo, Uint8Array.of(1, 2)))]).toEqual([1, 2]);
  alice.handle(note, () => {});
  expect(await bob.send(alice.peerId, note, Uint8Array.of(3))).toEqual({ state: "delivered" });
  expect(bob.stats().dials).toBe(0);
});

test("a lone raw message costs at most 74 + 4 + 8 bytes beside its body, each further one at most 8", async () => {
  const alice = await start();
  const bob = await start();
  bob.handle(note, () => {});
  bob.handle(echo, ({ body }) => body);
  const wire = await counter(addressOf(bob));
  alice.introduce(bob.peerId, [wire.strategy]);
  for (let i = 0; i < 3; i++) await alice.send(bob.peerId, note, new Uint8Array(100));

  const bytesOf = async (count: number): Promise<number> => {
    wire.sent.length = 0;
    const outcomes = Array.from({ length: count }, () => alice.send(bob.peerId, note, new Uint8Array(100)));
    await Promise.all(outcomes);
    return wire.sent.reduce((sum, chunk) => sum + chunk.length, 0);
  };
  // Early numbers take one byte, later ones three.
  for (const earlier of [0, 20_000]) {
    await bytesOf(earlier);
    await bytesOf(1); // Behind what a slow machine made alice send again.
    const lone = await bytesOf(1);
    expect(lone - 100).toBeLessThanOrEqual(74 + 4 + 8);
    const many = await bytesOf(101);
    expect(many - 101 * 100 - 74 - 4).toBeLessThanOrEqual(101 * 8);
  }
  await wire.close();
});

test("a refused connection is the reason, at once", async () => {
  const alice = await start();
  const bob = await start();
  const address = addressOf(bob);
  await bob.stop();
  alice.introduce(bob.peerId, [address]);
  const outcome = await alice.send(bob.peerId, note, Uint8Array.of(1));
  expect(outcome.state).toBe("unreachable");
  const [reason] = (outcome as Extract<SendOutcome, { state: "unreachable" }>).reasons;
  expect(reason!.strategy).toBe(`tcp 127.0.0.1:${address.port}`);
  expect(reason!.error).toMatchObject({ code: "EGTP_DIAL_REFUSED" });
  expect((reason!.error as { hint: string }).hint).toBeDefined();
  expect(await errorOf(alice.request(bob.peerId, echo, Uint8Array.of(1)))).toMatchObject({ code: "EGTP_UNREACHABLE" });
});

test("someone else at the address: the next strategy is tried at once", async () => {
  const alice = await start();
  const bob = await start();
  const mallory = await start();
  bob.handle(note, () => {});
  alice.introduce(bob.peerId, [addressOf(mallory), addressOf(bob)]);
  const failed = eventOf(alice, ({ kind }) => kind === "dial-failed");
  expect(await alice.send(bob.peerId, note, Uint8Array.of(1))).toEqual({ state: "delivered" });
  expect(await failed).toMatchObject({ peer: bob.peerId, error: { code: "EGTP_WRONG_PEER" } });
});

/** A connection that knows whom it dials, and then says what it likes. */
function intruder(
  target: PeerId,
  address: { host: string; port: number },
  ...said: readonly Uint8Array[]
): Promise<net.Socket> {
  return new Promise((resolve) => {
    const socket = net.connect(address, () => {
      const salt = defaultCryptoProvider.randomBytes(16);
      socket.write(createDialTag((...parts) => defaultCryptoProvider.sha512(...parts), salt, peerIdToBytes(target)));
      for (const envelope of said) {
        const length = new Uint8Array(4);
        new DataView(length.buffer).setUint32(0, envelope.length);
        socket.write(length);
        socket.write(envelope);
      }
      resolve(socket);
    });
    socket.on("error", () => {});
  });
}

test("an envelope of an unknown version is counted, told, and never answered", async () => {
  const bob = await start();
  const dropped = eventOf(bob, ({ kind }) => kind === "drop");
  const strange = new Uint8Array(100).fill(7);
  strange[0] = 0x21;
  const socket = await intruder(bob.peerId, addressOf(bob), strange);
  let heard = 0;
  socket.on("data", (chunk) => {
    heard += chunk.length;
  });
  expect(await dropped).toMatchObject({ kind: "drop", reason: "unknown-version" });
  expect(bob.stats().drops).toEqual({ "unknown-version": 1 });
  const closed = new Promise((resolve) => socket.on("close", resolve));
  await bob.stop();
  await closed;
  expect(heard).toBe(0);
});

test("an envelope that is announced too long ends the link, before anything of it is kept", async () => {
  const bob = await start();
  const socket = await intruder(bob.peerId, addressOf(bob));
  const closed = eventOf(bob, (event) => event.kind === "link" && event.state === "closed");
  socket.write(Uint8Array.of(0x7f, 0xff, 0xff, 0xff));
  expect(await closed).toMatchObject({ reason: "malformed" });
});

test("a link that is killed under way loses nothing", async () => {
  const lookup = new MemoryLookup();
  const alice = await start({ lookup });
  const bob = await start({ lookup });
  const received: number[] = [];
  bob.handle(note, ({ body }) => {
    received.push(body[0]!);
  });
  const wire = await counter(addressOf(bob));
  alice.introduce(bob.peerId, [wire.strategy]);
  await alice.send(bob.peerId, note, Uint8Array.of(0));
  const rest = Array.from({ length: 50 }, (_, i) => alice.send(bob.peerId, note, Uint8Array.of(i + 1)));
  await wire.close();
  expect(await Promise.all(rest)).toEqual(Array(50).fill({ state: "delivered" }));
  expect(received).toEqual(Array.from({ length: 51 }, (_, i) => i));
});
