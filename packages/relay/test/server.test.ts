/** The relay on a node, in a memory network and virtual time, with clients driven by hand. */
import { createIdentity, type EgtpNode, type Identity } from "@egtp/node";
import { EgtpError, maxEnvelopeBytes, minEnvelopeBytes, type PeerId } from "@egtp/wire";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import {
  acknowledgeMessage,
  collectRequest,
  limitsRequest,
  type PassAlongStatus,
  passAlongRequest,
} from "../src/protocol.ts";
import { MemoryMailboxStore, type RelayServer, type RelayServerOptions, relayServer } from "../src/server.ts";
import { contentOf, envelope, Owner, passAlong } from "./relay-parties.ts";
import { SlowStore } from "./slow-store.ts";
import { World } from "./world.ts";

let world: World;
let relay: PeerId;
let server: RelayServer;
let relayNode: EgtpNode;
let relays: number;
/** Envelopes that earlier relays with the same store took. */
let takenBefore: number;

beforeEach(() => {
  world = new World();
  relays = 0;
  takenBefore = 0;
});

afterEach(async () => {
  balanced();
  await world.end();
});

const upTo = (count: number, from = 0) => Array.from({ length: count }, (_, i) => from + i);
const all = (count: number, state: string) => upTo(count).map(() => state);

async function startRelay(options: RelayServerOptions = {}, identity = createIdentity()): Promise<void> {
  server = relayServer(options);
  const joined = await world.join(`relay-${relays++}`, { identity, parts: [server], services: ["relay"] });
  relayNode = joined.node;
  relay = relayNode.peerId;
}

interface OwnerOptions {
  readonly identity?: Identity;
  readonly run?: number;
  readonly acknowledges?: boolean;
}

/** A registered owner that accepts no connections. */
async function startOwner(name: string, { identity = createIdentity(), ...options }: OwnerOptions = {}) {
  const { node } = await world.join(name, { identity, listen: false });
  const owner = new Owner(node, relay, options);
  const registration = await world.time.of(owner.register());
  return { owner, registration, peer: node.peerId, node };
}

/** A peer that is not registered. */
async function stranger(name: string): Promise<EgtpNode> {
  return (await world.join(name, { listen: false })).node;
}

function pass(from: EgtpNode, to: PeerId, content: number, bytes?: number): Promise<PassAlongStatus> {
  return passAlong(from, relay, to, envelope(content, bytes), world.time.now());
}

/** Passes envelopes along, each before the fate of the one before is known. */
async function passAll(from: EgtpNode, to: PeerId, contents: readonly number[], bytes?: number): Promise<string[]> {
  const statuses = await Promise.all(contents.map((content) => pass(from, to, content, bytes)));
  return statuses.map((status) => (status.state === "refused" ? status.refusal : status.state));
}

async function errorOf(promise: Promise<unknown>): Promise<unknown> {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error("It did not reject");
}

/** Each envelope is counted once, wherever it is. */
function balanced(): void {
  const { in: taken, refused, mailboxes } = server.stats();
  const refusals = Object.values(refused).reduce((sum, count) => sum + count, 0);
  expect(takenBefore + taken).toBe(mailboxes.passed + mailboxes.stored + mailboxes.held + refusals);
  const { found, stored, delivered, expired, dropped, waiting } = mailboxes;
  expect(found + stored).toBe(delivered + expired + dropped + waiting);
}

