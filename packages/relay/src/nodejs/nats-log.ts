/**
 * The mails and mailbox records of several relays in NATS JetStream. Names begin with that of the deployment, here `egtp`:
 *
 *     egtp-mail-<p>             a stream for each partition, on whose leader an owner's mailbox is by a byte of its ID
 *     egtp.mail.<p>.<owner>     a mail: its subject; the stream's sequence is its number
 *     egtp.new.<p>.<owner>      the same, told again by the stream once it is stored
 *     egtp-boxes                a stream of records, one for each mailbox
 *     egtp.box.<owner>          a mailbox's record; the sequence is its revision
 *     egtp.deployment           how many partitions there are
 *
 * What must be seen at once is asked of a stream's leader. An ephemeral consumer reads many mails, and may do so from a server
 * that lags behind.
 */

import type { NatsLink } from "@egtp/session-store/nats";
import { type Millis, type PeerId, peerIdToBytes } from "@egtp/wire";
import type { MsgHdrs } from "@nats-io/transport-node";
import { type MailboxLimits, mailIdBytes } from "../limits.ts";
import type { FollowedMail, ListedMail, LoggedMail, LoggedRecord, MailFacts, MailLog, ReadRoom } from "../mail-log.ts";

export interface NatsLogOptions {
  /** Given over: the log closes it. */
  readonly link: NatsLink;
  /** Begins all names. */
  readonly name: string;
  readonly replicas: number;
  /** Of a deployment that is new. */
  readonly partitions: number;
  readonly limits: MailboxLimits;
}

/** A consumer that says nothing for so long has nothing to say. */
const silentMs: Millis = 500;
/** Mails of which the leader is asked one by one before a consumer is made. */
const fewMails = 4;
/** A consumer that nobody reads any more goes after this. */
const consumerIdleMs: Millis = 5_000;
/** An append under the same ID is known for so long. */
const duplicateMs: Millis = 120_000;
/** Mail is over by its own time; the engine sees to what nobody asks for, so much later. */
const graceMs: Millis = 60 * 60_000;

/** Bytes of a mail beside its envelope: subjects, headers, room for its ID. */
const headersBytes = 512;

const factsHeader = "Egtp-Mail";
/** Under which the server knows an append that is asked again. */
const idHeader = "Nats-Msg-Id";
const apiCodes = {
  wrongLastSequence: 10_071,
  full: 10_077,
  noMessage: 10_037,
  noSequence: 10_043,
};
const nanos = (ms: Millis): number => ms * 1_000_000;

export class NatsMailLog implements MailLog {
  readonly #link: NatsLink;
  readonly #name: string;
  readonly #partitions: number;
  /** By stream. */
  readonly #removing = new Map<string, { readonly numbers: number[]; readonly done: Promise<void> }>();
  #onGap: () => void = () => {};

  /** Makes the streams that are not there, and gives those that are the present bounds. */
  static async open(options: NatsLogOptions): Promise<NatsMailLog> {
    return new NatsMailLog(options, await openStreams(options));
  }

  private constructor({ link, name }: NatsLogOptions, partitions: number) {
    this.#link = link;
    this.#name = name;
    this.#partitions = partitions;
    void this.#watchConnection();
  }

