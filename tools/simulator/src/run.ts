/**
 * One run from one seed: peers, faults, crashes and an attacker, then quiet, then the books are checked against what the
 * specification promises. Everything that happens follows from the seed.
 */

import { EventStorm } from "./clock.ts";
import { NonceReuse } from "./crypto.ts";
import { falsify } from "./falsify.ts";
import { ladder, noFaults, wayOf } from "./network.ts";
import type { Random } from "./random.ts";
import { type CrashKind, type SimPeer, slowestMs } from "./sim-peer.ts";
import { type Violation, World, type WorldOptions } from "./world.ts";

export type Profile =
  /** Everything at once. */
  | "chaos"
  /** One side forgets everything while messages are in flight: what recovery costs. */
  | "loss"
  /** Offers cross, again and again: two exchanges later both sides prefer the same session. */
  | "crossing"
  /** A settled network, and an attacker who replays, forges and misaddresses. */
  | "strangers";

export const profiles: readonly Profile[] = ["chaos", "loss", "crossing", "strangers"];

/** What a seed is run with: most seeds are spent where most can go wrong. */
export function coresProfile(seed: number): Profile {
  const rare: readonly (Profile | undefined)[] = ["loss", "strangers", "crossing"];
  return rare[seed % 8] ?? "chaos";
}

export interface Report {
  readonly seed: number;
  readonly profile: Profile;
  readonly violations: readonly Violation[];
  readonly messages: number;
  readonly envelopes: number;
  readonly crashes: number;
  readonly handshakes: number;
  /** How many there were; see {@link Script}. */
  readonly acts: number;
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
    else if (profile === "crossing") crossing(world);
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
    acts: world.script.count,
    handshakes: world.peers.reduce((sum, peer) => sum + (peer.endpoint?.mesgen.handshakes ?? 0), 0),
    log: world.lines,
  };
}

/** Up to half a day of difference between two clocks: first contacts assume them within one. */
function clockOffset(random: Random): number {
  return random.chance(0.4) ? 0 : (random.unit() - 0.5) * 11 * hourMs;
}

function chaos(world: World): void {
  const { random, clock, network, script } = world;
  const count = random.chance(0.7) ? 2 : 3;
  const old = random.chance(0.5);
  // Limits of windows are saved often, so that short runs come across it.
  const counterLeap = random.pick([4, 32]);
  const rekeyAfterEnvelopes = random.chance(0.25) ? random.pick([1, 8, 40]) : 1_000_000;
  world.limits = { ...world.limits, mesgen: { counterLeap, rekeyAfterEnvelopes } };
  if (random.chance(0.2)) {
    const maxOutboxMessages = 3 + random.below(12);
    world.limits = { ...world.limits, delivery: { maxOutboxMessages, maxOutboxBytes: 200_000 } };
    world.requestShare = random.pick([0.3, 0.9]);
  }
  for (let i = 0; i < count; i++) {
    world.addPeer(clockOffset(random), old ? 90 * hourMs : random.unit() * 30 * hourMs, random.chance(0.3));
  }
  const until = 10 * secondMs + random.unit() * 120 * secondMs;
  script.act((chance) => setFaults(world, chance));
  traffic(world, until);
  crashes(world, until);
  if (random.chance(0.2)) killsInTheMidst(world, until);
  if (random.chance(0.4)) partitions(world, until);
  if (random.chance(0.4)) {
    script.every(20 * secondMs, until, (chance) => {
      const peer = chance.pick(world.peers);
      const byMs = (chance.unit() - 0.5) * 2 * hourMs;
      world.log(() => `the clock of ${peer.name} jumps by ${(byMs / 60_000).toFixed(0)} minutes`);
      peer.setClock(byMs);
    });
  }
  if (random.chance(0.6)) {
    script.every(500, until, (chance) => attack(world, chance));
    if (random.chance(0.5)) replayAfterStarts(world, until);
  }
  world.every(3 * secondMs, until, () => {
    for (const peer of world.peers) peer.save();
  });
  world.every(2 * secondMs, until, () => {
    for (const peer of world.peers) network.collect(peer.id);
  });
  world.every(10 * secondMs, until, () => checkBounds(world));
  clock.runUntil(until);
  settleDown(world);
  converge(world);
}

