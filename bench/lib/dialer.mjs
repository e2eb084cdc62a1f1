// The dialing process of one alternative: it connects, sends, asks, leaves mail, looks up, and takes the times. Started by
// team.mjs, which speaks to it over the process channel.

import { performance } from "node:perf_hooks";
import { serveCommands } from "./commands.mjs";
import { encodeConfirm, encodeEcho, readTotal } from "./signals.mjs";

const requestBytes = 100;
const minSamples = 200;
const maxContacts = 2000;
const minWarmRounds = 5;
const maxWarmRounds = 12;
const minWarmRoundSeconds = 0.1;
const loneWarmFactor = 3;

const peer = await import(`../peers/${process.argv[2]}.mjs`);
const held = [];
let material;
let server;
let address;
let dialer;
let connection;
let published;

async function connect(options) {
  ({ material, server, address } = options);
  dialer = await peer.createDialer(material, server);
  connection = await dialer.connect(address);
  await ask(connection);
}

/** Sends, asks the listener to confirm the total, and returns when it did. */
async function sendConfirmed(body, count) {
  await connection.sendMany(body, count);
  const total = readTotal(await connection.request(encodeConfirm(count)));
  if (total.messages !== count || total.bytes !== count * body.byteLength) {
    throw new Error(
      `sent ${count} messages of ${body.byteLength} bytes, ${total.messages} messages and ${total.bytes} bytes arrived`,
    );
  }
}

/**
 * Repeats short runs until they get no faster: by then both processes are compiled and their buffers have grown.
 *
 * @param run - Takes how many to do and returns the rate a second.
 * @param first - How many the first run does.
 * @param seconds - How long the measure will take.
 * @returns The best rate seen.
 */
async function warmUp(run, first, seconds) {
  const roundSeconds = Math.max(minWarmRoundSeconds, seconds / 3);
  let best = await run(first);
  for (let round = 0, calm = 0; round < minWarmRounds || (round < maxWarmRounds && calm < 2); round++) {
    const rate = await run(Math.max(first, Math.round(best * roundSeconds)));
    calm = rate < best * 1.1 ? calm + 1 : 0;
    best = Math.max(best, rate);
  }
  return best;
}

/** @returns How many messages of this size fill the time. */
async function chooseCount({ size, seconds }) {
  const body = new Uint8Array(size).fill(1);
  const rate = await warmUp(
    (count) => time(count, () => sendConfirmed(body, count)),
    size < 100_000 ? 200 : 4,
    seconds,
  );
  return Math.ceil(rate * seconds);
}

async function oneWay({ size, count }) {
  const body = new Uint8Array(size).fill(1);
  globalThis.gc();
  const cpu = process.cpuUsage();
  const started = performance.now();
  await sendConfirmed(body, count);
  const elapsed = performance.now() - started;
  return { seconds: elapsed / 1000, cpu: process.cpuUsage(cpu) };
}

async function loneRequests({ seconds }) {
  // Both processes share a core with their own compilers here: getting warm takes longer than elsewhere.
  await warmUp((count) => time(count, () => askMany(count, 1)), minSamples, loneWarmFactor * seconds);
  globalThis.gc();
  const samples = [];
  const end = performance.now() + seconds * 1000;
  for (let now = performance.now(); now < end || samples.length < minSamples; ) {
    await ask(connection);
    const after = performance.now();
    samples.push((after - now) * 1000);
    now = after;
  }
  samples.sort((a, b) => a - b);
  return { p50: percentile(samples, 0.5), p99: percentile(samples, 0.99), samples: samples.length };
}

async function openRequests({ seconds, open }) {
  const run = (count) => time(count, () => askMany(count, open));
  const count = Math.ceil((await warmUp(run, minSamples, seconds)) * seconds);
  globalThis.gc();
  return { perSecond: await run(count), requests: count };
}

function askMany(count, open) {
  return repeat(count, open, () => ask(connection));
}

async function firstContacts({ seconds, open }) {
  const first = 4 * open;
  const run = (count) => timeContacts(Math.min(count, maxContacts), open);
  const rate = await warmUp(run, first, seconds);
  const count = Math.min(maxContacts, Math.max(first, Math.round(rate * seconds)));
  return { perSecond: await run(count), contacts: count };
}

