/**
 * Peace, and then the reckoning: every message must have ended as it should, what relays promised to keep must have arrived,
 * nothing may stir, and the books of everybody must balance.
 */

import type { Entry } from "../ledger.ts";
import type { StackPeer } from "./stack-peer.ts";
import { fairWeather, type StackWorld } from "./stack-world.ts";

const secondMs = 1_000;
const minuteMs = 60 * secondMs;
/** What a peer and a relay, or a metatracker, say to each other in a minute when there is nothing to say. */
const idleEnvelopesPerMinute = 8;
/** When an idle link of two is closed the other may be asked where it leads. */
const idleLinkEnvelopes = 2;
const quietMinutes = 7;
/** How long whatever can end may take to end. */
const peaceMinutes = 40;
/** What nobody waits for may take this long: unreadable mail of strangers is asked after for that time. */
const afterwardsMinutes = 4;
export const unreadMailForMs = 3 * minuteMs;

export interface Expectations {
  /** What this peer got, it got in the order of sending. */
  readonly inOrder?: StackPeer;
}

export async function checkAll(world: StackWorld, { inOrder }: Expectations = {}): Promise<void> {
  world.log(() => "peace");
  world.weather = fairWeather;
  for (const station of world.stations) station.wakeUp();
  await settle(world);
  // A relay that lost its mail broke its promise: then senders learn of it when they hear of their peers again.
  const isMailLost = world.relays.some(({ mailLostAt }) => mailLostAt > -Infinity);
  if (!isMailLost) checkEndings(world);
  if (inOrder !== undefined) checkOrder(world, inOrder);
  await checkQuiet(world);
  await converge(world);
  checkEndings(world);
  checkKeptMail(world);
  checkRelays(world);
  checkPeers(world);
}

/** Lets time pass until every message has ended, and a while more. */
async function settle(world: StackWorld): Promise<void> {
  for (let minute = 0; minute < peaceMinutes; minute++) {
    await world.pass(minuteMs);
    if (world.peers.some(({ keptUndelivered }) => keptUndelivered !== undefined)) continue;
    if (world.ledger.entries.every((entry) => entry.orphaned || isOver(entry) || world.isKept(entry))) break;
  }
  await world.pass(afterwardsMinutes * minuteMs);
}

function isOver({ outcome }: Entry): boolean {
  return outcome !== undefined && outcome !== "stored";
}

/** P1: who lives and waits was served. */
function checkEndings(world: StackWorld): void {
  const { ledger, patience, peers, violate } = world;
  for (const { name, keptUndelivered } of peers) {
    if (keptUndelivered !== undefined)
      violate("P1", `message ${keptUndelivered.serial} that ${name} kept never arrived`);
  }
  for (const entry of ledger.entries) {
    if (entry.orphaned || entry.outcome === "delivered" || world.isKept(entry)) continue;
    // Whoever waits for seconds, or fails fast, may be told that it was in vain.
    if (isOver(entry) && patience.get(entry) !== "long" && !entry.outcome!.startsWith("failed")) continue;
    const state = entry.handovers.length > 0 ? "was handed over, but its sender never heard of it" : "never arrived";
    violate("P1", `message ${entry.serial} ended as ${entry.outcome ?? "nothing"}: it ${state}`);
  }
}

function checkOrder({ violate }: StackWorld, peer: StackPeer): void {
  const last = new Map<string, Entry>();
  for (const entry of peer.handed) {
    const before = last.get(entry.from);
    if (before !== undefined && before.serial > entry.serial) {
      violate("order", `message ${entry.serial} was handed over after message ${before.serial}, which was sent later`);
    }
    last.set(entry.from, entry);
  }
}

/** P6: whoever has nothing to say says nothing, but for what has its known period. */
async function checkQuiet(world: StackWorld): Promise<void> {
  const { hops, watch, violate, peers } = world;
  hops.clear();
  const posts = watch.posts;
  await world.pass(quietMinutes * minuteMs);
  if (watch.posts !== posts)
    violate("P6", `${watch.posts - posts} envelopes were passed along without application traffic`);
  const names = new Set(peers.map(({ name }) => name));
  for (const [way, count] of hops) {
    const [from, to] = way.split(">") as [string, string];
    const most = names.has(from) && names.has(to) ? idleLinkEnvelopes : quietMinutes * idleEnvelopesPerMinute;
    if (count > most) violate("P6", `${count} envelopes from ${from} to ${to} without application traffic`);
  }
}

