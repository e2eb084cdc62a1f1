/**
 * What a peer of a story did and what became of what it sent, on disk, a line for each, so that a story can count after
 * every kill.
 *
 * Lines are written before a handler returns: no message counts as handled whose effect is not there.
 */
import { closeSync, openSync, readFileSync, truncateSync, writeSync } from "node:fs";

/** A message that was handled. */
export interface Effect {
  readonly messageId: string;
  /** Names what was sent together. */
  readonly batch: string;
  /** Its place among those. */
  readonly n: number;
  readonly sentAt: number;
  readonly at: number;
  /** It was handled before, and has its effect: it was handed over again. */
  readonly isAgain: boolean;
}

export class EffectsLog {
  readonly #file: number;
  readonly #done: Set<string>;
  readonly #counts = new Map<string, number>();
  #total = 0;

  constructor(path: string) {
    const known = readEffects(path).filter(({ isAgain }) => !isAgain);
    this.#done = new Set(known.map(({ messageId }) => messageId));
    for (const { batch } of known) this.#count(batch);
    this.#file = openLog(path);
  }

  /** How many of a batch were done, by earlier runs too. */
  count(batch: string): number {
    return this.#counts.get(batch) ?? 0;
  }

  /** How many were done in all, by earlier runs too. */
  get total(): number {
    return this.#total;
  }

  /** Does what a message asks for, once: writes it down. */
  once(effect: Omit<Effect, "isAgain">): void {
    const { messageId, batch, n, sentAt, at } = effect;
    const isAgain = this.#done.has(messageId);
    writeSync(this.#file, `${isAgain ? "again" : "once"} ${messageId} ${batch} ${n} ${sentAt} ${at}\n`);
    if (isAgain) return;
    this.#done.add(messageId);
    this.#count(batch);
  }

  close(): void {
    closeSync(this.#file);
  }

  #count(batch: string): void {
    this.#counts.set(batch, this.count(batch) + 1);
    this.#total += 1;
  }
}

export function readEffects(path: string): Effect[] {
  return readLines(path).map(([kind, messageId = "", batch = "", n, sentAt, at]) => ({
    messageId,
    batch,
    n: Number(n),
    sentAt: Number(sentAt),
    at: Number(at),
    isAgain: kind === "again",
  }));
}

/** How a message ended for whoever sent it. A stored one may end once more. */
export interface Ending {
  readonly batch: string;
  readonly n: number;
  readonly state: string;
}

export class EndingsLog {
  readonly #file: number;

  constructor(path: string) {
    this.#file = openLog(path);
  }

  write({ batch, n, state }: Ending): void {
    writeSync(this.#file, `${batch} ${n} ${state}\n`);
  }

  close(): void {
    closeSync(this.#file);
  }
}

export function readEndings(path: string): Ending[] {
  return readLines(path).map(([batch = "", n, state = ""]) => ({ batch, n: Number(n), state }));
}

/** What a node told of a message: how it ended, in the run that sent it or in a later one. */
export interface Settlement {
  readonly messageId: string;
  readonly outcome: string;
}

export class SettlementsLog {
  readonly #file: number;

  constructor(path: string) {
    this.#file = openLog(path);
  }

  write({ messageId, outcome }: Settlement): void {
    writeSync(this.#file, `${messageId} ${outcome}\n`);
  }

  close(): void {
    closeSync(this.#file);
  }
}

export function readSettlements(path: string): Settlement[] {
  return readLines(path).map(([messageId = "", outcome = ""]) => ({ messageId, outcome }));
}

/** What a node told, and when it was written down. */
export function readEvents(path: string): { readonly at: number; readonly text: string }[] {
  return readLines(path).map(([at, ...words]) => ({ at: Number(at), text: words.join(" ") }));
}

/** Opens a log to go on with it. A line that was not finished, as its process was killed amid it, had no consequences: it goes. */
function openLog(path: string): number {
  const file = openSync(path, "a", 0o600);
  truncateSync(path, readFileSync(path).lastIndexOf(10) + 1);
  return file;
}

/** The words of each line; none when there is no such file. A line that its process did not finish is left out. */
function readLines(path: string): string[][] {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if ((error as { code?: unknown }).code === "ENOENT") return [];
    throw error;
  }
  const lines = text.split("\n").slice(0, -1);
  return lines.map((line) => line.split(" "));
}
