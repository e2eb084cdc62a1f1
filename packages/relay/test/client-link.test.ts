/** Links over one relay: order, back pressure, what the relay says of each envelope, and how they end. */
import { createIdentity, EgtpError, type EgtpNode, type EnvelopeFate, type LinkEnd } from "@egtp/node";
import { VirtualTime } from "@egtp/node/memory";
import { maxEnvelopeBytes, minEnvelopeBytes, type PeerId, peerIdFromBytes } from "@egtp/wire";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Hop, type PassAlongCounts } from "../src/client-hop.ts";
import { defaultRelayClientLimits, type RelayClientLimits } from "../src/client-limits.ts";
import type { RelayLink } from "../src/client-link.ts";
import { decodePassAlong, encodePassAlongStatus, type PassAlongStatus, type PublishedLimits } from "../src/protocol.ts";

const relay = createIdentity().peer;
const published: PublishedLimits = {
  maxMessages: 1,
  maxBytes: 1,
  ttlMs: 1,
  maxEnvelopeBytes,
  maxSenderMessages: 1,
  maxSenderBytes: 1,
  access: "open",
};

interface Asked {
  readonly to: PeerId;
  readonly number: number;
  readonly answer: (status: PassAlongStatus) => void;
  readonly fail: (error: unknown) => void;
}

let time: VirtualTime;
/** Envelopes that the relay was given and has not answered for. */
let asked: Asked[];
let counts: PassAlongCounts;
let isUnused: boolean;
/** What must never happen. */
let faults: string[];

beforeEach(() => {
  time = new VirtualTime();
  asked = [];
  counts = { passed: 0, stored: 0, refused: {}, lost: 0 };
  isUnused = false;
  faults = [];
});

afterEach(async () => {
  await time.pass(60_000);
  if (time.timers > 0) faults.push("timers are left");
  if (faults.length > 0) throw new Error(faults.join("; "));
});

function hopWith(limits: Partial<RelayClientLimits> = {}): Hop {
  const request = (_relay: PeerId, _type: unknown, body: Uint8Array, { signal }: { signal: AbortSignal }) =>
    new Promise((resolve, reject) => {
      const { recipient, envelope } = decodePassAlong(body);
      const settle = (finish: () => void): void => {
        asked = asked.filter((each) => each !== entry);
        signal.removeEventListener("abort", onAbort);
        finish();
      };
      const entry: Asked = {
        to: peerIdFromBytes(recipient),
        number: numberIn(envelope),
        answer: (status) => settle(() => resolve(encodePassAlongStatus(status, time.now()))),
        fail: (error) => settle(() => reject(error)),
      };
      const onAbort = (): void => entry.fail(new EgtpError("EGTP_ABORTED", "Given up"));
      asked.push(entry);
      signal.addEventListener("abort", onAbort);
    });
  return new Hop({
    relay,
    sender: { request } as unknown as EgtpNode,
    limits: { ...defaultRelayClientLimits, ...limits },
    counts,
    now: () => time.now(),
    setTimer: (task, delayMs) => time.setTimer(task, delayMs),
    registered: () => published,
    onUnused: () => {
      isUnused = true;
    },
  });
}

/** A link in use, and what it told. */
class Used {
  readonly link: RelayLink;
  readonly fates: string[] = [];
  readonly sent: Uint8Array[] = [];
  drains = 0;
  end: LinkEnd | undefined;
  #isInside = false;

  constructor(hop: Hop, target: PeerId = createIdentity().peer) {
    this.link = hop.open(target);
    this.link.start({
      envelope: () => {},
      drain: () => {
        this.#outside();
        this.drains += 1;
      },
      fate: (envelope, fate) => {
        this.#outside();
        if (!this.sent.includes(envelope)) faults.push("the fate of an envelope that was not sent");
        this.fates.push(`${numberIn(envelope)} ${nameOf(fate)}`);
      },
      closed: (end) => {
        this.#outside();
        if (this.end !== undefined) faults.push("closed twice");
        this.end = end;
      },
    });
  }

  send(number: number, bytes?: number): boolean {
    const envelope = envelopeOf(number, bytes);
    this.sent.push(envelope);
    return this.#call(() => this.link.send(envelope));
  }

  close(): void {
    this.#call(() => this.link.close("done"));
  }

  get unsent(): number[] | undefined {
    return this.end?.unsent.map(numberIn);
  }

  /** Nothing may be told from inside a call. */
  #call<T>(call: () => T): T {
    this.#isInside = true;
    try {
      return call();
    } finally {
      this.#isInside = false;
    }
  }

  #outside(): void {
    if (this.#isInside) faults.push("told from inside a call");
  }
}

