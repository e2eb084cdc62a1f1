/**
 * A disk that keeps nothing before it was synced: what is written stays in memory for a few milliseconds, and whoever wrote it
 * waits. A process that is killed then loses what a machine loses whose power is cut, and not only what a process loses.
 */
import type { MailboxFile } from "@egtp/relay/lmdb";
import type { SessionStore, StoreEntry } from "@egtp/session-store";

type Batch = readonly StoreEntry[];

/** How long a turn of the disk takes. What is written meanwhile waits for the next one. */
const syncMs = 4;

class UnsyncedWrites {
  readonly #write: (batch: Batch) => Promise<void> | undefined;
  #waiting: Batch[] = [];
  #next: Promise<void> | undefined;
  #last: Promise<void> = Promise.resolve();

  /** @param write - To where it survives. */
  constructor(write: (batch: Batch) => Promise<void> | undefined) {
    this.#write = write;
  }

  write(batch: Batch): Promise<void> {
    this.#waiting.push(batch);
    this.#next ??= this.#last = this.#last.catch(() => {}).then(() => this.#sync());
    return this.#next;
  }

  /** Waits for all that was written; who wrote it hears whether it failed. */
  async idle(): Promise<void> {
    while (this.#waiting.length > 0) await this.#last.catch(() => {});
    await this.#last.catch(() => {});
  }

  async #sync(): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, syncMs));
    const batches = this.#waiting;
    this.#waiting = [];
    this.#next = undefined;
    for (const batch of batches) await this.#write(batch);
  }
}

export function unsyncedStore(store: SessionStore): SessionStore {
  const writes = new UnsyncedWrites((batch) => store.write(batch));
  return {
    load: () => store.load(),
    write: (batch) => writes.write(batch),
    close: async () => {
      await writes.idle();
      await store.close();
    },
  };
}

export function unsyncedFile(file: MailboxFile): MailboxFile {
  const writes = new UnsyncedWrites((batch) => file.write(batch));
  return {
    report: file.report,
    get: (key) => file.get(key),
    write: (batch) => writes.write(batch),
    close: async () => {
      await writes.idle();
      await file.close();
    },
  };
}
