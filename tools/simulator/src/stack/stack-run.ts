/**
 * One run of whole nodes from one seed: peers, relays and metatrackers, faults, crashes and an attacker, then peace, then the
 * books are checked against what the specification promises. Everything that happens follows from the seed.
 */

import { EventStorm } from "../clock.ts";
import { NonceReuse } from "../crypto.ts";
import { ladder } from "../network.ts";
import type { Random } from "../random.ts";
import type { CrashKind } from "../sim-peer.ts";
import type { Violation } from "../world.ts";
import { Attacker } from "./attacker.ts";
import type { Lie } from "./lying-node.ts";
import { MailEngine } from "./mail-engine.ts";
import { checkAll } from "./stack-checks.ts";
import { StackMetatracker } from "./stack-metatracker.ts";
import { type Patience, StackPeer } from "./stack-peer.ts";
import { type MailCrashKind, StackRelay } from "./stack-relay.ts";
import { StackWorld, type StackWorldOptions } from "./stack-world.ts";
import type { StationOptions } from "./station.ts";

export type StackProfile =
  /** Everything at once. */
  | "storm"
  /** A peer that is away while mail comes for it, and little else goes wrong: all arrives, in order. */
  | "mail"
  /** Relays that keep their mail together, in an engine of which much goes wrong; all of them are killed now and then. */
  | "cluster"
  /** A relay that says to pass on, or to keep, and throws away, beside honest ones: all arrives all the same. */
  | "liar";

export const stackProfiles: readonly StackProfile[] = ["storm", "mail", "cluster", "liar"];

export interface StackReport {
  readonly seed: number;
  readonly profile: StackProfile;
  readonly violations: readonly Violation[];
  readonly messages: number;
  readonly envelopes: number;
  readonly crashes: number;
  readonly posts: number;
  /** How many there were; see {@link Script}. */
  readonly acts: number;
  readonly log: readonly string[];
}

const plays: Readonly<Record<StackProfile, (world: StackWorld) => Promise<void>>> = { storm, mail, cluster, liar };

const secondMs = 1_000;
const minuteMs = 60 * secondMs;
const hourMs = 60 * minuteMs;

export async function runStack(seed: number, profile: StackProfile, options: StackWorldOptions): Promise<StackReport> {
  const world = new StackWorld(seed, options);
  try {
    await plays[profile](world);
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
    envelopes: world.hopCount,
    crashes: world.stations.reduce((sum, { crashes }) => sum + crashes, 0),
    posts: world.watch.posts,
    acts: world.script.count,
    log: world.lines,
  };
}

// ---- Who is there

/** Up to half a day of difference between two clocks: first contacts assume them within one. */
function clockOffset(random: Random): number {
  return random.chance(0.4) ? 0 : (random.unit() - 0.5) * 11 * hourMs;
}

interface Population {
  readonly metatrackers: number;
  readonly relays: number;
  readonly peers: number;
  readonly isOneLying: boolean;
  /** Which of the peers accept connections. */
  readonly listens: (index: number) => boolean;
  readonly areQuotasSmall: boolean;
  /** Peers are told of the relays, and do not discover them. */
  readonly areRelaysTold: boolean;
  readonly sealedSender: boolean;
  readonly keepsOutbox: boolean;
}

function populate(world: StackWorld, population: Population): void {
  const { random } = world;
  const writeMs = random.chance(0.4) ? 0 : 1 + random.unit() * 15;
  const station = (name: string, listens: boolean): StationOptions => ({
    name,
    listens,
    offsetMs: clockOffset(random),
    writeMs,
    bornAgoMs: random.chance(0.3) ? undefined : random.chance(0.5) ? 90 * hourMs : random.unit() * 30 * hourMs,
  });
  for (let i = 0; i < population.metatrackers; i++) {
    world.metatrackers.push(
      new StackMetatracker(
        world,
        station(`M${i + 1}`, true),
        population.isOneLying && population.metatrackers === 3 && i === 0,
      ),
    );
  }
  const limits = population.areQuotasSmall
    ? { maxMessages: 4 + random.below(20), maxSenderMessages: 2 + random.below(8) }
    : {};
  for (let i = 0; i < population.relays; i++) {
    // Mail is written through to the disk: a good one or a bad one.
    const mailWriteMs = 1 + random.unit() * (random.chance(0.7) ? 15 : 150);
    world.relays.push(new StackRelay(world, station(`R${i + 1}`, true), limits, mailWriteMs));
  }
  const { sealedSender, keepsOutbox } = population;
  const told = population.areRelaysTold ? world.relays.map(({ id }) => id) : undefined;
  for (let i = 0; i < population.peers; i++) {
    const options = station(String.fromCharCode(65 + i), population.listens(i));
    world.peers.push(new StackPeer(world, options, { relays: told, sealedSender, keepsOutbox }));
  }
}

