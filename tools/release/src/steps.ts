/**
 * How far a release is. None of its steps tells how far itself is, so it is reckoned by the time that each takes on two cores; one
 * that takes longer waits at its end.
 */
const usualSeconds: Readonly<Record<string, number>> = {
  "a fresh clone": 15,
  "versions and changelogs": 5,
  build: 40,
  check: 60,
  pack: 10,
};

export class Steps {
  readonly #seconds: Readonly<Record<string, number>>;
  readonly #now: () => number;
  #step = "";
  #doneSeconds = 0;
  #begunAt = 0;

  /**
   * @param left - Names of steps that are left out.
   * @param now - Milliseconds of a clock that only goes forward.
   */
  constructor(left: readonly string[] = [], now: () => number = () => performance.now()) {
    this.#seconds = Object.fromEntries(Object.entries(usualSeconds).filter(([step]) => !left.includes(step)));
    this.#now = now;
  }

  /** The one that is under way. */
  get current(): string {
    return this.#step;
  }

  /** @returns Whether `name` is a step, which ends the one before. */
  begin(name: string): boolean {
    if (this.#seconds[name] === undefined) return false;
    this.#doneSeconds += this.#seconds[this.#step] ?? 0;
    this.#step = name;
    this.#begunAt = this.#now();
    return true;
  }

  /** From 0 to 1. */
  get share(): number {
    const whole = Object.values(this.#seconds).reduce((sum, seconds) => sum + seconds, 0);
    const inStep = Math.min((this.#now() - this.#begunAt) / 1_000, this.#seconds[this.#step] ?? 0);
    return (this.#doneSeconds + inStep) / whole;
  }
}
