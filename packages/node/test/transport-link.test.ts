/** What a link does with a medium of little ability: one that cannot pause, or that has to ask for signs of life. */
import { describe, expect, it } from "vitest";
import { LinkWatch } from "../src/link-watch.ts";
import type { LinkEnd } from "../src/transport.ts";
import { transportLimits } from "../src/transport-limits.ts";
import { type LinkMedium, MediumLink } from "../src/transport-link.ts";
import { ManualClock } from "./manual-clock.ts";

describe("a link asks for a sign of life", () => {
  const limits = { keepAliveMs: 30_000, idleMs: 300_000, stalledMs: 60_000 };

  it("before the silence has lasted as long as allowed, and ends when there is none", () => {
    const { clock, medium, ended } = linkOver({ limits });
    for (let second = 1; second <= 30; second++) clock.advance(1_000);
    expect(medium.pings).toBeGreaterThan(0);
    clock.advance(29_000);
    expect(ended()).toBeUndefined();
    clock.advance(1_000);
    expect(ended()).toMatchObject({ reason: "lost" });
    expect(clock.pending).toBe(0);
  });

  it("and goes on for as long as it gets one, until it has carried nothing for too long", () => {
    const { clock, link, medium, ended } = linkOver({ limits });
    medium.onPing = () => link.alive();
    clock.advance(299_000);
    expect(ended()).toBeUndefined();
    expect(medium.pings).toBeGreaterThan(8);
    clock.advance(1_000);
    expect(ended()).toMatchObject({ reason: "idle" });
  });

  it("not while envelopes arrive, and not while it is paused and could hear none", () => {
    const { clock, link, medium, ended } = linkOver({ limits });
    for (let round = 0; round < 20; round++) {
      link.receive(new Uint8Array(5));
      clock.advance(10_000);
    }
    link.pause();
    clock.advance(200_000);
    expect(medium.pings).toBe(0);
    expect(ended()).toBeUndefined();
  });

  it("unless its medium sees to that itself", () => {
    const { clock, ended } = linkOver({ limits, hasPing: false });
    clock.advance(299_000);
    expect(ended()).toBeUndefined();
  });
});

it("links of one transport share a timer, and each of them keeps its time; without links there is none", () => {
  const clock = new ManualClock();
  const watch = new LinkWatch(transportLimits({ keepAliveMs: 30_000, idleMs: 300_000, stalledMs: 60_000 }), clock);
  const first = linkOver({ watch });
  clock.advance(7_000);
  const second = linkOver({ watch });
  expect(clock.pending).toBe(1);
  clock.advance(50_000);
  first.link.alive();
  clock.advance(7_000 + 10_000);
  expect(first.ended()).toBeUndefined();
  expect(second.ended()).toMatchObject({ reason: "lost" });
  first.link.abort("lost");
  expect(clock.pending).toBe(0);
  linkOver({ watch });
  expect(clock.pending).toBe(1);
});

describe("a link whose medium cannot pause", () => {
  it("holds what arrives meanwhile, up to a limit", () => {
    const { link, ended, got } = linkOver({ limits: { maxHeldBytes: 3_000 } });
    link.pause();
    for (let index = 0; index < 2; index++) link.receive(new Uint8Array(1_000));
    expect(ended()).toBeUndefined();
    link.receive(new Uint8Array(1_000));
    expect(ended()).toMatchObject({ reason: "overrun" });
    expect(got).toEqual([]);
  });

  it("counts only what is still held", async () => {
    const { link, ended, got } = linkOver({ limits: { maxHeldBytes: 3_000 } });
    for (let round = 0; round < 5; round++) {
      link.pause();
      for (let index = 0; index < 2; index++) link.receive(new Uint8Array(1_000));
      link.resume();
      await Promise.resolve();
    }
    expect(got).toEqual(Array(10).fill(1_000));
    expect(ended()).toBeUndefined();
  });
});

describe("a link tells that the memory of an envelope is free again", () => {
  const envelopes = [new Uint8Array(300), new Uint8Array(400)];

  it("when its medium releases what was written, and is done with it", () => {
    const { link, medium, left } = linkOver({ limits: {} });
    medium.releases = true;
    for (const envelope of envelopes) link.send(envelope);
    expect(left).toEqual([]);
    medium.finishWrite();
    expect(left).toHaveLength(1);
    expect(left[0]).toBe(envelopes[0]);
    medium.finishWrite();
    expect(left[1]).toBe(envelopes[1]);
    expect(left).toHaveLength(2);
  });

  it("and not when its medium does not, or is not done", () => {
    const { link, medium, left } = linkOver({ limits: {} });
    link.send(envelopes[0]!);
    medium.finishWrite();
    medium.releases = true;
    link.send(envelopes[1]!);
    link.abort("lost");
    medium.finishWrite();
    expect(left).toEqual([]);
  });
});

class Medium implements LinkMedium {
  readonly lends = false;
  releases = false;
  finishWrite = (): void => {};
  pings = 0;
  onPing = (): void => {};
  link!: MediumLink;
  ping?: () => void = () => {
    this.pings += 1;
    this.onPing();
  };

  write(_batch: readonly Uint8Array[], done: () => void): void {
    this.finishWrite = done;
  }
  pause(): void {}
  resume(): void {}
  authenticated(): void {}
  end(): void {
    this.link.gone("lost");
  }
  destroy(): void {
    this.link.gone("lost");
  }
}

/** An authentic link that is started. */
function linkOver(options: { limits?: Parameters<typeof transportLimits>[0]; hasPing?: boolean; watch?: LinkWatch }) {
  const clock = new ManualClock();
  const medium = new Medium();
  if (options.hasPing === false) delete medium.ping;
  const link = new MediumLink(medium, {
    direction: "outgoing",
    remote: "there",
    source: "there",
    watch: options.watch ?? new LinkWatch(transportLimits(options.limits), clock),
    unauthenticatedUntil: 1_000,
  });
  medium.link = link;
  let end: LinkEnd | undefined;
  const got: number[] = [];
  const left: Uint8Array[] = [];
  link.start({
    left: (envelope) => void left.push(envelope),
    envelope: (bytes) => void got.push(bytes.length),
    drain: () => {},
    closed: (how) => {
      end = how;
    },
  });
  link.authenticated();
  return { clock, medium, link, got, left, ended: () => end };
}
