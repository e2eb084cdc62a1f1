/**
 * Links and routes: what comes in on which link, and over which link what is to be said leaves.
 *
 * One turn of the event loop ends with one flush: whatever handlers, sends and arrivals brought about in it leaves then,
 * one envelope per peer as long as it fits, while links take it. Peers without a link go to the {@link Connector}.
 *
 * An envelope that comes in is shown to the admission before anything is spent on it. A link is the peer's only after it
 * returned our challenge; before that it may carry what is to be said, within three times the bytes received when it came
 * in, and when it stays silent other ways are tried. Answers to what could not be read take the same ways as everything
 * else (rule R2); the link they came on is the last of them.
 *
 * Bounds: links by their transports; routes by `maxRoutes`, beyond which only those with something going on stay.
 *
 * @see docs/spec.md, "Links"
 */
import {
  authTagBytes,
  type ContactRecord,
  closeReason,
  EgtpError,
  type Epoch,
  envelopeHeaderBytes,
  equalBytes,
  linkChallengeBytes,
  type Millis,
  type OfferId,
  type PeerId,
  peerIdBytes,
  type Strategy,
  sealedSenderBytes,
  sessionIdBytes,
  toHex,
} from "@egtp/wire";
import type { Admission, AdmissionWork, Asker, Grant } from "./admission.ts";
import type { LinkState } from "./api.ts";
import { Connector, type ConnectorHost } from "./connector.ts";
import type { ContactBook } from "./contact-book.ts";
import { Mail } from "./delivery/mail.ts";
import type { StrategyFailure } from "./delivery/outcome.ts";
import { DirectTries } from "./direct-tries.ts";
import type { Endpoint, LinkFrames, Received } from "./endpoint.ts";
import { RouteError } from "./errors.ts";
import type { EventHub } from "./events.ts";
import type { NodeLimits } from "./limits.ts";
import type { Lookup } from "./lookup.ts";
import { MailFollower } from "./mail-follower.ts";
import { MailSources } from "./mail-sources.ts";
import { Reports } from "./reports.ts";
import { Retries } from "./retries.ts";
import { type LinkHost, NodeLink, PeerRoute } from "./route.ts";
import type { NodeSchedule } from "./schedule.ts";
import { StoreWrites } from "./store-writes.ts";
import { hasNewWay, strategyText } from "./strategy-order.ts";
import type { EnvelopeFate, Link, LinkEnd, Transport } from "./transport.ts";
import { linkBytesOf } from "./transport-limits.ts";
import { Turns } from "./turns.ts";
import { UnreadMail } from "./unread-mail.ts";

/** What the router tells the node. */
export interface RouterHost {
  /** A turn ends: what waits for it is done now, before envelopes are made. @returns When to come again, if at all. */
  beforeFlush(now: Millis): Millis;
  /** What could leave has left. */
  afterFlush(): void;
  /** Nothing can leave this machine for the peer. */
  unreachable(peer: PeerId, reasons: readonly StrategyFailure[], now: Millis): void;
}

export interface RouterOptions {
  readonly endpoint: Endpoint;
  readonly transports: readonly Transport[];
  readonly lookup: Lookup | undefined;
  readonly book: ContactBook;
  readonly admission: Admission;
  readonly schedule: NodeSchedule;
  readonly limits: NodeLimits;
  readonly events: EventHub;
  readonly allowPrivateAddresses: boolean;
  readonly sealedSender: boolean;
  readonly randomBytes: (length: number) => Uint8Array;
  /** Told of envelopes whose memory is free again. */
  readonly left: (envelope: Uint8Array) => void;
  readonly host: RouterHost;
}

/** While something that is due cannot leave, the clock is looked at this often. */
const stuckMs: Millis = 50;
/** A challenge that was not answered is repeated with what is sent after this. */
const challengeAgainMs: Millis = 1_000;
/** A contact record of one peer is verified no more often than this. */
const learnAgainMs: Millis = 1_000;
/** A peer that is out of reach for so long is not dialled for a receipt any more: it would go on for ever. */
const receiptPatienceMs: Millis = 10 * 60_000;
/** A link that lasted so long was a good one. */
const steadyMs: Millis = 10_000;
/** A rejected list of one entry, the usual answer to an unreadable envelope, with its tag and floor. */
const usualControlBytes = 2 + 33;

export class Router implements ConnectorHost {
  readonly connector: Connector;
  /** Our signed contact record; goes along with each new offer. */
  ownRecord: Uint8Array | undefined;
  envelopesIn = 0;
  envelopesOut = 0;
  bytesIn = 0;
  bytesOut = 0;
  /** Where the envelope that is being opened came from, and what it was granted. */
  #asker: Asker | undefined;
  #grant: Grant | undefined;
  unreadable = 0;

  readonly #options: RouterOptions;
  readonly #endpoint: Endpoint;
  readonly #schedule: NodeSchedule;
  readonly #limits: NodeLimits;
  readonly #turns: Turns;
  readonly #store: StoreWrites;
  readonly #retries: Retries;
  readonly #reports: Reports;

