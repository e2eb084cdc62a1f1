/**
 * What every transport must do, as tests that an implementation runs on itself:
 *
 *     import { describe, expect, it } from "vitest";
 *     describeTransport("tcp", () => ({ create: (options) => tcp(options), openResources }), { describe, it, expect });
 *
 * They wait for events, never for time to pass; time limits are tested with limits of milliseconds.
 */
import { defaultCryptoProvider } from "@egtp/mesgen";
import { fromHex, maxEnvelopeBytes, type PeerId, peerIdFromBytes, type Strategy } from "@egtp/wire";
import type { DialCrypto } from "./dial-tag.ts";
import type { Link, LinkEnd, LinkHandlers, Served, Transport } from "./transport.ts";
import { systemClock, type TransportClock } from "./transport-clock.ts";
import { linkBytesOf, type TransportLimits } from "./transport-limits.ts";

/** Makes the transports of one test. */
export interface TransportFixture {
  /** A new transport. All those of one fixture can reach each other, from one source per dialing transport or fewer. */
  create(options: TransportFixtureOptions): Transport;
  /** How many connections and listeners are open, apart from those that were when the fixture was made. */
  openResources(): number;
  /** True where a dialer is not told why nothing came of it, as in a browser. */
  readonly hidesReasons?: boolean;
  /** True where nothing is dialled at an IP address, so that nobody can be asked whether it may be. */
  readonly hasNoIpAddresses?: boolean;
}

/** To be handed to the transport as they are. */
export interface TransportFixtureOptions {
  readonly listen: boolean;
  readonly limits: Partial<TransportLimits>;
  readonly crypto: DialCrypto;
  readonly clock: TransportClock;
}

/** The part of a test runner that the suite needs; vitest's and jest's own fit. */
export interface TestRunner {
  readonly describe: (name: string, body: () => void) => unknown;
  readonly it: (name: string, body: () => Promise<void>) => unknown;
  readonly expect: (actual: unknown) => { toBe(expected: unknown): void; toEqual(expected: unknown): void };
}

// Public keys of RFC 8032, section 7.1.
const [alice, bob, carol] = [
  "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
  "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
  "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
].map((hex) => peerIdFromBytes(fromHex(hex))) as [PeerId, PeerId, PeerId];

/**
 * Runs the suite on a transport.
 *
 * @param createFixture - Called for each test.
 */