function envelopeOf(number: number, bytes = minEnvelopeBytes): Uint8Array {
  const envelope = new Uint8Array(bytes);
  new DataView(envelope.buffer).setUint32(0, number);
  return envelope;
}

function numberIn(bytes: Uint8Array): number {
  return new DataView(bytes.buffer, bytes.byteOffset).getUint32(0);
}

function nameOf(fate: EnvelopeFate): string {
  return fate.state === "refused" ? `${fate.error.code} ${fate.reason}` : fate.state;
}

const passed: PassAlongStatus = { state: "passed" };

/** Lets what follows from an answer follow. */
const follow = (): Promise<void> => time.pass(0);

/** The relay answers for so many of what it was given, the first ones first. */
async function answer(count: number, status: PassAlongStatus = passed): Promise<void> {
  for (const each of asked.slice(0, count)) each.answer(status);
  await follow();
}

describe("envelopes", () => {
  test("are passed along in the order given, and each learns its fate", async () => {
    const used = new Used(hopWith());
    for (const n of [1, 2, 3]) expect(used.send(n)).toBe(true);
    expect(asked.map(({ number, to }) => [number, to])).toEqual([1, 2, 3].map((n) => [n, used.link.target]));
    expect(used.link.queuedBytes).toBe(3 * (4 + minEnvelopeBytes));
    asked[1]!.answer({ state: "stored", until: time.now() + 5_000 });
    await follow();
    await answer(2);
    expect(used.fates).toEqual(["2 stored", "1 passed", "3 passed"]);
    expect(used.link.queuedBytes).toBe(0);
    expect(used.link.bytesSent).toBe(3 * (4 + minEnvelopeBytes));
    expect(counts).toEqual({ passed: 2, stored: 1, refused: {}, lost: 0 });
  });

  test("wait when there are many, and there is room again when few are left", async () => {
    const used = new Used(hopWith({ highWaterEnvelopes: 4, lowWaterEnvelopes: 1 }));
    expect([1, 2, 3, 4].map((n) => used.send(n))).toEqual([true, true, true, false]);
    expect(used.link.writable).toBe(false);
    await answer(2);
    expect([used.link.writable, used.drains]).toEqual([false, 0]);
    await answer(1);
    expect([used.link.writable, used.drains]).toEqual([true, 1]);
  });

  test("count by their bytes as well", async () => {
    const used = new Used(hopWith({ highWaterBytes: 10_000, lowWaterBytes: 4_000 }));
    expect([1, 2, 3].map((n) => used.send(n, 3_500))).toEqual([true, true, false]);
    await answer(1);
    expect(used.drains).toBe(0);
    await answer(1);
    expect(used.drains).toBe(1);
  });

  test("of many links take turns, within what may be under way to the relay", async () => {
    const hop = hopWith({ maxUnderWay: 2 });
    const [one, two] = [new Used(hop), new Used(hop)];
    for (const n of [1, 2, 3, 4]) one.send(n);
    for (const n of [11, 12]) two.send(n);
    const order: number[] = [];
    while (asked.length > 0) {
      expect(asked.length).toBeLessThanOrEqual(2);
      order.push(asked[0]!.number);
      await answer(1);
    }
    expect(order.toSorted((a, b) => a - b)).toEqual([1, 2, 3, 4, 11, 12]);
    expect(order.indexOf(11)).toBeLessThan(order.indexOf(4));
    expect(order.filter((n) => n < 10)).toEqual([1, 2, 3, 4]);
  });
});

