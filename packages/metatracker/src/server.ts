/**
 * A metatracker: the directory behind the messages of its protocol, as a part of an ordinary node. `@egtp/metatracker/server`.
 *
 *     const node = await createNode({ identity, transports, services: ["metatracker"], parts: [metatrackerServer()] });
 *
 * Its own record stands in its directory, too.
 *
 * @see docs/spec.md, "Metatracker"
 */
import { defaultCryptoProvider } from "@egtp/mesgen";
import { type EgtpNode, type NodeOptions, type NodePart, type NodeSchedule, systemSchedule } from "@egtp/node";
import { isPeerId, type Millis, type PeerId, peerIdBytes, peerIdFromTrustedBytes } from "@egtp/wire";
import { AskerRates } from "./asker-rates.ts";
import { Directory, type RecordKind, refused } from "./directory.ts";
import { type DirectorySize, type DirectoryStore, type MaybePromise, whenThere } from "./directory-store.ts";
import { MetatrackerError } from "./errors.ts";
import { defaultMetatrackerRates, type MetatrackerRates, sweepMs } from "./limits.ts";
import { MemoryDirectoryStore } from "./memory-store.ts";
import {
  goodbyeRequest,
  helloRequest,
  listRequest,
  lookUpRequest,
  type Publication,
  type RefusalReason,
} from "./protocol.ts";

export { BootPageMaker, type BootPageMakerOptions, type MadeBootPage } from "./boot-page-maker.ts";
export { Directory, type DirectoryOptions, type RecordKind } from "./directory.ts";
export type { DirectorySize, DirectoryStore, KeptRecord, MaybePromise } from "./directory-store.ts";
export {
  type DirectoryLimits,
  defaultDirectoryLimits,
  defaultMetatrackerRates,
  type MetatrackerRates,
} from "./limits.ts";
export { MemoryDirectoryStore } from "./memory-store.ts";

export interface MetatrackerServerOptions {
  /** Given over: it is closed when the node stops. Default: memory. */
  readonly store?: DirectoryStore;
  readonly rates?: Partial<MetatrackerRates>;
}

/** What a metatracker did since it started. */
export interface MetatrackerCounts {
  /** Records and goodbyes that are kept, also when they were brought again. */
  readonly kept: number;
  /** Records in whose place a newer one is kept. */
  readonly older: number;
  readonly refused: Readonly<Record<RefusalReason, number>>;
  /** Look-ups that gave a record. */
  readonly found: number;
  /** Look-ups of peers that nobody knows. */
  readonly missing: number;
  readonly listed: number;
  /** Look-ups and lists that were not answered, by reason. */
  readonly unanswered: Readonly<Record<"bad-message" | "too-fast" | "store-failed", number>>;
  /** Records that were forgotten when their time was over. */
  readonly expired: number;
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] extends object ? Mutable<T[K]> : T[K] };

export interface MetatrackerServer extends NodePart {
  readonly counts: MetatrackerCounts;
  readonly size: DirectorySize;
  /** What the store said when it failed last; `undefined` when the last attempt went well. */
  readonly storeFailure: unknown;
  /** The record of a peer, as whoever looks it up gets it. */
  find(peer: PeerId): MaybePromise<Uint8Array | undefined>;
  /** Some of the records of peers that offer a service. */
  list(service: string, max: number): MaybePromise<Uint8Array[]>;
}

export function metatrackerServer(options: MetatrackerServerOptions = {}): MetatrackerServer {
  return new Server(options);
}

class Server implements MetatrackerServer {
  readonly counts: Mutable<MetatrackerCounts> = {
    kept: 0,
    older: 0,
    refused: { invalid: 0, expired: 0, "not-yet-valid": 0, "not-yours": 0, "too-fast": 0, "store-failed": 0 },
    found: 0,
    missing: 0,
    listed: 0,
    unanswered: { "bad-message": 0, "too-fast": 0, "store-failed": 0 },
    expired: 0,
  };
  storeFailure: unknown;
  readonly #store: DirectoryStore;
  readonly #rateChanges: Partial<MetatrackerRates>;
  // Set by `start`.
  #node!: EgtpNode;
  #schedule!: NodeSchedule;
  #directory!: Directory;
  #rates!: AskerRates;
  #ownRecord: Uint8Array | undefined;
  #removeHandlers: (() => void)[] = [];
  #cancelTimer = (): void => {};
  #isStopped = false;

  constructor(options: MetatrackerServerOptions) {
    this.#store = options.store ?? new MemoryDirectoryStore();
    this.#rateChanges = options.rates ?? {};
  }

  get size(): DirectorySize {
    return this.#store.size;
  }

