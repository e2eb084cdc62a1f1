/**
 * Envelopes on a byte stream: each behind its length, 4 bytes big-endian.
 *
 * Transports that keep message boundaries do not need this.
 *
 * @see docs/spec.md, "Links"
 */
import { viewOf } from "./bytes.ts";
import { WireError } from "./errors.ts";
import { lengthPrefixBytes, maxEnvelopeBytes } from "./limits.ts";

/** Bytes set aside when the first piece of an envelope arrives; what is kept grows only with what arrives. */
const firstAllocationBytes = 1_024;

/**
 * Writes the length that goes before an envelope.
 *
 * @param length - Bytes of the envelope.
 * @param into - At least 4 bytes from `offset`.
 */
export function writeLengthPrefix(length: number, into: Uint8Array, offset = 0): void {
  if (!Number.isInteger(length) || length < 1 || length > maxEnvelopeBytes) {
    throw new RangeError(`An envelope of ${length} bytes`);
  }
  if (into.length < offset + lengthPrefixBytes) throw new RangeError("No room for a length prefix");
  into[offset] = length >>> 24;
  into[offset + 1] = length >>> 16;
  into[offset + 2] = length >>> 8;
  into[offset + 3] = length;
}

/** Cuts a byte stream into envelopes, however it arrives in chunks. Holds at most one incomplete envelope. */
export class EnvelopeSplitter {
  readonly #maxBytes: number;
  /** How many bytes of the length prefix have arrived, and their value. */
  #prefixBytes = 0;
  #length = 0;
  /** The beginning of an envelope whose end has not arrived. */
  #partial: Uint8Array | undefined;
  #partialBytes = 0;
  #failure: WireError | undefined;

  /** @param options.maxBytes - Longer envelopes are refused; by default the protocol's limit. */
  constructor(options: { maxBytes?: number } = {}) {
    this.#maxBytes = Math.min(options.maxBytes ?? maxEnvelopeBytes, maxEnvelopeBytes);
  }

  /** Bytes of the incomplete envelope held at present. */
  get bufferedBytes(): number {
    return this.#prefixBytes + this.#partialBytes;
  }

  /** Why the stream cannot go on, as soon as that is known. */
  get failure(): WireError | undefined {
    return this.#failure;
  }

  /**
   * Takes the next bytes of the stream and returns the envelopes that they complete, which lie inside `chunk` where they
   * arrived whole, else in memory of their own. After it returns, nothing here refers to `chunk`.
   *
   * When a bad length follows complete envelopes in one chunk these are returned, `failure` is set, and the next call
   * throws; the outcome is the same however the stream was cut.
   *
   * @throws {@link WireError} `EGTP_WIRE_BAD_LENGTH` for a length of zero, `EGTP_WIRE_TOO_LARGE`. The stream has then
   *   lost its place: every later call throws the same error. Close the link.
   */
  push(chunk: Uint8Array): Uint8Array[] {
    if (this.#failure !== undefined) throw this.#failure;
    const complete: Uint8Array[] = [];
    let at = 0;
    while (at < chunk.length) {
      if (this.#prefixBytes < lengthPrefixBytes) {
        this.#length = this.#length * 256 + chunk[at++]!;
        this.#prefixBytes += 1;
        if (this.#prefixBytes === lengthPrefixBytes && !this.#acceptLength()) {
          if (complete.length > 0) return complete;
          throw this.#failure;
        }
        continue;
      }
      const missing = this.#length - this.#partialBytes;
      const end = Math.min(chunk.length, at + missing);
      if (this.#partial === undefined && end - at === missing) {
        complete.push(viewOf(chunk, at, end));
        this.#startNext();
      } else {
        const partial = this.#append(chunk, at, end);
        if (this.#partialBytes === this.#length) {
          complete.push(viewOf(partial, 0, this.#length));
          this.#startNext();
        }
      }
      at = end;
    }
    return complete;
  }

  #acceptLength(): boolean {
    if (this.#length === 0) {
      this.#failure = new WireError("EGTP_WIRE_BAD_LENGTH", "An envelope of no bytes was announced");
    } else if (this.#length > this.#maxBytes) {
      this.#failure = new WireError(
        "EGTP_WIRE_TOO_LARGE",
        `An envelope of ${this.#length} bytes was announced, the limit is ${this.#maxBytes}`,
      );
    }
    return this.#failure === undefined;
  }

  /** Keeps a piece of the current envelope. The announced length is not believed: memory doubles as bytes arrive. */
  #append(chunk: Uint8Array, start: number, end: number): Uint8Array {
    const needed = this.#partialBytes + (end - start);
    let partial = this.#partial;
    if (partial === undefined || partial.length < needed) {
      const grown = new Uint8Array(Math.min(this.#length, Math.max(firstAllocationBytes, 2 * needed)));
      if (partial !== undefined) grown.set(partial.subarray(0, this.#partialBytes));
      partial = grown;
      this.#partial = grown;
    }
    partial.set(chunk.subarray(start, end), this.#partialBytes);
    this.#partialBytes = needed;
    return partial;
  }

  #startNext(): void {
    this.#prefixBytes = 0;
    this.#length = 0;
    this.#partial = undefined;
    this.#partialBytes = 0;
  }
}
