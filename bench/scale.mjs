#!/usr/bin/env node
// Relays that share their mailboxes in a NATS cluster, beside plain JetStream, in 1, 2 and 4 processes over three servers, three replicas:
//
// - relays: each passes mail along for owners at the next, hands over its own owners' mail, acknowledges it and has it taken out, through the
//   store that `egtp-relay --store nats` has. No peers, so neither their cryptography nor their links.
// - plain: each publishes into the stream of the next and consumes its own, by the library as it comes. A mail is kept by the quorum before it
//   counts as sent, 256 are under way, it is acknowledged by itself, and is taken out of the stream then, as it is there for one consumer only.
// - lean: plain, but the library makes no stack traces for what may fail.
//
// - whole: relays, in nodes with links and the service of a relay, whose peers are in processes of their own, which are not counted. What it
//   takes more than `relays` is for links, the cryptography of each hop and the service's messages.
//
// CPU is that of all threads of these processes, and of the servers beside it.

import { fork, spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { pathToFileURL } from "node:url";

const processCounts = [1, 2, 4];
const kinds = ["plain", "lean", "relays", "whole"];
const servers = 3;
const inFlight = 256;
const envelopeBytes = 1_024;
const ownersEach = 8;
const warmUpShare = 0.5;

// The packages of NATS as the relay has them: nothing needs to be installed.
const relay = createRequire(new URL("../packages/relay/package.json", import.meta.url));
const load = (name) => import(pathToFileURL(relay.resolve(name)).href);

// ---- The parent

async function main() {
  const isQuick = process.argv.includes("--quick");
  if (spawnSync("nats-server", ["--version"]).status !== 0) {
    console.error("nats-server is not installed: apt-get install nats-server");
    return 2;
  }
  const messages = isQuick ? 2_000 : 6_000;
  const passes = isQuick ? 1 : 3;
  const rows = [];
  for (let pass = 0; pass < passes; pass++) {
    for (const count of processCounts) {
      for (const kind of pass % 2 === 0 ? kinds : kinds.toReversed()) {
        rows.push({ count, kind, ...(await measure(kind, count, messages)) });
        console.error(`pass ${pass + 1}: ${count} ${kind}`);
      }
    }
  }
  const of = (count, kind, figure) =>
    median(rows.filter((row) => row.count === count && row.kind === kind).map(figure));
  const own = (row) => row.cpuUs;
  const server = (row) => row.serverUs;
  const all = (row) => row.cpuUs + row.serverUs;
  const cpu = [own, server, all];
  console.log("| processes | | messages/s | CPU per message | of nats-server | of both |");
  console.log("| --- | --- | --- | --- | --- | --- |");
  for (const count of processCounts) {
    for (const kind of kinds) {
      const rate = of(count, kind, (row) => row.rate).toFixed(0);
      console.log(
        `| ${count} | ${kind} | ${rate} | ${cpu.map((f) => `${of(count, kind, f).toFixed(0)} µs`).join(" | ")} |`,
      );
    }
    for (const kind of ["plain", "lean"]) {
      const ratios = cpu.map((f) => (of(count, "relays", f) / of(count, kind, f)).toFixed(2));
      console.log(`| ${count} | relays / ${kind} | | ${ratios.join(" | ")} |`);
    }
  }
  return 0;
}

async function measure(kind, count, messages) {
  const folder = mkdtempSync(join(tmpdir(), "egtp-scale-"));
  const cluster = [];
  const children = [];
  const places = [];
  try {
    cluster.push(...(await Promise.all(Array.from({ length: servers }, (_, n) => startServer(folder, n)))));
    const urls = cluster.map(({ url }) => url);
    for (let n = 0; n < count; n++) {
      const child = fork(import.meta.filename);
      children.push(child);
      child.send({ kind, n, count, messages, urls });
      // One after the other: the first makes what all share.
      places.push(await said(child));
    }
    const goOn = async () => {
      const answers = children.map(said);
      for (const child of children) child.send(places);
      return Promise.all(answers);
    };
    await goOn(); // they listen
    await goOn(); // warm
    const before = cluster.map(({ process: { pid } }) => cpuMsOf(pid));
    const reports = await goOn();
    const after = cluster.map(({ process: { pid } }) => cpuMsOf(pid));
    const all = messages * count;
    return {
      rate: all / (Math.max(...reports.map(({ ms }) => ms)) / 1_000),
      cpuUs: (1_000 * sum(reports.map(({ cpuMs }) => cpuMs))) / all,
      serverUs: (1_000 * (sum(after) - sum(before))) / all,
    };
  } finally {
    for (const child of children) child.kill();
    for (const { process: server } of cluster) server.kill("SIGKILL");
    rmSync(folder, { recursive: true, force: true });
  }
}

/** At a loopback address that is made from this process's ID, so that no port there can be taken. */
async function startServer(folder, n) {
  const { pid } = process;
  const host = `127.${64 + ((pid >> 16) & 63)}.${(pid >> 8) & 255}.${pid & 255}`;
  const address = (index, what) => `${host}:${21_000 + 3 * index + what}`;
  const routes = Array.from({ length: servers }, (_, other) => `nats://${address(other, 1)}`);
  const config = {
    server_name: `n${n}`,
    listen: address(n, 0),
    http: address(n, 2),
    jetstream: { store_dir: join(folder, `n${n}`) },
    cluster: { name: "scale", listen: address(n, 1), routes },
  };
  const path = join(folder, `n${n}.conf`);
  writeFileSync(path, JSON.stringify(config));
  const server = spawn("nats-server", ["-c", path], { stdio: "ignore" });
  const ended = new Promise((_, reject) => {
    server.once("exit", () => reject(new Error(`n${n} ended`)));
  });
  ended.catch(() => {});
  // It tells nobody of its own accord: one that comes late logs nothing of a leader that it finds.
  while (!(await knowsLeader(address(n, 2)))) await Promise.race([ended, pause(50)]);
  return { process: server, url: `nats://${address(n, 0)}` };
}

async function knowsLeader(monitor) {
  const read = (path) => fetch(`http://${monitor}/${path}`).catch(() => undefined);
  if (!(await read("healthz"))?.ok) return false;
  const report = await (await read("jsz"))?.json();
  return (report?.meta_cluster?.leader ?? "") !== "";
}

function said(child) {
  return new Promise((resolve, reject) => {
    child.once("message", resolve);
    child.once("exit", (code) => reject(new Error(`A process ended with ${code}`)));
  });
}

/** Of all its threads, as Linux tells it. */
function cpuMsOf(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1].split(" ");
  return 10 * (Number(fields[11]) + Number(fields[12]));
}