  async start(node: EgtpNode, options: NodeOptions): Promise<void> {
    const crypto = options.crypto ?? defaultCryptoProvider;
    this.#node = node;
    this.#schedule = options.schedule ?? systemSchedule();
    this.#directory = new Directory({
      store: this.#store,
      verify: (key, message, signature) => crypto.verify(key, message, signature),
    });
    this.#rates = new AskerRates({ ...defaultMetatrackerRates, ...this.#rateChanges }, this.#schedule.now());
    this.#removeHandlers = [
      node.handle(helloRequest, ({ from, body }) => this.#publish("hello", from, body)),
      node.handle(goodbyeRequest, ({ from, body }) => this.#publish("goodbye", from, body)),
      node.handle(lookUpRequest, ({ from, body }) => this.#lookUp(from, body)),
      node.handle(listRequest, ({ from, body }) => {
        this.#admit(from);
        this.counts.listed += 1;
        return whenThere(this.list(body.service, body.max), (records) => ({ records }));
      }),
    ];
    this.#sweep();
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#cancelTimer();
    for (const remove of this.#removeHandlers.splice(0)) remove();
    await this.#store.close();
  }

  find(peer: PeerId): MaybePromise<Uint8Array | undefined> {
    const now = this.#schedule.now();
    const own = peer === this.#node.peerId ? this.#keepOwnRecord(now) : undefined;
    return whenThere(own, () => this.#reading(() => this.#directory.lookUp(peer, now)));
  }

  list(service: string, max: number): MaybePromise<Uint8Array[]> {
    const now = this.#schedule.now();
    return whenThere(this.#keepOwnRecord(now), () => this.#reading(() => this.#directory.list(service, max, now)));
  }

  #publish(kind: RecordKind, from: PeerId, record: Uint8Array): MaybePromise<Publication> {
    const now = this.#schedule.now();
    if (!this.#rates.take("publish", from, now)) return this.#tell(refused("too-fast"));
    const publication = this.#writing(() => this.#directory.publish(kind, record, from, now));
    return whenThere(publication, (answer) => {
      if (answer.state !== "refused") this.#rates.know(from, now);
      return this.#tell(answer);
    });
  }

  #tell(answer: Publication): Publication {
    if (answer.state === "refused") this.counts.refused[answer.reason as RefusalReason] += 1;
    else this.counts[answer.state] += 1;
    return answer;
  }

  #lookUp(from: PeerId, body: Uint8Array): MaybePromise<Uint8Array | undefined> {
    this.#admit(from);
    const peer = body.length === peerIdBytes ? peerIdFromTrustedBytes(body) : undefined;
    return whenThere(peer && this.find(peer), (record) => {
      // Whether it is an ID at all costs more than the answer, so only that of a peer that nobody knows is looked at.
      if (record === undefined && !isPeerId(peer)) {
        this.counts.unanswered["bad-message"] += 1;
        throw new MetatrackerError("EGTP_METATRACKER_BAD_MESSAGE", "A look-up of something that is no peer ID");
      }
      this.counts[record === undefined ? "missing" : "found"] += 1;
      return record;
    });
  }

  /** @throws what lets the asker hear that it was not answered. */
  #admit(from: PeerId): void {
    if (this.#rates.take("ask", from, this.#schedule.now())) return;
    this.counts.unanswered["too-fast"] += 1;
    throw new MetatrackerError("EGTP_METATRACKER_TOO_FAST", `${from} asks too much, or all strangers together do`);
  }

  /** The node makes its record anew now and then. */
  #keepOwnRecord(now: Millis): MaybePromise<unknown> {
    const record = this.#node.contactRecord;
    if (record === this.#ownRecord || record === undefined) return undefined;
    this.#ownRecord = record;
    return this.#writing(() => this.#directory.publish("hello", record, this.#node.peerId, now));
  }

  #writing(run: () => MaybePromise<Publication>): MaybePromise<Publication> {
    const failed = (error: unknown): Publication => {
      this.storeFailure = error;
      return refused("store-failed");
    };
    const went = (answer: Publication): Publication => {
      if (answer.state === "kept") this.storeFailure = undefined;
      return answer;
    };
    try {
      const answer = run();
      return answer instanceof Promise ? answer.then(went, failed) : went(answer);
    } catch (error) {
      return failed(error);
    }
  }

  #reading<T>(run: () => MaybePromise<T>): MaybePromise<T> {
    const failed = (error: unknown): never => {
      this.storeFailure = error;
      this.counts.unanswered["store-failed"] += 1;
      throw error;
    };
    try {
      const answer = run();
      return answer instanceof Promise ? answer.catch(failed) : answer;
    } catch (error) {
      return failed(error);
    }
  }

  #sweep(): void {
    const again = (): void => {
      if (this.#isStopped) return;
      this.#cancelTimer = this.#schedule.setTimer(() => this.#sweep(), sweepMs);
    };
    const swept = (count: number): void => {
      this.counts.expired += count;
      again();
    };
    const failed = (error: unknown): void => {
      this.storeFailure = error;
      again();
    };
    try {
      const answer = this.#directory.sweep(this.#schedule.now());
      if (answer instanceof Promise) answer.then(swept, failed);
      else swept(answer);
    } catch (error) {
      failed(error);
    }
  }
}
