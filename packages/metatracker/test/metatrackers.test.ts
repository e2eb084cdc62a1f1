/** The client against real metatrackers on a memory network, in virtual time, with failures of every kind. */
import { createIdentity, defineMessage, type Identity, type NodePart } from "@egtp/node";
import { type PeerId, peerIdFromBytes, verifyContactRecord } from "@egtp/wire";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { NoMetatrackerError } from "../src/index.ts";
import { goodbyeRequest, helloRequest, listRequest, lookUpRequest } from "../src/protocol.ts";
import { orderByNearness } from "../src/rendezvous.ts";
import { at, errorOf, World, type WorldMetatracker, type WorldPeer } from "./world.ts";

const echo = defineMessage("test/echo");
const body = Uint8Array.of(7);
const signal = new AbortController().signal;
const url = "https://boot.example/boot.json";
const publisher = createIdentity();
const minuteMs = 60_000;

let world: World;
beforeEach(() => {
  world = new World();
});
afterEach(() => world.end());

interface Directory {
  readonly all: readonly WorldMetatracker[];
  /** What peers are given. */
  readonly directory: { readonly bootPages: readonly string[] };
  readonly of: (peer: PeerId) => WorldMetatracker;
}

/** Starts metatrackers and puts them on a boot page. */
async function metatrackersOf(count: number): Promise<Directory> {
  const all: WorldMetatracker[] = [];
  for (let i = 1; i <= count; i++) all.push(await world.metatracker(`meta-${i}`));
  const page = world.publish(
    url,
    publisher,
    all.map(({ node }) => node.contactRecord!),
  );
  const of = (peer: PeerId) => all.find(({ node }) => node.peerId === peer)!;
  return { all, directory: { bootPages: [page] }, of };
}

/** A peer that answers. */
async function joinEcho(name: string, options: Parameters<World["join"]>[1]): Promise<WorldPeer> {
  const peer = await world.join(name, options);
  peer.node.handle(echo, ({ body: asked }) => asked);
  return peer;
}

/** What a metatracker says that does not keep to the protocol. */
interface Liar {
  readonly lookUp: (peer: PeerId) => Uint8Array | undefined | Promise<Uint8Array | undefined>;
}

/** A metatracker of our making, in place of one of the directory. */
async function replace(victim: WorldMetatracker, { lookUp }: Liar): Promise<void> {
  await world.crash(victim.name, victim.node);
  const part: NodePart = {
    start: async (node) => {
      node.handle(helloRequest, () => ({ state: "kept" }) as const);
      node.handle(goodbyeRequest, () => ({ state: "kept" }) as const);
      node.handle(lookUpRequest, ({ body: asked }) => lookUp(peerIdFromBytes(asked)));
      node.handle(listRequest, () => ({ records: [] }));
    },
    stop: async () => {},
  };
  await world.node(victim.name, { identity: victim.identity, services: ["metatracker"], parts: [part] });
}

function seqOf(bytes: Uint8Array | undefined): number | undefined {
  return bytes === undefined ? undefined : verifyContactRecord(bytes, undefined).seq;
}

const lookUp = (peer: WorldPeer, target: PeerId, tried?: number) =>
  world.time.of(peer.lookup.lookUp(target, { signal, tried }));

