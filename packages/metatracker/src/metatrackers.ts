/**
 * The client of metatrackers: the lookup of a node that finds any peer by its ID alone, and peers by what they offer.
 *
 *     const node = await createNode({ identity, transports, lookup: metatrackers({ bootPages: ["https://…/boot.json#ybnd…"] }) });
 *
 * It learns of metatrackers from boot pages, or is told of them. A record is placed on the few that are nearest to its peer,
 * and asked for there, of all at once. None of them is believed: a record counts if its peer signed it.
 *
 * @see docs/spec.md, "Metatracker"
 */
import { defaultCryptoProvider } from "@egtp/mesgen";
import {
  type DiscoverOptions,
  type EgtpNode,
  type LookUpOptions,
  type Lookup,
  type NodeOptions,
  type NodeSchedule,
  systemSchedule,
} from "@egtp/node";
import {
  type ContactRecord,
  checkedLimits,
  equalBytes,
  type Millis,
  type PeerId,
  parsePeerId,
  peerIdToBytes,
  type Strategy,
  type VerifySignature,
  verifyContactRecord,
  WireError,
} from "@egtp/wire";
import { AnswerCache, type FoundRecord } from "./answer-cache.ts";
import type { Fetch } from "./boot-page-request.ts";
import { type BootPageCache, type BootPageEvent, BootPages } from "./boot-pages.ts";
import { MetatrackerError, NoMetatrackerError } from "./errors.ts";
import {
  type BootPageLimits,
  defaultBootPageLimits,
  defaultLookupLimits,
  type LookupLimits,
  maxListed,
} from "./limits.ts";
import { type PollResult, poll } from "./poll.ts";
import { goodbyeRequest, helloRequest, listRequest, lookUpRequest } from "./protocol.ts";
import { orderByNearness } from "./rendezvous.ts";

export interface MetatrackersOptions {
  /** Where boot pages lie: `https://example.org/boot.json#ID`, with the ID of their publisher. */
  readonly bootPages?: readonly string[];
  /** Where boot pages outlive this process: `bootPageFiles(folder)` of `@egtp/metatracker/files`. */
  readonly bootPageCache?: BootPageCache;
  /** Load boot pages by http: from other machines, too. */
  readonly allowInsecure?: boolean;
  /** Metatrackers that are known without a boot page, and where to reach them. */
  readonly metatrackers?: readonly KnownMetatracker[];
  readonly limits?: Partial<LookupLimits & BootPageLimits>;
  /** Told of boot pages and of metatrackers that do not keep to the protocol. */
  readonly onEvent?: (event: MetatrackersEvent) => void;
  /** Default: the one of this platform. */
  readonly fetch?: Fetch;
  /** Of [0, 1), for times that must not be the same everywhere, and for whom to ask. Default: `Math.random`. */
  readonly random?: () => number;
}

export interface KnownMetatracker {
  readonly peer: PeerId | string;
  /** Dialled as they are, private addresses too. */
  readonly strategies: readonly Strategy[];
}

export type MetatrackersEvent =
  | BootPageEvent
  /** What a metatracker said is not true, or not of the protocol. It was passed over. */
  | {
      readonly kind: "metatracker";
      readonly state: "misbehaved";
      readonly peer: PeerId;
      readonly error: MetatrackerError;
    };

export interface Metatrackers extends Lookup {
  /** The metatrackers that are known now. */
  readonly known: readonly PeerId[];
}

/**
 * A lookup for one node.
 *
 * @throws {@link BootPageError} `EGTP_BOOT_PAGE_URL`; {@link WireError} `EGTP_WIRE_BAD_PEER_ID`.
 */
export function metatrackers(options: MetatrackersOptions): Metatrackers {
  return new MetatrackerClient(options);
}

/** The service by which a contact record says that its peer is a metatracker. */
const metatrackerService = "metatracker";

/** Asking for a peer; whoever wants the same meanwhile waits for it, too. */
interface Query {
  readonly answer: Promise<FoundRecord | undefined>;
  readonly tried: number | undefined;
  readonly controller: AbortController;
  waiters: number;
}

/** Another record of ours than the one that was brought, or `undefined` when that is kept. */
type Standing = FoundRecord | undefined;

