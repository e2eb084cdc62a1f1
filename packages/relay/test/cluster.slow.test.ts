/**
 * Stories of relays that share their mailboxes in a cluster of three NATS servers, all real processes: servers and relays are killed,
 * frozen, added and taken away under load. Nothing that was acknowledged is lost, and every effect happens once.
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createIdentity, createNode, defineMessage, type EgtpNode, MemoryLookup, type SendOutcome } from "@egtp/node";
import { tcp } from "@egtp/node/tcp";
import { describeWithNats, NatsCluster } from "@egtp/test-kit/nats-cluster";
import { type Listening, ServerProcess } from "@egtp/test-kit/server-process";
import { type PeerId, parsePeerId, peerIdToBytes } from "@egtp/wire";
import { afterAll, afterEach, beforeAll, beforeEach, expect, it, vi } from "vitest";
import { type RelayClient, relayClient } from "../src/index.ts";
import { NatsMailboxStore } from "../src/nodejs/nats.ts";
import { anyPeer, contentOf, mailOf } from "./mails.ts";

const main = new URL("../src/nodejs/main.ts", import.meta.url);
const note = defineMessage("test/note");
const wholeMailbox = { maxMessages: 10_000, maxBytes: 1e9 };
const patience = { timeout: 60_000, interval: 50 };
const upTo = (count: number) => Array.from({ length: count }, (_, n) => n);

describeWithNats("relays in a cluster", () => {
  let cluster: NatsCluster;
  beforeAll(async () => {
    cluster = await NatsCluster.start(3);
  });
  afterAll(async () => cluster.stop());

  let folder: string;
  /** Where peers find each other. */
  let lookup: MemoryLookup;
  const cleanups: (() => unknown)[] = [];
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "egtp-cluster-"));
    lookup = new MemoryLookup();
  });
  afterEach(async () => {
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
    rmSync(folder, { recursive: true, force: true });
  });

  /** A relay in a process of its own, which can be started again with the same key. */
  class Relay {
    readonly #data: string;
    readonly #deployment: string;
    process!: ServerProcess;
    place!: Listening;

    constructor(name: string, deployment: string) {
      this.#data = join(folder, name);
      this.#deployment = deployment;
    }

    /** @param servers - To which it connects first, and then to those of which it hears. */
    async start(servers = cluster.urls): Promise<this> {
      const nats = ["--store", "nats", "--nats", servers.join(), "--nats-name", this.#deployment];
      const at = ["--data", this.#data, "--host", "127.0.0.1", "--port", "0", "--metrics-port", "0"];
      this.process = new ServerProcess(main, ...at, ...nats);
      cleanups.push(() => this.process.kill());
      this.place = await this.process.listening();
      return this;
    }

    get peer(): PeerId {
      return parsePeerId(this.place.peer);
    }

    get record(): Uint8Array {
      return readFileSync(join(this.#data, "contact.record"));
    }

    async metric(name: string): Promise<number> {
      const text = await (await fetch(`${this.place.metrics}/metrics`)).text();
      return Number(
        text
          .split("\n")
          .find((line) => line.startsWith(`${name} `))
          ?.slice(name.length + 1),
      );
    }
  }

  interface Peer {
    readonly node: EgtpNode;
    readonly client: RelayClient;
    /** What was handled, by message ID: an effect that happens twice is seen. */
    readonly effects: Map<string, number>;
    twice: number;
  }

  async function joined(relays: readonly Relay[], identity = createIdentity()): Promise<Peer> {
    const client = relayClient({ relays: relays.map(({ peer }) => peer), count: 2 });
    const node = await createNode({
      identity,
      transports: [tcp({ listen: false })],
      parts: [client],
      lookup,
      allowPrivateAddresses: true,
    });
    cleanups.push(() => node.stop());
    for (const relay of relays) node.learn(relay.record);
    const peer: Peer = { node, client, effects: new Map(), twice: 0 };
    node.handle(note, ({ body, messageId }) => {
      if (peer.effects.has(messageId)) peer.twice += 1;
      peer.effects.set(messageId, new DataView(body.buffer, body.byteOffset).getUint32(0));
    });
    await node.start();
    return peer;
  }

  /** Sends as fast as the outbox lets it, a few at a time, until it is stopped. */
  class Load {
    readonly outcomes: SendOutcome[] = [];
    readonly #workers: Promise<void>[];
    #next = 0;
    #isOn = true;

    constructor(from: Peer, to: Peer) {
      const work = async (): Promise<void> => {
        while (this.#isOn) {
          const body = new Uint8Array(200);
          new DataView(body.buffer).setUint32(0, this.#next++);
          this.outcomes.push(await from.node.send(to.node.peerId, note, body, { timeoutMs: 120_000 }));
        }
      };
      this.#workers = upTo(4).map(async () => work());
    }

    /** Resolves when so many more were delivered. */
    async goesOn(count: number): Promise<void> {
      const wanted = this.outcomes.length + count;
      await vi.waitUntil(() => this.outcomes.length >= wanted, patience);
    }

    async stop(): Promise<number> {
      this.#isOn = false;
      await Promise.all(this.#workers);
      return this.#next;
    }
  }

  async function expectAllOnce(load: Load, to: Peer): Promise<void> {
    const sent = await load.stop();
    const states = new Set(load.outcomes.map(({ state }) => state));
    expect([...states].filter((state) => state !== "delivered" && state !== "stored")).toEqual([]);
    await vi.waitFor(() => expect(to.effects.size).toBe(sent), patience);
    expect([...to.effects.values()].toSorted((a, b) => a - b)).toEqual(upTo(sent));
    expect(to.twice).toBe(0);
  }

  const partitionOf = (peer: PeerId): number => peerIdToBytes(peer)[0]! % 4;

  it("lose nothing when a server dies, and the leader of a mailbox's stream", async () => {
    const relays = await Promise.all(["one", "two"].map(async (name) => new Relay(name, "servers").start()));
    const [alice, bob] = [await joined(relays), await joined(relays)];
    const load = new Load(alice, bob);
    await load.goesOn(50);
    const stream = `servers-mail-${partitionOf(bob.node.peerId)}`;
    const leader = (await cluster.leaderOf(stream))!;
    const follower = (leader + 1) % 3;
    await cluster.kill(follower);
    await load.goesOn(50);
    await cluster.restart(follower);
    await load.goesOn(50);
    await vi.waitFor(async () => expect(await cluster.leaderOf(stream)).toBeDefined(), patience);
    const second = (await cluster.leaderOf(stream))!;
    await cluster.kill(second);
    await load.goesOn(50);
    await cluster.restart(second);
    await load.goesOn(50);
    await expectAllOnce(load, bob);
  });

  it("lose nothing when relays die, are added and taken away", async () => {
    const relays = await Promise.all(["one", "two"].map(async (name) => new Relay(name, "relays").start()));
    const [alice, bob] = [await joined(relays), await joined(relays)];
    const load = new Load(alice, bob);
    await load.goesOn(50);
    const pushed = await Promise.all(relays.map(async (relay) => relay.metric("egtp_relay_pushed_total")));
    const active = relays[pushed[0]! > pushed[1]! ? 0 : 1]!;
    await active.process.kill();
    await load.goesOn(50);
    await active.start();
    for (const { node } of [alice, bob]) node.learn(active.record);
    await load.goesOn(50);
    const other = relays.find((relay) => relay !== active)!;
    other.process.signal("SIGTERM");
    await other.process.ended;
    await load.goesOn(50);
    await expectAllOnce(load, bob);
  });

  it("go on when a server is frozen to which one of them is connected", async () => {
    const relays = await Promise.all(["one", "two"].map(async (name) => new Relay(name, "frozen").start()));
    const [alice, bob] = [await joined(relays), await joined(relays)];
    const load = new Load(alice, bob);
    await load.goesOn(50);
    cluster.freeze(1);
    await load.goesOn(50);
    cluster.thaw(1);
    await load.goesOn(50);
    await expectAllOnce(load, bob);
  });

  it("have at one what was stored at the other, once, whoever leads the stream", async () => {
    const open = async () => {
      const store = await NatsMailboxStore.open({ servers: cluster.urls, name: "stores" });
      cleanups.push(() => store.close());
      return store;
    };
    const [one, two] = [await open(), await open()];
    const owner = anyPeer(101);
    const now = Date.now();
    await one.register(owner, { id: "01", isFirst: true }, now);
    const stored: number[] = [];
    const refused: unknown[] = [];
    let next = 0;
    let isOn = true;
    const work = async (store: NatsMailboxStore): Promise<void> => {
      while (isOn && next < 4_000) {
        const content = next++;
        const done = await store.deposit(owner, mailOf(content), false, now).catch((error: unknown) => error);
        if ((done as { state?: string }).state === "stored") stored.push(content);
        else refused.push(done);
      }
    };
    const workers = [one, two].flatMap((store) => upTo(4).map(async () => work(store)));
    await vi.waitFor(() => expect(stored.length).toBeGreaterThan(200), patience);
    const leader = (await cluster.leaderOf(`stores-mail-${partitionOf(owner)}`))!;
    await cluster.kill(leader);
    const before = stored.length;
    await vi.waitFor(() => expect(stored.length).toBeGreaterThan(before + 200), patience);
    await cluster.restart(leader);
    isOn = false;
    await Promise.all(workers);
    const mails = [];
    for (let last = 0; ; ) {
      const some = await two.collect(owner, last, wholeMailbox, now);
      if (some.length === 0) break;
      mails.push(...some);
      last = some.at(-1)!.number;
    }
    const contents = mails.map(({ body }) => contentOf(body.subarray(16)));
    const found = new Set(contents);
    expect(stored.filter((content) => !found.has(content))).toEqual([]);
    expect(contents.length).toBe(found.size);
    // Choosing a leader takes what it takes: whoever waited too long was told, and keeps the mail.
    expect(refused.filter((error) => (error as { code?: string }).code !== "EGTP_STORE_UNREACHABLE")).toEqual([]);
  });

  // The last one: servers that were parted take each other for lost for a while, and place no new streams.
  it("lose nothing when each is at a server of its own, and those two are parted", async () => {
    const store = await NatsMailboxStore.open({ servers: cluster.urls, name: "parted" });
    await store.close();
    const leads = async (): Promise<number | undefined> => cluster.leaderOf("parted-mail-0");
    await vi.waitFor(async () => expect(await leads()).toBeDefined(), patience);
    const leader = (await leads())!;
    const other = (leader + 1) % 3;
    const at = async (name: string, n: number) => new Relay(name, "parted").start([cluster.url(n)]);
    const relays = [await at("one", leader), await at("two", other)];
    let identity = createIdentity();
    while (partitionOf(identity.peer) !== 0) identity = createIdentity();
    const [alice, bob] = [await joined(relays), await joined(relays, identity)];
    const load = new Load(alice, bob);
    await load.goesOn(50);
    cluster.part(leader, other);
    cleanups.push(() => cluster.unite(leader, other));
    // Both go on choosing leaders until it is the third server, which all reach: meanwhile nothing may be taken in for half a minute.
    const isElsewhere = async (): Promise<boolean> => (await leads()) !== leader;
    await Promise.race([load.goesOn(400), vi.waitUntil(isElsewhere, patience)]);
    cluster.unite(leader, other);
    await load.goesOn(50);
    await expectAllOnce(load, bob);
    for (const relay of relays) {
      const { node } = await joined([relay]);
      // The servers may still be choosing a leader, and a peer that is told so at once tries again.
      await vi.waitFor(async () => {
        const outcome = await node.send(bob.node.peerId, note, new Uint8Array(4), { timeoutMs: 20_000 });
        expect(outcome.state).toBe("delivered");
      }, patience);
    }
  });
});
