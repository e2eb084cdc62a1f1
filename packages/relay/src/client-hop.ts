/**
 * One relay that we pass envelopes along by, for all their recipients: whether it is reached, and what is under way to it.
 *
 * It is reached once it told its limits, and until its link is lost. Then everything that leads over it ends at once, so that
 * the node goes on by other ways. Links take turns, one envelope each, so that a large pile for one recipient holds nobody up.
 *
 * Bounds: `maxUnderWay` and `maxUnderWayBytes` are given to the relay at a time; the rest waits in its links.
 */
import { EgtpError, type EgtpNode } from "@egtp/node";
import { type Millis, maxEnvelopeBytes, type PeerId } from "@egtp/wire";
import type { RelayClientLimits } from "./client-limits.ts";
import { type Parcel, RelayLink, type RelayLinkHost } from "./client-link.ts";
import { RelayError } from "./errors.ts";
import {
  decodePassAlongStatus,
  encodePassAlongInPlace,
  limitsRequest,
  type PublishedLimits,
  passAlongRequest,
  type Refusal,
} from "./protocol.ts";

/** What became of the envelopes that were passed along. */
export interface PassAlongCounts {
  passed: number;
  stored: number;
  readonly refused: Partial<Record<Refusal, number>>;
  /** The relay was lost before it said what became of them. */
  lost: number;
}

export interface HopOptions {
  readonly relay: PeerId;
  /** The node that passes along. */
  readonly sender: EgtpNode;
  readonly limits: RelayClientLimits;
  readonly counts: PassAlongCounts;
  readonly now: () => Millis;
  readonly setTimer: (task: () => void, delayMs: Millis) => () => void;
  /** What the relay published when it last took our registration, over a link of the sender that stands. */
  readonly registered: () => PublishedLimits | undefined;
  /** Nothing leads over it, and nothing is known of it. */
  readonly onUnused: () => void;
}

const noBytes = new Uint8Array(0);

export class Hop implements RelayLinkHost {
  readonly relay: PeerId;
  readonly limits: RelayClientLimits;
  readonly #options: HopOptions;
  /** What the relay lets its clients do; known as long as it is reached. */
  #published: PublishedLimits | undefined;
  #attempt: Promise<PublishedLimits> | undefined;

  readonly #links = new Set<RelayLink>();
  /** Those with something for the relay, in the order of their turns. */
  readonly #ready: RelayLink[] = [];
  #underWay = 0;
  #underWayBytes = 0;
  /** Envelopes that may be under way: few after the relay said that they came too fast, and one more for each that it takes. */
  #window: number;
  /** Ends the pause that the relay asked for, */
  #cancelPause: (() => void) | undefined;
  /** and how long the next one is. */
  #pauseMs: Millis;
  /** When it last took something, or began to say that everything comes too fast. */
  #tookAt: Millis = Infinity;

  constructor(options: HopOptions) {
    this.relay = options.relay;
    this.limits = options.limits;
    this.#options = options;
    this.#window = options.limits.maxUnderWay;
    this.#pauseMs = options.limits.slowDownMs;
  }

  now(): Millis {
    return this.#options.now();
  }

  setTimer(task: () => void, delayMs: Millis): () => void {
    return this.#options.setTimer(task, delayMs);
  }