  async append(owner: PeerId, facts: MailFacts, body: Uint8Array, id: string): Promise<number | "full"> {
    const headers = this.#link.nats.headers();
    headers.append(idHeader, id);
    headers.append(factsHeader, encodeFacts(facts));
    try {
      const { seq } = await this.#link.questions.ask<{ seq: number }>(this.#subject("mail", owner), body, headers);
      // nats-server 2.10 says so of what it was asked before, is about to store, and may never store if its leader goes.
      if (seq === 0) throw new Error("The NATS server took it for a duplicate, and has it nowhere");
      return seq;
    } catch (error) {
      if (this.#link.apiCode(error) === apiCodes.full) return "full";
      throw error;
    }
  }

  async next(owner: PeerId, number: number): Promise<LoggedMail | undefined> {
    const query = { seq: number, next_by_subj: this.#subject("mail", owner) };
    const found = await this.#orNothing(this.#link.manager.streams.getMessage(this.#stream(owner), query));
    return found === undefined ? undefined : decodeMail(found.seq, found.header, found.data);
  }

  async read(owner: PeerId, number: number, room: ReadRoom): Promise<readonly LoggedMail[]> {
    const mails: LoggedMail[] = [];
    let bytes = 0;
    for (const { seq, headers, data } of await this.#pull(owner, number, room)) {
      const mail = decodeMail(seq, headers, data);
      if (mail === undefined) continue;
      bytes += mail.bytes;
      if (bytes > room.maxBytes) break;
      mails.push(mail);
    }
    return mails;
  }

  async list(owner: PeerId, number: number): Promise<readonly ListedMail[]> {
    const mails: ListedMail[] = [];
    let from = number;
    for (let few = 0; few < fewMails; few++) {
      const mail = await this.next(owner, from);
      if (mail === undefined) return mails;
      mails.push(mail);
      from = mail.number + 1;
    }
    for (const { seq, headers } of await this.#pull(owner, from, undefined)) {
      const mail = decodeListed(seq, headers);
      if (mail !== undefined) mails.push(mail);
    }
    return mails;
  }

  /**
   * All that is asked in one turn of one stream goes together, and only the last question of it wants an answer: what was asked before
   * it was understood before it.
   */
  remove(owner: PeerId, numbers: readonly number[]): Promise<void> {
    const stream = this.#stream(owner);
    let batch = this.#removing.get(stream);
    if (batch === undefined) {
      const all: number[] = [];
      const done = Promise.resolve().then(() => {
        this.#removing.delete(stream);
        return this.#removeAll(stream, all);
      });
      batch = { numbers: all, done };
      this.#removing.set(stream, batch);
    }
    batch.numbers.push(...numbers);
    return batch.done;
  }

  async #removeAll(stream: string, numbers: readonly number[]): Promise<void> {
    const { connection, questions } = this.#link;
    const subject = `$JS.API.STREAM.MSG.DELETE.${stream}`;
    const question = (number: number): string => `{"seq":${number},"no_erase":true}`;
    for (const number of numbers.slice(0, -1)) connection.publish(subject, question(number));
    await this.#orNothing(questions.ask(subject, question(numbers.at(-1)!)));
  }

  async follow(owner: PeerId, onMail: (mail: FollowedMail) => void): Promise<() => void> {
    const subscription = this.#link.connection.subscribe(this.#subject("new", owner), {
      callback: (error, { headers, data }) => {
        if (error !== null || headers === undefined) return;
        const mail = decodeMail(Number(headers.get("Nats-Sequence")), headers, data);
        const previous = Number(headers.get("Nats-Last-Sequence"));
        if (mail !== undefined) onMail({ ...mail, previous });
      },
    });
    await this.#link.connection.flush();
    return () => subscription.unsubscribe();
  }

  watchGaps(onGap: () => void): void {
    this.#onGap = onGap;
  }

  async totals(): Promise<{ messages: number; bytes: number }> {
    const totals = { messages: 0, bytes: 0 };
    for (let partition = 0; partition < this.#partitions; partition++) {
      const { state } = await this.#link.manager.streams.info(mailStream(this.#name, partition));
      totals.messages += state.messages;
      totals.bytes += state.bytes;
    }
    return totals;
  }

  async load(owner: PeerId): Promise<LoggedRecord | undefined> {
    const query = { last_by_subj: boxSubject(this.#name, owner) };
    const found = await this.#orNothing(this.#link.manager.streams.getMessage(boxStream(this.#name), query));
    return found === undefined ? undefined : { value: found.data, revision: found.seq };
  }

  async save(owner: PeerId, value: Uint8Array, revision: number | undefined): Promise<number | "conflict" | "full"> {
    try {
      const { seq } = await this.#link.jetstream.publish(boxSubject(this.#name, owner), value, {
        expect: { streamName: boxStream(this.#name), lastSubjectSequence: revision ?? 0 },
      });
      return seq;
    } catch (error) {
      const code = this.#link.apiCode(error);
      if (code === apiCodes.wrongLastSequence) return "conflict";
      if (code === apiCodes.full) return "full";
      throw error;
    }
  }

  async forget(_owner: PeerId, revision: number): Promise<void> {
    await this.#orNothing(this.#link.manager.streams.deleteMessage(boxStream(this.#name), revision, false));
  }

  async close(): Promise<void> {
    await this.#link.close();
  }

  // ---- Names

  #partition(owner: PeerId): number {
    return peerIdToBytes(owner)[0]! % this.#partitions;
  }

  #stream(owner: PeerId): string {
    return mailStream(this.#name, this.#partition(owner));
  }

  #subject(kind: "mail" | "new", owner: PeerId): string {
    return `${this.#name}.${kind}.${this.#partition(owner)}.${owner}`;
  }

  // ---- Reading many

  /**
   * The messages of a mailbox from a number on, by a consumer: in full within bounds, or the headers of all. How many there are is
   * not to be had from a consumer of this age, which counts some that were deleted: the last is asked for.
   */
  async #pull(owner: PeerId, number: number, room: ReadRoom | undefined): Promise<readonly PulledMessage[]> {
    const { connection, manager, nats } = this.#link;
    const stream = this.#stream(owner);
    const subject = this.#subject("mail", owner);
    const last = await this.#orNothing(manager.streams.getMessage(stream, { last_by_subj: subject }));
    if (last === undefined || last.seq < number) return [];
    const { name } = await manager.consumers.add(stream, {
      filter_subject: subject,
      deliver_policy: nats.DeliverPolicy.StartSequence,
      opt_start_seq: Math.max(1, number),
      ack_policy: nats.AckPolicy.None,
      mem_storage: true,
      num_replicas: 1,
      inactive_threshold: nanos(consumerIdleMs),
      headers_only: room === undefined,
    });
    const batch = room?.maxMessages ?? last.seq - number + 1;
    const inbox = nats.createInbox();
    const messages: PulledMessage[] = [];
    let end: (error?: Error) => void = () => {};
    const done = new Promise<void>((resolve, reject) => {
      end = (error) => (error === undefined ? resolve() : reject(error));
    });
    // The last may have been deleted meanwhile.
    const timer = setTimeout(() => end(), silentMs);
    const subscription = connection.subscribe(inbox, {
      callback: (error, { headers, reply = "", data }) => {
        if (error !== null) return end(error);
        // There is no more, or the next is too large.
        if ((headers?.code ?? 0) >= 300) return end();
        timer.refresh();
        const seq = sequenceOf(reply);
        messages.push({ seq, headers, data });
        if (seq >= last.seq || messages.length >= batch) end();
      },
    });
    try {
      const limit = room !== undefined && { max_bytes: room.maxBytes + batch * headersBytes };
      const request = JSON.stringify({ batch, no_wait: true, ...limit });
      connection.publish(`$JS.API.CONSUMER.MSG.NEXT.${stream}.${name}`, request, { reply: inbox });
      await done;
    } finally {
      clearTimeout(timer);
      subscription.unsubscribe();
      // It goes by itself when this is not heard.
      void manager.consumers.delete(stream, name).catch(() => {});
    }
    return messages;
  }

  // ---- Answers

  /** @returns What was asked for; `undefined` when it is not there. */
  async #orNothing<Answer>(asking: Promise<Answer | null>): Promise<Answer | undefined> {
    try {
      return (await asking) ?? undefined;
    } catch (error) {
      const code = this.#link.apiCode(error);
      if (code === apiCodes.noMessage || code === apiCodes.noSequence) return undefined;
      throw error;
    }
  }

  async #watchConnection(): Promise<void> {
    for await (const { type } of this.#link.connection.status()) if (type === "reconnect") this.#onGap();
  }
}

