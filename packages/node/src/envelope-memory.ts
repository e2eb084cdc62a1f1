/**
 * Memory for the long envelopes of one node, used again when a medium is done with it.
 *
 * Fresh memory for each of them would be the greatest part of what they cost: a garbage collector counts it, and looks through
 * everything else whenever some megabytes of it came together.
 *
 * Bounds: `maxSpare` pieces are kept, 2 MiB, while envelopes are sent; none is kept that was not needed in this node before.
 */
import { maxEnvelopeBytes } from "@egtp/wire";

/** Shorter ones are cheap. */
const minBytes = 16_384;
const maxSpare = 32;

export class EnvelopeMemory {
  readonly #spare: ArrayBuffer[] = [];

  /** Memory of this length; its content is arbitrary when it was used before. */
  readonly take = (bytes: number): Uint8Array => {
    if (bytes < minBytes || bytes > maxEnvelopeBytes) return new Uint8Array(bytes);
    return new Uint8Array(this.#spare.pop() ?? new ArrayBuffer(maxEnvelopeBytes), 0, bytes);
  };

  /** @param envelope - What `take` gave, once, when nobody looks at it any more. Others are left alone. */
  give(envelope: Uint8Array): void {
    const { buffer } = envelope;
    if (envelope.length < minBytes || buffer.byteLength !== maxEnvelopeBytes || envelope.byteOffset !== 0) return;
    if (this.#spare.length < maxSpare) this.#spare.push(buffer as ArrayBuffer);
  }
}
