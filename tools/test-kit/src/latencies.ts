/** How long each of many took, for the notes of a test: nothing is asserted of it. */
export class Latencies {
  readonly #times: number[] = [];

  get count(): number {
    return this.#times.length;
  }

  /** Takes part once `run` went well. */
  async of<T>(run: () => Promise<T>): Promise<T> {
    const begun = performance.now();
    const result = await run();
    this.#times.push(performance.now() - begun);
    return result;
  }

  get text(): string {
    const sorted = this.#times.toSorted((a, b) => a - b);
    const at = (share: number): string => (sorted[Math.floor(sorted.length * share)] ?? NaN).toFixed(2);
    return `${sorted.length} took ${at(0.5)} ms (p50), ${at(0.99)} ms (p99)`;
  }
}
