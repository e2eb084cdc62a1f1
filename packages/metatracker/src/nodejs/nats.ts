/**
 * A directory in a NATS JetStream cluster, shared by any number of metatrackers: `@egtp/metatracker/nats`. What is said to be
 * kept is acknowledged by a quorum of its replicas.
 *
 * Each metatracker has all of it in memory, too, and follows what the others write: look-ups ask nobody, and are answered also
 * while the cluster is down. The cluster decides which record is the newer one, by compare-and-set on the revision. All forget
 * what was put longest ago, or is over, each by itself, and delete it from the cluster.
 */
import { NatsLink, type NatsLinkOptions, StoreError } from "@egtp/session-store/nats";
import { checkedLimits, equalBytes, type Millis, type PeerId } from "@egtp/wire";
import type { DirectorySize, DirectoryStore, KeptRecord } from "../directory-store.ts";
import { MetatrackerError } from "../errors.ts";
import { type DirectoryLimits, defaultDirectoryLimits } from "../limits.ts";
import { type RandomBelow, RecordTable, randomBelow } from "../record-table.ts";
import { type BucketEntry, RecordBucket } from "./record-bucket.ts";

export { StoreError } from "@egtp/session-store/nats";

export interface NatsDirectoryOptions extends NatsLinkOptions {
  /** Metatrackers of the same name share their directory. Default `egtp`. */
  readonly name?: string;
  /** On how many servers each record is kept. Default 3. */
  readonly replicas?: number;
  /** Should be the same for all that share the directory. */
  readonly limits?: Partial<DirectoryLimits>;
  /** Chooses whom `offering` names; a test gives one that can be repeated. */
  readonly random?: RandomBelow;
}

const defaults = { name: "egtp", replicas: 3 };
/** Deletions that are under way at one time. */
const maxDeletions = 32;
/** Some seconds of them, when there is no room and new peers come as fast as strangers may. */
const maxLeft = 4_096;
/** Each means that somebody else wrote a record of the same peer in the meantime. */
const maxConflicts = 64;
/** From here on what is put again is written again, so that all know which was put longest ago. */
const crowdedShare = 0.75;

export class NatsDirectoryStore implements DirectoryStore {
  readonly kind = "nats";
  readonly #link: NatsLink;
  readonly #bucket: RecordBucket;
  readonly #limits: DirectoryLimits;
  readonly #table: RecordTable;
  /** Of the records in the table, as far as is known: the cluster says when it is another one. */
  readonly #revisions = new Map<PeerId, number>();
  /** Of those that made room last, since they may still come along with what is followed. At most {@link maxLeft}. */
  readonly #left = new Map<PeerId, number>();
  /** What is to be deleted from the cluster. Bounded by what is in it. */
  readonly #leaving = new Map<PeerId, { readonly seq: number; readonly revision: number }>();
  #deleting: Promise<void> | undefined;
  #isClosed = false;

