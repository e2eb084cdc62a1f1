/** WebSocket links as strangers, proxies and operators meet them; what every transport does is in the conformance suite. */
import { once } from "node:events";
import http from "node:http";
import https from "node:https";
import net from "node:net";
import { defaultCryptoProvider } from "@egtp/mesgen";
import { localCertificate } from "@egtp/test-kit/certificate";
import { maxEnvelopeBytes, type PeerId, peerIdToBytes } from "@egtp/wire";
import { afterEach, describe, expect, it, vi } from "vitest";
import { WebSocketServer, WebSocket as WsWebSocket } from "ws";
import { createDialTag, type DialCrypto } from "../src/dial-tag.ts";
import { TransportError, type WebSocketOptions, websocket } from "../src/nodejs/websocket.ts";
import type { Link, LinkEnd, Served, Transport } from "../src/transport.ts";
import { systemClock } from "../src/transport-clock.ts";
import { maxWebSocketMessageBytes } from "../src/transport-limits.ts";
import { MediumLink } from "../src/transport-link.ts";
import { ManualClock } from "./manual-clock.ts";
import { peers } from "./transport-peers.ts";

const cleanups: (() => unknown)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

const crypto: DialCrypto = defaultCryptoProvider;
const [alice, bob] = peers;
const certificate = localCertificate();
const { signal } = new AbortController();
const envelope = (...bytes: number[]): Buffer => Buffer.from([0, 0, 0, bytes.length, ...bytes]);

