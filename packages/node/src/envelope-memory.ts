/**
 * Memory for the envelopes of one node: that of long ones is used again when a medium is done with it, short ones have a piece
 * in common.
 *
 * Fresh memory for each of them would be the greatest part of what they cost: a garbage collector counts it, and looks through
 * everything else whenever some megabytes of it came together.
 *
 * Bounds: `maxSpare` pieces are kept, 2 MiB, while envelopes are sent; none is kept that was not needed in this node before.
 */
import { maxEnvelopeBytes } from "@egtp/wire";

/** From so many bytes on memory is used again, */
const minBytes = 16_384;
const maxSpare = 32;
/** up to so many it is a part of a piece. */
const shortBytes = 1_024;
const pieceBytes = 8_192;

export class EnvelopeMemory {
  readonly #spare: ArrayBuffer[] = [];
  #piece = new ArrayBuffer(0);
  #pieceAt = 0;

  /** Memory of this length; its content is arbitrary when it was used before. */
  readonly take = (bytes: number): Uint8Array => {
    if (bytes <= shortBytes) return this.#partOfPiece(bytes);
    if (bytes < minBytes || bytes > maxEnvelopeBytes) return new Uint8Array(bytes);
    return new Uint8Array(this.#spare.pop() ?? new ArrayBuffer(maxEnvelopeBytes), 0, bytes);
  };

  /** @param envelope - What `take` gave, once, when nobody looks at it any more. Others are left alone. */
  give(envelope: Uint8Array): void {
    const { buffer } = envelope;
    if (envelope.length < minBytes || buffer.byteLength !== maxEnvelopeBytes || envelope.byteOffset !== 0) return;
    if (this.#spare.length < maxSpare) this.#spare.push(buffer as ArrayBuffer);
  }

  #partOfPiece(bytes: number): Uint8Array {
    if (this.#pieceAt + bytes > this.#piece.byteLength) {
      this.#piece = new ArrayBuffer(pieceBytes);
      this.#pieceAt = 0;
    }
    const part = new Uint8Array(this.#piece, this.#pieceAt, bytes);
    this.#pieceAt += bytes;
    return part;
  }
}
