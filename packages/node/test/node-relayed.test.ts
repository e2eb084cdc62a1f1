/** Links that lead through a relay: what the router makes of what the relay says. */
import { createIdentity, identityFromSeed } from "@egtp/mesgen";
import { defineMessage, EgtpError, type PeerId, peerIdToBytes, type Strategy, signContactRecord } from "@egtp/wire";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { EnvelopeFate, Link, LinkEnd, LinkHandlers, NodePart, Transport } from "../src/index.ts";
import { MemoryNetwork } from "../src/memory.ts";
import { World, type WorldNode } from "./world.ts";

const note = defineMessage("test/note");
const body = Uint8Array.of(1);

let world: World;
beforeEach(() => {
  world = new World();
});
afterEach(() => world.end());

/** Stands for a relay client: dials what it is told to, and answers nothing by itself. */
class ScriptedRelays implements NodePart {
  readonly links: ScriptedLink[] = [];
  /** Relays that cannot be reached. */
  readonly dead = new Set<PeerId>();
  readonly dialled: PeerId[] = [];
  takeMail!: (envelope: Uint8Array) => Promise<boolean>;
  readonly transport: Transport = {
    kind: "relay",
    refusals: { full: 0, "source-full": 0, "wrong-target": 0, replayed: 0, "no-tag": 0 },
    serve: async (_identity, _onLink, onMail) => {
      this.takeMail = (envelope) => onMail!(envelope, "relay");
      return { strategies: [], stop: async () => {} };
    },
    canDial: ({ kind }) => kind === "relay",
    dial: async (strategy) => {
      if (strategy.kind !== "relay") throw new TypeError("Not a relay");
      this.dialled.push(strategy.relay);
      if (this.dead.has(strategy.relay)) throw new EgtpError("EGTP_TEST_DEAD", "The relay is dead");
      const link = new ScriptedLink();
      this.links.push(link);
      return link;
    },
  };
  async start(): Promise<void> {}
  async stop(): Promise<void> {}
}

class ScriptedLink implements Link {
  readonly direction = "outgoing";
  readonly remote = "relay";
  readonly source = "relay";
  readonly bytesReceived = 0;
  readonly bytesSent = 0;
  readonly queuedBytes = 0;
  writable = true;
  readonly sent: Uint8Array[] = [];
  #handlers!: LinkHandlers;

  start(handlers: LinkHandlers): void {
    this.#handlers = handlers;
  }
  send(envelope: Uint8Array): boolean {
    this.sent.push(envelope);
    return true;
  }
  authenticated(): void {}
  pause(): void {}
  resume(): void {}
  close(): void {
    queueMicrotask(() => this.end("closed"));
  }
  end(reason: LinkEnd["reason"]): void {
    if (!this.writable) return;
    this.writable = false;
    this.#handlers.closed({ reason, detail: undefined, error: undefined, unsent: [] });
  }
  answer(fate: EnvelopeFate): void {
    for (const envelope of this.sent.splice(0)) this.#handlers.fate!(envelope, fate);
  }
}

const first = createIdentity().peer;
const second = createIdentity().peer;

test("a relay that takes something ends the time out of reach: a later failure is tried again as soon as the first", async () => {
  const relays = new ScriptedRelays();
  const { node } = await world.join("alice", { parts: [relays] });
  const { peer } = createIdentity();
  node.introduce(peer, [{ kind: "relay", relay: first }]);
  relays.dead.add(first);
  const outcome = node.send(peer, note, body, { failFast: false });
  await world.time.pass(20_000);
  relays.dead.clear();
  await world.time.run(() => relays.links.some(({ sent }) => sent.length > 0));
  relays.links[0]!.answer({ state: "stored", relay: first, until: world.time.now() + 1_000_000 });
  expect(await world.time.of(outcome)).toMatchObject({ state: "stored" });

  await world.time.pass(600_000);
  relays.dead.add(first);
  relays.links[0]!.end("lost");
  void node.send(peer, note, body, { failFast: false });
  relays.dialled.length = 0;
  await world.time.pass(1_000);
  expect(relays.dialled.length).toBeGreaterThan(2);
});

