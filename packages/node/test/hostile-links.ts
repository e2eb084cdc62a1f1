/**
 * Whoever connects to a node, or is dialled by one, over real sockets, and says anything: real tags, envelopes, requests to upgrade and
 * frames of WebSockets, damaged, in pieces of any size, ended at any place. It may spoil its own connection; nobody else's.
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import net from "node:net";
import { createIdentity, defaultCryptoProvider, type Identity, Mesgen } from "@egtp/mesgen";
import { MemorySessionStore, SessionMaps } from "@egtp/session-store";
import { damaged } from "@egtp/test-kit/damage";
import { type FuzzRun, fuzz, someDamage } from "@egtp/test-kit/fuzz-run";
import {
  concatBytes,
  defineMessage,
  EgtpError,
  type PeerId,
  peerIdToBytes,
  type Strategy,
  verifyContactRecord,
  writeLengthPrefix,
} from "@egtp/wire";
import fc from "fast-check";
import { createDialTag, type DialCrypto } from "../src/dial-tag.ts";
import { createNode, type EgtpNode } from "../src/index.ts";
import { tcp } from "../src/nodejs/tcp.ts";
import { websocket } from "../src/nodejs/websocket.ts";
import { errorOf } from "./world.ts";

const echo = defineMessage("test/echo");

/** What one connection says. */
const conversation = fc.record({
  medium: fc.constantFrom("tcp", "websocket"),
  pieces: fc.array(fc.nat(), { maxLength: 8 }),
  steps: someDamage,
  cut: fc.oneof(fc.constant(Infinity), fc.integer({ min: 1, max: 200 })),
  ends: fc.constantFrom("end", "destroy", "wait"),
  dialled: fc.boolean(),
});
type Conversation = typeof conversation extends fc.Arbitrary<infer One> ? One : never;

/** @param run - Of how many nodes, each with up to twenty connections, one after the other. */
export async function connectionsSayAnything(run: FuzzRun): Promise<void> {
  await fuzz(
    fc.asyncProperty(fc.array(conversation, { minLength: 1, maxLength: 20, size: "max" }), async (all) => {
      const scene = await Scene.start();
      try {
        for (const one of all) await scene.hold(one);
        await scene.check();
      } finally {
        await scene.stop();
      }
    }),
    run,
  );
}

class Scene {
  readonly #victim: EgtpNode;
  readonly #friends: readonly EgtpNode[];
  readonly #liar = createIdentity();
  readonly #sockets = new Set<net.Socket>();

  private constructor(victim: EgtpNode, friends: readonly EgtpNode[]) {
    this.#victim = victim;
    this.#friends = friends;
  }

  static async start(): Promise<Scene> {
    const host = "127.0.0.1";
    const victim = await createNode({
      identity: createIdentity(),
      transports: [tcp({ host, port: 0 }), websocket({ host, port: 0 })],
    });
    victim.handle(echo, ({ body }) => body);
    await victim.start();
    const friends: EgtpNode[] = [];
    for (const transport of [tcp({ listen: false }), websocket()]) {
      const friend = await createNode({ identity: createIdentity(), transports: [transport] });
      await friend.start();
      friend.introduce(victim.peerId, strategiesOf(victim));
      friends.push(friend);
    }
    const scene = new Scene(victim, friends);
    await scene.check();
    return scene;
  }

