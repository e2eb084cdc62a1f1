// Messages and requests over a net.Socket or tls.TLSSocket, framed by length. Two ways to write: each message by itself,
// or all that one turn of the event loop has to say joined into one write.

import { once } from "node:events";
import { answer, ignore, OpenRequests } from "./exchange.mjs";
import { encodeFrame, FrameReader, headerBytes, MESSAGE, REPLY, REQUEST, writeHeader } from "./frames.mjs";

const joinBytes = 64 * 1024; // one write of this size costs little more than one of 100 bytes
const copyBytes = 8 * 1024; // up to here copying header and body together is cheaper than writing two buffers

export class FramedSocket {
  #socket;
  #joined;
  #requests = new OpenRequests();
  #buffer;
  #start = 0;
  #end = 0;
  #flushScheduled = false;

  /** @param handlers - The listener's `onMessage` and `onRequest`; left out on the dialer. */
  constructor(socket, { joined, handlers }) {
    this.#socket = socket;
    this.#joined = joined;
    const reader = new FrameReader((kind, id, body) => {
      if (kind === MESSAGE) handlers.onMessage(body);
      else if (kind === REPLY) this.#requests.settle(id, body);
      else answer(handlers.onRequest(body), (reply) => this.#send(REPLY, id, reply));
    });
    socket.on("data", (chunk) => reader.push(chunk));
    socket.on("error", ignore); // "close" follows
    socket.on("close", () => this.#requests.failAll(new Error("the connection closed")));
  }

  async sendMany(body, count) {
    for (let i = 0; i < count; i++) {
      if (!this.#send(MESSAGE, 0, body)) await once(this.#socket, "drain");
    }
  }

  request(body) {
    return this.#requests.ask((id) => this.#send(REQUEST, id, body));
  }

  async close() {
    if (this.#socket.destroyed) return;
    const closed = new Promise((resolve) => this.#socket.once("close", resolve));
    this.#socket.destroy();
    await closed;
  }

  /** Returns false when the caller should wait for "drain". */
  #send(kind, id, body) {
    if (this.#joined) return this.#join(kind, id, body);
    if (body.byteLength <= copyBytes) return this.#socket.write(encodeFrame(kind, id, body));
    return this.#writeTwo(kind, id, body);
  }

  #join(kind, id, body) {
    const bytes = headerBytes(kind) + body.byteLength;
    if (bytes > joinBytes) {
      this.#flush();
      return this.#writeTwo(kind, id, body);
    }
    if (this.#end + bytes > joinBytes) {
      this.#flush();
      this.#buffer = undefined;
    }
    if (this.#buffer === undefined) {
      this.#buffer = Buffer.allocUnsafeSlow(joinBytes);
      this.#start = this.#end = 0;
    }
    this.#buffer.set(body, writeHeader(this.#buffer, this.#end, kind, id, body.byteLength));
    this.#end += bytes;
    if (!this.#flushScheduled) {
      this.#flushScheduled = true;
      process.nextTick(() => {
        this.#flushScheduled = false;
        this.#flush();
      });
    }
    return !this.#socket.writableNeedDrain;
  }

  #flush() {
    if (this.#start === this.#end) return;
    this.#socket.write(this.#buffer.subarray(this.#start, this.#end));
    this.#start = this.#end; // the written part belongs to the socket, the rest serves the next turn
  }

  /** One writev for a large message: header and body are not copied together. */
  #writeTwo(kind, id, body) {
    const header = Buffer.allocUnsafe(headerBytes(kind));
    writeHeader(header, 0, kind, id, body.byteLength);
    this.#socket.cork();
    this.#socket.write(header);
    const more = this.#socket.write(body);
    this.#socket.uncork();
    return more;
  }
}