describe("looking up", () => {
  test("peers that know only a boot page, and each other's ID, reach each other", async () => {
    const { directory, all } = await metatrackersOf(3);
    const alice = await world.join("alice", { directory });
    const bob = await joinEcho("bob", { directory });
    expect(await world.time.of(alice.node.request(bob.node.peerId, echo, body))).toEqual(body);
    for (const { server } of all) expect(server.size.records).toBe(2);
    expect(alice.said).toMatchObject([{ kind: "boot-page", state: "loaded", publisher: publisher.peer, records: 3 }]);
    expect(alice.lookup.known.toSorted()).toEqual(all.map(({ node }) => node.peerId).toSorted());
  });

  test("without a boot page, metatrackers may be named", async () => {
    const { all } = await metatrackersOf(1);
    const directory = { metatrackers: [{ peer: all[0]!.node.peerId as string, strategies: [at("meta-1")] }] };
    const alice = await world.join("alice", { directory });
    const bob = await joinEcho("bob", { directory });
    expect(await world.time.of(alice.node.request(bob.node.peerId, echo, body))).toEqual(body);
  });

  test("nobody knows a peer that never was, and that is known at once", async () => {
    const { directory } = await metatrackersOf(3);
    const alice = await world.join("alice", { directory });
    const begun = world.time.now();
    expect(await lookUp(alice, createIdentity().peer)).toBeUndefined();
    expect(world.time.now() - begun).toBeLessThan(100);
  });

  const stranger = createIdentity();
  const liars: Record<string, (victim: Identity) => Liar> = {
    forged: (victim) => ({
      lookUp: () => {
        const record = world.record(victim, { seq: 2 ** 50 });
        record[80]! ^= 1;
        return record;
      },
    }),
    stale: (victim) => ({ lookUp: () => world.record(victim, { seq: 1, strategies: [at("nowhere")] }) }),
    expired: (victim) => ({
      lookUp: () => world.record(victim, { seq: 2 ** 50, issued: world.time.now() - 10_000, ttl: 10_000 }),
    }),
    "of another peer": () => ({ lookUp: () => world.record(stranger, { seq: 2 ** 50 }) }),
    garbage: () => ({ lookUp: () => new Uint8Array(3_000).fill(0xa5) }),
    empty: () => ({ lookUp: () => undefined }),
    "a failure": () => ({ lookUp: () => Promise.reject(new Error("No")) }),
    "nothing at all": () => ({ lookUp: () => new Promise(() => {}) }),
    "nothing for ten seconds": () => ({
      lookUp: () => new Promise((resolve) => void world.time.setTimer(() => resolve(undefined), 10_000)),
    }),
  };

  test.each(Object.keys(liars))("works with one of three down and one that answers with what is %s", async (kind) => {
    const { directory, all } = await metatrackersOf(3);
    const bob = await joinEcho("bob", { directory });
    const alice = await world.join("alice", { directory });
    const newest = seqOf(bob.node.contactRecord)!;
    // Each of the three has its turn as the liar and as the one that is down.
    const order = orderByNearness(bob.node.peerId, alice.lookup.known);
    const turn = Object.keys(liars).indexOf(kind);
    const liar = all.find(({ node }) => node.peerId === order[turn % 3])!;
    const down = all.find(({ node }) => node.peerId === order[(turn + 1 + (turn % 2)) % 3])!;
    await replace(liar, liars[kind]!(bob.identity));
    await world.crash(down.name, down.node);
    const begun = world.time.now();
    expect(seqOf(await lookUp(alice, bob.node.peerId))).toBe(newest);
    expect(world.time.now() - begun).toBeLessThan(2_000);
    expect(await world.time.of(alice.node.request(bob.node.peerId, echo, body))).toEqual(body);
    const blamed = alice.said.filter((event) => event.kind === "metatracker").map((event) => event.peer);
    const lies = ["forged", "of another peer", "garbage"].includes(kind);
    expect(blamed.every((peer) => peer === liar.node.peerId)).toBe(true);
    expect(blamed.length > 0).toBe(lies);
  });

  test("a silent one holds nobody up longer than patience lasts, nor does it make peers vanish", async () => {
    const { directory, all } = await metatrackersOf(3);
    const alice = await world.join("alice", { directory });
    const bob = await world.join("bob", { directory });
    await replace(all[0]!, { lookUp: () => new Promise(() => {}) });
    const begun = world.time.now();
    expect(await lookUp(alice, bob.node.peerId)).toBeDefined();
    expect(world.time.now() - begun).toBeLessThan(100);
    expect(await lookUp(alice, createIdentity().peer)).toBeUndefined();
    expect(world.time.now() - begun).toBeLessThan(700);
  });

  test("one that says quickly that it knows nobody does not outvote one that is slow", async () => {
    const { directory, all } = await metatrackersOf(3);
    const bob = await world.join("bob", { directory });
    const alice = await world.join("alice", { directory });
    const record = bob.node.contactRecord!;
    const slowly = () => new Promise<Uint8Array>((resolve) => void world.time.setTimer(() => resolve(record), 2_000));
    await replace(all[0]!, { lookUp: () => undefined });
    await replace(all[1]!, { lookUp: slowly });
    await world.crash(all[2]!.name, all[2]!.node);
    expect(await lookUp(alice, bob.node.peerId)).toEqual(record);
  });

  test("two that say quickly that they know nobody leave a moment to the third", async () => {
    const { directory, all } = await metatrackersOf(3);
    const bob = await world.join("bob", { directory });
    const alice = await world.join("alice", { directory });
    const record = bob.node.contactRecord!;
    const soon = () => new Promise<Uint8Array>((resolve) => void world.time.setTimer(() => resolve(record), 300));
    await replace(all[0]!, { lookUp: () => undefined });
    await replace(all[1]!, { lookUp: soon });
    await replace(all[2]!, { lookUp: () => undefined });
    expect(await lookUp(alice, bob.node.peerId)).toEqual(record);
  });

  test("for our own record, the third is awaited though two have one", async () => {
    const { directory, all } = await metatrackersOf(3);
    const identity = createIdentity();
    const older = world.record(identity, { seq: 1 });
    const newer = world.record(identity, { seq: 2 ** 50 });
    const soon = () => new Promise<Uint8Array>((resolve) => void world.time.setTimer(() => resolve(newer), 300));
    await replace(all[0]!, { lookUp: () => older });
    await replace(all[1]!, { lookUp: soon });
    await replace(all[2]!, { lookUp: () => older });
    const bob = await world.join("bob", { directory, identity });
    expect(bob.events).toContainEqual(expect.objectContaining({ kind: "published", seq: 2 ** 50 + 1 }));
  });

  test("when none answers, each says why, and boot pages are loaded anew", async () => {
    const { directory, all } = await metatrackersOf(3);
    const alice = await world.join("alice", { directory });
    await world.time.pass(minuteMs);
    for (const { name, node } of all) await world.crash(name, node);
    const visits = world.visits.length;
    const error = await errorOf(lookUp(alice, createIdentity().peer));
    expect(error).toBeInstanceOf(NoMetatrackerError);
    expect(error).toMatchObject({ code: "EGTP_METATRACKER_NO_ANSWER" });
    const { reasons, hint } = error as NoMetatrackerError;
    expect(hint).toBeDefined();
    expect(new Set(reasons.map(({ metatracker }) => metatracker)).size).toBe(3);
    for (const reason of reasons) expect(reason.error).toMatchObject({ code: "EGTP_UNREACHABLE" });
    expect(world.visits.length).toBe(visits + 1);
  });

  test("what is behind a send that fails says which metatrackers were asked", async () => {
    const { directory, all } = await metatrackersOf(1);
    const alice = await world.join("alice", { directory });
    await world.crash("meta-1", all[0]!.node);
    const outcome = await world.time.of(alice.node.send(createIdentity().peer, echo, body));
    expect(outcome).toMatchObject({
      state: "unreachable",
      reasons: [{ strategy: "lookup metatrackers", error: { code: "EGTP_METATRACKER_NO_ANSWER" } }],
    });
  });

  test("without any metatracker it says so", async () => {
    const alice = await world.join("alice", {});
    expect(await errorOf(lookUp(alice, createIdentity().peer))).toMatchObject({ code: "EGTP_METATRACKER_NONE_KNOWN" });
  });

  test("a metatracker is never looked up by asking metatrackers", async () => {
    const { directory, all } = await metatrackersOf(3);
    const alice = await world.join("alice", { directory });
    const [meta] = all;
    expect(await lookUp(alice, meta!.node.peerId)).toEqual(meta!.node.contactRecord);
    await world.time.pass(minuteMs);
    const seq = seqOf(meta!.node.contactRecord)!;
    const visits = world.visits.length;
    expect(await lookUp(alice, meta!.node.peerId, seq)).toBeUndefined();
    expect(world.visits.length).toBe(visits + 1); // but its boot page may know better
    expect(all.map(({ server }) => server.counts.found + server.counts.missing)).toEqual([1, 1, 1]); // by Publisher, for us
  });

  test("a metatracker that moved is found where a newer boot page says", async () => {
    const { directory, all } = await metatrackersOf(1);
    const alice = await world.join("alice", { directory });
    const bob = await joinEcho("bob", { directory });
    await world.crash("meta-1", all[0]!.node);
    const moved = await world.metatracker("elsewhere", { identity: all[0]!.identity });
    world.publish(url, publisher, [moved.node.contactRecord!], { seq: 2 });
    await world.time.pass(5 * minuteMs); // bob publishes again
    expect(await world.time.of(alice.node.request(bob.node.peerId, echo, body))).toEqual(body);
  });

  test("only the nearest of many are asked, and hold the record", async () => {
    const { directory, all, of } = await metatrackersOf(7);
    const bob = await world.join("bob", { directory });
    const nearest = orderByNearness(bob.node.peerId, bob.lookup.known).slice(0, 3);
    expect(all.filter(({ server }) => server.size.records > 0).length).toBe(3);
    for (const peer of nearest) expect(of(peer).server.size.records).toBe(1);
    const alice = await world.join("alice", { directory });
    const before = all.map(({ server }) => server.counts.found);
    expect(await lookUp(alice, bob.node.peerId)).toEqual(bob.node.contactRecord);
    await world.time.pass(100);
    const asked = all.filter(({ server }, i) => server.counts.found > before[i]!).map(({ node }) => node.peerId);
    expect(asked.toSorted()).toEqual(nearest.toSorted());
  });

  test("when the nearest are down the next ones take their place, for those who publish and those who ask", async () => {
    const { directory, of, all } = await metatrackersOf(7);
    const identity = createIdentity();
    const order = orderByNearness(
      identity.peer,
      all.map(({ node }) => node.peerId),
    );
    for (const peer of order.slice(0, 3)) await world.crash(of(peer).name, of(peer).node);
    const bob = await joinEcho("bob", { directory, identity });
    for (const peer of order.slice(3, 6)) expect(of(peer).server.size.records).toBe(1);
    const alice = await world.join("alice", { directory });
    expect(await world.time.of(alice.node.request(bob.node.peerId, echo, body))).toEqual(body);
  });
});