/** Starts everything, and gives it the time to find each other. */
async function begin(world: StackWorld): Promise<void> {
  const { random, clock } = world;
  for (const metatracker of world.metatrackers) metatracker.start();
  const spreadMs = random.chance(0.5) ? 0 : 5 * secondMs;
  for (const station of [...world.relays, ...world.peers]) clock.after(random.unit() * spreadMs, () => station.start());
  await world.pass(spreadMs + (random.chance(0.7) ? 5 * secondMs : 0));
}

// ---- Everything at once

async function storm(world: StackWorld): Promise<void> {
  const { random, clock, script } = world;
  const areQuotasSmall = random.chance(0.2);
  const behind = random.pick(["all", "all", "all", "one", "none", "some"]);
  const relays = behind === "none" && random.chance(0.3) ? 0 : 1 + random.below(3);
  populate(world, {
    metatrackers: random.chance(0.7) ? 3 : 1,
    relays,
    peers: random.chance(0.7) ? 2 : 3,
    isOneLying: random.chance(0.3),
    listens: (i) =>
      behind === "all" ? false : behind === "none" ? true : behind === "one" ? i > 0 : random.chance(0.5),
    areQuotasSmall,
    areRelaysTold: random.chance(0.6),
    sealedSender: random.chance(0.2),
    keepsOutbox: random.chance(0.4),
  });
  script.act((chance) => {
    world.weather = {
      latencyMs: 2 + chance.unit() * 150,
      loss: chance.chance(0.6) ? 0 : 0.05 * chance.unit(),
      line: chance.chance(0.3) ? chance.pick(ladder) : undefined,
    };
  });
  await begin(world);

  const until = clock.now + 10 * secondMs + random.unit() * (random.chance(0.1) ? 400 : 70) * secondMs;
  script.every(100 + random.unit() * 3 * secondMs, until, (chance) => {
    const from = chance.pick(world.peers);
    const to = world.other(from, chance);
    const burst = chance.chance(0.05) ? 30 : 1 + chance.below(3);
    for (let i = 0; i < burst; i++) {
      // A message in parts needs room for all of them in a mailbox.
      const isLarge = !areQuotasSmall && chance.chance(0.03);
      const size = isLarge ? 20_000 + chance.below(100_000) : 4 + chance.below(300);
      const patience = chance.pick<Patience>(["usual", "long", "long", "short"]);
      from.send(to, size, chance.chance(0.3), patience);
    }
  });
  crashes(world, until);
  if (random.chance(0.5)) partitions(world, until);
  if (random.chance(0.3)) {
    script.every(20 * secondMs, until, (chance) => {
      const station = chance.pick(world.stations);
      const byMs = (chance.unit() - 0.5) * 2 * hourMs;
      world.log(() => `the clock of ${station.name} jumps by ${(byMs / minuteMs).toFixed(0)} minutes`);
      station.setClock(byMs);
    });
  }
  if (random.chance(0.4)) {
    const attacker = new Attacker(world);
    await attacker.start();
    script.every(400, until, (chance) => attacker.attack(chance));
  }
  await world.runUntil(until);
  // What is broken stays so for a while, or not.
  for (const heal of world.heals.splice(0)) heal();
  await checkAll(world);
}

function crashes(world: StackWorld, until: number): void {
  const { random, clock, script } = world;
  const kinds = random.pick<CrashKind[]>([
    ["lost"],
    ["kept"],
    ["kept", "stopped"],
    ["lost", "kept", "rolled back"],
    ["kept", "torn", "flipped"],
  ]);
  const mailKinds = random.pick<MailCrashKind[]>([["kept"], ["kept"], ["kept", "lost", "damaged"]]);
  const downMs = (chance: Random): number => 50 + chance.unit() * (chance.chance(0.1) ? 200 : 8) * secondMs;
  const isSilent = (chance: Random): boolean => chance.chance(0.3);
  if (random.chance(0.8)) {
    script.every(4 * secondMs + random.unit() * 40 * secondMs, until, (chance) => {
      chance.pick(world.peers).crash(chance.pick(kinds), downMs(chance), isSilent(chance));
    });
  }
  if (random.chance(0.2)) {
    // Both come back at once, and write to each other: their offers cross.
    script.every(30 * secondMs, until, (chance) => {
      const a = chance.pick(world.peers);
      const b = world.other(a, chance);
      const awayMs = downMs(chance);
      for (const peer of [a, b]) peer.crash(chance.pick(kinds), awayMs, false);
      clock.after(awayMs + secondMs, () => {
        a.send(b, 20, false, "long");
        b.send(a, 20, false, "long");
      });
    });
  }
  if (world.relays.length > 1 && random.chance(0.3)) {
    script.every(20 * secondMs, until, (chance) => chance.pick(world.peers).switchRelays(chance));
  }
  if (world.relays.length > 0 && random.chance(0.7)) {
    script.every(4 * secondMs + random.unit() * 40 * secondMs, until, (chance) => {
      const sessions = chance.pick<CrashKind>(["kept", "kept", "lost"]);
      chance.pick(world.relays).crashMail(chance.pick(mailKinds), sessions, downMs(chance), isSilent(chance));
    });
  }
  // One that is killed just when it was given something.
  if (world.relays.length > 0 && random.chance(0.3)) {
    world.onPost = (relay) => {
      if (clock.now >= until || !random.chance(0.1) || !relay.isUp) return;
      script.act((chance) => {
        const whenMs = chance.unit() * 2 * world.weather.latencyMs;
        clock.after(whenMs, () => relay.crashMail("kept", "kept", downMs(chance), false));
      });
    };
  }
  if (random.chance(0.4)) {
    script.every(10 * secondMs + random.unit() * 40 * secondMs, until, (chance) => {
      chance.pick(world.metatrackers).crash(chance.pick(["kept", "lost"]), downMs(chance), isSilent(chance));
    });
  }
  script.every(3 * secondMs, until, (chance) => {
    for (const { disk } of world.peers) if (chance.chance(0.3)) disk.snapshot();
  });
}

