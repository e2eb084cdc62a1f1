/**
 * A peer that has a session like any other and says in it whatever it likes: runs of frames that nobody sends, in any order,
 * damaged, with numbers out of all bounds. It may spoil what it says itself; nothing else.
 */
import assert from "node:assert/strict";
import { createIdentity, defaultCryptoProvider, Mesgen, MesgenError } from "@egtp/mesgen";
import { MemorySessionStore, SessionMaps } from "@egtp/session-store";
import { concatBytes, type Epoch, fromHex, type PeerId } from "@egtp/wire";
import fc from "fast-check";
import { Delivery, type Incoming, type Outcome, type Outgoing, type Verdict } from "../src/delivery.ts";
import { Endpoint } from "../src/endpoint.ts";

const start = 1_800_000_000_000;
const envelopesOfOneRun = 200;

/** Frames as they are on the wire: `E` is the epoch of whoever hears them, `M` that of who sends them. */
export const corpus = [
  "00",
  "09",
  "050102030405060708",
  "060102030405060708",
  "080005",
  "0800ffffffffffffff0f",
  "08ffffffffffffff0701",
  "0aM",
  "0a0000000000000000",
  // Receipts: of what was sent, of everything, of what never was; complete ones too.
  "01E000100010100",
  "01E00010005010005",
  "01E0100050100050100",
  "01E00010080808001ffffff7f00",
  "01E01ffffffffffff7f01010001000100",
  "01E0001ffffffffffff0f0100",
  "010000000000000000000100010100",
  // Rejections.
  "02E0001",
  "02E0204",
  "02Effffff7f07",
  // Rejected lists, of sessions that nobody has; with a tag and a floor.
  "030100112233445566778899aabbccddeeff00",
  "030100112233445566778899aabbccddeeff0101020304050607080000018000000000",
  // Messages: named, unnamed, requests, with a deadline that is over, in parts that do not fit, far ahead, below the base.
  "4700000109746573742f6e6f74656869",
  "43000001097465" + "73742f6e6f7465026869",
  "67000101097465" + "73742f6e6f74656869",
  "57000101097465" + "73742f6e6f7465006869",
  "47ffffffffffffff0f000104746573746869",
  "47feffffffffffff0f010104746573746869",
  "47feffffffffffff0f0001047465737468690a",
  "4700ffffffffffffff0f0104746573746869",
  "57000001047465737401ffffffffffffff0f6869",
  "4500050968",
  "4b000001097465" + "73742f6e6f7465008080040268" + "69",
  "4d000101ffffffffffffff0f00",
  "47ffffff7f00010a6874657374",
  "45808004ffffffff0f0168",
  "440001",
  // Replies, to what was asked and to what was not.
  "8500006869",
  "85000100",
  "8700ffff03E0101",
  "8700E000168",
  "8d00010002808004",
];

/** @param runs - Each with new peers and two hundred envelopes. A failure prints the seed of its run. */
export function sayAnything(runs: number): void {
  fc.assert(
    fc.property(fc.integer(), (seed) => {
      new Scene(seed).run();
    }),
    { numRuns: runs, endOnFailure: true },
  );
}

class Scene {
  readonly #victim = new Party();
  readonly #friend = new Party();
  readonly #liar = new Party();
  #now = start;
  #random: number;

  constructor(seed: number) {
    this.#random = seed | 1;
  }