export function describeTransport(name: string, createFixture: () => TransportFixture, runner: TestRunner): void {
  const { describe, it, expect } = runner;

  /** Runs a test in a world of its own, and checks that nothing of it is left. */
  const inWorld = (title: string, body: (world: World) => Promise<void>): void => {
    it(title, async () => {
      const world = new World(createFixture());
      try {
        await body(world);
      } finally {
        await world.stop();
      }
      await until(() => world.fixture.openResources() <= 0);
      expect(world.pendingTimers).toBe(0);
    });
  };

  describe(`transport ${name}`, () => {
    describe("envelopes", () => {
      inWorld("arrive whole and in order at every size, both ways", async (world) => {
        const { near, far } = await world.authenticPair();
        const sizes = [
          1,
          2,
          3,
          4,
          31,
          255,
          256,
          1_000,
          4_096,
          8_191,
          8_192,
          8_193,
          16_384,
          65_535,
          65_536,
          maxEnvelopeBytes,
        ];
        const envelopes = [...sizes, ...sizes.toReversed()].map((size, index) => patterned(size, index));
        for (const [from, to] of [
          [near, far],
          [far, near],
        ] as const) {
          for (const envelope of envelopes) {
            if (!from.link.send(envelope.slice())) await from.drained();
          }
          for (const envelope of envelopes) expect(sameBytes(await to.next(), envelope)).toBe(true);
        }
      });

      inWorld("of one turn arrive in order, small ones among large ones", async (world) => {
        const { near, far } = await world.authenticPair();
        const envelopes = Array.from({ length: 500 }, (_, index) =>
          patterned(index % 50 === 7 ? 20_000 : 1 + index, index),
        );
        for (const envelope of envelopes) near.link.send(envelope.slice());
        for (const envelope of envelopes) expect(sameBytes(await far.next(), envelope)).toBe(true);
      });

      inWorld("are counted with their lengths, alike at both ends", async (world) => {
        const { near, far } = await world.authenticPair();
        const before = near.link.bytesSent;
        const envelope = patterned(10_000, 1);
        near.link.send(envelope);
        await far.next();
        await until(() => near.link.queuedBytes === 0);
        expect(near.link.bytesSent - before).toBe(linkBytesOf(envelope));
        expect(far.link.bytesReceived).toBe(near.link.bytesSent);
      });

      inWorld("of impossible size are a mistake of the caller", async (world) => {
        const { near, far } = await world.authenticPair();
        expect(thrownBy(() => near.link.send(new Uint8Array(0))) instanceof RangeError).toBe(true);
        expect(thrownBy(() => near.link.send(new Uint8Array(maxEnvelopeBytes + 1))) instanceof RangeError).toBe(true);
        near.link.send(patterned(5, 5));
        expect(await far.next()).toEqual(patterned(5, 5));
      });

      inWorld("wait for start", async (world) => {
        const host = await world.host();
        const near = await world.dial(host, alice);
        for (let index = 0; index < 3; index++) near.link.send(patterned(100, index));
        const link = await host.linkOf(alice);
        const far = new User(link, { authenticate: true });
        for (let index = 0; index < 3; index++) expect(await far.next()).toEqual(patterned(100, index));
      });

      inWorld("wait while the link is paused", async (world) => {
        const { near, far } = await world.authenticPair();
        far.pauseAfterNext();
        for (let index = 0; index < 3; index++) near.link.send(patterned(100, index));
        await far.next();
        await world.exchange();
        expect(far.waiting).toBe(0);
        far.link.resume();
        for (let index = 1; index < 3; index++) expect(await far.next()).toEqual(patterned(100, index));
      });
    });

    describe("dial tag", () => {
      inWorld("leads to the identity that was asked for", async (world) => {
        const host = await world.host([alice, bob]);
        for (const target of [bob, alice]) {
          const near = await world.dial(host, target);
          near.link.send(patterned(10, 1));
          const far = new User(await host.linkOf(target), { authenticate: true });
          expect(await far.next()).toEqual(patterned(10, 1));
        }
        expect(host.linksOf(alice)).toBe(1);
        expect(host.linksOf(bob)).toBe(1);
      });

      inWorld("for somebody else ends the link without a byte", async (world) => {
        const host = await world.host();
        const near = await world.dial(host, carol);
        near.link.send(patterned(10, 1));
        const end = await near.ended;
        expect(endedByPeer(end)).toBe(true);
        expect(near.link.bytesReceived).toBe(0);
        expect(host.linksOf(alice)).toBe(0);
        expect(host.transport.refusals["wrong-target"]).toBe(1);
      });

      inWorld("with a salt used before ends the link without a byte", async (world) => {
        const host = await world.host();
        const salt = patterned(16, 3);
        const crypto: DialCrypto = { ...defaultCryptoProvider, randomBytes: () => salt };
        const first = await world.dial(host, alice, { crypto });
        await host.linkOf(alice);
        const second = await world.dial(host, alice, { crypto });
        const end = await second.ended;
        expect(endedByPeer(end)).toBe(true);
        expect(second.link.bytesReceived).toBe(0);
        expect(host.linksOf(alice)).toBe(1);
        expect(host.transport.refusals.replayed).toBe(1);
        expect(first.link.writable).toBe(true);
      });
    });

    describe("a stranger", () => {
      inWorld("hears nothing before it is authentic", async (world) => {
        const { near, far } = await world.pair();
        near.link.send(patterned(10, 1));
        await far.next();
        expect(far.link.writable).toBe(false);
        expect(far.link.send(patterned(20, 2))).toBe(false);
        await world.exchange();
        expect(near.link.bytesReceived).toBe(0);
        expect(far.link.queuedBytes).toBe(linkBytesOf(patterned(20, 2)));
        far.link.authenticated();
        expect(await near.next()).toEqual(patterned(20, 2));
        await far.drained();
        expect(far.link.writable).toBe(true);
      });

      inWorld("has one envelope judged at a time", async (world) => {
        const { near, far } = await world.pair();
        for (let index = 0; index < 4; index++) near.link.send(patterned(1_000, index));
        expect(await far.next()).toEqual(patterned(1_000, 0));
        await world.exchange();
        expect(far.waiting).toBe(0);
        far.link.resume();
        expect(await far.next()).toEqual(patterned(1_000, 1));
        await world.exchange();
        expect(far.waiting).toBe(0);
        far.link.authenticated();
        expect(await far.next()).toEqual(patterned(1_000, 2));
        expect(await far.next()).toEqual(patterned(1_000, 3));
      });

      inWorld("has to be authentic in time, when it dials", async (world) => {
        const { near, far } = await world.pair({ host: { unauthenticatedMs: 500 } });
        near.link.send(patterned(10, 1));
        expect((await far.ended).reason).toBe("unauthenticated");
        expect((await near.ended).reason).toBe("closed-by-peer");
        expect(near.link.bytesReceived).toBe(0);
      });

      inWorld("has to be authentic in time, when it is dialled", async (world) => {
        const { near, far } = await world.pair({ dialer: { unauthenticatedMs: 500 } });
        expect((await near.ended).reason).toBe("unauthenticated");
        expect((await far.ended).reason).toBe("closed-by-peer");
      });

      inWorld("makes room for a newer one when there are too many", async (world) => {
        const host = await world.host([alice], { maxUnauthenticated: 2 });
        const first = await world.dial(host, alice);
        const firstFar = new User(await host.linkOf(alice));
        await world.dial(host, alice);
        await host.linkOf(alice);
        const third = await world.dial(host, alice);
        const thirdFar = new User(await host.linkOf(alice), { authenticate: true });
        expect((await firstFar.ended).reason).toBe("displaced");
        expect(endedByPeer(await first.ended)).toBe(true);
        third.link.send(patterned(10, 1));
        expect(await thirdFar.next()).toEqual(patterned(10, 1));
      });
    });

    describe("limits", () => {
      inWorld("count links, and forget those that are gone", async (world) => {
        const host = await world.host([alice], { maxLinks: 1 });
        const first = await world.dial(host, alice);
        const far = new User(await host.linkOf(alice));
        expect(await world.isRefused(world.dial(host, alice))).toBe(true);
        expect(host.transport.refusals.full).toBe(1);
        first.link.close();
        await far.ended;
        const entered = host.linkOf(alice).then(() => false);
        await until(async () => !(await Promise.race([entered, world.isRefused(world.dial(host, alice))])));
      });

      inWorld("do not count whoever was turned away", async (world) => {
        const host = await world.host([alice], { maxLinks: 1, maxUnauthenticatedPerSource: 1 });
        const dialer = world.transport({ listen: false });
        const stray = await world.dialFrom(dialer, host, carol);
        expect(endedByPeer(await stray.ended)).toBe(true);
        await world.dialFrom(dialer, host, alice);
        await host.linkOf(alice);
        expect(host.transport.refusals.full).toBe(0);
      });

      inWorld("count links from one source", async (world) => {
        const host = await world.host([alice], { maxLinksPerSource: 1 });
        const dialer = world.transport({ listen: false });
        await world.dialFrom(dialer, host, alice);
        new User(await host.linkOf(alice)).link.authenticated();
        expect(await world.isRefused(world.dialFrom(dialer, host, alice))).toBe(true);
        expect(host.transport.refusals["source-full"]).toBe(1);
        expect(host.linksOf(alice)).toBe(1);
      });

      inWorld("count strangers from one source, and not those who proved authentic", async (world) => {
        const host = await world.host([alice], { maxUnauthenticatedPerSource: 1 });
        const dialer = world.transport({ listen: false });
        await world.dialFrom(dialer, host, alice);
        const far = new User(await host.linkOf(alice));
        expect(await world.isRefused(world.dialFrom(dialer, host, alice))).toBe(true);
        far.link.authenticated();
        await world.dialFrom(dialer, host, alice);
        await host.linkOf(alice);
        expect(host.transport.refusals["source-full"]).toBe(1);
      });

      inWorld("end a link that carries nothing", async (world) => {
        const { near, far } = await world.authenticPair({ host: { idleMs: 20 } });
        expect((await far.ended).reason).toBe("idle");
        expect((await near.ended).reason).toBe("closed-by-peer");
      });

      inWorld("end a link that takes nothing, and give back what it did not take", async (world) => {
        const { near, far } = await world.authenticPair({ dialer: { stalledMs: 20 } });
        far.pauseAfterNext();
        let sent = 0;
        const fill = (): void => {
          while (near.link.send(patterned(60_000, sent))) sent += 1;
          sent += 1;
        };
        near.onDrain = fill;
        fill();
        const end = await near.ended;
        expect(end.reason).toBe("stalled");
        expect(end.unsent.length > 0).toBe(true);
        const expected = end.unsent.map((_, index) => patterned(60_000, sent - end.unsent.length + index));
        expect(end.unsent.every((envelope, index) => sameBytes(envelope, expected[index]!))).toBe(true);
      });
    });

    describe("back pressure", () => {
      inWorld("says stop at the high water mark and go on at the low one", async (world) => {
        const limits = { highWaterBytes: 300_000, lowWaterBytes: 100_000 };
        const { near, far } = await world.authenticPair({ dialer: limits });
        let sent = 0;
        while (near.link.send(patterned(10_000, sent))) sent += 1;
        sent += 1;
        expect(near.link.writable).toBe(false);
        expect(near.link.queuedBytes >= limits.highWaterBytes).toBe(true);
        expect(near.link.queuedBytes < limits.highWaterBytes + linkBytesOf(patterned(10_000, 0))).toBe(true);
        near.link.send(patterned(10_000, sent++));
        await near.drained();
        expect(near.link.writable).toBe(true);
        expect(near.link.queuedBytes <= limits.lowWaterBytes).toBe(true);
        for (let index = 0; index < sent; index++)
          expect(sameBytes(await far.next(), patterned(10_000, index))).toBe(true);
      });

      inWorld("loses nothing over many rounds", async (world) => {
        const limits = { highWaterBytes: 200_000, lowWaterBytes: 100_000 };
        const { near, far } = await world.authenticPair({ dialer: limits, host: limits });
        const count = 300;
        const sending = (async () => {
          for (let index = 0; index < count; index++) {
            if (!near.link.send(patterned(1 + ((index * 977) % 65_000), index))) await near.drained();
          }
        })();
        for (let index = 0; index < count; index++) {
          expect(sameBytes(await far.next(), patterned(1 + ((index * 977) % 65_000), index))).toBe(true);
        }
        await sending;
      });
    });

    describe("the end", () => {
      inWorld("comes after what was sent has arrived, and is told to both", async (world) => {
        const { near, far } = await world.authenticPair();
        for (let index = 0; index < 40; index++) near.link.send(patterned(50_000, index));
        near.link.close("done");
        expect(near.link.writable).toBe(false);
        expect(near.link.send(patterned(1, 1))).toBe(false);
        for (let index = 0; index < 40; index++)
          expect(sameBytes(await far.next(), patterned(50_000, index))).toBe(true);
        const [ours, theirs] = [await near.ended, await far.ended];
        expect([ours.reason, ours.detail, ours.unsent.length]).toEqual(["closed", "done", 0]);
        expect([theirs.reason, theirs.detail]).toEqual(["closed-by-peer", undefined]);
        near.link.close("again");
        expect(near.endings).toBe(1);
      });

      inWorld("on the listening side is the same", async (world) => {
        const { near, far } = await world.authenticPair();
        far.link.send(patterned(50_000, 1));
        far.link.close();
        expect(sameBytes(await near.next(), patterned(50_000, 1))).toBe(true);
        expect((await far.ended).reason).toBe("closed");
        expect((await near.ended).reason).toBe("closed-by-peer");
      });

      inWorld("waits for what was received and not yet handed over", async (world) => {
        const { near, far } = await world.pair();
        for (let index = 0; index < 3; index++) near.link.send(patterned(100, index));
        near.link.close();
        await far.next();
        await world.exchange();
        expect(far.endings).toBe(0);
        far.link.authenticated();
        expect(await far.next()).toEqual(patterned(100, 1));
        expect(await far.next()).toEqual(patterned(100, 2));
        expect((await far.ended).reason).toBe("closed-by-peer");
      });

      inWorld("does not wait long for an end that takes nothing", async (world) => {
        const dialer = { closingMs: 20, highWaterBytes: 2 ** 30 };
        const { near, far } = await world.authenticPair({ dialer });
        far.pauseAfterNext();
        const large = patterned(60_000, 1);
        for (let index = 0; index < 1_000; index++) near.link.send(large); // more than an operating system buffers
        near.link.close();
        const end = await near.ended;
        expect(end.reason).toBe("closed");
        expect(end.unsent.length > 0).toBe(true);
      });

      inWorld("that came before start is told after it", async (world) => {
        const host = await world.host();
        const near = await world.dial(host, alice, { limits: { closingMs: 20 } });
        near.link.close();
        await near.ended;
        const far = new User(await host.linkOf(alice));
        expect((await far.ended).reason).toBe("closed-by-peer");
      });

      inWorld("gives back what a stranger was never told", async (world) => {
        const { near, far } = await world.pair();
        far.link.send(patterned(10, 1));
        far.link.close();
        expect((await far.ended).unsent).toEqual([patterned(10, 1)]);
        expect((await near.ended).reason).toBe("closed-by-peer");
        expect(near.link.bytesReceived).toBe(0);
      });
    });

    describe("dial", () => {
      inWorld("fails where nobody listens any more", async (world) => {
        const host = await world.host();
        await host.stop(alice);
        const code = world.fixture.hidesReasons === true ? "EGTP_DIAL_FAILED" : "EGTP_DIAL_REFUSED";
        expect(await codeOf(world.dial(host, alice))).toBe(code);
      });

      inWorld("is given up with its signal, before or during", async (world) => {
        const host = await world.host();
        const controller = new AbortController();
        const during = world.dial(host, alice, { signal: controller.signal });
        controller.abort();
        expect(await codeOf(during)).toBe("EGTP_DIAL_ABORTED");
        expect(await codeOf(world.dial(host, alice, { signal: controller.signal }))).toBe("EGTP_DIAL_ABORTED");
      });

      inWorld("asks whether the address may be dialled", async (world) => {
        if (world.fixture.hasNoIpAddresses === true) return;
        const host = await world.host();
        const asked: string[] = [];
        const permits = (address: string): boolean => {
          asked.push(address);
          return false;
        };
        expect(await codeOf(world.dial(host, alice, { permits }))).toBe("EGTP_DIAL_FORBIDDEN");
        expect(asked.length).toBe(1);
      });

      inWorld("outlives its signal", async (world) => {
        const host = await world.host();
        const controller = new AbortController();
        const near = await world.dial(host, alice, { signal: controller.signal });
        controller.abort();
        near.link.send(patterned(10, 1));
        const far = new User(await host.linkOf(alice), { authenticate: true });
        expect(await far.next()).toEqual(patterned(10, 1));
      });
    });

    describe("serving", () => {
      inWorld("two identities: one stops, the other goes on", async (world) => {
        const host = await world.host([alice, bob]);
        const toAlice = await world.dial(host, alice);
        const toBob = await world.dial(host, bob);
        const farAlice = new User(await host.linkOf(alice));
        const farBob = new User(await host.linkOf(bob), { authenticate: true });
        await host.stop(alice);
        expect((await farAlice.ended).reason).toBe("stopped");
        expect(endedByPeer(await toAlice.ended)).toBe(true);
        toBob.link.send(patterned(10, 1));
        expect(await farBob.next()).toEqual(patterned(10, 1));
        const again = await world.dial(host, alice);
        expect(endedByPeer(await again.ended)).toBe(true);
      });

      inWorld("the same identity twice is a mistake", async (world) => {
        const host = await world.host();
        const error = await host.transport
          .serve({ peer: alice }, () => {})
          .then(
            () => undefined,
            (thrown: unknown) => thrown,
          );
        expect(error instanceof TypeError).toBe(true);
      });

      inWorld("again after a stop works", async (world) => {
        const host = await world.host();
        await host.stop(alice);
        await host.serve(alice);
        const near = await world.dial(host, alice);
        near.link.send(patterned(10, 1));
        const far = new User(await host.linkOf(alice), { authenticate: true });
        expect(await far.next()).toEqual(patterned(10, 1));
      });

      inWorld("without listening gives no strategies and still dials", async (world) => {
        const dialer = world.transport({ listen: false });
        const served = await dialer.serve({ peer: bob }, () => {});
        expect(served.strategies).toEqual([]);
        const host = await world.host();
        await world.dialFrom(dialer, host, alice);
        await host.linkOf(alice);
        await served.stop();
      });

      inWorld("stops with links in every state, and stopping twice is the same", async (world) => {
        const host = await world.host();
        await world.dial(host, alice);
        const unstarted = await host.linkOf(alice);
        await world.dial(host, alice);
        const stranger = new User(await host.linkOf(alice));
        const third = await world.dial(host, alice);
        third.link.send(patterned(10, 1));
        const known = new User(await host.linkOf(alice), { authenticate: true });
        await known.next();
        await Promise.all([host.stop(alice), host.stop(alice)]);
        expect((await stranger.ended).reason).toBe("stopped");
        expect((await known.ended).reason).toBe("stopped");
        expect((await new User(unstarted).ended).reason).toBe("stopped");
      });
    });
  });
}

