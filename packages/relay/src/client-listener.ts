/**
 * Sees to it that relays keep mail for us: enough of them, the best ones first in our contact record, each only as long as it
 * does.
 *
 * Which ones: those that the program names, or else those that our last contact record named, where mail may wait, and
 * discovered ones. One that was live stays ours, and is tried again when it is lost: mail may wait there. Meanwhile another
 * takes its place; when there are more than enough for long, the worst is left.
 *
 * Bounds: `maxRegistrations`, `maxCandidates`.
 *
 * @see docs/spec.md, "Relay"
 */
import { EgtpError, type EgtpNode, type NodeEvent, type TakeMail } from "@egtp/node";
import { type Millis, type PeerId, type Strategy, toHex, type VerifySignature, verifyContactRecord } from "@egtp/wire";
import type { InHand, MailCounts } from "./client-intake.ts";
import type { RelayClientLimits } from "./client-limits.ts";
import { Registration, type RegistrationChange } from "./client-registration.ts";
import { type LinkNews, watchLinks } from "./client-watch.ts";
import { RelayError } from "./errors.ts";
import { clientRunBytes } from "./limits.ts";
import { mailMessage, type PublishedLimits } from "./protocol.ts";

export interface ListenerOptions {
  readonly node: EgtpNode;
  /** Named by the program; `undefined`: they are discovered. */
  readonly relays: readonly PeerId[] | undefined;
  /** How many are to be live. */
  readonly count: number;
  readonly limits: RelayClientLimits;
  readonly takeMail: TakeMail;
  readonly now: () => Millis;
  readonly setTimer: (task: () => void, delayMs: Millis) => () => void;
  readonly randomBytes: (length: number) => Uint8Array;
  readonly verify: VerifySignature;
  readonly tell: (event: NodeEvent) => void;
  /** A peer is used as a relay from now on. */
  readonly onRelay: (relay: PeerId) => void;
}

/** What the contact record calls a peer that offers to keep mail. */
const relayService = "relay";
/** A relay goes before another in our contact record when it is better by so much, and by this share of the other's cost. */
const betterByMs: Millis = 20;
const betterByShare = 0.3;
/** How long `stop` waits for the last acknowledgements. */
const stopMs: Millis = 1_000;

export class Listener {
  readonly counts: MailCounts = { taken: 0, notTaken: 0, repeated: 0, acknowledged: 0 };
  readonly #options: ListenerOptions;
  readonly #run: Uint8Array;
  readonly #registrations = new Map<PeerId, Registration>();
  /** Mail that is with the node, by mailbox. As many as there were registrations at a time, at least one of which has it. */
  readonly #inHand = new Map<string, InHand>();
  /** To be tried next, and not registered with. */
  #candidates: PeerId[] = [];
  /** Those that are advertised, or soon will be, best first. */
  #ranking: Registration[] = [];
  #advertised: readonly PeerId[] = [];
  /** When a relay last said that another process came after us; each says so once. */
  #supersededAt: Millis = -Infinity;
  /** Since when there are more live ones than needed. */
  #surplusSince: Millis = Infinity;
  #isLeaving = false;

  #isDiscovering = false;
  #discoveredAt: Millis = -Infinity;
  #discoverPauseMs: Millis;
  readonly #stopping = new AbortController();

  #isTending = false;
  #cancelTimer: () => void = () => {};
  #stopWatching: () => void = () => {};
  #removeHandler: () => void = () => {};
  #onSettled: (() => void) | undefined;

  constructor(options: ListenerOptions) {
    this.#options = options;
    this.#run = options.randomBytes(clientRunBytes);
    this.#discoverPauseMs = options.limits.minDiscoverMs;
  }

