/**
 * How the bytes of a socket reach us: read into memory of ours again and again where Node.js allows it, else in a new
 * buffer for each read.
 *
 * At 64 KiB a read the new buffer costs as much as the read. Node.js lets a caller bring the memory (`onread`) for
 * connections it opens, but offers no such option for those it accepts; there the same switch is set where Node.js
 * itself keeps it, and if it is not to be found there, the ordinary way is taken.
 */
import type { OnReadOpts, Socket } from "node:net";

/** Bytes of one read from a link that is authentic: some envelopes at once when there are many. */
const readBytes = 262_144;

/** Bytes of one read from a stranger: bounds what has to be kept of it while its first envelope is judged. */
const strangerReadBytes = 65_536;

/** Memory for all sockets of a transport: each is done with it before another one is read. */
export class ReadMemory {
  readonly whole: Uint8Array = Buffer.allocUnsafeSlow(readBytes);
  readonly forStrangers: Uint8Array = this.whole.subarray(0, strangerReadBytes);

  /** @returns Nothing where reads go on while a program runs, which needs memory for each socket: on Windows. */
  static create(): ReadMemory | undefined {
    return process.platform === "win32" ? undefined : new ReadMemory();
  }
}

export class SocketReader {
  /** Called with what arrives. When the reader lends, the bytes last until the call returns. */
  onBytes: (bytes: Uint8Array) => void = () => {};
  #memory: ReadMemory | undefined;
  #view: Uint8Array | undefined;

  constructor(memory: ReadMemory | undefined) {
    this.#memory = memory;
    this.#view = memory?.forStrangers;
  }

  get lends(): boolean {
    return this.#memory !== undefined;
  }

  /** What to connect with. */
  get connectOptions(): { readonly onread?: OnReadOpts } {
    return this.lends ? { onread: { buffer: this.#nextBuffer, callback: this.#onRead } } : {};
  }

  /** Takes the bytes of a socket that was connected with these options. It stays paused. */
  attach(socket: Socket): void {
    socket.pause();
    if (!this.lends) socket.on("data", (bytes: Uint8Array) => this.onBytes(bytes));
  }

  /** Takes the bytes of a socket that was accepted paused, before anything was read. It stays paused. */
  attachAccepted(socket: Socket): void {
    if (this.lends && !this.#lendTo(socket)) this.#memory = undefined;
    this.attach(socket);
  }

  /** It reads from no stranger any more. */
  authenticated(): void {
    this.#view = this.#memory?.whole;
  }

  readonly #nextBuffer = (): Uint8Array => this.#view!;

  readonly #onRead = (length: number, memory: Uint8Array): true => {
    this.onBytes(memory.subarray(0, length));
    return true;
  };

  /** Does for an accepted socket what the option `onread` does for others. @returns False: nothing was done. */
  #lendTo(socket: Socket): boolean {
    const symbols = Object.getOwnPropertySymbols(socket);
    const named = (name: string): symbol | undefined => symbols.find((symbol) => symbol.description === name);
    const [buffer, callback, generator] = [named("kBuffer"), named("kBufferCb"), named("kBufferGen")];
    const inside = socket as unknown as Record<symbol, unknown> & { _handle?: { useUserBuffer?: unknown } | null };
    const handle = inside._handle;
    if (buffer === undefined || callback === undefined || generator === undefined) return false;
    if (typeof handle?.useUserBuffer !== "function") return false;
    inside[buffer] = this.#view;
    inside[callback] = this.#onRead;
    inside[generator] = this.#nextBuffer;
    handle.useUserBuffer(this.#view);
    return true;
  }
}