test("a way through a relay that was closed as idle has not failed: it is the first to be tried again", async () => {
  const relays = new ScriptedRelays();
  const alice = await world.join("alice", { parts: [relays] });
  const { peer } = createIdentity();
  const stored: EnvelopeFate = { state: "stored", relay: first, until: world.time.now() + 1_000_000 };
  alice.node.introduce(peer, [
    { kind: "relay", relay: first },
    { kind: "relay", relay: second },
  ]);
  for (const reason of ["idle", "lost"] as const) {
    const outcome = alice.node.send(peer, note, body);
    await world.time.run(() => relays.links.some(({ sent }) => sent.length > 0));
    relays.links.at(-1)!.answer(stored);
    await world.time.of(outcome);
    relays.links.at(-1)!.end(reason);
  }
  const last = alice.node.send(peer, note, body);
  await world.time.run(() => relays.links.length === 3 && relays.links[2]!.sent.length > 0);
  relays.links.at(-1)!.answer(stored);
  await world.time.of(last);
  expect(relays.dialled).toEqual([first, first, second]);
  expect(alice.events.filter(({ kind }) => kind === "dial-failed")).toMatchObject([{ strategy: `relay ${first}` }]);
});

test("a part hands events to whoever reads the node's", async () => {
  const part: NodePart = {
    start: async (_node, _options, tell) => {
      tell({ kind: "relay", at: 1, state: "registered", relay: first, error: undefined });
    },
    stop: async () => {},
  };
  const { events } = await world.join("alice", { parts: [part] });
  await world.time.pass(1);
  expect(events).toContainEqual({ kind: "relay", at: 1, state: "registered", relay: first, error: undefined });
});

test("what a part advertises while the node starts stands in its first record", async () => {
  const part: NodePart = {
    start: async (node) => {
      node.advertise([{ kind: "relay", relay: first }]);
      await new Promise<void>((resolve) => world.time.setTimer(resolve, 100));
    },
    stop: async () => {},
  };
  const { events } = await world.join("alice", { listen: false, parts: [part] });
  await world.time.pass(1_000);
  const published = events.filter(({ kind }) => kind === "published");
  expect(published).toMatchObject([{ strategies: [{ kind: "relay", relay: first }] }]);
});

describe("a peer that collects its mail elsewhere by now", () => {
  const stored = (relay: PeerId): EnvelopeFate => ({ state: "stored", relay, until: world.time.now() + 1_000_000_000 });
  const bob = createIdentity();
  let seq = 0;

  /** What bob publishes. */
  async function collectsAt(relay: PeerId): Promise<Uint8Array> {
    const record = signContactRecord(
      {
        id: bob.peer,
        seq: ++seq,
        issued: world.time.now(),
        ttl: 86_400_000,
        strategies: [{ kind: "relay", relay }],
        services: [],
        gone: false,
      },
      (message) => bob.keys.sign(message),
    );
    await world.lookup.publish(record);
    return record;
  }

  /** Alice has given something for him to the first relay, which has not said anything yet. */
  async function givenToTheFirst(): Promise<{ alice: WorldNode; relays: ScriptedRelays; looked: number[] }> {
    const looked: number[] = [];
    const relays = new ScriptedRelays();
    const lookUp = (peer: PeerId): Promise<Uint8Array | undefined> => {
      if (peer === bob.peer) looked.push(world.time.now());
      return world.lookup.lookUp(peer);
    };
    const lookup = { kind: "counting", lookUp, publish: (record: Uint8Array) => world.lookup.publish(record) };
    const alice = await world.join("alice", { parts: [relays], lookup, isListed: false });
    await collectsAt(first);
    void alice.node.send(bob.peer, note, body);
    await world.time.run(() => relays.links.some((link) => link.sent.length > 0));
    return { alice, relays, looked };
  }

  /** Alice has left something for him there. */
  async function leftAtTheFirst(): ReturnType<typeof givenToTheFirst> {
    const given = await givenToTheFirst();
    given.relays.links[0]!.answer(stored(first));
    return given;
  }

  test("is followed as soon as somebody says so: what was left for it leaves again, and the old way is not used", async () => {
    const { alice, relays } = await leftAtTheFirst();
    await world.time.pass(1_000);
    alice.node.learn(await collectsAt(second));
    await world.time.run(() => relays.links.length === 2 && relays.links[1]!.sent.length > 0);
    expect(relays.dialled).toEqual([first, second]);
    expect(relays.links[0]!.writable).toBe(false);
  });

  test("is followed before long though nobody says so", async () => {
    const { relays } = await leftAtTheFirst();
    await world.time.pass(1_000);
    await collectsAt(second);
    await world.time.run(() => relays.links.length === 2 && relays.links[1]!.sent.length > 0, 31_000);
    expect(relays.dialled).toEqual([first, second]);
  });

  test("is followed although the old place says to pass on what it throws away", async () => {
    const { relays } = await givenToTheFirst();
    await collectsAt(second);
    await world.time.run(() => {
      relays.links[0]!.answer({ state: "passed" });
      return relays.links.length === 2 && relays.links[1]!.sent.length > 0;
    }, 10_000);
    expect(relays.dialled).toEqual([first, second]);
  });

  test("is followed by what was under way to the old place, too", async () => {
    const { alice, relays } = await givenToTheFirst();
    relays.links[0]!.close = () => {};
    alice.node.learn(await collectsAt(second));
    await world.time.pass(100);
    relays.links[0]!.answer(stored(first));
    relays.links[0]!.end("closed");
    await world.time.run(() => relays.links.length === 2 && relays.links[1]!.sent.length > 0, 10_000);
  });

  test("is asked for ever more rarely, and no longer than mail lies there", async () => {
    const { looked } = await leftAtTheFirst();
    const begun = looked.length;
    await world.time.pass(24 * 3_600_000);
    expect(looked.length - begun).toBeGreaterThan(24);
    expect(looked.length - begun).toBeLessThan(34 + 8);
  });
});

