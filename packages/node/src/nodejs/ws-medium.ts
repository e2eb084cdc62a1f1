/** A WebSocket of the package ws as the medium of a link. */
import type { Socket } from "node:net";
import { WireError } from "@egtp/wire";
import type { WebSocket } from "ws";
import { EnvelopeStream, type EnvelopeStreamOptions, type StreamMedium } from "../envelope-stream.ts";
import { maxWebSocketMessageBytes, type TransportLimits } from "../transport-limits.ts";
import type { MediumLink } from "../transport-link.ts";

/**
 * Pieces that a message may arrive in, as frames and as reads. A program in a browser cannot choose them and needs few; each
 * costs memory beside its bytes, so that without a bound a stranger could fill some with very little.
 */
const maxParts = 1_024;

/**
 * Pings and pongs taken from a stranger. Between the frames of one message they would keep whole reads of the socket in
 * memory; nobody has a reason for more before the first envelope was judged.
 */
const maxStrangerPings = 16;

const streamOptions: EnvelopeStreamOptions = {
  maxPieceBytes: maxWebSocketMessageBytes,
  allocate: (bytes) => Buffer.allocUnsafe(bytes),
};

/** What a timer of Node.js can wait at most. */
export const maxTimeoutMs = 2 ** 31 - 1;

/** How ws is to behave at either end. Messages above the limit end the link before they are read. */
export function wsOptions(limits: TransportLimits) {
  return {
    perMessageDeflate: false, // nothing compresses what is encrypted
    maxPayload: maxWebSocketMessageBytes,
    maxFragments: maxParts,
    maxBufferedChunks: maxParts,
    skipUTF8Validation: true,
    closeTimeout: Math.min(limits.closingMs, maxTimeoutMs),
  };
}

/** Ends a WebSocket now, in words when they can leave at once: a browser takes anything else for a broken line. */
export function endWebSocket(socket: WebSocket, raw: Socket): void {
  if (raw.writableLength === 0) socket.close();
  socket.terminate();
}

/** Counts the pings and pongs of a WebSocket until they are too many for a stranger. */
export function limitPings(socket: WebSocket, onTooMany: () => void): void {
  let left = maxStrangerPings;
  const count = (): void => {
    left -= 1;
    if (left === 0) onTooMany();
  };
  socket.on("ping", count);
  socket.on("pong", count);
}

export class WsMedium implements StreamMedium {
  readonly lends = false;
  readonly #socket: WebSocket;
  readonly #raw: Socket;
  readonly #stream: EnvelopeStream;
  #link: MediumLink | undefined;
  #failure: Error | undefined;
  #isGone = false;
  #done: () => void = () => {};

  /**
   * @param socket - Open. Whoever listened to it does so no more.
   * @param raw - The connection that it uses.
   * @param opening - What to send before the first envelope: with it when there is one at once.
   */
  constructor(socket: WebSocket, raw: Socket, opening: Uint8Array | undefined) {
    this.#socket = socket;
    this.#raw = raw;
    this.#stream = new EnvelopeStream(streamOptions, opening);
    socket.removeAllListeners();
    socket.pause();
    raw.on("error", (error) => {
      this.#failure = error;
    });
    // Not the line, but what came over it.
    socket.on("error", (error) => {
      this.#failure = error;
      this.#link?.abort("malformed", error);
    });
    // An orderly end has a code; 1006 stands for the lack of one.
    socket.on("close", (code) => {
      this.#isGone = true;
      if (code === 1006) this.#link?.gone("lost", this.#failure);
      else this.#link?.gone("closed-by-peer");
    });
    limitPings(socket, () => this.#link?.abort("malformed"));
    if (opening !== undefined) setImmediate(() => this.#sendOpening());
  }

  attach(link: MediumLink): void {
    this.#link = link;
    this.#socket.on("message", (data: Buffer, isBinary) => {
      if (isBinary) this.receive(data);
      else link.abort("malformed", new WireError("EGTP_WIRE_BAD_LENGTH", "A message of text, not of bytes"));
    });
    if (this.#isGone) queueMicrotask(() => link.gone("lost", this.#failure));
  }

  receive(bytes: Uint8Array): void {
    this.#stream.receive(bytes, this.#link!);
  }

  write(batch: readonly Uint8Array[], done: () => void): void {
    this.#done = done;
    const pieces = this.#stream.piecesOf(batch);
    const last = pieces.length - 1;
    this.#raw.cork();
    for (let index = 0; index < last; index++) this.#socket.send(pieces[index]!);
    this.#socket.send(pieces[last]!, this.#onWritten);
    this.#raw.uncork();
  }

  pause(): void {
    // What has begun to close has to be read to its end.
    if (this.#socket.readyState === this.#socket.OPEN) this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  authenticated(): void {
    const onAlive = (): void => this.#link?.alive();
    this.#socket.removeAllListeners("ping").removeAllListeners("pong").on("ping", onAlive).on("pong", onAlive);
  }

  ping(): void {
    this.#socket.ping();
  }

  end(): void {
    this.#sendOpening();
    this.#socket.resume();
    this.#socket.close();
  }

  destroy(): void {
    endWebSocket(this.#socket, this.#raw);
  }

  /** A write that failed is not done: "close" follows. */
  readonly #onWritten = (error?: Error | null): void => {
    if (error === undefined || error === null) this.#done();
  };

  #sendOpening(): void {
    const opening = this.#stream.takeOpening();
    if (opening !== undefined && this.#socket.readyState === this.#socket.OPEN) this.#socket.send(opening);
  }
}
