/** Judges a run of the demo by what lies on disk and what was counted: which of the promises held. */
import type { Sent } from "./demo-orders.ts";
import type { Effect } from "./effects-log.ts";

/** What one peer was to have done for the other, and what its log says. */
export interface Handled {
  /** Messages that were sent to it. */
  readonly expected: number;
  /** Of those, how many it did at least once. */
  readonly handled: number;
  /** Not done at all. */
  readonly lost: number;
  /** Done more than once. */
  readonly twice: number;
  /** Done without having been asked. */
  readonly unasked: number;
}

/** Compares a log with the effects that should stand in it, each once. */
export function compareEffects(expected: readonly string[], log: readonly Effect[]): Handled {
  const times = new Map<string, number>(expected.map((what) => [what, 0]));
  let unasked = 0;
  for (const { what } of log) {
    const before = times.get(what);
    if (before === undefined) unasked += 1;
    else times.set(what, before + 1);
  }
  const counts = [...times.values()];
  const handled = counts.filter((n) => n > 0).length;
  return {
    expected: expected.length,
    handled,
    lost: expected.length - handled,
    twice: counts.filter((n) => n > 1).length,
    unasked,
  };
}

/** The effects of a stream, with the question that came before it. */
export function effectsOf(plan: { readonly notes: number; readonly pings: number; readonly parts: number }): string[] {
  const of = (what: string, n: number): string[] => Array.from({ length: n }, (_, index) => `${what} ${index}`);
  return [
    ...of("note", plan.notes),
    ...of("ping", plan.pings + 1),
    ...of("part", plan.parts),
    ...of("end", plan.parts > 0 ? 1 : 0),
  ];
}

/** One direction of the story. */
export interface Direction {
  readonly from: string;
  readonly to: string;
  readonly sent: Sent;
  readonly handled: Handled;
}

/** What was not as promised, in words; nothing when all was. */
export function faultsOf(directions: readonly Direction[], file: { readonly hashes: readonly string[] }): string[] {
  const faults: string[] = [];
  for (const { from, to, sent, handled } of directions) {
    const { length } = sent.failures;
    if (length > 0) faults.push(`${length} messages of ${from} failed, the first: ${sent.failures[0]}`);
    if (sent.delivered + length !== sent.sent) faults.push(`${from} does not know how some messages ended`);
    if (handled.lost > 0) faults.push(`${handled.lost} messages of ${from} were lost`);
    if (handled.twice > 0) faults.push(`${handled.twice} messages of ${from} had their effect at ${to} more than once`);
    if (handled.unasked > 0) faults.push(`${handled.unasked} effects at ${to} nobody asked for`);
  }
  if (new Set(file.hashes).size !== 1) faults.push(`the file differs: SHA-256 ${file.hashes.join(", ")}`);
  return faults;
}