interface PulledMessage {
  readonly seq: number;
  readonly headers: MsgHdrs | undefined;
  readonly data: Uint8Array;
}

function mailStream(name: string, partition: number): string {
  return `${name}-mail-${partition}`;
}

function boxStream(name: string): string {
  return `${name}-boxes`;
}

function boxSubject(name: string, owner: PeerId): string {
  return `${name}.box.${owner}`;
}

/** @returns How many partitions there are. */
async function openStreams({ link, name, replicas, partitions, limits }: NatsLogOptions): Promise<number> {
  const { DiscardPolicy, StorageType } = link.nats;
  const common = { storage: StorageType.File, discard: DiscardPolicy.New, num_replicas: replicas };
  const deployment = `${name}.deployment`;
  await link.openStream({
    ...common,
    name: boxStream(name),
    subjects: [`${name}.box.*`, deployment],
    max_msgs_per_subject: 1,
    // One more for what the deployment is.
    max_msgs: limits.maxMailboxes + 1,
  });
  const agreed = await agreePartitions(link, boxStream(name), deployment, partitions);
  const maxAge = limits.ttlMs + graceMs;
  const openMails = (partition: number): Promise<void> =>
    link.openStream({
      ...common,
      name: mailStream(name, partition),
      subjects: [`${name}.mail.${partition}.*`],
      max_msgs_per_subject: limits.maxMessages,
      discard_new_per_subject: true,
      max_age: nanos(maxAge),
      duplicate_window: nanos(Math.min(duplicateMs, maxAge)),
      republish: { src: `${name}.mail.${partition}.*`, dest: `${name}.new.${partition}.{{wildcard(1)}}` },
    });
  await Promise.all(Array.from({ length: agreed }, (_, partition) => openMails(partition)));
  return agreed;
}

