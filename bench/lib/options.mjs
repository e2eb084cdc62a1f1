// The command line.

import { parseArgs } from "node:util";

export const peerNames = ["tcp", "tcp-joined", "tls", "tls-joined", "secret-stream", "zeromq", "libp2p", "egtp"];
const defaultSizes = "100,1k,16k,1m";

export const help = `Usage: node bench/run.mjs [options]

Measures EGTP and the alternatives in one run, between two processes over loopback, and prints the medians.

  --quick          one short pass, to see that everything works: about a minute
  --only NAMES     comma-separated, of: ${peerNames.join(", ")}
                   (ratios to raw TCP need tcp among them)
  --passes N       passes over all alternatives (3; with --quick 1)
  --sizes SIZES    message sizes, comma-separated, k and m for KiB and MiB (${defaultSizes})
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
        only: { type: "string" },
        passes: { type: "string" },
        sizes: { type: "string", default: defaultSizes },
        json: { type: "string" },
        help: { type: "boolean", default: false },
      },
    }));
  } catch (error) {
    throw new UsageError(error.message);
  }
  const { quick, json } = values;
  return {
    help: values.help,
    quick,
    json,
    peers: readPeers(values.only),
    passes: readCount("--passes", values.passes ?? (quick ? "1" : "3")),
    sizes: values.sizes.split(",").map(readSize),
    seconds: quick ? 0.2 : 1,
    idlePeers: quick ? 100 : 400,
  };
}

function readPeers(text) {
  if (text === undefined) return peerNames;
  const chosen = text.split(",").map((name) => name.trim());
  for (const name of chosen) {
    if (!peerNames.includes(name))
      throw new UsageError(`--only: no peer ${JSON.stringify(name)}, there are ${peerNames.join(", ")}`);
  }
  return peerNames.filter((name) => chosen.includes(name));
}

function readCount(option, text) {
  if (!/^[1-9]\d{0,3}$/.test(text)) throw new UsageError(`${option}: ${JSON.stringify(text)} is not a count`);
  return Number(text);
}

function readSize(text) {
  const match = /^([1-9]\d{0,7})([km]?)$/i.exec(text.trim());
  if (match === null) throw new UsageError(`--sizes: ${JSON.stringify(text)} is not a size`);
  const size = Number(match[1]) * { "": 1, k: 1 << 10, m: 1 << 20 }[match[2].toLowerCase()];
  if (size > 8 << 20) throw new UsageError(`--sizes: ${JSON.stringify(text)} is more than 8 MiB`);
  return size;
}
