/**
 * The node's clock, its turns and its timer: the one place where a node touches real time. Tests give their own.
 */
import type { Millis } from "@egtp/wire";

export interface NodeSchedule {
  /** Whole milliseconds since the Unix epoch. Should not go back. */
  now(): Millis;
  /**
   * Runs a task when the present turn of the event loop has said what it has to say, before the loop waits again. Never
   * before it returned.
   */
  defer(task: () => void): void;
  /** Runs a task once after a delay. Returns what cancels it; too late, or twice, does no harm. */
  setTimer(task: () => void, delayMs: Millis): () => void;
}

/** A sleeping machine may stop the clock below; from this difference on, the wall clock is believed. */
const wallClockLeadMs: Millis = 60_000;
/** What `setTimeout` can wait at most, 24.8 days; a longer wait is cut into pieces. */
const maxTimeoutMs: Millis = 2 ** 31 - 1;

/**
 * Real time. The clock begins at the wall clock and then runs evenly: an adjusted wall clock expires nothing early and
 * holds nothing up. It is set forward when it fell behind, as after a sleep.
 */
export function systemSchedule(): NodeSchedule {
  let offset = Date.now() - performance.now();
  return {
    now: () => {
      const now = Math.floor(performance.now() + offset);
      const wall = Date.now();
      if (wall - now <= wallClockLeadMs) return now;
      offset += wall - now;
      return wall;
    },
    defer: systemDefer(),
    setTimer: (task, delayMs) => {
      let timer: unknown;
      const wait = (left: Millis): void => {
        timer = setTimeout(
          () => (left > maxTimeoutMs ? wait(left - maxTimeoutMs) : task()),
          Math.min(left, maxTimeoutMs),
        );
      };
      wait(Math.max(0, delayMs));
      return () => clearTimeout(timer as number);
    },
  };
}

/** Node.js has an end of turn; a browser has a message to itself, which comes sooner than its timers. */
export function systemDefer(): (task: () => void) => void {
  const { setImmediate } = globalThis as { setImmediate?: (task: () => void) => unknown };
  if (setImmediate !== undefined) return (task) => void setImmediate(task);
  const channel = new MessageChannel();
  const tasks: (() => void)[] = [];
  channel.port1.onmessage = () => tasks.shift()?.();
  return (task) => {
    tasks.push(task);
    channel.port2.postMessage(undefined);
  };
}