  async check(): Promise<void> {
    for (const friend of this.#friends) {
      assert.deepEqual(
        await friend.request(this.#victim.peerId, echo, Uint8Array.of(7), { timeoutMs: 20_000 }),
        Uint8Array.of(7),
      );
    }
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    for (const node of [...this.#friends, this.#victim]) await node.stop();
  }

  /** One connection, from its beginning until we are through with it. */
  async hold(said: Conversation): Promise<void> {
    if (said.dialled) return this.#beDialled(said);
    const strategy = strategiesOf(this.#victim).find(({ kind }) => kind === said.medium)!;
    const port = strategy.kind === "tcp" ? strategy.port : Number(new URL((strategy as { url: string }).url).port);
    const socket = net.connect({ host: "127.0.0.1", port });
    await this.#say(socket, said, this.#bytesOf(said));
  }

  async #beDialled(said: Conversation): Promise<void> {
    const server = net.createServer((socket) => {
      if (said.medium === "tcp") return void this.#say(socket, said, this.#bytesOf(said));
      socket.once("data", (request) => {
        const key = /sec-websocket-key: (\S+)/i.exec(request.toString("latin1"))?.[1] ?? "";
        void this.#say(socket, said, this.#bytesOf(said, key));
      });
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as net.AddressInfo;
    const strategy: Strategy =
      said.medium === "tcp"
        ? { kind: "tcp", host: "127.0.0.1", port }
        : { kind: "websocket", url: `ws://127.0.0.1:${port}/` };
    const stranger = createIdentity().peer;
    this.#victim.introduce(stranger, [strategy]);
    const connected = new Promise<void>((resolve) =>
      server.once("connection", (socket) => socket.once("close", () => resolve())),
    );
    const giveUp = new AbortController();
    const asked = errorOf(
      this.#victim.request(stranger, echo, Uint8Array.of(1), { timeoutMs: 20_000, signal: giveUp.signal }),
    );
    if (said.ends === "wait") setImmediate(() => giveUp.abort());
    await Promise.race([connected, asked]);
    giveUp.abort();
    const error = await asked;
    assert.ok(error instanceof EgtpError || (error as Error).name === "AbortError", String(error));
    for (const socket of this.#sockets) socket.destroy();
    await new Promise<void>((resolve) => server.close(() => resolve()));
  }

  async #say(socket: net.Socket, { cut, ends }: Conversation, bytes: Uint8Array): Promise<void> {
    this.#sockets.add(socket);
    socket.on("error", () => {});
    socket.resume();
    const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()));
    void closed.then(() => this.#sockets.delete(socket));
    for (let at = 0; at < bytes.length; at += Math.min(cut, 70_000)) {
      const piece = bytes.subarray(at, at + Math.min(cut, 70_000));
      const isLast = at + piece.length >= bytes.length;
      const written = new Promise<void>((resolve) => socket.write(piece, () => resolve()));
      if (isLast || at < 5 * cut) await Promise.race([written, closed]);
    }
    if (ends === "end") socket.end();
    else if (ends === "destroy") socket.destroy();
    if (ends !== "wait") await closed;
  }

  /** @param key - Of the request to upgrade that is answered. */
  #bytesOf({ medium, pieces, steps }: Conversation, key?: string): Uint8Array {
    const corpus = medium === "tcp" ? this.#tcpPieces() : this.#webPieces(key);
    const [opening, ...rest] = corpus;
    const whole = concatBytes(opening!, ...pieces.map((piece) => rest[piece % rest.length]!));
    return damaged(whole, rest[steps.length % rest.length]!, steps);
  }

  #tag(): Uint8Array {
    const crypto: DialCrypto = defaultCryptoProvider;
    return createDialTag(crypto.sha512, crypto.randomBytes(16), peerIdToBytes(this.#victim.peerId));
  }

  /** A tag, and envelopes behind their lengths. */
  #tcpPieces(): Uint8Array[] {
    const { offer, data } = envelopesTo(this.#liar, this.#victim.peerId);
    const framed = [offer, data, new Uint8Array(74), new Uint8Array(60_000)].map(behindLength);
    return [
      this.#tag(),
      ...framed,
      Uint8Array.of(0, 0, 0, 0),
      Uint8Array.of(0xff, 0xff, 0xff, 0xff),
      Uint8Array.of(0, 1, 0, 0),
    ];
  }

  #webPieces(key: string | undefined): Uint8Array[] {
    const accept = createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
    const isMasked = key === undefined;
    const text =
      key !== undefined
        ? `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`
        : "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
    const { offer, data } = envelopesTo(this.#liar, this.#victim.peerId);
    const [tag] = [this.#tag()];
    const frames = [
      frame(isMasked, 0x82, concatBytes(tag, behindLength(offer))),
      frame(isMasked, 0x82, tag),
      frame(isMasked, 0x82, behindLength(data)),
      frame(isMasked, 0x02, tag.subarray(0, 10)),
      frame(isMasked, 0x80, tag.subarray(10)),
      frame(isMasked, 0x81, tag),
      frame(isMasked, 0x89, tag.subarray(0, 4)),
      frame(isMasked, 0x8a, new Uint8Array(0)),
      frame(isMasked, 0x88, Uint8Array.of(3, 232)),
      frame(isMasked, 0x88, new Uint8Array(0)),
      frame(isMasked, 0xc2, tag),
      frame(isMasked, 0x82, new Uint8Array(0)),
      frame(isMasked, 0x82, new Uint8Array(131_073)),
    ];
    return [new TextEncoder().encode(text), ...frames];
  }
}

/** A frame; that of a client is masked, with zeros. */
function frame(isMasked: boolean, first: number, body: Uint8Array): Uint8Array {
  const mask = isMasked ? 0x80 : 0;
  const { length } = body;
  const size =
    length < 126
      ? [mask | length]
      : length < 65_536
        ? [mask | 126, length >> 8, length & 255]
        : [mask | 127, 0, 0, 0, 0, 0, length >> 16, (length >> 8) & 255, length & 255];
  return concatBytes(Uint8Array.from([first, ...size, ...(isMasked ? [0, 0, 0, 0] : [])]), body);
}

function behindLength(envelope: Uint8Array): Uint8Array {
  const prefix = new Uint8Array(4);
  writeLengthPrefix(envelope.length, prefix);
  return concatBytes(prefix, envelope);
}

/** Envelopes of a first contact. */
function envelopesTo(liar: Identity, victim: PeerId): { offer: Uint8Array; data: Uint8Array } {
  const now = Date.now();
  const random = (length: number) => defaultCryptoProvider.randomBytes(length);
  const maps = SessionMaps.open(new MemorySessionStore(), { now, random, bornWithIdentity: true });
  const mesgen = new Mesgen({ identity: liar, maps });
  const carrier = mesgen.carrier(victim, now, { application: true });
  const offer = mesgen.seal(carrier, Uint8Array.of(0x09), now, {}).slice();
  const data = mesgen
    .seal(mesgen.carrier(victim, now, { application: true }), Uint8Array.of(0x05, 1, 2, 3, 4, 5, 6, 7, 8), now, {})
    .slice();
  return { offer, data };
}

function strategiesOf({ contactRecord }: EgtpNode): readonly Strategy[] {
  return verifyContactRecord(contactRecord!, undefined).strategies;
}
