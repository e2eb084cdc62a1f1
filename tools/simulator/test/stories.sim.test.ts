/** Each property of docs/spec.md, "Properties", as a story of its own on the simulator. All of them in milliseconds. */

import { decodeEnvelope, toHex } from "@egtp/wire";
import { describe, expect, it } from "vitest";
import { attack, converge, noFaults, realCores, run, type SimPeer, settleDown, World } from "../src/index.ts";

const secondMs = 1_000;
const hourMs = 3_600 * secondMs;
const longAgoMs = 90 * hourMs;
const cores = realCores;

/** Two peers that have talked, and a network of 100 ms without faults. */
function pair(seed: number): { world: World; a: SimPeer; b: SimPeer } {
  const world = new World(seed, { cores });
  world.network.faults = { ...noFaults, latencyMs: 100 };
  const a = world.addPeer(0, longAgoMs, false);
  const b = world.addPeer(2 * hourMs, longAgoMs, false);
  a.send(b.id, 20, true, hourMs);
  b.send(a.id, 20, true, hourMs);
  pass(world, 30);
  return { world, a, b };
}

function pass(world: World, seconds: number): void {
  world.clock.runUntil(world.clock.now + seconds * secondMs);
}

function handedOver(world: World): number {
  return world.ledger.entries.reduce((sum, entry) => sum + entry.handovers.length, 0);
}

describe("seeds that failed once", () => {
  // The handler of a message that a restored store had forgotten was still busy when its node was stopped.
  it.each([["chaos", 58_516]] as const)("%s %i", (profile, seed) => {
    expect(run(seed, profile, { cores }).violations).toEqual([]);
  });
});

