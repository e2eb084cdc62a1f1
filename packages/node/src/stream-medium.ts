/** A pair of byte streams as the medium of a link. Whatever becomes of one of them is the end of both. */
import { WireError } from "@egtp/wire";
import { EnvelopeStream, type StreamMedium } from "./envelope-stream.ts";
import type { MediumLink } from "./transport-link.ts";

/** A connection: bytes come in at one end and leave at the other. Node.js makes one of a socket by `Duplex.toWeb`. */
export interface ByteStreams {
  readonly readable: ReadableStream<Uint8Array>;
  readonly writable: WritableStream<Uint8Array>;
}

/** Envelopes are joined to at most this much in one write. */
const maxPieceBytes = 131_072;

/** Reads a stream as long as somebody wants to have what is in it. */
export class StreamReader {
  /** Takes what comes, which is the taker's to keep. */
  onBytes: (bytes: Uint8Array) => void = () => {};
  /** Told once: the other end has said all, or the stream failed. */
  onEnd: (error?: Error) => void = () => {};
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  #isWanted = false;
  #isReading = false;
  #end: { readonly error: Error | undefined } | undefined;

  constructor(readable: ReadableStream<Uint8Array>) {
    this.#reader = readable.getReader();
  }

  /** How it ended, once it did. */
  get end(): { readonly error: Error | undefined } | undefined {
    return this.#end;
  }

  resume(): void {
    this.#isWanted = true;
    if (!this.#isReading) void this.#read();
  }

  /** What is being read already is handed over all the same. */
  pause(): void {
    this.#isWanted = false;
  }

  cancel(): void {
    this.#reader.cancel().catch(() => {}); // `onEnd` follows
    this.resume();
  }

  async #read(): Promise<void> {
    this.#isReading = true;
    try {
      while (this.#isWanted && this.#end === undefined) {
        const { done, value } = await this.#reader.read();
        if (done) this.#finish(undefined);
        else if (value instanceof Uint8Array) this.onBytes(value);
        else throw new WireError("EGTP_WIRE_BAD_LENGTH", "A stream of something else than bytes");
      }
    } catch (error) {
      this.#finish(error instanceof Error ? error : new Error("The stream failed", { cause: error }));
    }
    this.#isReading = false;
  }

  #finish(error: Error | undefined): void {
    if (this.#end !== undefined) return;
    this.#end = { error };
    this.onEnd(error);
  }
}

export class ByteStreamMedium implements StreamMedium {
  readonly lends = false;
  readonly #reader: StreamReader;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  readonly #stream: EnvelopeStream;
  #link: MediumLink | undefined;
  #isGone = false;

  /** @param opening - What to send before the first envelope: with it when there is one at once. */
  constructor(reader: StreamReader, writable: WritableStream<Uint8Array>, opening: Uint8Array | undefined) {
    this.#reader = reader;
    this.#writer = writable.getWriter();
    this.#writer.closed.catch(() => {}); // heard of by the write that failed, or by the reader
    this.#stream = new EnvelopeStream({ maxPieceBytes, allocate: (bytes) => new Uint8Array(bytes) }, opening);
  }

  attach(link: MediumLink): void {
    this.#link = link;
    this.#reader.pause();
    this.#reader.onBytes = (bytes) => this.receive(bytes);
    this.#reader.onEnd = (error) => this.#leave(error === undefined ? "closed-by-peer" : "lost", error);
    const { end } = this.#reader;
    if (end !== undefined) queueMicrotask(() => this.#leave("lost", end.error));
    else queueMicrotask(() => this.#sendOpening());
  }

  receive(bytes: Uint8Array): void {
    this.#stream.receive(bytes, this.#link!);
  }

  write(batch: readonly Uint8Array[], done: () => void): void {
    void this.#writeAll(this.#stream.piecesOf(batch), done);
  }

  pause(): void {
    this.#reader.pause();
  }

  resume(): void {
    this.#reader.resume();
  }

  authenticated(): void {}

  end(): void {
    this.#sendOpening();
    this.#reader.onBytes = () => {};
    // The end of the other side follows, or the time for closing is over.
    this.#writer.close().then(
      () => this.#reader.resume(),
      (error: unknown) => this.#fail(error),
    );
  }

  destroy(): void {
    queueMicrotask(() => this.#leave("lost"));
  }

  /** A write that failed is not done: the link is gone. */
  async #writeAll(pieces: readonly Uint8Array[], done: () => void): Promise<void> {
    try {
      await Promise.all(pieces.map((piece) => this.#writer.write(piece)));
    } catch (error) {
      this.#fail(error);
      return;
    }
    done();
  }

  #sendOpening(): void {
    const opening = this.#stream.takeOpening();
    if (opening !== undefined && !this.#isGone) void this.#writeAll([opening], () => {});
  }

  #fail(error: unknown): void {
    queueMicrotask(() => this.#leave("lost", error instanceof Error ? error : undefined));
  }

  #leave(reason: "closed-by-peer" | "lost", error?: Error): void {
    if (this.#isGone) return;
    this.#isGone = true;
    this.#reader.onBytes = () => {};
    this.#reader.cancel();
    if (reason === "lost") this.#writer.abort(error).catch(() => {});
    else this.#writer.close().catch(() => {});
    this.#link!.gone(reason, error);
  }
}