describe("mail for an owner that is connected", () => {
  it("is handed over at once, and its sender hears that it was passed; nothing is stored", async () => {
    await startRelay();
    const { owner, peer } = await startOwner("alice");
    const bob = await stranger("bob");
    const begun = world.time.now();
    expect(await world.time.of(passAll(bob, peer, upTo(100)))).toEqual(all(100, "passed"));
    expect(world.time.now() - begun).toBeLessThan(200);
    expect(owner.contents).toEqual(upTo(100));
    expect(server.stats().mailboxes).toMatchObject({ passed: 100, stored: 0, held: 0, waiting: 0 });
  });

  it("is stored when it is not acknowledged within half a second", async () => {
    await startRelay();
    const { owner, peer } = await startOwner("alice", { acknowledges: false });
    const bob = await stranger("bob");
    await world.time.of(bob.request(relay, limitsRequest, new Uint8Array(0)));
    const begun = world.time.now();
    expect(await world.time.of(passAll(bob, peer, [1]))).toEqual(["stored"]);
    expect(world.time.now() - begun).toBeGreaterThanOrEqual(500);
    expect(world.time.now() - begun).toBeLessThan(600);
    expect(owner.contents).toEqual([1]);
    expect(server.stats().mailboxes).toMatchObject({ stored: 1, waiting: 1, held: 0 });
    await world.time.of(owner.acknowledge([owner.got[0]!.number, owner.got[0]!.number + 1]));
    expect(server.stats().mailboxes).toMatchObject({ delivered: 1, waiting: 0 });
  });

  it("arrives as it was, whatever it is", async () => {
    await startRelay();
    const { owner, peer } = await startOwner("alice");
    const bob = await stranger("bob");
    for (const bytes of [minEnvelopeBytes, 5_000, maxEnvelopeBytes]) {
      const any = Uint8Array.from({ length: bytes }, (_, i) => i * 7 + (i >> 8));
      await world.time.of(passAlong(bob, relay, peer, any, world.time.now()));
      expect(owner.got.at(-1)?.envelope).toEqual(any);
    }
  });

  it("waits when more is out than the window lets, and nothing overtakes it", async () => {
    await startRelay({ limits: { maxPushMessages: 4 } });
    const { owner, peer } = await startOwner("alice", { acknowledges: false });
    const bob = await stranger("bob");
    const statuses = passAll(bob, peer, upTo(20));
    await world.time.pass(200);
    expect(owner.contents).toEqual([0, 1, 2, 3]);
    owner.acknowledges = true;
    await world.time.of(owner.acknowledge([1, 5]));
    await world.time.run(() => owner.got.length === 20);
    expect(owner.contents).toEqual(upTo(20));
    expect((await world.time.of(statuses)).slice(4)).toEqual(all(16, "stored"));
  });

  it("is handed over whole, though its owner acknowledges nothing before all of it came", async () => {
    await startRelay({ limits: { maxPushBytes: 20_000 } });
    const { owner, peer } = await startOwner("alice", { acknowledges: false });
    const bob = await stranger("bob");
    const statuses = passAll(bob, peer, upTo(50), 5_000);
    await world.time.run(() => owner.got.length === 50, 2_000);
    expect(owner.contents).toEqual(upTo(50));
    await world.time.of(owner.acknowledge([1, 51]));
    expect(await world.time.of(statuses)).toHaveLength(50);
  });

  it("is written at once from when its node took nothing in for a while, until it registers again", async () => {
    await startRelay({ limits: { pushMs: 2_000, minPushRetryMs: 10_000 } });
    const { owner, peer } = await startOwner("alice");
    const bob = await stranger("bob");
    let wake: () => void = () => {};
    owner.busy = new Promise((resolve) => {
      wake = resolve;
    });
    expect(await world.time.of(passAll(bob, peer, [1]))).toEqual(["stored"]);
    await world.time.pass(3_000);
    expect(server.stats()).toMatchObject({ pushed: 1, missed: 1 });
    const begun = world.time.now();
    expect(await world.time.of(passAll(bob, peer, [2, 3]))).toEqual(all(2, "stored"));
    expect(world.time.now() - begun).toBeLessThan(100);
    expect(server.stats().pushed).toBe(1);
    owner.busy = undefined;
    wake();
    await world.time.of(owner.register(false));
    await world.time.run(() => server.stats().mailboxes.waiting === 0);
    expect(owner.contents.slice(-3)).toEqual([1, 2, 3]);
  });

  it("is handed over again, ever more rarely, to an owner that noticed nothing", async () => {
    await startRelay({ limits: { pushMs: 2_000 } });
    const { owner, peer } = await startOwner("alice");
    let wake: () => void = () => {};
    owner.busy = new Promise((resolve) => {
      wake = resolve;
    });
    expect(await world.time.of(passAll(await stranger("bob"), peer, [1]))).toEqual(["stored"]);
    // After 1, 2, 4, 8, 16 and 32 seconds, and then it is left to its owner.
    await world.time.pass(400_000);
    expect(server.stats()).toMatchObject({ pushed: 7, missed: 7 });
    await world.time.of(owner.register(false));
    await world.time.run(() => server.stats().missed === 8);
    owner.busy = undefined;
    wake();
    await world.time.run(() => server.stats().mailboxes.waiting === 0, 2_000);
    expect(new Set(owner.contents)).toEqual(new Set([1]));
    await world.time.of(relayNode.stop());
  });

  it("is not sent twice when its owner registers again while it is on its way", async () => {
    await startRelay();
    const { owner, peer } = await startOwner("alice", { acknowledges: false });
    const bob = await stranger("bob");
    await world.time.of(bob.request(relay, limitsRequest, new Uint8Array(0)));
    const statuses = passAll(bob, peer, upTo(5));
    await world.time.of(owner.register(false));
    await world.time.of(statuses);
    expect(owner.contents).toEqual(upTo(5));
  });

  it("is not taken for acknowledged when another mailbox is named", async () => {
    await startRelay();
    const { owner, peer } = await startOwner("alice", { acknowledges: false });
    const statuses = passAll(await stranger("bob"), peer, upTo(3));
    await world.time.run(() => owner.got.length === 3);
    await world.time.of(owner.acknowledge([1, 4], new Uint8Array(8)));
    expect(server.stats()).toMatchObject({ unknown: 3, mailboxes: { delivered: 0 } });
    expect(await world.time.of(statuses)).toEqual(all(3, "stored"));
  });

  it("is written at once when much is held in memory already", async () => {
    await startRelay({ limits: { maxHeldBytes: 3 * minEnvelopeBytes } });
    const { owner, peer } = await startOwner("alice", { acknowledges: false });
    const bob = await stranger("bob");
    const begun = world.time.now();
    const statuses = passAll(bob, peer, upTo(5));
    await world.time.run(() => owner.got.length === 5);
    expect(server.stats().mailboxes).toMatchObject({ held: 2, stored: 3 });
    expect(world.time.now() - begun).toBeLessThan(200);
    expect(await world.time.of(statuses)).toEqual(all(5, "stored"));
  });
});