function setFaults(world: World, chance: Random): void {
  const { network, peers } = world;
  const severity = chance.unit();
  network.faults = {
    loss: severity * 0.4 * chance.unit(),
    repeat: 0.2 * chance.unit(),
    reorder: 0.4 * chance.unit(),
    lateness: 0.1 * chance.unit(),
    latencyMs: 10 + chance.unit() * 200,
    jitter: 1,
    bitsPerSecond: Infinity,
  };
  const kind = chance.pick(["even", "all on one rung", "each on its own"]);
  if (kind === "even") return;
  const rung = chance.pick(ladder);
  for (const from of peers) {
    for (const to of peers) {
      const line = kind === "each on its own" ? chance.pick(ladder) : rung;
      world.log(() => `${from.name} to ${to.name}: ${line.bitsPerSecond / 1_000} kbit, ${line.latencyMs} ms`);
      network.lines.set(wayOf(from.id, to.id), line);
    }
  }
}

function traffic(world: World, until: number): void {
  const { random, script } = world;
  const pace = (random.chance(0.1) ? 100 : 500) + random.unit() * 4 * secondMs;
  script.every(pace, until, (chance) => {
    const from = chance.pick(world.peers);
    const to = world.other(from, chance);
    const burst = chance.chance(0.05) ? 30 : 1 + chance.below(3);
    const isHurried = chance.chance(0.15);
    for (let i = 0; i < burst; i++) {
      const size = chance.chance(0.03) ? 20_000 + chance.below(60_000) : 4 + chance.below(300);
      const lifeMs = isHurried ? 500 + chance.unit() * 30 * secondMs : messageLifeMs;
      const entry = from.send(to.id, size, chance.chance(world.requestShare), lifeMs);
      if (isHurried && entry !== undefined) world.hurried.add(entry);
    }
  });
}

function crashes(world: World, until: number): void {
  const { random, clock, network, script } = world;
  const kinds = random.pick<CrashKind[]>([
    ["lost"],
    ["kept"],
    ["kept", "stopped"],
    ["lost", "kept", "stopped"],
    ["lost", "kept", "stopped", "rolled back"],
    ["kept", "torn", "flipped"],
  ]);
  const downMs = (chance: Random): number => 50 + chance.unit() * 5 * secondMs;
  script.every(5 * secondMs + random.unit() * 40 * secondMs, until, (chance) => {
    world.crash(chance.pick(world.peers), chance.pick(kinds), downMs(chance));
  });
  if (random.chance(0.3)) {
    // Both come back at once, and write to each other: their offers cross.
    script.every(30 * secondMs, until, (chance) => {
      const a = chance.pick(world.peers);
      const b = world.other(a, chance);
      const awayMs = downMs(chance);
      for (const peer of [a, b]) world.crash(peer, chance.pick(kinds), awayMs);
      const rounds = 1 + chance.below(4);
      const roundMs = 300 * chance.unit();
      for (let round = 0; round < rounds; round++) {
        clock.after(awayMs + 1 + round * roundMs, () => {
          a.send(b.id, 20, false, messageLifeMs);
          b.send(a.id, 20, false, messageLifeMs);
        });
      }
    });
  }
  if (random.chance(0.3)) {
    script.every(20 * secondMs, until, (chance) => {
      const peer = chance.pick(world.peers);
      world.log(() => `${peer.name} has another mailbox`);
      network.moveMailbox(peer.id);
    });
  }
}

/** Some are killed in the midst of what they do: when a handler has run, and some time before or after something is written or leaves. */
function killsInTheMidst(world: World, until: number): void {
  const { random, clock, script } = world;
  const share = random.pick([0.01, 0.05]);
  world.onHandover = (peer) => {
    const now = clock.now;
    if (now >= until || !random.at(now, world.peers.indexOf(peer)).chance(share)) return;
    script.act((chance) => {
      const awayMs = 50 + chance.unit() * 3 * secondMs;
      clock.after(chance.pick([0, 0.02, 200 * chance.unit()]), () => world.crash(peer, "kept", awayMs));
    });
  };
}

