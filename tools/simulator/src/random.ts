/** All chance of a run: one seed, one sequence (sfc32). */
export class Random {
  #a: number;
  #b: number;
  #c: number;
  #counter = 1;
  /** Of {@link Random.at}. */
  readonly #base: number;

  constructor(seed: number) {
    this.#a = seed | 0;
    this.#b = (seed / 0x1_0000_0000) | 0;
    this.#c = 0x9e3779b9 | 0;
    this.#base = (this.#a ^ Math.imul(this.#b, 0x85ebca6b)) | 0;
    for (let i = 0; i < 12; i++) this.u32();
  }

  u32(): number {
    const sum = (this.#a + this.#b + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = ((this.#c << 21) | (this.#c >>> 11)) + sum;
    return sum >>> 0;
  }

  /** From 0 to below 1. */
  unit(): number {
    return this.u32() / 0x1_0000_0000;
  }

  below(limit: number): number {
    return Math.floor(this.unit() * limit);
  }

  chance(probability: number): boolean {
    return this.unit() < probability;
  }

  pick<T>(from: readonly T[]): T {
    if (from.length === 0) throw new RangeError("Nothing to pick from");
    return from[this.below(from.length)] as T;
  }

  bytes(length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    for (let i = 0; i < length; i++) bytes[i] = this.u32();
    return bytes;
  }

  /**
   * Chance that follows from these numbers alone, such as who, when and how much: what happens elsewhere shifts nothing. So a run
   * from which something is left out goes on as it did, where that has no part in it.
   */
  at(...numbers: readonly number[]): Random {
    let a = this.#base;
    let b = 0x85a308d3 | 0;
    for (const number of numbers) {
      a = Math.imul(a ^ (number | 0), 0x9e3779b1);
      b = Math.imul(b ^ (((number % 1) * 0x1_0000_0000) | 0) ^ (a >>> 15), 0xc2b2ae35);
      a ^= b >>> 13;
    }
    return new Random((a >>> 0) * 0x10_0000 + (b >>> 12));
  }

  /** A sequence of its own, so that drawing more in one place shifts nothing in another. */
  fork(): Random {
    return new Random(this.u32() * 0x1_0000 + this.below(0x1_0000));
  }
}