describe("a websocket listener", () => {
  it("ends a connection that says nothing", async () => {
    const host = await serve({ limits: { unauthenticatedMs: 20, maxUnauthenticatedPerSource: 1 } });
    for (const count of [1, 2]) {
      expect(await textUntilEnd(await rawDial(host))).toBe("");
      await expect.poll(() => host.transport.refusals).toMatchObject({ "no-tag": count, "source-full": 0 });
    }
  });

  it("ends a connection that does not come through with TLS", async () => {
    const host = await serve({ tls: certificate, limits: { unauthenticatedMs: 20 } });
    expect(await textUntilEnd(await rawDial(host))).toBe("");
    await expect.poll(() => host.transport.refusals["no-tag"]).toBe(1);
  });

  it("ends a request that never becomes whole", async () => {
    const host = await serve({ limits: { unauthenticatedMs: 20 } });
    const socket = await rawDial(host);
    socket.write("GET / HTTP/1.1\r\nHost: example.com\r\nX: ");
    expect(await textUntilEnd(socket)).toBe("");
    await expect.poll(() => host.transport.refusals["no-tag"]).toBe(1);
  });

  it("ends a WebSocket that does not name its target in time", async () => {
    const clock = new ManualClock();
    const host = await serve({ clock });
    const socket = await upgraded(host);
    const ended = textUntilEnd(socket);
    socket.write(frame(2, tagFor(alice).subarray(0, 31)));
    clock.advance(10_000);
    const text = await ended;
    expect(text.length).toBeLessThanOrEqual(2); // a closing frame without a word
    expect(host.links.length).toBe(0);
    await expect.poll(() => host.transport.refusals["no-tag"]).toBe(1);
  });

  it("answers other requests as any WebSocket server does", async () => {
    const host = await serve();
    const response = await fetch(`http://127.0.0.1:${host.port}/`);
    expect(response.status).toBe(426);
    expect(response.headers.get("upgrade")).toBe("websocket");
    expect(await response.text()).toBe("Upgrade Required\n");
    await expect.poll(() => host.transport.refusals["no-tag"]).toBe(1);
  });

  it("answers so over TLS too, and keeps nothing of it", async () => {
    const host = await serve({ tls: certificate, limits: { maxLinks: 1 } });
    for (const count of [1, 2]) {
      const request = https.get(`https://127.0.0.1:${host.port}/`, { ca: certificate.cert });
      const [response] = (await once(request, "response")) as [http.IncomingMessage];
      expect(response.statusCode).toBe(426);
      response.resume();
      await expect.poll(() => host.transport.refusals).toMatchObject({ "no-tag": count, full: 0 });
    }
  });

  it("answers a request to upgrade elsewhere with 404, and one that is none with 400", async () => {
    const host = await serve({ path: "/here" });
    const elsewhere = await rawDial(host);
    elsewhere.write(upgradeRequest("/"));
    expect(await textUntilEnd(elsewhere)).toMatch(/^HTTP\/1.1 404 /);
    const other = await rawDial(host);
    other.write("GET /here HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n");
    expect(await textUntilEnd(other)).toMatch(/^HTTP\/1.1 400 /);
    const here = await upgraded(host, "/here?query");
    here.write(frame(2, tagFor(alice)));
    await host.user(0);
  });

  it("grants neither subprotocols nor extensions, and asks for no Origin", async () => {
    const host = await serve();
    const socket = await rawDial(host);
    const wishes = "Origin: https://a.example\r\nSec-WebSocket-Protocol: egtp, chat\r\nCookie: a=b\r\n";
    socket.write(upgradeRequest("/", `${wishes}Sec-WebSocket-Extensions: permessage-deflate\r\n`));
    const [answer] = await once(socket, "data");
    expect(String(answer)).toMatch(/^HTTP\/1.1 101 /);
    expect(String(answer)).not.toMatch(/sec-websocket-(protocol|extensions)/i);
  });

  it("ends a connection that does not speak HTTP", async () => {
    const host = await serve();
    const socket = await rawDial(host);
    socket.write(Buffer.concat([tagFor(alice), envelope(1)]));
    expect(await textUntilEnd(socket)).toMatch(/^HTTP\/1.1 400 /);
    await expect.poll(() => host.transport.refusals["no-tag"]).toBe(1);
  });

  it("takes the stream in messages cut anyhow", async () => {
    const host = await serve();
    const newStream = (): Buffer => Buffer.concat([tagFor(alice), envelope(8, 9), envelope(7)]);
    const bytewise = await upgraded(host);
    for (const byte of newStream())
      bytewise.write(Buffer.concat([frame(2, Buffer.of(byte)), frame(2, Buffer.alloc(0))]));
    const inPieces = await upgraded(host);
    const stream = newStream();
    inPieces.write(frame(2, stream.subarray(0, 20), { fin: false }));
    inPieces.write(Buffer.concat([frame(0, stream.subarray(20, 35), { fin: false }), frame(0, stream.subarray(35))]));
    for (const index of [0, 1]) {
      const user = await host.user(index);
      await expect.poll(() => user.got).toEqual([[8, 9]]);
      user.link.authenticated();
      await expect.poll(() => user.got).toEqual([[8, 9], [7]]);
    }
  });

  it("takes the longest envelope with its tag in one message", async () => {
    const host = await serve();
    const socket = await upgraded(host);
    const length = Buffer.alloc(4);
    length.writeUInt32BE(maxEnvelopeBytes);
    socket.write(frame(2, Buffer.concat([tagFor(alice), length, Buffer.alloc(maxEnvelopeBytes, 5)])));
    const user = await host.user(0);
    await expect.poll(() => user.got.map(({ length }) => length)).toEqual([maxEnvelopeBytes]);
  });

  it.each([
    ["an envelope of no bytes", frame(2, Buffer.alloc(4)), "EGTP_WIRE_BAD_LENGTH"],
    ["an envelope that is too long", frame(2, Buffer.from([0, 2, 0, 0])), "EGTP_WIRE_TOO_LARGE"],
    ["text", frame(1, Buffer.from("hello")), "EGTP_WIRE_BAD_LENGTH"],
    [
      "a message that is announced too long",
      frameHead(2, maxWebSocketMessageBytes + 1),
      "WS_ERR_UNSUPPORTED_MESSAGE_LENGTH",
    ],
    ["an absurd message", frameHead(2, 2 ** 52), "WS_ERR_UNSUPPORTED_MESSAGE_LENGTH"],
    ["a frame that is not masked", frame(2, Buffer.of(1), { masked: false }), "WS_ERR_EXPECTED_MASK"],
    [
      "a compressed message",
      Buffer.concat([Buffer.of(0xc2), frame(2, Buffer.of(1)).subarray(1)]),
      "WS_ERR_UNEXPECTED_RSV_1",
    ],
    ["a message in very many frames", manyFrames(2_000), "WS_ERR_TOO_MANY_BUFFERED_PARTS"],
    ["very many pings", Buffer.concat(Array.from({ length: 16 }, () => frame(9, Buffer.of(1)))), undefined],
  ])("ends a link that sends %s", async (_, bytes, code) => {
    const host = await serve();
    const socket = await upgraded(host);
    const ended = textUntilEnd(socket);
    socket.write(frame(2, Buffer.concat([tagFor(alice), envelope(9)])));
    const user = await host.user(0);
    await expect.poll(() => user.got.length).toBe(1);
    user.link.resume();
    socket.write(bytes);
    await expect.poll(() => user.end).toMatchObject({ reason: "malformed" });
    expect((user.end!.error as { code?: string } | undefined)?.code).toBe(code);
    await ended;
  });

  it.each([
    ["text", frame(1, Buffer.alloc(32, 0x61))],
    ["too long a message", frameHead(2, maxWebSocketMessageBytes + 1)],
    ["pings only", Buffer.concat(Array.from({ length: 16 }, () => frame(9, Buffer.of(1))))],
  ])("ends a connection that names its target by %s", async (_, bytes) => {
    const host = await serve();
    const socket = await upgraded(host);
    socket.write(bytes);
    await textUntilEnd(socket);
    await expect.poll(() => host.transport.refusals["no-tag"]).toBe(1);
    expect(host.links.length).toBe(0);
  });

  it("tells the end of the WebSocket from a broken line", async () => {
    const host = await serve();
    const ends: [(socket: net.Socket) => void, object][] = [
      [(socket) => socket.resetAndDestroy(), { reason: "lost", error: { code: "ECONNRESET" } }],
      [(socket) => socket.end(), { reason: "lost" }],
      [(socket) => socket.write(frame(8, Buffer.alloc(0))), { reason: "closed-by-peer" }],
    ];
    for (const [index, [end, expected]] of ends.entries()) {
      const socket = await upgraded(host);
      socket.write(frame(2, Buffer.concat([tagFor(alice), envelope(9)])));
      const user = await host.user(index);
      user.link.authenticated();
      await expect.poll(() => user.got.length).toBe(1);
      end(socket);
      await expect.poll(() => user.end).toMatchObject(expected);
    }
  });

  it("asks whether the other end lives, and ends a link that does not say", async () => {
    const clock = new ManualClock();
    const alive = vi.spyOn(MediumLink.prototype, "alive");
    cleanups.push(() => alive.mockRestore());
    const host = await serve({ clock, limits: { keepAliveMs: 30_000 } });
    const living = new WsWebSocket(host.url, { perMessageDeflate: false });
    cleanups.push(() => living.terminate());
    await once(living, "open");
    living.send(Buffer.concat([tagFor(alice), envelope(9)]));
    const dead = await upgraded(host);
    dead.write(frame(2, Buffer.concat([tagFor(alice), envelope(9)])));
    const [user, other] = [await host.user(0), await host.user(1)];
    for (const { link } of [user, other]) link.authenticated();
    for (const [round, ms] of [30_000, 20_000, 20_000].entries()) {
      const asked = once(living, "ping");
      clock.advance(ms);
      await asked;
      await expect.poll(() => alive.mock.calls.length).toBe(round + 1);
    }
    await expect
      .poll(() => [user.end, other.end].filter((end) => end !== undefined))
      .toMatchObject([{ reason: "lost" }]);
    living.ping();
    await once(living, "pong");
    expect(alive).toHaveBeenCalledTimes(4);
  });

  it("says where it can be reached", async () => {
    const urlsOf = async (options: WebSocketOptions): Promise<string[]> => {
      const { served } = await serve(options);
      return served.strategies.map((strategy) => (strategy.kind === "websocket" ? strategy.url : ""));
    };
    expect(await urlsOf({})).toEqual([expect.stringMatching(/^ws:\/\/127\.0\.0\.1:\d+\/$/)]);
    expect(await urlsOf({ path: "/a/b" })).toEqual([expect.stringMatching(/^ws:\/\/127\.0\.0\.1:\d+\/a\/b$/)]);
    expect(await urlsOf({ host: "::1" })).toEqual([expect.stringMatching(/^ws:\/\/\[::1\]:\d+\/$/)]);
    expect(await urlsOf({ tls: certificate })).toEqual([expect.stringMatching(/^wss:\/\/127\.0\.0\.1:\d+\/$/)]);
    expect(await urlsOf({ publicUrl: "wss://relay.example/egtp" })).toEqual(["wss://relay.example/egtp"]);
    expect((await urlsOf({ host: "0.0.0.0" })).length).toBeGreaterThan(0);
  });

  it("says that its address is taken, or not to be had", async () => {
    const host = await serve();
    const taken = websocket({ host: "127.0.0.1", port: host.port }).serve({ peer: alice }, () => {});
    await expect(taken).rejects.toMatchObject({
      code: "EGTP_ADDRESS_IN_USE",
      address: `127.0.0.1:${host.port}`,
      hint: expect.stringContaining("port"),
    });
    const foreign = websocket({ host: "192.0.2.1", port: 0 }).serve({ peer: alice }, () => {});
    await expect(foreign).rejects.toMatchObject({ code: "EGTP_LISTEN_FAILED" });
  });

  it("can be tried again after it could not listen", async () => {
    const host = await serve();
    const transport = websocket({ host: "127.0.0.1", port: host.port });
    await expect(transport.serve({ peer: alice }, () => {})).rejects.toBeInstanceOf(TransportError);
    await host.served.stop();
    const served = await transport.serve({ peer: alice }, () => {});
    await served.stop();
  });

  it.each([
    ["does not fit its key", { cert: certificate.cert, key: localCertificate().key }],
    [
      "cannot be read",
      { cert: "-----BEGIN CERTIFICATE-----\nbm8=\n-----END CERTIFICATE-----\n", key: certificate.key },
    ],
    ["is none", { cert: new Uint8Array(9), key: certificate.key }],
    ["has no readable key", { cert: certificate.cert, key: "no key" }],
  ])("says that a certificate %s", async (_, tls) => {
    const error = await websocket({ port: 0, host: "127.0.0.1", tls })
      .serve({ peer: alice }, () => {})
      .then(
        () => undefined,
        (thrown: unknown) => thrown,
      );
    expect(error).toBeInstanceOf(TransportError);
    expect(error).toMatchObject({ code: "EGTP_BAD_CERTIFICATE", hint: expect.stringContaining("PEM") });
  });

  it("refuses options that make no sense together", () => {
    const server = http.createServer();
    expect(() => websocket({ port: 70_000 })).toThrow(RangeError);
    expect(() => websocket({ limits: { lowWaterBytes: 2, highWaterBytes: 1 } })).toThrow(RangeError);
    expect(() => websocket({ port: 0, server })).toThrow(TypeError);
    expect(() => websocket({ host: "127.0.0.1" })).toThrow(TypeError);
    expect(() => websocket({ server, tls: certificate })).toThrow(TypeError);
    expect(() => websocket({ publicUrl: "wss://a.example" })).toThrow(TypeError);
    for (const publicUrl of ["https://a.example", "wss://user@a.example", "wss://a.example/#b", "a.example", ""]) {
      expect(() => websocket({ port: 0, publicUrl })).toThrow(expect.objectContaining({ code: "EGTP_BAD_ADDRESS" }));
    }
    for (const path of ["", "a", "/a b", "/a?b", "/a#b"]) {
      expect(() => websocket({ port: 0, path })).toThrow(expect.objectContaining({ code: "EGTP_BAD_ADDRESS" }));
    }
  });

  it("counts by what its proxy says of the source, only when told to", async () => {
    const limits = { maxLinksPerSource: 1 };
    const knock = async (host: Host, forwarded: string): Promise<"in" | "refused"> => {
      const socket = await rawDial(host);
      socket.write(upgradeRequest("/", `X-Forwarded-For: ${forwarded}\r\n`));
      const answer = await new Promise((resolve) => {
        socket.once("data", resolve).once("close", resolve);
      });
      if (!String(answer).startsWith("HTTP/1.1 101")) return "refused";
      socket.write(frame(2, tagFor(alice)));
      return "in";
    };
    const behindProxy = await serve({ limits, trustProxy: true });
    expect(await knock(behindProxy, "198.51.100.7, 203.0.113.1")).toBe("in");
    expect(await knock(behindProxy, "203.0.113.1")).toBe("refused");
    expect(await knock(behindProxy, "203.0.113.1, 2001:db8::1")).toBe("in");
    const { link } = await behindProxy.user(0);
    expect([link.source, link.remote]).toEqual(["203.0.113.1", "203.0.113.1"]);
    expect((await behindProxy.user(1)).link.source).toBe("2001:db8:0:0::/64");
    expect(await knock(behindProxy, "nonsense")).toBe("in");
    expect((await behindProxy.user(2)).link.source).toBe("127.0.0.1");

    const direct = await serve({ limits });
    expect(await knock(direct, "203.0.113.1")).toBe("in");
    expect(await knock(direct, "203.0.113.2")).toBe("refused");
    expect((await direct.user(0)).link.source).toBe("127.0.0.1");
  });

  it("ends a silent connection of its proxy too", async () => {
    const host = await serve({ trustProxy: true, limits: { unauthenticatedMs: 20 } });
    await textUntilEnd(await rawDial(host));
    const stopped = await serve({ trustProxy: true, limits: { maxLinks: 1 } });
    const socket = await rawDial(stopped);
    const ended = textUntilEnd(socket);
    expect(await textUntilEnd(await rawDial(stopped))).toBe("");
    expect(stopped.transport.refusals.full).toBe(1);
    await stopped.served.stop();
    expect(await ended).toBe("");
  });
});

