/**
 * Mailboxes in an LMDB file: what is said to be stored is on disk, and survives the end of the process and of the machine.
 * In memory are the index, 20 bytes a mail, and envelopes that are not written yet; all others are read when they are wanted.
 *
 *     a:<owner>            a mailbox: tag, whether it is open, a number below which all were given out, last contact
 *     i:<owner>:<number>   of a mail: tag, bytes, until, sender
 *     m:<owner>:<number>   mail ID, envelope
 *
 * Numbers are given out ahead of what the file says, so that none is given again after a crash. Damage costs the record it is
 * in: a mailbox whose own record is lost is made again from those of its mails.
 *
 * What was acknowledged is taken out of the file without waiting; after a crash some of it may be handed over again.
 *
 * @see docs/spec.md, "Relay"
 */

import {
  type OpenReport,
  RecordFile,
  type RecordFileOptions,
  type SetAside,
  type StoreEntry,
} from "@egtp/session-store/record-file";
import {
  ByteReader,
  ByteWriter,
  equalBytes,
  type Millis,
  maxEnvelopeBytes,
  type PeerId,
  peerIdFromTrustedBytes,
  peerIdToBytes,
  WireError,
} from "@egtp/wire";
import { type MailboxLimits, mailboxLimits, mailboxTagBytes, mailIdBytes } from "../limits.ts";
import type {
  Acknowledged,
  CollectRoom,
  Deposit,
  Deposited,
  MailboxCounts,
  MailboxState,
  MailboxStore,
  MaybePromise,
  OwnerRun,
  Registering,
  StoredMail,
} from "../mailbox-store.ts";
import { type Mailbox, Mailboxes } from "../mailboxes.ts";
import { writeMailId } from "../protocol.ts";

export { StoreError } from "@egtp/session-store/record-file";

export interface LmdbMailboxOptions {
  readonly limits?: Partial<MailboxLimits>;
  /** Told of a file that was set aside while opening, with all mail in it. */
  readonly onDamage?: (damage: SetAside) => void;
  /** After an unclean stop a file larger than this is walked through and not copied. Default 64 MiB. */
  readonly maxCopiedBytes?: number;
  /** What a simulation brings of its own. */
  readonly seams?: Partial<MailboxSeams>;
}

/** What of a file the mailboxes use. */
export type MailboxFile = Pick<RecordFile, "report" | "get" | "write" | "close">;

/** What the store needs of its surroundings. Default: the file system, the platform's random source and clock. */
export interface MailboxSeams {
  readonly openFile: (folder: string, options: RecordFileOptions) => Promise<MailboxFile>;
  readonly random: (length: number) => Uint8Array;
  readonly now: () => Millis;
}

const systemSeams: MailboxSeams = {
  openFile: (folder, options) => RecordFile.open(folder, options),
  random: (length) => crypto.getRandomValues(new Uint8Array(length)),
  now: Date.now,
};

/** Numbers are written down so far ahead, when half of them are given out. */
const numbersAhead = 65_536;
/** A mailbox whose record was lost may have given out so many numbers above those of its mails. */
const numbersPerhapsGiven = 2 ** 31;
/** Records that leave the file in one transaction: an even number, for a mail has two. */
const leavingTogether = 1_024;
/** The last contact in the file is so old at most. */
const contactStepMs: Millis = 60 * 60 * 1_000;

const recordVersion = 1;
const keyOfRecord = /^(?:a:([a-z0-9]{52})|i:([a-z0-9]{52}):([0-9a-f]{14}))$/;

/** An envelope that is not in the file yet. */
interface Unwritten {
  readonly body: Uint8Array;
  /** It is being written. */
  writing: Promise<Deposited> | undefined;
}

/** What is kept with each mailbox. */
interface Kept {
  /** Numbers below it may be given out: as written, and as it will be. */
  safeBelow: number;
  askedBelow: number;
  raising: Promise<void> | undefined;
  savedContactAt: Millis;
  unwritten: Map<number, Unwritten> | undefined;
}

type Box = Mailbox<Kept>;

export class LmdbMailboxStore implements MailboxStore {
  readonly #file: MailboxFile;
  readonly #mailboxes: Mailboxes<Kept>;
  /** Keys that are to leave the file with the next write. Bounded by the mails that were in it. */
  #leaving: StoreEntry[] = [];
  #onMail: (owner: PeerId) => void = () => {};

