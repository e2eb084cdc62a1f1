/**
 * Floods of records and of look-ups over real sockets, from a process of its own, and what becomes of everybody else. The fast suite
 * runs short ones, the slow suite long ones. Asserted by counts that follow from the limits, never by time.
 */

import { defaultCryptoProvider } from "@egtp/mesgen";
import { createIdentity, createNode, type EgtpNode, type Identity, identityFromSeed } from "@egtp/node";
import { tcp } from "@egtp/node/tcp";
import { Latencies } from "@egtp/test-kit/latencies";
import { OrderedChild } from "@egtp/test-kit/ordered-child";
import { usedBytes } from "@egtp/test-kit/used-memory";
import { type PeerId, peerIdToBytes, type Strategy, signContactRecord, verifyContactRecord } from "@egtp/wire";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { helloRequest, lookUpRequest } from "../src/protocol.ts";
import {
  defaultMetatrackerRates,
  MemoryDirectoryStore,
  type MetatrackerRates,
  type MetatrackerServer,
  metatrackerServer,
} from "../src/server.ts";
import type { RecordFlood, RecordFloodReport } from "./flood-child.ts";

export interface RecordFloodSizes {
  /** Peers that nobody knows, each with a key and a session of its own. */
  readonly strangers: number;
  /** Records that the directory holds; fewer than there are strangers. */
  readonly maxRecords: number;
  /** Records of all strangers together that are looked at, at once. */
  readonly burst: number;
  /** Look-ups of each stranger. */
  readonly lookUps: number;
}

/** Peers that published before, and go on using the metatracker. */
const known = 3;
/** Look-ups while nothing is wrong, to compare with. */
const calmLookUps = 200;
const dayMs = 24 * 60 * 60_000;
const mebibyte = 1024 * 1024;
const perSecond = 5;
/** Those who are known look each other up without a pause, which on a quiet machine is faster than one peer may. */
const ask = { burst: 1_000_000, perSecond: 1 };

export function describeRecordFloods({ strangers, maxRecords, burst, lookUps }: RecordFloodSizes): void {
  const flooder = new OrderedChild<RecordFlood, RecordFloodReport>(new URL("flood-child.ts", import.meta.url));
  afterAll(() => flooder.kill());
  const inWorld = (rates: Partial<MetatrackerRates>): (() => DirectoryWorld) => {
    let world: DirectoryWorld;
    beforeAll(async () => {
      world = new DirectoryWorld(flooder);
      await world.start({ ask, ...rates }, maxRecords);
    });
    afterAll(() => world.stop());
    return () => world;
  };

  describe("a flood at a metatracker", () => {
    const world = inWorld({
      strangersPublish: { burst, perSecond },
      strangersAsk: { burst: 2 * burst, perSecond },
    });

    test("of forged records of strangers costs as many signatures as all strangers together may", async () => {
      const flood = { peers: strangers, records: 2, kind: "forged", lookUps: 0 } as const;
      const { heard, seconds, verified } = await world().flood("forged records", flood);
      const { invalid = 0, "too-fast": refused = 0 } = heard;
      expect(invalid + refused).toBe(2 * strangers);
      expect(invalid).toBeGreaterThan(0);
      expect(verified).toBeGreaterThanOrEqual(invalid);
      expect(verified).toBeLessThanOrEqual(burst + perSecond * seconds + 2 * known);
    });

    test("of records of one peer is taken as far as one may go", async () => {
      const { burst: most, perSecond: rate } = defaultMetatrackerRates.publish;
      const flood = { peers: 1, records: 3 * most, kind: "own", lookUps: 0 } as const;
      const { heard, seconds, verified } = await world().flood("records of one peer", flood);
      const { kept = 0, "too-fast": refused = 0 } = heard;
      expect(kept + refused).toBe(3 * most);
      expect(kept).toBeLessThanOrEqual(most + rate * seconds);
      expect(verified).toBeLessThanOrEqual(most + rate * seconds + 2 * known);
    });

    test("of look-ups of strangers is answered as far as all strangers together may go", async () => {
      const flood = { peers: strangers, records: 0, kind: "own", lookUps } as const;
      const { heard, seconds } = await world().flood("look-ups", flood);
      const { answered = 0, rejected = 0 } = heard;
      expect(answered + rejected).toBe(strangers * lookUps);
      expect(answered).toBeGreaterThan(0);
      expect(answered).toBeLessThanOrEqual(2 * burst + perSecond * seconds);
    });
  });

  describe("a flood within the rates", () => {
    const world = inWorld({ strangersPublish: { burst: 2 * strangers, perSecond: 1 } });

    test("leaves the directory within its bounds, and in it whoever publishes meanwhile", async () => {
      const flood = { peers: strangers, records: 1, kind: "own", lookUps: 0 } as const;
      const { heard, memory, records } = await world().flood("records of strangers", flood, true);
      expect(heard).toEqual({ kept: strangers });
      expect(records).toBe(maxRecords);
      expect(memory).toBeLessThanOrEqual(16 * mebibyte);
    });
  });
}

