/**
 * One story of two peers for each seed: a while of all kinds of traffic over a bad network, links that break, handlers
 * that fail, perhaps crashes; then peace, in which everything must come to its end.
 */
import { partBytes } from "@egtp/wire";
import { expect } from "vitest";
import { bytes, Mailbox, type Peer, pair, type Sent, type World } from "./delivery-pair.ts";

interface Story {
  readonly world: World;
  readonly peers: readonly Peer[];
  /** Messages sent by runs that are still alive, or kept by earlier ones, which nothing may lose. */
  readonly unsettled: () => string[];
}

/**
 * @param length - 1: a second or so of traffic.
 * @param through - A relay for one of them, or for both: then mailboxes stand in the place of links.
 * @param keeps - Messages outlive the runs that sent them.
 */
export function tell(
  seed: number,
  crashes: ("kept" | "lost")[],
  length = 1,
  through: "links" | "relay" | "relays" = "links",
  keeps = false,
): Story {
  const limits = { defaultDeadlineMs: 600_000, maxHeldMessages: 60, maxHeldBytes: 400_000 };
  const { world, alice, bob } = pair({ seed, limits });
  const peers = [alice, bob];
  const { random, network } = world;
  const severity = random();
  network.loss = 0.4 * severity * random();
  network.repeat = 0.3 * random();
  network.reorder = 0.5 * random();
  network.latencyMs = 1 + Math.floor(60 * random());
  const isSlowStore = world.chance(0.5);
  const mailboxes = peers.slice(0, { links: 0, relay: 1, relays: 2 }[through]).map((peer) => new Mailbox(peer));
  for (const mailbox of mailboxes) {
    mailbox.owner.mailbox = mailbox;
    Object.assign(mailbox, { refuses: 0.1 * random(), forgets: 0.1 * random(), cuts: 0.1 * random() });
  }

  for (const peer of peers) {
    peer.keeps = keeps;
    if (keeps) peer.writeBehindMs = 1 + 1_000 * random();
    peer.commitMs = isSlowStore ? 1 + Math.floor(20 * random()) : 0;
    peer.handle("sync", () => "handled");
    peer.handleLater("slow", () => (world.chance(0.1) ? 3_000 : 40) * random());
    peer.handle("fail", () => (world.chance(0.5) ? "failed" : "refused"));
    peer.handle("ask", (incoming) => {
      peer.delivery.reply(incoming, incoming.body, world.now);
      return "handled";
    });
    world.at(2_000 * random(), () => peer.isUp && peer.handle("late", () => "handled"));
  }
  const types = ["sync", "sync", "slow", "fail", "ask", "slow", "late"];
  const until = length * (300 + 1_000 * random());
  const pause = 10 + (100 * random()) / length;
  const busy = (): void => {
    if (world.now > 1_000_000 + until) return;
    world.at(pause * random(), busy);
    const peer = peers[Math.floor(2 * random())]!;
    if (!peer.isUp) return;
    for (let count = world.chance(0.1) ? 30 : 1; count > 0; count--) {
      const type = types[Math.floor(types.length * random())]!;
      const size = world.chance(0.03) ? Math.floor(5 * partBytes * random()) : Math.floor(50 * random());
      peer.send(type, bytes(size), {
        request: type === "ask" || (type === "slow" && world.chance(0.5)),
        prompt: world.chance(0.3),
        established: world.chance(0.1),
        ...(world.chance(0.1) ? { deadlineAt: world.now + 400 * random() } : {}),
      });
    }
  };
  busy();
  const trouble = (): void => {
    if (world.now > 1_000_000 + until) return;
    world.at(1_000 * random(), trouble);
    const peer = peers[Math.floor(2 * random())]!;
    if (!peer.isUp) return;
    const what = random();
    if (what < 0.4 && crashes.length > 0) peer.crash(crashes[Math.floor(crashes.length * random())]!, 200 * random());
    else if (what < 0.7) peer.relink();
    else if (what < 0.8 && peer.sent.length > 0) peer.delivery.cancel(peer.sent.at(-1)!.outgoing, world.now);
  };
  trouble();
  world.run(until + 300);
  Object.assign(network, { loss: 0, repeat: 0, reorder: 0 });
  for (const mailbox of mailboxes) Object.assign(mailbox, { refuses: 0, forgets: 0, cuts: 0 });
  for (const peer of peers) if (peer.isUp) peer.handle("late", () => "handled");
  // What a mailbox lost is noticed when its recipient is heard.
  if (keeps) for (const peer of peers) peer.send("sync", bytes(1));
  world.settle(900_000);

  return {
    world,
    peers,
    unsettled: () =>
      peers.flatMap((peer) =>
        peer.sent
          .filter((sent) => isToEnd(sent, peer) && sent.outcome === undefined && !sent.outgoing.isDone)
          .filter((sent) => sent.before === undefined)
          .map((sent) => `seed ${seed}: ${sent.outgoing.type} ${sent.id}`),
      ),
  };
}

/** Whether its sender, as it is now, must bring it to an end. */
function isToEnd(sent: Sent, peer: Peer): boolean {
  return sent.run === peer.runs || (sent.isKept && !sent.isGone);
}

/** P1, P2, P4, P6, and that nothing is called delivered that never ran. */
export function check({ world, peers, unsettled }: Story): void {
  expect(world.violations).toEqual([]);
  expect(unsettled()).toEqual([]);
  const { seed, sent } = world;
  world.run(3_600_000);
  expect({ seed, spurious: world.sent - sent, awake: peers.map((peer) => peer.nextDeadline) }).toEqual({
    seed,
    spurious: 0,
    awake: [Infinity, Infinity],
  });
  for (const peer of peers) {
    expect({ seed, size: peer.delivery.outboxSize(peer.other.id) }).toEqual({ seed, size: { messages: 0, bytes: 0 } });
    expect({ seed, faults: peer.faults }).toEqual({ seed, faults: [] });
    expect({ seed, kept: peer.keptIds() }).toEqual({ seed, kept: [] });
    for (const sent of peer.sent) {
      const { outgoing, outcome } = sent;
      if (!isToEnd(sent, peer) || outcome === undefined || outcome.state === "expired") continue;
      // Its deadline passed before it could leave.
      if (outcome.state === "unreachable" && world.now >= outgoing.deadlineAt) continue;
      // A reply dies with the run that made it, and the requester is told.
      if (outgoing.isRequest && peer.other.runs > 1 && outcome.state === "rejected" && outcome.reason === "reply-lost")
        continue;
      const expected = outgoing.type === "fail" ? "rejected" : outgoing.isRequest ? "replied" : "delivered";
      expect({ seed, type: outgoing.type, outcome: outcome.state }).toEqual({
        seed,
        type: outgoing.type,
        outcome: expected,
      });
    }
  }
}