describe("P1: a relay that says to pass on or to keep, and throws away", () => {
  const passed: EnvelopeFate = { state: "passed" };

  /** Alice sends something to somebody who can be reached in these ways; all relays answer the same. @returns When she dialled which. */
  async function dialsOf(
    ways: readonly Strategy[],
    fate: EnvelopeFate,
    forMs: number,
  ): Promise<{ dials: { relay: PeerId; afterMs: number }[]; sent: number }> {
    const relays = new ScriptedRelays();
    const { node } = await world.join("alice", { parts: [relays] });
    const { peer } = createIdentity();
    node.introduce(peer, ways);
    const begun = world.time.now();
    void node.send(peer, note, body, { failFast: false, timeoutMs: 86_400_000 });
    const dials: { relay: PeerId; afterMs: number }[] = [];
    let sent = 0;
    while (world.time.now() - begun < forMs) {
      await world.time.pass(100);
      for (const relay of relays.dialled.splice(0)) dials.push({ relay, afterMs: world.time.now() - begun });
      for (const link of relays.links) {
        sent += link.sent.length;
        link.answer(fate);
      }
    }
    return { dials, sent };
  }

  const ways = [first, second].map((relay): Strategy => ({ kind: "relay", relay }));

  test("has the next one tried after two timeouts, and its turn again when that brings nothing either, ever more rarely", async () => {
    const { dials } = await dialsOf(ways, passed, 10 * 60_000);
    expect(dials.slice(0, 4).map(({ relay }) => relay)).toEqual([first, second, first, second]);
    expect(dials[1]!.afterMs).toBeLessThan(4_000);
    expect(dials.length).toBeLessThan(12);
  });

  test("has the next one tried soon when mail stays without an answer, a few times in all: the peer may just be away", async () => {
    const stored: EnvelopeFate = { state: "stored", relay: first, until: world.time.now() + 86_400_000 };
    const { dials, sent } = await dialsOf(ways, stored, 60 * 60_000);
    expect(dials.map(({ relay }) => relay)).toEqual([first, second, first, second, first]);
    expect(dials[1]!.afterMs).toBeLessThan(6_000);
    expect(sent).toBe(1 + 8);
  });

  test("has a direct way tried that is named beside it", async () => {
    const relays = new ScriptedRelays();
    const { node } = await world.join("alice", { parts: [relays] });
    const bob = await world.join("bob");
    const heard: number[] = [];
    bob.node.handle(note, (message) => {
      heard.push(message.body[0]!);
    });
    const unblock = world.network.block("alice", "bob");
    node.introduce(bob.node.peerId, [MemoryNetwork.strategy("bob"), { kind: "relay", relay: first }]);
    void node.send(bob.node.peerId, note, body, { failFast: false, timeoutMs: 86_400_000 });
    await world.time.run(() => relays.links.length > 0);
    unblock();
    await world.time.run(() => {
      for (const link of relays.links) link.answer(passed);
      return heard.length > 0;
    }, 10_000);
    expect(heard).toEqual([1]);
  });

  test("is used all the same when it is the only way", async () => {
    const { dials, sent } = await dialsOf(ways.slice(0, 1), passed, 60_000);
    expect(dials).toHaveLength(1);
    expect(sent).toBeGreaterThan(4);
  });
});