function sum(numbers) {
  return numbers.reduce((all, each) => all + each, 0);
}

function median(numbers) {
  return numbers.toSorted((a, b) => a - b)[numbers.length >> 1];
}

// ---- A child

function told() {
  return new Promise((resolve) => process.once("message", resolve));
}

async function work() {
  const task = await told();
  if (task.kind === "peers") return peers(task);
  const party = await { plain, lean: plain, relays, whole }[task.kind](task);
  process.send(party.place ?? "open");
  await party.listen(await told());
  process.send("listening");
  for (const messages of [Math.ceil(warmUpShare * task.messages), task.messages]) {
    await told();
    const [started, cpu] = [performance.now(), process.cpuUsage()];
    await Promise.all([party.got(messages), ...sendAll(messages, party.send)]);
    const { user, system } = process.cpuUsage(cpu);
    process.send({ ms: performance.now() - started, cpuMs: (user + system) / 1_000 });
  }
}

function sendAll(messages, send) {
  let next = 0;
  const worker = async () => {
    while (next < messages) await send(next++);
  };
  return Array.from({ length: inFlight }, worker);
}

/** Resolves when so many more were counted. */
class Counter {
  count = 0;
  #wanted = 0;
  #resolve = () => {};

  add(count) {
    this.count += count;
    if (this.count >= this.#wanted) this.#resolve();
  }

  more(count) {
    this.#wanted += count;
    return new Promise((resolve) => {
      this.#resolve = resolve;
      this.add(0);
    });
  }
}

async function plain({ kind, n, count, urls }) {
  const { connect } = await load("@nats-io/transport-node");
  const { jetstream, jetstreamManager } = await load("@nats-io/jetstream");
  const connection = await connect({ servers: urls, noAsyncTraces: kind === "lean" });
  const manager = await jetstreamManager(connection);
  const client = jetstream(connection);
  const stream = { name: `plain-${n}`, subjects: [`plain.${n}`], num_replicas: servers, retention: "workqueue" };
  await manager.streams.add(stream);
  await manager.consumers.add(`plain-${n}`, { durable_name: "all", ack_policy: "explicit", max_ack_pending: 10_000 });
  const counter = new Counter();
  const body = new Uint8Array(envelopeBytes);
  return {
    listen: async () => {
      const consumer = await client.consumers.get(`plain-${n}`, "all");
      await consumer.consume({
        callback: (message) => {
          message.ack();
          counter.add(1);
        },
      });
    },
    got: (messages) => counter.more(messages),
    send: (number) =>
      client.publish(`plain.${(n + 1) % count}`, body, { msgID: `${n}-${performance.now()}-${number}` }),
  };
}

async function openStore(urls) {
  const { NatsMailboxStore } = await import("../packages/relay/dist/nodejs/nats.js");
  const much = 1e6;
  const limits = { maxMessages: much, maxSenderMessages: much, maxBytes: 1e12, maxSenderBytes: 1e12 };
  return NatsMailboxStore.open({ servers: urls, replicas: servers, limits });
}

async function relays({ n, count, urls }) {
  const { peerIdFromTrustedBytes } = await import("../packages/wire/dist/index.js");
  const store = await openStore(urls);
  const ownersOf = (relayNumber) =>
    Array.from({ length: ownersEach }, (_, at) =>
      peerIdFromTrustedBytes(Uint8Array.from({ length: 32 }, (__, i) => (i === 0 ? at : i === 1 ? relayNumber : 7))),
    );
  const mine = ownersOf(n);
  const theirs = ownersOf((n + 1) % count);
  const [sender] = mine;
  const counter = new Counter();
  const room = { maxMessages: 256, maxBytes: 512 * 1024 };
  const states = new Map(mine.map((owner) => [owner, { cursor: 0, isBusy: false, hasMore: false, tag: undefined }]));
  // As a relay hands mail over to an owner that is connected and acknowledges at once.
  const pump = async (owner) => {
    const state = states.get(owner);
    state.hasMore = true;
    if (state.isBusy) return;
    state.isBusy = true;
    while (state.hasMore) {
      state.hasMore = false;
      const mails = await store.collect(owner, state.cursor, room, Date.now());
      if (mails.length === 0) continue;
      state.hasMore = true;
      state.cursor = mails.at(-1).number;
      const ranges = mails.flatMap(({ number }) => [number, number + 1]);
      await store.acknowledge(owner, state.tag, ranges);
      counter.add(mails.length);
    }
    state.isBusy = false;
  };
  store.watch((owner) => {
    if (states.has(owner)) void pump(owner);
  });
  return {
    listen: async () => {
      for (const owner of mine) {
        const { mailbox } = await store.register(owner, { id: `${n}`, isFirst: true }, Date.now());
        states.get(owner).tag = mailbox.tag.slice();
        await pump(owner);
      }
    },
    got: (messages) => counter.more(messages),
    send: async (number) => {
      const mail = { sender, isStranger: false, body: new Uint8Array(16 + envelopeBytes) };
      const { state } = await store.deposit(theirs[number % ownersEach], mail, false, Date.now());
      if (state !== "stored") throw new Error(`A mail was ${state}`);
    },
  };
}

// ---- A relay with everything, and its peers

const seeded = (n, kind, at) => Uint8Array.from({ length: 32 }, (_, i) => [n, kind, at][i] ?? 9);
const [relayKind, ownerKind, senderKind] = [1, 2, 3];

function rangesOf(numbers) {
  const ranges = [];
  for (const number of numbers.toSorted((a, b) => a - b)) {
    if (ranges.at(-1) === number) ranges[ranges.length - 1] = number + 1;
    else ranges.push(number, number + 1);
  }
  return ranges;
}

async function startNode(seed, listen, rest) {
  const { createNode, identityFromSeed } = await import("../packages/node/dist/index.js");
  const { tcp } = await import("../packages/node/dist/nodejs/tcp.js");
  const transports = [tcp(listen ? { host: "127.0.0.1", port: 0 } : { listen: false })];
  const node = await createNode({ identity: identityFromSeed(seed), transports, allowPrivateAddresses: true, ...rest });
  await node.start();
  return node;
}

async function whole({ n, count, urls }) {
  const { relayServer } = await import("../packages/relay/dist/server.js");
  const boundless = { messages: { burst: 1e9, perSecond: 1e9 }, bytes: { burst: 1e12, perSecond: 1e12 } };
  const limits = { registeredSender: boundless, stranger: boundless, strangers: boundless };
  const relay = relayServer({ store: await openStore(urls), limits });
  const node = await startNode(seeded(n, relayKind, 0), true, { parts: [relay], services: ["relay"] });
  const child = fork(import.meta.filename);
  child.send({ kind: "peers", n, count });
  await said(child);
  return {
    place: Buffer.from(node.contactRecord).toString("hex"),
    listen: (places) => {
      child.send(places);
      return said(child);
    },
    got: (messages) => {
      child.send(messages);
      return said(child);
    },
    // They send.
    send: async () => {},
  };
}

async function peers({ n, count }) {
  process.once("disconnect", () => process.exit());
  const { identityFromSeed } = await import("../packages/node/dist/index.js");
  const protocol = await import("../packages/relay/dist/protocol.js");
  const { peerIdToBytes } = await import("../packages/wire/dist/index.js");
  process.send("open");
  const places = (await told()).map((place) => Buffer.from(place, "hex"));
  const counter = new Counter();
  for (let at = 0; at < ownersEach; at++) {
    const node = await startNode(seeded(n, ownerKind, at), false, {});
    const relay = node.learn(places[n]);
    let got = [];
    node.handle(protocol.mailMessage, ({ body }) => {
      const { tag, number } = protocol.decodeMail(body);
      if (got.length === 0) {
        const mine = tag.slice();
        setImmediate(() => {
          const ranges = rangesOf(got);
          got = [];
          const body = protocol.encodeAcknowledgement({ tag: mine, ranges });
          void node.send(relay, protocol.acknowledgeMessage, body);
        });
      }
      got.push(number);
      counter.add(1);
    });
    const run = new Uint8Array(8).fill(1);
    await node.request(relay, protocol.registerRequest, { run, first: true, standby: false });
  }
  const sender = await startNode(seeded(n, senderKind, 0), false, {});
  const next = (n + 1) % count;
  const relay = sender.learn(places[next]);
  const theirs = Array.from({ length: ownersEach }, (_, at) =>
    peerIdToBytes(identityFromSeed(seeded(next, ownerKind, at)).peer),
  );
  const send = async (number) => {
    const body = protocol.encodePassAlong(theirs[number % ownersEach], new Uint8Array(envelopeBytes));
    const { state } = protocol.decodePassAlongStatus(
      await sender.request(relay, protocol.passAlongRequest, body),
      Date.now(),
    );
    if (state !== "stored") throw new Error(`A mail was ${state}`);
  };
  process.send("listening");
  for (;;) {
    const messages = await told();
    await Promise.all([counter.more(messages), ...sendAll(messages, send)]);
    process.send("done");
  }
}

if (process.send === undefined) process.exitCode = await main();
else await work();
