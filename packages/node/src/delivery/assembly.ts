/**
 * A message or reply that comes in parts, until all are there. Every part is copied into memory of its own size, so
 * what is held grows with what was received and not with what was announced.
 *
 * Not so a message of few parts, such as a relay hands on: a copy of all of it costs more than everything else. Where its parts
 * came one right behind the other in one envelope they are joined there. Otherwise the memory of all is made with the first.
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
  /** The parts that came; of few, the memory that they are in. */
  readonly #chunks: (Uint8Array | undefined)[] = [];
  /** Of few parts: the first ones, joined where they came in, */
  #run: Uint8Array | undefined;
  /** and where the last of them ended there. */
  #runEnd = 0;
  /** Of few parts that did not come so: the whole. */
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

  /**
   * @param part - Given over, with its frame. The frame's length was checked against its index and the total.
   * @param headerBytes - Bytes of its frame before the part.
   */
  add(index: number, part: Uint8Array, headerBytes: number): void {
    if (this.has(index)) return;
    this.#missing--;
    if (this.parts > orderedParts) this.#chunks[index] = part.slice();
    else if (this.#follows(index, part, headerBytes)) this.#join(index, part);
    else {
      const whole = this.#toWhole();
      whole.set(part, index * partBytes);
      this.#chunks[index] = whole;
    }
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
    const joined = this.#run ?? this.#whole;
    if (joined !== undefined) return joined;
    const body = new Uint8Array(this.totalBytes);
    for (let index = 0; index < this.parts; index++) body.set(this.#chunks[index]!, index * partBytes);
    return body;
  }

  /** Whether nothing but the header of its frame lies between the part and those before it. */
  #follows(index: number, part: Uint8Array, headerBytes: number): boolean {
    const { buffer, byteOffset } = part;
    const run = this.#run;
    if (run !== undefined) {
      return run.length === index * partBytes && buffer === run.buffer && byteOffset - headerBytes === this.#runEnd;
    }
    // All can be there, and what is kept of the envelope is no more than twice what is held.
    const isAllThere = buffer.byteLength - byteOffset >= this.totalBytes && buffer.byteLength <= 2 * this.totalBytes;
    return index === 0 && this.#chunks.length === 0 && isAllThere;
  }

  #join(index: number, part: Uint8Array): void {
    const run = this.#run;
    this.#runEnd = part.byteOffset + part.length;
    if (run === undefined) this.#run = part;
    else {
      this.#run = new Uint8Array(run.buffer, run.byteOffset, run.length + part.length);
      this.#run.set(part, run.length);
    }
    this.#chunks[index] = this.#run;
  }

  #toWhole(): Uint8Array {
    if (this.#whole !== undefined) return this.#whole;
    this.#whole = new Uint8Array(this.totalBytes);
    if (this.#run !== undefined) this.#whole.set(this.#run);
    this.#run = undefined;
    return this.#whole;
  }
}
