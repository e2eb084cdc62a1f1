/** The dialer of browsers, over a WebSocket that does what a test says: full buffers, blocked addresses, odd messages. */
import { afterEach, describe, expect, it, vi } from "vitest";
import type { Link, LinkEnd } from "../src/transport.ts";
import { maxWebSocketMessageBytes } from "../src/transport-limits.ts";
import { websocket } from "../src/websocket.ts";
import { ManualClock } from "./manual-clock.ts";
import { peers } from "./transport-peers.ts";

const url = "wss://relay.example/";
const { signal } = new AbortController();

/** As browsers have it, and nothing but what is used of it. */
class FakeWebSocket {
  static last: FakeWebSocket;
  readonly OPEN = 1;
  readonly url: string;
  readonly sent: Uint8Array[] = [];
  binaryType = "blob";
  readyState = 0;
  bufferedAmount = 0;
  closes = 0;
  onopen: (() => void) | null = null;
  onmessage: ((event: { data: unknown }) => void) | null = null;
  onclose: ((event: { code: number }) => void) | null = null;

  constructor(where: string) {
    if (where.startsWith("ws://blocked")) throw new DOMException("An insecure WebSocket", "SecurityError");
    this.url = where;
    FakeWebSocket.last = this;
  }

  send(bytes: Uint8Array): void {
    this.sent.push(bytes.slice());
    this.bufferedAmount += bytes.length;
  }

  close(): void {
    this.closes += 1;
    this.readyState = 2;
  }

  open(): void {
    this.readyState = 1;
    this.onopen?.();
  }

  end(code: number): void {
    this.readyState = 3;
    this.onclose?.({ code });
  }
}

afterEach(() => vi.unstubAllGlobals());

async function dialled(limits = {}) {
  vi.stubGlobal("WebSocket", FakeWebSocket);
  const clock = new ManualClock();
  const dialing = websocket({ clock, limits }).dial({ kind: "websocket", url }, peers[0], { signal });
  await vi.waitFor(() => expect(FakeWebSocket.last?.url).toBe(url));
  const socket = FakeWebSocket.last;
  socket.open();
  const link = await dialing;
  const user = { got: [] as number[], drains: 0, end: undefined as LinkEnd | undefined };
  link.start({
    envelope: (bytes) => void user.got.push(bytes.length),
    drain: () => {
      user.drains += 1;
    },
    closed: (end) => {
      user.end = end;
    },
  });
  return { link, socket, clock, user };
}