class MetatrackerClient implements Metatrackers {
  readonly kind = "metatrackers";
  readonly #options: MetatrackersOptions;
  readonly #limits: LookupLimits;
  readonly #configured: ReadonlyMap<PeerId, readonly Strategy[]>;
  readonly #pages: BootPages;
  readonly #cache: AnswerCache;
  readonly #random: () => number;
  // Set by `start`.
  #node: EgtpNode | undefined;
  #schedule!: NodeSchedule;
  #verify!: VerifySignature;
  /** By peer; bounded by the program, which asks. */
  readonly #queries = new Map<PeerId, Query>();
  /** What runs now, to be given up when the node stops. */
  readonly #running = new Set<AbortController>();
  /** Our record, to be brought again. */
  #ownRecord: Uint8Array | undefined;
  #failedRechecks = 0;
  #cancelRecheck = (): void => {};
  #isClosed = false;

  constructor(options: MetatrackersOptions) {
    this.#options = options;
    this.#limits = checkedLimits(defaultLookupLimits, pick(defaultLookupLimits, options.limits));
    this.#random = options.random ?? Math.random;
    this.#configured = new Map(
      (options.metatrackers ?? []).map(({ peer, strategies }) => [parsePeerId(peer), strategies]),
    );
    this.#cache = new AnswerCache(this.#limits);
    this.#pages = new BootPages({
      urls: options.bootPages ?? [],
      allowInsecure: options.allowInsecure ?? false,
      cache: options.bootPageCache,
      fetch: options.fetch ?? ((url, init) => fetch(url, init)),
      limits: checkedLimits(defaultBootPageLimits, pick(defaultBootPageLimits, options.limits)),
      tell: (event) => this.#tell(event),
      changed: () => this.#recheckIn(this.#random() * 1_000),
    });
  }

  get known(): readonly PeerId[] {
    const ring = new Set<PeerId>(this.#configured.keys());
    for (const [peer, { record }] of this.#pages.records(this.#now())) if (isMetatracker(record)) ring.add(peer);
    if (this.#node !== undefined) ring.delete(this.#node.peerId);
    return [...ring];
  }

  async start(node: EgtpNode, options: NodeOptions): Promise<void> {
    if (this.#node !== undefined) throw new TypeError("A lookup of metatrackers belongs to one node");
    const crypto = options.crypto ?? defaultCryptoProvider;
    this.#node = node;
    this.#schedule = options.schedule ?? systemSchedule();
    this.#verify = (key, message, signature) => crypto.verify(key, message, signature);
    for (const [peer, strategies] of this.#configured) {
      if (peer !== node.peerId) node.introduce(peer, strategies);
    }
    this.#pages.start({ schedule: this.#schedule, verify: this.#verify, random: this.#random });
    void this.#watch(node);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#pages.stop();
    this.#cancelRecheck();
    for (const controller of this.#running)
      controller.abort(new MetatrackerError("EGTP_METATRACKER_CLOSED", "The node stops"));
  }

  // ---- Looking up

  async lookUp(peer: PeerId, { signal, tried }: LookUpOptions): Promise<Uint8Array | undefined> {
    const now = this.#now();
    if (peer !== this.#node?.peerId) {
      const onPage = this.#pages.records(now).get(peer);
      if (onPage !== undefined && onPage.record.seq > (tried ?? -1)) return onPage.bytes;
      // To ask metatrackers for a metatracker would mean to look up those first, without end.
      if (this.#configured.has(peer) || (onPage !== undefined && isMetatracker(onPage.record))) {
        return onPage === undefined ? undefined : this.#newerOnPages(peer, onPage.record.seq, signal);
      }
      const answer = this.#cache.find(peer, tried, now);
      if (answer !== undefined) return answer.found?.bytes;
    }
    return (await this.#join(peer, tried, signal))?.bytes;
  }

  /** A metatracker that is not where its page says may stand on a newer one. */
  async #newerOnPages(peer: PeerId, seq: number, signal: AbortSignal): Promise<Uint8Array | undefined> {
    await unlessAborted(this.#pages.refresh(), signal);
    const entry = this.#pages.records(this.#now()).get(peer);
    return entry !== undefined && entry.record.seq > seq ? entry.bytes : undefined;
  }

  async #join(peer: PeerId, tried: number | undefined, signal: AbortSignal): Promise<FoundRecord | undefined> {
    let query = this.#queries.get(peer);
    // One that was content with less does not do.
    if (query === undefined || (tried ?? -1) > (query.tried ?? -1)) query = this.#begin(peer, tried);
    query.waiters += 1;
    try {
      return await unlessAborted(query.answer, signal);
    } finally {
      query.waiters -= 1;
      if (query.waiters === 0) {
        // It still has to end: whoever asks meanwhile begins one of their own.
        if (this.#queries.get(peer) === query) this.#queries.delete(peer);
        query.controller.abort(signal.reason);
      }
    }
  }

  #begin(peer: PeerId, tried: number | undefined): Query {
    const controller = new AbortController();
    const answer = this.#run(controller, () => this.#ask(peer, tried, controller.signal)).finally(() => {
      if (this.#queries.get(peer) === query) this.#queries.delete(peer);
    });
    const query: Query = { answer, tried, controller, waiters: 0 };
    this.#queries.set(peer, query);
    return query;
  }

  async #ask(peer: PeerId, tried: number | undefined, signal: AbortSignal): Promise<FoundRecord | undefined> {
    const node = this.#started();
    const ring = await this.#ring(signal);
    const width = Math.min(this.#limits.copies, ring.length);
    const majority = Math.floor(width / 2) + 1;
    const isOwn = peer === node.peerId;
    const result = await poll<FoundRecord | null>({
      peers: orderByNearness(peer, ring),
      width,
      maxAsked: 2 * width,
      ask: (metatracker, given) => this.#askOne(metatracker, peer, isOwn, given),
      isEnough: (answers, isLate) => {
        const isFound = answers.some((found) => found !== null && found.seq > (tried ?? -1));
        // For our own record the highest number matters, and not how soon.
        if (isLate) return isFound || answers.length >= majority;
        return isFound && !isOwn && answers.length >= majority;
      },
      patienceMs: this.#limits.patienceMs,
      schedule: this.#schedule,
      signal,
    });
    this.#mustHaveAnswers(result);
    let best: FoundRecord | undefined;
    for (const found of result.answers) if (found !== null && found.seq > (best?.seq ?? -1)) best = found;
    this.#cache.keep(peer, best, tried, this.#now());
    return best;
  }

  /** @returns `null` when the metatracker knows no valid one. */
  async #askOne(metatracker: PeerId, peer: PeerId, isOwn: boolean, signal: AbortSignal): Promise<FoundRecord | null> {
    const bytes = await this.#started().request(metatracker, lookUpRequest, peerIdToBytes(peer), {
      timeoutMs: this.#limits.askMs,
      signal,
    });
    if (bytes.length === 0) return null;
    try {
      const record = verifyContactRecord(bytes, isOwn ? undefined : this.#now(), this.#verify);
      if (record.id === peer) return found(record, bytes);
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      // Clocks differ: what has just ended here may be valid there.
      if (error.code === "EGTP_WIRE_EXPIRED") return null;
      throw this.#misbehaved(metatracker, `${metatracker} gave what is no record of ${peer}`, error);
    }
    throw this.#misbehaved(metatracker, `${metatracker} gave the record of another peer than ${peer}`);
  }

  // ---- Discovering

  async discover(service: string, { signal, max }: DiscoverOptions): Promise<readonly Uint8Array[]> {
    const onPages: FoundRecord[] = [];
    for (const { record, bytes } of this.#pages.records(this.#now()).values()) {
      if (record.services.includes(service)) onPages.push(found(record, bytes));
    }
    const lists = await this.#listAll(service, signal).catch((error: unknown) => {
      if (onPages.length > 0 && error instanceof MetatrackerError) return [];
      throw error;
    });
    return interleave([this.#shuffled(onPages), ...lists], max);
  }

  async #listAll(service: string, signal: AbortSignal): Promise<readonly (readonly FoundRecord[])[]> {
    const controller = new AbortController();
    const run = this.#run(controller, async () => {
      const ring = await this.#ring(controller.signal);
      const width = Math.min(this.#limits.discoverFrom, ring.length);
      return poll({
        peers: this.#shuffled(ring),
        width,
        maxAsked: 2 * width,
        ask: (metatracker, given) => this.#listOne(metatracker, service, given),
        isEnough: (answers, isLate) => isLate && answers.length > 0,
        patienceMs: this.#limits.patienceMs,
        schedule: this.#schedule,
        signal: controller.signal,
      });
    });
    const result = await unlessAborted(run, signal, controller);
    this.#mustHaveAnswers(result);
    return result.answers;
  }

  async #listOne(metatracker: PeerId, service: string, signal: AbortSignal): Promise<FoundRecord[]> {
    const { records } = await this.#started().request(
      metatracker,
      listRequest,
      { service, max: maxListed },
      { timeoutMs: this.#limits.askMs, signal },
    );
    const peers = new Map<PeerId, FoundRecord>();
    for (const bytes of records) {
      try {
        const record = verifyContactRecord(bytes, this.#now(), this.#verify);
        if (record.services.includes(service)) peers.set(record.id, found(record, bytes));
      } catch (error) {
        if (!(error instanceof WireError)) throw error;
        if (error.code !== "EGTP_WIRE_EXPIRED") {
          this.#misbehaved(metatracker, `${metatracker} listed what is no contact record`, error);
        }
      }
    }
    return [...peers.values()];
  }

  // ---- Publishing

  async publish(record: Uint8Array, { signal }: { readonly signal: AbortSignal }): Promise<Uint8Array | undefined> {
    const { gone } = verifyContactRecord(record, undefined, this.#verify);
    this.#ownRecord = gone ? undefined : record.slice();
    this.#cancelRecheck();
    const controller = new AbortController();
    const run = this.#run(controller, () => this.#bring(record, gone, controller.signal));
    try {
      const { standing, isEverywhere } = await unlessAborted(run, signal, controller);
      this.#failedRechecks = isEverywhere ? 0 : 1;
      return standing?.bytes;
    } catch (error) {
      this.#failedRechecks = 1;
      throw error;
    } finally {
      this.#planRecheck();
    }
  }

  /** Brings a record of ours to where it should be. */
  async #bring(
    record: Uint8Array,
    gone: boolean,
    signal: AbortSignal,
  ): Promise<{ standing: Standing; isEverywhere: boolean }> {
    const ring = await this.#ring(signal);
    const width = Math.min(this.#limits.copies, ring.length);
    const result = await poll<Standing>({
      peers: orderByNearness(this.#started().peerId, ring),
      width,
      maxAsked: 2 * width,
      ask: (metatracker, given) => this.#bringTo(metatracker, record, gone, given),
      isEnough: (answers, isLate) => isLate && answers.length > 0,
      patienceMs: this.#limits.patienceMs,
      schedule: this.#schedule,
      signal,
    });
    this.#mustHaveAnswers(result);
    let standing: Standing;
    for (const other of result.answers) {
      if (other !== undefined && other.seq > (standing?.seq ?? -1)) standing = other;
    }
    return { standing, isEverywhere: result.failures.length === 0 && result.answers.length === width };
  }

  async #bringTo(metatracker: PeerId, record: Uint8Array, gone: boolean, signal: AbortSignal): Promise<Standing> {
    const node = this.#started();
    const answer = await node.request(metatracker, gone ? goodbyeRequest : helloRequest, record, {
      timeoutMs: this.#limits.askMs,
      signal,
    });
    if (answer.state === "kept") return undefined;
    if (answer.state === "refused") {
      throw new MetatrackerError("EGTP_METATRACKER_REFUSED", `${metatracker} refused our record: ${answer.reason}`);
    }
    try {
      // Ours counts when it is out of date, too: its number is taken.
      const other = verifyContactRecord(answer.record, undefined, this.#verify);
      const brought = verifyContactRecord(record, undefined, this.#verify);
      if (other.id === node.peerId && other.seq >= brought.seq) {
        return equalBytes(answer.record, record) ? undefined : found(other, answer.record);
      }
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      throw this.#misbehaved(metatracker, `${metatracker} says that it keeps what is no record`, error);
    }
    throw this.#misbehaved(metatracker, `${metatracker} says that it keeps a newer record of ours, and has none`);
  }

  /** A metatracker that was restarted may have forgotten us, and we hear of it the next time that we talk. */
  async #watch(node: EgtpNode): Promise<void> {
    for await (const event of node.events({ kinds: ["session"] })) {
      if (event.kind !== "session" || (event.state !== "restarted" && event.state !== "lost")) continue;
      if (this.known.includes(event.peer)) this.#recheckIn(this.#random() * 1_000);
    }
  }

  #planRecheck(): void {
    const { recheckMs, minRetryMs } = this.#limits;
    const retryMs = minRetryMs * 2 ** Math.min(this.#failedRechecks - 1, 20);
    const ms = this.#failedRechecks === 0 ? recheckMs : Math.min(retryMs, recheckMs);
    this.#recheckIn((0.8 + 0.4 * this.#random()) * ms);
  }

  #recheckIn(ms: Millis): void {
    this.#cancelRecheck();
    if (this.#ownRecord === undefined || this.#isClosed) return;
    this.#cancelRecheck = this.#schedule.setTimer(() => void this.#recheck(), ms);
  }

  async #recheck(): Promise<void> {
    const record = this.#ownRecord;
    if (record === undefined) return;
    const controller = new AbortController();
    try {
      const { isEverywhere } = await this.#run(controller, () => this.#bring(record, false, controller.signal));
      this.#failedRechecks = isEverywhere ? 0 : this.#failedRechecks + 1;
    } catch (error) {
      if (!(error instanceof MetatrackerError)) throw error;
      this.#failedRechecks += 1;
    }
    // What was published meanwhile has planned one already.
    if (record === this.#ownRecord) this.#planRecheck();
  }

  // ---- Shared

  /** The metatrackers to choose from, as soon as one is known. */
  async #ring(signal: AbortSignal): Promise<readonly PeerId[]> {
    if (this.known.length === 0) await unlessAborted(this.#pages.first, signal);
    const ring = this.known;
    if (ring.length > 0) return ring;
    const { errors } = this.#pages;
    throw new MetatrackerError("EGTP_METATRACKER_NONE_KNOWN", "No metatracker is known", {
      cause:
        errors.length > 1 ? new AggregateError(errors, errors.map(({ message }) => message).join("; ")) : errors[0],
    });
  }

  /** @throws {@link NoMetatrackerError}. Nobody there may mean that boot pages say something new. */
  #mustHaveAnswers({ answers, failures }: PollResult<unknown>): void {
    if (answers.length > 0) {
      this.#pages.answered();
      return;
    }
    void this.#pages.refresh();
    const wasRefused = failures.some(
      ({ error }) => error instanceof MetatrackerError && error.code === "EGTP_METATRACKER_REFUSED",
    );
    if (wasRefused)
      throw new NoMetatrackerError("EGTP_METATRACKER_REFUSED", "No metatracker took our record", failures);
    throw new NoMetatrackerError("EGTP_METATRACKER_NO_ANSWER", "No metatracker gave an answer", failures);
  }

  #misbehaved(peer: PeerId, message: string, cause?: unknown): MetatrackerError {
    const error = new MetatrackerError("EGTP_METATRACKER_BAD_ANSWER", message, { cause });
    this.#tell({ kind: "metatracker", state: "misbehaved", peer, error });
    return error;
  }

  #tell(event: MetatrackersEvent): void {
    const { onEvent } = this.#options;
    // Whatever it throws is its own affair.
    if (onEvent !== undefined) queueMicrotask(() => onEvent(event));
  }

  /** Runs something that is given up when the node stops. */
  async #run<T>(controller: AbortController, run: () => Promise<T>): Promise<T> {
    this.#running.add(controller);
    try {
      return await run();
    } finally {
      this.#running.delete(controller);
    }
  }

  #started(): EgtpNode {
    if (this.#node === undefined) throw new MetatrackerError("EGTP_METATRACKER_CLOSED", "The node was not started");
    return this.#node;
  }

  #now(): Millis {
    return this.#node === undefined ? Date.now() : this.#schedule.now();
  }

  #shuffled<T>(items: readonly T[]): T[] {
    return items
      .map((item) => ({ item, at: this.#random() }))
      .sort((a, b) => a.at - b.at)
      .map(({ item }) => item);
  }
}

function isMetatracker({ services, gone }: ContactRecord): boolean {
  return !gone && services.includes(metatrackerService);
}

function found({ id, seq, issued, ttl }: ContactRecord, bytes: Uint8Array): FoundRecord {
  return { peer: id, bytes, seq, validUntil: issued + ttl };
}

/** One from each list in turn, so that no list crowds out the others; of each peer its newest record. */
function interleave(lists: readonly (readonly FoundRecord[])[], max: number): Uint8Array[] {
  const newest = new Map<PeerId, FoundRecord>();
  const longest = Math.max(0, ...lists.map(({ length }) => length));
  for (let at = 0; at < longest; at += 1) {
    for (const list of lists) {
      const entry = list[at];
      if (entry === undefined || entry.seq <= (newest.get(entry.peer)?.seq ?? -1)) continue;
      newest.set(entry.peer, entry); // keeps the place of the one before
    }
  }
  return [...newest.values()].slice(0, max).map(({ bytes }) => bytes);
}

/** Rejects when the signal aborts, and then gives up what the controller governs. */
function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal, controller?: AbortController): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => {
      controller?.abort(signal.reason);
      reject(signal.reason);
    };
    signal.addEventListener("abort", onAbort);
    if (signal.aborted) onAbort();
    void promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}

/** Those of the changes that belong to these limits. */
function pick<T extends object>(limits: T, changes: Partial<T> = {}): Partial<T> {
  const own = Object.entries(changes).filter(([name]) => Object.hasOwn(limits, name));
  return Object.fromEntries(own) as Partial<T>;
}
