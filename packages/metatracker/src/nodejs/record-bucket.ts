/**
 * The records of a directory in a bucket of NATS JetStream KV, which any tool of NATS can read:
 *
 *     KV_egtp-directory              the stream; it begins with the name of the deployment, here `egtp`
 *     $KV.egtp-directory.<peer>      a record, as kept-record.ts writes it; its sequence is its revision
 *     $KV.egtp-directory.mark.<any>  nothing; written by each that starts, who has read all there was once it reads that
 *
 * A record that goes leaves no marker: it is deleted by its revision, so what took its place stays.
 *
 * The leader is believed. What is followed comes from any replica, and one of 2.9 that was killed under load may count its
 * messages otherwise from then on: such a revision is a guess, by which nothing may be deleted.
 */
import type { NatsLink } from "@egtp/session-store/nats";
import { type Millis, maxContactRecordTtlMs, type PeerId } from "@egtp/wire";
import type { Consumer, ConsumerMessages } from "@nats-io/jetstream";
import type { KeptRecord } from "../directory-store.ts";
import { decodeKeptRecord, encodeKeptRecord } from "../kept-record.ts";

/** What stands under a peer's name. */
export interface BucketEntry {
  readonly revision: number;
  /** `undefined` for what is none of this version. */
  readonly record: KeptRecord | undefined;
}

export interface RecordBucketOptions {
  readonly link: NatsLink;
  readonly name: string;
  readonly replicas: number;
  /** How often the leader is asked whether something did not come. A test asks more often. */
  readonly lookMs?: Millis;
}

/** Each look asks for one record at most. What is followed comes within a second, unless it is busy. */
const defaultLookMs: Millis = 10_000;
/** A record is kept until its time is over, which may begin a day from now; the engine sees to what nobody deletes. */
const maxAgeMs: Millis = maxContactRecordTtlMs + 2 * 24 * 60 * 60_000;
/** A contact record of 1 KiB, the names of its services a second time, and numbers. */
const maxValueBytes = 4_096;
/** A consumer that says nothing for two of these is made anew, by a server that is there. */
const heartbeatMs: Millis = 2_000;
/** Whoever was refused, as when the bucket is gone, does not ask without a pause. */
const restMs: Millis = 500;
/** Messages that are read a second time from another server, since it may count them otherwise. */
const overlap = 4_096;
/** Records that the server may send ahead. */
const readAhead = 1_000;

const apiCodes = {
  wrongLastSequence: 10_071,
  noMessage: 10_037,
  noSequence: 10_043,
  noDeletion: 10_057,
};
const nanos = (ms: Millis): number => ms * 1_000_000;

export class RecordBucket {
  readonly #link: NatsLink;
  readonly #stream: string;
  readonly #prefix: string;
  readonly #lookMs: Millis;
  #following: ConsumerMessages | undefined;
  /** The sequence after the last that came. */
  #next = 1;

  /** Makes the bucket if it is not there, and gives one that is the present bounds. */
  static async open({ link, name, replicas, lookMs = defaultLookMs }: RecordBucketOptions): Promise<RecordBucket> {
    const { DiscardPolicy, StorageType } = link.nats;
    const bucket = `${name}-directory`;
    const prefix = `$KV.${bucket}.`;
    const stream = `KV_${bucket}`;
    await link.openStream({
      name: stream,
      subjects: [`${prefix}>`],
      storage: StorageType.File,
      num_replicas: replicas,
      max_msgs_per_subject: 1,
      max_msg_size: maxValueBytes,
      max_age: nanos(maxAgeMs),
      discard: DiscardPolicy.New,
    });
    return new RecordBucket(link, stream, prefix, lookMs);
  }

  private constructor(link: NatsLink, stream: string, prefix: string, lookMs: Millis) {
    this.#link = link;
    this.#stream = stream;
    this.#prefix = prefix;
    this.#lookMs = lookMs;
  }

  /** The newest, as the leader says; `undefined` when there is none. */
  async read(peer: PeerId): Promise<BucketEntry | undefined> {
    const query = { last_by_subj: this.#prefix + peer };
    const found = await this.#unless([apiCodes.noMessage], () =>
      this.#link.manager.streams.getMessage(this.#stream, query),
    );
    if (found === undefined || found === null) return undefined;
    return { revision: found.seq, record: decodeKeptRecord(peer, found.data) };
  }

