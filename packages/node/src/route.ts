/**
 * What the router remembers of one peer and of one link. Data and small judgements; the router acts on them.
 */
import type { Epoch, Millis, PeerId, Strategy } from "@egtp/wire";
import type { Asker, Buckets } from "./admission.ts";
import type { StrategyFailure } from "./delivery/outcome.ts";
import type { Flight } from "./delivery/send-window.ts";
import type { DirectTries } from "./direct-tries.ts";
import { Doubts } from "./doubts.ts";
import type { NodeLimits } from "./limits.ts";
import { strategyText } from "./strategy-order.ts";
import type { EnvelopeFate, Link, LinkEnd, LinkHandlers, Transport } from "./transport.ts";
import { linkBytesOf } from "./transport-limits.ts";

/** Challenges to return on a link: an honest peer has one out. */
const maxResponses = 4;

/** Ways to one peer whose failing is remembered: those of a record, of the one before it, and as many introduced. */
const maxFailed = 48;

/** Runs of one peer that are told apart: one lives, or two by mistake. */
const maxRuns = 8;

/** How an attempt to reach a peer over a link ended: it answered our challenge, or why not. */
export type LinkVerdict = "answered" | StrategyFailure;

/** Who acts on what links tell. One for all of them, since a function for each word of each link would take much memory. */
export interface LinkHost {
  received(link: NodeLink, bytes: Uint8Array): void;
  drained(link: NodeLink): void;
  left(envelope: Uint8Array): void;
  fateOf(link: NodeLink, envelope: Uint8Array, fate: EnvelopeFate): void;
  closed(link: NodeLink, end: LinkEnd): void;
}

export class NodeLink implements Asker, LinkHandlers {
  readonly link: Link;
  readonly #host: LinkHost;
  readonly transport: Transport;
  /** How we dialled it. */
  readonly strategy: Strategy | undefined;
  /** The peer we dialled, or the first from whom something authentic came. */
  route: PeerRoute | undefined;
  /** For the admission of envelopes: a stranger's, then those of a link that answered. */
  buckets: Buckets;

  /** Something authentic of this peer came. */
  isHeard = false;
  /** The peer returned our challenge: the link leads to it. */
  isAnswered = false;
  answeredAt: Millis = Infinity;
  /** The run of the peer that it leads to, as far as it was heard. */
  epoch: Epoch | undefined;
  /** Nothing authentic came for too long after we asked for something. */
  isSilent = false;
  isOpen = true;
  /** The route whose `whisper` it is. */
  whisperOf: PeerRoute | undefined;
  /** We speak on it though nothing authentic came: to answer what could not be read. */
  isSpokenTo = false;
  /** Dialled beside a link through a relay that goes on carrying everything until this one answered. */
  isTrial = false;

  challenge: Uint8Array | undefined;
  challengedAt: Millis = -Infinity;
  /** Bytes given to the link before that. */
  givenBefore = 0;
  /** Challenges of the peer, to be returned on this link. */
  readonly responses: Uint8Array[] = [];
  /** It counts as silent from then on, unless something authentic comes; `Infinity` when nothing is awaited. */
  silentAt: Millis = Infinity;
  #flights: Map<Uint8Array, Flight | undefined> | undefined;
  /** It leads through a relay where the peer does not collect its mail any more. */
  isForsaken = false;
  /** Why the relay refused the last one. */
  refusal: StrategyFailure | undefined;
  /** Whoever waits for the verdict. */
  onVerdict: ((verdict: LinkVerdict) => void) | undefined;

  constructor(
    link: Link,
    transport: Transport,
    strategy: Strategy | undefined,
    route: PeerRoute | undefined,
    buckets: Buckets,
    host: LinkHost,
  ) {
    this.link = link;
    this.#host = host;
    this.transport = transport;
    this.strategy = strategy;
    this.route = route;
    this.buckets = buckets;
  }

  envelope(bytes: Uint8Array): void {
    this.#host.received(this, bytes);
  }

