/** Random numbers from a seed (mulberry32), so that a story can be told again. */
export class Random {
  readonly seed: number;
  #state: number;

  constructor(seed: number) {
    this.seed = seed;
    this.#state = seed * 0x9e3779b9;
  }

  /** A whole number from `from` up to but without `to`. */
  between(from: number, to: number): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let x = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    x = (x + Math.imul(x ^ (x >>> 7), 61 | x)) ^ x;
    return from + Math.floor((((x ^ (x >>> 14)) >>> 0) / 2 ** 32) * (to - from));
  }

  /** Lets some time pass, by default up to 20 ms: what is drawn is a moment, and not only an event after which something happens. */
  moment(maxMs = 20): Promise<void> {
    return new Promise((resolve) => setTimeout(resolve, this.between(0, maxMs)));
  }
}
