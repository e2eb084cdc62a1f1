import { once } from "node:events";
import net from "node:net";
import { defaultCryptoProvider } from "@egtp/mesgen";
import { peerIdToBytes } from "@egtp/wire";
import { afterEach, describe, expect, it } from "vitest";
import { describeTransport, type TransportFixture } from "../src/conformance.ts";
import { createDialTag, type DialCrypto } from "../src/dial-tag.ts";
import { type TcpOptions, TransportError, tcp } from "../src/nodejs/tcp.ts";
import type { Link, LinkEnd, Served, Transport } from "../src/transport.ts";
import { systemClock } from "../src/transport-clock.ts";
import { peers } from "./transport-peers.ts";

for (const reuseReadMemory of [true, false]) {
  const createFixture = (): TransportFixture => {
    const before = openSockets();
    return {
      create: (options) => tcp({ host: "127.0.0.1", reuseReadMemory, ...options }),
      openResources: () => openSockets() - before,
    };
  };
  describeTransport(reuseReadMemory ? "tcp" : "tcp, plain reads", createFixture, { describe, it, expect });
}

function openSockets(): number {
  return process.getActiveResourcesInfo().filter((name) => name.startsWith("TCP")).length;
}

const cleanups: (() => unknown)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

const crypto: DialCrypto = defaultCryptoProvider;
const alice = peers[0];
const signal = new AbortController().signal;

describe("a tcp listener", () => {
  it("ends a connection that says nothing", async () => {
    const host = await serve({ limits: { unauthenticatedMs: 20, maxLinks: 1 } });
    for (const count of [1, 2]) {
      const socket = await rawDial(host);
      expect(await bytesUntilEnd(socket)).toBe(0);
      await expect.poll(() => host.transport.refusals).toMatchObject({ "no-tag": count, full: 0 });
    }
  });

  it("ends a connection that says its tag too slowly", async () => {
    const host = await serve({ limits: { unauthenticatedMs: 20 } });
    const socket = await rawDial(host);
    socket.write(tagFor(alice).subarray(0, 31));
    expect(await bytesUntilEnd(socket)).toBe(0);
    expect(host.links.length).toBe(0);
  });

  it("ends a connection that says something else, at once and without a byte", async () => {
    const host = await serve();
    const socket = await rawDial(host);
    socket.write("GET / HTTP/1.1\r\nHost: example.com\r\n\r\n");
    expect(await bytesUntilEnd(socket)).toBe(0);
    expect(host.transport.refusals["wrong-target"]).toBe(1);
  });

  it("ends a link whose envelope never becomes whole", async () => {
    const host = await serve({ limits: { unauthenticatedMs: 500 } });
    const socket = await rawDial(host);
    socket.write(Buffer.concat([tagFor(alice), Buffer.from([0, 0, 1, 0, 7])]));
    expect(await bytesUntilEnd(socket)).toBe(0);
    const user = await host.user(0);
    await expect.poll(() => user.end).toMatchObject({ reason: "unauthenticated" });
  });

  it.each([
    ["zero", [0, 0, 0, 0], "EGTP_WIRE_BAD_LENGTH"],
    ["too much", [0, 2, 0, 0], "EGTP_WIRE_TOO_LARGE"],
  ])("ends a link that announces %s bytes", async (_, prefix, code) => {
    const host = await serve();
    const socket = await rawDial(host);
    socket.write(Buffer.concat([tagFor(alice), Buffer.from([0, 0, 0, 1, 9]), Buffer.from(prefix)]));
    expect(await bytesUntilEnd(socket)).toBe(0);
    const user = await host.user(0);
    await expect.poll(() => user.end).toMatchObject({ reason: "malformed", error: { code } });
  });

  it("reads a tag and envelopes that come a byte at a time", async () => {
    const host = await serve();
    const socket = await rawDial(host);
    socket.setNoDelay(true);
    for (const byte of Buffer.concat([tagFor(alice), Buffer.from([0, 0, 0, 2, 8, 9, 0, 0, 0, 1, 7])])) {
      await new Promise((resolve) => socket.write(Uint8Array.of(byte), resolve));
    }
    await expect.poll(() => host.links.length).toBe(1);
    const user = await host.user(0);
    await expect.poll(() => user.got.map((bytes) => [...bytes])).toEqual([[8, 9]]);
    user.link.authenticated();
    await expect.poll(() => user.got.map((bytes) => [...bytes])).toEqual([[8, 9], [7]]);
  });

  it.skipIf(process.platform === "win32")("reads into memory that it uses again", async () => {
    // Depends on where Node.js keeps a setting: see src/nodejs/socket-reader.ts.
    const host = await serve();
    const socket = await rawDial(host);
    socket.write(Buffer.concat([tagFor(alice), Buffer.from([0, 0, 0, 1, 9])]));
    const user = await host.user(0);
    user.link.authenticated();
    await expect.poll(() => user.got.length).toBe(1);
    for (let count = 2; count < 5; count++) {
      socket.write(Buffer.from([0, 0, 0, 1, 8]));
      await expect.poll(() => user.got.length).toBe(count);
    }
    expect(user.memory.size).toBe(1);
  });

  it("tells its user that a connection was reset", async () => {
    const host = await serve();
    const socket = await rawDial(host);
    socket.write(Buffer.concat([tagFor(alice), Buffer.from([0, 0, 0, 1, 9])]));
    await expect.poll(() => host.links.length).toBe(1);
    const user = await host.user(0);
    user.link.authenticated();
    socket.resetAndDestroy();
    await expect.poll(() => user.end).toMatchObject({ reason: "lost", error: { code: "ECONNRESET" } });
  });

  it("says where it can be reached", async () => {
    const strategiesOf = async (options: TcpOptions) => {
      const host = await serve(options);
      return host.served.strategies;
    };
    const port = expect.any(Number);
    expect(await strategiesOf({ host: "127.0.0.1" })).toEqual([{ kind: "tcp", host: "127.0.0.1", port }]);
    const advertise = ["alice.example", { host: "nat.example", port: 4000 }];
    expect(await strategiesOf({ host: "127.0.0.1", advertise })).toEqual([
      { kind: "tcp", host: "alice.example", port },
      { kind: "tcp", host: "nat.example", port: 4000 },
    ]);
    expect(await strategiesOf({ advertise: [] })).toEqual([]);
    expect((await strategiesOf({})).length).toBeGreaterThan(0);
  });

  it("says that its address is taken, or not to be had", async () => {
    const host = await serve();
    const taken = tcp({ host: "127.0.0.1", port: host.port }).serve({ peer: alice }, () => {});
    await expect(taken).rejects.toMatchObject({ code: "EGTP_ADDRESS_IN_USE", address: `127.0.0.1:${host.port}` });
    const foreign = tcp({ host: "192.0.2.1" }).serve({ peer: alice }, () => {});
    await expect(foreign).rejects.toMatchObject({ code: "EGTP_LISTEN_FAILED" });
    expect(() => tcp({ port: 70_000 })).toThrow(RangeError);
    expect(() => tcp({ limits: { lowWaterBytes: 2, highWaterBytes: 1 } })).toThrow(RangeError);
    expect(() => tcp({ limits: { idleMs: 0 } })).toThrow(RangeError);
  });

  it("can be tried again after it could not listen", async () => {
    const host = await serve();
    const transport = tcp({ host: "127.0.0.1", port: host.port });
    await expect(transport.serve({ peer: alice }, () => {})).rejects.toBeInstanceOf(TransportError);
    await host.served.stop();
    const served = await transport.serve({ peer: alice }, () => {});
    await served.stop();
  });
});