/** Whoever comes back gets what it got last once more. */
function replayAfterStarts(world: World, until: number): void {
  const { clock, network, script } = world;
  world.onStart = (peer) => {
    if (clock.now >= until || peer.life === 1) return;
    script.act((chance) => {
      const last = network.recorded.filter(({ to, arrived }) => to === peer.id && arrived === true).slice(-20);
      world.log(() => `the attacker puts ${last.length} envelopes before ${peer.name} again`);
      for (const passing of last) {
        clock.after(chance.unit() * 300, () => peer.arrive(passing, true));
      }
    });
  };
}

/** One direction, both, or all ways of one peer. */
function partitions(world: World, until: number): void {
  const { clock, network, script, log } = world;
  script.every(15 * secondMs, until, (chance) => {
    const a = chance.pick(world.peers);
    const kind = chance.pick(["one way", "both ways", "alone"]);
    const others = kind === "alone" ? world.peers.filter((peer) => peer !== a) : [world.other(a, chance)];
    const forMs = chance.unit() * 20 * secondMs;
    log(
      () =>
        `${a.name} and ${others.map(({ name }) => name).join(", ")} are cut off, ${kind}, for ${forMs.toFixed(0)} ms`,
    );
    for (const b of others) {
      const ends = [network.cut(a.id, b.id)];
      if (kind !== "one way") ends.push(network.cut(b.id, a.id));
      clock.after(forMs, () => {
        for (const end of ends) end();
      });
    }
  });
}

/** Replays, mutates, misaddresses or reflects something that passed. */
export function attack(world: World, chance: Random = world.random): void {
  const { network, peers } = world;
  if (network.recorded.length === 0) return;
  const passing = chance.pick(network.recorded);
  const others = [chance.pick(network.recorded).envelope];
  const names = peers.map(({ identity }) => identity.keys.publicKey);
  const envelope = falsify(chance, passing.envelope, others, names);
  const target = chance.pick([passing.to, passing.to, passing.to, passing.from, chance.pick(peers).id]);
  const peer = peers.find(({ id }) => id === target);
  world.log(() => `the attacker puts ${envelope.length} bytes before ${peer?.name}`);
  peer?.arrive({ ...passing, to: target, envelope }, true);
}

/** How a message may end whose time was short. */
const ends = ["expired", "unreachable"];

/** No more faults: every message must end, and then nothing may stir. */
export function settleDown(world: World): void {
  const { clock, network } = world;
  network.heal();
  const start = clock.now;
  world.every(2 * secondMs, start + 0.5 * hourMs, () => {
    for (const peer of world.peers) network.collect(peer.id);
  });
  clock.runUntil(start + 0.5 * hourMs);
  for (const entry of world.ledger.entries) {
    if (entry.orphaned || entry.outcome === "delivered") continue;
    if (world.hurried.has(entry) && entry.outcome !== undefined && ends.includes(entry.outcome)) continue;
    const state = entry.handovers.length > 0 ? "was handed over, but its sender never heard of it" : "never arrived";
    world.violate("P1", `message ${entry.serial} ended as ${entry.outcome ?? "nothing"}: it ${state}`);
  }
  const before = network.sent;
  clock.runUntil(clock.now + hourMs);
  if (network.sent !== before) world.violate("P6", `${network.sent - before} envelopes without application traffic`);
}

/**
 * P8: two exchanges later every pair prefers the same session.
 *
 * @param wayMs - How long one way of an exchange may take.
 * @param areAtOnce - Both ways of an exchange are begun at the same instant.
 */
export function converge(world: World, wayMs = 10 * secondMs, areAtOnce = false): void {
  const { clock } = world;
  const start = clock.now;
  const exchange = (): void => {
    for (const from of world.peers) {
      for (const to of world.peers) {
        if (from === to) continue;
        from.send(to.id, 10, true, hourMs);
        if (!areAtOnce) clock.runUntil(clock.now + wayMs);
      }
    }
    if (areAtOnce) clock.runUntil(clock.now + wayMs);
  };
  exchange();
  exchange();
  // A handler that takes its time may have begun a re-key with its reply: as if both began anew.
  clock.runUntil(clock.now + slowestMs + secondMs);
  for (let i = 0; i < spareExchanges && world.rekeysSoon && differing(world) !== undefined; i++) exchange();
  const difference = differing(world);
  if (difference !== undefined) world.violate("P8", difference);
  const isLongAgo = (sentAt: number): boolean => sentAt <= clock.now - slowestMs - 2 * secondMs;
  const late = world.ledger.entries.find(
    ({ sentAt, outcome }) => sentAt >= start && isLongAgo(sentAt) && outcome !== "delivered",
  );
  if (late !== undefined) world.violate("P1", "an exchange on a quiet network did not end");
  checkBounds(world);
}