describe("a websocket listener within a server that is there already", () => {
  const listening = async (server: http.Server): Promise<number> => {
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    cleanups.push(() => server.close());
    return (server.address() as net.AddressInfo).port;
  };
  const healthy: http.RequestListener = (_request, response) => void response.end("healthy");

  it("leaves everything else to it, and leaves it as it was", async () => {
    const server = http.createServer(healthy);
    const port = await listening(server);
    const host = await serve({ server, path: "/egtp", limits: { unauthenticatedMs: 60_000 } });
    expect(host.served.strategies).toEqual([{ kind: "websocket", url: `ws://127.0.0.1:${port}/egtp` }]);
    expect(await (await fetch(`http://127.0.0.1:${port}/egtp`)).text()).toBe("healthy");
    const elsewhere = await rawDial(host);
    elsewhere.write(upgradeRequest("/"));
    expect(await textUntilEnd(elsewhere)).toMatch(/^HTTP\/1.1 404 /);
    const link = await dialer().dial(host.served.strategies[0]!, alice, { signal });
    link.send(Uint8Array.of(1));
    await host.user(0);
    const tagless = textUntilEnd(await upgraded(host, "/egtp"));
    await host.served.stop();
    await tagless;
    expect(server.listenerCount("upgrade")).toBe(0);
    expect(await (await fetch(`http://127.0.0.1:${port}/`)).text()).toBe("healthy");
  });

  it("has let go of every connection when it has stopped", async () => {
    const server = http.createServer(healthy);
    await listening(server);
    const host = await serve({ server });
    const open = new Set<net.Socket>();
    server.on("connection", (socket) => {
      open.add(socket);
      socket.once("close", () => open.delete(socket));
    });
    await upgraded(host);
    const link = await dialer().dial(host.served.strategies[0]!, alice, { signal });
    link.send(Uint8Array.of(1));
    await host.user(0);
    expect(open.size).toBe(2);
    await host.served.stop();
    expect(open.size).toBe(0);
  });

  it("shares it with others that take WebSockets", async () => {
    const server = http.createServer(healthy);
    await listening(server);
    const first = await serve({ server, path: "/first" });
    const second = await serve({ server, path: "/second" });
    for (const { served } of [second, first]) await dialer().dial(served.strategies[0]!, alice, { signal });
    await first.user(0);
    await second.user(0);
  });

  it("counts sources and limits as ever", async () => {
    const server = http.createServer(healthy);
    await listening(server);
    const host = await serve({ server, limits: { maxLinksPerSource: 1 } });
    await upgraded(host);
    const socket = await rawDial(host);
    socket.write(upgradeRequest("/"));
    expect(await textUntilEnd(socket)).toBe("");
    expect(host.transport.refusals["source-full"]).toBe(1);
  });

  it("knows one with TLS", async () => {
    const server = https.createServer(certificate, healthy);
    const port = await listening(server);
    const host = await serve({ server });
    expect(host.served.strategies).toEqual([{ kind: "websocket", url: `wss://127.0.0.1:${port}/` }]);
    await dialer({ ca: Buffer.from(certificate.cert) }).dial(host.served.strategies[0]!, alice, { signal });
    await host.user(0);
  });

  it("has to know where it is: the server listens first, or a public URL is given", async () => {
    const server = http.createServer();
    const early = websocket({ server }).serve({ peer: alice }, () => {});
    await expect(early).rejects.toMatchObject({ code: "EGTP_LISTEN_FAILED", cause: { message: /listen/ } });
    const publicUrl = "wss://relay.example/";
    const host = await serve({ server, publicUrl });
    expect(host.served.strategies).toEqual([{ kind: "websocket", url: publicUrl }]);
  });
});

