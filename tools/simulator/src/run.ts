/**
 * One run from one seed: peers, faults, crashes and an attacker, then quiet, then the books are checked against what the
 * specification promises. Everything that happens follows from the seed.
 */

import type { PeerId } from "@egtp/wire";
import { EventStorm } from "./clock.ts";
import { NonceReuse } from "./crypto.ts";
import { noFaults } from "./network.ts";
import type { Random } from "./random.ts";
import type { CrashKind, SimPeer } from "./sim-peer.ts";
import { type Violation, World, type WorldOptions } from "./world.ts";

export type Profile =
  /** Everything at once. */
  | "chaos"
  /** One side forgets everything while messages are in flight: what recovery costs. */
  | "loss"
  /** A settled network, and an attacker who replays, forges and misaddresses. */
  | "strangers";

export const profiles: readonly Profile[] = ["chaos", "loss", "strangers"];

export interface Report {
  readonly seed: number;
  readonly profile: Profile;
  readonly violations: readonly Violation[];
  readonly messages: number;
  readonly envelopes: number;
  readonly crashes: number;
  readonly handshakes: number;
  readonly log: readonly string[];
}

const secondMs = 1_000;
const hourMs = 3_600 * secondMs;
const messageLifeMs = 20 * hourMs;

export function run(seed: number, profile: Profile, options: WorldOptions): Report {
  const world = new World(seed, options);
  try {
    if (profile === "chaos") chaos(world);
    else if (profile === "loss") loss(world);
    else strangers(world);
  } catch (error) {
    if (error instanceof EventStorm) world.violate("P6", error.message);
    else if (error instanceof NonceReuse) world.violate("P3", error.message);
    else world.violate("crash", error instanceof Error ? (error.stack ?? error.message) : String(error));
  }
  return {
    seed,
    profile,
    violations: world.violations,
    messages: world.ledger.entries.length,
    envelopes: world.network.sent,
    crashes: world.crashes,
    handshakes: world.peers.reduce((sum, peer) => sum + (peer.endpoint?.mesgen.handshakes ?? 0), 0),
    log: world.lines,
  };
}

/** Up to half a day of difference between two clocks: first contacts assume them within one. */
function clockOffset(random: Random): number {
  return random.chance(0.4) ? 0 : (random.unit() - 0.5) * 11 * hourMs;
}

function chaos(world: World): void {
  const { random, clock, network } = world;
  const count = random.chance(0.7) ? 2 : 3;
  const old = random.chance(0.5);
  for (let i = 0; i < count; i++) {
    world.addPeer(clockOffset(random), old ? 90 * hourMs : random.unit() * 30 * hourMs, random.chance(0.3));
  }
  const severity = random.unit();
  network.faults = {
    loss: severity * 0.4 * random.unit(),
    repeat: 0.2 * random.unit(),
    reorder: 0.4 * random.unit(),
    lateness: 0.1 * random.unit(),
    latencyMs: 10 + random.unit() * 200,
  };
  const kinds: CrashKind[] = random.pick<CrashKind[]>([
    ["lost"],
    ["kept"],
    ["kept", "stopped"],
    ["lost", "kept", "stopped"],
    ["lost", "kept", "stopped", "rolled back"],
  ]);
  const until = 10 * secondMs + random.unit() * 200 * secondMs;
  const pace = 100 + random.unit() * 4 * secondMs;
  world.every(pace, until, () => {
    const from = random.pick(world.peers);
    const to = world.other(from);
    const burst = random.chance(0.05) ? 30 : 1 + random.below(3);
    for (let i = 0; i < burst; i++) {
      const size = random.chance(0.03) ? 20_000 + random.below(60_000) : 4 + random.below(300);
      from.send(to.id, size, random.chance(0.3), messageLifeMs);
    }
  });
  world.every(5 * secondMs + random.unit() * 40 * secondMs, until, () => {
    world.crash(random.pick(world.peers), random.pick(kinds));
  });
  world.every(3 * secondMs, until, () => {
    for (const peer of world.peers) peer.save();
  });
  world.every(2 * secondMs, until, () => {
    for (const peer of world.peers) network.collect(peer.id);
  });
  if (random.chance(0.4)) {
    world.every(20 * secondMs, until, () => random.pick(world.peers).setClock((random.unit() - 0.5) * 2 * hourMs));
  }
  if (random.chance(0.3)) {
    world.every(15 * secondMs, until, () => {
      const from = random.pick(world.peers);
      const direction = `${from.id} ${world.other(from).id}`;
      network.cut.add(direction);
      clock.after(random.unit() * 20 * secondMs, () => network.cut.delete(direction));
    });
  }
  if (random.chance(0.6)) world.every(500, until, () => attack(world));
  clock.runUntil(until);
  settleDown(world);
  converge(world);
}

