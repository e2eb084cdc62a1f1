/**
 * A peer of a running node that says whatever it likes, over as many links as it likes: in its session, and with what others said. It
 * may spoil what it says itself; nothing else, and nothing of it stays when it is gone.
 */
import assert from "node:assert/strict";
import { createIdentity, defaultCryptoProvider, Mesgen, MesgenError } from "@egtp/mesgen";
import { MemorySessionStore, SessionMaps } from "@egtp/session-store";
import { type Damage, damaged } from "@egtp/test-kit/damage";
import { type FuzzRun, fuzz, someDamage } from "@egtp/test-kit/fuzz-run";
import { concatBytes, defineMessage, fromHex, type Strategy, signContactRecord } from "@egtp/wire";
import fc from "fast-check";
import { MemoryNetwork } from "../src/memory.ts";
import type { Link } from "../src/transport.ts";
import { World, type WorldNode } from "./world.ts";

const note = defineMessage("test/note");
const ask = defineMessage("test/ask");
const signal = new AbortController().signal;

const deed = fc.record({
  what: fc.constantFrom("say", "say", "say", "say", "say", "forge", "replay", "noise", "dial", "hang up"),
  frames: fc.array(fc.nat(), { minLength: 1, maxLength: 5 }),
  steps: someDamage,
  link: fc.nat(),
  pick: fc.nat(),
  isApplication: fc.boolean(),
  laterMs: fc.oneof(fc.constant(0), fc.nat(30), fc.nat(30), fc.nat(5_000)),
});
type Deed = typeof deed extends fc.Arbitrary<infer One> ? One : never;

/** Frames: `V` is the epoch of whoever hears them, `L` that of who says them. */
const frames = [
  "00",
  "09",
  "050102030405060708",
  "060102030405060708",
  "080005",
  "0800ffffffffffffff0f",
  "0aL",
  "0a0000000000000000",
  "01V000100010100",
  "01V00010005010005",
  "01V00010080808001ffffff7f00",
  "02V0001",
  "02Vffffff7f07",
  "030100112233445566778899aabbccddeeff00",
  "030100112233445566778899aabbccddeeff0101020304050607080000018000000000",
  "4700000109746573742f6e6f74656869",
  "670001010874" + "6573742f61736b6869",
  "4500050968",
  "4b000001097465" + "73742f6e6f7465008080040268" + "69",
  "4d000101ffffffffffffff0f00",
  "8500006869",
  "85000100",
  "8700V000168",
  "07",
  "0700",
];

/** @param run - Of how many scenes, each with new peers. A failure prints the seed, and the fewest deeds that show it. */
export async function peersSayAnything(run: FuzzRun): Promise<void> {
  await fuzz(
    fc.asyncProperty(
      fc.array(deed, { minLength: 1, maxLength: 80, size: "max" }),
      fc.boolean(),
      async (deeds, sealedSender) => {
        await new Scene(sealedSender).run(deeds);
      },
    ),
    run,
  );
}

class Scene {
  readonly #world = new World();
  readonly #identity = createIdentity();
  readonly #transport = this.#world.network.transport("liar", { listen: true });
  readonly #links: Link[] = [];
  readonly #sealedSender: boolean;
  readonly #heard: number[] = [];
  #mesgen!: Mesgen;
  #victim!: WorldNode;
  #friend!: WorldNode;
  /** Challenges that it got and did not answer. */
  #challenges: Uint8Array[] = [];

  constructor(sealedSender: boolean) {
    this.#sealedSender = sealedSender;
  }