  /**
   * Opens the mailboxes in a folder of their own, which is made if needed (0700, files 0600).
   *
   * @throws {@link StoreError} as `LmdbSessionStore.open` does.
   */
  static async open(folder: string, options: LmdbMailboxOptions = {}): Promise<LmdbMailboxStore> {
    const { limits, onDamage, maxCopiedBytes } = options;
    const seams = { ...systemSeams, ...options.seams };
    let loading = new Loading(mailboxLimits(limits), seams);
    const file = await seams.openFile(folder, {
      sync: "flush",
      ...(onDamage !== undefined && { onDamage }),
      ...(maxCopiedBytes !== undefined && { maxCopiedBytes }),
      onDamagedRecord: (key) => loading.damaged(key),
      load: {
        from: "a:",
        to: "j",
        begin: () => {
          loading = new Loading(mailboxLimits(limits), seams);
        },
        record: (key, value) => loading.record(key, value),
      },
    });
    return new LmdbMailboxStore(file, loading);
  }

  private constructor(file: MailboxFile, loading: Loading) {
    this.#file = file;
    this.#mailboxes = loading.mailboxes;
    loading.host.mailGone = (mailbox, number) => this.#mailGone(mailbox, number);
    loading.host.mailboxGone = ({ owner }) => this.#leaving.push([`a:${owner}`, undefined]);
    this.#leaving = loading.leaving;
  }

  /** What opening found: whether the last run ended well, and whether a file was set aside. */
  get report(): OpenReport {
    return this.#file.report;
  }

  get limits(): MailboxLimits {
    return this.#mailboxes.limits;
  }