/** Whoever does not want a link ends it; the dialer may learn that from an orderly end or from a broken connection. */
function endedByPeer(end: LinkEnd): boolean {
  return end.reason === "closed-by-peer" || end.reason === "lost";
}

/** The transports of one test, and all that has to be put away after it. */
class World {
  readonly fixture: TransportFixture;
  readonly #clock = new CountingClock();
  readonly #hosts: Host[] = [];
  readonly #links: User[] = [];

  constructor(fixture: TransportFixture) {
    this.fixture = fixture;
  }

  get pendingTimers(): number {
    return this.#clock.pending;
  }

  transport(options: { listen: boolean; limits?: Partial<TransportLimits>; crypto?: DialCrypto }): Transport {
    return this.fixture.create({
      listen: options.listen,
      limits: options.limits ?? {},
      crypto: options.crypto ?? defaultCryptoProvider,
      clock: this.#clock,
    });
  }

  /** A listening transport that serves these. */
  async host(peers: readonly PeerId[] = [alice], limits: Partial<TransportLimits> = {}): Promise<Host> {
    const host = new Host(this.transport({ listen: true, limits }));
    this.#hosts.push(host);
    for (const peer of peers) await host.serve(peer);
    return host;
  }

  async dial(
    host: Host,
    target: PeerId,
    options: {
      limits?: Partial<TransportLimits>;
      crypto?: DialCrypto;
      signal?: AbortSignal;
      permits?: (address: string) => boolean;
    } = {},
  ): Promise<User> {
    const { limits, crypto, ...dialOptions } = options;
    const dialer = this.transport({ listen: false, ...(limits && { limits }), ...(crypto && { crypto }) });
    return await this.dialFrom(dialer, host, target, dialOptions);
  }