describe("mail for an owner that is away", () => {
  it("is stored at once, and handed over oldest first when it comes", async () => {
    await startRelay();
    const identity = createIdentity();
    const { node, peer } = await startOwner("alice", { identity });
    await world.time.of(node.stop());
    const bob = await stranger("bob");
    const [status] = await world.time.of(Promise.all([pass(bob, peer, 0), passAll(bob, peer, upTo(299, 1))]));
    expect(status.state === "stored" && (status.until - world.time.now()) / 86_400_000).toBeCloseTo(21, 3);
    const { owner, registration } = await startOwner("alice", { identity, run: 2 });
    expect(registration).toMatchObject({ state: "active", waiting: { messages: 300 } });
    await world.time.run(() => owner.got.length === 300 && server.stats().mailboxes.waiting === 0);
    expect(owner.contents).toEqual(upTo(300));
    expect(server.stats().mailboxes).toMatchObject({ stored: 300, delivered: 300, passed: 0 });
  });

  it("comes again to another run when it was not acknowledged, and what was does not", async () => {
    await startRelay();
    const { owner, peer } = await startOwner("alice", { acknowledges: false });
    const bob = await stranger("bob");
    await world.time.of(passAll(bob, peer, upTo(6)));
    const [, , third] = owner.got;
    await world.time.of(owner.acknowledge([third!.number, third!.number + 2]));
    expect(owner.contents).toEqual(upTo(6));
    owner.run = 2;
    await world.time.of(owner.register());
    await world.time.run(() => owner.got.length === 10);
    expect(owner.contents.slice(6)).toEqual([0, 1, 4, 5]);
    await world.time.pass(5_000);
    expect(owner.got).toHaveLength(10);
  });

  it("does not come again to a run that takes its time, and can be collected by it", async () => {
    await startRelay();
    const { owner, peer } = await startOwner("alice", { acknowledges: false });
    await world.time.of(passAll(await stranger("bob"), peer, upTo(6)));
    const registration = await world.time.of(owner.register(false));
    expect(registration).toMatchObject({ state: "active", waiting: { messages: 6 } });
    await world.time.pass(5_000);
    expect(owner.contents).toEqual(upTo(6));
    expect((await world.time.of(owner.collect())).mails.map(({ envelope: bytes }) => contentOf(bytes))).toEqual(
      upTo(6),
    );
  });

  it("waits while its link is down, though the relay has not noticed, and comes when it is back", async () => {
    await startRelay();
    const { owner, peer } = await startOwner("alice");
    const bob = await stranger("bob");
    await world.time.of(passAll(bob, peer, [1]));
    world.network.cut("alice", "relay-0");
    expect(await world.time.of(passAll(bob, peer, upTo(50, 2)))).toEqual(all(50, "stored"));
    await world.time.pass(20_000);
    const { pushed } = server.stats();
    await world.time.pass(120_000);
    expect(server.stats().pushed).toBe(pushed);
    await world.time.of(owner.register(false), 60_000);
    await world.time.run(() => server.stats().mailboxes.waiting === 0);
    expect(new Set(owner.contents)).toEqual(new Set(upTo(51, 1)));
  });

  it("can be collected in pieces of at most 1 MiB, which marks nothing", async () => {
    const store = new MemoryMailboxStore();
    await startRelay({ store });
    const identity = createIdentity();
    const { node, peer } = await startOwner("alice", { identity });
    await world.time.of(node.stop());
    const bob = await stranger("bob");
    await world.time.of(passAll(bob, peer, upTo(40), 60_000));
    const { node: again } = await world.join("alice", { identity, listen: false });
    const owner = new Owner(again, relay);
    const seen: number[] = [];
    let after = 0;
    for (let pieces = 1; seen.length < 40; pieces++) {
      const { mails } = await world.time.of(owner.collect(after));
      expect(mails.length).toBeGreaterThan(0);
      seen.push(...mails.map(({ envelope: bytes }) => contentOf(bytes)));
      after = mails.at(-1)!.number;
      expect(pieces).toBeLessThanOrEqual(3);
    }
    expect(seen).toEqual(upTo(40));
    expect((await world.time.of(owner.collect(0, 1))).mails).toHaveLength(1);
    expect((await world.time.of(owner.collect(after))).mails).toEqual([]);
    // Nor is more read from the store, whatever is asked for.
    const reading = vi.spyOn(store, "collect");
    expect((await world.time.of(owner.collect(0, Number.MAX_SAFE_INTEGER))).mails.length).toBeLessThan(20);
    expect(await reading.mock.results[0]!.value).toHaveLength(17);
    expect(server.stats().mailboxes.waiting).toBe(40);
  });

  it("is still there after the relay restarted, which goes on counting where it was", async () => {
    const store = new MemoryMailboxStore();
    store.close = async () => {};
    const identity = createIdentity();
    await startRelay({ store }, identity);
    const { owner, peer } = await startOwner("alice", { acknowledges: false });
    const bob = await stranger("bob");
    await world.time.of(passAll(bob, peer, upTo(5)));
    balanced();
    await world.time.of(relayNode.stop());
    await startRelay({ store }, identity);
    takenBefore = 5;
    expect(server.stats().mailboxes).toMatchObject({ waiting: 5 });
    owner.acknowledges = true;
    expect(await world.time.of(owner.register(false))).toMatchObject({ state: "active", replaced: false });
    await world.time.run(() => server.stats().mailboxes.waiting === 0);
    expect(owner.contents).toEqual([...upTo(5), ...upTo(5)]);
  });
});