  /**
   * Makes sure that the relay is reached. Calls at the same time share one attempt.
   *
   * @throws {@link RelayError} `EGTP_RELAY_UNREACHABLE`, `EGTP_RELAY_TOO_SMALL`.
   */
  reach(): Promise<PublishedLimits> {
    this.#published ??= this.#options.registered();
    if (this.#published !== undefined) return Promise.resolve(this.#published);
    this.#attempt ??= this.#ask().finally(() => {
      this.#attempt = undefined;
      this.#leaveIfUnused();
    });
    return this.#attempt;
  }

  async #ask(): Promise<PublishedLimits> {
    const { relay, sender, limits } = this.#options;
    let published: PublishedLimits;
    try {
      published = await sender.request(relay, limitsRequest, noBytes, { timeoutMs: limits.reachMs });
    } catch (cause) {
      throw new RelayError("EGTP_RELAY_UNREACHABLE", `The relay ${relay} cannot be reached`, { cause });
    }
    if (published.maxEnvelopeBytes < maxEnvelopeBytes) {
      const text = `The relay ${relay} takes no envelopes above ${published.maxEnvelopeBytes} bytes`;
      throw new RelayError("EGTP_RELAY_TOO_SMALL", text);
    }
    this.#published = published;
    return published;
  }

  /** A link over this relay, which was reached. */
  open(target: PeerId): RelayLink {
    const link = new RelayLink(this, target);
    this.#links.add(link);
    return link;
  }

  links(): Iterable<RelayLink> {
    return this.#links;
  }

  /** The link to the relay is gone: everything that leads over it is lost. */
  lose(cause?: unknown): void {
    this.#published = undefined;
    const error = new RelayError("EGTP_RELAY_LOST", `The relay ${this.relay} was lost`, { cause });
    for (const link of this.#links) link.lose(error);
    this.#cancelPause?.();
    this.#cancelPause = undefined;
    this.#leaveIfUnused();
  }

  /** The link to the relay was closed, with nothing under way on it. */
  rest(): void {
    if (this.#underWay > 0) this.lose();
    this.#published = undefined;
    this.#leaveIfUnused();
  }

  // ---- For its links

  wants(link: RelayLink): void {
    if (!this.#ready.includes(link)) this.#ready.push(link);
    this.#pump();
  }

  gone(link: RelayLink): void {
    this.#links.delete(link);
    const at = this.#ready.indexOf(link);
    if (at >= 0) this.#ready.splice(at, 1);
    this.#leaveIfUnused();
  }

  #leaveIfUnused(): void {
    if (this.#links.size === 0 && this.#attempt === undefined && this.#published === undefined) {
      this.#options.onUnused();
    }
  }

  // ---- Passing along

  #pump(): void {
    while (
      this.#ready.length > 0 &&
      this.#cancelPause === undefined &&
      this.#underWay < this.#window &&
      this.#underWayBytes < this.limits.maxUnderWayBytes
    ) {
      const link = this.#ready.shift()!;
      const parcel = link.take();
      if (link.hasQueued) this.#ready.push(link);
      if (parcel !== undefined) void this.#passAlong(parcel);
    }
  }

  async #passAlong(parcel: Parcel): Promise<void> {
    const { relay, sender, limits } = this.#options;
    const { envelope, link, giveUp } = parcel;
    this.#underWay += 1;
    this.#underWayBytes += envelope.length;
    try {
      const body = encodePassAlongInPlace(link.targetBytes, envelope);
      const options = { timeoutMs: limits.passAlongMs, signal: giveUp.signal };
      const reply = await sender.request(relay, passAlongRequest, body, options);
      this.#heed(parcel, reply);
    } catch (error) {
      if (giveUp.signal.aborted) this.#options.counts.lost += 1;
      else if (error instanceof EgtpError) this.lose(error);
      else throw error;
    } finally {
      this.#underWay -= 1;
      this.#underWayBytes -= envelope.length;
      this.#pump();
    }
  }

  /** What the relay says of an envelope. @throws {@link RelayError} when that makes no sense. */
  #heed(parcel: Parcel, reply: Uint8Array): void {
    const { counts } = this.#options;
    const status = decodePassAlongStatus(reply, this.now());
    const { link } = parcel;
    switch (status.state) {
      case "passed":
        counts.passed += 1;
        this.#speedUp();
        link.passed(parcel);
        break;
      case "stored":
        counts.stored += 1;
        this.#speedUp();
        link.stored(parcel, status.until);
        break;
      case "refused":
        if (status.refusal === "too-fast" && this.#slowDown(parcel)) break;
        counts.refused[status.refusal] = (counts.refused[status.refusal] ?? 0) + 1;
        link.refuse(parcel, status.refusal);
    }
  }

  #speedUp(): void {
    this.#window = Math.min(this.#window + 1, this.limits.maxUnderWay);
    this.#pauseMs = this.limits.slowDownMs;
    this.#tookAt = Infinity;
  }

  /** The relay gets nothing for a while, and then this first. @returns False when it has taken nothing for too long. */
  #slowDown(parcel: Parcel): boolean {
    const { maxSlowDownMs, tooSlowMs } = this.limits;
    const now = this.now();
    this.#tookAt = Math.min(this.#tookAt, now);
    if (now - this.#tookAt >= tooSlowMs) return false;
    const { link } = parcel;
    link.putBack(parcel);
    if (link.hasQueued && !this.#ready.includes(link)) this.#ready.unshift(link);
    this.#window = 1;
    if (this.#cancelPause !== undefined) return true;
    this.#cancelPause = this.setTimer(() => {
      this.#cancelPause = undefined;
      this.#pump();
    }, this.#pauseMs);
    this.#pauseMs = Math.min(2 * this.#pauseMs, maxSlowDownMs);
    return true;
  }
}