describe("a tcp dialer", () => {
  it("sends its tag and the first envelope together", async () => {
    const { port, firstChunk } = await rawListener();
    const link = await dialer().dial({ kind: "tcp", host: "127.0.0.1", port }, alice, { signal });
    link.send(Uint8Array.of(1, 2, 3));
    const chunk = await firstChunk;
    expect(chunk.length).toBe(32 + 4 + 3);
    expect(chunk.subarray(32)).toEqual(Buffer.from([0, 0, 0, 3, 1, 2, 3]));
    const salt = chunk.subarray(0, 16);
    expect(chunk.subarray(0, 32)).toEqual(Buffer.from(createDialTag(crypto.sha512, salt, peerIdToBytes(alice))));
  });

  it("sends its tag when it has nothing else to say", async () => {
    const { port, firstChunk } = await rawListener();
    await dialer().dial({ kind: "tcp", host: "127.0.0.1", port }, alice, { signal });
    expect((await firstChunk).length).toBe(32);
  });

  it("says what is wrong with an address", async () => {
    const dial = (host: string, port: number) => dialer().dial({ kind: "tcp", host, port }, alice, { signal });
    for (const [host, port] of [
      ["", 1],
      ["a b", 1],
      ["127.0.0.1", 0],
      ["127.0.0.1", 65_536],
      ["127.0.0.1", 1.5],
    ] as const) {
      await expect(dial(host, port)).rejects.toMatchObject({ code: "EGTP_BAD_ADDRESS" });
    }
    await expect(dial("nobody.invalid", 1)).rejects.toMatchObject({ code: "EGTP_DIAL_NAME_NOT_FOUND" });
    const error = await dial("nobody.invalid", 1).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(TransportError);
    expect((error as TransportError).hint).toMatch(/spelling/);
  });

  it("tries every address of a name before it says that nobody is there", async () => {
    const host = await serve();
    await host.served.stop();
    const strategy = { kind: "tcp", host: "localhost", port: host.port } as const;
    await expect(dialer().dial(strategy, alice, { signal })).rejects.toMatchObject({ code: "EGTP_DIAL_REFUSED" });
  });

  it("gives up in time", async () => {
    const { port } = await rawListener();
    const atOnce = {
      now: () => systemClock.now(),
      setTimer: (task: () => void) => {
        queueMicrotask(task);
        return () => {};
      },
    };
    const dialing = tcp({ listen: false, clock: atOnce }).dial({ kind: "tcp", host: "127.0.0.1", port }, alice, {
      signal,
    });
    await expect(dialing).rejects.toMatchObject({ code: "EGTP_DIAL_TIMEOUT" });
  });

  it("asks about the addresses that a name leads to", async () => {
    const { port } = await rawListener();
    const asked: string[] = [];
    const permits = (address: string): boolean => {
      asked.push(address);
      return address === "127.0.0.1";
    };
    const link = await dialer().dial({ kind: "tcp", host: "localhost", port }, alice, { signal, permits });
    expect(link.source).toBe("127.0.0.1");
    expect(asked).toContain("127.0.0.1");
    const refused = dialer().dial({ kind: "tcp", host: "localhost", port }, alice, { signal, permits: () => false });
    await expect(refused).rejects.toMatchObject({ code: "EGTP_DIAL_FORBIDDEN" });
  });

  it("cannot dial what is not tcp", async () => {
    const strategy = { kind: "websocket", url: "wss://example.com" } as const;
    expect(dialer().canDial(strategy)).toBe(false);
    await expect(dialer().dial(strategy, alice, { signal })).rejects.toBeInstanceOf(TypeError);
  });
});

