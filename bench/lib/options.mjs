// The command line.

import { parseArgs } from "node:util";
import { groupNames, groups, peerNames } from "./groups.mjs";

export const help = `Usage: node bench/run.mjs [options]

Measures EGTP and the alternatives in one run, between processes over loopback, and prints the medians.

  --quick          one short pass, to see that everything works: about two minutes
  --group GROUPS   comma-separated, of: ${groupNames.join(", ")}
  --only NAMES     comma-separated, of: ${peerNames.join(", ")}
                   (ratios to raw TCP need tcp among them)
  --passes N       passes over all alternatives (3; with --quick 1)
  --sizes SIZES    message sizes, comma-separated, k and m for KiB and MiB
                   (${groups.direct.sizes}; relay ${groups.relay.sizes}; store ${groups.store.sizes})
  --json FILE      write all figures to FILE, or to standard output in place of the tables with "-"
  --help           this text

Progress goes to standard error. Exit code 0: all measured; 1: something failed, the rest is printed; 2: wrong usage.
`;

export class UsageError extends Error {}

export function readOptions(args) {
  let values;
  try {
    ({ values } = parseArgs({
      args,
      options: {
        quick: { type: "boolean", default: false },
        group: { type: "string" },
        only: { type: "string" },
        passes: { type: "string" },
        sizes: { type: "string" },
        json: { type: "string" },
        help: { type: "boolean", default: false },
      },
    }));
  } catch (error) {
    throw new UsageError(error.message);
  }
  const { quick, json } = values;
  const only = readNames("--only", "peer", values.only, peerNames);
  return {
    help: values.help,
    quick,
    json,
    groups: readNames("--group", "group", values.group, groupNames)
      .map((name) => ({
        name,
        ours: groups[name].ours,
        peers: groups[name].peers.filter((peer) => only.includes(peer)),
        sizes: readSizes(values.sizes ?? groups[name].sizes),
      }))
      .filter(({ peers }) => peers.length > 0),
    passes: readCount("--passes", values.passes ?? (quick ? "1" : "3")),
    seconds: quick ? 0.2 : 1,
    idlePeers: quick ? 100 : 400,
    mailboxMessages: quick ? 2_000 : 10_000,
    publishedPeers: quick ? 200 : 1_000,
  };
}

function readNames(option, kind, text, known) {
  if (text === undefined) return known;
  const chosen = text.split(",").map((name) => name.trim());
  for (const name of chosen) {
    if (!known.includes(name))
      throw new UsageError(`${option}: no ${kind} ${JSON.stringify(name)}, there are ${known.join(", ")}`);
  }
  return known.filter((name) => chosen.includes(name));
}

function readCount(option, text) {
  if (!/^[1-9]\d{0,3}$/.test(text)) throw new UsageError(`${option}: ${JSON.stringify(text)} is not a count`);
  return Number(text);
}

function readSizes(text) {
  return text === "" ? [] : text.split(",").map(readSize);
}

function readSize(text) {
  const match = /^([1-9]\d{0,7})([km]?)$/i.exec(text.trim());
  if (match === null) throw new UsageError(`--sizes: ${JSON.stringify(text)} is not a size`);
  const size = Number(match[1]) * { "": 1, k: 1 << 10, m: 1 << 20 }[match[2].toLowerCase()];
  if (size > 8 << 20) throw new UsageError(`--sizes: ${JSON.stringify(text)} is more than 8 MiB`);
  return size;
}
