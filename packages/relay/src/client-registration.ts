/**
 * One relay that keeps mail for us: registered, renewed, tried again when it was lost, and given up for this run when another
 * process with our key came after us.
 *
 * @see docs/spec.md, "Relay"
 */
import { EgtpError, type EgtpNode } from "@egtp/node";
import { type Millis, type PeerId, toHex } from "@egtp/wire";
import { Intake, type IntakeOptions, type MailCounts } from "./client-intake.ts";
import type { RelayClientLimits } from "./client-limits.ts";
import { RelayError } from "./errors.ts";
import {
  acknowledgeMessage,
  collectRequest,
  decodeMail,
  type PublishedLimits,
  type Registration as RegisterReply,
  registerRequest,
  unregisterRequest,
} from "./protocol.ts";

export type RegistrationState =
  /** The relay was asked. */
  | "registering"
  /** It takes mail for us. */
  | "live"
  /** It is out of reach, and tried again. */
  | "lost"
  /** It does not take us, and is asked again much later. */
  | "refused"
  /** Another process with our key registered after us. */
  | "superseded";

export interface RegistrationOptions {
  readonly node: EgtpNode;
  readonly relay: PeerId;
  readonly isFormer: boolean;
  /** Names this run of the client. */
  readonly run: Uint8Array;
  readonly limits: RelayClientLimits;
  readonly counts: MailCounts;
  readonly now: () => Millis;
  readonly setTimer: (task: () => void, delayMs: Millis) => () => void;
  /** Whether another relay hands over the mail of this mailbox. */
  readonly isHandedOver: (mailbox: string) => boolean;
  readonly inHandOf: IntakeOptions["inHandOf"];
  /** From 0 up to 1. */
  readonly random: () => number;
  readonly takeMail: IntakeOptions["takeMail"];
  /** The state changed, or a round trip was measured. */
  readonly onChange: (registration: Registration, change: RegistrationChange) => void;
}

export type RegistrationChange =
  /** `replaced`: another process with our key was registered until now. */
  | { readonly kind: "live"; readonly replaced: boolean }
  | { readonly kind: "lost" | "refused" | "superseded"; readonly error: EgtpError }
  /** It is as it was: live still, or lost still. */
  | { readonly kind: "same" };

/** What one failure weighs against the round trip. */
const failureMs: Millis = 500;
/** A registration that lasted so long was a good one. */
const steadyMs: Millis = 10_000;

export class Registration {
  readonly relay: PeerId;
  readonly intake: Intake;
  state: RegistrationState = "registering";
  /** An earlier run of ours was registered there: mail may wait. */
  readonly isFormer: boolean;
  /** It was live in this run. */
  wasLive = false;
  /** Since when it is not live. */
  lostAt: Millis;
  /** What it published when it was registered or renewed, as long as it is live. */
  published: PublishedLimits | undefined;
  /** Smoothed; unknown before the first answer. */
  roundTripMs: Millis | undefined;
  /** Mails that waited when it was last renewed. */
  waiting = 0;
  /** The tag of our mailbox there, in hexadecimal, when it was last live: relays that share their mailboxes say the same. */
  mailbox: string | undefined;
  /** Since when it is live, */
  liveSince: Millis = Infinity;
  /** and when the relay last said so. */
  renewedAt: Millis = -Infinity;
  /** Another relay hands over the mail of this mailbox. */
  isStandby = false;

  readonly #options: RegistrationOptions;
  /** Lately, older ones counting less. */
  #failures = 0;
  #isFirst = true;
  #isToldLost = false;
  #retryMs: Millis;
  #attempt: AbortController | undefined;
  #cancelTimer: () => void = () => {};
  #isStopped = false;

  constructor(options: RegistrationOptions) {
    const { node, relay, limits } = options;
    this.relay = relay;
    this.isFormer = options.isFormer;
    this.lostAt = options.now();
    this.#options = options;
    this.#retryMs = limits.minRetryMs;
    const request = { timeoutMs: limits.registerMs };
    // Nobody waits for what comes of it, so that may come with something else.
    const acknowledgement = { ...request, prompt: false, keep: false };
    this.intake = new Intake({
      ...options,
      collect: (after, maxBytes) => node.request(relay, collectRequest, { after, maxBytes }, request),
      acknowledge: async (body) => {
        const { state } = await node.send(relay, acknowledgeMessage, body, acknowledgement);
        return state === "delivered";
      },
    });
  }

  /** The lower the better. */
  get cost(): number {
    return (this.roundTripMs ?? 0) + failureMs * this.#failures;
  }

  /** Whether it is asked right now. */
  get isUnderWay(): boolean {
    return this.#attempt !== undefined;
  }