describe("mail that nobody here can read", () => {
  /** Bob has mail of Alice, who cannot be reached any more, under a session that he lost. */
  async function unreadable(): Promise<{ mail: Uint8Array; alice: WorldNode; bob: WorldNode; relays: ScriptedRelays }> {
    const sent = new ScriptedRelays();
    const alice = await world.join("alice", { parts: [sent], listen: false });
    const identity = createIdentity();
    alice.node.introduce(identity.peer, [{ kind: "relay", relay: first }]);
    void alice.node.send(identity.peer, note, body);
    await world.time.run(() => sent.links.some((link) => link.sent.length > 0));
    const mail = sent.links[0]!.sent[0]!;
    sent.links[0]!.end("closed");
    const relays = new ScriptedRelays();
    // Keys that are not new, and a store without a past: a first contact may be older than that.
    const bob = await world.join("bob", { parts: [relays], identity: identityFromSeed(identity.exportSeed()) });
    return { mail, alice, bob, relays };
  }

  test("stays in the mailbox while its sender cannot be told, and is not kept for ever", async () => {
    const { mail, bob, relays } = await unreadable();
    const begun = world.time.now();
    expect(await world.time.of(relays.takeMail(mail.slice()))).toBe(false);
    expect(world.time.now() - begun).toBe(5_000);
    await world.time.pass(30 * 60_000);
    expect(await world.time.of(relays.takeMail(mail.slice()))).toBe(false);
    await world.time.pass(30 * 60_000);
    expect(await world.time.of(relays.takeMail(mail.slice()))).toBe(true);
    expect(bob.node.stats().unreadable).toBe(3);
  });

  test("may be forgotten as soon as a relay has the answer, and not when it does not take it", async () => {
    const { mail, alice, bob, relays } = await unreadable();
    bob.node.introduce(alice.node.peerId, [{ kind: "relay", relay: second }]);
    const refused = relays.takeMail(mail.slice());
    await world.time.run(() => relays.links.some((link) => link.sent.length > 0));
    relays.links[0]!.answer({ state: "refused", error: new EgtpError("EGTP_TEST", "No"), reason: undefined });
    relays.links[0]!.end("closed");
    expect(await world.time.of(refused)).toBe(false);
    await world.time.pass(10_000);
    const begun = world.time.now();
    const stored = relays.takeMail(mail.slice());
    await world.time.run(() => relays.links.some((link) => link.sent.length > 0));
    relays.links.at(-1)!.answer({ state: "stored", relay: second, until: world.time.now() + 1_000_000 });
    expect(await world.time.of(stored)).toBe(true);
    expect(world.time.now() - begun).toBeLessThan(100);
  });

  test("may be forgotten when its sender is heard", async () => {
    const { mail, alice, bob, relays } = await unreadable();
    const taken = relays.takeMail(mail.slice());
    bob.node.handle(note, () => {});
    alice.node.introduce(bob.node.peerId, [MemoryNetwork.strategy("bob")]);
    void alice.node.send(bob.node.peerId, note, body);
    expect(await world.time.of(taken)).toBe(true);
  });

  test("may be forgotten but for one of each sender: the mailbox has room for the answers", async () => {
    const { mail, relays } = await unreadable();
    const kept = relays.takeMail(mail.slice());
    const begun = world.time.now();
    for (let i = 0; i < 3; i++) expect(await world.time.of(relays.takeMail(mail.slice()))).toBe(true);
    expect(world.time.now() - begun).toBeLessThan(100);
    expect(await world.time.of(kept)).toBe(false);
  });

  test("is left there when the node stops", async () => {
    const { mail, bob, relays } = await unreadable();
    const taken = relays.takeMail(mail.slice());
    await world.time.of(bob.node.stop());
    expect(await world.time.of(taken)).toBe(false);
  });

  test("that is made up takes no more than its share", async () => {
    const { mail, relays } = await unreadable();
    const taken: boolean[] = [];
    for (let i = 0; i < 100; i++) {
      const forged = mail.slice();
      forged.set(peerIdToBytes(createIdentity().peer), 2);
      void relays.takeMail(forged).then((is) => taken.push(is));
    }
    await world.time.pass(100);
    expect(taken.filter((is) => is).length).toBeGreaterThanOrEqual(100 - 32 - 64);
    await world.time.pass(10_000);
    expect(taken).toHaveLength(100);
  });
});
