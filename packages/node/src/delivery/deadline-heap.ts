/**
 * Who must be woken next: a binary heap of those that wait for a moment. Each stands in it at most once, at a moment
 * that may be too early but is never too late; whoever is woken too early goes back in at his true moment.
 */
import type { Millis } from "@egtp/wire";

export interface Sleeper {
  /** The moment it stands in the heap with; `Infinity` when it is not in the heap. */
  wakeAt: Millis;
  /** Its place in the heap, -1 when it has none. */
  heapIndex: number;
}

export class DeadlineHeap<T extends Sleeper> {
  readonly #heap: T[] = [];

  get nextDeadline(): Millis | undefined {
    return this.#heap[0]?.wakeAt;
  }

  /** Wakes it at `at` or before. */
  wake(sleeper: T, at: Millis): void {
    if (at >= sleeper.wakeAt) return;
    sleeper.wakeAt = at;
    if (sleeper.heapIndex < 0) {
      sleeper.heapIndex = this.#heap.length;
      this.#heap.push(sleeper);
    }
    this.#rise(sleeper);
  }

  /** Takes out one whose moment has come. */
  takeDue(now: Millis): T | undefined {
    const first = this.#heap[0];
    if (first === undefined || first.wakeAt > now) return undefined;
    this.remove(first);
    return first;
  }

  remove(sleeper: T): void {
    const index = sleeper.heapIndex;
    if (index < 0) return;
    const last = this.#heap.pop()!;
    sleeper.heapIndex = -1;
    sleeper.wakeAt = Infinity;
    if (last === sleeper) return;
    this.#put(last, index);
    this.#rise(last);
    this.#sink(last);
  }

  #put(sleeper: T, index: number): void {
    this.#heap[index] = sleeper;
    sleeper.heapIndex = index;
  }

  #rise(sleeper: T): void {
    let index = sleeper.heapIndex;
    while (index > 0) {
      const parent = this.#heap[(index - 1) >>> 1]!;
      if (parent.wakeAt <= sleeper.wakeAt) break;
      this.#put(parent, index);
      index = (index - 1) >>> 1;
    }
    this.#put(sleeper, index);
  }

  #sink(sleeper: T): void {
    const heap = this.#heap;
    let index = sleeper.heapIndex;
    for (;;) {
      let child = 2 * index + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && heap[child + 1]!.wakeAt < heap[child]!.wakeAt) child++;
      if (heap[child]!.wakeAt >= sleeper.wakeAt) break;
      this.#put(heap[child]!, index);
      index = child;
    }
    this.#put(sleeper, index);
  }
}
