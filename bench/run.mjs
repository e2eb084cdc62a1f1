#!/usr/bin/env node
// The benchmark: installs the alternatives once, measures all in turn, pass after pass, and prints tables or JSON.

import { existsSync, readFileSync, writeFileSync } from "node:fs";
import os from "node:os";
// "pnpm bench" compiles the workspace first.
import { Progress } from "../tools/terminal/dist/progress.js";
import { installOnce } from "./lib/install.mjs";
import { listMeasures } from "./lib/measures.mjs";
import { help, readOptions, UsageError } from "./lib/options.mjs";
import { compareGroups, summarize } from "./lib/summary.mjs";
import { formatTables } from "./lib/tables.mjs";
import { findCores, Team } from "./lib/team.mjs";

const started = Date.now();
const running = new Map(); // peer name -> Team

const bar = new Progress();
let measuresDone = 0;
let measuresInAll = 0;

function progress(text) {
  bar.clear();
  process.stderr.write(`${`${((Date.now() - started) / 1000).toFixed(0)} s`.padStart(6)}  ${text}\n`);
}

async function main() {
  const options = readOptions(process.argv.slice(2));
  if (options.help) {
    process.stdout.write(help);
    return 0;
  }
  installOnce(import.meta.dirname, () =>
    progress("installing the alternatives into bench/node_modules (about 95 MB, once)"),
  );
  const { peers, leftOut } = await findPeers(options);
  const groups = options.groups
    .map((group) => ({ ...group, peers: group.peers.filter((name) => peers.has(name)) }))
    .filter((group) => group.peers.length > 0);

  const cores = findCores();
  const results = Object.fromEntries([...peers.keys()].map((name) => [name, {}]));
  const failures = []; // failed for good
  const retries = []; // failed at first
  measuresInAll =
    options.passes * groups.reduce((sum, group) => sum + group.peers.length * listMeasures(group, options).length, 0);
  for (let pass = 0; pass < options.passes; pass++) {
    try {
      for (const group of groups) await runPass(group, { pass, options, peers, cores, results, failures, retries });
    } finally {
      await stopAll();
    }
  }

  const report = {
    startedAt: new Date(started).toISOString(),
    machine: {
      cpu: os.cpus()[0]?.model,
      cores: os.cpus().length,
      platform: `${process.platform} ${os.release()}`,
      pinnedTo: cores,
    },
    versions: { node: process.versions.node, openssl: process.versions.openssl },
    options: {
      groups,
      passes: options.passes,
      seconds: options.seconds,
      idlePeers: options.idlePeers,
      mailboxMessages: options.mailboxMessages,
      publishedPeers: options.publishedPeers,
    },
    peers: Object.fromEntries([...peers].map(([name, peer]) => [name, describe(peer)])),
    passes: results,
    summary: summarize(results),
    ahead: compareGroups(results, groups),
    leftOut,
    failures,
    retries,
  };
  bar.clear();
  print(report, groups, options);
  return failures.length === 0 ? 0 : 1;
}

/** The alternatives that can run here. One that needs a program that is missing is left out, and that is said. */
async function findPeers({ groups }) {
  const peers = new Map();
  const leftOut = [];
  for (const name of new Set(groups.flatMap((group) => group.peers))) {
    const peer = await import(`./peers/${name}.mjs`);
    const missing = peer.findMissing?.();
    if (missing === undefined) peers.set(name, peer);
    else leftOut.push({ peer: name, reason: missing });
  }
  for (const peer of peers.values()) await peer.checkBuilt?.();
  for (const { peer, reason } of leftOut) progress(`${peer} is left out: ${reason}`);
  return { peers, leftOut };
}