describe("what was found is kept for a while", () => {
  const found = ({ all }: Directory) => all.reduce((sum, { server }) => sum + server.counts.found, 0);
  const missing = ({ all }: Directory) => all.reduce((sum, { server }) => sum + server.counts.missing, 0);

  test("a record for a minute, and that nobody knows a peer for two seconds", async () => {
    const made = await metatrackersOf(3);
    const alice = await world.join("alice", { directory: made.directory });
    const bob = await world.join("bob", { directory: made.directory });
    const [foundBefore, missingBefore] = [found(made), missing(made)];
    for (let i = 0; i < 5; i++) await lookUp(alice, bob.node.peerId);
    expect(found(made) - foundBefore).toBe(3);
    await world.time.pass(minuteMs);
    await lookUp(alice, bob.node.peerId);
    expect(found(made) - foundBefore).toBe(6);
    const nobody = createIdentity().peer;
    for (let i = 0; i < 5; i++) await lookUp(alice, nobody);
    expect(missing(made) - missingBefore).toBe(3);
    await world.time.pass(2_000);
    await lookUp(alice, nobody);
    expect(missing(made) - missingBefore).toBe(6);
  });

  test("but whoever says that it was of no use has them asked anew", async () => {
    const made = await metatrackersOf(3);
    const alice = await world.join("alice", { directory: made.directory });
    const bob = await world.join("bob", { directory: made.directory });
    const first = seqOf(await lookUp(alice, bob.node.peerId))!;
    await world.time.pass(1_000);
    bob.node.advertise([at("bob-also")]);
    await world.time.pass(1_000);
    expect(seqOf(await lookUp(alice, bob.node.peerId))).toBe(first);
    const second = seqOf(await lookUp(alice, bob.node.peerId, first))!;
    expect(second).toBeGreaterThan(first);
    expect(seqOf(await lookUp(alice, bob.node.peerId, first))).toBe(second); // newer than what was tried
    const before = found(made);
    await lookUp(alice, bob.node.peerId, second);
    await world.time.pass(100);
    expect(found(made)).toBe(before + 3);
    await lookUp(alice, bob.node.peerId, second); // the same question a moment later
    expect(found(made)).toBe(before + 3);
    await world.time.pass(500);
    await lookUp(alice, bob.node.peerId, second);
    await world.time.pass(100);
    expect(found(made)).toBe(before + 6);
  });

  test("a peer that moves is found where it went, without anybody's help", async () => {
    const { directory } = await metatrackersOf(3);
    const alice = await world.join("alice", { directory });
    const identity = createIdentity();
    const bob = await joinEcho("bob", { directory, identity });
    expect(await world.time.of(alice.node.request(identity.peer, echo, body))).toEqual(body);
    await world.crash("bob", bob.node);
    await joinEcho("bob-elsewhere", { directory, identity });
    expect(await world.time.of(alice.node.request(identity.peer, echo, body))).toEqual(body);
  });

  test("those who ask the same at the same time share one answer, and each may give up alone", async () => {
    const made = await metatrackersOf(3);
    const alice = await world.join("alice", { directory: made.directory });
    const bob = await world.join("bob", { directory: made.directory });
    const before = found(made);
    const leaving = new AbortController();
    const asked = Array.from({ length: 20 }, () =>
      alice.lookup.lookUp(bob.node.peerId, { signal: new AbortController().signal }),
    );
    const left = alice.lookup.lookUp(bob.node.peerId, { signal: leaving.signal });
    const error = errorOf(left);
    leaving.abort(new Error("enough"));
    expect(await world.time.of(error)).toMatchObject({ message: "enough" });
    for (const bytes of await world.time.of(Promise.all(asked))) expect(bytes).toEqual(bob.node.contactRecord);
    expect(found(made) - before).toBe(3);
  });

  test("who asks again just after everybody gave up is not given up with them", async () => {
    const { directory } = await metatrackersOf(3);
    const alice = await world.join("alice", { directory });
    for (let later = 0; later < 20; later++) {
      const bob = await world.join(`bob-${later}`, { directory });
      const leaving = new AbortController();
      const error = errorOf(alice.lookup.lookUp(bob.node.peerId, { signal: leaving.signal }));
      leaving.abort(new Error("enough"));
      for (let tick = 0; tick < later; tick++) await Promise.resolve();
      expect(await lookUp(alice, bob.node.peerId)).toEqual(bob.node.contactRecord);
      expect(await world.time.of(error)).toMatchObject({ message: "enough" });
    }
  });

  test("what everybody gave up is asked no further", async () => {
    const { directory, all } = await metatrackersOf(1);
    const alice = await world.join("alice", { directory });
    await replace(all[0]!, { lookUp: () => new Promise(() => {}) });
    const leaving = new AbortController();
    const error = errorOf(alice.lookup.lookUp(createIdentity().peer, { signal: leaving.signal }));
    await world.time.pass(100);
    leaving.abort(new Error("enough"));
    expect(await world.time.of(error)).toMatchObject({ message: "enough" });
    expect(alice.said.filter(({ kind }) => kind === "metatracker")).toEqual([]);
  });
});