  drain(): void {
    this.#host.drained(this);
  }

  left(envelope: Uint8Array): void {
    this.#host.left(envelope);
  }

  fate(envelope: Uint8Array, fate: EnvelopeFate): void {
    this.#host.fateOf(this, envelope, fate);
  }

  closed(end: LinkEnd): void {
    this.#host.closed(this, end);
  }

  get isAuthenticated(): boolean {
    return this.isAnswered;
  }

  /** Of a link through a relay: envelopes whose fate is not known. Bounded by what the link lets be under way. */
  get flights(): Map<Uint8Array, Flight | undefined> {
    this.#flights ??= new Map();
    return this.#flights;
  }

  get source(): string {
    return this.link.source;
  }

  /** For reports, and for what is remembered of the way it takes. */
  get name(): string {
    return this.strategy === undefined ? `incoming ${this.link.remote}` : strategyText(this.strategy);
  }

  /** Whether it leads to the peer by way of a relay, which keeps what it is given: then silence means nothing. */
  get isRelayed(): boolean {
    return this.strategy?.kind === "relay";
  }

  /** Bytes of envelopes that may be sent now; whoever forged the source of a link must not use us to flood it. */
  budget(maxAmplification: number): number {
    if (this.isAnswered || this.link.direction === "outgoing") return Infinity;
    return maxAmplification * this.link.bytesReceived - this.givenBytes - linkBytesOf(noBytes);
  }

  /** Bytes that it sent, or is to send. */
  get givenBytes(): number {
    return this.link.bytesSent + this.link.queuedBytes;
  }

  /** Whether more leaves before anything came back. A relay, which keeps what it is given, has nothing to answer. */
  mayGoOn(unansweredBytes: number): boolean {
    if (this.isAnswered || this.isHeard || this.isRelayed || this.link.direction === "incoming") return true;
    return this.givenBytes - this.givenBefore < unansweredBytes;
  }

  /** Whether the link itself has something to say that can wait for nothing. */
  get wantsWord(): boolean {
    if (this.responses.length > 0) return true;
    return !this.isAnswered && !this.isRelayed && this.challengedAt === -Infinity && !this.isSilent;
  }

  owe(response: Uint8Array): void {
    if (this.responses.length === maxResponses) this.responses.shift();
    this.responses.push(response);
  }

  /** Ends whatever waits for it. */
  judge(verdict: LinkVerdict): void {
    const { onVerdict } = this;
    this.onVerdict = undefined;
    onVerdict?.(verdict);
  }
}

const noBytes = new Uint8Array(0);
const none: readonly never[] = [];

export class PeerRoute {
  readonly peer: PeerId;
  /** Open links that lead to it, or may. Made anew with each change, for a list that grows has room in it for many. */
  links: readonly NodeLink[] = none;
  /** The one that was used last. */
  current: NodeLink | undefined;
  /** How that was dialled, also when it is gone; `undefined`: it came in. */
  lastWay: Strategy | undefined;
  /** It stands in the router's list of those to be looked at. */
  isDirty = false;

  /** Told by the program. */
  introduced: readonly Strategy[] = none;
  /** An incoming link on which it seems to have spoken, with nothing authentic on it. */
  whisper: NodeLink | undefined;

  isConnecting = false;
  /** Try at once, whatever failed before. */
  isUrgent = false;
  failures: readonly StrategyFailure[] = none;
  /**
   * When ways failed, by their names, the last at the end. At most `maxFailed`. Made when it is needed, as are the next three:
   * whoever only comes to us needs none.
   */
  #failedAt: Map<string, Millis> | undefined;
  #refusals: Map<string, { readonly at: Millis; readonly failure: StrategyFailure }> | undefined;
  #doubts: Doubts | undefined;
  /** From the first link through a relay on. */
  directTries: DirectTries | undefined;
  /** When an answer to what could not be read went to a relay, and nothing authentic came since; else `Infinity`. */
  answeredAt: Millis = Infinity;
  /** When the first of the attempts failed that all failed since; `Infinity` when the last one led to an answer. */
  failingSince: Millis = Infinity;
  /** When the last attempt failed. */
  attemptedAt: Millis = -Infinity;
  /** When the last attempt failed that something waited for which had to fail fast with it. */
  failedFastAt: Millis = -Infinity;
  /** When the program last sent something to the peer that was out of reach. */
  urgedAt: Millis = -Infinity;
  /** How long to wait after `attemptedAt`, as far as the failures go. */
  pauseMs: Millis = 0;
  /** What must not fail fast is not tried before. */
  retryAt: Millis = -Infinity;
  /** Links in a row that answered and broke soon. */
  breaks = 0;

