// Length-prefixed frames for byte streams (tcp, tls, libp2p): a 4-byte big-endian length, then that many bytes.
// The first byte of a frame says what it is; requests and replies carry a 4-byte number after it.

export const MESSAGE = 0;
export const REQUEST = 1;
export const REPLY = 2;

const lengthBytes = 4;

/** Bytes a frame needs before its body, the length included. */
export function headerBytes(kind) {
  return kind === MESSAGE ? lengthBytes + 1 : lengthBytes + 5;
}

/** Writes the header of a frame at `at` and returns where the body begins. */
export function writeHeader(target, at, kind, id, bodyBytes) {
  const header = headerBytes(kind);
  writeUint32(target, at, header - lengthBytes + bodyBytes);
  target[at + lengthBytes] = kind;
  if (kind !== MESSAGE) writeUint32(target, at + lengthBytes + 1, id);
  return at + header;
}

/** One frame in one new buffer. The body is copied. */
export function encodeFrame(kind, id, body) {
  const frame = Buffer.allocUnsafe(headerBytes(kind) + body.byteLength);
  frame.set(body, writeHeader(frame, 0, kind, id, body.byteLength));
  return frame;
}

/** Cuts a byte stream into frames and hands each body over as a view of the bytes read. */
export class FrameReader {
  #onFrame;
  #length = new Uint8Array(lengthBytes);
  #lengthFill = 0;
  #frame;
  #fill = 0;

  /** @param onFrame - Called with the kind, the number (0 for a message) and the body. */
  constructor(onFrame) {
    this.#onFrame = onFrame;
  }

  push(chunk) {
    let at = 0;
    const end = chunk.byteLength;
    while (at < end) {
      if (this.#frame === undefined) {
        if (this.#lengthFill === 0 && end - at >= lengthBytes) {
          const start = at + lengthBytes;
          const length = readUint32(chunk, at);
          if (end - start >= length) {
            this.#deliver(chunk, start, start + length);
            at = start + length;
            continue;
          }
          this.#begin(length);
          at = start;
        } else {
          this.#length[this.#lengthFill++] = chunk[at++];
          if (this.#lengthFill < lengthBytes) continue;
          this.#lengthFill = 0;
          this.#begin(readUint32(this.#length, 0));
        }
      }
      const taken = Math.min(this.#frame.byteLength - this.#fill, end - at);
      this.#frame.set(chunk.subarray(at, at + taken), this.#fill);
      this.#fill += taken;
      at += taken;
      if (this.#fill === this.#frame.byteLength) {
        const frame = this.#frame;
        this.#frame = undefined;
        this.#deliver(frame, 0, frame.byteLength);
      }
    }
  }

  #begin(length) {
    this.#frame = Buffer.allocUnsafe(length);
    this.#fill = 0;
  }

  #deliver(bytes, start, end) {
    const kind = bytes[start];
    if (kind === MESSAGE) this.#onFrame(kind, 0, bytes.subarray(start + 1, end));
    else this.#onFrame(kind, readUint32(bytes, start + 1), bytes.subarray(start + 5, end));
  }
}

export function readUint32(bytes, at) {
  return ((bytes[at] << 24) | (bytes[at + 1] << 16) | (bytes[at + 2] << 8) | bytes[at + 3]) >>> 0;
}

export function writeUint32(bytes, at, value) {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
}