  async dialFrom(
    dialer: Transport,
    host: Host,
    target: PeerId,
    options: { signal?: AbortSignal; permits?: (address: string) => boolean } = {},
  ): Promise<User> {
    const signal = options.signal ?? new AbortController().signal;
    const user = new User(await dialer.dial(host.strategy, target, { ...options, signal }));
    this.#links.push(user);
    return user;
  }

  /** Whoever may not come in learns it from a connection that does not come about, or that ends without a byte. */
  async isRefused(dialing: Promise<User>): Promise<boolean> {
    try {
      const user = await dialing;
      return endedByPeer(await user.ended) && user.link.bytesReceived === 0;
    } catch (error) {
      const { code } = error as { code?: unknown };
      return code === "EGTP_DIAL_REFUSED" || (this.fixture.hidesReasons === true && code === "EGTP_DIAL_FAILED");
    }
  }

  /** A link from a dialer to Alice, started at both ends. */
  async pair(limits: PairLimits = {}, options: { authenticate?: boolean } = {}): Promise<{ near: User; far: User }> {
    const host = await this.host([alice], limits.host);
    const near = await this.dial(host, alice, limits.dialer && { limits: limits.dialer });
    const far = new User(await host.linkOf(alice), options);
    return { near, far };
  }

  /** The same, each end known to the other. */
  async authenticPair(limits: PairLimits = {}): Promise<{ near: User; far: User }> {
    const { near, far } = await this.pair(limits, { authenticate: true });
    near.link.authenticated();
    near.link.send(patterned(1, 0));
    await far.next();
    return { near, far };
  }

