/**
 * Sets of numbers as flat ascending arrays of pairs [from, to) with gaps between, as receipts and handled marks hold
 * them. Nearly always numbers come in order, so the last pair is tried first.
 */

/** Adds [from, to) in place. */
export function addRange(ranges: number[], from: number, to: number): void {
  const last = ranges.length - 1;
  if (last < 0 || from > ranges[last]!) {
    ranges.push(from, to);
    return;
  }
  if (from === ranges[last]!) {
    ranges[last] = to;
    return;
  }
  // `first`: the first pair that ends at or after `from`; `next`: the first that begins after `to`.
  const first = pairEndingAtOrAfter(ranges, from);
  let next = first;
  let start = from;
  let end = to;
  while (next < ranges.length && ranges[next]! <= to) {
    if (ranges[next]! < start) start = ranges[next]!;
    if (ranges[next + 1]! > end) end = ranges[next + 1]!;
    next += 2;
  }
  if (next === first + 2) {
    ranges[first] = start;
    ranges[first + 1] = end;
  } else {
    ranges.splice(first, next - first, start, end);
  }
}

export function includesNumber(ranges: readonly number[], number: number): boolean {
  const at = pairEndingAtOrAfter(ranges, number + 1);
  return at < ranges.length && ranges[at]! <= number;
}

/** Takes away everything below `base`, in place. */
export function dropBelow(ranges: number[], base: number): void {
  const at = ranges.length > 0 && ranges[1]! > base ? 0 : pairEndingAtOrAfter(ranges, base + 1);
  if (at > 0) ranges.splice(0, at);
  if (ranges.length > 0 && ranges[0]! < base) ranges[0] = base;
}

/**
 * The part of `ranges` within [from, to), at most `maxPairs` pairs.
 *
 * @returns A new array.
 */
export function clipRanges(ranges: readonly number[], from: number, to: number, maxPairs: number): number[] {
  const clipped: number[] = [];
  for (let i = pairEndingAtOrAfter(ranges, from + 1); i < ranges.length && clipped.length < 2 * maxPairs; i += 2) {
    if (ranges[i]! >= to) break;
    clipped.push(Math.max(from, ranges[i]!), Math.min(to, ranges[i + 1]!));
  }
  return clipped;
}

/** What is in `ranges` and not in `taken`, in a new array. */
export function subtractRanges(ranges: readonly number[], taken: readonly number[]): number[] {
  const rest: number[] = [];
  let t = 0;
  for (let i = 0; i < ranges.length; i += 2) {
    let from = ranges[i]!;
    const to = ranges[i + 1]!;
    while (t < taken.length && taken[t + 1]! <= from) t += 2;
    for (let k = t; k < taken.length && taken[k]! < to; k += 2) {
      if (taken[k]! > from) rest.push(from, taken[k]!);
      from = Math.max(from, taken[k + 1]!);
    }
    if (from < to) rest.push(from, to);
  }
  return rest;
}

/** The index of the first pair whose end is `number` or above; the length when there is none. */
function pairEndingAtOrAfter(ranges: readonly number[], number: number): number {
  let low = 0;
  let high = ranges.length >>> 1;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (ranges[2 * middle + 1]! < number) low = middle + 1;
    else high = middle;
  }
  return 2 * low;
}
