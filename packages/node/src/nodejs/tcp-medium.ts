/** One TCP connection as the medium of a link: lengths and envelopes, joined for writing, split after reading. */
import type { Socket } from "node:net";
import { EnvelopeSplitter, lengthPrefixBytes, writeLengthPrefix } from "@egtp/wire";
import type { TransportLimits } from "../transport-limits.ts";
import type { LinkMedium, MediumLink } from "../transport-link.ts";
import type { SocketReader } from "./socket-reader.ts";

/** Up to here copying an envelope next to its length is cheaper than a piece of its own in the write. */
const joinBytes = 8_192;

export class TcpMedium implements LinkMedium {
  readonly #socket: Socket;
  readonly #reader: SocketReader;
  readonly #limits: TransportLimits;
  readonly #splitter = new EnvelopeSplitter();
  #link: MediumLink | undefined;
  /** The dial tag, until it is sent: with the first envelope when there is one at once. */
  #opening: Uint8Array | undefined;
  #failure: Error | undefined;
  #peerEnded = false;
  #done: () => void = () => {};

  /**
   * @param reader - Of this socket.
   * @param opening - What to send before the first envelope.
   */
  constructor(socket: Socket, reader: SocketReader, opening: Uint8Array | undefined, limits: TransportLimits) {
    this.#socket = socket;
    this.#reader = reader;
    this.#limits = limits;
    this.#opening = opening;
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
    socket.on("end", () => {
      this.#peerEnded = true;
      socket.destroy();
    });
    socket.on("error", (error) => {
      this.#failure = error;
    });
    socket.on("close", () => {
      if (this.#failure === undefined && this.#peerEnded) link.gone("closed-by-peer");
      else link.gone("lost", this.#failure);
    });
    if (socket.destroyed) queueMicrotask(() => link.gone("lost"));
  }

  readonly receive = (chunk: Uint8Array): void => {
    const link = this.#link!;
    try {
      for (const envelope of this.#splitter.push(chunk)) link.receive(envelope);
    } catch (error) {
      if (error !== this.#splitter.failure) throw error;
    }
    if (this.#splitter.failure !== undefined) link.abort("malformed", this.#splitter.failure);
  };

  write(batch: readonly Uint8Array[], done: () => void): void {
    this.#done = done;
    const socket = this.#socket;
    const [first] = batch;
    if (batch.length === 1 && first!.length <= joinBytes && this.#opening === undefined) {
      socket.write(joined(batch, 0, 1, lengthPrefixBytes + first!.length), this.#onWritten);
      return;
    }
    socket.cork();
    this.#sendOpening();
    let from = 0;
    let bytes = 0;
    for (const [at, envelope] of batch.entries()) {
      if (envelope.length <= joinBytes) {
        bytes += lengthPrefixBytes + envelope.length;
        continue;
      }
      const prefix = Buffer.allocUnsafe(bytes + lengthPrefixBytes);
      fill(prefix, batch, from, at);
      writeLengthPrefix(envelope.length, prefix, bytes);
      socket.write(prefix);
      if (at === batch.length - 1) socket.write(envelope, this.#onWritten);
      else socket.write(envelope);
      from = at + 1;
      bytes = 0;
    }
    if (bytes > 0) socket.write(joined(batch, from, batch.length, bytes), this.#onWritten);
    socket.uncork();
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
    const opening = this.#opening;
    this.#opening = undefined;
    if (opening !== undefined && this.#socket.writable) this.#socket.write(opening);
  }
}

/** Some envelopes of a batch with their lengths, in one piece of the size given. */
function joined(batch: readonly Uint8Array[], from: number, to: number, bytes: number): Buffer {
  const buffer = Buffer.allocUnsafe(bytes);
  fill(buffer, batch, from, to);
  return buffer;
}

function fill(buffer: Buffer, batch: readonly Uint8Array[], from: number, to: number): void {
  let at = 0;
  for (let index = from; index < to; index++) {
    const envelope = batch[index]!;
    writeLengthPrefix(envelope.length, buffer, at);
    buffer.set(envelope, at + lengthPrefixBytes);
    at += lengthPrefixBytes + envelope.length;
  }
}
