/** A link whose medium, user and transport do what they may in any order. */
import assert from "node:assert/strict";
import { type FuzzRun, fuzz } from "@egtp/test-kit/fuzz-run";
import fc from "fast-check";
import { LinkWatch } from "../src/link-watch.ts";
import type { LinkEnd } from "../src/transport.ts";
import { linkBytesOf, transportLimits } from "../src/transport-limits.ts";
import { type LinkMedium, MediumLink } from "../src/transport-link.ts";
import { ManualClock } from "./manual-clock.ts";

const deeds = [
  "start",
  "send",
  "authenticated",
  "pause",
  "resume",
  "close",
  "receive",
  "written",
  "end-by-peer",
  "lost",
  "alive",
  "stop",
  "abort",
  "later",
  "turn",
] as const;
const deed = fc.record({ what: fc.constantFrom(...deeds), size: fc.integer({ min: 1, max: 1_200 }) });
type Deed = typeof deed extends fc.Arbitrary<infer One> ? One : never;

/** @param run - Of how many links. A failure prints the seed, and the fewest deeds that show it. */
export async function linksLiveThrough(run: FuzzRun): Promise<void> {
  const options = fc.record({
    deeds: fc.array(deed, { minLength: 5, maxLength: 60, size: "max" }),
    inside: fc.array(deed, { maxLength: 12 }),
    direction: fc.constantFrom("incoming" as const, "outgoing" as const),
    canPause: fc.boolean(),
    lends: fc.boolean(),
    goesByItself: fc.boolean(),
  });
  await fuzz(
    fc.asyncProperty(options, async (story) => {
      await new Scene(story).run();
    }),
    run,
  );
}

interface Story {
  readonly deeds: readonly Deed[];
  /** What its user does from inside its handlers, one deed each time. */
  readonly inside: readonly Deed[];
  readonly direction: "incoming" | "outgoing";
  readonly canPause: boolean;
  readonly lends: boolean;
  /** The medium is gone as soon as it was told to end. */
  readonly goesByItself: boolean;
}

class Scene implements LinkMedium {
  readonly lends: boolean;
  readonly releases = true;
  readonly #story: Story;
  readonly #clock = new ManualClock();
  readonly #link: MediumLink;
  readonly #inside: Deed[];
  readonly #sent: Uint8Array[] = [];
  readonly #left: Uint8Array[] = [];
  readonly #arrived: number[] = [];
  readonly #handed: number[] = [];
  #isPaused = true;
  #done: (() => void) | undefined;
  #writing: readonly Uint8Array[] = [];
  #written = 0;
  #isGone = false;
  #isClosedHere = false;
  #isCalling = false;
  #isAuthenticated = false;
  /** Envelopes that it may hand over while it is not authenticated. */
  #granted = 1;
  #end: LinkEnd | undefined;
  #isStarted = false;
  #serial = 0;