/** Some turns of microtasks. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await Promise.resolve();
}

function sentBytes(socket: FakeWebSocket): number {
  return socket.sent.reduce((sum, { length }) => sum + length, 0);
}

describe("a websocket dialer in a browser", () => {
  it("sends its tag with the first envelope, or alone when there is none at once", async () => {
    const first = await dialled();
    first.link.send(Uint8Array.of(1, 2, 3));
    expect(first.socket.sent.map(({ length }) => length)).toEqual([32 + 4 + 3]);
    const second = await dialled();
    expect(second.socket.sent).toEqual([]);
    second.clock.advance(0);
    expect(second.socket.sent.map(({ length }) => length)).toEqual([32]);
    expect(first.socket.binaryType).toBe("arraybuffer");
  });

  it("sends what one turn has to say in few messages, none too long", async () => {
    const { link, socket } = await dialled();
    link.authenticated();
    link.send(Uint8Array.of(0)); // on its way, so that the rest waits
    for (let index = 0; index < 200; index++) link.send(new Uint8Array(1_000));
    link.send(new Uint8Array(60_000));
    socket.bufferedAmount = 0;
    await settle();
    const lengths = socket.sent.slice(1).map(({ length }) => length);
    expect(Math.max(...lengths)).toBeLessThanOrEqual(maxWebSocketMessageBytes);
    expect(lengths.length).toBeLessThanOrEqual(4);
    expect(sentBytes(socket)).toBe(32 + 5 + 200 * 1_004 + 60_004);
  });

  it("waits for room in the browser's buffer, and leaves no timer behind", async () => {
    const { link, socket, clock, user } = await dialled({ highWaterBytes: 600_000, lowWaterBytes: 300_000 });
    link.authenticated();
    let sent = 0;
    while (link.send(new Uint8Array(50_000))) sent += 1;
    await settle();
    expect(sentBytes(socket)).toBeLessThan(sent * 50_000);
    const before = sentBytes(socket);
    for (let look = 0; look < 100; look++) clock.advance(4);
    expect(sentBytes(socket)).toBe(before);
    expect(user.drains).toBe(0);
    for (let look = 0; look < 20; look++) {
      socket.bufferedAmount = 0;
      clock.advance(4);
      await settle();
    }
    expect(user.drains).toBe(1);
    expect(link.queuedBytes).toBe(0);
    expect(sentBytes(socket)).toBe(32 + (sent + 1) * 50_004);
    expect(clock.pending).toBe(1); // the link's own
  });

  it("looks at the buffer when something arrives, too, as timers are slow in a page that nobody sees", async () => {
    const { link, socket, user } = await dialled({ highWaterBytes: 400_000, lowWaterBytes: 100_000 });
    link.authenticated();
    while (link.send(new Uint8Array(50_000)));
    await settle();
    expect(user.drains).toBe(0);
    socket.bufferedAmount = 0;
    socket.onmessage?.({ data: Uint8Array.of(0, 0, 0, 1, 9).buffer });
    expect(user.drains).toBe(1);
  });

  it("ends a link that takes nothing, and gives back what it did not take", async () => {
    const { link, clock, user } = await dialled();
    link.authenticated();
    while (link.send(new Uint8Array(50_000)));
    await settle();
    clock.advance(120_000);
    await settle();
    expect(user.end).toMatchObject({ reason: "stalled" });
    expect(user.end!.unsent.length).toBeGreaterThan(0);
    expect(clock.pending).toBe(0);
  });

  it.each([
    ["text", "hello", "EGTP_WIRE_BAD_LENGTH"],
    ["a message that is too long", new ArrayBuffer(maxWebSocketMessageBytes + 1), "EGTP_WIRE_TOO_LARGE"],
    ["an envelope of no bytes", new ArrayBuffer(4), "EGTP_WIRE_BAD_LENGTH"],
  ])("ends a link that sends %s", async (_, data, code) => {
    const { socket, clock, user } = await dialled();
    socket.onmessage?.({ data });
    await settle();
    expect(user.end).toMatchObject({ reason: "malformed", error: { code } });
    expect(socket.closes).toBe(1);
    expect(clock.pending).toBe(0);
  });

  it("ends a link that sends more than can be held while it is judged", async () => {
    const { link, socket, user } = await dialled();
    const message = new Uint8Array(65_540);
    message.set([0, 1, 0, 0]);
    let sent = 0;
    while (socket.onmessage !== null && sent < 1_000) {
      socket.onmessage({ data: message.buffer });
      sent += 1;
      await settle();
    }
    expect(user.end).toMatchObject({ reason: "overrun" });
    expect(user.got.length).toBe(1);
    expect(sent * message.length).toBeLessThan(5 * 1_048_576);
    expect(link.writable).toBe(false);
  });

  it("tells an orderly end from a broken line", async () => {
    const orderly = await dialled();
    orderly.socket.end(1005);
    expect(orderly.user.end).toMatchObject({ reason: "closed-by-peer" });
    const broken = await dialled();
    broken.socket.end(1006);
    expect(broken.user.end).toMatchObject({ reason: "lost" });
    expect(broken.clock.pending).toBe(0);
  });

  it("closes in order, and does not wait long for the other end", async () => {
    const { link, socket, clock, user } = await dialled();
    link.send(Uint8Array.of(1));
    link.close("done");
    await settle();
    expect(sentBytes(socket)).toBe(32 + 5);
    expect(socket.closes).toBe(1);
    clock.advance(2_000);
    await settle();
    expect(user.end).toMatchObject({ reason: "closed", detail: "done", unsent: [] });
    expect(clock.pending).toBe(0);
  });

  it("says that it could not connect, as far as it is told", async () => {
    vi.stubGlobal("WebSocket", FakeWebSocket);
    const clock = new ManualClock();
    const dial = (to: string): Promise<Link> =>
      websocket({ clock }).dial({ kind: "websocket", url: to }, peers[0], { signal });
    const refused = dial(url);
    await settle();
    FakeWebSocket.last.end(1006);
    await expect(refused).rejects.toMatchObject({ code: "EGTP_DIAL_FAILED", cause: { message: /console/ } });
    await expect(dial("ws://blocked.example/")).rejects.toMatchObject({
      code: "EGTP_DIAL_FAILED",
      cause: { name: "SecurityError" },
    });
    const slow = dial(url);
    await settle();
    clock.advance(10_000);
    await expect(slow).rejects.toMatchObject({ code: "EGTP_DIAL_TIMEOUT" });
    expect(FakeWebSocket.last.closes).toBe(1);
    expect(clock.pending).toBe(0);
  });

  it("cannot listen, and needs a WebSocket", async () => {
    expect(() => websocket({ port: 0 })).toThrow(TypeError);
    vi.stubGlobal("WebSocket", undefined);
    const dialing = websocket().dial({ kind: "websocket", url }, peers[0], { signal });
    await expect(dialing).rejects.toMatchObject({ code: "EGTP_MISSING_PART" });
  });
});
