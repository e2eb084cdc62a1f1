/**
 * One run of whole nodes from one seed: peers, relays and metatrackers, faults, crashes and an attacker, then peace, then the
 * books are checked against what the specification promises. Everything that happens follows from the seed.
 */

import { EventStorm } from "../clock.ts";
import { NonceReuse } from "../crypto.ts";
import type { Random } from "../random.ts";
import type { CrashKind } from "../sim-peer.ts";
import type { Violation } from "../world.ts";
import { Attacker } from "./attacker.ts";
import { checkAll } from "./stack-checks.ts";
import { StackMetatracker } from "./stack-metatracker.ts";
import { type Patience, StackPeer } from "./stack-peer.ts";
import { type MailCrashKind, StackRelay } from "./stack-relay.ts";
import { StackWorld, type StackWorldOptions } from "./stack-world.ts";
import type { Station, StationOptions } from "./station.ts";

export type StackProfile =
  /** Everything at once. */
  | "storm"
  /** A peer that is away while mail comes for it, and little else goes wrong: all arrives, in order. */
  | "mail";

export const stackProfiles: readonly StackProfile[] = ["storm", "mail"];

export interface StackReport {
  readonly seed: number;
  readonly profile: StackProfile;
  readonly violations: readonly Violation[];
  readonly messages: number;
  readonly envelopes: number;
  readonly crashes: number;
  readonly posts: number;
  readonly log: readonly string[];
}

const secondMs = 1_000;
const minuteMs = 60 * secondMs;
const hourMs = 60 * minuteMs;

export async function runStack(seed: number, profile: StackProfile, options: StackWorldOptions): Promise<StackReport> {
  const world = new StackWorld(seed, options);
  try {
    await (profile === "storm" ? storm(world) : mail(world));
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
  const { random, clock } = world;
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
  world.weather = { latencyMs: 2 + random.unit() * 150, loss: random.chance(0.6) ? 0 : 0.05 * random.unit() };
  await begin(world);

  const until = clock.now + 10 * secondMs + random.unit() * (random.chance(0.1) ? 400 : 70) * secondMs;
  const pace = 100 + random.unit() * 3 * secondMs;
  world.every(pace, until, () => {
    const from = random.pick(world.peers);
    const burst = random.chance(0.05) ? 30 : 1 + random.below(3);
    for (let i = 0; i < burst; i++) {
      // A message in parts needs room for all of them in a mailbox.
      const isLarge = !areQuotasSmall && random.chance(0.03);
      const size = isLarge ? 20_000 + random.below(100_000) : 4 + random.below(300);
      const patience = random.pick<Patience>(["usual", "long", "long", "short"]);
      from.send(world.other(from).id, size, random.chance(0.3), patience);
    }
  });
  crashes(world, until);
  if (random.chance(0.5)) partitions(world, until);
  if (random.chance(0.3)) {
    world.every(20 * secondMs, until, () => random.pick(world.stations).setClock((random.unit() - 0.5) * 2 * hourMs));
  }
  let attacker: Attacker | undefined;
  if (random.chance(0.4)) {
    attacker = new Attacker(world);
    await attacker.start();
    world.every(400, until, () => attacker?.attack());
  }
  await world.runUntil(until);
  // What is broken stays so for a while, or not.
  for (const heal of world.heals.splice(0)) heal();
  await checkAll(world);
}

function crashes(world: StackWorld, until: number): void {
  const { random, clock } = world;
  const kinds = random.pick<CrashKind[]>([["lost"], ["kept"], ["kept", "stopped"], ["lost", "kept", "rolled back"]]);
  const mailKinds = random.pick<MailCrashKind[]>([["kept"], ["kept"], ["kept", "lost", "damaged"]]);
  const downMs = (): number => 50 + random.unit() * (random.chance(0.1) ? 200 : 8) * secondMs;
  const isSilent = (): boolean => random.chance(0.3);
  if (random.chance(0.8)) {
    world.every(4 * secondMs + random.unit() * 40 * secondMs, until, () => {
      random.pick(world.peers).crash(random.pick(kinds), downMs(), isSilent());
    });
  }
  if (world.relays.length > 0 && random.chance(0.7)) {
    world.every(4 * secondMs + random.unit() * 40 * secondMs, until, () => {
      const sessions = random.pick<CrashKind>(["kept", "kept", "lost"]);
      random.pick(world.relays).crashMail(random.pick(mailKinds), sessions, downMs(), isSilent());
    });
  }
  // One that is killed just when it was given something.
  if (world.relays.length > 0 && random.chance(0.3)) {
    world.onPost = (relay) => {
      if (clock.now >= until || !random.chance(0.1) || !relay.isUp) return;
      clock.after(random.unit() * 2 * world.weather.latencyMs, () => relay.crashMail("kept", "kept", downMs(), false));
    };
  }
  if (random.chance(0.4)) {
    world.every(10 * secondMs + random.unit() * 40 * secondMs, until, () => {
      random.pick(world.metatrackers).crash(random.pick(["kept", "lost"]), downMs(), isSilent());
    });
  }
  world.every(3 * secondMs, until, () => {
    for (const { disk } of world.peers) if (random.chance(0.3)) disk.snapshot();
  });
}

/** Links break, or two places are cut off from each other for a while, with or without being told. */
function partitions(world: StackWorld, until: number): void {
  const { random, network } = world;
  const pair = (): [Station, Station] => {
    const [a, b] = [random.pick(world.peers), random.pick(world.stations)];
    return [a, b];
  };
  world.every(3 * secondMs + random.unit() * 10 * secondMs, until, () => {
    const [a, b] = pair();
    if (a === b) return;
    world.log(() => `links between ${a.name} and ${b.name} break`);
    network.cut(a.name, b.name);
  });
  world.every(8 * secondMs + random.unit() * 20 * secondMs, until, () => {
    const [a, b] = pair();
    if (a === b) return;
    world.cutOff(a, b, random.pick(["both ways", "one way", "told"]), random.unit() * 30 * secondMs);
  });
}

// ---- Mail in order

async function mail(world: StackWorld): Promise<void> {
  const { random, clock } = world;
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
    for (const other of others) other.send(away.id, 20, true, "long");
    await world.pass(20 * secondMs);
  }
  const [relay] = world.relays as [StackRelay];
  const awayMs = 30 * secondMs + random.unit() * 2 * minuteMs;
  if (random.chance(0.5)) away.crash(random.pick(["stopped", "kept"]), awayMs, random.chance(0.5));
  else world.cutOff(away, relay, random.pick(["both ways", "told"]), awayMs);
  const backAt = clock.now + awayMs;
  await world.pass(random.unit() * 5 * secondMs);
  const killRelay = (): void => {
    relay.crashMail("kept", random.pick(["kept", "lost"]), 50 + random.unit() * 5 * secondMs, random.chance(0.3));
  };
  const count = 1 + random.below(60);
  // What was under way then leaves again, and may be overtaken.
  const killedAt = random.chance(0.4) ? random.below(count) : undefined;
  for (let i = 0; i < count; i++) {
    random.pick(others).send(away.id, 4 + random.below(random.chance(0.05) ? 60_000 : 500), false, "long");
    if (i === killedAt) clock.after(random.unit() * 2 * world.weather.latencyMs, killRelay);
    if (random.chance(0.4)) await world.pass(random.unit() * 300);
  }
  await world.pass(8 * secondMs);
  if (random.chance(0.5) && clock.now + 10 * secondMs < backAt) killRelay();
  await world.runUntil(backAt);
  for (const heal of world.heals.splice(0)) heal();
  await checkAll(world, killedAt === undefined ? { inOrder: away } : {});
}