describe("a websocket dialer", () => {
  it("sends its tag and the first envelope in one message", async () => {
    const { url, firstMessage } = await rawListener();
    const link = await dialer().dial({ kind: "websocket", url }, alice, { signal });
    link.send(Uint8Array.of(1, 2, 3));
    const message = await firstMessage;
    expect(message.subarray(32)).toEqual(Buffer.from([0, 0, 0, 3, 1, 2, 3]));
    const salt = message.subarray(0, 16);
    expect(message.subarray(0, 32)).toEqual(Buffer.from(createDialTag(crypto.sha512, salt, peerIdToBytes(alice))));
  });

  it("sends its tag when it has nothing else to say", async () => {
    const { url, firstMessage } = await rawListener();
    await dialer().dial({ kind: "websocket", url }, alice, { signal });
    expect((await firstMessage).length).toBe(32);
  });

  it("asks for no subprotocol, no compression, and sends no Origin", async () => {
    const { url, request } = await rawListener();
    await dialer().dial({ kind: "websocket", url }, alice, { signal });
    const { headers } = await request;
    expect(Object.keys(headers).sort()).toEqual([
      "connection",
      "host",
      "sec-websocket-key",
      "sec-websocket-version",
      "upgrade",
    ]);
  });

  it("ends a link on which too much is sent at once", async () => {
    const { url, server } = await rawListener();
    server.on("connection", (socket) => socket.send(Buffer.alloc(maxWebSocketMessageBytes + 1)));
    const link = await dialer().dial({ kind: "websocket", url }, alice, { signal });
    const end = await new Promise<LinkEnd>((closed) => link.start({ envelope: () => {}, drain: () => {}, closed }));
    expect(end).toMatchObject({ reason: "malformed", error: { code: "WS_ERR_UNSUPPORTED_MESSAGE_LENGTH" } });
  });

  it.each([
    "http://a.example/",
    "wss://",
    "ws://user:password@a.example/",
    "ws://a.example/#fragment",
    "ws://a b/",
    "ws://a.example:99999/",
    "a.example",
    "",
  ])("says that %j is no address", async (url) => {
    const dialing = dialer().dial({ kind: "websocket", url }, alice, { signal });
    await expect(dialing).rejects.toMatchObject({ code: "EGTP_BAD_ADDRESS", hint: expect.stringContaining("wss:") });
  });

  it("says what is wrong with the other end", async () => {
    const codeOf = (url: string, options: WebSocketOptions = {}): Promise<unknown> =>
      dialer(options)
        .dial({ kind: "websocket", url }, alice, { signal })
        .then(
          () => undefined,
          (error: TransportError) => error.code,
        );
    expect(await codeOf("ws://nobody.invalid/")).toBe("EGTP_DIAL_NAME_NOT_FOUND");
    const page = http.createServer((_request, response) => void response.end("a page"));
    page.listen(0, "127.0.0.1");
    await once(page, "listening");
    cleanups.push(() => page.close());
    const { port } = page.address() as net.AddressInfo;
    expect(await codeOf(`ws://127.0.0.1:${port}/`)).toBe("EGTP_DIAL_NO_WEBSOCKET");
    expect(await codeOf(`wss://127.0.0.1:${port}/`)).toBe("EGTP_DIAL_NO_WEBSOCKET");
    const liar = await rawServer(
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
    );
    expect(await codeOf(`ws://127.0.0.1:${liar}/`)).toBe("EGTP_DIAL_NO_WEBSOCKET");
    const babbler = await rawServer("hello\r\n");
    expect(await codeOf(`ws://127.0.0.1:${babbler}/`)).toBe("EGTP_DIAL_NO_WEBSOCKET");
    const { url } = await serve({ path: "/here" });
    expect(await codeOf(url.replace("/here", "/there"))).toBe("EGTP_DIAL_NO_WEBSOCKET");
    const secure = await serve({ tls: certificate });
    expect(await codeOf(secure.url)).toBe("EGTP_DIAL_BAD_CERTIFICATE");
    expect(await codeOf(secure.url, { ca: localCertificate().cert })).toBe("EGTP_DIAL_BAD_CERTIFICATE");
    expect(await codeOf(secure.url, { ca: certificate.cert })).toBeUndefined();
    expect(() => websocket({ ca: "none" })).toThrow(expect.objectContaining({ code: "EGTP_BAD_CERTIFICATE" }));
  });

  it("gives up in time", async () => {
    const silent = await rawServer("");
    const atOnce = {
      now: () => systemClock.now(),
      setTimer: (task: () => void) => {
        queueMicrotask(task);
        return () => {};
      },
    };
    const dialing = websocket({ clock: atOnce }).dial({ kind: "websocket", url: `ws://127.0.0.1:${silent}/` }, alice, {
      signal,
    });
    await expect(dialing).rejects.toMatchObject({ code: "EGTP_DIAL_TIMEOUT" });
  });

  it("can be given up while it waits for an answer", async () => {
    const controller = new AbortController();
    const server = net.createServer(() => controller.abort());
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    cleanups.push(() => server.close());
    const url = `ws://127.0.0.1:${(server.address() as net.AddressInfo).port}/`;
    const dialing = dialer().dial({ kind: "websocket", url }, alice, { signal: controller.signal });
    await expect(dialing).rejects.toMatchObject({ code: "EGTP_DIAL_ABORTED" });
  });

  it("asks about the addresses that a name leads to", async () => {
    const { url } = await rawListener();
    const named = url.replace("127.0.0.1", "localhost");
    const asked: string[] = [];
    const permits = (address: string): boolean => {
      asked.push(address);
      return address === "127.0.0.1";
    };
    const link = await dialer().dial({ kind: "websocket", url: named }, alice, { signal, permits });
    expect(link.source).toBe("127.0.0.1");
    expect(asked).toContain("127.0.0.1");
    const refused = dialer().dial({ kind: "websocket", url: named }, alice, { signal, permits: () => false });
    await expect(refused).rejects.toMatchObject({ code: "EGTP_DIAL_FORBIDDEN" });
    // The URL of a loopback address in other clothes.
    const disguised = dialer().dial({ kind: "websocket", url: url.replace("127.0.0.1", "2130706433") }, alice, {
      signal,
      permits: (address) => address !== "127.0.0.1",
    });
    await expect(disguised).rejects.toMatchObject({ code: "EGTP_DIAL_FORBIDDEN" });
  });

  it("cannot dial what is not a websocket", async () => {
    const strategy = { kind: "tcp", host: "127.0.0.1", port: 1 } as const;
    expect(dialer().canDial(strategy)).toBe(false);
    expect(dialer().canDial({ kind: "websocket", url: "wss://a.example" })).toBe(true);
    await expect(dialer().dial(strategy, alice, { signal })).rejects.toBeInstanceOf(TypeError);
  });
});

