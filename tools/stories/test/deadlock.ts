/**
 * The deadlock of 2004 with everything real: two peers that are reached by a relay only, and sessions that are lost.
 *
 * Moments of loss are drawn from a seed: so many messages into a stream.
 */
import { expect } from "vitest";
import { account, expectTally, handledOf } from "./account.ts";
import type { Peer } from "./peer.ts";
import type { Place } from "./place.ts";
import { Random } from "./random.ts";
import type { Server } from "./server.ts";

/** How many messages were handed over again, by what was done. */
export type Again = Record<string, number>;

interface Cast {
  readonly relay: Server;
  readonly alice: Peer;
  readonly bob: Peer;
}

/** Two peers that have talked. */
async function open(place: Place): Promise<Cast> {
  const { bootPage } = await place.metatracker();
  const relay = await place.relay(bootPage);
  const alice = place.peer("alice", bootPage);
  const bob = place.peer("bob", bootPage);
  await Promise.all([alice.start(), bob.start()]);
  await Promise.all([alice.registered(), bob.registered()]);
  await Promise.all([alice.order("ask", { to: bob.id }), bob.order("ask", { to: alice.id })]);
  return { relay, alice, bob };
}

async function loseSessions(...peers: readonly Peer[]): Promise<void> {
  await Promise.all(peers.map((peer) => peer.kill()));
  await Promise.all(peers.map((peer) => peer.forget()));
}

async function start(...all: readonly (Peer | Server)[]): Promise<void> {
  await Promise.all(all.map((each) => each.start()));
}

/** The recipient loses its sessions in the midst of a stream to it. */
async function loseInStream(sender: Peer, recipient: Peer, batch: string, random: Random): Promise<number> {
  const count = 200;
  const sending = sender.send(recipient, batch, count);
  await recipient.handled(batch, random.between(1, count - 20));
  await random.moment();
  await loseSessions(recipient);
  await start(recipient);
  expectTally(await sending, { delivered: count });
  const counted = account(recipient, batch, count);
  return counted.again;
}

/** Both send to each other, and everything arrives. */
async function talk(alice: Peer, bob: Peer, batch: string): Promise<number> {
  const count = 50;
  const tallies = await Promise.all([alice.send(bob, batch, count), bob.send(alice, batch, count)]);
  for (const tally of tallies) expectTally(tally, { delivered: count });
  return account(alice, batch, count).again + account(bob, batch, count).again;
}

/** Sessions are lost on one side, on the other, on both: in the midst of streams, and while mail is in the mailbox. */
export async function losses(place: Place, seed: number): Promise<Again> {
  const random = new Random(seed);
  const { alice, bob } = await open(place);
  const again: Again = {};
  again.bob = await loseInStream(alice, bob, "bob", random);
  again.alice = await loseInStream(bob, alice, "alice", random);

  const count = 60;
  const leaveMail = async (batch: string): Promise<void> => {
    await bob.stop();
    expectTally(await alice.send(bob, batch, count, { until: "stored" }), { stored: count });
  };
  const takeMail = async (batch: string): Promise<void> => {
    await bob.handled(batch, count);
    const counted = account(bob, batch, count);
    again[batch] = counted.again;
  };
  await leaveMail("bob-with-mail");
  await bob.forget();
  await bob.start();
  await takeMail("bob-with-mail");

  await leaveMail("alice-with-mail");
  await loseSessions(alice);
  await start(alice, bob);
  await takeMail("alice-with-mail");

  // Nobody can read it any more, nor knows what it was; but it is in nobody's way.
  await leaveMail("both-with-mail");
  await loseSessions(alice, bob);
  await start(alice, bob);
  again.both = await talk(alice, bob, "both");
  expect(handledOf(bob, "both-with-mail")).toBe(0);
  return again;
}

/** Sessions are lost while the relay is gone: killed in the midst of a stream, and started again. */
export async function lossesWithoutRelay(place: Place, seed: number): Promise<Again> {
  const random = new Random(seed);
  const { relay, alice, bob } = await open(place);
  const count = 200;
  const again: Again = {};
  for (const [batch, sender, recipient] of [["bob", alice, bob] as const, ["alice", bob, alice] as const]) {
    const sending = sender.send(recipient, batch, count);
    await recipient.handled(batch, random.between(1, count - 20));
    await random.moment();
    await relay.kill();
    await loseSessions(recipient);
    await start(relay, recipient);
    expectTally(await sending, { delivered: count });
    const counted = account(recipient, batch, count);
    again[batch] = counted.again;
  }
  await relay.kill();
  await loseSessions(alice, bob);
  await start(relay, alice, bob);
  again.both = await talk(alice, bob, "both");
  return again;
}
