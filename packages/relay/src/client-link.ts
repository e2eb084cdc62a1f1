/**
 * A link through a relay: each envelope given to it is passed along in a request of its own, and the relay's answer is told as
 * the envelope's fate. Nothing ever arrives on it: what comes for us comes as mail.
 *
 * Envelopes leave in the order given. Bounds: `highWaterBytes` and `highWaterEnvelopes`, and one envelope more, when the node
 * heeds `send`.
 *
 * @see docs/spec.md, "Relay"
 */
import type { EgtpError, EnvelopeFate, Link, LinkEnd, LinkHandlers, RejectReason } from "@egtp/node";
import { lengthPrefixBytes, type Millis, type PeerId, peerIdBytes, peerIdToBytes } from "@egtp/wire";
import type { RelayClientLimits } from "./client-limits.ts";
import { RelayRefusedError } from "./errors.ts";
import type { Refusal } from "./protocol.ts";

/** An envelope on its way through a relay. */
export interface Parcel {
  readonly link: RelayLink;
  /** Counts the envelopes of its link. */
  readonly serial: number;
  readonly envelope: Uint8Array;
  /** Gives up the request that passes it along. */
  readonly giveUp: AbortController;
}

/** What a link needs of the hop that it leads over. */
export interface RelayLinkHost {
  readonly relay: PeerId;
  readonly limits: RelayClientLimits;
  now(): Millis;
  setTimer(task: () => void, delayMs: Millis): () => void;
  /** The link has something for the relay. */
  wants(link: RelayLink): void;
  gone(link: RelayLink): void;
}

const rejectReasons: Partial<Record<Refusal, RejectReason>> = {
  "mailbox-full": "quota",
  "sender-quota": "quota",
  "too-large": "too-large",
};

export class RelayLink implements Link {
  readonly direction = "outgoing";
  readonly remote: string;
  readonly source: string;
  /** The ID of the recipient is written there: for a copy of every envelope there are too many. */
  readonly headBytes = peerIdBytes;
  readonly bytesReceived = 0;
  readonly target: PeerId;
  readonly targetBytes: Uint8Array;

  readonly #host: RelayLinkHost;
  #handlers: LinkHandlers | undefined;
  /** open: in use. closing: nothing more is taken; what was given leaves, and the relay's last words are awaited. gone: over. */
  #phase: "open" | "closing" | "gone" = "open";
  #end: Omit<LinkEnd, "unsent"> | undefined;
  #unsent: readonly Uint8Array[] = [];
  #cancelTimer = (): void => {};

  /** Given to us and not to the relay, in order. */
  readonly #queue: Parcel[] = [];
  /** Given to the relay, which has not said what became of them. */
  readonly #underWay = new Set<Parcel>();
  #serial = 0;
  #queuedBytes = 0;
  #bytesSent = 0;
  #needsDrain = false;
  #usedAt: Millis;

  constructor(host: RelayLinkHost, target: PeerId) {
    this.#host = host;
    this.target = target;
    this.targetBytes = peerIdToBytes(target);
    this.remote = `relay ${host.relay}`;
    this.source = this.remote;
    this.#usedAt = host.now();
  }

  get bytesSent(): number {
    return this.#bytesSent;
  }

  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  get writable(): boolean {
    return this.#phase === "open" && !this.#needsDrain;
  }