  constructor(story: Story) {
    this.#story = story;
    this.lends = story.lends;
    this.#inside = [...story.inside];
    const limits = { highWaterBytes: 4_000, lowWaterBytes: 1_000, maxWriteBytes: 2_000, maxHeldBytes: 6_000 };
    this.#link = new MediumLink(this, {
      direction: story.direction,
      remote: "there",
      source: "there",
      watch: new LinkWatch(transportLimits(limits), this.#clock),
      unauthenticatedUntil: 10_000,
    });
  }

  async run(): Promise<void> {
    for (const one of this.#story.deeds) {
      this.#do(one);
      this.#check();
      if (one.what === "turn") await Promise.resolve();
    }
    this.#do({ what: "start", size: 0 });
    this.#link.abort("lost");
    for (let turn = 0; turn < 5; turn++) await Promise.resolve();
    this.#check();
    assert.ok(this.#end !== undefined, "it is closed");
    assert.equal(this.#clock.pending, 0);
    // What its medium took whole has left; everything else is its user's again, in order.
    assert.deepEqual(this.#end.unsent.map(serialOf), this.#sent.slice(this.#written).map(serialOf));
  }

  #do({ what, size }: Deed): void {
    switch (what) {
      case "start":
        if (this.#isStarted) return;
        this.#isStarted = true;
        this.#call(() => this.#start());
        return;
      case "send": {
        const envelope = this.#envelope(size);
        const isOpen = this.#end === undefined;
        const before = this.#link.queuedBytes;
        this.#call(() => this.#link.send(envelope));
        if (this.#link.queuedBytes > before) this.#sent.push(envelope);
        assert.ok(isOpen || this.#link.queuedBytes === before);
        // The medium may have been given it, and is not done.
        return;
      }
      case "authenticated":
        this.#isAuthenticated = true;
        this.#call(() => this.#link.authenticated());
        return;
      case "pause":
        this.#call(() => this.#link.pause());
        return;
      case "resume":
        this.#granted += 1;
        this.#call(() => this.#link.resume());
        return;
      case "close":
        this.#isClosedHere = true;
        this.#call(() => this.#link.close());
        return;
      case "receive": {
        if (this.#isGone || (this.#isPaused && this.#story.canPause)) return;
        const envelope = this.#envelope(size);
        this.#arrived.push(serialOf(envelope));
        this.#link.receive(envelope);
        if (this.lends) envelope.fill(0xff);
        return;
      }
      case "written": {
        const done = this.#done;
        if (done === undefined) return;
        this.#done = undefined;
        this.#written += this.#writing.length;
        done();
        return;
      }
      case "end-by-peer":
        this.#go("closed-by-peer");
        return;
      case "lost":
        this.#go("lost");
        return;
      case "alive":
        this.#link.alive();
        return;
      case "stop":
        this.#isClosedHere = true;
        this.#link.stop();
        return;
      case "abort":
        this.#link.abort("malformed");
        return;
      case "later":
        this.#clock.advance(size * 10);
        return;
      case "turn":
        return;
    }
  }

  #start(): void {
    const inside = (what: () => void): void => {
      assert.ok(!this.#isCalling, "told from inside a call");
      assert.equal(this.#end, undefined, "told after it was closed");
      what();
      const next = this.#inside.shift();
      if (next !== undefined && !["receive", "written", "end-by-peer", "lost", "later"].includes(next.what))
        this.#do(next);
    };
    this.#link.start({
      left: (envelope) => void this.#left.push(envelope),
      envelope: (bytes) =>
        inside(() => {
          assert.ok(!this.#isClosedHere, "handed over after it was closed here");
          this.#handed.push(serialOf(bytes));
          if (!this.#isAuthenticated) this.#granted -= 1;
          assert.ok(this.#isAuthenticated || this.#granted >= 0);
        }),
      drain: () => inside(() => {}),
      closed: (end) =>
        inside(() => {
          this.#end = end;
        }),
    });
  }

  #call(call: () => unknown): void {
    const was = this.#isCalling;
    this.#isCalling = true;
    call();
    this.#isCalling = was;
  }

  #go(reason: "closed-by-peer" | "lost"): void {
    if (this.#isGone) return;
    this.#isGone = true;
    this.#done = undefined;
    this.#link.gone(reason);
  }

  #check(): void {
    assert.ok(this.#link.queuedBytes >= 0);
    assert.deepEqual(this.#handed, this.#arrived.slice(0, this.#handed.length));
    const written = this.#sent.slice(0, this.#written);
    const left = new Set(this.#left);
    assert.deepEqual(
      this.#left,
      written.filter((envelope) => left.has(envelope)),
    );
    assert.equal(
      this.#link.bytesSent,
      written.reduce((sum, each) => sum + linkBytesOf(each), 0),
    );
  }

  #envelope(size: number): Uint8Array {
    const envelope = new Uint8Array(74 + size);
    new DataView(envelope.buffer).setUint32(0, ++this.#serial);
    return envelope;
  }

  // ---- As its medium

  write(batch: readonly Uint8Array[], done: () => void): void {
    assert.equal(this.#done, undefined, "one write at a time");
    if (this.#isGone) return;
    this.#writing = batch.slice();
    this.#done = done;
  }

  pause(): void {
    this.#isPaused = true;
  }

  resume(): void {
    this.#isPaused = false;
  }

  authenticated(): void {}

  end(): void {
    if (this.#story.goesByItself) queueMicrotask(() => this.#go("closed-by-peer"));
  }

  destroy(): void {
    queueMicrotask(() => this.#go("lost"));
  }
}

function serialOf(envelope: Uint8Array): number {
  return new DataView(envelope.buffer, envelope.byteOffset).getUint32(0);
}
