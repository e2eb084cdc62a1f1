/**
 * A session store in a browser's IndexedDB. Everything in it is read once, at the opening; what the records mean, and
 * their checksums, are the business of {@link SessionMaps}.
 *
 * One tab or worker at a time has it open: a Web Lock stands for that, which the browser gives free at the very moment
 * its holder is gone, as the listening socket does for the store on disk. A write resolves when the browser says that it
 * is on the disk (`durability: "strict"`), since nobody tells a page whether the machine went down in between. What comes
 * while the disk is busy waits together for its next turn.
 */

import { deleteDB, type IDBPDatabase, openDB } from "idb";
import { StoreError } from "./errors.ts";
import type { SessionStore, StoreEntry } from "./session-store.ts";
import { hasWebLocks, takeWebLock } from "./web-lock.ts";

export { StoreError } from "./errors.ts";

const databasePrefix = "egtp-sessions:";
const table = "records";
/** Bytes are kept in memory of their own, without what a view would bring along. */
type Records = { [table]: { key: string; value: Uint8Array<ArrayBuffer> } };
type Database = IDBPDatabase<Records>;

/** Sessions in a browser, which outlive the tab: `await IndexedDbSessionStore.open("alice")`. */
export class IndexedDbSessionStore implements SessionStore {
  readonly #database: Database;
  readonly #release: () => Promise<void>;
  #loaded: (readonly [key: string, value: Uint8Array])[] | undefined;
  /** What waits for the transaction under way; bounded by whoever awaits what it writes. */
  #waiting: StoreEntry[] = [];
  #underWay: Promise<void> = Promise.resolve();
  /** The turn that will take what waits. */
  #next: Promise<void> | undefined;
  #closed: Promise<void> | undefined;

  /**
   * Opens the store of that name within this origin, which is made if needed.
   *
   * @param name - One for each identity.
   * @throws {@link StoreError} `EGTP_STORE_LOCKED` while another tab, or another store of this one, has it open;
   *   `EGTP_STORE_MISSING_PART` where the browser has no IndexedDB or no Web Locks; `EGTP_STORE_UNWRITABLE`.
   */
  static async open(name: string): Promise<IndexedDbSessionStore> {
    const release = await takeLock(name);
    let database: Database | undefined;
    try {
      database = await openDB<Records>(`${databasePrefix}${name}`, 1, {
        upgrade: (opened) => void opened.createObjectStore(table),
      });
      const { store, done } = database.transaction(table);
      const [keys, values] = await Promise.all([store.getAllKeys(), store.getAll(), done]);
      const loaded = keys.map((key, index) => [key, values[index]!] as const);
      return new IndexedDbSessionStore(database, release, loaded);
    } catch (error) {
      database?.close();
      await release();
      throw unwritable(`The sessions of ${name} cannot be opened.`, error);
    }
  }

  /**
   * Deletes the store of that name. Its peers heal at the next message, as after any loss.
   *
   * @throws {@link StoreError} as `open` does.
   */
  static async delete(name: string): Promise<void> {
    const release = await takeLock(name);
    try {
      await deleteDB(`${databasePrefix}${name}`);
    } catch (error) {
      throw unwritable(`The sessions of ${name} cannot be deleted.`, error);
    } finally {
      await release();
    }
  }

  private constructor(
    database: Database,
    release: () => Promise<void>,
    loaded: (readonly [key: string, value: Uint8Array])[],
  ) {
    this.#database = database;
    this.#release = release;
    this.#loaded = loaded;
  }

  /** What was there at the opening. */
  load(): Iterable<readonly [key: string, value: Uint8Array]> {
    const loaded = this.#loaded;
    if (loaded === undefined) throw new TypeError("The store was loaded before: it is read once");
    this.#loaded = undefined;
    return loaded;
  }

  async write(batch: readonly StoreEntry[]): Promise<void> {
    if (this.#closed !== undefined) {
      throw new StoreError("EGTP_STORE_CLOSED", "The sessions were written to after they were closed.", {
        hint: "Commit before closing; to go on, open the store again.",
      });
    }
    if (batch.length === 0) return this.#next ?? this.#underWay;
    this.#waiting.push(...batch);
    this.#next ??= this.#underWay.then(
      () => this.#turn(),
      () => this.#turn(),
    );
    return this.#next;
  }

  close(): Promise<void> {
    this.#loaded = undefined;
    this.#closed ??= this.#close();
    return this.#closed;
  }

  #turn(): Promise<void> {
    const batch = this.#waiting;
    this.#waiting = [];
    this.#next = undefined;
    this.#underWay = this.#keep(batch);
    return this.#underWay;
  }

  /** One transaction: whole or not at all. */
  async #keep(batch: readonly StoreEntry[]): Promise<void> {
    try {
      const { store, done } = this.#database.transaction(table, "readwrite", { durability: "strict" });
      const steps = batch.map(([key, value]) =>
        value === undefined ? store.delete(key) : store.put(Uint8Array.from(value), key),
      );
      await Promise.all([...steps, done]);
    } catch (error) {
      throw unwritable("The browser did not keep what was written.", error);
    }
  }

  async #close(): Promise<void> {
    await (this.#next ?? this.#underWay).catch(() => {}); // whoever wrote it is told
    this.#database.close();
    await this.#release();
  }
}

/** @returns What gives the lock of a store free, and resolves when others can take it. */
async function takeLock(name: string): Promise<() => Promise<void>> {
  if (!hasWebLocks() || globalThis.indexedDB === undefined) {
    throw new StoreError("EGTP_STORE_MISSING_PART", "There is no IndexedDB here, or there are no Web Locks.", {
      hint: "Serve the page by https:, or from localhost: browsers give Web Locks to no other. Elsewhere use another store.",
    });
  }
  const release = await takeWebLock(`${databasePrefix}${name}`).catch((error: unknown) => {
    throw unwritable(`The lock on the sessions of ${name} was refused.`, error);
  });
  if (release !== undefined) return release;
  throw new StoreError("EGTP_STORE_LOCKED", `Another tab has the sessions of ${name} open.`, {
    hint: "Use the tab that is open, close it, or give each tab an identity and a name of its own.",
  });
}

function unwritable(sentence: string, cause: unknown): StoreError {
  return new StoreError("EGTP_STORE_UNWRITABLE", sentence, {
    cause,
    hint:
      (cause as { name?: unknown } | undefined)?.name === "QuotaExceededError"
        ? "The browser gives this origin no more room: free some of it, or ask for more with navigator.storage.persist()."
        : "See the cause. Private windows and settings may forbid storage, and clearing a site's data ends what is open.",
  });
}