/** Replays, mutates, misaddresses or reflects something that passed. */
export function attack(world: World): void {
  const { random, network } = world;
  if (network.recorded.length === 0) return;
  const { from, to, envelope, sentAt } = random.pick(network.recorded);
  const bytes = envelope.slice();
  let target: PeerId = to;
  switch (random.below(6)) {
    case 0:
      target = random.pick(world.peers).id;
      break;
    case 1:
      bytes[random.below(bytes.length)] = random.u32();
      break;
    case 2: {
      // Under another name.
      const name = random.pick(world.peers).identity.keys.publicKey;
      bytes.set(name, 2);
      break;
    }
    case 3:
      target = from;
      break;
    default:
  }
  world.log(() => `the attacker puts ${bytes.length} bytes before ${world.peers.find((p) => p.id === target)?.name}`);
  const peer = world.peers.find(({ id }) => id === target);
  peer?.arrive({ from, to: target, envelope: bytes, sentAt }, true);
}

/** No more faults: every message must end, and then nothing may stir. */
export function settleDown(world: World): void {
  const { clock, network } = world;
  network.faults = noFaults;
  network.cut.clear();
  const start = clock.now;
  world.every(2 * secondMs, start + 0.5 * hourMs, () => {
    for (const peer of world.peers) network.collect(peer.id);
  });
  clock.runUntil(start + 0.5 * hourMs);
  for (const entry of world.ledger.entries) {
    if (entry.orphaned || entry.outcome === "delivered") continue;
    const state = entry.handovers.length > 0 ? "was handed over, but its sender never heard of it" : "never arrived";
    world.violate("P1", `message ${entry.serial} ended as ${entry.outcome ?? "nothing"}: it ${state}`);
  }
  const before = network.sent;
  clock.runUntil(clock.now + hourMs);
  if (network.sent !== before) world.violate("P6", `${network.sent - before} envelopes without application traffic`);
}

/** P8: two exchanges later every pair prefers the same session. */
export function converge(world: World): void {
  const { clock } = world;
  for (let exchange = 0; exchange < 2; exchange++) {
    for (const from of world.peers) {
      for (const to of world.peers) {
        if (from === to) continue;
        from.send(to.id, 10, true, hourMs);
        clock.runUntil(clock.now + 10 * secondMs);
      }
    }
  }
  for (const [i, a] of world.peers.entries()) {
    for (const b of world.peers.slice(i + 1)) {
      const ours = a.endpoint.mesgen.preferred(b.id, a.now());
      const theirs = b.endpoint.mesgen.preferred(a.id, b.now());
      if (ours !== theirs) world.violate("P8", `${a.name} prefers ${ours}, ${b.name} prefers ${theirs}`);
    }
  }
  if (world.ledger.entries.some((entry) => !entry.orphaned && entry.outcome !== "delivered")) {
    world.violate("P1", "an exchange on a quiet network did not end");
  }
  checkBounds(world);
}

/** P5 and R4: what the specification bounds. */
function checkBounds(world: World): void {
  for (const peer of world.peers) {
    const { maps } = peer.endpoint;
    let listed = 0;
    for (const { sessions, accepted } of maps.counterparties()) {
      listed += sessions.length;
      if (sessions.length > 10) world.violate("P5", `${peer.name} lists ${sessions.length} sessions with one peer`);
      if (accepted.length > 16) world.violate("P5", `${peer.name} remembers ${accepted.length} offers of one peer`);
      for (const { id } of sessions) {
        if (maps.findSession(id) === undefined) world.violate("R4", `${peer.name} lists a session that its map lacks`);
      }
    }
    if (listed !== maps.sessionCount) world.violate("R4", `${peer.name} has sessions in its map that no list names`);
  }
}

