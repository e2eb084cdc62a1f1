/** An engine for shared mailboxes in memory, which several stores of a test may share. */
import type { PeerId } from "@egtp/wire";
import type {
  FollowedMail,
  ListedMail,
  LoggedMail,
  LoggedRecord,
  MailFacts,
  MailLog,
  ReadRoom,
} from "../src/mail-log.ts";

export class MemoryEngine {
  readonly mails = new Map<PeerId, LoggedMail[]>();
  readonly records = new Map<PeerId, LoggedRecord>();
  readonly numbers = new Map<string, number>();
  readonly followers = new Map<PeerId, Set<(mail: FollowedMail) => void>>();
  /** The number or revision that was given last. */
  last = 0;
  readonly maxMessages: number;
  readonly maxMailboxes: number;

  constructor(maxMessages = Infinity, maxMailboxes = Infinity) {
    this.maxMessages = maxMessages;
    this.maxMailboxes = maxMailboxes;
  }
}

export class MemoryMailLog implements MailLog {
  readonly #engine: MemoryEngine;
  /** Called before each question; what it throws is what the engine does not answer. */
  before: (question: keyof MailLog) => void = () => {};
  /** Called after each; what it throws is an answer that is lost. */
  after: (question: keyof MailLog) => void = () => {};
  /** Whether what is followed arrives. */
  isTold = true;
  gap: () => void = () => {};

  constructor(engine: MemoryEngine) {
    this.#engine = engine;
  }

  append(owner: PeerId, facts: MailFacts, body: Uint8Array, id: string): Promise<number | "full"> {
    return this.#answer("append", () => {
      const { mails, numbers, followers, maxMessages } = this.#engine;
      const known = numbers.get(id);
      if (known !== undefined) return known;
      const mine = mails.get(owner) ?? [];
      if (mine.length >= maxMessages) return "full";
      this.#engine.last += 1;
      const mail = { ...facts, number: this.#engine.last, body: body.slice() };
      const previous = mine.at(-1)?.number ?? 0;
      mails.set(owner, [...mine, mail]);
      numbers.set(id, mail.number);
      for (const follow of followers.get(owner) ?? []) follow({ ...mail, body: body.slice(), previous });
      return mail.number;
    });
  }

  next(owner: PeerId, number: number): Promise<LoggedMail | undefined> {
    return this.#answer("next", () => copyOf(this.#from(owner, number)[0]));
  }

  read(owner: PeerId, number: number, { maxMessages, maxBytes }: ReadRoom): Promise<readonly LoggedMail[]> {
    return this.#answer("read", () => {
      const mails: LoggedMail[] = [];
      let bytes = 0;
      for (const mail of this.#from(owner, number).slice(0, maxMessages)) {
        bytes += mail.bytes;
        if (bytes > maxBytes) break;
        mails.push(copyOf(mail)!);
      }
      return mails;
    });
  }

  list(owner: PeerId, number: number): Promise<readonly ListedMail[]> {
    return this.#answer("list", () => this.#from(owner, number));
  }

  remove(owner: PeerId, numbers: readonly number[]): Promise<void> {
    return this.#answer("remove", () => {
      const { mails } = this.#engine;
      mails.set(
        owner,
        this.#from(owner, 0).filter((mail) => !numbers.includes(mail.number)),
      );
    });
  }

  follow(owner: PeerId, onMail: (mail: FollowedMail) => void): Promise<() => void> {
    return this.#answer("follow", () => {
      const { followers } = this.#engine;
      const tell = (mail: FollowedMail): void => {
        if (this.isTold) onMail(mail);
      };
      const mine = followers.get(owner) ?? new Set();
      followers.set(owner, mine.add(tell));
      return () => mine.delete(tell);
    });
  }

  watchGaps(onGap: () => void): void {
    this.gap = onGap;
  }

  totals(): Promise<{ messages: number; bytes: number }> {
    return this.#answer("totals", () => {
      const all = [...this.#engine.mails.values()].flat();
      return { messages: all.length, bytes: all.reduce((sum, { bytes }) => sum + bytes, 0) };
    });
  }

  load(owner: PeerId): Promise<LoggedRecord | undefined> {
    return this.#answer("load", () => this.#engine.records.get(owner));
  }

  save(owner: PeerId, value: Uint8Array, revision: number | undefined): Promise<number | "conflict" | "full"> {
    return this.#answer("save", () => {
      const { records, maxMailboxes } = this.#engine;
      if (records.get(owner)?.revision !== revision) return "conflict";
      if (revision === undefined && records.size >= maxMailboxes) return "full";
      this.#engine.last += 1;
      records.set(owner, { value, revision: this.#engine.last });
      return this.#engine.last;
    });
  }

  forget(owner: PeerId, revision: number): Promise<void> {
    return this.#answer("forget", () => {
      const { records } = this.#engine;
      if (records.get(owner)?.revision === revision) records.delete(owner);
    });
  }

  async close(): Promise<void> {}

  #from(owner: PeerId, number: number): LoggedMail[] {
    return (this.#engine.mails.get(owner) ?? []).filter((mail) => mail.number >= number);
  }

  async #answer<Answer>(question: keyof MailLog, run: () => Answer): Promise<Answer> {
    await Promise.resolve();
    this.before(question);
    const answer = run();
    await Promise.resolve();
    this.after(question);
    return answer;
  }
}

function copyOf(mail: LoggedMail | undefined): LoggedMail | undefined {
  return mail === undefined ? undefined : { ...mail, body: mail.body.slice() };
}