  register(owner: PeerId, run: OwnerRun, now: Millis): MaybePromise<Registering> {
    const before = this.#mailboxes.find(owner);
    const wasOpen = before?.isOpen === true;
    const registered = this.#mailboxes.register(owner, run, now);
    if (registered.state !== "active") return registered;
    const { mailbox } = registered;
    const { kept } = mailbox;
    // One that was found open but is not in the file yet must wait for it too.
    if (wasOpen && kept.safeBelow > 0) {
      if (now - kept.savedContactAt >= contactStepMs) void this.#save(mailbox).catch(() => {});
      return registered;
    }
    return this.#save(mailbox).then(
      () => registered,
      (error) => {
        if (before === undefined) this.#mailboxes.unregister(owner);
        throw error;
      },
    );
  }

  unregister(owner: PeerId): MaybePromise<void> {
    const mailbox = this.#mailboxes.unregister(owner);
    if (mailbox === undefined) return undefined;
    if (this.#mailboxes.find(owner) === mailbox) return this.#save(mailbox);
    return this.#write([]);
  }

  find(owner: PeerId): MailboxState | undefined {
    return this.#mailboxes.find(owner);
  }

  deposit(owner: PeerId, mail: Deposit, mayHold: boolean, now: Millis): MaybePromise<Deposited> {
    const known = this.#mailboxes.find(owner);
    if (known?.isOpen === true && known.next >= known.kept.safeBelow) {
      return this.#raise(known).then(() => this.deposit(owner, mail, mayHold, now));
    }
    const admitted = this.#mailboxes.admit(owner, mail, now);
    if (typeof admitted === "string") {
      this.#forget();
      return { state: "refused", refusal: admitted };
    }
    const { mailbox, number, until } = admitted;
    const { kept } = mailbox;
    if (kept.askedBelow - number < numbersAhead / 2) void this.#raise(mailbox).catch(() => {});
    writeMailId(mailbox.tag, number, mail.body, 0);
    const unwritten: Unwritten = { body: mail.body, writing: undefined };
    kept.unwritten ??= new Map();
    kept.unwritten.set(number, unwritten);
    if (mayHold) return { state: "held", number };
    return this.#store(mailbox, number, until, unwritten);
  }

  keep(owner: PeerId, number: number): MaybePromise<Millis | undefined> {
    const mailbox = this.#mailboxes.find(owner);
    const unwritten = mailbox?.kept.unwritten?.get(number);
    if (mailbox === undefined) return undefined;
    if (unwritten === undefined) return this.#mailboxes.keep(mailbox, number);
    const until = mailbox.index.until(mailbox.index.find(number));
    const stored = unwritten.writing ?? this.#store(mailbox, number, until, unwritten);
    return stored.then(() => this.#mailboxes.keep(mailbox, number));
  }

  collect(owner: PeerId, after: number, room: CollectRoom, now: Millis): StoredMail[] {
    const mailbox = this.#mailboxes.find(owner);
    if (mailbox === undefined) return [];
    const mails: StoredMail[] = [];
    for (const number of this.#mailboxes.collect(mailbox, after, room, now)) {
      const body = mailbox.kept.unwritten?.get(number)?.body ?? this.#file.get(mailKey("m", owner, number));
      if (body === undefined || body.length < mailIdBytes) this.#mailboxes.drop(mailbox, number);
      else mails.push({ number, body });
    }
    this.#forget();
    // All of it was damaged: there may be more behind it.
    if (mails.length === 0 && mailbox.index.firstFrom(after + 1) < mailbox.messages) {
      return this.collect(owner, after, room, now);
    }
    return mails;
  }

  acknowledge(owner: PeerId, tag: Uint8Array, ranges: readonly number[]): Acknowledged {
    const acknowledged = this.#mailboxes.acknowledge(owner, tag, ranges);
    this.#forget();
    return acknowledged;
  }

  expire(now: Millis): void {
    this.#mailboxes.expire(now);
    this.#forget();
  }

  watch(onMail: (owner: PeerId) => void): void {
    this.#onMail = onMail;
  }

  counts(): MailboxCounts {
    return this.#mailboxes.counts();
  }

  async close(): Promise<void> {
    this.#forget();
    await this.#file.close();
  }

  /** Writes a mail down. Rejects when that fails; the mail is taken back then. */
  #store(mailbox: Box, number: number, until: Millis, unwritten: Unwritten): Promise<Deposited> {
    const { owner, tag, index, kept } = mailbox;
    const i = index.find(number);
    const { sender, isStranger } = mailbox.slots![index.slot(i)]!;
    const record = encodeMailRecord(tag, index.bytes(i), until, sender, isStranger);
    unwritten.writing = this.#write([
      [mailKey("i", owner, number), record],
      [mailKey("m", owner, number), unwritten.body],
    ]).then(
      () => {
        // It may have been acknowledged meanwhile.
        if (kept.unwritten!.delete(number)) {
          this.#mailboxes.keep(mailbox, number);
          this.#onMail(owner);
        }
        return { state: "stored", number, until };
      },
      (error) => {
        this.#mailboxes.withdraw(mailbox, number);
        throw error;
      },
    );
    return unwritten.writing;
  }

  #mailGone(mailbox: Box, number: number): void {
    const unwritten = mailbox.kept.unwritten?.get(number);
    if (unwritten !== undefined) {
      mailbox.kept.unwritten!.delete(number);
      if (unwritten.writing === undefined) return;
    }
    this.#leaving.push(
      [mailKey("i", mailbox.owner, number), undefined],
      [mailKey("m", mailbox.owner, number), undefined],
    );
  }

  /** Lets what is to leave the file leave it, in pieces. Nobody waits for it. */
  #forget(): void {
    const leaving = this.#leaving;
    if (leaving.length === 0) return;
    for (let from = 0; from < leaving.length; from += leavingTogether) {
      this.#leaving = leaving.slice(from, from + leavingTogether);
      this.#write([]).catch(() => {});
    }
  }

  /** More numbers may be given out once this resolves. */
  #raise(mailbox: Box): Promise<void> {
    const { kept } = mailbox;
    kept.raising ??= this.#save(mailbox).finally(() => {
      kept.raising = undefined;
    });
    return kept.raising;
  }

  async #save(mailbox: Box): Promise<void> {
    const { owner, tag, isOpen, contactAt, next, kept } = mailbox;
    const below = next + numbersAhead;
    kept.askedBelow = below;
    kept.savedContactAt = contactAt;
    try {
      await this.#write([[`a:${owner}`, encodeMailboxRecord(tag, isOpen, below, contactAt)]]);
      kept.safeBelow = Math.max(kept.safeBelow, below);
    } catch (error) {
      kept.askedBelow = kept.safeBelow;
      kept.savedContactAt = 0;
      throw error;
    }
  }

  /** Writes, and lets what is to leave go along. Never throws: it rejects. */
  #write(batch: readonly StoreEntry[]): Promise<void> {
    const leaving = this.#leaving;
    try {
      if (leaving.length === 0) return this.#file.write(batch) ?? written;
      this.#leaving = [];
      const writing = this.#file.write([...leaving, ...batch]) ?? written;
      return writing.catch((error: unknown) => this.#notWritten(leaving, error));
    } catch (error) {
      return this.#notWritten(leaving, error);
    }
  }

  /** What was to leave is still there, but for a mailbox that was made anew meanwhile. */
  async #notWritten(leaving: readonly StoreEntry[], error: unknown): Promise<never> {
    this.#leaving.push(...leaving.filter(([key]) => this.#mailboxes.find(key.slice(2) as PeerId) === undefined));
    throw error;
  }
}

