/** Finds few acts that show what all of them show: delta debugging (Zeller and Hildebrandt, 2002). */

/**
 * @param count - Acts of the run, numbered from 0.
 * @param isShown - Whether it is seen with these alone.
 * @param limitMs - Time after which what was found by then must do.
 * @returns Numbers, ascending. No single one of them can be left out, if there was time to find that out.
 */
export async function minimise(
  count: number,
  isShown: (acts: ReadonlySet<number>) => Promise<boolean>,
  limitMs: number,
): Promise<number[]> {
  const until = Date.now() + limitMs;
  let acts = Array.from({ length: count }, (_, i) => i);
  let pieces = 2;
  while (acts.length > 0 && Date.now() < until) {
    const size = Math.ceil(acts.length / pieces);
    let found: number[] | undefined;
    for (let from = 0; from < acts.length && found === undefined && Date.now() < until; from += size) {
      // From the end: what happened late is needed least, or most.
      const end = acts.length - from;
      const without = [...acts.slice(0, Math.max(0, end - size)), ...acts.slice(end)];
      if (await isShown(new Set(without))) found = without;
    }
    if (found !== undefined) {
      acts = found;
      pieces = Math.max(2, pieces - 1);
    } else if (size === 1) break;
    else pieces = Math.min(acts.length, 2 * pieces);
  }
  return acts;
}
