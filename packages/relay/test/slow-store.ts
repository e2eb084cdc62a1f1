/** A store that takes its time for everything, as one in a cluster would, and fails when told to. */
import type { Millis, PeerId } from "@egtp/wire";
import type { CollectRoom, Deposit, MailboxStore, OwnerRun } from "../src/mailbox-store.ts";
import { MemoryMailboxStore } from "../src/server.ts";

export class SlowStore implements MailboxStore {
  readonly inner = new MemoryMailboxStore();
  /** What is thrown instead of doing anything. */
  failure: Error | undefined;
  /** Mails that could not be written down. */
  #withdrawn = 0;
  readonly #later: <T>(run: () => T) => Promise<T>;

  /** @param pause - Resolves after the time that everything takes. */
  constructor(pause: () => Promise<void>) {
    // One after the other, as calls for one mailbox must take effect.
    let last: Promise<unknown> = Promise.resolve();
    this.#later = (run) => {
      const done = last.then(pause).then(() => {
        if (this.failure !== undefined) throw this.failure;
        return run();
      });
      last = done.catch(() => {});
      return done;
    };
  }

  get limits() {
    return this.inner.limits;
  }

  register(owner: PeerId, run: OwnerRun, now: Millis) {
    return this.#later(() => this.inner.register(owner, run, now));
  }

  unregister(owner: PeerId) {
    return this.#later(() => this.inner.unregister(owner));
  }

  find(owner: PeerId) {
    return this.#later(() => this.inner.find(owner));
  }

  deposit(owner: PeerId, mail: Deposit, mayHold: boolean, now: Millis) {
    return this.#later(() => this.inner.deposit(owner, mail, mayHold, now));
  }

  keep(owner: PeerId, number: number) {
    const kept = this.#later(() => this.inner.keep(owner, number));
    void kept.catch(() => {
      this.#withdrawn += 1;
    });
    return kept;
  }

  collect(owner: PeerId, after: number, room: CollectRoom, now: Millis) {
    return this.#later(() => this.inner.collect(owner, after, room, now));
  }

  acknowledge(owner: PeerId, tag: Uint8Array, ranges: readonly number[]) {
    return this.#later(() => this.inner.acknowledge(owner, tag, ranges));
  }

  expire(now: Millis) {
    return this.#later(() => this.inner.expire(now));
  }

  watch(onMail: (owner: PeerId) => void) {
    this.inner.watch(onMail);
  }

  counts() {
    const counts = this.inner.counts();
    return { ...counts, held: counts.held - this.#withdrawn, withdrawn: this.#withdrawn };
  }

  close() {
    return this.inner.close();
  }
}
