// From the figures of each pass to medians and ratios. A ratio is taken within a pass, and then its median over the
// passes: the machine's mood is the same on both sides of it.

const moreIsBetter = new Set(["perSecond", "megabytesPerSecond", "collectedPerSecond"]);

/** @param results - results[peer][measure][pass] is an object of numbers, or undefined where the measure failed. */
export function summarize(results) {
  const summary = {};
  for (const [peer, measures] of Object.entries(results)) {
    summary[peer] = {};
    for (const [measure, passes] of Object.entries(measures)) {
      summary[peer][measure] = {};
      for (const field of fieldsOf(passes)) {
        const values = passes.filter(Boolean).map((figures) => figures[field]);
        if (!values.every(Number.isFinite)) continue; // the system does not tell
        const timesTcp = ratio(passes, results.tcp?.[measure], field);
        summary[peer][measure][field] = {
          median: median(values),
          min: Math.min(...values),
          max: Math.max(...values),
          timesTcp,
        };
      }
    }
  }
  return summary;
}

/** How many times better EGTP does than the others of each group: above 1 it is ahead, in rates as in times and memory. */
export function compareGroups(results, groups) {
  const ahead = {};
  for (const { ours, peers } of groups) {
    if (!peers.includes(ours)) continue;
    for (const other of peers.filter((name) => name !== ours)) ahead[other] ??= compare(results, ours, other);
  }
  return Object.keys(ahead).length > 0 ? ahead : undefined;
}

function compare(results, ours, other) {
  const ahead = {};
  for (const [measure, passes] of Object.entries(results[ours])) {
    const theirs = results[other][measure];
    if (theirs === undefined) continue;
    ahead[measure] = {};
    for (const field of fieldsOf(passes)) {
      const value = moreIsBetter.has(field) ? ratio(passes, theirs, field) : ratio(theirs, passes, field);
      if (value !== undefined) ahead[measure][field] = value;
    }
  }
  return ahead;
}

function ratio(passes, others, field) {
  if (passes === undefined || others === undefined) return undefined;
  const quotients = [];
  passes.forEach((figures, pass) => {
    const other = others[pass];
    if (figures && other && other[field] > 0) quotients.push(figures[field] / other[field]);
  });
  return median(quotients);
}

function median(values) {
  if (values.length === 0) return undefined;
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

function fieldsOf(passes) {
  return Object.keys(passes.find(Boolean) ?? {});
}