/** Links break, or two places are cut off from each other for a while, with or without being told. */
function partitions(world: StackWorld, until: number): void {
  const { random, network, script } = world;
  script.every(3 * secondMs + random.unit() * 10 * secondMs, until, (chance) => {
    const [a, b] = [chance.pick(world.peers), chance.pick(world.stations)];
    if (a === b) return;
    world.log(() => `links between ${a.name} and ${b.name} break`);
    network.cut(a.name, b.name);
  });
  script.every(8 * secondMs + random.unit() * 20 * secondMs, until, (chance) => {
    const [a, b] = [chance.pick(world.peers), chance.pick(world.stations)];
    if (a === b) return;
    world.cutOff(a, b, chance.pick(["both ways", "one way", "told"]), chance.unit() * 30 * secondMs);
  });
}

// ---- Mail in order

async function mail(world: StackWorld): Promise<void> {
  const { random, clock, script } = world;
  populate(world, {
    metatrackers: 1,
    relays: 1,
    peers: random.chance(0.6) ? 2 : 3,
    isOneLying: false,
    listens: () => false,
    areQuotasSmall: false,
    areRelaysTold: true,
    sealedSender: random.chance(0.3),
    keepsOutbox: random.chance(0.3),
  });
  world.weather = { latencyMs: 2 + random.unit() * 100, loss: 0 };
  await begin(world);
  await world.pass(10 * secondMs);
  const [away, ...others] = world.peers as [StackPeer, ...StackPeer[]];
  // They know each other, or meet by this mail.
  if (random.chance(0.7)) {
    for (const other of others) other.send(away, 20, true, "long");
    await world.pass(20 * secondMs);
  }
  const [relay] = world.relays as [StackRelay];
  const awayMs = 30 * secondMs + random.unit() * 2 * minuteMs;
  script.act((chance) => {
    if (chance.chance(0.5)) away.crash(chance.pick(["stopped", "kept"]), awayMs, chance.chance(0.5));
    else world.cutOff(away, relay, chance.pick(["both ways", "told"]), awayMs);
  });
  const backAt = clock.now + awayMs;
  await world.pass(random.unit() * 5 * secondMs);
  const killRelay = (): void => {
    script.act((chance) => {
      relay.crashMail("kept", chance.pick(["kept", "lost"]), 50 + chance.unit() * 5 * secondMs, chance.chance(0.3));
    });
  };
  const count = 1 + random.below(60);
  // What was under way then leaves again, and may be overtaken.
  const killedAt = random.chance(0.4) ? random.below(count) : undefined;
  for (let i = 0; i < count; i++) {
    script.act((chance) => {
      chance.pick(others).send(away, 4 + chance.below(chance.chance(0.05) ? 60_000 : 500), false, "long");
    });
    if (i === killedAt) clock.after(random.unit() * 2 * world.weather.latencyMs, killRelay);
    if (random.chance(0.4)) await world.pass(random.unit() * 300);
  }
  await world.pass(8 * secondMs);
  if (random.chance(0.5) && clock.now + 10 * secondMs < backAt) killRelay();
  await world.runUntil(backAt);
  for (const heal of world.heals.splice(0)) heal();
  await checkAll(world, killedAt === undefined ? { inOrder: away } : {});
}

// ---- Relays that keep their mail together