const written = Promise.resolve();

/** What is made of the file at start. */
class Loading {
  readonly host: {
    readonly keptWithNew: () => Kept;
    mailGone: (mailbox: Box, number: number) => void;
    mailboxGone: (mailbox: Box) => void;
  } = { keptWithNew, mailGone: () => {}, mailboxGone: () => {} };
  readonly mailboxes: Mailboxes<Kept>;
  readonly leaving: StoreEntry[] = [];
  /** Mailboxes that were made again from their mails. */
  readonly #remade = new Set<Box>();

  readonly #now: () => Millis;

  constructor(limits: MailboxLimits, { random, now }: MailboxSeams) {
    this.mailboxes = new Mailboxes(limits, random, this.host);
    this.#now = now;
  }

  damaged(key: string): void {
    const [kind, owner, number] = key.split(":");
    this.leaving.push([key, undefined]);
    if (kind !== "i") return;
    this.leaving.push([`m:${owner}:${number}`, undefined]);
    this.mailboxes.countDropped(1);
  }

  /** A right checksum does not make it a record: what is none is left out as what is damaged. */
  record(key: string, value: Uint8Array): void {
    const [, owner, mailOwner, number] = keyOfRecord.exec(key) ?? [];
    try {
      const read = new ByteReader(value);
      if (read.u8() !== recordVersion) this.damaged(key);
      else if (owner !== undefined) this.#mailbox(owner as PeerId, read);
      else if (mailOwner === undefined) this.damaged(key);
      else this.#mail(key, mailOwner as PeerId, Number.parseInt(number!, 16), read);
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      this.damaged(key);
    }
  }

  #mailbox(owner: PeerId, read: ByteReader): void {
    const isOpen = read.u8() === 1;
    const tag = read.take(mailboxTagBytes).slice();
    const below = read.u64();
    const contactAt = read.u64();
    const mailbox = this.mailboxes.restore(owner, tag, contactAt);
    mailbox.isOpen = isOpen;
    mailbox.next = below;
    Object.assign(mailbox.kept, { safeBelow: below, askedBelow: below, savedContactAt: mailbox.contactAt });
  }

  #mail(key: string, owner: PeerId, number: number, read: ByteReader): void {
    const isStranger = read.u8() === 1;
    const tag = read.take(mailboxTagBytes);
    const bytes = read.u32();
    const until = read.u64();
    const sender = peerIdFromTrustedBytes(read.take(32));
    if (bytes > maxEnvelopeBytes || !Number.isSafeInteger(number)) {
      this.damaged(key);
      return;
    }
    let mailbox = this.mailboxes.find(owner);
    if (mailbox === undefined) {
      mailbox = this.mailboxes.restore(owner, tag.slice(), this.#now());
      this.#remade.add(mailbox);
    }
    if (!equalBytes(mailbox.tag, tag)) {
      this.damaged(key);
      return;
    }
    const { next } = mailbox;
    this.mailboxes.restoreMail(mailbox, { number, bytes, until, sender, isStranger });
    mailbox.next = this.#remade.has(mailbox) ? number + numbersPerhapsGiven : Math.max(next, number + 1);
  }
}

function keptWithNew(): Kept {
  return { safeBelow: 0, askedBelow: 0, raising: undefined, savedContactAt: 0, unwritten: undefined };
}

function mailKey(kind: "i" | "m", owner: PeerId, number: number): string {
  return `${kind}:${owner}:${number.toString(16).padStart(14, "0")}`;
}

function encodeMailboxRecord(tag: Uint8Array, isOpen: boolean, below: number, contactAt: Millis): Uint8Array {
  const writer = new ByteWriter(26)
    .u8(recordVersion)
    .u8(isOpen ? 1 : 0)
    .put(tag);
  return writer.u64(below).u64(contactAt).bytes();
}

function encodeMailRecord(
  tag: Uint8Array,
  bytes: number,
  until: Millis,
  sender: PeerId,
  isStranger: boolean,
): Uint8Array {
  const writer = new ByteWriter(54)
    .u8(recordVersion)
    .u8(isStranger ? 1 : 0)
    .put(tag);
  return writer.u32(bytes).u64(until).put(peerIdToBytes(sender)).bytes();
}