function loss(world: World): void {
  const { random, clock, network } = world;
  const latencyMs = 100;
  const old = random.chance(0.5);
  const [a, b] = [0, 1].map(() => world.addPeer(clockOffset(random), old ? 90 * hourMs : 0, false)) as [
    SimPeer,
    SimPeer,
  ];
  network.faults = { ...noFaults, latencyMs };
  for (let i = 0; i < 1 + random.below(4); i++) {
    const [from, to] = random.chance(0.5) ? [a, b] : [b, a];
    from.send(to.id, 20, random.chance(0.5), hourMs);
    clock.runUntil(clock.now + 20 * secondMs);
  }
  a.send(b.id, 20, true, hourMs);
  b.send(a.id, 20, true, hourMs);
  clock.runUntil(clock.now + 60 * secondMs);
  const [survivor, forgetter] = random.chance(0.5) ? [a, b] : [b, a];
  forgetter.crash("lost", secondMs);
  clock.runUntil(clock.now + 10 * secondMs);
  const handshakes = [a, b].map((peer) => peer.endpoint.mesgen.handshakes);
  const before = network.sent;
  const started = clock.now;
  const entries = Array.from({ length: 1 + random.below(6) }, () => {
    const entry = survivor.send(forgetter.id, 20, false, hourMs);
    if (random.chance(0.7)) clock.runUntil(clock.now + random.unit() * 0.3 * latencyMs);
    return entry;
  });
  clock.runUntil(clock.now + 60 * secondMs);
  for (const entry of entries) {
    const at = entry?.handovers[0]?.at;
    // There, back, and there again; each takes at most one and a half latencies. What needs an established session may have
    // to wait for the acceptance too.
    const trips = entry?.needsSession === true ? 5 : 3;
    const allowed = started + trips * 1.5 * latencyMs + 0.3 * 6 * latencyMs;
    if (at === undefined) world.violate("P7", "a message did not arrive");
    else if (at > allowed)
      world.violate("P7", `a message took ${(at - started).toFixed(0)} ms at ${latencyMs} ms latency`);
  }
  // An offer, or its acceptance, is one half each; a stale one is read in vain once.
  for (const [i, peer] of [a, b].entries()) {
    const made = peer.endpoint.mesgen.handshakes - (handshakes[i] as number);
    if (made > 4) world.violate("P7", `${peer.name} computed ${made} handshake halves`);
  }
  if (network.sent - before > 12 + 2 * entries.length)
    world.violate("P7", `${network.sent - before} envelopes for one recovery`);
  settleDown(world);
  converge(world);
}

function strangers(world: World): void {
  const { random, clock } = world;
  for (let i = 0; i < 3; i++) world.addPeer(clockOffset(random), random.chance(0.5) ? 90 * hourMs : 0, false);
  const until = clock.now + 60 * secondMs;
  world.every(2 * secondMs, until, () => {
    const from = random.pick(world.peers);
    from.send(world.other(from).id, 20, random.chance(0.5), hourMs);
  });
  if (random.chance(0.7)) clock.after(20 * secondMs, () => world.crash(random.pick(world.peers), "lost"));
  if (random.chance(0.5)) clock.after(35 * secondMs, () => world.crash(random.pick(world.peers), "kept"));
  clock.runUntil(until);
  settleDown(world);
  converge(world);
  clock.runUntil(clock.now + hourMs);

  const standing = (): string =>
    JSON.stringify(world.peers.map((peer) => world.peers.map(({ id }) => peer.endpoint.mesgen.sessions(id))));
  const before = standing();
  const pendings = (): number =>
    world.peers.reduce((sum, { endpoint }) => {
      const pending = [...endpoint.maps.counterparties()].filter(
        (counterparty) => counterparty.pending !== undefined && world.peers.some(({ id }) => id === counterparty.peer),
      );
      return sum + pending.length;
    }, 0);
  const offers = pendings();
  const handed = world.ledger.entries.reduce((sum, entry) => sum + entry.handovers.length, 0);
  world.network.forgetLost();
  for (let i = 0; i < 20; i++) {
    attack(world);
    clock.runUntil(clock.now + secondMs + random.unit() * 30 * secondMs);
  }
  clock.runUntil(clock.now + hourMs);
  if (standing() !== before) world.violate("P10", "strangers changed session lists, their order or sending keys");
  if (pendings() !== offers) world.violate("P10", "strangers caused an offer between peers that share a session");
  const now = world.ledger.entries.reduce((sum, entry) => sum + entry.handovers.length, 0);
  if (now !== handed) world.violate("P2", "an attacker delivered something");
}
