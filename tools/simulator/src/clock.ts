/** Virtual time: a queue of what happens when. Events of the same instant happen in the order they were planned. */

interface Planned {
  readonly at: number;
  readonly order: number;
  readonly run: () => void;
}

export class Clock {
  #now = 0;
  #order = 0;
  readonly #heap: Planned[] = [];

  /** True time in milliseconds since the start of the run. What a peer's own clock shows may differ. */
  get now(): number {
    return this.#now;
  }

  get pending(): number {
    return this.#heap.length;
  }

  after(delayMs: number, run: () => void): void {
    this.at(this.#now + Math.max(0, delayMs), run);
  }

  at(at: number, run: () => void): void {
    const heap = this.#heap;
    const item: Planned = { at: Math.max(at, this.#now), order: this.#order++, run };
    let i = heap.length;
    heap.push(item);
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (!earlier(item, heap[parent] as Planned)) break;
      heap[i] = heap[parent] as Planned;
      i = parent;
    }
    heap[i] = item;
  }

  /**
   * Runs everything planned up to an instant, then stands there.
   *
   * @param maxEvents - Throws {@link EventStorm} when more happens: something answers itself.
   */
  runUntil(until: number, maxEvents = 1_000_000): void {
    let count = 0;
    while (this.step(until)) if (++count > maxEvents) throw new EventStorm(maxEvents);
    this.moveTo(until);
  }

  /** Runs the next thing that is planned. @returns False when nothing is planned up to the instant. */
  step(until: number): boolean {
    if (this.#heap.length === 0 || (this.#heap[0] as Planned).at > until) return false;
    const item = this.#pop();
    this.#now = item.at;
    item.run();
    return true;
  }

  moveTo(at: number): void {
    this.#now = Math.max(this.#now, at);
  }

  #pop(): Planned {
    const heap = this.#heap;
    const top = heap[0] as Planned;
    const last = heap.pop() as Planned;
    if (heap.length > 0) {
      let i = 0;
      for (;;) {
        let child = 2 * i + 1;
        if (child >= heap.length) break;
        if (child + 1 < heap.length && earlier(heap[child + 1] as Planned, heap[child] as Planned)) child += 1;
        if (!earlier(heap[child] as Planned, last)) break;
        heap[i] = heap[child] as Planned;
        i = child;
      }
      heap[i] = last;
    }
    return top;
  }
}

export class EventStorm extends Error {
  override readonly name = "EventStorm";

  constructor(events: number) {
    super(`More than ${events} events without time passing on: something answers itself`);
  }
}

function earlier(a: Planned, b: Planned): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}
