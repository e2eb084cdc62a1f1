/**
 * The clock of the transports: where their time limits come from, and the only place that touches the real one. A node's
 * schedule will do as well.
 */

export interface TransportClock {
  /** Milliseconds from any fixed instant; does not go back. */
  now(): number;
  /** Runs a task once after a delay. Returns what cancels it; too late, or twice, does no harm. */
  setTimer(task: () => void, delayMs: number): () => void;
}

/** What `setTimeout` can wait at most; a limit beyond 24 days is as good as none. */
const maxTimeoutMs = 2 ** 31 - 1;

/** Real time. Its timers do not keep a process running: the sockets they watch do. */
export const systemClock: TransportClock = {
  now: () => performance.now(),
  setTimer: (task, delayMs) => {
    const timer: unknown = setTimeout(task, Math.min(delayMs, maxTimeoutMs));
    if (isNodeTimer(timer)) timer.unref();
    return () => clearTimeout(timer as number);
  },
};

/** Node.js has objects for timers, browsers have numbers. */
function isNodeTimer(timer: unknown): timer is { unref(): void } {
  return typeof timer === "object" && timer !== null && "unref" in timer;
}
