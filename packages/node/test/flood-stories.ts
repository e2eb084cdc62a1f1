/**
 * Floods over real sockets, and what may come of each: bounds that follow from the limits and from how long it took, never a time.
 * The fast suite runs short ones, the slow suite long ones.
 */
import { createIdentity } from "@egtp/mesgen";
import { maxEnvelopeBytes } from "@egtp/wire";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { defaultAdmissionRates, defaultNodeLimits } from "../src/index.ts";
import { defaultTransportLimits } from "../src/transport-limits.ts";
import { type Damage, FloodWorld, type FloodWorldOptions, given, honestSockets } from "./flood-world.ts";

export interface FloodSizes {
  /** Bogus envelopes of one flood, at 10,000 a second. */
  readonly envelopes: number;
  readonly connections: number;
  /** How long a connection may stay a stranger where it is to be ended for that. */
  readonly strangerMs: number;
}

const perSecond = 10_000;
const links = 64;
/** So many that what each may is more than what all strangers may, and room is left for honest ones. */
const manyLinks = 200;
const sources = 128;
const mebibyte = 1024 * 1024;
/** Names of keys that exist, of peers that do not. */
const strangers = Array.from({ length: 1_000 }, () => createIdentity().peer);
const { link, source, strangers: allStrangers, knownPeer } = defaultAdmissionRates;
const { maxUnauthenticated, maxUnauthenticatedPerSource } = defaultTransportLimits;
/** Sockets that are opening, or closing, while others are counted. */
const passing = 64;

/** Only there is all of 127.0.0.0/8 this machine's, so that one machine makes many sources. */
const hasSources = process.platform === "linux";

export function describeFloods({ envelopes, connections, strangerMs }: FloodSizes): void {
  describe.skipIf(!hasSources)("under a flood", () => {
    // A stranger's link lasts as long as the flood, so that each envelope and each connection is accounted for.
    const inWorld = worldOf({ transport: { unauthenticatedMs: 10 * 60_000 }, node: { spokenToMs: 4 * strangerMs } });
    const offers = { kind: "offer", count: envelopes, perSecond, noiseBytes: 100 } as const;
    const messages = { kind: "data", perSecond, noiseBytes: 0, senders: strangers } as const;
    const many = { kind: "connections", count: connections } as const;

    test("bogus offers from one address cost what one source may", async () => {
      const order = { ...offers, net: 1, sources: 1, links, senders: strangers };
      const damage = await inWorld().flood("offers, one source", order, { newcomers: true });
      expectOffers(damage, envelopes);
      expect(damage.handshakes).toBeGreaterThanOrEqual(source.burst);
      expectHandshakes(damage, given(source, damage.seconds));
      expect(damage.sockets).toBeLessThanOrEqual(links + honestSockets + passing);
    });

    test("bogus offers, each link from an address of its own, some under known names, cost what those links may", async () => {
      const senders = [...strangers.slice(0, 20), ...inWorld().known];
      const order = { ...offers, net: 2, sources: links, links, senders };
      const damage = await inWorld().flood("offers, 64 sources", order, { newcomers: false });
      expectOffers(damage, envelopes);
      expect(damage.handshakes).toBeGreaterThan(links);
      expectHandshakes(damage, links * given(link, damage.seconds));
      expect(damage.sockets).toBeLessThanOrEqual(links + honestSockets + passing);
    });

    test("bogus offers on many links cost what strangers may", async () => {
      const order = { ...offers, net: 3, sources: links, links: manyLinks, senders: strangers };
      const damage = await inWorld().flood("offers, 200 links", order, { newcomers: false });
      expectOffers(damage, envelopes);
      expect(damage.handshakes).toBeGreaterThan(links);
      expectHandshakes(damage, given(allStrangers, damage.seconds));
    });

    test("bogus offers under known names cost what those names may, and strangers are served", async () => {
      const senders = inWorld().known;
      const order = { ...offers, net: 4, sources: links, links: manyLinks, senders };
      const damage = await inWorld().flood("offers, known names", order, { newcomers: true });
      expectOffers(damage, envelopes);
      // Something is spent on each name, however short the flood was.
      expect(damage.handshakes).toBeGreaterThanOrEqual(senders.length);
      expectHandshakes(damage, senders.length * given(knownPeer, damage.seconds));
    });

    test("messages of sessions that do not exist are answered with at most three bytes for each that came in", async () => {
      const order = { ...messages, net: 5, sources: links, links, count: links, listens: true };
      const wanted = strangers.slice(0, links);
      const damage = await inWorld().flood("one message on each link", order, { newcomers: true, wanted });
      expectNobodyHarmed(damage);
      // Most are answered, or the bound would hold of silence.
      expect(damage.heard).toBeGreaterThanOrEqual((links * 150) / 2);
      expect(damage.worst).toBeLessThanOrEqual(defaultNodeLimits.maxAmplification);
    });

    test("messages of sessions that do not exist make one offer to each peer that is named, and what those links may", async () => {
      const order = { ...messages, net: 6, sources: links, links, count: envelopes };
      const damage = await inWorld().flood("messages, 64 sources", order, { newcomers: false });
      expectNobodyHarmed(damage);
      // A link that was answered and stayed silent is ended, with what was on its way, and another one takes its place.
      const budget = damage.opened * link.burst + links * link.perSecond * damage.seconds;
      expect(damage.unreadable).toBeGreaterThan(links);
      expect(damage.unreadable).toBeLessThanOrEqual(budget);
      expect(damage.unreadable + (damage.drops.refused ?? 0)).toBeLessThanOrEqual(envelopes);
      expectHandshakes(damage, Math.min(budget, strangers.length));
      expect(damage.lookups).toBeLessThanOrEqual(2 * budget);
      expect(damage.worst).toBeLessThanOrEqual(defaultNodeLimits.maxAmplification);
      expect(damage.memory).toBeLessThanOrEqual(16 * mebibyte);
    });

    test("connections that say nothing, from one address, take its own places and nobody else's", async () => {
      const stay = maxUnauthenticatedPerSource;
      const order = { ...many, net: 7, sources: 1, says: "nothing", stay } as const;
      const damage = await inWorld().flood("half-open, one source", order, { newcomers: true });
      expectConnections(damage, connections);
      expect(damage.refusals).toEqual({ "source-full": connections - stay, "no-tag": stay });
      expect(damage.sockets).toBeLessThanOrEqual(stay + honestSockets + passing);
    });

    test("connections that say nothing, from many addresses: the oldest make room, for newcomers too", async () => {
      const stay = maxUnauthenticated;
      const order = { ...many, net: 8, sources, says: "nothing", stay } as const;
      const damage = await inWorld().flood("half-open, 128 sources", order, { newcomers: true });
      expectConnections(damage, connections);
      expect(damage.refusals).toEqual({ "no-tag": connections });
      expect(damage.sockets).toBeLessThanOrEqual(stay + honestSockets + passing);
    });

    test("connections that announce more than any envelope has end at once, and nothing is kept of them", async () => {
      const order = { ...many, net: 9, sources, says: "huge", stay: 0 } as const;
      const damage = await inWorld().flood("huge length prefixes", order, { newcomers: true });
      expectConnections(damage, connections);
      // A newcomer is remembered, with its session.
      expect(damage.memory).toBeLessThanOrEqual(4 * mebibyte + damage.visits * 8 * 1024);
    });

    test("of connections that never end their envelope, those that strangers may have are in memory", async () => {
      const count = Math.min(connections, 3_000);
      const order = { ...many, count, net: 10, sources, says: "unfinished", stay: maxUnauthenticated } as const;
      const damage = await inWorld().flood("unfinished envelopes", order, { newcomers: true });
      expectConnections(damage, count);
      const bound = maxUnauthenticated * maxEnvelopeBytes + 4 * mebibyte;
      // So that it would be seen if all of it were kept.
      expect(damage.sent).toBeGreaterThan(1.5 * bound);
      expect(damage.memory).toBeLessThanOrEqual(bound);
    });
  });

  describe.skipIf(!hasSources)("a stranger's time is over", () => {
    const inWorld = worldOf({ transport: { unauthenticatedMs: strangerMs } });

    test.each(["nothing", "slowly", "unfinished"] as const)("for connections that say %s: each ends", async (says) => {
      const count = maxUnauthenticatedPerSource;
      const order = { kind: "connections", count, net: 11, sources: 4, says, stay: 0 } as const;
      const damage = await inWorld().flood(`to its end, ${says}`, order, { newcomers: true });
      expectConnections(damage, count);
    });
  });
}

