/** Two peers in homes behind routers that let only outgoing connections through, and what can happen to a home's line or machine. */
import { setTimeout as passes } from "node:timers/promises";
import { now } from "../src/orders.ts";
import { account, expectTally } from "./account.ts";
import { type Home, Network, openAddress } from "./network.ts";
import type { Peer } from "./peer.ts";
import type { Place } from "./place.ts";

export interface ChangeFigures {
  /** From the change until bob's node found its link dead. */
  readonly noticedMs: number | undefined;
  /** From when the way was there again until something that was sent after that was handled, at bob and at alice. */
  readonly healedMs: number;
  readonly sent: number;
  readonly again: number;
}

export class TwoHomes implements Disposable {
  readonly bob: Peer;
  readonly bobsHome: Home;
  readonly #alice: Peer;
  readonly #network: Network;
  #changes = 0;

  /** Two peers that have talked, through a relay in the open net. */
  static async begin(place: Place): Promise<TwoHomes> {
    const network = new Network();
    try {
      const open = { namespace: network.open, host: "0.0.0.0", args: ["--public-host", openAddress] };
      const metatracker = await place.metatracker("metatracker", open);
      const bootPage = new URL(metatracker.bootPage);
      bootPage.hostname = "127.0.0.1"; // nothing else is believed without TLS, unless it is allowed
      await place.relay(bootPage.href, "relay", open);
      bootPage.hostname = openAddress;
      const [home, bobsHome] = [network.home(), network.home()];
      const alice = place.peer("alice", bootPage.href, { allowInsecure: true }, home.namespace);
      const bob = place.peer("bob", bootPage.href, { allowInsecure: true }, bobsHome.namespace);
      await Promise.all([alice.start(), bob.start()]);
      await Promise.all([alice.registered(), bob.registered()]);
      await Promise.all([alice.order("ask", { to: bob.id }), bob.order("ask", { to: alice.id })]);
      return new TwoHomes(network, alice, bob, bobsHome);
    } catch (error) {
      network[Symbol.dispose]();
      throw error;
    }
  }

  private constructor(network: Network, alice: Peer, bob: Peer, bobsHome: Home) {
    this.#network = network;
    this.#alice = alice;
    this.bob = bob;
    this.bobsHome = bobsHome;
  }

  /**
   * Changes something in the midst of streams in both directions, and sees to it that both go on and nothing is lost.
   *
   * @param lastsMs - After this time what was changed is undone.
   */
  async change(make: () => void, lastsMs = 0, undo = (): void => {}): Promise<ChangeFigures> {
    const both = [
      { from: this.#alice, to: this.bob, batch: `to-bob-${++this.#changes}` },
      { from: this.bob, to: this.#alice, batch: `to-alice-${this.#changes}` },
    ];
    const sending = both.map(({ from, to, batch }) => from.send(to, batch, "until enough", { window: 4 }));
    await Promise.all(both.map(({ to, batch }) => to.handled(batch, 200)));
    const changedAt = now();
    make();
    if (lastsMs > 0) await passes(lastsMs);
    undo();
    const backAt = now();
    const before = both.map(({ to, batch }) => to.effects().filter((effect) => effect.batch === batch).length);
    await Promise.all(both.map(({ to, batch }, at) => to.handled(batch, before[at]! + 200)));
    for (const { from, batch } of both) await from.order("enough", batch);
    let sent = 0;
    let again = 0;
    let healedMs = 0;
    for (const [at, { to, batch }] of both.entries()) {
      const { delivered = 0, ...others } = await sending[at]!;
      expectTally(others, {});
      const counted = account(to, batch, delivered);
      sent += delivered;
      again += counted.again;
      const first = to.effects().find((effect) => effect.batch === batch && effect.sentAt >= backAt)!;
      healedMs = Math.max(healedMs, Math.round(first.at - backAt));
    }
    const isNoticed = (event: string): boolean => /"state":"(?:silent|lost|closed)"/.test(event);
    const noticedAt = this.bob.firstEvent(changedAt, isNoticed);
    return { noticedMs: noticedAt && Math.round(noticedAt - changedAt), healedMs, sent, again };
  }

  [Symbol.dispose](): void {
    this.#network[Symbol.dispose]();
  }
}
