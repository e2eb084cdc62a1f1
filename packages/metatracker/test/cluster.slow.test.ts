/**
 * One directory of several metatrackers in a real cluster of three NATS servers, while servers and metatrackers are killed and
 * frozen under load: nothing that was acknowledged is lost, and all agree in the end.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createIdentity, createNode, type EgtpNode } from "@egtp/node";
import { tcp } from "@egtp/node/tcp";
import { describeWithNats, NatsCluster } from "@egtp/test-kit/nats-cluster";
import { ServerProcess } from "@egtp/test-kit/server-process";
import type { PeerId } from "@egtp/wire";
import { afterAll, afterEach, beforeAll, expect, it, vi } from "vitest";
import type { KeptRecord } from "../src/directory-store.ts";
import { metatrackers } from "../src/index.ts";
import { NatsDirectoryStore } from "../src/nodejs/nats.ts";

const now = 1_800_000_000_000;
/** A new leader takes up to 8 s. */
const patience = { timeout: 20_000 };
const slowStart = { timeout: 60_000 };

/** Peers that bring a newer record each as soon as the last was answered, through any of the stores. */
class Load {
  readonly acknowledged = new Map<PeerId, number>();
  readonly tried = new Map<PeerId, number>();
  acks = 0;
  readonly #stores: readonly NatsDirectoryStore[];
  readonly #writers: readonly Promise<void>[];
  #isOver = false;

  constructor(stores: readonly NatsDirectoryStore[], peers: number) {
    this.#stores = stores;
    this.#writers = Array.from({ length: peers }, (_, at) => this.#write(createIdentity().peer, at));
  }

  /** Waits for so many acknowledgements from now on. */
  async more(acks: number): Promise<void> {
    const goal = this.acks + acks;
    await vi.waitFor(() => {
      if (this.acks < goal) throw new Error(`${this.acks} of ${goal} were acknowledged`);
    }, patience);
  }

  async stop(): Promise<void> {
    this.#isOver = true;
    await Promise.all(this.#writers);
  }

  async #write(peer: PeerId, at: number): Promise<void> {
    for (let seq = 1; !this.#isOver; seq++) {
      this.tried.set(peer, seq);
      // One that was refused may be kept all the same, as its peer cannot know.
      const isKept = await this.#stores[(at + seq) % this.#stores.length]!.put(recordOf(peer, seq)).then(
        (standing) => standing === undefined,
        () => false,
      );
      if (!isKept) continue;
      this.acknowledged.set(peer, seq);
      this.acks += 1;
    }
  }
}

function recordOf(peer: PeerId, seq: number): KeptRecord {
  const validUntil = now + 60_000;
  const bytes = new Uint8Array(300).fill(seq & 0xff);
  return { peer, seq, bytes, services: ["relay"], validUntil, keepUntil: validUntil };
}