describe("registrations", () => {
  it("belong to the newest run; the one before is told, and does not come back", async () => {
    await startRelay();
    const identity = createIdentity();
    const first = await startOwner("alice", { identity, run: 1 });
    const second = await startOwner("alice", { identity, run: 2 });
    expect(first.registration).toMatchObject({ state: "active", replaced: false });
    expect(second.registration).toMatchObject({ state: "active", replaced: true });
    // The key decides, not the process that says it.
    second.owner.run = 1;
    for (const isFirst of [false, true]) {
      expect(await world.time.of(second.owner.register(isFirst))).toEqual({ state: "superseded" });
    }
    second.owner.run = 2;
    const bob = await stranger("bob");
    expect(await world.time.of(passAll(bob, identity.peer, [1, 2]))).toEqual(all(2, "passed"));
    expect(second.owner.contents).toEqual([1, 2]);
    expect(first.owner.contents).toEqual([]);
    expect(server.stats().registrations).toMatchObject({ active: 2 });
  });

  it("end: no new mail is taken, what waits stays", async () => {
    await startRelay();
    const { owner, peer } = await startOwner("alice", { acknowledges: false });
    const bob = await stranger("bob");
    await world.time.of(passAll(bob, peer, [1]));
    await world.time.of(owner.unregister());
    expect(await world.time.of(passAll(bob, peer, [2]))).toEqual(["unregistered"]);
    const { tag, mails } = await world.time.of(owner.collect());
    expect(mails).toHaveLength(1);
    await world.time.of(owner.acknowledge([mails[0]!.number, mails[0]!.number + 1], Uint8Array.from(tag)));
    expect(server.stats().mailboxes.mailboxes).toBe(0);
  });

  it("end: what was held until then is stored, and counted once when it is acknowledged after that", async () => {
    await startRelay();
    const { owner, peer } = await startOwner("alice", { acknowledges: false });
    const bob = await stranger("bob");
    const status = pass(bob, peer, 1);
    await world.time.run(() => owner.got.length === 1);
    const { number } = owner.got[0]!;
    const ended = owner.unregister();
    const acknowledged = owner.acknowledge([number, number + 1]);
    await world.time.of(Promise.all([ended, acknowledged]));
    expect(await world.time.of(status)).toMatchObject({ state: "stored" });
    expect(server.stats().mailboxes).toMatchObject({ stored: 1, delivered: 1, passed: 0, mailboxes: 0 });
  });

  it("are for those on the list, where there is one", async () => {
    const identity = createIdentity();
    await startRelay({ access: { allow: [identity.peer] } });
    expect((await startOwner("alice", { identity })).registration).toMatchObject({
      state: "active",
      limits: { access: "allow-list" },
    });
    const { registration, peer } = await startOwner("bob");
    expect(registration).toEqual({ state: "refused", reason: "not-allowed" });
    const carol = await stranger("carol");
    expect(await world.time.of(passAll(carol, peer, [1]))).toEqual(["not-allowed"]);
    expect(await world.time.of(passAll(carol, identity.peer, [1]))).toEqual(["passed"]);
  });

  it("are not made faster, or in greater number, than the relay lets", async () => {
    const store = new MemoryMailboxStore({ limits: { maxMailboxes: 3 } });
    await startRelay({ store, limits: { newMailboxes: { burst: 2, perSecond: 1 } } });
    const states: unknown[] = [];
    for (const name of ["a", "b", "c"]) states.push((await startOwner(name)).registration);
    expect(states).toMatchObject([{ state: "active" }, { state: "active" }, { state: "refused", reason: "full" }]);
    await world.time.pass(3_000);
    const later = [(await startOwner("d")).registration, (await startOwner("e")).registration];
    expect(later).toMatchObject([{ state: "active" }, { state: "refused", reason: "full" }]);
  });

  it("publish what the relay lets", async () => {
    await startRelay({ store: new MemoryMailboxStore({ limits: { maxMessages: 7, ttlMs: 5_000 } }) });
    const bob = await stranger("bob");
    const published = await world.time.of(bob.request(relay, limitsRequest, new Uint8Array(0)));
    expect(published).toMatchObject({ maxMessages: 7, ttlMs: 5_000, access: "open", maxEnvelopeBytes });
    expect((await startOwner("alice")).registration).toMatchObject({ limits: published });
  });
});

