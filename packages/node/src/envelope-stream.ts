/**
 * Envelopes on a byte stream, as TCP and WebSocket carry them: first the dial tag of whoever dials, then each envelope
 * behind its length. Where the stream is cut into pieces means nothing.
 *
 * @see docs/spec.md, "Links"
 */
import { EnvelopeSplitter, lengthPrefixBytes, writeLengthPrefix } from "@egtp/wire";
import type { LinkMedium, MediumLink } from "./transport-link.ts";

/** Up to here copying an envelope next to its length is cheaper than a piece of its own in the write. */
const joinBytes = 8_192;

/** A medium that carries such a stream. */
export interface StreamMedium extends LinkMedium {
  /** To be called once, before anything else. */
  attach(link: MediumLink): void;
  /** Takes bytes that arrived before there was a link. */
  receive(bytes: Uint8Array): void;
}

/** What the streams of a medium have in common. */
export interface EnvelopeStreamOptions {
  /** Envelopes are not joined beyond this. At least the longest one fits into a piece whatever this says. */
  readonly maxPieceBytes: number;
  /** Memory for what is joined. */
  readonly allocate: (bytes: number) => Uint8Array;
}

export class EnvelopeStream {
  readonly #options: EnvelopeStreamOptions;
  readonly #splitter = new EnvelopeSplitter();
  #opening: Uint8Array | undefined;

  /** @param opening - What is sent before the first envelope: the dial tag. */
  constructor(options: EnvelopeStreamOptions, opening: Uint8Array | undefined) {
    this.#options = options;
    this.#opening = opening;
  }

  /** What is to be sent before the first envelope, if that has not left; it has then. */
  takeOpening(): Uint8Array | undefined {
    const opening = this.#opening;
    this.#opening = undefined;
    return opening;
  }

  /** The bytes of envelopes, in few pieces: small ones are joined, long ones are left where they lie. */
  piecesOf(batch: readonly Uint8Array[]): Uint8Array[] {
    const pieces: Uint8Array[] = [];
    let opening = this.takeOpening();
    let bytes = opening?.length ?? 0;
    let from = 0;
    const join = (to: number, room: number): Uint8Array => {
      const piece = this.#options.allocate(bytes + room);
      let at = 0;
      if (opening !== undefined) {
        piece.set(opening);
        at = opening.length;
        opening = undefined;
      }
      for (let index = from; index < to; index++) {
        const envelope = batch[index]!;
        writeLengthPrefix(envelope.length, piece, at);
        piece.set(envelope, at + lengthPrefixBytes);
        at += lengthPrefixBytes + envelope.length;
      }
      pieces.push(piece);
      bytes = 0;
      return piece;
    };
    for (let at = 0; at < batch.length; at++) {
      const envelope = batch[at]!;
      if (envelope.length > joinBytes) {
        const piece = join(at, lengthPrefixBytes);
        writeLengthPrefix(envelope.length, piece, piece.length - lengthPrefixBytes);
        pieces.push(envelope);
        from = at + 1;
        continue;
      }
      if (bytes + lengthPrefixBytes + envelope.length > this.#options.maxPieceBytes) {
        join(at, 0);
        from = at;
      }
      bytes += lengthPrefixBytes + envelope.length;
    }
    if (bytes > 0) join(batch.length, 0);
    return pieces;
  }

  /** Hands a link the envelopes that these bytes complete, and ends it when they are no such stream. */
  receive(bytes: Uint8Array, link: MediumLink): void {
    try {
      for (const envelope of this.#splitter.push(bytes)) link.receive(envelope);
    } catch (error) {
      if (error !== this.#splitter.failure) throw error;
    }
    if (this.#splitter.failure !== undefined) link.abort("malformed", this.#splitter.failure);
  }
}
