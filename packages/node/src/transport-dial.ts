/** An attempt to connect, over whatever medium: its time limit, its signal, and that it ends once. */
import type { TransportClock } from "./transport-clock.ts";
import { TransportError, type TransportErrorCode } from "./transport-error.ts";
import type { TransportLimits } from "./transport-limits.ts";

/** How the one who connects says what came of it. Only the first word counts. */
export interface DialAttempt<T> {
  readonly succeed: (connection: T) => void;
  /** @param cause - Takes the place of the code when it is a {@link TransportError} itself. */
  readonly fail: (code: TransportErrorCode, cause?: unknown) => void;
}

export interface DialFacts {
  /** For the error. */
  readonly address: string;
  readonly signal: AbortSignal;
  readonly limits: TransportLimits;
  readonly clock: TransportClock;
}

/**
 * Tries to connect until it succeeds, fails, takes too long, or the signal gives it up.
 *
 * @param begin - Begins to connect, and returns what puts everything away when nothing comes of it. What it throws counts as
 *   a failure.
 * @throws {@link TransportError}
 */
export function attemptDial<T>(facts: DialFacts, begin: (attempt: DialAttempt<T>) => () => void): Promise<T> {
  const { address, signal, limits, clock } = facts;
  return new Promise((resolve, reject) => {
    if (signal.aborted) throw new TransportError("EGTP_DIAL_ABORTED", address, { cause: signal.reason });
    let state: "trying" | "connected" | "failed" = "trying";
    let putAway: (() => void) | undefined;
    const end = (outcome: "connected" | "failed"): boolean => {
      if (state !== "trying") return false;
      state = outcome;
      cancelTimer();
      signal.removeEventListener("abort", onAbort);
      return true;
    };
    const fail = (code: TransportErrorCode, cause?: unknown): void => {
      if (!end("failed")) return;
      putAway?.();
      reject(cause instanceof TransportError ? cause : new TransportError(code, address, { cause }));
    };
    const onAbort = (): void => fail("EGTP_DIAL_ABORTED", signal.reason);
    const cancelTimer = clock.setTimer(() => fail("EGTP_DIAL_TIMEOUT"), limits.dialMs);
    signal.addEventListener("abort", onAbort);
    try {
      putAway = begin({
        succeed: (connection) => {
          if (end("connected")) resolve(connection);
        },
        fail,
      });
    } catch (error) {
      fail("EGTP_DIAL_FAILED", error);
    }
    // It may have failed before it said how to put things away.
    if (hasFailed(state)) putAway?.();
  });
}

/** The compiler does not see that callbacks change it. */
function hasFailed(state: string): boolean {
  return state === "failed";
}