/** The first relay of a deployment says into how many partitions its mail goes: that can never be changed. */
async function agreePartitions(link: NatsLink, stream: string, subject: string, partitions: number): Promise<number> {
  return link.patiently(async () => {
    const expect = { streamName: stream, lastSubjectSequence: 0 };
    try {
      await link.jetstream.publish(subject, String(partitions), { expect });
    } catch (error) {
      if (link.apiCode(error) !== apiCodes.wrongLastSequence) throw error;
    }
    const found = await link.manager.streams.getMessage(stream, { last_by_subj: subject });
    return Number(found!.string());
  });
}

function encodeFacts({ sender, isStranger, until }: MailFacts): string {
  return `${isStranger ? 1 : 0} ${until} ${sender}`;
}

/** @returns `undefined` for what is no mail of ours. */
function decodeFacts(headers: MsgHdrs | undefined): Omit<MailFacts, "bytes"> | undefined {
  const [, isStranger, until, sender] = /^([01]) (\d+) (\w+)$/.exec(headers?.get(factsHeader) ?? "") ?? [];
  if (sender === undefined) return undefined;
  return { sender: sender as PeerId, isStranger: isStranger === "1", until: Number(until) };
}

function decodeMail(number: number, headers: MsgHdrs | undefined, body: Uint8Array): LoggedMail | undefined {
  const facts = decodeFacts(headers);
  if (facts === undefined || body.length < mailIdBytes) return undefined;
  return { ...facts, number, bytes: body.length - mailIdBytes, body };
}

function decodeListed(number: number, headers: MsgHdrs | undefined): ListedMail | undefined {
  const facts = decodeFacts(headers);
  const size = Number(headers?.get("Nats-Msg-Size"));
  return facts === undefined || !(size >= mailIdBytes) ? undefined : { ...facts, number, bytes: size - mailIdBytes };
}

/** From `$JS.ACK.<stream>.<consumer>.<delivered>.<sequence>.…`, or that with two tokens more after `ACK`. */
function sequenceOf(reply: string): number {
  const tokens = reply.split(".");
  return Number(tokens[tokens.length > 9 ? 7 : 5]);
}