async function cluster(world: StackWorld): Promise<void> {
  const { random, clock, script } = world;
  const engine = new MailEngine(clock, random.fork());
  world.engine = engine;
  populate(world, {
    metatrackers: 1,
    relays: 2 + random.below(2),
    peers: random.chance(0.6) ? 2 : 3,
    isOneLying: false,
    listens: () => false,
    areQuotasSmall: false,
    areRelaysTold: true,
    sealedSender: random.chance(0.2),
    keepsOutbox: random.chance(0.3),
  });
  world.weather = { latencyMs: 2 + random.unit() * 50, loss: 0 };
  await begin(world);
  await world.pass(10 * secondMs);
  engine.weather = {
    latencyMs: 1 + random.unit() * 20,
    loss: random.chance(0.5) ? 0 : 0.2 * random.unit(),
    untold: random.chance(0.5) ? 0 : 0.3 * random.unit(),
    lagMs: random.chance(0.5) ? 0 : random.unit() * secondMs,
  };
  const until = clock.now + 60 * secondMs;
  const downMs = (chance: Random): number => 50 + chance.unit() * 8 * secondMs;
  script.every(100 + random.unit() * secondMs, until, (chance) => {
    const from = chance.pick(world.peers);
    for (let i = chance.below(5); i >= 0; i--) {
      from.send(world.other(from, chance), 4 + chance.below(500), chance.chance(0.2), "long");
    }
  });
  if (random.chance(0.7)) {
    script.every(15 * secondMs, until, (chance) => {
      engine.leaderAt = clock.now + chance.unit() * 7 * secondMs;
      world.log(() => `the engine has no leader until ${engine.leaderAt.toFixed(0)}`);
    });
  }
  if (random.chance(0.7)) {
    script.every(8 * secondMs, until, (chance) => {
      chance.pick(world.relays).crashMail("kept", chance.pick(["kept", "lost"]), downMs(chance), chance.chance(0.3));
    });
  }
  if (random.chance(0.5)) {
    script.every(20 * secondMs, until, (chance) => chance.pick(world.peers).crash("kept", downMs(chance), false));
  }
  if (random.chance(0.5)) {
    script.every(10 * secondMs, until, (chance) => {
      const [peer, relay] = [chance.pick(world.peers), chance.pick(world.relays)];
      world.cutOff(peer, relay, chance.pick(["both ways", "one way", "told"]), chance.unit() * 20 * secondMs);
    });
  }
  await world.runUntil(until);
  for (const heal of world.heals.splice(0)) heal();
  engine.weather = { latencyMs: 2, loss: 0, untold: 0, lagMs: 0 };
  await checkAll(world);
}

// ---- A relay that lies

async function liar(world: StackWorld): Promise<void> {
  const { random, clock, script } = world;
  populate(world, {
    metatrackers: 1,
    relays: 2 + random.below(2),
    peers: random.chance(0.6) ? 2 : 3,
    isOneLying: false,
    listens: () => false,
    areQuotasSmall: false,
    areRelaysTold: true,
    sealedSender: random.chance(0.2),
    keepsOutbox: random.chance(0.3),
  });
  world.weather = { latencyMs: 2 + random.unit() * 100, loss: 0 };
  const lieAbout = (victim: StackPeer | undefined): Lie => ({
    says: random.pick(["passed", "stored"]),
    victim: victim?.id,
  });
  // One about all, or about one peer; or two, each about another peer. So there is a way to everybody.
  const liars = random.chance(0.4)
    ? [lieAbout(undefined)]
    : world.peers.slice(0, random.chance(0.5) ? 1 : 2).map((peer) => lieAbout(peer));
  const tellLies = (): void => {
    for (const [i, lie] of liars.entries()) world.relays[i]!.lie = lie;
  };
  for (const i of liars.keys()) world.relays[i]!.isLiar = true;
  // They lie from the beginning, or behave until they are trusted.
  if (random.chance(0.5)) tellLies();
  await begin(world);
  await world.pass(10 * secondMs);
  tellLies();
  const until = clock.now + 60 * secondMs;
  // Some only receive: nothing but their receipts shows that they are there.
  const senders = random.chance(0.5) ? world.peers : [random.pick(world.peers)];
  const everyMs = 100 + random.unit() * 10 * secondMs;
  script.every(everyMs, until, (chance) => {
    const from = chance.pick(senders);
    for (let i = chance.below(5); i >= 0; i--) {
      from.send(world.other(from, chance), 4 + chance.below(500), chance.chance(0.2), "long");
    }
  });
  if (random.chance(0.5)) {
    const kind = random.pick<CrashKind>(["kept", "lost"]);
    script.every(20 * secondMs, until, (chance) => {
      chance.pick(world.peers).crash(kind, 50 + chance.unit() * 20 * secondMs, false);
    });
  }
  await world.runUntil(until);
  await checkAll(world);
}