  /** Registers. Resolves when that is done, or as good as hopeless, or takes too long. Never rejects. */
  async start(): Promise<void> {
    const { node, relays, limits, setTimer } = this.#options;
    this.#removeHandler = node.handle(mailMessage, ({ from, body }) => this.#takeMail(from, body));
    this.#stopWatching = watchLinks(node, {
      counted: () => this.#registrations.keys(),
      tell: (relay, news) => this.#heed(relay, news),
    });
    // Mail may wait at any of them: which ones took it for an earlier run is not known. What is too many is left in time.
    for (const relay of relays ?? []) this.#add(relay, true);
    await new Promise<void>((resolve) => {
      const cancelTimer = setTimer(resolve, limits.startMs);
      this.#onSettled = () => {
        cancelTimer();
        resolve();
      };
      this.#tend();
    });
    this.#onSettled = undefined;
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#stopWatching();
    this.#removeHandler();
    this.#cancelTimer();
    this.#onSettled?.();
    const stops = [...this.#registrations.values()].map((registration) => registration.stop());
    await new Promise<void>((resolve) => {
      const cancelTimer = this.#options.setTimer(resolve, stopMs);
      void Promise.all(stops).then(() => {
        cancelTimer();
        resolve();
      });
    });
  }

  isRelay(peer: PeerId): boolean {
    return this.#registrations.has(peer);
  }

  publishedTo(relay: PeerId): PublishedLimits | undefined {
    return this.#registrations.get(relay)?.published;
  }

  /** The advertised ones first. */
  registrations(): readonly Registration[] {
    const rest = [...this.#registrations.values()].filter((registration) => !this.#ranking.includes(registration));
    return [...this.#ranking, ...rest];
  }

  isAdvertised(relay: PeerId): boolean {
    return this.#advertised.includes(relay);
  }

  // ---- What happens

  #takeMail(from: PeerId, body: Uint8Array): void {
    const registration = this.#registrations.get(from);
    if (registration === undefined) {
      throw new RelayError("EGTP_RELAY_NOT_OURS", `${from} handed over mail, and we are not registered there`);
    }
    registration.takeMail(body);
  }

  #heed(relay: PeerId, news: LinkNews): void {
    const registration = this.#registrations.get(relay);
    if (registration === undefined) return;
    if (news === "superseded") registration.supersede();
    else if (news === "answered") registration.linked();
    else registration.unlinked();
    this.#tend();
  }

  readonly #changed = (registration: Registration, change: RegistrationChange): void => {
    const { relay } = registration;
    if (change.kind === "live") this.#tell(relay, change.replaced ? "replaced" : "registered", undefined);
    else if (change.kind !== "same") this.#tell(relay, change.kind, change.error);
    if (change.kind === "superseded") this.#supersededAt = this.#options.now();
    // A discovered one that never was ours is forgotten: another may do.
    const isFailed = change.kind === "lost" || change.kind === "refused";
    if (isFailed && this.#options.relays === undefined && !registration.wasLive && !registration.isFormer) {
      this.#forget(registration);
    }
    this.#tend();
  };

  #tell(relay: PeerId, state: RelayEventState, error: EgtpError | undefined): void {
    this.#options.tell({ kind: "relay", at: this.#options.now(), state, relay, error });
  }

  #forget(registration: Registration): void {
    this.#registrations.delete(registration.relay);
    void registration.stop();
  }

  // ---- What follows

  /** Does what the circumstances demand. Calling it too often does no harm. */
  #tend(): void {
    if (this.#isTending || this.#stopping.signal.aborted) return;
    this.#isTending = true;
    const now = this.#options.now();
    const discoverAt = this.#fill(now);
    this.#shareMailboxes();
    this.#rank(now);
    this.#advertise();
    this.#leaveSurplus(now);
    this.#isTending = false;
    this.#arm(discoverAt, now);
    if (this.#isSettled) this.#onSettled?.();
  }

  /** Has one relay of those that share their mailboxes hand our mail over, and another one at once when that is lost. */
  #shareMailboxes(): void {
    for (const registration of this.#registrations.values()) {
      if (registration.state !== "live") continue;
      const handing = this.#handing(registration.mailbox!);
      if (registration.isStandby) {
        if (handing === undefined) registration.standBy(false);
      } else if (handing !== registration) registration.standBy(true);
    }
  }

  /** The relay that hands over the mail of a mailbox: of several the one that does so for the longest time. */
  #handing(mailbox: string): Registration | undefined {
    let handing: Registration | undefined;
    for (const registration of this.#registrations.values()) {
      if (registration.state !== "live" || registration.isStandby || registration.mailbox !== mailbox) continue;
      if (handing === undefined || registration.liveSince < handing.liveSince) handing = registration;
    }
    return handing;
  }

  #inHandOf(tag: Uint8Array): InHand {
    const mailbox = toHex(tag);
    let inHand = this.#inHand.get(mailbox);
    if (inHand === undefined) {
      for (const [other, { size }] of this.#inHand) {
        if (this.#inHand.size >= this.#options.limits.maxRegistrations && size === 0) this.#inHand.delete(other);
      }
      inHand = new Map();
      this.#inHand.set(mailbox, inHand);
    }
    return inHand;
  }

  /** Registers with more relays when too few are live. @returns When to discover some. */
  #fill(now: Millis): Millis {
    const { count, relays, limits } = this.#options;
    const registrations = [...this.#registrations.values()];
    const isAnyLive = registrations.some(({ state }) => state === "live");
    const isSuperseded = this.#isSuperseded;
    let missing = count;
    for (const registration of registrations) {
      const { state, wasLive, lostAt } = registration;
      // One that was lost a moment ago is given the time to come back, unless there is nothing else.
      const isHopeful = state === "registering" || (state === "lost" && wasLive && isAnyLive);
      const stands =
        state === "live" || (state === "superseded" && isSuperseded) || (isHopeful && now - lostAt < limits.replaceMs);
      if (stands) missing -= 1;
    }
    while (missing > 0 && this.#candidates.length > 0) {
      const relay = this.#candidates.shift()!;
      if (this.#add(relay, false)) missing -= 1;
    }
    if (relays !== undefined) return Infinity;
    if (missing <= 0) this.#discoverPauseMs = limits.minDiscoverMs;
    const at = this.#discoveredAt + (missing > 0 ? this.#discoverPauseMs : limits.discoverMs);
    // When it is over this is called again.
    if (this.#isDiscovering) return Infinity;
    if (now < at) return at;
    this.#discoverPauseMs = Math.min(2 * this.#discoverPauseMs, limits.maxRetryMs);
    void this.#discover();
    return now + limits.discoverMs;
  }

  /** @returns Whether it was added: it is another one, and there is room. */
  #add(relay: PeerId, isFormer: boolean): boolean {
    const { node, limits, takeMail, onRelay } = this.#options;
    if (relay === node.peerId || this.#registrations.has(relay) || !this.#makeRoom()) return false;
    const registration = new Registration({
      ...this.#options,
      relay,
      isFormer,
      run: this.#run,
      limits,
      counts: this.counts,
      random: () => this.#random(),
      takeMail: (envelope) => takeMail(envelope, relay),
      isHandedOver: (mailbox) => this.#handing(mailbox) !== undefined,
      inHandOf: (tag) => this.#inHandOf(tag),
      onChange: this.#changed,
    });
    this.#registrations.set(relay, registration);
    onRelay(relay);
    void registration.register();
    return true;
  }

  /** Forgets the relay that was lost first, when there are too many. */
  #makeRoom(): boolean {
    if (this.#registrations.size < this.#options.limits.maxRegistrations) return true;
    let oldest: Registration | undefined;
    for (const registration of this.#registrations.values()) {
      if (registration.state !== "lost" && registration.state !== "refused") continue;
      if (oldest === undefined || registration.lostAt < oldest.lostAt) oldest = registration;
    }
    if (oldest !== undefined) this.#forget(oldest);
    return oldest !== undefined;
  }

  #random(): number {
    const [high, low] = this.#options.randomBytes(2);
    return (high! * 256 + low!) / 65_536;
  }

  /** Puts a better one before a worse one, when it is so much better that it will hardly be the other way round soon. */
  #rank(now: Millis): void {
    const { unadvertiseMs } = this.#options.limits;
    const isListed = ({ state, wasLive, lostAt }: Registration): boolean =>
      state === "live" || (wasLive && state !== "refused" && state !== "superseded" && now - lostAt < unadvertiseMs);
    const known = this.#ranking.filter(
      (registration) => this.#registrations.get(registration.relay) === registration && isListed(registration),
    );
    const added = [...this.#registrations.values()].filter(
      (registration) => isListed(registration) && !known.includes(registration),
    );
    const ranking = [...known, ...added];
    for (let i = 1; i < ranking.length; i++) {
      for (let at = i; at > 0 && isBetter(ranking[at]!, ranking[at - 1]!); at--) {
        ranking.splice(at - 1, 2, ranking[at]!, ranking[at - 1]!);
      }
    }
    this.#ranking = ranking;
  }

  #advertise(): void {
    const { node, count } = this.#options;
    if (this.#isSuperseded) return;
    const relays = this.#ranking.slice(0, count).map(({ relay }) => relay);
    if (relays.length === this.#advertised.length && relays.every((relay, at) => relay === this.#advertised[at]))
      return;
    this.#advertised = relays;
    node.advertise(relays.map((relay): Strategy => ({ kind: "relay", relay })));
  }

  /**
   * Whether another process came after us, and speaks for our key now. Of a relay alone that says so that is not believed when another
   * that our contact record names says later that we are the newest: the other process would have registered there too.
   */
  get #isSuperseded(): boolean {
    const heardSince = this.#supersededAt + this.#options.limits.replaceMs;
    if (heardSince === -Infinity) return false;
    for (const { relay, state, renewedAt } of this.#registrations.values()) {
      if (state === "live" && renewedAt >= heardSince && this.isAdvertised(relay)) return false;
    }
    return true;
  }

  #leaveSurplus(now: Millis): void {
    const { count, limits } = this.#options;
    const live = this.#ranking.filter(({ state }) => state === "live");
    if (live.length <= count) {
      this.#surplusSince = Infinity;
      return;
    }
    this.#surplusSince = Math.min(this.#surplusSince, now);
    if (now - this.#surplusSince < limits.leaveMs || this.#isLeaving) return;
    const worst = live.findLast(({ relay }) => !this.isAdvertised(relay));
    // Else it is left when it was renewed and nothing waits there.
    if (worst !== undefined && worst.waiting === 0 && worst.intake.isQuiet) void this.#leave(worst);
  }

  async #leave(registration: Registration): Promise<void> {
    this.#isLeaving = true;
    try {
      await registration.leave();
      if (this.#stopping.signal.aborted) return;
      this.#forget(registration);
      this.#candidates.push(registration.relay);
      this.#tell(registration.relay, "left", undefined);
    } catch (error) {
      if (!(error instanceof EgtpError)) throw error;
      // It is out of reach, so there is one too many no longer.
    } finally {
      this.#isLeaving = false;
    }
    this.#tend();
  }

  /** Comes again when something is due that nothing else tells of. */
  #arm(discoverAt: Millis, now: Millis): void {
    const { limits, setTimer } = this.#options;
    let next = discoverAt;
    for (const { state, lostAt } of this.#registrations.values()) {
      if (state === "live" || state === "superseded") continue;
      for (const at of [lostAt + limits.unadvertiseMs, lostAt + limits.replaceMs])
        if (at > now) next = Math.min(next, at);
    }
    const leaveAt = this.#surplusSince + limits.leaveMs;
    if (leaveAt > now) next = Math.min(next, leaveAt);
    this.#cancelTimer();
    if (next < Infinity) this.#cancelTimer = setTimer(() => this.#tend(), next - now);
  }

  /** Whether `start` has nothing more to wait for. */
  get #isSettled(): boolean {
    if (this.#isDiscovering) return false;
    const registrations = [...this.#registrations.values()];
    const live = registrations.filter(({ state }) => state === "live").length;
    return live >= this.#options.count || !registrations.some(({ isUnderWay }) => isUnderWay);
  }

  // ---- Finding relays

  async #discover(): Promise<void> {
    const { node, limits, now } = this.#options;
    const isFirst = this.#discoveredAt === -Infinity;
    this.#isDiscovering = true;
    const finding = orNothing(node.discover(relayService, { max: limits.maxCandidates }));
    if (isFirst) for (const relay of await orNothing(this.#formerRelays())) this.#add(relay, true);
    const found = await finding;
    this.#isDiscovering = false;
    this.#discoveredAt = now();
    const fresh = found.filter((relay) => !this.#registrations.has(relay));
    // Its clients should spread over the relays, whatever the order in which they are told of them.
    this.#candidates = shuffled(fresh, () => this.#random());
    this.#tend();
  }

  /** The relays that our last contact record names. */
  async #formerRelays(): Promise<readonly PeerId[]> {
    const { node, now, verify } = this.#options;
    const record = await node.lookUp(node.peerId);
    if (record === undefined) return [];
    const { strategies } = verifyContactRecord(record, now(), verify);
    return strategies.flatMap((strategy) => (strategy.kind === "relay" ? [strategy.relay] : []));
  }
}

/** What a lookup finds; nothing when it fails, in whatever way: it may be the program's own. */
async function orNothing(finding: Promise<readonly PeerId[]>): Promise<readonly PeerId[]> {
  try {
    return await finding;
  } catch {
    return [];
  }
}

type RelayEventState = Extract<NodeEvent, { kind: "relay" }>["state"];

function isBetter(one: Registration, other: Registration): boolean {
  return other.cost - one.cost > Math.max(betterByMs, betterByShare * other.cost);
}

function shuffled<T>(items: readonly T[], random: () => number): T[] {
  const shuffling = [...items];
  for (let last = shuffling.length - 1; last > 0; last--) {
    const at = Math.floor(random() * (last + 1));
    [shuffling[last], shuffling[at]] = [shuffling[at]!, shuffling[last]!];
  }
  return shuffling;
}