  /** Runs of the peer that were heard on links, the latest last. At most `maxRuns`. */
  #runs: readonly Epoch[] = none;
  /** The peer prefers another process with our key: it is not dialled before. */
  supersededUntil: Millis = -Infinity;

  /** The offer that our contact record went along with. */
  recordUnder: string | undefined;
  /** When a record of the peer was verified. */
  learnedAt: Millis = -Infinity;
  /** What was last reported of its sessions. */
  session: "none" | "early" | "established" = "none";
  /** Nothing can be sealed for this ID. */
  fault: unknown;

  constructor(peer: PeerId) {
    this.peer = peer;
  }

  /** A way failed. */
  noteFailure(name: string, now: Millis): void {
    this.#failedAt ??= new Map();
    this.#failedAt.delete(name);
    this.#failedAt.set(name, now);
    for (const first of this.#failedAt.keys()) {
      if (this.#failedAt.size <= maxFailed) break;
      this.#failedAt.delete(first);
    }
  }

  /** A way led to the peer. */
  noteSuccess(name: string): void {
    this.#failedAt?.delete(name);
  }

  /** What relays refuse for this peer, by the names of strategies: for a while they are not asked again. */
  get refusals(): Map<string, { readonly at: Millis; readonly failure: StrategyFailure }> {
    this.#refusals ??= new Map();
    return this.#refusals;
  }

  get doubts(): Doubts {
    this.#doubts ??= new Doubts();
    return this.#doubts;
  }

  /** When a way failed, or was doubted, so lately that others go before it. */
  setBackAt(name: string, limits: NodeLimits, now: Millis): Millis | undefined {
    const failedAt = this.#failedAt?.get(name);
    if (failedAt !== undefined && now - failedAt < limits.failedStrategyMs) return failedAt;
    return this.#doubts?.since(name, now);
  }

  /** The place of a run among those of the peer: the later it was first heard on a link, the higher. */
  placeOfRun(epoch: Epoch): number {
    const known = this.#runs.indexOf(epoch);
    if (known >= 0) return known;
    this.#runs = this.#runs.slice(1 - maxRuns).concat(epoch);
    return this.#runs.length - 1;
  }

  /** The link to send on: one that answered, the one in use first; then one we dialled; then one it spoke on. */
  choose(): NodeLink | undefined {
    let best: NodeLink | undefined;
    let bestRank = 0;
    for (const link of this.links) {
      const rank = rankOf(link, this.current);
      // Of equals the newest: when it came about, the one before had not answered for a while.
      if (rank > 0 && rank >= bestRank) {
        best = link;
        bestRank = rank;
      }
    }
    return best;
  }

  /** Nothing is lost by forgetting it. */
  get isIdle(): boolean {
    if (this.links.length > 0 || this.isConnecting || this.directTries?.isUnderWay === true) return false;
    return !this.isDirty && this.introduced.length === 0;
  }
}

function rankOf(link: NodeLink, current: NodeLink | undefined): number {
  if (!link.isOpen || link.isSilent || (link.isTrial && !link.isAnswered)) return 0;
  const direct = link.isRelayed ? 0 : 8;
  if (link.isAnswered) return direct + 4 + (link === current ? 1 : 0);
  if (link.link.direction === "outgoing") return direct + 3;
  return link.isHeard ? direct + 2 : 1;
}
