/**
 * A WebSocket as browsers have it, as the medium of a link.
 *
 * It can neither make a sender wait nor tell when its own buffer has room again. So what arrives while the link is paused
 * is held by the link, within `maxHeldBytes`; and while more is buffered than it should be, a timer looks at the amount.
 */
import { WireError } from "@egtp/wire";
import { EnvelopeStream, type StreamMedium } from "./envelope-stream.ts";
import type { TransportClock } from "./transport-clock.ts";
import { maxWebSocketMessageBytes } from "./transport-limits.ts";
import type { MediumLink } from "./transport-link.ts";
import type { ConnectWebSocket } from "./websocket-transport.ts";

/** Bytes that may wait in the browser's own buffer, which is to us what an operating system's is elsewhere. */
const maxBufferedBytes = 262_144;

/** How often to look whether they are fewer; no browser has finer timers. With the above, some 60 MB a second. */
const lookMs = 4;

/** Opens WebSockets of a class with the interface of browsers. */
export function connectWith(Socket: new (url: string) => WebSocket): ConnectWebSocket {
  return ({ url, opening, clock }, { succeed, fail }) => {
    const socket = new Socket(url);
    const medium = new WebSocketMedium(socket, opening, clock);
    socket.onopen = () => succeed({ medium, address: undefined });
    medium.onUnopened = () => {
      fail("EGTP_DIAL_FAILED", new Error("A program in a browser is not told why; the browser's console may say it"));
    };
    return () => socket.close();
  };
}

class WebSocketMedium implements StreamMedium {
  readonly lends = false;
  /** Called when it is closed before it has a link. */
  onUnopened = (): void => {};
  readonly #socket: WebSocket;
  readonly #clock: TransportClock;
  readonly #stream: EnvelopeStream;
  #link: MediumLink | undefined;
  /** Of the write that the buffer has no room for. */
  #done: (() => void) | undefined;
  #cancelTimer = (): void => {};
  #isGone = false;

  constructor(socket: WebSocket, opening: Uint8Array, clock: TransportClock) {
    this.#socket = socket;
    this.#clock = clock;
    const allocate = (bytes: number): Uint8Array => new Uint8Array(bytes);
    this.#stream = new EnvelopeStream({ maxPieceBytes: maxWebSocketMessageBytes, allocate }, opening);
    socket.binaryType = "arraybuffer";
    socket.onmessage = ({ data }) => this.#onMessage(data);
    // An orderly end has a code; 1006 stands for the lack of one.
    socket.onclose = ({ code }) => this.#leave(code === 1006 ? "lost" : "closed-by-peer");
  }

  attach(link: MediumLink): void {
    this.#link = link;
    if (this.#isGone) queueMicrotask(() => link.gone("lost"));
    // The tag leaves with the first envelope when there is one at once.
    else this.#cancelTimer = this.#clock.setTimer(() => this.#sendOpening(), 0);
  }

  receive(bytes: Uint8Array): void {
    if (this.#link !== undefined) this.#stream.receive(bytes, this.#link);
  }

  write(batch: readonly Uint8Array[], done: () => void): void {
    if (!this.#isOpen) return; // "close" follows
    for (const piece of this.#stream.piecesOf(batch)) this.#socket.send(piece as Uint8Array<ArrayBuffer>);
    this.#done = done;
    queueMicrotask(() => this.#look());
  }

  pause(): void {}

  resume(): void {}

  authenticated(): void {}

  end(): void {
    this.#sendOpening();
    this.#socket.onmessage = null;
    this.#socket.close();
  }

  destroy(): void {
    this.#socket.close();
    queueMicrotask(() => this.#leave("lost"));
  }

  get #isOpen(): boolean {
    return this.#socket.readyState === this.#socket.OPEN;
  }

  #onMessage(data: unknown): void {
    this.#look();
    if (!(data instanceof ArrayBuffer)) {
      this.#link?.abort("malformed", new WireError("EGTP_WIRE_BAD_LENGTH", "A message of text, not of bytes"));
    } else if (data.byteLength > maxWebSocketMessageBytes) {
      const error = new WireError("EGTP_WIRE_TOO_LARGE", `A WebSocket message of ${data.byteLength} bytes`);
      this.#link?.abort("malformed", error);
    } else this.receive(new Uint8Array(data));
  }

  /** Says that a write is done when the buffer has room, and else looks again later. */
  #look(): void {
    const done = this.#done;
    if (done === undefined || !this.#isOpen) return;
    this.#cancelTimer();
    if (this.#socket.bufferedAmount > maxBufferedBytes) {
      this.#cancelTimer = this.#clock.setTimer(() => this.#look(), lookMs);
      return;
    }
    this.#done = undefined;
    done();
  }

  #sendOpening(): void {
    const opening = this.#stream.takeOpening();
    if (opening !== undefined && this.#isOpen) this.#socket.send(opening as Uint8Array<ArrayBuffer>);
  }

  #leave(reason: "closed-by-peer" | "lost"): void {
    if (this.#isGone) return;
    this.#isGone = true;
    this.#cancelTimer();
    this.#socket.onmessage = null;
    this.#socket.onclose = null;
    if (this.#link === undefined) this.onUnopened();
    else this.#link.gone(reason);
  }
}