describe("without the package ws", () => {
  it("says how to install it, when it is served or dialled with", async () => {
    vi.resetModules();
    vi.doMock("ws", () => {
      throw new Error("Cannot find package 'ws'");
    });
    cleanups.push(() => vi.doUnmock("ws"));
    const { websocket: unable } = await import("../src/nodejs/websocket.ts");
    const missing = { code: "EGTP_MISSING_PART", hint: expect.stringMatching(/^npm install ws@/) };
    await expect(unable({ port: 0 }).serve({ peer: alice }, () => {})).rejects.toMatchObject(missing);
    await expect(unable().serve({ peer: alice }, () => {})).rejects.toMatchObject(missing);
    const dialing = unable().dial({ kind: "websocket", url: "ws://127.0.0.1:1/" }, bob, { signal });
    await expect(dialing).rejects.toMatchObject(missing);
  });
});

/** A transport that only dials, the links of which are closed after the test. */
function dialer(options: WebSocketOptions = {}): Pick<Transport, "dial" | "canDial"> {
  const transport = websocket(options);
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
  readonly got: number[][];
  end: LinkEnd | undefined;
}

interface Host {
  readonly transport: Transport;
  readonly served: Served;
  readonly url: string;
  readonly port: number;
  readonly links: Link[];
  /** The user of the link that came in as the given one. */
  user(index: number): Promise<User>;
}