describeWithNats("metatrackers that share a directory", () => {
  let cluster: NatsCluster;
  beforeAll(async () => {
    cluster = await NatsCluster.start(3);
  });
  afterAll(() => cluster.stop());

  const cleanups: (() => unknown)[] = [];
  afterEach(async () => {
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  });

  async function open(name: string, ...servers: readonly string[]): Promise<NatsDirectoryStore> {
    const store = await NatsDirectoryStore.open({ servers, name });
    cleanups.push(() => store.close());
    return store;
  }

  function loadOn(stores: readonly NatsDirectoryStore[], peers = 16): Load {
    const load = new Load(stores, peers);
    cleanups.push(() => load.stop());
    return load;
  }

  async function leaderOf(name: string): Promise<number> {
    let leader: number | undefined;
    await expect
      .poll(async () => {
        leader = await cluster.leaderOf(`KV_${name}-directory`);
        return leader;
      }, patience)
      .toBeDefined();
    return leader!;
  }

  /** What everybody has now, one that starts anew too. */
  async function checkAll(load: Load, name: string, stores: readonly NatsDirectoryStore[]): Promise<void> {
    // One that starts while the cluster is choosing a leader gives up, and is started anew as any service.
    let opened: NatsDirectoryStore | undefined;
    await expect
      .poll(async () => {
        opened = await open(name, ...cluster.urls).catch(() => undefined);
        return opened;
      }, slowStart)
      .toBeDefined();
    const fresh = opened!;
    for (const [peer, seq] of load.acknowledged) {
      const found = fresh.get(peer);
      expect(found?.seq).toBeGreaterThanOrEqual(seq);
      expect(found?.seq).toBeLessThanOrEqual(load.tried.get(peer)!);
      expect(found).toEqual(recordOf(peer, found!.seq));
      for (const store of stores) {
        // Its peer brings it again every two minutes: then at the latest all agree.
        expect(await store.put(found!)).toBeUndefined();
        expect(store.get(peer)).toEqual(found);
      }
    }
    for (const store of stores) expect(store.size).toEqual(fresh.size);
  }

  it("lose nothing when the leader is killed, and then another server, and come back", async () => {
    const stores = [await open("kills", ...cluster.urls), await open("kills", ...cluster.urls)];
    const load = loadOn(stores);
    await load.more(200);
    const leader = await leaderOf("kills");
    await cluster.kill(leader);
    await load.more(200);
    await cluster.restart(leader);
    const other = ((await leaderOf("kills")) + 1) % 3;
    await cluster.kill(other);
    await load.more(200);
    await cluster.restart(other);
    await load.stop();
    await checkAll(load, "kills", stores);
  });

  it("go on when the server that one is connected to freezes, and see what the others wrote", async () => {
    const others = await open("frozen", ...cluster.urls);
    const led = await leaderOf("frozen");
    const frozen = (led + 1) % 3;
    const store = await open("frozen", cluster.url(frozen));
    const load = loadOn([others], 4);
    cluster.freeze(frozen);
    const record = recordOf(createIdentity().peer, 1);
    // It waits for another server; should that take too long on a slow machine, the peer brings it again.
    expect(await store.put(record).catch(() => store.put(record))).toBeUndefined();
    await load.more(20);
    await expect.poll(() => others.get(record.peer), patience).toEqual(record);
    cluster.thaw(frozen);
    await load.stop();
    await checkAll(load, "frozen", [others, store]);
  });

  it("answer look-ups while the cluster is down, refuse records, and take them when it is back", async () => {
    const store = await open("down", ...cluster.urls);
    const record = recordOf(createIdentity().peer, 1);
    await store.put(record);
    await Promise.all([0, 1, 2].map((n) => cluster.kill(n)));
    expect(store.get(record.peer)).toEqual(record);
    expect(store.offering("relay", 16, now)).toEqual([record]);
    await expect.poll(() => store.isConnected, patience).toBe(false);
    const renewed = recordOf(record.peer, 2);
    const first = store.put(renewed).catch(() => {});
    await Promise.all([0, 1, 2].map((n) => cluster.restart(n)));
    await first;
    // As its peer does when it was refused: the cluster may have taken too long to choose its leaders.
    await vi.waitFor(async () => expect(await store.put(renewed)).toBeUndefined(), patience);
    expect((await open("down", ...cluster.urls)).get(record.peer)).toEqual(renewed);
  });
});

const main = new URL("../src/nodejs/main.ts", import.meta.url);

describeWithNats("egtp-metatracker over a cluster", () => {
  let cluster: NatsCluster;
  let folder: string;
  const cleanups: (() => unknown)[] = [];
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "egtp-cluster-"));
    cluster = await NatsCluster.start(3);
  });
  afterAll(async () => {
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
    await cluster.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  async function start(name: string): Promise<{ readonly server: ServerProcess; readonly bootPage: string }> {
    const place = ["--data", join(folder, name), "--host", "127.0.0.1", "--port", "0", "--bootpage-port", "0"];
    const shared = ["--store", "nats", "--nats", cluster.urls.join(), "--nats-monitor", cluster.monitorUrl(0)];
    const server = new ServerProcess(main, ...place, ...shared);
    cleanups.push(() => server.kill());
    const { bootPage } = await server.listening();
    return { server, bootPage };
  }

  /** A peer that knows this metatracker alone, once that acknowledged its record. */
  async function peer(bootPage: string): Promise<EgtpNode> {
    const node = await createNode({
      identity: createIdentity(),
      transports: [tcp({ host: "127.0.0.1" })],
      allowPrivateAddresses: true,
      lookup: metatrackers({ bootPages: [bootPage] }),
    });
    cleanups.push(() => node.stop());
    const published = (async () => {
      for await (const event of node.events({ kinds: ["published"] })) {
        if (event.kind === "published" && event.error === undefined) return;
      }
    })();
    await node.start();
    await published;
    return node;
  }

  it("finds through any what was published through any, also through one that is killed meanwhile", async () => {
    const [one, two] = await Promise.all([start("one"), start("two")]);
    await one.server.event("durability");
    const peers = await Promise.all([one, one, one, two].map(({ bootPage }) => peer(bootPage)));
    const coming = Promise.all(Array.from({ length: 4 }, () => peer(two.bootPage)));
    await one.server.kill();
    peers.push(...(await coming));
    const again = await start("one");
    peers.push(await peer(again.bootPage));
    for (const { bootPage } of [two, again]) {
      const asking = await peer(bootPage);
      for (const { peerId, contactRecord } of peers) {
        await expect.poll(() => asking.lookUp(peerId), patience).toEqual(contactRecord);
      }
    }
    two.server.signal("SIGTERM");
    expect(await two.server.ended).toEqual({ code: 0, stderr: "" });
  });
});
