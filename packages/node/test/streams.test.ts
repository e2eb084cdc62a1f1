/** Any byte streams as a transport: the suite that every transport passes, over Unix sockets. */
import { mkdtempSync, rmSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Duplex } from "node:stream";
import { afterAll, describe, expect, it, test } from "vitest";
import { describeTransport, type TransportFixture } from "../src/conformance.ts";
import { createIdentity, createNode, defineMessage } from "../src/index.ts";
import { type ByteStreams, type StreamsOptions, streams } from "../src/streams.ts";

const folder = mkdtempSync(join(tmpdir(), "egtp-streams-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
let paths = 0;

/** What a program would write for Unix sockets. */
const overUnixSockets = {
  kind: "x-unix",
  dial: (address: string, signal: AbortSignal) =>
    new Promise<ByteStreams>((resolve, reject) => {
      const socket = connect(address);
      const giveUp = (): void => void socket.destroy();
      signal.addEventListener("abort", giveUp);
      socket.once("error", reject);
      socket.once("connect", () => {
        signal.removeEventListener("abort", giveUp);
        resolve(webStreams(socket));
      });
    }),
  listen: async (accept: (connection: ByteStreams, source: string) => void) => {
    const path = join(folder, String(++paths));
    const server = createServer((socket) => accept(webStreams(socket), "local"));
    await new Promise<void>((resolve) => server.listen(path, resolve));
    return { addresses: [path], close: () => new Promise<void>((resolve) => server.close(() => resolve())) };
  },
} satisfies StreamsOptions;

function webStreams(socket: Socket): ByteStreams {
  return Duplex.toWeb(socket) as unknown as ByteStreams;
}

describeTransport("streams over Unix sockets", unixFixture, { describe, it, expect });

function unixFixture(): TransportFixture {
  const before = openPipes();
  return {
    create: ({ listen, ...options }) => {
      const { kind, dial } = overUnixSockets;
      return streams({ ...(listen ? overUnixSockets : { kind, dial }), ...options });
    },
    openResources: () => openPipes() - before,
    hidesReasons: true,
    hasNoIpAddresses: true,
  };
}

function openPipes(): number {
  return process.getActiveResourcesInfo().filter((name) => name.startsWith("Pipe")).length;
}

describe("streams", () => {
  test("of a kind without a name are refused", () => {
    expect(() => streams({ kind: "tcp" as "x-" })).toThrow(TypeError);
    expect(() => streams({ kind: "x-" })).toThrow(TypeError);
  });

  test("lead two nodes to each other, by an address of their own kind", async () => {
    const echo = defineMessage("test/echo");
    await using bob = await createNode({ identity: createIdentity(), transports: [streams(overUnixSockets)] });
    bob.handle(echo, ({ body }) => body);
    await bob.start();
    const { kind, dial } = overUnixSockets;
    await using alice = await createNode({ identity: createIdentity(), transports: [streams({ kind, dial })] });
    await alice.start();
    alice.learn(bob.contactRecord!);
    // What a record says of files of this machine is believed only when the program says so.
    await expect(alice.request(bob.peerId, echo, Uint8Array.of(1))).rejects.toMatchObject({
      code: "EGTP_UNREACHABLE",
      reasons: [{ strategy: expect.stringMatching(/^x-unix /), error: { code: "EGTP_DIAL_FORBIDDEN" } }],
    });
    alice.introduce(bob.peerId, [{ kind: "x-unix", address: join(folder, String(paths)) }]);
    expect(await alice.request(bob.peerId, echo, Uint8Array.of(7))).toEqual(Uint8Array.of(7));
  });
});