async function serve(options: WebSocketOptions = {}): Promise<Host> {
  const place = options.server === undefined ? { host: "127.0.0.1", port: 0 } : {};
  const transport = websocket({ ...place, ...options });
  const links: Link[] = [];
  const users: User[] = [];
  const served = await transport.serve({ peer: alice }, (link) => {
    links.push(link);
    const user: User = { link, got: [], end: undefined };
    users.push(user);
    link.start({
      envelope: (bytes) => void user.got.push([...bytes]),
      drain: () => {},
      closed: (end) => {
        user.end = end;
      },
    });
  });
  cleanups.push(() => served.stop());
  const [strategy] = served.strategies;
  const url = strategy?.kind === "websocket" ? strategy.url : "";
  return {
    transport,
    served,
    links,
    url,
    port: Number(new URL(url).port),
    user: async (index) => {
      await expect.poll(() => users.length).toBeGreaterThan(index);
      return users[index]!;
    },
  };
}

function tagFor(peer: PeerId): Uint8Array {
  return createDialTag(crypto.sha512, crypto.randomBytes(16), peerIdToBytes(peer));
}

function upgradeRequest(path: string, more = ""): string {
  const key = Buffer.alloc(16, 1).toString("base64");
  const upgrade = `Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${key}`;
  return `GET ${path} HTTP/1.1\r\nHost: example.com\r\n${upgrade}\r\n${more}\r\n`;
}

