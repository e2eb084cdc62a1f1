/**
 * What every link does, whatever its medium: the queue of what is sent, back pressure, handing over what arrives, the
 * limits for strangers, the time limits, the orderly end.
 *
 * The medium moves envelopes and is told when to pause, end or stop. It reports by `receive` and `gone`, and calls the
 * `done` of a write. A link owns a timer while it is unauthenticated and while it closes; in between its transport looks at it.
 *
 * Bounds: `highWaterBytes` and one envelope is queued when the node heeds `send`; what is held while paused is one read
 * of the medium, or `maxHeldBytes` where the medium cannot pause.
 *
 * @see docs/spec.md, "Links"
 */
import type { LinkWatch, Watched } from "./link-watch.ts";
import type { Link, LinkEnd, LinkEndReason, LinkHandlers } from "./transport.ts";
import type { Admission } from "./transport-door.ts";
import { checkEnvelopeLength, linkBytesOf } from "./transport-limits.ts";

/** One connection of some medium, driven by a {@link MediumLink}. */
export interface LinkMedium {
  /** Whether what it hands to `receive` lasts only until that returns. */
  readonly lends: boolean;
  /** Whether nobody looks at what was written any more when it is done. */
  readonly releases?: boolean;
  /**
   * Writes envelopes in order. One write at a time.
   *
   * @param batch - Borrowed until done; its envelopes do not change.
   * @param done - To be called when the medium took all of it, never before `write` returned.
   */
  write(batch: readonly Uint8Array[], done: () => void): void;
  /** Stops receiving, where it can. A medium is born paused. */
  pause(): void;
  resume(): void;
  /** The other end is no stranger any more. */
  authenticated(): void;
  /** Asks the other end for a sign of life, to be told by `alive`. Absent where the operating system does it. */
  ping?(): void;
  /** Ends the connection after what was written; what still arrives is dropped. `gone` follows. */
  end(): void;
  /** Ends the connection now. `gone` follows, never before `destroy` returned. */
  destroy(): void;
}

export interface MediumLinkOptions {
  readonly direction: Link["direction"];
  readonly remote: string;
  readonly source: string;
  /** Of its transport. */
  readonly watch: LinkWatch;
  /** When the time of an unauthenticated link is over, on the clock. */
  readonly unauthenticatedUntil: number;
  /** The place at the door; outgoing links have none. */
  readonly admission?: Admission;
  /** Called once when the link is gone, before its user hears of it. */
  readonly onGone?: (link: MediumLink) => void;
}

const none: readonly Uint8Array[] = [];

export class MediumLink implements Link, Watched {
  readonly direction: Link["direction"];
  readonly remote: string;
  readonly source: string;
  readonly #medium: LinkMedium;
  readonly #watch: LinkWatch;
  readonly #admission: Admission | undefined;
  readonly #onGone: ((link: MediumLink) => void) | undefined;
  #handlers: LinkHandlers | undefined;
  #cancelTimer: (() => void) | undefined;

  /**
   * open: in use. draining: the other end has closed, what it sent before is being handed over. closing: closed here, what
   * was sent is leaving. gone: over.
   */
  #phase: "open" | "draining" | "closing" | "gone" = "open";
  #authenticated = false;
  #end: Omit<LinkEnd, "unsent"> | undefined;

  /** Sent, not yet given to the medium. Like all lists here it is absent while it is empty: there are many links. */
  #queue: Uint8Array[] | undefined;
  /** Given to the medium, which is not done with it. */
  #inFlight: readonly Uint8Array[] | undefined;
  #queuedBytes = 0;
  #bytesSent = 0;
  #needsDrain = false;

  /** Received, not yet handed over. */
  #held: Uint8Array[] | undefined;
  #heldBytes = 0;
  #bytesReceived = 0;
  #paused = false;
  #handing = false;
  #handingScheduled = false;
  #mediumPaused = true;

  /** What the last look at the clock saw. */
  #seenReceived = 0;
  #seenSent = 0;
  #lastTraffic = 0;
  #lastProgress = 0;
  #lastHeard = 0;

  constructor(medium: LinkMedium, options: MediumLinkOptions) {
    const { watch } = options;
    this.#medium = medium;
    this.#watch = watch;
    this.#admission = options.admission;
    this.#onGone = options.onGone;
    this.direction = options.direction;
    this.remote = options.remote;
    this.source = options.source;
    const left = Math.max(1, options.unauthenticatedUntil - watch.clock.now());
    this.#cancelTimer = watch.clock.setTimer(() => this.abort("unauthenticated"), left);
  }