/** One measure after the other, each of all peers in turn, so that what is compared was taken close in time. */
async function runPass(group, { pass, options, peers, cores, results, failures, retries }) {
  const names = rotate(group.peers, pass);
  for (const measure of listMeasures(group, options)) {
    if (measure.fresh) await stopAll();
    for (const name of names) {
      const peer = peers.get(name);
      if (measure.shared && peer.variantOf !== undefined) {
        measuresDone += 1;
        continue;
      }
      results[name][measure.key] ??= [];
      const figures = results[name][measure.key];
      const title = `pass ${pass + 1} of ${options.passes}: ${measure.title}, ${name}`;
      if (bar.isLive) bar.tell(title, measuresDone / measuresInAll);
      else progress(title);
      const outcome = await measureTwice(measure, name, peer, cores);
      measuresDone += 1;
      figures[pass] = outcome.figures ?? null;
      for (const error of outcome.errors) {
        const entry = { pass: pass + 1, peer: name, measure: measure.key, error: error.message };
        (outcome.figures === undefined ? failures : retries).push(entry);
      }
    }
  }
}

/** A measure that fails is tried once more, with processes started anew: some libraries hang now and then. */
async function measureTwice(measure, name, peer, cores) {
  const errors = [];
  while (errors.length < 2) {
    try {
      if (!running.has(name)) running.set(name, await Team.start(name, cores));
      return { figures: await measure.run(running.get(name), peer), errors };
    } catch (error) {
      progress(`  failed: ${error.message}`);
      errors.push(error);
      await stop(name);
    }
  }
  return { errors };
}

function rotate(names, by) {
  const at = by % names.length;
  return [...names.slice(at), ...names.slice(0, at)];
}

async function stop(name) {
  const team = running.get(name);
  running.delete(name);
  await team?.stop();
}

async function stopAll() {
  await Promise.all([...running.keys()].map(stop));
}

function describe(peer) {
  return {
    title: peer.title,
    calls: peer.calls,
    version: peer.readVersion?.() ?? readVersion(peer),
    variantOf: peer.variantOf,
  };
}

function readVersion({ packageName, packageFile }) {
  const file = packageFile ?? (packageName && new URL(`./node_modules/${packageName}/package.json`, import.meta.url));
  return file === undefined || !existsSync(file) ? undefined : JSON.parse(readFileSync(file, "utf8")).version;
}

function print(report, groups, { json }) {
  if (json === "-") {
    process.stdout.write(`${JSON.stringify(report, null, 2)}\n`);
    return;
  }
  const { machine, versions } = report;
  const pinned = machine.pinnedTo.length > 0;
  const lines = [
    "",
    `Node ${versions.node}, OpenSSL ${versions.openssl}, ${machine.cores} x ${machine.cpu}, ${machine.platform}`,
    `Processes over loopback, ${describeCores(machine.pinnedTo)}; medians of ${report.options.passes} pass(es) of ${report.options.seconds} s a measure.`,
    "Machines are noisy: compare ratios and CPU per message, not single rates.",
    "",
    formatTables({ summary: report.summary, ahead: report.ahead, groups, pinned }),
    "",
    ...Object.entries(report.peers).map(
      ([name, { title, version }]) => `${name}: ${title}${version ? ` (${version})` : ""}`,
    ),
    "",
    ...report.leftOut.map(({ peer, reason }) => `left out: ${peer}: ${reason}`),
    ...report.retries.map(
      ({ pass, peer, measure, error }) => `tried again in pass ${pass}: ${peer}, ${measure}: ${error.split("\n")[0]}`,
    ),
    ...report.failures.map(
      ({ pass, peer, measure, error }) => `failed in pass ${pass}: ${peer}, ${measure}: ${error.split("\n")[0]}`,
    ),
  ];
  process.stdout.write(`${lines.join("\n").trimEnd()}\n`);
  if (json !== undefined) writeFileSync(json, `${JSON.stringify(report, null, 2)}\n`);
}

function describeCores(cores) {
  if (cores.length === 0) return "not pinned";
  return cores.length === 2 ? "one core each where there are two, two cores where there are three" : "one core each";
}

for (const [signal, code] of [
  ["SIGINT", 130],
  ["SIGTERM", 143],
]) {
  process.on(signal, () => {
    stopAll().finally(() => process.exit(code));
  });
}

try {
  process.exitCode = await main();
} catch (error) {
  await stopAll();
  process.stderr.write(`${error instanceof UsageError ? `${error.message}\n\n${help}` : `bench: ${error.message}\n`}`);
  process.exitCode = error instanceof UsageError ? 2 : 1;
}
