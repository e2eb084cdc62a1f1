/**
 * Everything is killed at moments drawn from a seed, while two peers send to each other as fast as they can: peers, relay and
 * metatracker, alone and together, at work and while they start. Afterwards the disks tell whether what was promised holds.
 */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "vitest";
import type { Tally } from "../src/orders.ts";
import { Peer } from "./peer.ts";
import type { Place } from "./place.ts";
import { Random } from "./random.ts";
import type { Server } from "./server.ts";

/** What a kill takes along: of a process what it had in memory; of a machine also what it had not synced. */
export type Loss = "process" | "power";

export interface CrashFigures {
  readonly kills: number;
  /** Of them, of processes that were starting. */
  readonly early: number;
  /** Messages that were promised: settled as stored or delivered, in whatever run. */
  readonly promised: number;
  readonly handled: number;
  /** Handed over again, under the same ID, which has its effect already. */
  readonly again: number;
  /** From the last kill until nothing was under way any more. */
  readonly quietMs: number;
}

interface Cast {
  readonly alice: Peer;
  readonly bob: Peer;
  readonly relay: Server;
  readonly metatracker: Server;
}

/** Who is killed together. Whoever has mail to lose is more often. */
const victims: readonly (readonly (keyof Cast)[])[] = [
  ["alice"],
  ["alice"],
  ["bob"],
  ["bob"],
  ["relay"],
  ["relay"],
  ["metatracker"],
  ["alice", "bob"],
  ["alice", "relay"],
  ["bob", "relay"],
  ["alice", "bob", "relay"],
];

export class Crashes {
  readonly #cast: Cast;
  readonly #loss: Loss;
  readonly #random: Random;
  /** What each peer sends in its present run. */
  readonly #sending = new Map<Peer, readonly { readonly batch: string; readonly ended: Promise<Tally> }[]>();
  #batches = 0;
  #kills = 0;
  #early = 0;

  static async begin(place: Place, seed: number, loss: Loss): Promise<Crashes> {
    const metatracker = await place.metatracker();
    const { bootPage } = metatracker;
    const isPower = loss === "power";
    const relay = await place.relay(bootPage, "relay", {
      program: isPower ? "relay on a disk that loses what was not synced" : "@egtp/relay",
    });
    const options = { keepOutbox: true, losesUnsynced: isPower };
    const alice = place.peer("alice", bootPage, options);
    const bob = place.peer("bob", bootPage, options);
    await Promise.all([alice.start(), bob.start()]);
    const crashes = new Crashes({ alice, bob, relay, metatracker }, loss, new Random(seed));
    crashes.#load(alice);
    crashes.#load(bob);
    return crashes;
  }

  private constructor(cast: Cast, loss: Loss, random: Random) {
    this.#cast = cast;
    this.#loss = loss;
    this.#random = random;
  }

  /** Kills so many processes at least; each comes back. */
  async kill(count: number): Promise<void> {
    const { alice, bob } = this.#cast;
    const enough = this.#kills + count;
    while (this.#kills < enough) {
      const names = victims[this.#random.between(0, victims.length)]!;
      const all = names.map((name) => this.#cast[name]);
      const witness = this.#random.between(0, 2) === 0 ? alice : bob;
      await witness.order("more", { count: this.#random.between(1, 200) });
      await this.#random.moment();
      await this.#killAll(all);
      while (this.#random.between(0, 4) === 0) {
        const starting = Promise.allSettled(all.map((each) => each.start()));
        await this.#random.moment(500);
        await this.#killAll(all);
        await starting;
        this.#early += all.length;
      }
      await Promise.all(all.map((each) => each.start()));
      for (const each of all) if (each instanceof Peer) this.#load(each);
    }
  }

  /** Lets everything come to its end, and makes sure that what was promised was kept. */
  async settle(): Promise<CrashFigures> {
    const { alice, bob, relay } = this.#cast;
    const begun = performance.now();
    for (const [peer, sending] of this.#sending) {
      for (const { batch } of sending) await peer.order("enough", batch);
      await Promise.all(sending.map(({ ended }) => ended));
    }
    await Promise.all([alice.order("quiet", undefined), bob.order("quiet", undefined)]);
    // The last acknowledgements may still be on their way.
    while ((await relay.count("egtp_relay_waiting")) > 0);
    const quietMs = Math.round(performance.now() - begun);
    const both = [audit(alice, bob), audit(bob, alice)];
    const sum = (name: "promised" | "handled" | "again"): number => both.reduce((all, each) => all + each[name], 0);
    return {
      kills: this.#kills,
      early: this.#early,
      promised: sum("promised"),
      handled: sum("handled"),
      again: sum("again"),
      quietMs,
    };
  }

  async #killAll(all: readonly (Peer | Server)[]): Promise<void> {
    await Promise.all(all.map((each) => each.kill()));
    this.#kills += all.length;
    // The relay trusts no sessions that the power may have taken along in part.
    if (this.#loss === "power" && all.includes(this.#cast.relay)) {
      await rm(join(this.#cast.relay.folder, "sessions"), { recursive: true, force: true });
    }
  }

  /** Lets a peer send until it is killed, or until it is enough. */
  #load(peer: Peer): void {
    const { alice, bob } = this.#cast;
    const to = peer === alice ? bob : alice;
    const sending = (["delivered", "stored"] as const).map((until) => {
      const batch = `${until}-${this.#batches++}`;
      const ended = peer.send(to, batch, "until enough", { until, window: 8 });
      ended.catch(() => {}); // its peer was killed
      return { batch, ended };
    });
    this.#sending.set(peer, sending);
  }
}

/** Compares what a sender was promised with what its recipient did. */
function audit(sender: Peer, recipient: Peer): Pick<CrashFigures, "promised" | "handled" | "again"> {
  const effects = recipient.effects();
  const once = effects.filter(({ isAgain }) => !isAgain);
  const placesDone = once.map(({ batch, n }) => `${batch} ${n}`);
  const done = new Set([...placesDone, ...once.map(({ messageId }) => messageId)]);

  const endings = sender.endings();
  const states = new Set(endings.map(({ state }) => state));
  expect([...states].filter((state) => state !== "stored" && state !== "delivered")).toEqual([]);
  const promised = endings.map(({ batch, n }) => `${batch} ${n}`);
  const delivered = sender.settlements().filter(({ outcome }) => outcome === "delivered");
  expect({
    missing: promised.filter((place) => !done.has(place)),
    deliveredWithoutEffect: delivered.filter(({ messageId }) => !done.has(messageId)),
    // A message keeps its ID for good, so that what it asks for happens once.
    underTwoIds: placesDone.length - new Set(placesDone).size,
    underOneId: once.length - new Set(once.map(({ messageId }) => messageId)).size,
  }).toEqual({ missing: [], deliveredWithoutEffect: [], underTwoIds: 0, underOneId: 0 });
  return { promised: promised.length, handled: once.length, again: effects.length - once.length };
}
