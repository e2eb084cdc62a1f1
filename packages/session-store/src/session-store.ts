/**
 * What a driver implements: a small map from text to bytes that can be read once at start and written in batches.
 * It knows nothing of what the bytes mean. Everything else, the two maps, their bounds, encoding, versions and
 * checksums, is built above it once, in {@link SessionMaps}. A driver proves itself with the suite in
 * `@egtp/session-store/conformance`.
 */

/** One write: a value to keep under a key, or `undefined` to remove the key. A key stands in a batch at most once. */
export type StoreEntry = readonly [key: string, value: Uint8Array | undefined];

/** A place that keeps records across restarts. One process at a time has it open. */
export interface SessionStore {
  /**
   * True for a store whose content is never read again: then nothing is encoded for it, and `write` is not called.
   * Absent: false.
   */
  readonly forgets?: boolean;

  /**
   * Everything kept, in any order. Called once, before the first `write`.
   *
   * @returns Pairs whose values are borrowed: the reader copies what it keeps before it asks for the next pair.
   */
  load(): Iterable<readonly [key: string, value: Uint8Array]>;

  /**
   * Keeps a batch, whole or not at all. Batches take effect in the order of the calls, also when no one waits between.
   *
   * @param batch - Keys of at most `maxStoreKeyLength` printable ASCII characters. The caller changes neither the
   *   batch nor its values afterwards, so the store may hold on to them.
   * @returns `undefined` when it is done already; else a promise that resolves once this batch and all before it
   *   survive `kill -9` of this process, and rejects if this batch was not kept. It may throw instead of rejecting.
   */
  write(batch: readonly StoreEntry[]): Promise<void> | undefined;

  /** Waits for what was written, then gives the place free for others. Calling it twice does no harm. */
  close(): Promise<void>;
}