describe("publishing", () => {
  test("the record is published anew when the ways in change, and before its time is over", async () => {
    const { directory } = await metatrackersOf(3);
    const bob = await world.join("bob", { directory });
    const kept = async () => {
      const alice = await world.join(`asker-${world.time.now()}`, { directory });
      const bytes = await lookUp(alice, bob.node.peerId);
      await world.stop(alice.node);
      return verifyContactRecord(bytes!, world.time.now());
    };
    const first = await kept();
    bob.node.advertise([at("bob-also")]);
    await world.time.pass(1_000);
    const second = await kept();
    expect(second.seq).toBeGreaterThan(first.seq);
    expect(second.strategies).toContainEqual(at("bob-also"));
    await world.time.pass(9 * 60 * minuteMs);
    const third = await kept();
    expect(third.issued).toBeGreaterThan(second.issued);
  });

  test("a peer that forgot its number, and whose clock is behind, publishes above what it finds", async () => {
    const { directory, all } = await metatrackersOf(3);
    const identity = createIdentity();
    const ahead = world.time.now() + 1_000_000;
    const before = await world.join("before", { directory, identity });
    await world.time.of(before.lookup.publish!(world.record(identity, { seq: ahead }), { signal }));
    await world.crash("before", before.node);
    const after = await world.join("after", { directory, identity });
    expect(after.events).toContainEqual(
      expect.objectContaining({ kind: "published", seq: ahead + 1, error: undefined }),
    );
    for (const { server } of all) expect(server.counts.older).toBe(0); // it looked first
    const alice = await world.join("alice", { directory });
    expect(seqOf(await lookUp(alice, identity.peer))).toBe(ahead + 1);
  });

  test("a number that one metatracker alone remembers is published above, too", async () => {
    const { directory, all } = await metatrackersOf(3);
    const identity = createIdentity();
    const ahead = world.time.now() + 1_000_000;
    const before = await world.join("before", { directory, identity });
    await world.time.of(before.lookup.publish!(world.record(identity, { seq: ahead }), { signal }));
    await world.crash("before", before.node);
    // Two forgot it; the third is slow to say what it knows, and quick to say that it knows more.
    for (const { name, node, identity: own } of all.slice(0, 2)) {
      await world.crash(name, node);
      await world.metatracker(name, { identity: own });
    }
    const after = await world.join("after", { directory, identity });
    await world.time.pass(1_000);
    const published = after.events.filter((event) => event.kind === "published");
    expect(published.at(-1)).toMatchObject({ seq: ahead + 1, error: undefined });
  });

  test("a record that nobody takes is told, with the reasons", async () => {
    const { directory } = await metatrackersOf(3);
    const alice = await world.join("alice", { directory });
    const old = world.record(alice.identity, { seq: 2 ** 50, issued: world.time.now() - 10_000, ttl: 9_000 });
    const error = await errorOf(world.time.of(alice.lookup.publish!(old, { signal })));
    expect(error).toMatchObject({ code: "EGTP_METATRACKER_REFUSED" });
    expect((error as NoMetatrackerError).reasons).toHaveLength(3);
    expect((error as Error).message).toContain("expired");
  });

  test("it is enough that one takes it; the others get it when they are back", async () => {
    const { directory, all } = await metatrackersOf(3);
    for (const { name, node } of all.slice(1)) await world.crash(name, node);
    const bob = await world.join("bob", { directory });
    expect(bob.events).toContainEqual(expect.objectContaining({ kind: "published", error: undefined }));
    const back = await world.metatracker(all[1]!.name, { identity: all[1]!.identity });
    await world.time.pass(minuteMs);
    expect(back.server.size.records).toBe(1);
  });

  test("when the boot page comes late, the record is published as soon as it is there", async () => {
    const meta = await world.metatracker("meta-1");
    const bob = await world.join("bob", { directory: { bootPages: [`${url}#${publisher.peer}`] } });
    expect(bob.events).toContainEqual(
      expect.objectContaining({
        kind: "published",
        error: expect.objectContaining({ code: "EGTP_METATRACKER_NONE_KNOWN" }),
      }),
    );
    world.publish(url, publisher, [meta.node.contactRecord!]);
    await world.time.pass(12_000);
    expect(meta.server.size.records).toBe(1);
  });

  test("when all metatrackers forget everything, peers publish again, and lookups work within three minutes", async () => {
    const { directory, all } = await metatrackersOf(3);
    const peers = [];
    for (let i = 0; i < 10; i++) peers.push(await joinEcho(`peer-${i}`, { directory }));
    await world.time.pass(10 * minuteMs);
    const reborn: WorldMetatracker[] = [];
    for (const { name, node, identity } of all) {
      await world.crash(name, node);
      reborn.push(await world.metatracker(name, { identity }));
    }
    for (const { server } of reborn) expect(server.size.records).toBe(0);
    await world.time.pass(3 * minuteMs);
    for (const { server } of reborn) expect(server.size.records).toBe(10);
    const alice = await world.join("alice", { directory });
    for (const { node } of peers)
      expect(await world.time.of(alice.node.request(node.peerId, echo, body))).toEqual(body);
  });

  test("a peer that talks to a metatracker that forgot everything notices at once", async () => {
    const { directory, all } = await metatrackersOf(1);
    const bob = await joinEcho("bob", { directory });
    const alice = await world.join("alice", { directory });
    const [meta] = all;
    await world.crash("meta-1", meta!.node);
    const reborn = await world.metatracker("meta-1", { identity: meta!.identity });
    await lookUp(bob, createIdentity().peer);
    await world.time.pass(2_000);
    expect(await lookUp(alice, bob.node.peerId)).toBeDefined();
    expect(reborn.server.size.records).toBeGreaterThan(0);
  });

  test("who says goodbye is gone for everybody, and does not come back by itself", async () => {
    const { directory, all } = await metatrackersOf(3);
    const alice = await world.join("alice", { directory });
    const bob = await world.join("bob", { directory });
    await world.time.of(bob.node.stop({ goodbye: true }));
    await world.time.pass(10 * minuteMs);
    const outcome = await world.time.of(alice.node.send(bob.node.peerId, echo, body));
    expect(outcome).toMatchObject({ state: "unreachable", reasons: [{ error: { code: "EGTP_PEER_GONE" } }] });
    for (const { server } of all) expect(server.counts.refused.invalid).toBe(0);
  });

  test("a goodbye is not brought again and again", async () => {
    const { directory, all } = await metatrackersOf(3);
    const bob = await world.join("bob", { directory });
    const goodbye = world.record(bob.identity, { seq: 2 ** 50, gone: true });
    expect(await world.time.of(bob.lookup.publish!(goodbye, { signal }))).toBeUndefined();
    const before = all.map(({ server }) => ({ ...server.counts }));
    await world.time.pass(10 * minuteMs);
    expect(all.map(({ server }) => ({ ...server.counts }))).toEqual(before);
  });

  test.each([
    ["another peer's", () => world.record(createIdentity(), { seq: 2 ** 50 })],
    ["an older one", (own: Identity) => world.record(own, { seq: 1 })],
    ["garbage", () => new Uint8Array(9)],
  ])("one that claims to keep a newer record of ours, and shows %s, is passed over", async (_, lie) => {
    const { directory, all } = await metatrackersOf(3);
    const [victim] = all;
    const identity = createIdentity();
    await world.crash(victim!.name, victim!.node);
    const part: NodePart = {
      start: async (node) => {
        node.handle(helloRequest, () => ({ state: "older", record: lie(identity) }) as const);
        node.handle(lookUpRequest, () => undefined);
      },
      stop: async () => {},
    };
    await world.node(victim!.name, { identity: victim!.identity, parts: [part] });
    const bob = await world.join("bob", { directory, identity });
    expect(bob.events.filter(({ kind }) => kind === "published")).toEqual([
      expect.objectContaining({ kind: "published", error: undefined }),
    ]);
    const blamed = bob.said.filter((event) => event.kind === "metatracker");
    const error = expect.objectContaining({ code: "EGTP_METATRACKER_BAD_ANSWER" });
    expect(blamed).toEqual([expect.objectContaining({ peer: victim!.node.peerId, error })]);
  });

  test("a metatracker that appears on the boot page gets the records that belong there", async () => {
    const { directory, all } = await metatrackersOf(1);
    const bob = await world.join("bob", { directory });
    const second = await world.metatracker("meta-2");
    const records = [all[0]!, second].map(({ node }) => node.contactRecord!);
    world.publish(url, publisher, records, { seq: 2 });
    await world.time.run(() => bob.lookup.known.length === 2, 2 * 60 * minuteMs);
    await world.time.pass(1_500);
    expect(second.server.size.records).toBe(1);
  });
});