  start(handlers: LinkHandlers): void {
    if (this.#handlers !== undefined) throw new TypeError("This link was started before");
    this.#handlers = handlers;
    if (this.#phase === "gone") queueMicrotask(() => this.#tellClosed());
  }

  send(envelope: Uint8Array): boolean {
    if (this.#phase !== "open") return false;
    const { highWaterBytes, highWaterEnvelopes } = this.#host.limits;
    const giveUp = new AbortController();
    this.#queue.push({ link: this, serial: this.#serial++, envelope, giveUp });
    this.#queuedBytes += bytesOf(envelope);
    if (this.#queuedBytes >= highWaterBytes || this.#waiting >= highWaterEnvelopes) this.#needsDrain = true;
    this.#host.wants(this);
    return !this.#needsDrain;
  }

  authenticated(): void {}

  pause(): void {}

  resume(): void {}

  close(detail?: string): void {
    this.#close({ reason: "closed", detail, error: undefined });
  }

  // ---- For the hop

  get hasQueued(): boolean {
    return this.#queue.length > 0;
  }

  /** The next envelope for the relay. */
  take(): Parcel | undefined {
    const parcel = this.#queue.shift();
    if (parcel !== undefined) this.#underWay.add(parcel);
    return parcel;
  }

  /** The relay did not take it yet: it goes there again, before what was given later. */
  putBack(parcel: Parcel): void {
    if (!this.#underWay.delete(parcel)) return;
    const at = this.#queue.findIndex(({ serial }) => serial > parcel.serial);
    this.#queue.splice(at < 0 ? this.#queue.length : at, 0, parcel);
  }

  /** Its recipient acknowledged it. */
  passed(parcel: Parcel): void {
    this.#settle(parcel, { state: "passed" });
  }

  /** The relay keeps it. */
  stored(parcel: Parcel, until: Millis): void {
    this.#settle(parcel, { state: "stored", relay: this.#host.relay, until });
  }

  /** The relay does not take it, so nothing more goes there for this recipient. */
  refuse(parcel: Parcel, refusal: Refusal): void {
    if (!this.#underWay.delete(parcel)) return;
    const error = new RelayRefusedError(this.#host.relay, this.target, refusal);
    // What waits behind it has not left either.
    for (const { envelope } of [parcel, ...this.#queue.splice(0)]) {
      this.#queuedBytes -= bytesOf(envelope);
      this.#handlers?.fate?.(envelope, { state: "refused", error, reason: rejectReasons[refusal] });
    }
    this.#close({ reason: "closed", detail: `refused: ${refusal}`, error });
    this.#finishWhenDone();
  }

  /** Closes the link when nothing was given to it since the time. */
  closeIfIdle(since: Millis): void {
    if (this.#waiting > 0 || this.#usedAt > since) return;
    this.#close({ reason: "idle", detail: undefined, error: undefined });
  }

  /** The relay is out of reach: nobody will say what became of what it was given. */
  lose(error: EgtpError): void {
    this.#end ??= { reason: "lost", detail: undefined, error };
    this.#finish();
  }

  // ---- Its own

  get #waiting(): number {
    return this.#queue.length + this.#underWay.size;
  }

  get #isLow(): boolean {
    const { lowWaterBytes, lowWaterEnvelopes } = this.#host.limits;
    return this.#queuedBytes <= lowWaterBytes && this.#waiting <= lowWaterEnvelopes;
  }

  #settle(parcel: Parcel, fate: EnvelopeFate): void {
    if (!this.#underWay.delete(parcel)) return;
    const { envelope } = parcel;
    this.#queuedBytes -= bytesOf(envelope);
    this.#bytesSent += bytesOf(envelope);
    this.#usedAt = this.#host.now();
    this.#handlers?.fate?.(envelope, fate);
    if (this.#phase === "closing") this.#finishWhenDone();
    else if (this.#needsDrain && this.#phase === "open" && this.#isLow) {
      this.#needsDrain = false;
      this.#handlers?.drain();
    }
  }

  #close(end: Omit<LinkEnd, "unsent">): void {
    if (this.#phase !== "open") return;
    this.#end = end;
    this.#phase = "closing";
    this.#cancelTimer = this.#host.setTimer(() => this.#finish(), this.#host.limits.closingMs);
    // Nobody is told anything from inside a call.
    queueMicrotask(() => this.#finishWhenDone());
  }

  #finishWhenDone(): void {
    if (this.#waiting === 0) this.#finish();
  }

  #finish(): void {
    if (this.#phase === "gone") return;
    this.#phase = "gone";
    this.#cancelTimer();
    const unsettled = [...this.#underWay, ...this.#queue].sort((a, b) => a.serial - b.serial);
    this.#underWay.clear();
    this.#queue.length = 0;
    for (const { giveUp } of unsettled) giveUp.abort();
    this.#unsent = unsettled.map(({ envelope }) => envelope);
    this.#host.gone(this);
    this.#tellClosed();
  }

  #tellClosed(): void {
    this.#handlers?.closed({ ...this.#end!, unsent: this.#unsent });
    this.#unsent = [];
  }
}

function bytesOf(envelope: Uint8Array): number {
  return lengthPrefixBytes + envelope.length;
}