  /** Registers, or renews what is registered. */
  async register(): Promise<void> {
    const { node, relay, run, limits, now } = this.#options;
    if (this.#isStopped || this.state === "superseded") return;
    this.#attempt?.abort();
    this.#cancelTimer();
    const attempt = new AbortController();
    this.#attempt = attempt;
    if (this.state !== "live") {
      this.state = "registering";
      this.isStandby = this.mailbox !== undefined && this.#options.isHandedOver(this.mailbox);
    }
    const begun = now();
    let reply: RegisterReply | EgtpError;
    try {
      const options = { timeoutMs: limits.registerMs, signal: attempt.signal };
      reply = await node.request(
        relay,
        registerRequest,
        { run, first: this.#isFirst, standby: this.isStandby },
        options,
      );
    } catch (error) {
      if (!(error instanceof EgtpError)) throw error;
      reply = error;
    }
    if (this.#attempt !== attempt || this.#isStopped) return;
    this.#attempt = undefined;
    if (reply instanceof EgtpError) return this.#fail(reply);
    this.#measure(now() - begun);
    switch (reply.state) {
      case "active":
        return this.#activate(reply);
      case "refused":
        return this.#refuse(reply.reason);
      case "superseded":
        return this.supersede();
    }
  }

  #activate({ tag, limits: published, waiting, replaced, gaps }: Extract<RegisterReply, { state: "active" }>): void {
    const { limits, random, onChange } = this.#options;
    const wasLive = this.state === "live";
    this.state = "live";
    this.wasLive = true;
    this.published = published;
    this.waiting = waiting.messages;
    this.renewedAt = this.#options.now();
    this.mailbox = toHex(tag);
    this.#isFirst = false;
    this.#isToldLost = false;
    if (wasLive) this.#retryMs = limits.minRetryMs;
    else this.liveSince = this.#options.now();
    this.intake.expect(tag, this.isStandby ? 0 : waiting.messages, gaps);
    this.#again(limits.refreshMs * (0.9 + 0.2 * random()));
    onChange(this, wasLive ? { kind: "same" } : { kind: "live", replaced });
  }

  #fail(error: EgtpError): void {
    const { limits, random, onChange } = this.#options;
    const isNews = !this.#isToldLost;
    this.#isToldLost = true;
    this.#failures += 1;
    this.#lose("lost");
    // Its clients must not all come back in the same moment.
    this.#again(this.#retryMs * (0.5 + random()));
    this.#retryMs = Math.min(2 * this.#retryMs, limits.maxRetryMs);
    onChange(this, isNews ? { kind: "lost", error } : { kind: "same" });
  }

  #refuse(reason: "not-allowed" | "full"): void {
    const { limits, random, onChange } = this.#options;
    this.#lose("refused");
    this.#again(limits.refusedMs * (0.5 + random()));
    const error =
      reason === "full"
        ? new RelayError("EGTP_RELAY_FULL", `The relay ${this.relay} has no room for our mailbox`)
        : new RelayError("EGTP_RELAY_NOT_LISTED", `The relay ${this.relay} does not keep mail for us`);
    onChange(this, { kind: "refused", error });
  }

  /** Another process with our key came after us: this one does not go there again. */
  supersede(): void {
    if (this.state === "superseded") return;
    this.#lose("superseded");
    this.#attempt?.abort();
    this.#attempt = undefined;
    this.#cancelTimer();
    const error = new RelayError("EGTP_RELAY_SUPERSEDED", `Another process with our key took over at ${this.relay}`);
    this.#options.onChange(this, { kind: "superseded", error });
  }

  /** The link to the relay is gone: it must hear of us over another. At once, unless that was so a moment ago. */
  unlinked(): void {
    if (this.state !== "live" && this.state !== "registering") return;
    if (this.state === "live" && this.#options.now() - this.liveSince >= steadyMs) {
      this.#lose("registering");
      void this.register();
      return;
    }
    this.#attempt?.abort();
    this.#attempt = undefined;
    this.#fail(new RelayError("EGTP_RELAY_LOST", `The link to the relay ${this.relay} broke`));
  }

  /** Says whether another relay hands over the mail of this mailbox. */
  standBy(isStandby: boolean): void {
    this.isStandby = isStandby;
    void this.register();
  }

  /** There is a link to the relay again. */
  linked(): void {
    if (this.state === "lost" && this.#attempt === undefined) void this.register();
  }

  #lose(state: RegistrationState): void {
    if (this.state === "live") this.lostAt = this.#options.now();
    this.state = state;
    this.published = undefined;
    this.isStandby = false;
    this.intake.rest();
  }

  #again(delayMs: Millis): void {
    this.#cancelTimer();
    this.#cancelTimer = this.#options.setTimer(() => void this.register(), delayMs);
  }

  #measure(ms: Millis): void {
    this.roundTripMs = this.roundTripMs === undefined ? ms : this.roundTripMs + (ms - this.roundTripMs) / 4;
    this.#failures /= 2;
  }

  /**
   * Takes in mail that the relay pushed.
   *
   * @throws {@link RelayError} when it is not to be understood, or it is not for the relay to push to us.
   */
  takeMail(body: Uint8Array): void {
    // One that was lost is ours still: what it pushed before may come late, and must come in order.
    if (this.#isStopped || this.state === "superseded" || this.state === "refused") {
      throw new RelayError("EGTP_RELAY_NOT_OURS", `${this.relay} handed over mail, and we are not registered there`);
    }
    this.intake.take(decodeMail(body));
  }

  /** Takes our mailbox away from the relay. Rejects when that cannot be said. */
  async leave(): Promise<void> {
    const { node, limits } = this.#options;
    await node.request(this.relay, unregisterRequest, {}, { timeoutMs: limits.registerMs });
  }

  /** The registration stays: mail for us waits there while we are away. Resolves when what was taken in is acknowledged. */
  stop(): Promise<void> {
    this.#isStopped = true;
    this.#attempt?.abort();
    this.#cancelTimer();
    return this.intake.stop();
  }
}