describe("discovering", () => {
  const relaysOf = async (count: number, directory: Directory["directory"]) => {
    const relays: PeerId[] = [];
    for (let i = 0; i < count; i++) {
      relays.push((await world.join(`relay-${i}`, { directory, services: ["relay"] })).node.peerId);
    }
    return relays;
  };

  test("finds those that offer a service, wherever their records are", async () => {
    const { directory } = await metatrackersOf(7);
    const relays = await relaysOf(5, directory);
    await world.join("bob", { directory, services: ["other"] });
    const alice = await world.join("alice", { directory });
    expect((await world.time.of(alice.node.discover("relay"))).toSorted()).toEqual(relays.toSorted());
    expect(await world.time.of(alice.node.discover("relay", { max: 2 }))).toHaveLength(2);
    const raw = await world.time.of(alice.lookup.discover!("relay", { max: 16, signal }));
    expect(raw).toHaveLength(5); // each once, though three metatrackers know each
    expect(await world.time.of(alice.node.discover("nothing like it"))).toEqual([]);
    const metatrackers = await world.time.of(alice.node.discover("metatracker"));
    expect(metatrackers.toSorted()).toEqual(alice.lookup.known.toSorted());
  });

  test("one that lists its own crowd does not crowd out the others", async () => {
    const { directory, all } = await metatrackersOf(3);
    const relays = await relaysOf(4, directory);
    await world.crash(all[0]!.name, all[0]!.node);
    const crowd = Array.from({ length: 13 }, () => createIdentity());
    const part: NodePart = {
      start: async (node) => {
        const records = crowd.map((identity) => world.record(identity, { services: ["relay"] }));
        const wrong = [world.record(createIdentity(), { services: ["other"] }), new Uint8Array(100), records[0]!];
        node.handle(listRequest, () => ({ records: [...wrong, ...records] }));
      },
      stop: async () => {},
    };
    await world.node(all[0]!.name, { identity: all[0]!.identity, parts: [part] });
    const alice = await world.join("alice", { directory });
    const found = await world.time.of(alice.node.discover("relay", { max: 10 }));
    expect(found).toHaveLength(10);
    for (const relay of relays) expect(found).toContain(relay);
    expect(alice.said.filter((event) => event.kind === "metatracker")).toHaveLength(1);
  });

  test("relays that stand on a boot page are found with every metatracker down", async () => {
    const { all } = await metatrackersOf(1);
    const relay = createIdentity();
    const page = world.publish(url, publisher, [
      all[0]!.node.contactRecord!,
      world.record(relay, { services: ["relay"], strategies: [at("relay")] }),
    ]);
    const alice = await world.join("alice", { directory: { bootPages: [page] } });
    await world.crash("meta-1", all[0]!.node);
    expect(await world.time.of(alice.node.discover("relay"))).toEqual([relay.peer]);
    expect(await errorOf(world.time.of(alice.node.discover("other")))).toMatchObject({
      code: "EGTP_METATRACKER_NO_ANSWER",
    });
  });
});
