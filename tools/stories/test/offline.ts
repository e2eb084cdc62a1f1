/**
 * A thousand messages wait at a relay for a peer that is away, while the relay is killed, the peer's sessions are deleted and
 * their sender starts anew. All of them arrive once it is back, and what one mailbox held arrives as it was sent.
 */
import { account, expectTally } from "./account.ts";
import type { Peer } from "./peer.ts";
import type { Place } from "./place.ts";
import { Random } from "./random.ts";
import type { Server } from "./server.ts";

export interface OfflineFigures {
  /** Envelopes in which the messages waited. */
  readonly mails: number;
  /** Messages, without the time that the relay was away. */
  readonly storedPerSecond: number;
  /** From the start of the recipient's process to the last of them. */
  readonly returnMs: number;
  readonly again: number;
  /** How often a message came after one that was sent later. */
  readonly late: number;
}

export type Meanwhile = "nothing" | "sessions" | "sessions and sender";

const count = 1_000;

export class Offline {
  readonly #relay: Server;
  readonly #alice: Peer;
  readonly #bob: Peer;
  readonly #random: Random;

  /** Two peers that have talked, of which one goes away. Alice keeps what she sends until it is delivered. */
  static async begin(place: Place, seed: number): Promise<Offline> {
    const { bootPage } = await place.metatracker();
    const relay = await place.relay(bootPage);
    const alice = place.peer("alice", bootPage, { keepOutbox: true });
    const bob = place.peer("bob", bootPage);
    await Promise.all([alice.start(), bob.start()]);
    await Promise.all([alice.registered(), bob.registered()]);
    await alice.order("ask", { to: bob.id });
    return new Offline(relay, alice, bob, new Random(seed));
  }

  private constructor(relay: Server, alice: Peer, bob: Peer, random: Random) {
    this.#relay = relay;
    this.#alice = alice;
    this.#bob = bob;
    this.#random = random;
  }

  /**
   * @param meanwhile - What is lost while the mail waits.
   * @param kills - When the relay is killed.
   */
  async tell(batch: string, meanwhile: Meanwhile, kills: "in the midst" | "after" | "never"): Promise<OfflineFigures> {
    await this.#bob.stop();
    const storedPerSecond = await this.#leaveMail(batch, kills === "in the midst");
    if (kills === "after") await this.#restartRelay();
    const mails = await this.#relay.count("egtp_relay_waiting");
    if (meanwhile !== "nothing") await this.#bob.forget();
    if (meanwhile === "sessions and sender") await this.#alice.kill();
    const begun = performance.now();
    await Promise.all([this.#bob.start(), ...(meanwhile === "sessions and sender" ? [this.#alice.start()] : [])]);
    await this.#bob.handled(batch, count);
    const returnMs = Math.round(performance.now() - begun);
    const counted = account(this.#bob, batch, count);
    return { mails, storedPerSecond, returnMs, again: counted.again, late: counted.late };
  }

  /** @returns Messages stored in a second, without the time that the relay was away. */
  async #leaveMail(batch: string, isInterrupted: boolean): Promise<number> {
    const begun = performance.now();
    const sending = this.#alice.send(this.#bob, batch, count, { until: "stored", window: 10 });
    let awayMs = 0;
    if (isInterrupted) {
      await this.#alice.order("ended", { batch, count: this.#random.between(1, count - 20) });
      await this.#random.moment();
      const interrupted = performance.now();
      await this.#restartRelay();
      awayMs = performance.now() - interrupted;
    }
    expectTally(await sending, { stored: count });
    return Math.round((count / (performance.now() - begun - awayMs)) * 1_000);
  }

  async #restartRelay(): Promise<void> {
    await this.#relay.kill();
    await this.#relay.start();
  }
}
