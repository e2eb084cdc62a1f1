/**
 * What is remembered of each mail in a mailbox beside its envelope, in 20 bytes: a list in order of the numbers, in one piece
 * of memory, from which mostly the front is taken away.
 */
import type { Millis } from "@egtp/wire";

/** Words of a mail: number high, number low, bytes, until in seconds, sender's slot with the flag. */
const wordsEach = 5;
const heldFlag = 0x8000_0000;
const initialMails = 4;
/** Up to so many mails memory is not given back. */
const smallMails = 64;
const noWords = new Uint32Array(0);

export class MailIndex {
  #words = noWords;
  /** Where the first mail begins, in mails. */
  #head = 0;
  #length = 0;

  /** Mails. */
  get length(): number {
    return this.#length;
  }

  /** @param number - Above all that are there. @param until - Kept to the second, rounded up. */
  push(number: number, bytes: number, until: Millis, slot: number): void {
    if ((this.#head + this.#length + 1) * wordsEach > this.#words.length) this.#makeRoom();
    const at = (this.#head + this.#length) * wordsEach;
    const words = this.#words;
    words[at] = Math.floor(number / 0x1_0000_0000);
    words[at + 1] = number % 0x1_0000_0000;
    words[at + 2] = bytes;
    words[at + 3] = Math.ceil(until / 1_000);
    words[at + 4] = slot + heldFlag;
    this.#length += 1;
  }

  number(i: number): number {
    const at = (this.#head + i) * wordsEach;
    return this.#words[at]! * 0x1_0000_0000 + this.#words[at + 1]!;
  }

  bytes(i: number): number {
    return this.#words[(this.#head + i) * wordsEach + 2]!;
  }

  until(i: number): Millis {
    return this.#words[(this.#head + i) * wordsEach + 3]! * 1_000;
  }

  slot(i: number): number {
    return this.#words[(this.#head + i) * wordsEach + 4]! & ~heldFlag;
  }

  /** Whether it is in memory only, as every mail is at first. */
  isHeld(i: number): boolean {
    return this.#words[(this.#head + i) * wordsEach + 4]! >= heldFlag;
  }

  setKept(i: number): void {
    this.#words[(this.#head + i) * wordsEach + 4]! &= ~heldFlag;
  }

  /** Where the first mail with this number or above is; the length when there is none. */
  firstFrom(number: number): number {
    let low = 0;
    let high = this.#length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.number(middle) < number) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Where the mail with this number is, or -1. */
  find(number: number): number {
    const i = this.firstFrom(number);
    return i < this.#length && this.number(i) === number ? i : -1;
  }

  /** Takes mails [from, to) away. */
  remove(from: number, to: number): void {
    if (from >= to) return;
    if (from === 0) this.#head += to;
    else {
      const start = this.#head * wordsEach;
      this.#words.copyWithin(start + from * wordsEach, start + to * wordsEach, start + this.#length * wordsEach);
    }
    this.#length -= to - from;
    if (this.#length === 0) this.#head = 0;
    const capacity = this.#words.length / wordsEach;
    if (capacity > smallMails && 8 * this.#length < capacity) this.#resize(2 * this.#length);
  }

  /** Moves the mails to the front, into more memory unless half of it is free. */
  #makeRoom(): void {
    const capacity = this.#words.length / wordsEach;
    if (2 * this.#length >= capacity) this.#resize(Math.max(initialMails, 2 * capacity));
    else {
      this.#words.copyWithin(0, this.#head * wordsEach, (this.#head + this.#length) * wordsEach);
      this.#head = 0;
    }
  }

  #resize(mails: number): void {
    const words = mails === 0 ? noWords : new Uint32Array(mails * wordsEach);
    words.set(this.#words.subarray(this.#head * wordsEach, (this.#head + this.#length) * wordsEach));
    this.#words = words;
    this.#head = 0;
  }
}