describe("what is refused", () => {
  it("for somebody who is not registered", async () => {
    await startRelay();
    const bob = await stranger("bob");
    expect(await world.time.of(passAll(bob, createIdentity().peer, [1]))).toEqual(["unregistered"]);
    expect(await world.time.of(passAll(bob, relay, [1]))).toEqual(["unregistered"]);
  });

  it("a full mailbox, a sender with too much in it, and strangers together; nothing is dropped for it", async () => {
    const limits = { maxMessages: 6, maxSenderMessages: 3, maxStrangerMessages: 4 };
    await startRelay({ store: new MemoryMailboxStore({ limits }) });
    const identity = createIdentity();
    const { node, peer } = await startOwner("alice", { identity });
    await world.time.of(node.stop());
    const [bob, carol] = [await stranger("bob"), await stranger("carol")];
    const dave = await startOwner("dave");
    expect(await world.time.of(passAll(bob, peer, upTo(4)))).toEqual([...all(3, "stored"), "sender-quota"]);
    expect(await world.time.of(passAll(carol, peer, [4, 5]))).toEqual(["stored", "sender-quota"]);
    expect(await world.time.of(passAll(dave.node, peer, [6, 7, 8]))).toEqual([...all(2, "stored"), "mailbox-full"]);
    const { owner } = await startOwner("alice", { identity, run: 2 });
    await world.time.run(() => owner.got.length === 6);
    expect(owner.contents).toEqual([0, 1, 2, 4, 6, 7]);
    await world.time.run(() => server.stats().mailboxes.waiting === 0);
    expect(await world.time.of(passAll(bob, peer, [9]))).toEqual(["passed"]);
  });

  it("an envelope that is too large", async () => {
    await startRelay({ store: new MemoryMailboxStore({ limits: { maxEnvelopeBytes: 100 } }) });
    const { peer } = await startOwner("alice");
    const bob = await stranger("bob");
    expect(await world.time.of(passAll(bob, peer, [1], 101))).toEqual(["too-large"]);
    expect(await world.time.of(passAll(bob, peer, [1], 100))).toEqual(["passed"]);
  });

  it("whoever is too fast: each sender has a rate of its own, strangers one together, and owners suffer from neither", async () => {
    const rate = (burst: number) => ({
      messages: { burst, perSecond: 1 },
      bytes: { burst: 1_000_000, perSecond: 1_000_000 },
    });
    await startRelay({ limits: { registeredSender: rate(8), stranger: rate(3), strangers: rate(5) } });
    const { peer } = await startOwner("alice");
    const [bob, carol, dave] = [await stranger("bob"), await stranger("carol"), await startOwner("dave")];
    const fast = all(1, "too-fast");
    expect(await world.time.of(passAll(bob, peer, upTo(4)))).toEqual([...all(3, "passed"), ...fast]);
    expect(await world.time.of(passAll(carol, peer, upTo(3)))).toEqual([...all(2, "passed"), ...fast]);
    expect(await world.time.of(passAll(dave.node, peer, upTo(9)))).toEqual([...all(8, "passed"), ...fast]);
    await world.time.pass(3_000);
    expect(await world.time.of(passAll(bob, peer, upTo(3)))).toEqual(all(3, "passed"));
  });

  it("what is no request of ours, with an error on the sender's side, and nothing changes", async () => {
    await startRelay();
    const { owner, peer, node } = await startOwner("alice", { acknowledges: false });
    await world.time.of(passAll(await stranger("bob"), peer, [1]));
    const nonsense = [new Uint8Array(0), new Uint8Array(50), new Uint8Array(105)];
    for (const body of nonsense) {
      const error = await errorOf(world.time.of(node.request(relay, passAlongRequest, body)));
      expect(error).toMatchObject({ code: "EGTP_REJECTED", reason: "handler-failed" });
    }
    for (const body of [new Uint8Array(7), Uint8Array.of(...owner.tag, 1), Uint8Array.of(...owner.tag, 0, 0)]) {
      const outcome = await world.time.of(node.send(relay, acknowledgeMessage, body));
      expect(outcome).toEqual({ state: "rejected", reason: "handler-failed" });
    }
    const wrong = node.request(relay, collectRequest, { after: -1, maxBytes: 1 } as never);
    expect(await errorOf(world.time.of(wrong))).toMatchObject({ code: "EGTP_SCHEMA_MISMATCH" });
    expect(server.stats()).toMatchObject({ malformed: 6, mailboxes: { waiting: 1 } });
  });

  it("acknowledgements of what is not one's own", async () => {
    await startRelay();
    const alice = await startOwner("alice", { acknowledges: false });
    const mallory = await startOwner("mallory");
    await world.time.of(passAll(await stranger("bob"), alice.peer, upTo(3)));
    const attempts = [mallory.owner.acknowledge([1, 4], alice.owner.tag), mallory.owner.acknowledge([1, 4])];
    await world.time.of(Promise.all(attempts));
    expect(server.stats()).toMatchObject({ unknown: 6 });
    const outsider = new Owner(await stranger("carol"), relay);
    await world.time.of(outsider.acknowledge([1, 4], alice.owner.tag));
    expect((await world.time.of(outsider.collect())).mails).toEqual([]);
    expect(server.stats()).toMatchObject({ unknown: 9, mailboxes: { waiting: 3, delivered: 0 } });
  });
});

