/**
 * The engine behind relays that share their mailboxes, with what goes wrong in a cluster: answers come late, or are lost before
 * the deed or after; for seconds nobody answers, while a leader is chosen; some servers lag behind; what is told of new mail comes late or
 * not at all. What it acknowledged it keeps, whichever relay dies.
 */
import type {
  FollowedMail,
  ListedMail,
  LoggedMail,
  LoggedRecord,
  MailFacts,
  MailLog,
  ReadRoom,
} from "@egtp/relay/server";
import type { PeerId } from "@egtp/wire";
import type { Clock } from "../clock.ts";
import type { Random } from "../random.ts";
import type { Process } from "./process.ts";

/** What the engine does to those who ask it. */
export interface EngineWeather {
  readonly latencyMs: number;
  /** Probability of each question to be lost, and of each answer. */
  readonly loss: number;
  /** Probability that what is told of a mail does not come. */
  readonly untold: number;
  /** What a server that lags does not know yet. */
  readonly lagMs: number;
}

interface KeptMail extends LoggedMail {
  readonly at: number;
}

interface Follower {
  readonly process: Process;
  readonly onMail: (mail: FollowedMail) => void;
}

export class MailEngine {
  weather: EngineWeather = { latencyMs: 2, loss: 0, untold: 0, lagMs: 0 };
  /** Nobody answers before. */
  leaderAt = -Infinity;
  readonly clock: Clock;
  readonly random: Random;
  readonly mails = new Map<PeerId, KeptMail[]>();
  readonly records = new Map<PeerId, LoggedRecord>();
  readonly numbers = new Map<string, number>();
  readonly followers = new Map<PeerId, Set<Follower>>();
  last = 0;

  constructor(clock: Clock, random: Random) {
    this.clock = clock;
    this.random = random;
  }

  tell(owner: PeerId, mail: FollowedMail): void {
    const { latencyMs, untold, lagMs } = this.weather;
    for (const { process, onMail } of this.followers.get(owner) ?? []) {
      if (this.random.chance(untold)) continue;
      this.clock.after(latencyMs + this.random.unit() * lagMs, () => {
        if (process.isAlive) onMail({ ...mail, body: mail.body.slice() });
      });
    }
  }
}

/** As one relay sees the engine. */
export class EngineLog implements MailLog {
  readonly #engine: MailEngine;
  readonly #process: Process;

  constructor(engine: MailEngine, process: Process) {
    this.#engine = engine;
    this.#process = process;
  }

  append(owner: PeerId, facts: MailFacts, body: Uint8Array, id: string): Promise<number | "full"> {
    const copy = body.slice();
    return this.#ask(() => {
      const engine = this.#engine;
      const known = engine.numbers.get(id);
      if (known !== undefined) return known;
      engine.last += 1;
      const mails = this.#mailsOf(owner);
      const previous = mails.at(-1)?.number ?? 0;
      const mail = { ...facts, number: engine.last, body: copy, at: engine.clock.now };
      mails.push(mail);
      engine.numbers.set(id, mail.number);
      engine.tell(owner, { ...mail, previous });
      return mail.number;
    });
  }

  next(owner: PeerId, number: number): Promise<LoggedMail | undefined> {
    return this.#ask(() => copyOf(this.#mailsOf(owner).find((mail) => mail.number >= number)));
  }

  read(owner: PeerId, number: number, { maxMessages, maxBytes }: ReadRoom): Promise<readonly LoggedMail[]> {
    return this.#ask(() => {
      const mails: LoggedMail[] = [];
      let bytes = 0;
      for (const mail of this.#lagging(owner, number).slice(0, maxMessages)) {
        bytes += mail.bytes;
        if (bytes > maxBytes) break;
        mails.push(copyOf(mail)!);
      }
      return mails;
    });
  }

  list(owner: PeerId, number: number): Promise<readonly ListedMail[]> {
    return this.#ask(() => this.#lagging(owner, number));
  }

  remove(owner: PeerId, numbers: readonly number[]): Promise<void> {
    const { random, weather } = this.#engine;
    // A leader that dies has understood only some of them, and nobody says which.
    const gone = new Set(numbers.filter(() => !random.chance(weather.loss)));
    return this.#ask(() => {
      const left = this.#mailsOf(owner).filter((mail) => !gone.has(mail.number));
      this.#engine.mails.set(owner, left);
    });
  }

  follow(owner: PeerId, onMail: (mail: FollowedMail) => void): Promise<() => void> {
    return this.#ask(() => {
      const { followers } = this.#engine;
      const follower = { process: this.#process, onMail };
      const all = followers.get(owner) ?? new Set();
      followers.set(owner, all.add(follower));
      return () => all.delete(follower);
    });
  }

  /** What is not told is noticed by what is told next. */
  watchGaps(): void {}

  totals(): Promise<{ messages: number; bytes: number }> {
    return this.#ask(() => {
      const all = [...this.#engine.mails.values()].flat();
      return { messages: all.length, bytes: all.reduce((sum, { bytes }) => sum + bytes, 0) };
    });
  }

  load(owner: PeerId): Promise<LoggedRecord | undefined> {
    return this.#ask(() => this.#engine.records.get(owner));
  }

  save(owner: PeerId, value: Uint8Array, revision: number | undefined): Promise<number | "conflict"> {
    return this.#ask(() => {
      const { records } = this.#engine;
      if (records.get(owner)?.revision !== revision) return "conflict";
      this.#engine.last += 1;
      records.set(owner, { value, revision: this.#engine.last });
      return this.#engine.last;
    });
  }

  forget(owner: PeerId, revision: number): Promise<void> {
    return this.#ask(() => {
      const { records } = this.#engine;
      if (records.get(owner)?.revision === revision) records.delete(owner);
    });
  }

  async close(): Promise<void> {}

  #mailsOf(owner: PeerId): KeptMail[] {
    const { mails } = this.#engine;
    const mine = mails.get(owner) ?? [];
    mails.set(owner, mine);
    return mine;
  }

  #lagging(owner: PeerId, number: number): readonly KeptMail[] {
    const { clock, weather } = this.#engine;
    return this.#mailsOf(owner).filter((mail) => mail.number >= number && mail.at <= clock.now - weather.lagMs);
  }

  #ask<Answer>(run: () => Answer): Promise<Answer> {
    const { clock, weather, random } = this.#engine;
    const isAsked = !random.chance(weather.loss);
    const isAnswered = !random.chance(weather.loss);
    // Questions arrive in the order of asking.
    return new Promise((resolve, reject) => {
      clock.after(weather.latencyMs, () => {
        const hasLeader = clock.now >= this.#engine.leaderAt;
        const answer = isAsked && hasLeader ? { of: run() } : undefined;
        const failMs = hasLeader ? askMs : weather.latencyMs;
        const isFailed = answer === undefined || !isAnswered;
        clock.after(isFailed ? failMs : weather.latencyMs, () => {
          if (!this.#process.isAlive) return;
          if (isFailed) reject(new Error(hasLeader ? "timeout" : "no leader"));
          else resolve(answer.of);
        });
      });
    });
  }
}

/** After this a question counts as lost. */
const askMs = 2_000;

function copyOf(mail: KeptMail | undefined): LoggedMail | undefined {
  return mail === undefined ? undefined : { ...mail, body: mail.body.slice() };
}
