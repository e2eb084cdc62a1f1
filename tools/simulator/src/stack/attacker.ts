/**
 * Somebody who sees everything that travels and belongs to nothing: puts what it recorded, whole, mutated or misdirected, before
 * peers and relays over links of its own, and passes it along through relays as a stranger. It never computes with anybody's keys.
 */

import { createIdentity } from "@egtp/mesgen";
import type { EgtpNode, Link, Transport } from "@egtp/node";
import { defineMessage, type PeerId, peerIdToBytes } from "@egtp/wire";
import { falsify } from "../falsify.ts";
import type { Random } from "../random.ts";
import { label } from "./envelope-watch.ts";
import { Process } from "./process.ts";
import type { StackWorld } from "./stack-world.ts";
import type { Station } from "./station.ts";

/** As @egtp/relay has them; an attacker writes its own bytes. */
const passAlong = defineMessage("relay/pass-along");
const acknowledge = defineMessage("relay/acknowledge");

const lingerMs = 2_000;

export class Attacker {
  /** What it did, by kind. */
  attacks = 0;
  readonly #world: StackWorld;
  readonly #process: Process;
  readonly #transport: Transport;
  #node: EgtpNode | undefined;

  constructor(world: StackWorld) {
    this.#world = world;
    this.#process = new Process(world.clock, 0);
    this.#transport = world.network.transport("mallory", { listen: false, clock: this.#process });
  }

  async start(): Promise<void> {
    const { stack, crypto, relays } = this.#world;
    const node = await stack.createNode({
      identity: createIdentity(crypto),
      transports: [this.#transport],
      schedule: this.#process,
      crypto,
    });
    for (const relay of relays) node.introduce(relay.id, [relay.strategy]);
    await node.start();
    this.#node = node;
  }

  attack(chance: Random): void {
    const { recorded, relays, stations } = this.#world;
    if (recorded.length === 0) return;
    this.attacks += 1;
    const others = [chance.pick(recorded).envelope];
    const names = stations.map(({ id }) => peerIdToBytes(id));
    const bytes = falsify(chance, chance.pick(recorded).envelope, others, names);
    if (relays.length > 0 && chance.chance(0.5)) void this.#passAlong(chance, chance.pick(relays), bytes);
    else void this.#knock(chance, bytes);
  }

  /** Over a link of its own to somebody who listens. */
  async #knock(random: Random, bytes: Uint8Array): Promise<void> {
    const { stations, log } = this.#world;
    const target = random.pick(stations.filter(({ listens }) => listens));
    log(() => `the attacker puts ${label(bytes)} before ${target.name}`);
    let link: Link;
    try {
      link = await this.#transport.dial(target.strategy, target.id, { signal: new AbortController().signal });
    } catch {
      return;
    }
    link.start({ envelope: () => link.resume(), drain: () => {}, closed: () => {} });
    link.send(bytes);
    this.#process.setTimer(() => link.close(), lingerMs * random.unit());
  }

  /** Through a relay, as anybody may. Sometimes it says that mail arrived which is not its own. */
  async #passAlong(random: Random, relay: Station, bytes: Uint8Array): Promise<void> {
    const { peers, log } = this.#world;
    const node = this.#node;
    if (node === undefined) return;
    try {
      if (random.chance(0.1)) {
        log(() => `the attacker acknowledges what is not its own at ${relay.name}`);
        await node.send(relay.id, acknowledge, Uint8Array.of(...random.bytes(8), 1, 1, 100));
        return;
      }
      const recipient: PeerId = random.pick(peers).id;
      log(() => `the attacker passes ${label(bytes)} along at ${relay.name}`);
      const body = new Uint8Array(32 + bytes.length);
      body.set(peerIdToBytes(recipient));
      body.set(bytes, 32);
      await node.request(relay.id, passAlong, body, { timeoutMs: 5_000 });
    } catch {
      // Refused, or out of reach.
    }
  }
}