describe("stories", () => {
  it("P1 no deadlock: both sides forget everything, in turn and together, and all mail arrives", () => {
    const { world, a, b } = pair(1);
    for (const forgetful of [[a], [b], [a, b], [b, a]]) {
      a.send(b.id, 50, false, hourMs);
      for (const peer of forgetful) peer.crash("lost", 500);
      pass(world, 2);
      a.send(b.id, 50, true, hourMs);
      b.send(a.id, 50, true, hourMs);
      pass(world, 20);
    }
    settleDown(world);
    expect(world.violations).toEqual([]);
    const kept = world.ledger.entries.filter((entry) => !entry.orphaned);
    expect(kept.length).toBeGreaterThan(8);
    expect(kept.every((entry) => entry.outcome === "delivered")).toBe(true);
  });

  it("P2 at most once: repeats, replays and a restart hand nothing over a second time", () => {
    const { world, a, b } = pair(2);
    world.network.faults = { ...noFaults, loss: 0.2, repeat: 0.5, reorder: 0.5, latencyMs: 100 };
    for (let i = 0; i < 20; i++) a.send(b.id, 100, i % 3 === 0, hourMs);
    pass(world, 60);
    b.save();
    b.crash("kept", 500);
    pass(world, 5);
    const before = handedOver(world);
    for (const passed of world.network.recorded) if (passed.to === b.id) b.arrive(passed, true);
    pass(world, 5);
    expect(handedOver(world)).toBe(before);
    settleDown(world);
    expect(world.violations).toEqual([]);
    expect(world.ledger.entries.every((entry) => entry.handovers.length === 1)).toBe(true);
  });

  it("P3 no nonce twice: an old store put back again and again never sends on what it loaded", () => {
    const { world, a, b } = pair(3);
    a.disk.snapshot();
    for (let i = 0; i < 6; i++) {
      a.send(b.id, 40, false, hourMs);
      pass(world, 3);
      a.crash("rolled back", 200);
      pass(world, 3);
      a.send(b.id, 40, false, hourMs);
      pass(world, 3);
    }
    settleDown(world);
    expect(world.violations).toEqual([]);
    expect(a.rollbacks).toBe(6);
  });

  it("P4 nothing forged: what is mutated, misaddressed or reflected delivers nothing", () => {
    const { world, a, b } = pair(4);
    const before = handedOver(world);
    for (const passed of world.network.recorded) {
      for (let at = 0; at < passed.envelope.length; at++) {
        const envelope = passed.envelope.slice();
        envelope[at] = (envelope[at] as number) ^ 0x10;
        (passed.to === a.id ? a : b).arrive({ ...passed, envelope }, true);
      }
      (passed.to === a.id ? b : a).arrive(passed, true);
    }
    pass(world, 60);
    expect(handedOver(world)).toBe(before);
    expect(world.violations).toEqual([]);
  });

  it("P5 bounded: a thousand envelopes in strangers' names leave bounded tables and few answers", () => {
    const { world, a, b } = pair(5);
    const sent = world.network.sent;
    const [some] = world.network.recorded;
    if (some === undefined) throw new Error("nothing was recorded");
    for (let i = 0; i < 1_000; i++) {
      const envelope = some.envelope.slice(0, 200);
      envelope[0] = 0x11;
      envelope.set(b.identity.keys.publicKey, 2);
      envelope.set(world.random.bytes(16), 34);
      a.arrive({ ...some, envelope }, true);
      pass(world, 0.01);
    }
    pass(world, 60);
    expect(world.network.sent - sent).toBeLessThan(30);
    converge(world);
    expect(world.violations).toEqual([]);
  });

  it("P6 quiescent: after healing and crossing nothing more is said", () => {
    const { world, a, b } = pair(6);
    b.crash("lost", 300);
    pass(world, 1);
    a.send(b.id, 30, false, hourMs);
    b.send(a.id, 30, false, hourMs);
    settleDown(world);
    const sent = world.network.sent;
    pass(world, 24 * 3_600);
    expect(world.network.sent).toBe(sent);
    expect(world.violations).toEqual([]);
  });

  it("P7 recovery: one extra round trip and one offer, counted in envelopes and bytes, everything in flight with it", () => {
    const { world, a, b } = pair(7);
    b.crash("lost", 300);
    pass(world, 1);
    const { sent, sentBytes } = world.network;
    const started = world.clock.now;
    const offersBefore = [a, b].map((peer) => peer.endpoint.maps.lastStamp);
    const entries = Array.from({ length: 5 }, () => a.send(b.id, 100, false, hourMs));
    pass(world, 0.55);
    for (const entry of entries) {
      const at = entry?.handovers[0]?.at ?? Number.POSITIVE_INFINITY;
      expect(at - started).toBeLessThan(3 * 150 + 1);
    }
    const offers = [a, b].map((peer, i) => peer.endpoint.maps.lastStamp !== offersBefore[i]);
    expect(offers).toEqual([false, true]);
    // What could not be read, the answer with its offer, the acceptance with what was lost, the receipt.
    expect(world.network.sent - sent).toBe(4);
    const bodies = 2 * 5 * 100;
    expect(world.network.sentBytes - sentBytes - bodies).toBeLessThan(700);
    settleDown(world);
    expect(world.violations).toEqual([]);
  });

  it("P8 convergence: after crossing offers and a rollback both prefer the same session within two exchanges", () => {
    const { world, a, b } = pair(8);
    a.disk.snapshot();
    a.crash("lost", 100);
    b.crash("lost", 100);
    pass(world, 1);
    a.send(b.id, 10, false, hourMs);
    b.send(a.id, 10, false, hourMs);
    pass(world, 20);
    converge(world);
    a.crash("rolled back", 100);
    pass(world, 5);
    converge(world);
    expect(world.violations).toEqual([]);
  });

  it("P9 same answer: many messages under a forgotten session yield one offer, byte for byte", () => {
    const { world, a, b } = pair(9);
    // Whatever the forgetter answers is lost, so that nothing heals meanwhile.
    const heal = world.network.cut(b.id, a.id);
    b.crash("lost", 100);
    pass(world, 1);
    const handshakes = b.endpoint.mesgen.handshakes;
    for (let i = 0; i < 20; i++) {
      a.send(b.id, 10, false, hourMs);
      pass(world, 0.5);
    }
    const answers = world.network.recorded
      .filter(({ from }) => from === b.id)
      .map(({ envelope }) => decodeEnvelope(envelope));
    const offers = answers.filter(({ type }) => type === "offer").slice(-5);
    expect(offers.length).toBeGreaterThan(2);
    expect(new Set(offers.map(({ handshake }) => toHex(handshake as Uint8Array))).size).toBe(1);
    expect(b.endpoint.mesgen.handshakes - handshakes).toBe(1);
    heal();
    settleDown(world);
    expect(world.violations).toEqual([]);
  });

  it("P10 strangers change nothing: five hundred attacks leave lists, order and sending keys as they were", () => {
    const { world, a, b } = pair(10);
    settleDown(world);
    converge(world);
    const standing = () => JSON.stringify([a.endpoint.mesgen.sessions(b.id), b.endpoint.mesgen.sessions(a.id)]);
    const before = standing();
    for (let i = 0; i < 500; i++) {
      attack(world);
      pass(world, 1);
    }
    expect(standing()).toBe(before);
    expect(a.endpoint.maps.get(b.id)?.pending).toBeUndefined();
    expect(b.endpoint.maps.get(a.id)?.pending).toBeUndefined();
    expect(world.violations).toEqual([]);
  });
});