/** A transport that only dials, the links of which are closed after the test. */
function dialer(): Pick<Transport, "dial" | "canDial"> {
  const transport = tcp({ listen: false });
  return {
    canDial: (strategy) => transport.canDial(strategy),
    dial: async (...dialArguments) => {
      const link = await transport.dial(...dialArguments);
      cleanups.push(() => link.close());
      return link;
    },
  };
}

interface User {
  readonly link: Link;
  readonly got: Uint8Array[];
  /** Where what it got lay. */
  readonly memory: Set<ArrayBufferLike>;
  end: LinkEnd | undefined;
}

interface Host {
  readonly transport: Transport;
  readonly served: Served;
  readonly port: number;
  readonly links: Link[];
  /** Starts the link that came in as the given one. */
  user(index: number): Promise<User>;
}

async function serve(options: TcpOptions = {}): Promise<Host> {
  const transport = tcp({ host: "127.0.0.1", ...options });
  const links: Link[] = [];
  const users: User[] = [];
  const served = await transport.serve({ peer: alice }, (link) => {
    links.push(link);
    const user: User = { link, got: [], memory: new Set(), end: undefined };
    users.push(user);
    link.start({
      envelope: (bytes) => {
        user.got.push(bytes.slice());
        user.memory.add(bytes.buffer);
      },
      drain: () => {},
      closed: (end) => {
        user.end = end;
      },
    });
  });
  cleanups.push(() => served.stop());
  const [strategy] = served.strategies;
  return {
    transport,
    served,
    links,
    port: strategy?.kind === "tcp" ? strategy.port : 0,
    user: async (index) => {
      await expect.poll(() => users.length).toBeGreaterThan(index);
      return users[index]!;
    },
  };
}

function tagFor(peer: (typeof peers)[number]): Uint8Array {
  return createDialTag(crypto.sha512, crypto.randomBytes(16), peerIdToBytes(peer));
}

async function rawDial(host: Host): Promise<net.Socket> {
  const socket = net.connect(host.port, "127.0.0.1");
  cleanups.push(() => socket.destroy());
  await once(socket, "connect");
  socket.on("error", () => {}); // a reset is an end too, and on a slow machine it comes before what is written
  return socket;
}

/** How many bytes come before the other side ends the connection. */
async function bytesUntilEnd(socket: net.Socket): Promise<number> {
  let bytes = 0;
  socket.on("data", (chunk) => {
    bytes += chunk.length;
  });
  if (!socket.closed) await new Promise((resolve) => socket.once("close", resolve));
  return bytes;
}

async function rawListener(): Promise<{ port: number; firstChunk: Promise<Buffer> }> {
  let resolveFirst: (chunk: Buffer) => void;
  const firstChunk = new Promise<Buffer>((resolve) => {
    resolveFirst = resolve;
  });
  const server = net.createServer((socket) => {
    cleanups.push(() => socket.destroy());
    socket.on("error", () => {});
    socket.once("data", (chunk) => resolveFirst(chunk));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  cleanups.push(() => server.close());
  return { port: (server.address() as net.AddressInfo).port, firstChunk };
}