  get bytesReceived(): number {
    return this.#bytesReceived;
  }

  get bytesSent(): number {
    return this.#bytesSent;
  }

  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  get writable(): boolean {
    return this.#phase === "open" && !this.#needsDrain && this.#maySend;
  }

  /** The listening side says nothing before it knows that somebody authentic listens. */
  get #maySend(): boolean {
    return this.#authenticated || this.direction === "outgoing";
  }

  start(handlers: LinkHandlers): void {
    if (this.#handlers !== undefined) throw new TypeError("This link was started before");
    this.#handlers = handlers;
    if (this.#phase === "gone") queueMicrotask(() => this.#tellClosed());
    else this.#handOn();
  }

  send(envelope: Uint8Array): boolean {
    checkEnvelopeLength(envelope);
    if (this.#phase !== "open") return false;
    this.#queue ??= [];
    this.#queue.push(envelope);
    this.#queuedBytes += linkBytesOf(envelope);
    if (!this.#maySend) this.#needsDrain = true;
    else {
      if (this.#inFlight === undefined) this.#flush();
      if (this.#queuedBytes >= this.#watch.limits.highWaterBytes) this.#needsDrain = true;
    }
    return !this.#needsDrain;
  }

  authenticated(): void {
    if (this.#authenticated || this.#phase === "gone") return;
    this.#authenticated = true;
    this.#admission?.authenticated();
    if (this.#phase === "closing") return;
    this.#endTimer();
    this.#lastTraffic = this.#lastProgress = this.#lastHeard = this.#watch.clock.now();
    this.#watch.add(this);
    if (this.#phase === "open") {
      this.#medium.authenticated();
      if (this.#inFlight === undefined) this.#flush();
    }
    this.resume();
  }

  pause(): void {
    this.#paused = true;
    this.#handOn();
  }

  resume(): void {
    this.#paused = false;
    this.#handOn();
  }

  close(detail?: string): void {
    this.#close("closed", detail);
  }

  // ---- For the transport

  /** Ends the link in order: what was sent leaves first, within the time limit for closing. */
  stop(): void {
    this.#close("stopped", undefined);
  }

  /** Ends the link at once. */
  abort(reason: LinkEndReason, error?: Error): void {
    if (this.#phase === "gone") return;
    this.#end ??= { reason, detail: undefined, error };
    if (this.#phase === "draining") this.#finish();
    else this.#medium.destroy();
  }

  /** The medium has received an envelope. */
  receive(envelope: Uint8Array): void {
    if (this.#phase !== "open") return;
    this.#bytesReceived += linkBytesOf(envelope);
    if (this.#handing || this.#held !== undefined || !this.#ready) {
      this.#held ??= [];
      this.#held.push(this.#medium.lends ? envelope.slice() : envelope);
      this.#heldBytes += linkBytesOf(envelope);
      if (this.#heldBytes > this.#watch.limits.maxHeldBytes) this.abort("overrun");
    } else this.#handOver(envelope);
    this.#handOn();
  }

  /** The other end lives, though it may send nothing. */
  alive(): void {
    this.#lastHeard = this.#watch.clock.now();
  }

  /** The medium is gone: by our doing, or else for this reason. */
  gone(reason: "closed-by-peer" | "lost" | "malformed", error?: Error): void {
    if (this.#phase === "gone" || this.#phase === "draining") return;
    const orderly = this.#end === undefined && reason === "closed-by-peer";
    if (orderly && this.#held !== undefined) {
      this.#phase = "draining";
      return;
    }
    this.#end ??= { reason, detail: undefined, error };
    this.#finish();
  }

  // ---- Sending

  /** Gives the medium what is queued, in one write, so that what one turn has to say leaves together. */
  #flush(): void {
    const queue = this.#queue;
    if (queue === undefined) return;
    let count = 0;
    for (let bytes = 0; count < queue.length && bytes < this.#watch.limits.maxWriteBytes; count++) {
      bytes += linkBytesOf(queue[count]!);
    }
    const batch = count === queue.length ? queue : queue.slice(0, count);
    this.#queue = count === queue.length ? undefined : queue.slice(count);
    this.#inFlight = batch;
    this.#medium.write(batch, this.#written);
  }

  readonly #written = (): void => {
    if (this.#phase === "gone") return;
    const written = this.#inFlight ?? none;
    this.#inFlight = undefined;
    for (const envelope of written) {
      const bytes = linkBytesOf(envelope);
      this.#queuedBytes -= bytes;
      this.#bytesSent += bytes;
      if (this.#medium.releases === true) this.#handlers?.left?.(envelope);
    }
    this.#flush();
    if (this.#phase === "closing") {
      if (this.#inFlight === undefined) this.#medium.end();
    } else if (this.#needsDrain && this.#phase === "open" && this.#queuedBytes <= this.#watch.limits.lowWaterBytes) {
      this.#needsDrain = false;
      this.#handlers?.drain();
    }
  };

  // ---- Receiving

  /** Whether the next envelope may be handed over. */
  get #ready(): boolean {
    return this.#handlers !== undefined && !this.#paused && (this.#phase === "open" || this.#phase === "draining");
  }

  #handOver(envelope: Uint8Array): void {
    if (!this.#authenticated) this.#paused = true;
    this.#handing = true;
    try {
      this.#handlers!.envelope(envelope);
    } finally {
      this.#handing = false;
    }
  }

  /** After a change: pauses or resumes the medium, or hands over what is held. */
  #handOn(): void {
    if (this.#handing || this.#phase === "gone" || this.#phase === "closing") return;
    if (!this.#ready) this.#pauseMedium(true);
    else if (this.#held === undefined) this.#pauseMedium(false);
    else if (!this.#handingScheduled) {
      this.#handingScheduled = true;
      queueMicrotask(() => {
        this.#handingScheduled = false;
        this.#handOverHeld();
      });
    }
  }

  #handOverHeld(): void {
    const held = this.#held;
    if (held === undefined) return;
    let next = 0;
    try {
      while (next < held.length && this.#ready) {
        const envelope = held[next++]!;
        this.#heldBytes -= linkBytesOf(envelope);
        this.#handOver(envelope);
      }
    } finally {
      held.splice(0, next);
      if (held.length === 0) this.#held = undefined;
    }
    if (this.#phase === "draining" && this.#held === undefined) {
      this.#end ??= { reason: "closed-by-peer", detail: undefined, error: undefined };
      this.#finish();
    } else this.#handOn();
  }

  #pauseMedium(paused: boolean): void {
    if (paused === this.#mediumPaused || this.#phase === "draining") return;
    this.#mediumPaused = paused;
    if (paused) this.#medium.pause();
    else this.#medium.resume();
  }

  // ---- Time limits

  /** For the watch, which looks now and then, instead of a timer for each envelope. */
  look(now: number): void {
    const { idleMs, stalledMs, keepAliveMs } = this.#watch.limits;
    const medium = this.#medium;
    const sent = this.#bytesSent !== this.#seenSent;
    const received = this.#bytesReceived !== this.#seenReceived;
    if (sent || received) this.#lastTraffic = now;
    if (sent || this.#queuedBytes === 0) this.#lastProgress = now;
    if (received || this.#mediumPaused) this.#lastHeard = now;
    this.#seenSent = this.#bytesSent;
    this.#seenReceived = this.#bytesReceived;
    if (now - this.#lastProgress >= stalledMs) this.abort("stalled");
    else if (now - this.#lastTraffic >= idleMs) this.#close("idle", undefined);
    else if (medium.ping !== undefined && now - this.#lastHeard >= 2 * keepAliveMs) this.abort("lost");
    // Asked before the silence has lasted for `keepAliveMs`, not at the first look after that.
    else if (now - this.#lastHeard >= (2 * keepAliveMs) / 3) medium.ping?.();
  }

  #endTimer(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
  }

  /** No time limit counts any more. */
  #unwatch(): void {
    this.#endTimer();
    this.#watch.delete(this);
  }

  // ---- The end

  #close(reason: LinkEndReason, detail: string | undefined): void {
    if (this.#phase === "gone" || this.#phase === "closing") return;
    const draining = this.#phase === "draining";
    this.#end ??= { reason, detail, error: undefined };
    this.#phase = "closing";
    this.#held = undefined;
    this.#unwatch();
    if (draining) {
      queueMicrotask(() => this.#finish());
      return;
    }
    const { clock, limits } = this.#watch;
    this.#cancelTimer = clock.setTimer(() => this.#medium.destroy(), limits.closingMs);
    if (this.#inFlight === undefined) this.#medium.end();
  }

  #finish(): void {
    if (this.#phase === "gone") return;
    this.#phase = "gone";
    this.#unwatch();
    this.#held = undefined;
    this.#admission?.leave();
    this.#onGone?.(this);
    this.#tellClosed();
  }

  #tellClosed(): void {
    const handlers = this.#handlers;
    if (handlers === undefined) return;
    const unsent = [...(this.#inFlight ?? none), ...(this.#queue ?? none)];
    this.#inFlight = this.#queue = undefined;
    handlers.closed({ ...this.#end!, unsent });
  }
}