  /**
   * Connects, makes the bucket if it is not there, and reads all of it.
   *
   * @throws {@link StoreError} `EGTP_STORE_MISSING_PART`, `EGTP_STORE_UNREACHABLE`; `RangeError` for an option that cannot work.
   */
  static async open(options: NatsDirectoryOptions): Promise<NatsDirectoryStore> {
    const { name = defaults.name, replicas = defaults.replicas, random = randomBelow } = options;
    if (!/^\w[\w-]{0,63}$/.test(name)) throw new RangeError("name must be letters, digits, - and _");
    const limits = checkedLimits(defaultDirectoryLimits, options.limits);
    const link = await NatsLink.open(options);
    try {
      const bucket = await RecordBucket.open({ link, name, replicas });
      const store = new NatsDirectoryStore(link, bucket, limits, random);
      await bucket.follow((entry) => store.#follow(entry));
      return store;
    } catch (error) {
      await link.close();
      throw error;
    }
  }

  private constructor(link: NatsLink, bucket: RecordBucket, limits: DirectoryLimits, random: RandomBelow) {
    this.#link = link;
    this.#bucket = bucket;
    this.#limits = limits;
    this.#table = new RecordTable(limits, random);
  }

  /** As the server says to which it is connected. */
  get serverVersion(): string {
    return this.#link.serverVersion;
  }

  /** Whether there is a server now: without one nothing new is kept. */
  get isConnected(): boolean {
    return this.#link.isConnected;
  }

  get size(): DirectorySize {
    return this.#table.size;
  }

  get(peer: PeerId): KeptRecord | undefined {
    return this.#table.get(peer);
  }

  async put(record: KeptRecord): Promise<KeptRecord | undefined> {
    const { peer, seq } = record;
    let standing: number | undefined;
    for (let conflicts = 0; conflicts < maxConflicts; conflicts++) {
      if (this.#isClosed) throw new MetatrackerError("EGTP_DIRECTORY_CLOSED", "The directory was closed");
      const known = this.#table.get(peer);
      const isKept = known !== undefined && equalBytes(known.bytes, record.bytes);
      const isWrittenAgain = isKept && conflicts === 0 && this.#isCrowded;
      if (known !== undefined && known.seq >= seq && !isWrittenAgain) {
        this.#table.put(known);
        return isKept ? undefined : known;
      }
      const kept = { ...record, keepUntil: Math.max(record.keepUntil, known?.keepUntil ?? 0) };
      const revision = await this.#bucket.write(kept, standing ?? this.#revisions.get(peer) ?? 0);
      if (revision !== undefined) {
        this.#take(kept, revision);
        return undefined;
      }
      standing = await this.#catchUp(peer);
    }
    throw new StoreError("EGTP_STORE_UNREACHABLE", `Others write the record of ${peer} without end.`, {
      hint: "Look whether the cluster's servers agree with each other: nats stream report.",
    });
  }

  offering(service: string, max: number, now: Millis): KeptRecord[] {
    return this.#table.offering(service, max, now);
  }

  expire(now: Millis): number {
    const forgotten = this.#table.expire(now);
    for (const record of forgotten) this.#leave(record);
    void this.#deleteLeaving();
    return forgotten.length;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#deleting;
    await this.#link.close();
  }

  get #isCrowded(): boolean {
    const { records, bytes } = this.#table.size;
    return records >= crowdedShare * this.#limits.maxRecords || bytes >= crowdedShare * this.#limits.maxBytes;
  }

  /** What the cluster tells of its own accord; a part of it we know already. */
  #follow({ revision, record }: BucketEntry): void {
    if (record !== undefined && revision > (this.#left.get(record.peer) ?? 0)) this.#take(record, revision);
  }

  /** Asks the leader what stands in the way of a record. @returns Its revision; 0 for nothing. */
  async #catchUp(peer: PeerId): Promise<number> {
    const known = this.#revisions.get(peer);
    const found = await this.#bucket.read(peer);
    if (found?.record !== undefined) {
      this.#take(found.record, found.revision);
    } else if (this.#revisions.get(peer) === known) {
      // Ours was over, or made room, for somebody else; or nobody of this version can read what stands there. What was
      // followed while the leader was asked is newer than its answer, and stays.
      this.#table.remove(peer);
      this.#revisions.delete(peer);
    }
    return found?.revision ?? 0;
  }

  #take(record: KeptRecord, revision: number): void {
    const { peer } = record;
    const known = this.#table.get(peer);
    if (known !== undefined && known.seq > record.seq) return;
    const { displaced } = this.#table.put(record);
    this.#revisions.set(peer, revision);
    this.#left.delete(peer);
    for (const other of displaced) this.#leave(other);
    if (displaced.length > 0) void this.#deleteLeaving();
  }

  /** All that share the directory delete it: the one that put what it makes room for may be gone. */
  #leave({ peer, seq }: KeptRecord): void {
    const revision = this.#revisions.get(peer)!;
    this.#revisions.delete(peer);
    this.#leaving.set(peer, { seq, revision });
    this.#left.set(peer, revision);
    if (this.#left.size > maxLeft) this.#left.delete(this.#left.keys().next().value!);
  }

  /** What could not be deleted is tried again when something expires or makes room next. */
  async #deleteLeaving(): Promise<void> {
    if (this.#deleting !== undefined) return;
    this.#deleting = this.#deleteAll().catch(() => {});
    await this.#deleting;
    this.#deleting = undefined;
  }

  async #deleteAll(): Promise<void> {
    while (this.#leaving.size > 0) {
      const batch = [...this.#leaving].slice(0, maxDeletions);
      await Promise.all(batch.map(([peer, { seq, revision }]) => this.#delete(peer, seq, revision)));
      for (const [peer, left] of batch) if (this.#leaving.get(peer) === left) this.#leaving.delete(peer);
    }
  }

  /** Unless something newer stands there. */
  async #delete(peer: PeerId, seq: number, revision: number): Promise<void> {
    const found = await this.#bucket.read(peer);
    if (found?.record === undefined || found.record.seq > seq || found.revision > revision) return;
    await this.#bucket.remove(found.revision);
  }
}