  /** What an envelope costs beside its frames, at most, as long as no long rejected list is in it. */
  readonly #overheadBytes: number;

  readonly #linkHost: LinkHost = {
    received: (link, bytes) => this.#receive(link, bytes),
    drained: (link) => {
      if (link.route !== undefined) this.#lookAt(link.route);
      this.turn();
    },
    left: (envelope) => this.#options.left(envelope),
    fateOf: (link, envelope, fate) => this.#heedFate(link, envelope, fate),
    closed: (link, end) => this.#closed(link, end),
  };
  readonly #routes = new Map<PeerId, PeerRoute>();
  readonly #links = new Set<NodeLink>();
  readonly #mailSources: MailSources;
  readonly #unread: UnreadMail;
  readonly #follower: MailFollower;
  /** Routes to look at in the next flush. */
  #dirty: PeerRoute[] = [];
  /** Links that something authentic is awaited on, or was. */
  readonly #asked = new Set<NodeLink>();
  #sweepAt: Millis = Infinity;
  #spokenTo = 0;
  /** Told when the last link is gone. */
  #onLinkless: (() => void) | undefined;

  constructor(options: RouterOptions) {
    this.#options = options;
    this.#endpoint = options.endpoint;
    this.#schedule = options.schedule;
    this.#limits = options.limits;
    this.#mailSources = new MailSources(options.admission);
    this.#unread = new UnreadMail(options.limits);
    this.#follower = new MailFollower(options.limits);
    options.book.onNews = (record, before) => this.#heedRecord(record, before);
    const { endpoint, events } = options;
    this.#turns = new Turns(options.schedule, () => this.flush());
    this.#store = new StoreWrites({ endpoint, events, schedule: options.schedule, turn: () => this.turn() });
    this.#reports = new Reports(events, options.schedule);
    this.#retries = new Retries({
      limits: options.limits,
      mustFailFast: (peer) => endpoint.delivery.mustFailFast(peer),
      randomBytes: options.randomBytes,
    });
    this.#overheadBytes = envelopeHeaderBytes("offer", options.sealedSender) + authTagBytes + usualControlBytes;
    const { transports, lookup, book, schedule, limits, allowPrivateAddresses } = options;
    this.connector = new Connector({
      transports,
      lookup,
      book,
      schedule,
      limits,
      allowPrivateAddresses,
      host: this,
    });
  }

  /** Envelopes of which nothing came, by reason. */
  get drops(): Readonly<Record<string, number>> {
    return this.#reports.drops;
  }

  get routes(): number {
    return this.#routes.size;
  }

  /** The links that are open. */
  links(): LinkState[] {
    return [...this.#links].map(({ link, route, transport, isAnswered }) => ({
      peer: route?.peer,
      direction: link.direction,
      transport: transport.kind,
      remote: link.remote,
      isAnswered,
      bytesIn: link.bytesReceived,
      bytesOut: link.bytesSent,
    }));
  }

  /** Whether there is an open link on which the peer was heard. */
  isLinked(peer: PeerId): boolean {
    const link = this.#routes.get(peer)?.choose();
    return link?.isHeard === true;
  }

  /** Why the last attempts to reach a peer failed; empty when it is reached, or nothing was tried. */
  failures(peer: PeerId): readonly StrategyFailure[] {
    return this.#routes.get(peer)?.failures ?? [];
  }

  knows(peer: PeerId): boolean {
    return this.#routes.has(peer);
  }

  introduce(peer: PeerId, strategies: readonly Strategy[]): void {
    const route = this.#route(peer);
    route.introduced = [...strategies];
    route.directTries?.news();
    this.#retryNow(route);
  }

  /** Something new is to be sent to a peer: the next attempt is not far away. */
  urge(peer: PeerId): void {
    if (this.#retries.isEmpty) return;
    const route = this.#retries.get(peer);
    if (route === undefined) return;
    this.#retries.urge(route, this.turn());
    this.#lookAt(route);
  }

  /** Something new is known of how to reach a peer: no waiting for the next attempt. */
  retry(peer: PeerId): void {
    const route = this.#retries.get(peer);
    if (route !== undefined) this.#retryNow(route);
  }

  #retryNow(route: PeerRoute): void {
    route.isUrgent = true;
    this.#lookAt(route);
    this.turn();
  }

  // ---- Turns

  /** The time of this turn. What leaves in consequence of what the caller does now leaves when the turn ends. */
  turn(): Millis {
    return this.#turns.begin();
  }

  /** Lets everything leave that is due. */
  flush(): void {
    const endpoint = this.#endpoint;
    const now = this.#schedule.now();
    let next = this.#options.host.beforeFlush(now);
    this.#store.settle(now);
    this.#store.write(now);
    if (now >= this.#sweepAt) this.#sweep(now);
    for (const peer of endpoint.delivery.takeUnheard()) this.#doubt(this.#route(peer), now);
    for (const route of this.#retries.takeDue(now)) this.#lookAt(route);
    for (const peer of endpoint.takeDue(now)) this.#lookAt(this.#route(peer));
    const dirty = this.#dirty;
    this.#dirty = [];
    for (const route of dirty) {
      route.isDirty = false;
      this.#flushRoute(route, now);
    }
    next = Math.min(next, this.#retries.nextAt);
    if (this.#options.lookup !== undefined) next = Math.min(next, this.#followMail(now));
    const giveBackAt = this.#unread.giveBack(now, (peer) => endpoint.mesgen.owes(peer, Infinity));
    next = Math.min(next, this.#sweepAt, giveBackAt, endpoint.nextDeadline ?? Infinity);
    this.#turns.comeAgain(next <= now ? now + stuckMs : next, now);
    this.#options.host.afterFlush();
  }

  /** Whether the link to the peer takes no more for now. */
  isCongested(peer: PeerId): boolean {
    const current = this.#routes.get(peer)?.current;
    return current?.isOpen === true && !current.isSilent && !current.link.writable;
  }

  /** Writes what is staged. @returns `undefined` when it is kept already; rejects when it could not be. */
  commit(): Promise<void> | undefined {
    return this.#store.commit();
  }

  #lookAt(route: PeerRoute): void {
    if (route.isDirty) return;
    route.isDirty = true;
    this.#dirty.push(route);
  }

  // ---- Links

  /** A link that came in for us. */
  accept(link: Link, transport: Transport): void {
    if (this.#turns.isStopped) {
      link.start({ envelope: ignore, drain: ignore, closed: ignore });
      link.close("stopped");
      return;
    }
    this.#start(this.#nodeLink(link, transport, undefined, undefined));
  }

  adopt(link: Link, transport: Transport, strategy: Strategy, route: PeerRoute, isTrial: boolean): NodeLink {
    const ours = this.#nodeLink(link, transport, strategy, route);
    ours.isTrial = isTrial;
    const now = this.turn();
    if (ours.isRelayed) {
      route.directTries ??= new DirectTries(this.#limits);
      route.directTries.relayed(now);
    }
    // It is tried because no answer came over the one before: what left there leaves here too.
    if (!isTrial && route.current?.isAnswered === false) this.#endpoint.linkLost(route.peer, now);
    route.links = route.links.concat(ours);
    this.#start(ours);
    this.#lookAt(route);
    return ours;
  }

  #nodeLink(link: Link, transport: Transport, strategy: Strategy | undefined, route: PeerRoute | undefined): NodeLink {
    const buckets = this.#options.admission.forLink(this.turn());
    return new NodeLink(link, transport, strategy, route, buckets, this.#linkHost);
  }

  #start(link: NodeLink): void {
    this.#links.add(link);
    this.#reports.link(link, "opened", undefined);
    link.link.start(link);
  }

  speakOn(link: NodeLink, route: PeerRoute): boolean {
    if (link.isHeard || link.isSpokenTo) return route.links.includes(link);
    if (this.#spokenTo >= this.#limits.maxSpokenTo) return false;
    link.isSpokenTo = true;
    this.#spokenTo += 1;
    link.route = route;
    route.links = route.links.concat(link);
    link.link.authenticated();
    this.#ask(link, this.turn(), this.#limits.spokenToMs);
    this.#lookAt(route);
    return true;
  }

  #closed(link: NodeLink, end: LinkEnd): void {
    const { route } = link;
    const now = this.turn();
    link.isOpen = false;
    this.#links.delete(link);
    this.#asked.delete(link);
    if (link.isSpokenTo && !link.isHeard) this.#spokenTo -= 1;
    this.#reports.link(link, "closed", end);
    if (link.whisperOf?.whisper === link) link.whisperOf.whisper = undefined;
    if (route !== undefined) {
      route.links = route.links.filter((other) => other !== link);
      if (route.current === link) {
        route.current = undefined;
        this.#endpoint.linkLost(route.peer, now);
      }
      if (link.isRelayed) this.#relayLost(link, route, end, now);
      // One that breaks soon is opened anew at once; one that breaks soon again and again is not.
      if (now - link.answeredAt >= steadyMs) {
        route.breaks = 0;
        route.failingSince = Infinity;
      } else if (link.isAnswered && ++route.breaks > 1) this.#retries.rest(route, this.#limits.busyRetryMs, now);
      this.#lookAt(route);
    }
    const isWrong = end.reason === "closed-by-peer" && !link.isHeard;
    const error = new RouteError(isWrong ? "EGTP_WRONG_PEER" : "EGTP_NO_ANSWER", { cause: end.error ?? end.reason });
    link.judge({ strategy: link.name, error });
    if (this.#links.size === 0) this.#onLinkless?.();
  }

  /** A way through a relay ended: others are tried first for a while. */
  #relayLost(link: NodeLink, route: PeerRoute, end: LinkEnd, now: Millis): void {
    for (const [envelope, flight] of link.flights) {
      this.#unread.settled(envelope, false);
      if (flight !== undefined) this.#endpoint.delivery.lost(route.peer, flight, now);
    }
    link.flights.clear();
    if ((end.reason === "closed" || end.reason === "idle") && link.refusal === undefined) return;
    const name = link.name;
    const failure = link.refusal ?? { strategy: name, error: end.error ?? new RouteError("EGTP_NO_ANSWER") };
    route.noteFailure(name, now);
    if (link.refusal !== undefined) route.refusals.set(name, { at: now, failure });
    this.failed(route, failure);
  }

  // ---- Receiving

  #receive(link: NodeLink, bytes: Uint8Array): void {
    const now = this.turn();
    this.envelopesIn += 1;
    this.bytesIn += linkBytesOf(bytes);
    if (this.#store.isBroken) {
      // As if lost on the way: it is sent again.
      this.#reports.dropped(link.source, "store-failed", now);
      link.link.resume();
      return;
    }
    this.#asker = link;
    this.#grant = undefined;
    const received = this.#endpoint.receive(bytes, now, this.#admit);
    const grant = this.#grant as Grant | undefined;
    if (received.kind === "opened") {
      if (grant !== undefined) this.#options.admission.proved(grant, now);
      this.#opened(link, received, now);
    } else {
      if (received.kind === "dropped") this.#reports.dropped(link.source, received.reason, now, received.error);
      else {
        const route = this.#route(received.peer);
        if (link.route === undefined && link.link.direction === "incoming" && !link.isSpokenTo) {
          link.whisperOf = route;
          route.whisper = link;
        }
        this.#couldNotRead(route, received, now);
      }
      if (!link.isHeard) link.link.resume();
    }
  }

  /** Asks the buckets for the envelope that is being opened. */
  readonly #admit = (work: AdmissionWork, sender: PeerId | undefined): boolean => {
    const asker = this.#asker;
    if (asker === undefined) return false;
    const isKnown = sender !== undefined && this.#endpoint.maps.get(sender)?.theirTag !== undefined;
    this.#grant = this.#options.admission.ask(work, asker, sender, isKnown, this.#schedule.now());
    return this.#grant !== undefined;
  };

  /** An envelope that a relay kept or passed on. Nobody is at its other end: no link is proven by it, and none is asked. */
  takeMail(bytes: Uint8Array, source: string): Promise<boolean> {
    if (this.#turns.isStopped || this.#store.isBroken) return Promise.resolve(false);
    const now = this.turn();
    this.envelopesIn += 1;
    this.bytesIn += linkBytesOf(bytes);
    this.#asker = this.#mailSources.get(source, now);
    this.#grant = undefined;
    return new Promise((resolve) => {
      const mail = new Mail(resolve);
      mail.hold();
      const received = this.#endpoint.receive(bytes, now, this.#admit, mail);
      const grant = this.#grant as Grant | undefined;
      if (received.kind === "unreadable") {
        this.#couldNotRead(this.#route(received.peer), received, now);
        this.#unread.hold(received.peer, mail, now);
        return;
      }
      if (received.kind === "dropped") this.#reports.dropped(source, received.reason, now, received.error);
      else {
        if (grant !== undefined) this.#options.admission.proved(grant, now);
        this.#heed(source, this.#route(received.peer), received, now);
      }
      mail.release();
    });
  }

  #opened(link: NodeLink, opened: Extract<Received, { kind: "opened" }>, now: Millis): void {
    const { peer } = opened;
    const route = link.route?.peer === peer ? link.route : this.#route(peer);
    link.route ??= route;
    const wasSilent = link.isSilent;
    if (link.route === route) {
      if (!link.isHeard) this.#firstHeard(link, route);
      link.silentAt = Infinity;
      link.isSilent = false;
    } else if (!link.isHeard) link.link.resume();
    if (opened.challenge !== undefined) {
      link.owe(opened.challenge);
      // The link that is to answer may not be one of this peer's: then it stays unanswered.
      if (link.route === route) this.#lookAt(route);
    }
    if (opened.response !== undefined) this.#heedResponse(link, route, opened.response, now);
    if (!link.isAnswered) this.#lookAt(route);
    if (link.route === route) {
      if (link.epoch !== opened.theirEpoch || wasSilent) this.#tellRunsApart(route, link, opened.theirEpoch, now);
      if (opened.superseded) this.#giveWay(route, now);
    }
    this.#heed(link.source, route, opened, now);
  }

  /**
   * One key may run twice. The run that was heard last for the first time, on a link that stands, is the one: links that lead
   * to earlier ones are told and closed, whoever opened them.
   */
  #tellRunsApart(route: PeerRoute, link: NodeLink, epoch: Epoch, now: Millis): void {
    link.epoch = epoch;
    const place = route.placeOfRun(epoch);
    for (const other of route.links) {
      if (other === link || !other.isOpen || other.epoch === undefined || other.epoch === epoch) continue;
      if (route.placeOfRun(other.epoch) < place) this.#supersede(route, other, other.epoch, now);
      else if (!other.isSilent && link.isOpen) this.#supersede(route, link, epoch, now);
    }
  }

  #supersede(route: PeerRoute, link: NodeLink, epoch: Epoch, now: Millis): void {
    const word = this.#endpoint.mesgen.sealSuperseded(route.peer, epoch, now);
    if (word !== undefined && linkBytesOf(word) <= link.budget(this.#limits.maxAmplification)) {
      this.#send(link, route, word, undefined, now);
    }
    link.isSilent = true;
    link.link.close("superseded");
  }

  /** The peer prefers another run of ours on that link. Insisting would take the links from that one, and it would take them back. */
  #giveWay(route: PeerRoute, now: Millis): void {
    route.supersededUntil = now + this.#limits.supersededMs;
    route.failures = [{ strategy: "session", error: new RouteError("EGTP_SUPERSEDED") }];
  }

  /** What an envelope tells of its sender, whatever way it came. */
  #heed(source: string, route: PeerRoute, opened: Extract<Received, { kind: "opened" }>, now: Millis): void {
    route.answeredAt = Infinity;
    if (!this.#unread.isEmpty) this.#unread.healed(route.peer);
    if (opened.lost.length > 0) this.#heedLost(route, now);
    if (opened.contactRecord !== undefined) this.#learnFrom(source, route, opened.contactRecord, now);
    if (opened.held !== undefined) this.#hold(route.peer, opened.held);
    if (opened.fault !== undefined) this.#reports.dropped(source, "fault", now, opened.fault);
    this.#reports.opened(route, opened, now);
  }

  #firstHeard(link: NodeLink, route: PeerRoute): void {
    link.isHeard = true;
    if (link.isSpokenTo) this.#spokenTo -= 1;
    link.link.authenticated();
    if (!route.links.includes(link)) route.links = route.links.concat(link);
  }

  #heedResponse(link: NodeLink, route: PeerRoute, response: Uint8Array, now: Millis): void {
    if (link.route !== route || link.isAnswered || link.challenge === undefined) return;
    if (!equalBytes(link.challenge, response)) return;
    link.isAnswered = true;
    link.challenge = undefined;
    link.answeredAt = now;
    link.buckets = this.#options.admission.forAuthenticatedLink(now);
    this.#reached(route, link);
    this.#reports.link(link, "answered", undefined);
    link.judge("answered");
    this.#lookAt(route);
  }

  /** What failed before on the way to the peer is over. */
  #reached(route: PeerRoute, link: NodeLink): void {
    this.#retries.reached(route);
    if (link.strategy !== undefined) route.noteSuccess(link.name);
  }

  /** The peer could not read what we sent, and so not our challenges in it. */
  #heedLost(route: PeerRoute, now: Millis): void {
    for (const link of route.links) if (!link.isAnswered) link.challengedAt = -Infinity;
    this.#reports.session(route.peer, "lost", now);
  }

  /** Its messages are handed over when what guards them is on disk. */
  #hold(peer: PeerId, held: Promise<void>): void {
    held.then(
      () => {
        this.#endpoint.resume(peer, this.turn());
      },
      (error: unknown) => {
        this.#endpoint.discard(peer);
        this.#store.failed(error);
      },
    );
  }

  #learnFrom(source: string, route: PeerRoute, record: Uint8Array, now: Millis): void {
    if (now - route.learnedAt < learnAgainMs) return;
    route.learnedAt = now;
    try {
      this.#options.book.learn(record, route.peer, now);
    } catch (error) {
      if (!(error instanceof EgtpError)) throw error;
      this.#reports.dropped(source, "bad-record", now, error);
    }
  }

  /** @returns When to come again. */
  #followMail(now: Millis): Millis {
    const { inMailboxes } = this.#endpoint.delivery;
    for (const peer of this.#follower.due(inMailboxes, now)) void this.connector.refresh(this.#route(peer));
    return this.#follower.next(inMailboxes, now);
  }

  /** A newer record of a peer: where it does not collect its mail any more, nothing is left for it. A new way is tried soon. */
  #heedRecord({ id, strategies }: ContactRecord, before: ContactRecord | undefined): void {
    const route = this.#routes.get(id);
    if (route?.directTries !== undefined && hasNewWay(strategies, before?.strategies ?? [])) route.directTries.news();
    const links = route?.links ?? [];
    if (links.length === 0 && !this.#endpoint.delivery.inMailboxes.has(id)) return;
    const now = this.turn();
    const relays = this.#relaysOf(id, now);
    if (relays === undefined) return;
    for (const link of links) {
      if (link.strategy?.kind !== "relay" || relays.has(link.strategy.relay)) continue;
      link.isForsaken = true;
      link.link.close("the peer left the relay");
    }
    this.#endpoint.delivery.forsake(id, relays, now);
  }

  /** Where a peer collects its mail, as far as it said; `undefined` when that is not known. */
  #relaysOf(peer: PeerId, now: Millis): ReadonlySet<PeerId> | undefined {
    const record = this.#options.book.get(peer, now);
    if (record === undefined || record.gone) return undefined;
    const ways = [...record.strategies, ...(this.#routes.get(peer)?.introduced ?? [])];
    return new Set(ways.flatMap((way) => (way.kind === "relay" ? [way.relay] : [])));
  }

  /** An answer is owed. It goes where everything to this peer goes; failing that, to where the question came from. */
  #couldNotRead(route: PeerRoute, { lost }: Extract<Received, { kind: "unreadable" }>, now: Millis): void {
    const { peer } = route;
    this.unreadable += 1;
    if (lost.length > 0) this.#heedLost(route, now);
    route.session = "none";
    route.isUrgent = true;
    // It would not go on like that if it had heard the answer.
    if (now - route.answeredAt >= this.#limits.silentAfterMs) this.#doubt(route, now);
    this.#reports.session(peer, "unreadable", now);
  }

  // ---- Sending

  #flushRoute(route: PeerRoute, now: Millis): void {
    let link = route.choose();
    if (link === undefined && !route.isConnecting && now < this.#retries.dueAt(route)) {
      // Everything else failed a moment ago: what fell silent may still be heard at the other end.
      link = route.links.find((silent) => silent.isOpen);
    }
    for (const other of route.links) {
      if (other !== link && other.isOpen && other.wantsWord) this.#sendLinkFrames(other, route, now);
    }
    if (link === undefined) {
      this.#seekLink(route, now);
      return;
    }
    try {
      this.#fill(link, route, now);
    } catch (error) {
      if (!(error instanceof EgtpError)) throw error;
      route.fault = error;
      route.failures = [{ strategy: "session", error }];
      this.#giveUp(route, route.failures, now);
    }
    // It may stay silent, so that another way is found at once.
    if (link.isSilent && this.#hasWords(route, now)) this.#retries.wait(route);
  }

  /** Sends what there is to say, as long as the link takes it. */
  #fill(link: NodeLink, route: PeerRoute, now: Millis): void {
    const endpoint = this.#endpoint;
    const { peer } = route;
    const { maxAmplification, unansweredBytes } = this.#limits;
    while (link.link.writable) {
      const frames = this.#linkFrames(link, route, now);
      // With each challenge some leaves unasked; if nothing comes back, silence leads on to other ways.
      if (frames?.challenge === undefined && !link.mayGoOn(unansweredBytes)) return;
      const budget = link.budget(maxAmplification);
      const asks =
        link.silentAt === Infinity &&
        !link.isSilent &&
        !link.isRelayed &&
        (frames?.challenge !== undefined || endpoint.delivery.wants(peer, now).asks);
      const isAnswer = link.isRelayed && endpoint.mesgen.owes(peer, now);
      const envelope =
        budget === Infinity
          ? endpoint.next(peer, now, frames, undefined, link.isRelayed, link.link.headBytes)
          : this.#smallEnvelope(peer, frames, budget, false, now);
      if (envelope === undefined) return;
      route.current = link;
      route.lastWay = link.strategy;
      if (asks) this.#ask(link, now, this.#limits.silentAfterMs);
      if (isAnswer) {
        route.answeredAt = Math.min(route.answeredAt, now);
        if (this.#unread.has(peer)) this.#unread.answered(peer, envelope);
      }
      this.#send(link, route, envelope, frames, now);
      if (link.isRelayed) this.#tryDirect(route, now);
    }
  }

  /** Something left through a relay: now and then direct ways are tried beside that. */
  #tryDirect(route: PeerRoute, now: Millis): void {
    const { directTries } = route;
    if (now < route.supersededUntil || directTries?.begin(now) !== true) return;
    void this.connector.tryDirect(route).finally(() => directTries.ended());
  }

  /** What belongs to a link that is not the one in use leaves on it alone. */
  #sendLinkFrames(link: NodeLink, route: PeerRoute, now: Millis): void {
    if (!link.link.writable) return;
    const { responses, challenge } = this.#linkFrames(link, route, now) ?? noFrames;
    const frames = { responses, challenge };
    const { maxAmplification } = this.#limits;
    const maxBytes = Math.min(link.budget(maxAmplification), 1_024);
    const envelope = this.#smallEnvelope(route.peer, frames, maxBytes, true, now);
    if (envelope === undefined) return;
    if (challenge !== undefined && link.silentAt === Infinity) this.#ask(link, now, this.#limits.silentAfterMs);
    this.#send(link, route, envelope, frames, now);
  }

  /** The next envelope, if one of so many bytes can say anything. */
  #smallEnvelope(
    peer: PeerId,
    frames: LinkFrames | undefined,
    maxBytes: number,
    linkFramesOnly: boolean,
    now: Millis,
  ): Uint8Array | undefined {
    const maxFrameBytes = Math.max(0, maxBytes - this.#overheadBytes);
    const envelope = this.#endpoint.next(peer, now, frames, { maxFrameBytes, linkFramesOnly });
    // A longer rejected list than usual: as if it were lost on the way.
    return envelope !== undefined && envelope.length <= maxBytes ? envelope : undefined;
  }

  #send(link: NodeLink, route: PeerRoute, envelope: Uint8Array, frames: LinkFrames | undefined, now: Millis): void {
    if (frames !== undefined) {
      link.responses.length = 0;
      if (frames.challenge !== undefined) {
        link.challengedAt = now;
        link.givenBefore = link.givenBytes;
      }
      if (frames.contactRecord !== undefined) route.recordUnder = offerIdIn(envelope);
    }
    this.envelopesOut += 1;
    this.bytesOut += linkBytesOf(envelope);
    if (link.isRelayed) link.flights.set(envelope, this.#endpoint.flight);
    link.link.send(envelope);
  }

  /** A relay says what became of an envelope. */
  #heedFate(link: NodeLink, envelope: Uint8Array, fate: EnvelopeFate): void {
    const flight = link.flights.get(envelope);
    const { route } = link;
    if (route === undefined || !link.flights.delete(envelope)) return;
    this.#unread.settled(envelope, fate.state !== "refused");
    if (fate.state === "refused") {
      link.refusal = { strategy: link.name, error: fate.error, rejected: fate.reason };
    } else this.#reached(route, link);
    if (flight === undefined) return;
    const now = this.turn();
    this.#endpoint.fate(route.peer, flight, fate, now);
    if (fate.state !== "stored") return;
    // It may have been under way when we heard that the peer left that relay.
    const relays = link.isForsaken ? this.#relaysOf(route.peer, now) : undefined;
    if (relays === undefined) this.#endpoint.knockStored(route.peer, now);
    else this.#endpoint.delivery.forsake(route.peer, relays, now);
  }

  /** What the link itself has to say. */
  #linkFrames(link: NodeLink, route: PeerRoute, now: Millis): LinkFrames | undefined {
    let challenge: Uint8Array | undefined;
    if (!link.isAnswered && !link.isRelayed && now - link.challengedAt >= challengeAgainMs) {
      link.challenge ??= this.#options.randomBytes(linkChallengeBytes);
      challenge = link.challenge;
    }
    // Our contact record alone is no reason to say anything.
    if (challenge === undefined && link.responses.length === 0 && !this.#hasWords(route, now)) return undefined;
    const contactRecord = this.#goesUnderNewOffer(link, route, now) ? this.ownRecord : undefined;
    return { challenge, contactRecord, responses: link.responses };
  }

  /** Whether the next envelope travels under an offer that our contact record did not go along with yet. */
  #goesUnderNewOffer(link: NodeLink, route: PeerRoute, now: Millis): boolean {
    if (link.isAnswered && route.session === "established") return false;
    if (link.link.direction === "incoming" && !link.isAnswered) return false;
    const id = this.#endpoint.mesgen.preferred(route.peer, now);
    if (id === undefined) return true;
    return id !== route.recordUnder && this.#endpoint.maps.findPending(id as OfferId) !== undefined;
  }

  /** From now on something authentic is awaited on the link. */
  #ask(link: NodeLink, now: Millis, patienceMs: Millis): void {
    link.silentAt = now + patienceMs;
    this.#asked.add(link);
    this.#sweepAt = Math.min(this.#sweepAt, link.silentAt);
  }

  /** Finds the links that have been silent for too long. */
  #sweep(now: Millis): void {
    this.#sweepAt = Infinity;
    for (const link of this.#asked) {
      if (link.silentAt === Infinity) this.#asked.delete(link);
      else if (now < link.silentAt) this.#sweepAt = Math.min(this.#sweepAt, link.silentAt);
      else this.#fallSilent(link, now);
    }
  }

  #fallSilent(link: NodeLink, now: Millis): void {
    this.#asked.delete(link);
    link.silentAt = Infinity;
    if (!link.isHeard && link.isSpokenTo) {
      link.link.close("nothing authentic came");
      return;
    }
    link.isSilent = true;
    this.#reports.link(link, "silent", undefined);
    const { route } = link;
    if (route !== undefined) {
      if (route.current === link) {
        route.current = undefined;
        this.#endpoint.linkLost(route.peer, now);
      }
      this.#lookAt(route);
    }
    link.judge({ strategy: link.name, error: new RouteError("EGTP_NO_ANSWER") });
  }

  /**
   * What is said to the peer does not arrive, as far as can be seen, or no word of it comes back. If that went to a relay, which
   * may say what it likes, the next way is tried; when each had its turn, this one again.
   */
  #doubt(route: PeerRoute, now: Millis): void {
    const { lastWay } = route;
    if (lastWay?.kind !== "relay") return;
    route.answeredAt = Infinity;
    // What speaks against it may be of the way before.
    if (now - route.doubts.raisedAt < this.#limits.silentAfterMs) return;
    const name = strategyText(lastWay);
    // Its newest record may name a way that is not known yet.
    if (!this.connector.knowsOther(route, name) || route.setBackAt(name, this.#limits, now) !== undefined) {
      void this.connector.refresh(route);
    }
    if (!this.connector.knowsOther(route, name)) return;
    route.doubts.raise(name, this.#limits, now);
    for (const link of route.links) {
      if (link.name !== name || link.isSilent) continue;
      link.isSilent = true;
      this.#reports.link(link, "silent", undefined);
      link.link.close("nothing comes of it");
    }
    if (route.current?.isSilent === true) route.current = undefined;
    this.#lookAt(route);
  }

  // ---- Reaching peers

  #hasWords(route: PeerRoute, now: Millis): boolean {
    return this.#endpoint.delivery.wants(route.peer, now).any || this.#endpoint.mesgen.owes(route.peer, now);
  }

  #seekLink(route: PeerRoute, now: Millis): void {
    if (route.isConnecting || this.#turns.isStopped) return;
    if (!this.#hasWords(route, now)) {
      route.isUrgent = false;
      this.#retries.stopWaiting(route);
      return;
    }
    if (route.fault !== undefined) {
      route.failures = [{ strategy: "session", error: route.fault }];
      this.#giveUp(route, route.failures, now);
      return;
    }
    const dueAt = this.#retries.dueAt(route);
    if (now < dueAt) {
      if (route.failures.length === 0 || now < route.supersededUntil) route.retryAt = dueAt;
      if (route.failures.length > 0 && this.#endpoint.delivery.mustFailFast(route.peer))
        this.#failFast(route, route.failures, now);
      this.#retries.wait(route);
      return;
    }
    route.isUrgent = false;
    route.isConnecting = true;
    this.#retries.stopWaiting(route);
    this.connector.connect(route).then(
      (failures) => this.#connected(route, failures),
      (error: unknown) => this.#connected(route, [{ strategy: "node", error }]),
    );
  }

  #connected(route: PeerRoute, failures: readonly StrategyFailure[] | undefined): void {
    route.isConnecting = false;
    if (this.#turns.isStopped) return;
    const now = this.turn();
    this.#lookAt(route);
    if (failures === undefined) return;
    route.failures = failures;
    // Closed without a word: the peer may have no key left to say more under.
    if (route.supersededUntil > -Infinity) route.supersededUntil = now + this.#limits.supersededMs;
    if (route.failingSince === Infinity) route.failingSince = now;
    this.#retries.rest(route, now - route.failingSince, now);
    if (!route.links.some((link) => link.isOpen)) this.#giveUp(route, failures, now);
  }

  #failFast({ peer }: PeerRoute, reasons: readonly StrategyFailure[], now: Millis): void {
    this.#endpoint.unreachable(peer, reasons, now);
    this.#options.host.unreachable(peer, reasons, now);
  }

  /** Nothing can leave for this peer now. */
  #giveUp(route: PeerRoute, reasons: readonly StrategyFailure[], now: Millis): void {
    const { peer } = route;
    route.isUrgent = false;
    this.#failFast(route, reasons, now);
    const wants = this.#endpoint.delivery.wants(peer, now);
    // An answer that finds no way is as if lost on it: its peer asks again. So are receipts, after some time.
    const isForgotten = wants.any
      ? now - route.failingSince >= receiptPatienceMs
      : this.#endpoint.mesgen.owes(peer, now);
    if (wants.application || !isForgotten) return;
    try {
      this.#endpoint.next(peer, now);
    } catch (error) {
      if (!(error instanceof EgtpError)) throw error;
    }
  }

  failed(route: PeerRoute, failure: StrategyFailure): void {
    this.#reports.dialFailed(route, failure);
  }

  /** The route of a peer, made if there is none. */
  #route(peer: PeerId): PeerRoute {
    const known = this.#routes.get(peer);
    if (known !== undefined) return known;
    if (this.#routes.size >= this.#limits.maxRoutes) this.#forgetIdle();
    const route = new PeerRoute(peer);
    this.#routes.set(peer, route);
    return route;
  }

  /** Looks at some of the oldest routes and forgets those with nothing going on; the others go to the end. */
  #forgetIdle(): void {
    let looks = 32;
    for (const [peer, route] of this.#routes) {
      if (this.#routes.size < this.#limits.maxRoutes || looks-- === 0) return;
      this.#routes.delete(peer);
      if (route.isIdle && !this.#retries.isWaiting(route)) this.#retries.forget(peer);
      else this.#routes.set(peer, route);
    }
  }

  // ---- The end

  /** Says goodbye, closes every link, gives up every dial. Resolves when all links are gone. */
  stop(): Promise<void> {
    this.flush();
    const now = this.#schedule.now();
    for (const route of this.#routes.values()) {
      const link = route.choose();
      if (link === undefined || !link.isHeard || !link.link.writable) continue;
      const farewell = this.#endpoint.farewell(route.peer, now, closeReason.goodbye);
      if (farewell !== undefined && linkBytesOf(farewell) <= link.budget(this.#limits.maxAmplification)) {
        this.#send(link, route, farewell, undefined, now);
      }
    }
    this.#turns.stop();
    this.#unread.close();
    this.connector.stop();
    for (const link of this.#links) link.link.close("stopped");
    if (this.#links.size === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#onLinkless = resolve;
    });
  }
}

const noFrames: LinkFrames = {};

function ignore(): void {}

/** The offer an envelope travels under; `undefined` when it travels under a session. */
function offerIdIn(envelope: Uint8Array): string | undefined {
  if ((envelope[0]! & 15) !== 2) return undefined;
  const at = 2 + (envelope[1] === 1 ? sealedSenderBytes : peerIdBytes);
  return toHex(envelope.subarray(at, at + sessionIdBytes));
}
