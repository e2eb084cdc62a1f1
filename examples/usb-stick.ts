/**
 * Messages on a USB stick: sessions and delivery over a medium of one's own, without a node, a network or a clock that is right.
 *
 * The stick is a folder. Each side writes what it has to say, carries the stick over, and reads what the other one wrote. What
 * was on it can be lost, copied or read by anybody. Half of what bob writes is lost here, and still each message is handled once.
 */
import { randomInt } from "node:crypto";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createIdentity, defaultCryptoProvider, Mesgen } from "@egtp/mesgen";
import { Delivery } from "@egtp/node/delivery";
import { Endpoint } from "@egtp/node/endpoint";
import { MemorySessionStore, SessionMaps } from "@egtp/session-store";
import type { PeerId } from "@egtp/wire";

const stick = await mkdtemp(join(tmpdir(), "usb-stick-"));
/** Time passes as the stick travels: an hour each way. */
let now = Date.now();

class Peer {
  readonly name: string;
  readonly id: PeerId;
  readonly #endpoint: Endpoint;
  readonly #isLossy: boolean;
  #written = 0;
  /** Messages of which nothing is known yet. */
  #open = 0;

  constructor(name: string, { isLossy = false } = {}) {
    this.name = name;
    this.#isLossy = isLossy;
    const identity = createIdentity();
    this.id = identity.peer;
    const random = (count: number) => defaultCryptoProvider.randomBytes(count);
    const maps = SessionMaps.open(new MemorySessionStore(), { now, random, bornWithIdentity: true });
    const mesgen = new Mesgen({ identity, maps });
    const delivery = new Delivery({
      epoch: mesgen.epoch,
      maps,
      sink: {
        deliver: ({ body }) => {
          console.log(`${name} reads: ${new TextDecoder().decode(body)}`);
          return "handled";
        },
        settled: ({ context }, { state }) => {
          this.#open -= 1;
          console.log(`${name} knows: "${String(context)}" was ${state}`);
        },
        replied: () => {},
        stored: () => {},
        room: () => {},
      },
    });
    this.#endpoint = new Endpoint({ mesgen, delivery, maps });
  }

  say(to: Peer, text: string): void {
    this.#open += 1;
    const body = new TextEncoder().encode(text);
    const deadlineAt = now + 7 * 86_400_000;
    this.#endpoint.delivery.enqueue(to.id, { type: "stick/text", body, deadlineAt, context: text }, now);
  }

  /** Puts everything on the stick that is due. */
  async write(): Promise<void> {
    const endpoint = this.#endpoint;
    await endpoint.tick(now);
    // Receipts speak only of what is kept.
    const settling = endpoint.settle(now);
    if (settling !== undefined) {
      await settling.commit;
      endpoint.committed(settling.generation, now);
    }
    for (const to of endpoint.takeDue(now)) {
      for (let envelope = endpoint.next(to, now); envelope !== undefined; envelope = endpoint.next(to, now)) {
        if (this.#isLossy && randomInt(2) === 0) continue;
        await writeFile(join(stick, `${to.slice(0, 8)}-${this.name}-${++this.#written}`), envelope);
      }
    }
  }

  /** Takes everything from it that is for this peer. */
  async read(): Promise<void> {
    for (const file of await readdir(stick)) {
      if (!file.startsWith(this.id.slice(0, 8))) continue;
      const path = join(stick, file);
      const received = this.#endpoint.receive(await readFile(path), now);
      if (received.kind === "opened" && received.held !== undefined) {
        await received.held; // what a replay must not bring back is written first
        this.#endpoint.resume(received.peer, now);
      }
      await rm(path);
    }
  }

  get isDone(): boolean {
    return this.#open === 0;
  }
}

const alice = new Peer("alice");
const bob = new Peer("bob", { isLossy: true });
alice.say(bob, "the first message");
alice.say(bob, "and the second");

for (let trips = 0; trips < 200 && !alice.isDone; trips++) {
  for (const [from, to] of [[alice, bob] as const, [bob, alice] as const]) {
    await from.write();
    now += 3_600_000;
    await to.read();
  }
}
await rm(stick, { recursive: true });

/* prints
bob reads: the first message
bob reads: and the second
alice knows: "the first message" was delivered
alice knows: "and the second" was delivered
*/
