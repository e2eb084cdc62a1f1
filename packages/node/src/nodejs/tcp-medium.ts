/** One TCP connection as the medium of a link: one write for what one turn has to say. */
import type { Socket } from "node:net";
import { EnvelopeStream, type EnvelopeStreamOptions, type StreamMedium } from "../envelope-stream.ts";
import type { TransportLimits } from "../transport-limits.ts";
import type { MediumLink } from "../transport-link.ts";
import type { SocketReader } from "./socket-reader.ts";

const streamOptions: EnvelopeStreamOptions = {
  maxPieceBytes: Infinity,
  allocate: (bytes) => Buffer.allocUnsafe(bytes),
};

export class TcpMedium implements StreamMedium {
  readonly releases = true;
  readonly #socket: Socket;
  readonly #reader: SocketReader;
  readonly #limits: TransportLimits;
  readonly #stream: EnvelopeStream;
  #link: MediumLink | undefined;
  #done: () => void = () => {};

  /**
   * @param reader - Of this socket.
   * @param opening - What to send before the first envelope: with it when there is one at once.
   */
  constructor(socket: Socket, reader: SocketReader, opening: Uint8Array | undefined, limits: TransportLimits) {
    this.#socket = socket;
    this.#reader = reader;
    this.#limits = limits;
    this.#stream = new EnvelopeStream(streamOptions, opening);
    socket.pause();
    if (opening !== undefined) setImmediate(() => this.#sendOpening());
  }

  get lends(): boolean {
    return this.#reader.lends;
  }

  attach(link: MediumLink): void {
    this.#link = link;
    const socket = this.#socket;
    this.#reader.onBytes = this.receive;
    // One function for all sockets where that will do: a relay holds many that are idle.
    socket.on("end", destroyEnded);
    socket.on("close", () => {
      const failure = socket.errored ?? undefined;
      if (failure === undefined && socket.readableEnded) link.gone("closed-by-peer");
      else link.gone("lost", failure);
    });
    if (socket.destroyed) queueMicrotask(() => link.gone("lost"));
  }

  readonly receive = (bytes: Uint8Array): void => {
    this.#stream.receive(bytes, this.#link!);
  };

  write(batch: readonly Uint8Array[], done: () => void): void {
    this.#done = done;
    const socket = this.#socket;
    const pieces = this.#stream.piecesOf(batch);
    const last = pieces.length - 1;
    if (last > 0) socket.cork();
    for (let index = 0; index < last; index++) socket.write(pieces[index]!);
    socket.write(pieces[last]!, this.#onWritten);
    if (last > 0) socket.uncork();
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  authenticated(): void {
    this.#reader.authenticated();
    this.#socket.setKeepAlive(true, this.#limits.keepAliveMs);
  }

  end(): void {
    this.#sendOpening();
    this.#reader.onBytes = () => {};
    this.#socket.resume();
    this.#socket.end();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  /** A write that failed is not done: "close" follows. */
  readonly #onWritten = (error?: Error | null): void => {
    if (error === undefined || error === null) this.#done();
  };

  #sendOpening(): void {
    const opening = this.#stream.takeOpening();
    if (opening !== undefined && this.#socket.writable) this.#socket.write(opening);
  }
}

function destroyEnded(this: Socket): void {
  this.destroy();
}
