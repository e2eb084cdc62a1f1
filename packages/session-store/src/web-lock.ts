/**
 * One tab or worker of an origin at a time: a Web Lock, which the browser gives free at the very moment its holder is gone.
 */

/** A page that is loaded again asks a moment before the browser has put away the one before it. */
const lockWaitMs = 1_000;

/** Whether there are Web Locks here: browsers have them on pages that came by https:, or from localhost. */
export function hasWebLocks(): boolean {
  return globalThis.navigator?.locks !== undefined;
}

/**
 * Takes a lock for as long as this page or worker lives.
 *
 * @param name - Within the origin.
 * @returns What gives it free, and resolves when others can take it; `undefined` when someone holds it.
 * @throws What the browser has against it.
 */
export function takeWebLock(name: string): Promise<(() => Promise<void>) | undefined> {
  return new Promise((resolve, reject) => {
    const signal = AbortSignal.timeout(lockWaitMs);
    const held = globalThis.navigator.locks.request(name, { signal }, () => {
      return new Promise<void>((release) => {
        resolve(async () => {
          release();
          await held;
        });
      });
    });
    held.catch((error: unknown) => (signal.aborted ? resolve(undefined) : reject(error)));
  });
}