async function rawDial(host: Host): Promise<net.Socket> {
  const socket = net.connect(host.port, "127.0.0.1");
  cleanups.push(() => socket.destroy());
  await once(socket, "connect");
  socket.on("error", () => {}); // a reset is an end too, and on a slow machine it comes before what is written
  return socket;
}

/** A connection that has become a WebSocket, to write frames to. */
async function upgraded(host: Host, path = "/"): Promise<net.Socket> {
  const socket = await rawDial(host);
  socket.write(upgradeRequest(path));
  const [answer] = await once(socket, "data");
  expect(String(answer)).toMatch(/^HTTP\/1.1 101 .*\r\n\r\n$/s);
  return socket;
}

/** What comes before the other side ends the connection. */
async function textUntilEnd(socket: net.Socket): Promise<string> {
  let text = "";
  socket.on("data", (chunk) => {
    text += chunk.toString("latin1");
  });
  if (!socket.closed) await new Promise((resolve) => socket.once("close", resolve));
  return text;
}

function frameHead(opcode: number, length: number, { fin = true, masked = true } = {}): Buffer {
  const head = Buffer.alloc(10);
  head[0] = (fin ? 0x80 : 0) | opcode;
  head[1] = (masked ? 0x80 : 0) | 127;
  head.writeBigUInt64BE(BigInt(length), 2);
  return head;
}