  async run(deeds: readonly Deed[]): Promise<void> {
    const { time, traffic } = this.#world;
    const sealedSender = this.#sealedSender;
    this.#victim = await this.#world.join("victim", { sealedSender });
    this.#friend = await this.#world.join("friend", { sealedSender });
    this.#victim.node.handle(ask, ({ body }) => body);
    this.#friend.node.handle(note, ({ body }) => void this.#heard.push(body[0]!));
    const random = (length: number) => defaultCryptoProvider.randomBytes(length);
    const maps = SessionMaps.open(new MemorySessionStore(), { now: time.now(), random, bornWithIdentity: true });
    this.#mesgen = new Mesgen({ identity: this.#identity, maps });
    const served = await this.#transport.serve({ peer: this.#identity.peer }, (link) => this.#use(link));
    await this.#asks(1);
    let asked = 1;
    const outcomes: Promise<unknown>[] = [];
    for (const [at, one] of deeds.entries()) {
      await this.#do(one);
      if (one.laterMs > 0) await time.pass(one.laterMs);
      if (at % 25 === 10) await this.#asks(++asked);
      if (at % 25 === 5) {
        // It says something to the liar, too, wherever that may be.
        outcomes.push(this.#victim.node.send(this.#identity.peer, note, Uint8Array.of(at), { timeoutMs: 30_000 }));
      }
    }
    await this.#asks(++asked);
    await time.of(Promise.all(outcomes));
    await time.pass(60_000);
    assert.deepEqual(
      this.#heard,
      Array.from({ length: asked }, (_, at) => at + 1),
    );
    // P6: when nobody says anything any more nothing leaves, but for the refusal of what no handler took in its time: mostly a minute.
    await time.pass(60_000);
    const said = traffic.filter(({ from }) => from === "victim").length;
    await time.pass(60_000);
    assert.ok(traffic.filter(({ from }) => from === "victim").length - said <= 1);
    for (const link of this.#links) link.close();
    await time.of(served.stop());
    await this.#world.end();
  }

  /** Victim and friend go on as if nothing were. */
  async #asks(number: number): Promise<void> {
    const { time } = this.#world;
    const body = Uint8Array.of(number);
    assert.deepEqual(await time.of(this.#friend.node.request(this.#victim.node.peerId, ask, body)), body);
    const { state } = await time.of(this.#victim.node.send(this.#friend.node.peerId, note, body));
    assert.equal(state, "delivered");
  }

  async #do({ what, frames: chosen, steps: damages, link: which, pick, isApplication }: Deed): Promise<void> {
    const { time, traffic } = this.#world;
    if (what === "dial" || this.#links.length === 0) {
      if (this.#links.length >= 20) return;
      const dialling = this.#transport.dial(MemoryNetwork.strategy("victim"), this.#victim.node.peerId, { signal });
      this.#use(await time.of(dialling));
      return;
    }
    const link = this.#links[which % this.#links.length]!;
    if (what === "hang up") link.close();
    else if (what === "say") {
      const said = this.#seal(chosen, damages, isApplication);
      if (said !== undefined) link.send(said);
    } else if (what === "noise") {
      const noise = damaged(new Uint8Array(1 + (pick % 300)), new Uint8Array(90).fill(1), damages);
      if (noise.length > 0) link.send(noise);
    } else {
      const seen = traffic[pick % traffic.length]!.envelope;
      const other = traffic[which % traffic.length]!.envelope;
      const made = what === "replay" ? seen.slice() : damaged(seen, other, damages);
      if (made.length > 0 && made.length < 60_000) link.send(made);
    }
  }

  #use(link: Link): void {
    this.#links.push(link);
    link.start({
      envelope: (bytes) => {
        const opened = this.#mesgen.open(bytes.slice(), this.#world.time.now());
        if (opened.kind === "opened") {
          link.authenticated();
          const at = opened.frames.indexOf(0x05);
          if (at >= 0) this.#challenges.push(opened.frames.slice(at + 1, at + 9));
        }
        link.resume();
      },
      drain: () => {},
      closed: () => {
        const at = this.#links.indexOf(link);
        if (at >= 0) this.#links.splice(at, 1);
      },
    });
  }

  #seal(chosen: readonly number[], damages: readonly Damage[], application: boolean): Uint8Array | undefined {
    const now = this.#world.time.now();
    const pieces = chosen.map((which) => this.#frame(which));
    const plaintext = damaged(concatBytes(...pieces), pieces[0]!, damages).subarray(0, 60_000);
    try {
      const carrier = this.#mesgen.carrier(this.#victim.node.peerId, now, { application });
      return this.#mesgen.seal(carrier, plaintext, now, {}).slice();
    } catch (error) {
      if (error instanceof MesgenError) return undefined;
      throw error;
    }
  }

  #frame(which: number): Uint8Array {
    const extra = which % (frames.length + 6);
    const victim = this.#victim.node.epoch;
    if (extra < frames.length) {
      return fromHex(frames[extra]!.replaceAll("V", victim).replaceAll("L", this.#mesgen.epoch));
    }
    if (extra < frames.length + 2) {
      const challenge = this.#challenges.at(-1) ?? new Uint8Array(8);
      return concatBytes(Uint8Array.of(0x06), challenge);
    }
    const strategies: Strategy[] = [MemoryNetwork.strategy(["liar", "friend", "victim", "nowhere"][which % 4]!)];
    const seq = [1, 2, 3, 2 ** 53 - 1][(which >> 2) % 4]!;
    const record = signContactRecord(
      {
        id: this.#identity.peer,
        seq,
        issued: this.#world.time.now(),
        ttl: 86_400_000,
        strategies,
        services: [],
        gone: false,
      },
      (message) => this.#identity.keys.sign(message),
    );
    return concatBytes(Uint8Array.of(0x04, 0x80 | (record.length & 0x7f), record.length >> 7), record);
  }
}