/** P8: two exchanges later every pair prefers the same session. */
async function converge(world: StackWorld): Promise<void> {
  const { peers, violate } = world;
  for (let exchange = 0; exchange < 2; exchange++) {
    for (const from of peers) {
      for (const to of peers) {
        if (from === to) continue;
        from.send(to, 10, true, "long");
        await world.pass(10 * secondMs);
      }
    }
  }
  await world.pass(minuteMs);
  for (const [i, a] of peers.entries()) {
    for (const b of peers.slice(i + 1)) {
      const [ours, theirs] = [a.preferred(b.id), b.preferred(a.id)];
      if (ours !== theirs) violate("P8", `${a.name} prefers ${ours}, ${b.name} prefers ${theirs}`);
    }
  }
}

/** What a relay said to keep was handed to its owner, and the owner took it in. */
function checkKeptMail({ watch, relays, peers, violate }: StackWorld): void {
  // Who discovers relays, or is told of others, and loses its record with the metatrackers cannot know where it was registered.
  if (peers.some(({ mayMove }) => mayMove)) return;
  for (const { fate, relay, to, from, handed, taken, sentAt } of watch.posted.values()) {
    if (fate !== "stored" || (handed > 0 && taken > 0)) continue;
    const keeper = relays.find(({ id }) => id === relay);
    if (keeper === undefined || keeper.isLiar || keeper.mailLostAt >= sentAt) continue;
    const owner = peers.find(({ id }) => id === to);
    // It may have taken in the rest of a long message and forgotten that: then it waits in vain, until the message's time is over.
    if (handed > 0 && (owner?.rolledBackAt ?? -Infinity) >= sentAt) continue;
    const what = handed === 0 ? "never got" : "never took in";
    violate(
      "mail",
      `${owner?.name} ${what} what ${keeper.name} promised to keep, of ${from.name}, sent at ${sentAt.toFixed(0)}`,
    );
  }
}

/** in = passed + stored, and stored = delivered + expired + dropped + elsewhere + waiting. */
function checkRelays({ relays, violate }: StackWorld): void {
  for (const { name, store } of relays) {
    if (store === undefined) continue;
    const { taken, passed, stored, withdrawn, held, found, delivered, expired, dropped, elsewhere, waiting } =
      store.counts();
    if (taken !== passed + stored + withdrawn + held) {
      violate(
        "balance",
        `${name} took ${taken}: ${passed} passed, ${stored} stored, ${withdrawn} withdrawn, ${held} held`,
      );
    }
    if (found + stored !== delivered + expired + dropped + elsewhere + waiting) {
      violate(
        "balance",
        `${name} found ${found} and stored ${stored}: ${delivered} delivered, ${expired} expired, ${dropped} dropped, ${elsewhere} elsewhere, ${waiting} wait`,
      );
    }
    if (held > 0) violate("balance", `${name} holds ${held} mails in memory though nothing is under way`);
  }
}

/** Each message ended once, and nothing of peers that were never met is kept. */
function checkPeers({ peers, stations, violate }: StackWorld): void {
  for (const { name, node } of peers) {
    const stats = node.stats();
    const { messagesOut, resumed, delivered, rejected, expired, unreachable, waitingSends, links, sessions } = stats;
    const ended = delivered + rejected + expired + unreachable;
    if (ended > messagesOut + resumed) {
      violate("balance", `${name} sent ${messagesOut} messages and resumed ${resumed}, of which ${ended} ended`);
    }
    if (waitingSends > 0) violate("P5", `${waitingSends} messages of ${name} wait for room`);
    if (links > 4 * stations.length) violate("P5", `${name} has ${links} links`);
    if (sessions > 10 * (stations.length + 1)) violate("P5", `${name} has ${sessions} sessions`);
  }
}