function frame(opcode: number, payload: Uint8Array, options: { fin?: boolean; masked?: boolean } = {}): Buffer {
  const { fin = true, masked = true } = options;
  const isShort = payload.length < 126;
  const head = isShort
    ? Buffer.of((fin ? 0x80 : 0) | opcode, (masked ? 0x80 : 0) | payload.length)
    : frameHead(opcode, payload.length, { fin, masked });
  const mask = Buffer.of(1, 2, 3, 4);
  const body = payload.map((byte, index) => (masked ? byte ^ mask[index % 4]! : byte));
  return Buffer.concat([head, masked ? mask : Buffer.alloc(0), body]);
}

function manyFrames(count: number): Buffer {
  return Buffer.concat([
    frame(2, Buffer.of(1), { fin: false }),
    ...Array.from({ length: count }, () => frame(0, Buffer.of(1), { fin: false })),
  ]);
}

/** A WebSocket server that is no transport. */
async function rawListener(): Promise<{
  url: string;
  server: WebSocketServer;
  request: Promise<http.IncomingMessage>;
  firstMessage: Promise<Buffer>;
}> {
  const server = new WebSocketServer({ port: 0, host: "127.0.0.1" });
  await once(server, "listening");
  cleanups.push(() => {
    for (const client of server.clients) client.terminate();
    server.close();
  });
  let onRequest: (request: http.IncomingMessage) => void;
  let onMessage: (message: Buffer) => void;
  const request = new Promise<http.IncomingMessage>((resolve) => {
    onRequest = resolve;
  });
  const firstMessage = new Promise<Buffer>((resolve) => {
    onMessage = resolve;
  });
  server.on("connection", (socket, incoming) => {
    socket.on("error", () => {});
    onRequest(incoming);
    socket.once("message", (data: Buffer) => onMessage(data));
  });
  return { url: `ws://127.0.0.1:${(server.address() as net.AddressInfo).port}/`, server, request, firstMessage };
}

/** A server that answers whatever it hears with the same words. */
async function rawServer(answer: string): Promise<number> {
  const server = net.createServer((socket) => {
    cleanups.push(() => socket.destroy());
    socket.on("error", () => {});
    if (answer !== "") socket.on("data", () => socket.write(answer));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  cleanups.push(() => server.close());
  return (server.address() as net.AddressInfo).port;
}