/** Each contact has a dialer of its own, made before the time runs: the listener has never heard of it. */
async function timeContacts(count, open) {
  const dialers = [];
  for (let i = 0; i < count; i++) dialers.push(await peer.createDialer(material, server));
  globalThis.gc();
  const closing = [];
  let next = 0;
  const loop = async () => {
    while (next < count) {
      const stranger = dialers[next++];
      const contact = await stranger.connect(address);
      await ask(contact);
      closing.push(contact.close().then(() => stranger.close()));
    }
  };
  const rate = await time(count, () => Promise.all(Array.from({ length: open }, loop)));
  await Promise.all(closing);
  return rate;
}

/** Connections that were used once and stay open. */
async function hold({ count }) {
  for (let i = 0; i < count; i++) {
    const stranger = await peer.createDialer(material, server);
    const contact = await stranger.connect(address);
    await ask(contact);
    held.push(contact);
  }
}

/** Leaves mail for somebody who is away, so much at a time, until all of it is acknowledged as stored. */
async function leaveMail({ server, address, size, count, open }) {
  const body = new Uint8Array(size).fill(1);
  const sender = await peer.createSender(server, address);
  globalThis.gc();
  const cpu = process.cpuUsage();
  const started = performance.now();
  await repeat(count, open, () => sender.leave(body));
  const seconds = (performance.now() - started) / 1000;
  return { seconds, cpu: process.cpuUsage(cpu) };
}

/** Makes so many peers known, to be looked up later. */
async function publish({ server, count }) {
  published = await peer.publish(server, count);
}

/** Looks up what was published, each peer once by each client, in which nothing is cached. */
async function lookUps({ server, seconds, open }) {
  const run = async (count) => {
    let elapsed = 0;
    for (let done = 0; done < count; done += published.length) elapsed += await lookUpAll(server, open, undefined);
    return (Math.ceil(count / published.length) * published.length) / elapsed;
  };
  const count = Math.ceil((await warmUp(run, published.length, seconds)) * seconds);
  globalThis.gc();
  return { perSecond: await run(count), lookUps: count };
}

async function loneLookUps({ server, seconds }) {
  const samples = [];
  await lookUpAll(server, 1, undefined);
  for (let elapsed = 0; elapsed < seconds; ) elapsed += await lookUpAll(server, 1, samples);
  samples.sort((a, b) => a - b);
  return { p50: percentile(samples, 0.5), p99: percentile(samples, 0.99), samples: samples.length };
}

/** @returns Seconds. */
async function lookUpAll(server, open, samples) {
  const client = await peer.createLookUpClient(server);
  const [first, ...rest] = published;
  await client.lookUp(first); // brings connection and session about
  const started = performance.now();
  await repeat(rest.length, open, async (at) => {
    const before = performance.now();
    await client.lookUp(rest[at]);
    samples?.push((performance.now() - before) * 1000);
  });
  const seconds = (performance.now() - started) / 1000;
  await client.close();
  return seconds;
}

/** Clients that a relay expects mail for, connected to it and otherwise idle. */
async function register({ server, count }) {
  for (let i = 0; i < count; i++) held.push(await peer.register(server));
}

/** Does something so many times, so many of them at once. */
async function repeat(count, open, act) {
  let next = 0;
  const loop = async () => {
    while (next < count) await act(next++);
  };
  await Promise.all(Array.from({ length: open }, loop));
}

async function ask(contact) {
  const reply = await contact.request(encodeEcho(requestBytes));
  if (reply.byteLength !== requestBytes) throw new Error(`asked ${requestBytes} bytes, ${reply.byteLength} came back`);
}

/** @returns How many a second. */
async function time(count, run) {
  const started = performance.now();
  await run();
  return (count / (performance.now() - started)) * 1000;
}

function percentile(sorted, share) {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
}

serveCommands({
  connect,
  chooseCount,
  oneWay,
  loneRequests,
  openRequests,
  firstContacts,
  hold,
  leaveMail,
  publish,
  lookUps,
  loneLookUps,
  register,
});
