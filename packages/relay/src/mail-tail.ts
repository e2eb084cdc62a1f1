/**
 * The newest mails of one mailbox as the engine tells of them, kept until they are asked for: an owner that is connected gets
 * its mail without a read for each. It knows whether something is missing: each mail names the one before it.
 *
 * Bounds: `maxTailBytes`; beyond, the engine is read.
 */
import type { FollowedMail, LoggedMail, ReadRoom } from "./mail-log.ts";

export class MailTail {
  /** Ends the following. */
  stop: () => void = () => {};
  readonly #maxBytes: number;
  /** In order. */
  #recent: FollowedMail[] = [];
  #bytes = 0;
  /** No mail above it is unknown but those kept here; `undefined`: there may be some. */
  #completeFrom: number | undefined;
  /** Changes when something may have been missed. */
  #gaps = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Names the time until the next gap, for {@link nothingAbove}. */
  get gaps(): number {
    return this.#gaps;
  }

  push(mail: FollowedMail): void {
    const last = this.#recent.at(-1);
    if (last !== undefined && mail.number <= last.number) return;
    this.#recent.push(mail);
    this.#bytes += mail.body.length;
    // What is dropped here is found missing by what the next one says.
    while (this.#bytes > this.#maxBytes && this.#recent.length > 1) this.#bytes -= this.#recent.shift()!.body.length;
  }

  /** Something may have been missed. */
  gap(): void {
    this.#gaps += 1;
    this.#completeFrom = undefined;
    this.#recent = [];
    this.#bytes = 0;
  }

  /** The engine said, since that many gaps, that there is no mail above this number. */
  nothingAbove(number: number, gaps: number): void {
    if (gaps === this.#gaps) this.#completeFrom = Math.min(this.#completeFrom ?? number, number);
  }

  /** @returns The mails next after this number; `undefined` when the engine must be asked. */
  take(after: number, { maxMessages, maxBytes }: ReadRoom): readonly LoggedMail[] | undefined {
    const start = this.#recent.findIndex(({ number }) => number > after);
    if (start < 0) return this.#completeFrom !== undefined && after >= this.#completeFrom ? [] : undefined;
    let end = start;
    let bytes = 0;
    let last = after;
    while (end < this.#recent.length && end - start < maxMessages) {
      const mail = this.#recent[end]!;
      bytes += mail.bytes;
      if (mail.previous > last || (end > start && bytes > maxBytes)) break;
      last = mail.number;
      end += 1;
    }
    if (end === start) return undefined;
    const mails = this.#recent.slice(start, end);
    for (const { body } of this.#recent.splice(0, end)) this.#bytes -= body.length;
    // Those that are handed out are kept here no more.
    this.#completeFrom = last;
    return mails;
  }
}