describe("the relay stops", () => {
  it("and writes down what was in memory alone, telling its senders", async () => {
    const store = new MemoryMailboxStore();
    await startRelay({ store });
    const { peer } = await startOwner("alice", { acknowledges: false });
    const bob = await stranger("bob");
    await world.time.of(bob.request(relay, limitsRequest, new Uint8Array(0)));
    const statuses = passAll(bob, peer, upTo(5));
    await world.time.run(() => server.stats().mailboxes.held === 5);
    await world.time.of(relayNode.stop());
    expect(await world.time.of(statuses)).toEqual(all(5, "stored"));
    expect(store.counts()).toMatchObject({ held: 0, waiting: 5 });
  });
});

describe("with a store that takes its time", () => {
  let store: SlowStore;

  beforeEach(async () => {
    store = new SlowStore(() => new Promise((resolve) => world.time.setTimer(resolve, 3)));
    await startRelay({ store });
  });

  it("everything goes as with one that does not", async () => {
    const identity = createIdentity();
    const first = await startOwner("alice", { identity });
    const bob = await stranger("bob");
    expect(await world.time.of(passAll(bob, first.peer, upTo(20)))).toEqual(all(20, "passed"));
    expect(first.owner.contents).toEqual(upTo(20));
    await world.time.of(first.node.stop());
    expect(await world.time.of(passAll(bob, first.peer, upTo(40)))).toEqual(all(40, "stored"));
    const { owner } = await startOwner("alice", { identity, run: 2 });
    const more = passAll(bob, identity.peer, upTo(20, 40));
    await world.time.run(() => owner.got.length >= 60 && store.counts().waiting + store.counts().held === 0);
    await world.time.of(more);
    expect(owner.contents).toEqual(upTo(60));
  });

  it("nothing overtakes what is being read", async () => {
    await world.time.of(relayNode.stop());
    store = new SlowStore(() => new Promise((resolve) => world.time.setTimer(resolve, 3)));
    await startRelay({ store, limits: { pushTurnBytes: 5_000 } });
    const identity = createIdentity();
    const first = await startOwner("alice", { identity });
    await world.time.of(first.node.stop());
    const bob = await stranger("bob");
    await world.time.of(passAll(bob, identity.peer, upTo(40), 2_000));
    const { owner } = await startOwner("alice", { identity, run: 2 });
    for (let n = 40; n < 60; n++) {
      void passAll(bob, identity.peer, [n], 2_000);
      await world.time.pass(5);
    }
    await world.time.run(() => owner.got.length >= 60 && store.counts().waiting + store.counts().held === 0);
    expect(owner.contents).toEqual(upTo(60));
  });

  it("what it is taking while the relay stops is written down, and its sender is told", async () => {
    const { peer } = await startOwner("alice", { acknowledges: false });
    const bob = await stranger("bob");
    const first = passAll(bob, peer, [0]);
    await world.time.run(() => store.counts().held === 1);
    const second = passAll(bob, peer, [1]);
    await world.time.run(() => server.stats().in === 2);
    expect(store.counts().held).toBe(1);
    await world.time.of(relayNode.stop(), 1_000);
    expect([...(await first), ...(await second)]).toEqual(all(2, "stored"));
    expect(store.counts()).toMatchObject({ held: 0, waiting: 2 });
  });

  it("what it is taking while its owner unregisters is stored, and its sender is told", async () => {
    const { owner, peer } = await startOwner("alice");
    const bob = await stranger("bob");
    await world.time.of(passAll(bob, peer, [0]));
    const status = passAll(bob, peer, [1]);
    const ended = owner.unregister();
    expect(await world.time.of(status)).toEqual(["stored"]);
    await world.time.of(ended);
    await world.time.of(relayNode.stop(), 1_000);
  });

  it("what was to be handed over and cannot be written down is told as a failure, not as passed", async () => {
    const { peer } = await startOwner("alice", { acknowledges: false });
    const bob = await stranger("bob");
    const status = passAll(bob, peer, [0]);
    await world.time.run(() => store.counts().held === 1);
    store.failure = new EgtpError("EGTP_STORE_UNWRITABLE", "The disk is full");
    expect(await world.time.of(status)).toEqual(["store-failed"]);
    expect(server.stats().storeFailures).toBe(1);
    store.failure = undefined;
  });

  it("a failure is told to the sender, and loses nothing that was stored", async () => {
    const { owner, peer } = await startOwner("alice", { acknowledges: false });
    const bob = await stranger("bob");
    expect(await world.time.of(passAll(bob, peer, upTo(3)))).toEqual(all(3, "stored"));
    store.failure = new EgtpError("EGTP_STORE_UNWRITABLE", "The disk is full");
    expect(await world.time.of(passAll(bob, peer, upTo(3, 3)))).toEqual(all(3, "store-failed"));
    expect(server.stats().storeFailures).toBeGreaterThanOrEqual(3);
    store.failure = undefined;
    owner.acknowledges = true;
    owner.run = 2;
    await world.time.of(owner.register());
    await world.time.run(() => store.counts().waiting === 0);
    expect(new Set(owner.contents)).toEqual(new Set(upTo(3)));
    expect(await world.time.of(passAll(bob, peer, [6]))).toEqual(["passed"]);
  });
});