  run(): void {
    const [victim, friend, liar] = [this.#victim, this.#friend, this.#liar];
    for (const text of ["1", "2", "3"]) {
      victim.say(liar.id, text, this.#now);
      victim.say(friend.id, text, this.#now);
      friend.say(victim.id, text, this.#now);
    }
    this.#exchange();
    for (let done = 1; done <= envelopesOfOneRun; done++) {
      this.#now += this.#below(200);
      const lie = this.#lie();
      if (lie !== undefined) victim.endpoint.receive(lie, this.#now);
      if (done % 20 === 0) {
        victim.say(liar.id, `to the liar ${done}`, this.#now);
        victim.say(friend.id, `down ${done}`, this.#now);
        friend.say(victim.id, `up ${done}`, this.#now);
        this.#exchange();
      }
    }
    const expected = (way: string) => [
      "1",
      "2",
      "3",
      ...Array.from({ length: envelopesOfOneRun / 20 }, (_, at) => `${way} ${20 * (at + 1)}`),
    ];
    // Those who do not lie have lost nothing by it, and got nothing that they did not send.
    assert.deepEqual(victim.readFrom(friend.id), expected("up"));
    assert.deepEqual(friend.readFrom(victim.id), expected("down"));
    assert.deepEqual(
      victim.outcomesOf(friend.id),
      expected("down").map(() => "delivered"),
    );
    // What the liar took the trouble to settle is settled once.
    assert.ok(victim.outcomesOf(liar.id).length <= 3 + envelopesOfOneRun / 20);
  }

  /** Victim and friend say what they have to say, and the victim answers the liar, who does not listen. */
  #exchange(): void {
    for (let round = 0; round < 4; round++) {
      this.#now += 30;
      for (const envelope of this.#victim.turn(this.#friend.id, this.#now)) {
        this.#friend.endpoint.receive(envelope, this.#now);
      }
      for (const envelope of this.#friend.turn(this.#victim.id, this.#now)) {
        this.#victim.endpoint.receive(envelope, this.#now);
      }
      // It hears only what makes sessions: else it could not go on lying under one.
      for (const envelope of this.#victim.turn(this.#liar.id, this.#now)) {
        this.#liar.endpoint.mesgen.open(envelope, this.#now);
      }
    }
  }

  #lie(): Uint8Array | undefined {
    const { mesgen } = this.#liar.endpoint;
    const pieces: Uint8Array[] = [];
    for (let left = 1 + this.#below(6); left > 0; left--) {
      const frame = corpus[this.#below(corpus.length)] as string;
      pieces.push(fromHex(frame.replaceAll("E", this.#victim.epoch).replaceAll("M", this.#liar.epoch)));
    }
    const frames = concatBytes(...pieces);
    for (let left = this.#below(3); left > 0; left--) frames[this.#below(frames.length)] = this.#below(256);
    try {
      const carrier = mesgen.carrier(this.#victim.id, this.#now, { application: this.#below(2) === 0 });
      return mesgen.seal(carrier, frames, this.#now, this.#below(40) === 0 ? { close: 0 } : {});
    } catch (error) {
      if (error instanceof MesgenError) return undefined;
      throw error;
    }
  }

  /** Xorshift: a whole number below `end`. */
  #below(end: number): number {
    this.#random ^= this.#random << 13;
    this.#random ^= this.#random >>> 17;
    this.#random ^= this.#random << 5;
    return (this.#random >>> 0) % end;
  }
}

const random = (length: number) => defaultCryptoProvider.randomBytes(length);

/** Somebody with a session layer, delivery and a store, who reads texts. */
export class Party {
  readonly #identity = createIdentity();
  readonly #read: { from: PeerId; text: string }[] = [];
  readonly #outcomes: { to: PeerId; state: string }[] = [];
  readonly #store = new MemorySessionStore();
  readonly #maps: SessionMaps;
  readonly endpoint: Endpoint;

  constructor() {
    const maps = SessionMaps.open(this.#store, { now: start, random, bornWithIdentity: true });
    this.#maps = maps;
    const mesgen = new Mesgen({ identity: this.#identity, maps });
    const sink = {
      deliver: ({ peer, body }: Incoming): Verdict => {
        this.#read.push({ from: peer, text: new TextDecoder().decode(body) });
        return "handled";
      },
      settled: ({ peer }: Outgoing, { state }: Outcome) => void this.#outcomes.push({ to: peer, state }),
      replied: () => {},
      stored: () => {},
      room: () => {},
    };
    this.endpoint = new Endpoint({
      mesgen,
      delivery: new Delivery({ epoch: mesgen.epoch, maps, sink, limits: {} }),
      maps,
    });
  }

  get id(): PeerId {
    return this.#identity.peer;
  }

  get epoch(): Epoch {
    return this.endpoint.mesgen.epoch;
  }

  readFrom(peer: PeerId): string[] {
    return this.#read.filter(({ from }) => from === peer).map(({ text }) => text);
  }

  outcomesOf(peer: PeerId): string[] {
    return this.#outcomes.filter(({ to }) => to === peer).map(({ state }) => state);
  }

  commit(): unknown {
    return this.#maps.commit();
  }

  /** Records that a run after this one could not read. */
  damagedAfterRestart(now: number): number {
    return SessionMaps.open(this.#store, { now, random }).damaged.length;
  }

  say(to: PeerId, text: string, now: number): void {
    this.endpoint.delivery.enqueue(to, { type: "test/note", body: new TextEncoder().encode(text) }, now);
  }

  /** What leaves in a turn. */
  turn(to: PeerId, now: number): Uint8Array[] {
    this.endpoint.settle(now);
    void this.endpoint.tick(now);
    const envelopes: Uint8Array[] = [];
    for (;;) {
      const envelope = this.endpoint.next(to, now, undefined, undefined, false);
      if (envelope === undefined) return envelopes;
      envelopes.push(envelope);
      // P5: nothing that is heard makes it talk without end.
      assert.ok(envelopes.length < 100);
    }
  }
}