  /**
   * Keeps a record in place of another.
   *
   * @param revision - Of the one in whose place it is put; 0 for none.
   * @returns Its own, once a quorum has it; `undefined` when something else stands there, which may be it: an acknowledgement
   *   that got lost is asked for again.
   */
  async write(record: KeptRecord, revision: number): Promise<number | undefined> {
    const expect = { streamName: this.#stream, lastSubjectSequence: revision };
    const answer = await this.#unless([apiCodes.wrongLastSequence], () =>
      this.#link.jetstream.publish(this.#prefix + record.peer, encodeKeptRecord(record), { expect }),
    );
    return answer?.seq;
  }

  /** Deletes what was written at a revision, unless it is gone. */
  async remove(revision: number): Promise<void> {
    const gone = [apiCodes.noMessage, apiCodes.noSequence, apiCodes.noDeletion];
    await this.#unless(gone, () => this.#link.manager.streams.deleteMessage(this.#stream, revision, false));
  }

  /**
   * Tells all that is there, and from then on what is written by anyone, in order, until the link is closed.
   *
   * @returns Once all was told that was there.
   */
  async follow(onEntry: (entry: BucketEntry) => void): Promise<void> {
    const { connection, jetstream, manager, nats } = this.#link;
    const mark = `${this.#prefix}mark.${nats.createInbox().slice(-22)}`;
    // What a consumer says of how many are left counts some that were deleted.
    const { seq } = await this.#link.patiently(() => jetstream.publish(mark));
    const first = await this.#consumerFrom(1);
    void this.#startAnewOnReconnect();
    void this.#startAnewWhenBehind();
    await new Promise<void>((resolve) => {
      void this.#readOn(first, (subject, entry) => {
        if (subject === mark) resolve();
        else onEntry(entry);
      });
    });
    // Should this fail, it goes by its age.
    if (!connection.isClosed()) void manager.streams.deleteMessage(this.#stream, seq, false).catch(() => {});
  }

  /** One consumer after the other: each lives on one server, and is over when that one or the way to it is lost. */
  async #readOn(first: Consumer, onEntry: (subject: string, entry: BucketEntry) => void): Promise<void> {
    let consumer: Consumer | undefined = first;
    while (!this.#link.connection.isClosed()) {
      try {
        consumer ??= await this.#consumerFrom(Math.max(1, this.#next - overlap));
        const messages = await consumer.consume({ max_messages: readAhead, idle_heartbeat: heartbeatMs });
        this.#following = messages;
        void endWhenSilent(messages);
        for await (const { seq, subject, data } of messages) {
          this.#next = seq + 1;
          // Only metatrackers write there: to check that it is a key takes long for a hundred thousand of them.
          const peer = subject.slice(this.#prefix.length) as PeerId;
          onEntry(subject, { revision: seq, record: decodeKeptRecord(peer, data) });
        }
      } catch {
        // It was asked for patiently and refused, or its messages ended in an error: another one reads on, in a while.
        await this.#link.rest(restMs);
      }
      consumer = undefined;
    }
  }

  /** What the library does by itself to heal a consumer may take half a minute. */
  async #startAnewOnReconnect(): Promise<void> {
    for await (const { type } of this.#link.connection.status()) {
      if (type === "reconnect") void this.#following?.close();
    }
  }

  /** A consumer may say that it is well and bring nothing: what the leader had at one look must have come by the next. */
  async #startAnewWhenBehind(): Promise<void> {
    const { connection, manager } = this.#link;
    for (let expected = 0; ; ) {
      await this.#link.rest(this.#lookMs);
      if (connection.isClosed()) return;
      if (this.#next <= expected) void this.#following?.close();
      const query = { seq: this.#next, next_by_subj: `${this.#prefix}>` };
      // Where there is none, or no leader, nothing is expected.
      const found = await manager.streams.getMessage(this.#stream, query).catch(() => undefined);
      expected = found?.seq ?? 0;
    }
  }

  #consumerFrom(next: number): Promise<Consumer> {
    const { jetstream, nats } = this.#link;
    return this.#link.patiently(() =>
      jetstream.consumers.get(this.#stream, {
        deliver_policy: nats.DeliverPolicy.StartSequence,
        opt_start_seq: next,
      }),
    );
  }

  /** Asks patiently. @returns `undefined` when JetStream says no with one of these codes. */
  #unless<Answer>(codes: readonly number[], ask: () => Promise<Answer>): Promise<Answer | undefined> {
    return this.#link.patiently(async () => {
      try {
        return await ask();
      } catch (error) {
        if (codes.includes(this.#link.apiCode(error) ?? 0)) return undefined;
        throw error;
      }
    });
  }
}

async function endWhenSilent(messages: ConsumerMessages): Promise<void> {
  for await (const { type } of messages.status()) if (type === "heartbeats_missed") void messages.close();
}
