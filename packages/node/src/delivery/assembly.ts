/**
 * A message or reply that comes in parts, until all are there. Every part is copied into memory of its own size, so
 * what is held grows with what was received and not with what was announced. Only for a few parts the memory of all is made
 * with the first: what a relay hands on is of that size, and a copy of all of it costs more than the rest.
 */
import { type Millis, partBytes } from "@egtp/wire";
import { orderedParts } from "./limits.ts";
import type { Mail } from "./mail.ts";
import type { Outgoing } from "./outgoing.ts";

export class Assembly {
  /** The number of its first part. */
  readonly number: number;
  readonly totalBytes: number;
  readonly parts: number;
  readonly deadlineAt: Millis;
  /** For a reply: the request that it answers. */
  readonly answered: Outgoing | undefined;
  /** Mail in which its parts came, held until it is whole. At most one for each part. */
  readonly mail: Mail[] = [];
  /** The parts that came; of few, the whole. */
  readonly #chunks: (Uint8Array | undefined)[] = [];
  #whole: Uint8Array | undefined;
  #missing: number;

  constructor(number: number, totalBytes: number, parts: number, deadlineAt: Millis, answered: Outgoing | undefined) {
    this.number = number;
    this.totalBytes = totalBytes;
    this.parts = parts;
    this.deadlineAt = deadlineAt;
    this.answered = answered;
    this.#missing = parts;
  }

  has(index: number): boolean {
    return this.#chunks[index] !== undefined;
  }

  /** @param part - Borrowed: it is copied. The frame's length was checked against its index and the total. */
  add(index: number, part: Uint8Array): void {
    if (this.has(index)) return;
    this.#missing--;
    if (this.parts > orderedParts) {
      this.#chunks[index] = part.slice();
      return;
    }
    this.#whole ??= new Uint8Array(this.totalBytes);
    this.#whole.set(part, index * partBytes);
    this.#chunks[index] = this.#whole;
  }

  keep(mail: Mail): void {
    if (this.mail.at(-1) === mail) return;
    this.mail.push(mail);
    mail.hold();
  }

  get isComplete(): boolean {
    return this.#missing === 0;
  }

  /** The whole body, once complete. */
  body(): Uint8Array {
    if (this.#whole !== undefined) return this.#whole;
    const body = new Uint8Array(this.totalBytes);
    for (let index = 0; index < this.parts; index++) body.set(this.#chunks[index]!, index * partBytes);
    return body;
  }
}