/** A world for the tests of a block. */
function worldOf(limits: FloodWorldOptions): () => FloodWorld {
  let world: FloodWorld;
  beforeAll(async () => {
    world = new FloodWorld();
    await world.start(limits);
  });
  afterAll(() => world.stop());
  return () => world;
}

/** Whatever comes: every honest request is served once, on the links that were there, and memory is as it was. */
function expectNobodyHarmed(damage: Damage): void {
  expect(damage.visits).toBeGreaterThan(0);
  expect(damage).toMatchObject({ lostLinks: 0, misserved: 0 });
}

/** Each bogus offer was judged; none was answered. */
function expectOffers(damage: Damage, count: number): void {
  expectNobodyHarmed(damage);
  const { forged = 0, refused = 0 } = damage.drops;
  expect(forged + refused).toBe(count);
  expect(damage).toMatchObject({ heard: 0, unreadable: 0, refusals: {} });
  // Of honest visitors that were gone before all was said.
  expect(damage.lookups).toBeLessThanOrEqual(damage.visits);
  expect(damage.memory).toBeLessThanOrEqual(8 * mebibyte);
}

function expectHandshakes(damage: Damage, budget: number): void {
  // A visit may cost twice what it usually does, when the machine is slow.
  expect(damage.handshakes).toBeLessThanOrEqual(budget + 2 * damage.visits);
  expect(damage.agreements).toBeLessThanOrEqual(3 * (budget + 2 * damage.visits));
}

/** All were let in by the system, all are gone, and no byte was said to any, nor a key agreement spent on it. */
function expectConnections(damage: Damage, count: number): void {
  expectNobodyHarmed(damage);
  expect(damage).toMatchObject({ opened: count, heard: 0 });
  expectHandshakes(damage, 0);
}
