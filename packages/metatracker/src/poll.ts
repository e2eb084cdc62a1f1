/**
 * Asks several peers the same at once, and knows when enough of them have answered: the slow, the silent and those that
 * are gone hold nobody up.
 *
 * The first `width` are asked. In place of each that fails the next is asked. It is over when the answers are enough, or
 * when nobody is left who could give another.
 */
import type { NodeSchedule } from "@egtp/node";
import type { Millis, PeerId } from "@egtp/wire";
import type { MetatrackerFailure } from "./errors.ts";

export interface PollOptions<T> {
  /** Whom to ask, in order. */
  readonly peers: readonly PeerId[];
  /** How many answers are wanted. */
  readonly width: number;
  /** How many may be asked in all. */
  readonly maxAsked: number;
  /** Rejects when there is no usable answer. */
  readonly ask: (peer: PeerId, signal: AbortSignal) => Promise<T>;
  /** @param isLate - Patience is over. */
  readonly isEnough: (answers: readonly T[], isLate: boolean) => boolean;
  /** How long to wait for answers that would be better to have. */
  readonly patienceMs: Millis;
  readonly schedule: NodeSchedule;
  /** Gives everything up. */
  readonly signal: AbortSignal;
}

export interface PollResult<T> {
  readonly answers: readonly T[];
  readonly failures: readonly MetatrackerFailure[];
}

/** Those that are still asked when it is over go on; their answers come too late. Rejects only when it is given up. */
export function poll<T>(options: PollOptions<T>): Promise<PollResult<T>> {
  const { peers, width, maxAsked, ask, isEnough, patienceMs, schedule, signal } = options;
  return new Promise((resolve, reject) => {
    const answers: T[] = [];
    const failures: MetatrackerFailure[] = [];
    let asked = 0;
    let waiting = 0;
    let isLate = false;
    let isOver = false;
    const finish = (settle: () => void): void => {
      if (isOver) return;
      isOver = true;
      cancelTimer();
      signal.removeEventListener("abort", onAbort);
      settle();
    };
    const onAbort = (): void => finish(() => reject(signal.reason));
    const judge = (): void => {
      if (waiting === 0 || isEnough(answers, isLate)) finish(() => resolve({ answers, failures }));
    };
    const askNext = (): void => {
      const peer = peers[asked];
      if (peer === undefined || asked >= maxAsked || isOver) return;
      asked += 1;
      waiting += 1;
      ask(peer, signal).then(
        (answer) => {
          waiting -= 1;
          if (isOver) return;
          answers.push(answer);
          judge();
        },
        (error: unknown) => {
          waiting -= 1;
          if (isOver) return;
          failures.push({ metatracker: peer, error });
          askNext();
          judge();
        },
      );
    };
    const cancelTimer = schedule.setTimer(() => {
      isLate = true;
      judge();
    }, patienceMs);
    signal.addEventListener("abort", onAbort);
    if (signal.aborted) return onAbort();
    for (let i = 0; i < width; i += 1) askNext();
    judge();
  });
}