  /** Lets others talk for a while: time for whatever must not happen to happen. */
  async exchange(): Promise<void> {
    const { near, far } = await this.authenticPair();
    for (let round = 0; round < 3; round++) {
      near.link.send(patterned(100, round));
      await far.next();
      far.link.send(patterned(100, round));
      await near.next();
    }
  }

  async stop(): Promise<void> {
    const stopped = this.#hosts.map((host) => host.stopAll());
    for (const user of this.#links) user.link.close();
    await Promise.all([...stopped, ...this.#links.map((user) => user.ended)]);
  }
}

interface PairLimits {
  readonly host?: Partial<TransportLimits>;
  readonly dialer?: Partial<TransportLimits>;
}

/** A listening transport and the links that came in. */
class Host {
  readonly transport: Transport;
  readonly #served = new Map<PeerId, Served>();
  readonly #links = new Map<PeerId, Mailbox<Link>>();
  #strategy: Strategy | undefined;

  constructor(transport: Transport) {
    this.transport = transport;
  }

  /** Where it was reached last. */
  get strategy(): Strategy {
    return this.#strategy!;
  }

  async serve(peer: PeerId): Promise<void> {
    const links = new Mailbox<Link>();
    this.#links.set(peer, links);
    const served = await this.transport.serve({ peer }, (link) => links.put(link));
    this.#served.set(peer, served);
    this.#strategy = served.strategies.find((strategy) => this.transport.canDial(strategy));
  }

  linkOf(peer: PeerId): Promise<Link> {
    return this.#links.get(peer)!.take();
  }

  linksOf(peer: PeerId): number {
    return this.#links.get(peer)?.total ?? 0;
  }

  async stop(peer: PeerId): Promise<void> {
    await this.#served.get(peer)?.stop();
  }

  async stopAll(): Promise<void> {
    await Promise.all([...this.#served.values()].map((served) => served.stop()));
  }
}

/** Uses one end of a link. */
class User implements LinkHandlers {
  readonly link: Link;
  readonly ended: Promise<LinkEnd>;
  endings = 0;
  onDrain: (() => void) | undefined;
  readonly #received = new Mailbox<Uint8Array>();
  readonly #drains = new Mailbox<true>();
  readonly #authenticate: boolean;
  #pause = false;
  #end!: (end: LinkEnd) => void;

  /** @param options.authenticate - Whether to take the first envelope for authentic. */
  constructor(link: Link, options: { authenticate?: boolean } = {}) {
    this.link = link;
    this.#authenticate = options.authenticate ?? false;
    this.ended = new Promise((resolve) => {
      this.#end = resolve;
    });
    link.start(this);
  }

  next(): Promise<Uint8Array> {
    return this.#received.take();
  }

  async drained(): Promise<void> {
    await this.#drains.take();
  }

  /** Envelopes handed over that `next` did not take yet. */
  get waiting(): number {
    return this.#received.size;
  }

  pauseAfterNext(): void {
    this.#pause = true;
  }

  envelope(bytes: Uint8Array): void {
    if (this.#authenticate) this.link.authenticated();
    if (this.#pause) this.link.pause();
    this.#pause = false;
    this.#received.put(bytes.slice());
  }

  drain(): void {
    this.#drains.put(true);
    this.onDrain?.();
  }

  closed(end: LinkEnd): void {
    this.endings += 1;
    this.#end(end);
  }
}

/** Puts now, takes later, or the other way round. */
class Mailbox<T> {
  total = 0;
  readonly #items: T[] = [];
  readonly #takers: ((item: T) => void)[] = [];

  get size(): number {
    return this.#items.length;
  }

  put(item: T): void {
    this.total += 1;
    const taker = this.#takers.shift();
    if (taker === undefined) this.#items.push(item);
    else taker(item);
  }

  take(): Promise<T> {
    const item = this.#items.shift();
    if (item !== undefined) return Promise.resolve(item);
    return new Promise((resolve) => this.#takers.push(resolve));
  }
}

/** Real time, which knows of timers that were left behind. */
class CountingClock implements TransportClock {
  pending = 0;

  now(): number {
    return systemClock.now();
  }

  setTimer(task: () => void, delayMs: number): () => void {
    let open = true;
    this.pending += 1;
    const close = (): void => {
      if (open) this.pending -= 1;
      open = false;
    };
    const cancel = systemClock.setTimer(() => {
      close();
      task();
    }, delayMs);
    return () => {
      close();
      cancel();
    };
  }
}

/** Comes true, or the test's own time limit ends it. */
async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 1));
}

function patterned(length: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let index = 0; index < length; index++) bytes[index] = seed * 31 + index + (index >> 8);
  return bytes;
}

/** Comparing large arrays by `toEqual` takes long. */
function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, index) => byte === b[index]);
}

function thrownBy(run: () => unknown): unknown {
  try {
    run();
    return undefined;
  } catch (error) {
    return error;
  }
}

async function codeOf(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => undefined,
    (error: { code?: unknown }) => error.code,
  );
}