/** Exchanges after two others, in runs that re-key at every turn. */
const spareExchanges = 3;

/** A pair that does not prefer the same session, if there is one. */
function differing({ peers }: World): string | undefined {
  for (const [i, a] of peers.entries()) {
    for (const b of peers.slice(i + 1)) {
      const ours = a.endpoint.mesgen.preferred(b.id, a.now());
      const theirs = b.endpoint.mesgen.preferred(a.id, b.now());
      if (ours !== theirs) return `${a.name} prefers ${ours}, ${b.name} prefers ${theirs}`;
    }
  }
  return undefined;
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
  const { random, clock, network, script } = world;
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
  script.act(() => world.crash(forgetter, "lost", secondMs));
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

function crossing(world: World): void {
  const { random, clock, network, script } = world;
  const latencyMs = 10 + random.unit() * 150;
  const old = random.chance(0.7);
  const isRekeyed = random.chance(0.3);
  if (isRekeyed) world.limits = { ...world.limits, mesgen: { rekeyAfterEnvelopes: 1 + random.below(4) } };
  const [a, b] = [0, 1].map(() => world.addPeer(clockOffset(random), old ? 90 * hourMs : 0, false)) as [
    SimPeer,
    SimPeer,
  ];
  network.faults = { ...noFaults, latencyMs, jitter: random.chance(0.3) ? 0 : 1 };
  const both = (isRequest: boolean): void => {
    a.send(b.id, 20, isRequest, hourMs);
    b.send(a.id, 20, isRequest, hourMs);
  };
  for (let i = 0; i < 2 + random.below(3); i++) {
    const start = clock.now;
    if (!isRekeyed || random.chance(0.3)) {
      for (const peer of [a, b]) {
        script.act((chance) => world.crash(peer, chance.pick(["kept", "kept", "stopped", "lost"]), secondMs));
      }
      clock.runUntil(start + secondMs + 1);
    }
    const roundMs = random.unit() * 2 * latencyMs;
    for (let round = 0; round < 1 + random.below(8); round++) {
      script.act((chance) => clock.after(round * roundMs, () => both(chance.chance(0.3))));
    }
    // In seconds: later on the keys behind the front are gone, which heals much. A re-key can begin with any message.
    clock.runUntil(clock.now + 4 * secondMs);
    converge(world, 3 * secondMs, random.chance(0.5));
    clock.runUntil(clock.now + random.unit() * 2 * 60 * secondMs);
  }
  settleDown(world);
  converge(world);
}

function strangers(world: World): void {
  const { random, clock, script } = world;
  for (let i = 0; i < 3; i++) world.addPeer(clockOffset(random), random.chance(0.5) ? 90 * hourMs : 0, false);
  const until = clock.now + 60 * secondMs;
  script.every(2 * secondMs, until, (chance) => {
    const from = chance.pick(world.peers);
    from.send(world.other(from, chance).id, 20, chance.chance(0.5), hourMs);
  });
  const crash = (kind: CrashKind): void => {
    script.act((chance) => world.crash(chance.pick(world.peers), kind, 50 + chance.unit() * 5 * secondMs));
  };
  if (random.chance(0.7)) clock.after(20 * secondMs, () => crash("lost"));
  if (random.chance(0.5)) clock.after(35 * secondMs, () => crash("kept"));
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
    script.act((chance) => attack(world, chance));
    clock.runUntil(clock.now + secondMs + random.unit() * 30 * secondMs);
  }
  clock.runUntil(clock.now + hourMs);
  if (standing() !== before) world.violate("P10", "strangers changed session lists, their order or sending keys");
  if (pendings() !== offers) world.violate("P10", "strangers caused an offer between peers that share a session");
  const now = world.ledger.entries.reduce((sum, entry) => sum + entry.handovers.length, 0);
  if (now !== handed) world.violate("P2", "an attacker delivered something");
}