describe("a link ends", () => {
  test("when it is closed, after the relay's last words", async () => {
    const used = new Used(hopWith({ maxUnderWay: 1 }));
    used.send(1);
    used.send(2);
    used.close();
    expect(used.link.writable).toBe(false);
    expect(used.send(3)).toBe(false);
    await answer(1);
    await answer(1);
    expect(used.fates).toEqual(["1 passed", "2 passed"]);
    expect(used.end).toMatchObject({ reason: "closed", detail: "done", error: undefined });
    expect(used.unsent).toEqual([]);
  });

  test("and does not wait for them for ever", async () => {
    const used = new Used(hopWith());
    used.send(1);
    used.send(2);
    used.close();
    await time.pass(1_999);
    expect(used.end).toBeUndefined();
    await time.pass(1);
    expect(used.end).toMatchObject({ reason: "closed" });
    expect(used.unsent).toEqual([1, 2]);
    expect(asked).toEqual([]);
  });

  test("at once, when there is nothing to wait for; telling comes later", async () => {
    const used = new Used(hopWith());
    used.close();
    expect(used.end).toBeUndefined();
    await follow();
    expect(used.end).toMatchObject({ reason: "closed" });
  });

  test("when the relay refuses one: what waits has not left, what it has it may still say", async () => {
    const used = new Used(hopWith({ maxUnderWay: 3 }));
    for (const n of [1, 2, 3, 4, 5]) used.send(n);
    asked[1]!.answer({ state: "refused", refusal: "mailbox-full" });
    await follow();
    expect(used.fates).toEqual([2, 4, 5].map((n) => `${n} EGTP_RELAY_MAILBOX_FULL quota`));
    expect([used.link.writable, used.end]).toEqual([false, undefined]);
    await answer(2);
    expect(used.fates.slice(3)).toEqual(["1 passed", "3 passed"]);
    expect(used.end).toMatchObject({
      reason: "closed",
      error: { code: "EGTP_RELAY_MAILBOX_FULL", refusal: "mailbox-full" },
    });
    expect(counts.refused).toEqual({ "mailbox-full": 1 });
  });

  test("with all others, when the relay is lost, and nothing is asked of it any more", async () => {
    const hop = hopWith({ maxUnderWay: 2 });
    const [one, two] = [new Used(hop), new Used(hop)];
    for (const n of [1, 2, 3]) one.send(n);
    two.send(4);
    hop.lose();
    await follow();
    for (const { end } of [one, two]) expect(end).toMatchObject({ reason: "lost", error: { code: "EGTP_RELAY_LOST" } });
    expect([one.unsent, two.unsent]).toEqual([[1, 2, 3], [4]]);
    expect(asked).toEqual([]);
    expect(counts.lost).toBe(2);
    expect(isUnused).toBe(true);
  });

  test.each([
    ["fails", new EgtpError("EGTP_TIMEOUT", "No answer in time")],
    ["makes no sense", undefined],
  ])("with all others, when an answer of the relay %s", async (_what, error) => {
    const hop = hopWith();
    const [one, two] = [new Used(hop), new Used(hop)];
    one.send(1);
    two.send(2);
    if (error === undefined) asked[0]!.answer({ state: "refused", refusal: "nonsense" as "too-fast" });
    else asked[0]!.fail(error);
    await follow();
    for (const { end } of [one, two]) expect(end?.reason).toBe("lost");
  });

  test("when nobody used it for long", async () => {
    const used = new Used(hopWith());
    await time.pass(1_000);
    used.link.closeIfIdle(time.now() - 1_001);
    await follow();
    expect(used.end).toBeUndefined();
    used.send(1);
    used.link.closeIfIdle(time.now());
    await follow();
    expect(used.end).toBeUndefined();
    await answer(1);
    await time.pass(10);
    used.link.closeIfIdle(time.now());
    await follow();
    expect(used.end).toMatchObject({ reason: "idle" });
  });
});

describe("a relay that says too fast", () => {
  const tooFast: PassAlongStatus = { state: "refused", refusal: "too-fast" };

  test("gets nothing for a moment, then one at a time, in order, then more", async () => {
    const used = new Used(hopWith());
    for (let n = 1; n <= 10; n++) used.send(n);
    await answer(2);
    await answer(8, tooFast);
    expect(asked).toEqual([]);
    await time.pass(99);
    expect(asked).toEqual([]);
    await time.pass(1);
    expect(asked.map(({ number }) => number)).toEqual([3]);
    await answer(1, tooFast);
    await time.pass(199);
    expect(asked).toEqual([]);
    await time.pass(1);
    await answer(1);
    expect(asked.map(({ number }) => number)).toEqual([4, 5]);
    await answer(1);
    expect(asked.map(({ number }) => number)).toEqual([5, 6, 7]);
    while (asked.length > 0) await answer(1);
    expect(used.fates).toEqual(Array.from({ length: 10 }, (_, n) => `${n + 1} passed`));
    expect(counts.refused).toEqual({});
  });

  test("and takes nothing for long refuses it", async () => {
    const used = new Used(hopWith());
    used.send(1);
    used.send(2);
    const begun = time.now();
    while (used.end === undefined) {
      await answer(2, tooFast);
      await time.pass(100);
    }
    expect(time.now() - begun).toBeGreaterThan(15_000);
    expect(time.now() - begun).toBeLessThan(20_000);
    expect(used.fates).toEqual(["1 EGTP_RELAY_TOO_FAST undefined", "2 EGTP_RELAY_TOO_FAST undefined"]);
  });
});

test("a link that ended before it was started tells so when it is", async () => {
  const hop = hopWith();
  const link = hop.open(createIdentity().peer);
  hop.lose();
  let end: LinkEnd | undefined;
  link.start({
    envelope: () => {},
    drain: () => {},
    closed: (told) => {
      end = told;
    },
  });
  expect(end).toBeUndefined();
  await follow();
  expect(end).toMatchObject({ reason: "lost" });
  expect(() => link.start({ envelope: () => {}, drain: () => {}, closed: () => {} })).toThrow(TypeError);
});
