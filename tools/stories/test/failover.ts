/**
 * Two peers with two relays, of which one is lost under load: the stream between them goes on through the other. How long
 * that takes is measured by one clock, from the loss to the handling of what was sent after it.
 */
import { now } from "../src/orders.ts";
import { account, expectTally, handledOf } from "./account.ts";
import type { Peer } from "./peer.ts";
import type { Place } from "./place.ts";
import { Random } from "./random.ts";
import type { Server } from "./server.ts";

export interface FailoverFigures {
  /** From the loss to the handling of the first message that was sent after it. */
  readonly nextMs: number;
  /** The longest pause between two messages handled from the loss on. */
  readonly pauseMs: number;
  readonly handled: number;
  readonly again: number;
}

export class Failover {
  readonly #relays: readonly Server[];
  readonly #alice: Peer;
  readonly #bob: Peer;
  readonly #random: Random;
  #rounds = 0;

  /** Two peers, registered with both of two relays. */
  static async begin(place: Place, seed: number): Promise<Failover> {
    const { bootPage } = await place.metatracker();
    const relays = await Promise.all([place.relay(bootPage, "relay 1"), place.relay(bootPage, "relay 2")]);
    const alice = place.peer("alice", bootPage);
    const bob = place.peer("bob", bootPage);
    await Promise.all([alice.start(), bob.start()]);
    await Promise.all([alice.registered(2), bob.registered(2)]);
    await alice.order("ask", { to: bob.id });
    return new Failover(relays, alice, bob, new Random(seed));
  }

  private constructor(relays: readonly Server[], alice: Peer, bob: Peer, random: Random) {
    this.#relays = relays;
    this.#alice = alice;
    this.#bob = bob;
    this.#random = random;
  }

  /**
   * Loses the relay that the stream leads over, lets the other one go on for a while, brings it back, and counts.
   *
   * @param how - `kill`: its process ends, and the system closes its links. `freeze`: nothing is heard of it any more.
   * @param returns - `later`: when everything was delivered without it, as with `never`.
   */
  async lose(how: "kill" | "freeze", returns: "into the stream" | "later" | "never"): Promise<FailoverFigures> {
    const round = ++this.#rounds;
    const batch = `stream-${round}`;
    const before = await Promise.all(this.#relays.map((relay) => relay.count("egtp_relay_in_total")));
    const sending = this.#alice.send(this.#bob, batch, "until enough", { window: 16 });
    await this.#bob.handled(batch, this.#random.between(100, 600));
    const used = await Promise.all(this.#relays.map((relay) => relay.count("egtp_relay_in_total")));
    const at = used[0]! - before[0]! > used[1]! - before[1]! ? 0 : 1;
    const relay = this.#relays[at]!;
    await this.#random.moment();

    const lostAt = now();
    if (how === "freeze") relay.freeze();
    else await relay.kill();
    const soFar = handledOf(this.#bob, batch);
    await this.#bob.handled(batch, soFar + 200);
    const goOn = async (): Promise<void> => {
      if (how === "freeze") await relay.kill();
      await relay.start();
      await Promise.all([this.#alice.registered(2 + round), this.#bob.registered(2 + round)]);
    };
    if (returns === "into the stream") await goOn();
    await this.#alice.order("enough", batch);
    const { delivered = 0, ...others } = await sending;
    expectTally(others, {});
    if (returns === "later") await goOn();

    const counted = account(this.#bob, batch, delivered);
    return { ...this.#times(batch, lostAt), handled: delivered, again: counted.again };
  }

  #times(batch: string, lostAt: number): Pick<FailoverFigures, "nextMs" | "pauseMs"> {
    const effects = this.#bob.effects().filter((effect) => effect.batch === batch && !effect.isAgain);
    const next = effects.find(({ sentAt }) => sentAt >= lostAt)!;
    let pauseMs = 0;
    let last = lostAt;
    for (const { at } of effects) {
      if (at < lostAt) continue;
      pauseMs = Math.max(pauseMs, at - last);
      last = at;
    }
    return { nextMs: Math.round(next.at - lostAt), pauseMs: Math.round(pauseMs) };
  }
}

export function median(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)]!;
}
