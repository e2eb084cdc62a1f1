/** What became of a batch, as it lies on the disks of its two peers. */
import { expect } from "vitest";
import type { Effect } from "../src/effects-log.ts";
import type { Tally } from "../src/orders.ts";
import type { Peer } from "./peer.ts";

export interface Account {
  /** Messages that have their effect. */
  readonly handled: number;
  /** The numbers of those that have none, and of those that have two: there must be none of either. */
  readonly lost: readonly number[];
  readonly twice: readonly number[];
  /** Handed over again, under the same ID: it had its effect, and its receipt was lost with a process. */
  readonly again: number;
  /** How often a message came after one that was sent later. */
  readonly late: number;
}

/**
 * Counts on the disk of the recipient, and makes sure that nothing is lost and everything happened once.
 *
 * @param count - So many were sent.
 */
export function account(recipient: Peer, batch: string, count: number): Account {
  const found = read(recipient, batch, count);
  expect(found).toMatchObject({ handled: count, lost: [], twice: [] });
  return found;
}

/** How many of a batch have their effect by now. */
export function handledOf(recipient: Peer, batch: string): number {
  return read(recipient, batch, 0).handled;
}

/** Makes sure that nothing came after what was sent later. */
export function expectOrder({ late }: Pick<Account, "late">): void {
  expect(late).toBe(0);
}

/** Makes sure how the sends of a batch ended. */
export function expectTally(tally: Tally, expected: Tally): void {
  expect(tally).toEqual(expected);
}

function read(recipient: Peer, batch: string, count: number): Account {
  const all = recipient.effects().filter((effect) => effect.batch === batch);
  const effects = all.filter(({ isAgain }) => !isAgain);
  const times = new Map<number, number>();
  for (const { n } of effects) times.set(n, (times.get(n) ?? 0) + 1);
  return {
    handled: times.size,
    lost: Array.from({ length: count }, (_, n) => n).filter((n) => !times.has(n)),
    twice: [...times].filter(([, so]) => so > 1).map(([n]) => n),
    again: all.length - effects.length,
    late: lateOnes(effects),
  };
}

function lateOnes(effects: readonly Effect[]): number {
  let late = 0;
  let highest = -1;
  for (const { n } of effects) {
    if (n < highest) late += 1;
    highest = Math.max(highest, n);
  }
  return late;
}