describe("many owners", () => {
  it("share what may be on its way, and each gets all of its mail", async () => {
    await startRelay({ limits: { maxPushBytesTotal: 20_000, pushTurnBytes: 5_000 } });
    const bob = await stranger("bob");
    const identities = upTo(8).map(() => createIdentity());
    for (const [n, identity] of identities.entries()) {
      const { node } = await startOwner(`owner-${n}`, { identity });
      await world.time.of(node.stop());
      await world.time.of(passAll(bob, identity.peer, upTo(30), 2_000));
    }
    const owners = await Promise.all(
      identities.map(async (identity, n) => {
        const { node } = await world.join(`owner-${n}`, { identity, listen: false });
        return new Owner(node, relay, { run: 2 });
      }),
    );
    const registered = Promise.all(owners.map((owner) => owner.register()));
    let most = 0;
    await world.time.run(() => {
      most = Math.max(most, server.stats().pushBytes);
      return owners.every(({ got }) => got.length === 30);
    });
    await world.time.of(registered);
    expect(most).toBeLessThanOrEqual(20_000 + 2_016);
    for (const owner of owners) expect(owner.contents).toEqual(upTo(30));
  });
});

it("counts every envelope once, whatever happens", async () => {
  const seed = (Date.now() % 1_000_000) + 1;
  let state = seed;
  const below = (n: number) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return Math.floor((state / 2 ** 32) * n);
  };
  const store = new MemoryMailboxStore({ limits: { maxMessages: 40, ttlMs: 20_000, maxSenderMessages: 30 } });
  await startRelay({ store, limits: { maxPushMessages: 8, expireEveryMs: 5_000 } });
  const owners = [await startOwner("alice"), await startOwner("bob"), await startOwner("carol")];
  const senders = [await stranger("dave"), await stranger("erin"), owners[0]!.node];
  const statuses: Promise<string[]>[] = [];
  let sent = 0;
  try {
    for (let step = 0; step < 150; step++) {
      const { owner, peer } = owners[below(3)]!;
      switch (below(10)) {
        case 0:
          owner.acknowledges = !owner.acknowledges;
          break;
        case 1:
          owner.register(false).catch(() => {});
          break;
        case 2:
          world.network.cut(["alice", "bob", "carol"][owners.findIndex((each) => each.peer === peer)]!, "relay-0");
          break;
        case 3:
          await world.time.pass(below(8_000));
          break;
        case 4:
          if (owner.got.length > 0)
            owner.acknowledge([owner.got[0]!.number, owner.got.at(-1)!.number + 1]).catch(() => {});
          break;
        default: {
          const count = 1 + below(10);
          statuses.push(passAll(senders[below(3)]!, peer, upTo(count, sent)));
          sent += count;
          await world.time.pass(below(300));
        }
      }
      balanced();
    }
    const told = (await world.time.of(Promise.all(statuses))).flat();
    balanced();
    const { in: taken, refused, mailboxes } = server.stats();
    expect(taken).toBe(sent);
    expect(mailboxes.held).toBe(0);
    const refusals = Object.values(refused).reduce((sum, count) => sum + count, 0);
    expect(told.filter((each) => each !== "stored" && each !== "passed")).toHaveLength(refusals);
    expect(mailboxes.delivered).toBeGreaterThan(0);
    expect(mailboxes.passed).toBeGreaterThan(0);
  } catch (error) {
    throw new Error(`With seed ${seed}: ${String(error)}`, { cause: error });
  }
});