interface RecordDamage {
  readonly heard: RecordFloodReport;
  readonly seconds: number;
  /** Signatures looked at. */
  readonly verified: number;
  /** Records that the directory holds after it. */
  readonly records: number;
  /** Bytes of memory more than before. */
  readonly memory: number;
}

interface Known {
  readonly identity: Identity;
  readonly node: EgtpNode;
  seq: number;
  /** What it published last. */
  record: Uint8Array;
}

class DirectoryWorld {
  readonly #flooder: OrderedChild<RecordFlood, RecordFloodReport>;
  readonly #nodes: EgtpNode[] = [];
  readonly #known: Known[] = [];
  #server!: MetatrackerServer;
  #metatracker!: PeerId;
  #strategy!: Strategy;
  #verified = 0;

  constructor(flooder: OrderedChild<RecordFlood, RecordFloodReport>) {
    this.#flooder = flooder;
  }

  async start(rates: Partial<MetatrackerRates>, maxRecords: number): Promise<void> {
    this.#server = metatrackerServer({ rates, store: new MemoryDirectoryStore({ maxRecords }) });
    const node = await createNode({
      identity: createIdentity(),
      transports: [tcp({ host: "127.0.0.1" })],
      allowPrivateAddresses: true,
      parts: [this.#server],
      services: ["metatracker"],
      crypto: {
        ...defaultCryptoProvider,
        verify: (key, message, signature) => {
          this.#verified += 1;
          return defaultCryptoProvider.verify(key, message, signature);
        },
      },
    });
    await node.start();
    this.#nodes.push(node);
    this.#metatracker = node.peerId;
    [this.#strategy] = verifyContactRecord(node.contactRecord!, Date.now()).strategies as [Strategy];
    for (let i = 0; i < known; i++) {
      const identity = createIdentity();
      this.#known.push({ identity, node: await this.#join(identity), seq: 0, record: new Uint8Array(0) });
      await this.#publish(this.#known[i]!);
    }
    const calm = new Latencies();
    await this.#use(calm, () => calm.count >= calmLookUps);
    console.log(`without a flood: ${calm.text}`);
  }

  async stop(): Promise<void> {
    await Promise.all(this.#nodes.map((node) => node.stop()));
  }

  /**
   * Lets a flood come over the metatracker, while known peers publish and look each other up. Rejects when one of their records is
   * not kept, or not found.
   *
   * @param displaces - What they published before the flood may have made room. What they publish after it is there.
   */
  async flood(
    name: string,
    flood: Omit<RecordFlood, "metatracker" | "strategy">,
    displaces = false,
  ): Promise<RecordDamage> {
    const usedBefore = usedBytes();
    const verifiedBefore = this.#verified;
    const begun = performance.now();
    let isOver = false;
    const latencies = new Latencies();
    const order = { ...flood, metatracker: this.#metatracker, strategy: this.#strategy };
    const flooding = this.#flooder.order(order).finally(() => {
      isOver = true;
    });
    const [heard] = await Promise.all([flooding, this.#use(latencies, () => isOver, displaces)]);
    for (const peer of this.#known) {
      await this.#publish(peer);
      await this.#find(peer, peer);
    }
    const damage: RecordDamage = {
      heard,
      seconds: (performance.now() - begun) / 1_000,
      verified: this.#verified - verifiedBefore,
      records: this.#server.size.records,
      memory: usedBytes() - usedBefore,
    };
    console.log(`${name}: ${latencies.text}; ${JSON.stringify(damage)}`);
    return damage;
  }

  async #join(identity: Identity): Promise<EgtpNode> {
    const node = await createNode({
      identity: identityFromSeed(identity.exportSeed()),
      transports: [tcp({ listen: false })],
      allowPrivateAddresses: true,
    });
    await node.start();
    node.introduce(this.#metatracker, [this.#strategy]);
    this.#nodes.push(node);
    return node;
  }

  /** A record that is newer than the one before. */
  async #publish(peer: Known): Promise<void> {
    const { identity, node } = peer;
    peer.seq += 1;
    const fields = { id: identity.peer, seq: peer.seq, issued: Date.now(), ttl: dayMs, services: [], gone: false };
    const record = signContactRecord({ ...fields, strategies: [] }, (message) => identity.keys.sign(message));
    peer.record = record;
    const { state } = await node.request(this.#metatracker, helloRequest, record);
    expectHonest(state, "kept");
  }

  async #find(asker: Known, peer: Known, mayBeGone = false): Promise<void> {
    const record = await asker.node.request(this.#metatracker, lookUpRequest, peerIdToBytes(peer.identity.peer));
    if (mayBeGone && record.length === 0) return;
    expectHonest(record, peer.record);
  }

  /** Each looks the next one up, at least once, until it is over. */
  async #use(latencies: Latencies, isOver: () => boolean, displaces = false): Promise<void> {
    await Promise.all(
      this.#known.map(async (asker, index) => {
        const peer = this.#known[(index + 1) % known]!;
        do await latencies.of(() => this.#find(asker, peer, displaces));
        while (!isOver());
      }),
    );
  }
}

function expectHonest(heard: unknown, expected: unknown): void {
  expect(heard).toEqual(expected);
}
