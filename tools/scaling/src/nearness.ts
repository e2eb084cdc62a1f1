/** Where records would lie, and which ones move when a metatracker joins or leaves: asked of the code that decides it in every client. */
import { createHash } from "node:crypto";
import { orderByNearness } from "@egtp/metatracker";
import { type PeerId, peerIdFromTrustedBytes } from "@egtp/wire";

/** IDs that anybody can make again. @param name - Others for each. */
export function idsOf(name: string, count: number): PeerId[] {
  return Array.from({ length: count }, (_, n) =>
    peerIdFromTrustedBytes(new Uint8Array(createHash("sha256").update(`${name} ${n}`).digest())),
  );
}

/** Which metatrackers keep the record of each peer. */
export type Placement = readonly (readonly PeerId[])[];

/** @param onPlaced - Called after each peer: with a hundred metatrackers it takes seconds. */
export function place(
  peers: readonly PeerId[],
  metatrackers: readonly PeerId[],
  copies: number,
  onPlaced?: () => void,
): Placement {
  return peers.map((peer) => {
    const kept = orderByNearness(peer, metatrackers).slice(0, copies);
    onPlaced?.();
    return kept;
  });
}

export interface Spread {
  /** Records on the metatracker that has the fewest, and the most, beside the mean. */
  readonly least: number;
  readonly most: number;
  /**
   * How far the loads differ from each other beside what chance alone does, which is 1: then a hundred million records spread as
   * evenly as chance makes them, by `chancePercent` of the mean.
   */
  readonly besideChance: number;
}

export function spreadOf(placement: Placement, metatrackers: readonly PeerId[]): Spread {
  const loads = new Map(metatrackers.map((id) => [id, 0]));
  for (const id of placement.flat()) loads.set(id, loads.get(id)! + 1);
  const all = [...loads.values()];
  const copies = placement[0]!.length;
  const share = copies / metatrackers.length;
  const mean = placement.length * share;
  const chance = placement.length * share * (1 - share);
  const variance = all.reduce((sum, load) => sum + (load - mean) ** 2, 0) / all.length;
  return {
    least: Math.min(...all) / mean,
    most: Math.max(...all) / mean,
    besideChance: chance === 0 ? 1 : variance / chance,
  };
}

/** The standard deviation of a metatracker's load by chance alone, in percent of the mean. */
export function chancePercent(peers: number, metatrackers: number, copies: number): number {
  const share = copies / metatrackers;
  return 100 * Math.sqrt((1 - share) / (peers * share));
}

export interface Move {
  /** Of all copies, those that lie elsewhere afterwards. */
  readonly moved: number;
  /** Of all peers, those whose record whoever knows only the former metatrackers finds at a majority of those that it asks. */
  readonly stillFound: number;
}

export function moveOf(before: Placement, after: Placement): Move {
  let moved = 0;
  let found = 0;
  for (const [n, former] of before.entries()) {
    const stayed = after[n]!.filter((id) => former.includes(id)).length;
    moved += former.length - stayed;
    if (2 * stayed > former.length) found += 1;
  }
  return { moved: moved / (before.length * before[0]!.length), stillFound: found / before.length };
}
