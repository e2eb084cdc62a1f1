/** Mail of one mailbox on its way into the node: its order, that each is handed over once at a time, and acknowledgements. */

import { VirtualTime } from "@egtp/node/memory";
import { minEnvelopeBytes } from "@egtp/wire";
import { beforeEach, describe, expect, test } from "vitest";
import { Intake, type MailCounts } from "../src/client-intake.ts";
import { defaultRelayClientLimits, type RelayClientLimits } from "../src/client-limits.ts";
import { decodeAcknowledgement, encodeCollected } from "../src/protocol.ts";

const tag = new Uint8Array(8).fill(1);

/** An intake between a relay and a node, both driven by hand. */
class Between {
  readonly time = new VirtualTime();
  readonly counts: MailCounts = { taken: 0, notTaken: 0, repeated: 0, acknowledged: 0 };
  readonly handed: number[] = [];
  /** Numbers as acknowledged, message by message. */
  readonly acknowledged: number[][] = [];
  readonly collects: number[] = [];
  /** Of the mailbox at the relay, */
  tag = tag;
  /** and what waits there. */
  waiting: number[] = [];
  /** What the node says at once; `undefined`: it takes its time. */
  verdict: boolean | undefined = true;
  isReached = true;
  readonly #settle = new Map<number, (isTaken: boolean) => void>();
  readonly #answers: (() => void)[] = [];
  /** Whether acknowledgements are heard at once. */
  answers = true;
  readonly intake: Intake;

  constructor(limits: Partial<RelayClientLimits> = {}) {
    this.intake = new Intake({
      limits: { ...defaultRelayClientLimits, ...limits },
      counts: this.counts,
      now: () => this.time.now(),
      setTimer: (task, delayMs) => this.time.setTimer(task, delayMs),
      takeMail: (envelope) => {
        const number = numberIn(envelope);
        this.handed.push(number);
        if (this.verdict !== undefined) return Promise.resolve(this.verdict);
        return new Promise((resolve) => this.#settle.set(number, resolve));
      },
      inHandOf: () => new Map(),
      collect: async (after) => {
        this.collects.push(after);
        if (!this.isReached) throw new Error("out of reach");
        const mails = this.waiting.filter((number) => number > after).slice(0, 3);
        return encodeCollected({
          tag: this.tag,
          mails: mails.map((number) => ({ number, envelope: envelope(number) })),
        });
      },
      acknowledge: (body) => {
        const { ranges } = decodeAcknowledgement(body);
        const numbers = numbersOf(ranges);
        this.acknowledged.push(numbers);
        if (!this.isReached) return Promise.reject(new Error("out of reach"));
        this.waiting = this.waiting.filter((number) => !numbers.includes(number));
        if (this.answers) return Promise.resolve(true);
        return new Promise((resolve) => this.#answers.push(() => resolve(true)));
      },
    });
  }

  push(...numbers: readonly number[]): void {
    for (const number of numbers) this.intake.take({ tag, number, envelope: envelope(number) });
  }

  settle(number: number, isTaken = true): void {
    this.#settle.get(number)!(isTaken);
    this.#settle.delete(number);
  }

  answer(): void {
    this.#answers.shift()!();
  }
}

function envelope(number: number): Uint8Array {
  const bytes = new Uint8Array(minEnvelopeBytes);
  new DataView(bytes.buffer).setUint32(0, number);
  return bytes;
}

function numberIn(bytes: Uint8Array): number {
  return new DataView(bytes.buffer, bytes.byteOffset).getUint32(0);
}

function numbersOf(ranges: readonly number[]): number[] {
  const numbers: number[] = [];
  for (let i = 0; i < ranges.length; i += 2) for (let n = ranges[i]!; n < ranges[i + 1]!; n++) numbers.push(n);
  return numbers;
}

let between: Between;
beforeEach(() => {
  between = new Between();
});

describe("mail that is pushed", () => {
  test("is handed over at once, in order, whatever number comes first", () => {
    between.push(7, 8, 9);
    expect(between.handed).toEqual([7, 8, 9]);
  });

  test("that overtook an earlier one waits for it", () => {
    between.push(1, 3, 4, 2, 5);
    expect(between.handed).toEqual([1, 2, 3, 4, 5]);
  });

  test("waits no longer than a moment for one that does not come, and hands that over when it does", async () => {
    between.push(1, 5, 4, 7);
    expect(between.handed).toEqual([1]);
    await between.time.pass(249);
    expect(between.handed).toEqual([1]);
    await between.time.pass(1);
    expect(between.handed).toEqual([1, 4, 5, 7]);
    between.push(3, 8);
    expect(between.handed).toEqual([1, 4, 5, 7, 3, 8]);
    expect(between.time.timers).toBeLessThanOrEqual(1);
  });

  test("again while it is being taken in shares the fate of its first copy", async () => {
    between.verdict = undefined;
    between.push(1, 2, 1, 2, 3);
    expect(between.handed).toEqual([1, 2, 3]);
    between.settle(2);
    await between.time.pass(0);
    between.push(1, 2, 3);
    expect(between.handed).toEqual([1, 2, 3]);
    between.settle(1);
    await between.time.pass(0);
    // The second time because it came again, so the first may have been lost.
    expect(between.acknowledged).toEqual([[2], [2], [1]]);
    expect(between.counts).toMatchObject({ taken: 2, repeated: 5 });
  });

  test("of another mailbox begins anew, and what was begun with the old one is forgotten", async () => {
    between.verdict = undefined;
    between.push(4, 5, 9);
    between.intake.take({ tag: new Uint8Array(8).fill(2), number: 4, envelope: envelope(4) });
    expect(between.handed).toEqual([4, 5, 4]);
    between.settle(5);
    await between.time.pass(500);
    expect(between.acknowledged).toEqual([]);
    between.settle(4);
    await between.time.pass(0);
    expect(between.acknowledged).toEqual([[4]]);
    expect(between.handed).toEqual([4, 5, 4]);
  });
});

describe("acknowledgements", () => {
  test("of one turn go into one message", async () => {
    between.push(1, 2, 3, 4, 5);
    await between.time.pass(0);
    expect(between.acknowledged).toEqual([[1, 2, 3, 4, 5]]);
    expect(between.counts).toMatchObject({ taken: 5, acknowledged: 5 });
  });

  test("that were lost are repeated when the mail comes again, which is not handed over again", async () => {
    between.isReached = false;
    between.push(1, 2);
    await between.time.pass(0);
    between.isReached = true;
    between.push(1, 2);
    await between.time.pass(0);
    expect(between.acknowledged).toEqual([
      [1, 2],
      [1, 2],
    ]);
    expect(between.handed).toEqual([1, 2]);
    expect(between.counts).toMatchObject({ taken: 2, repeated: 2, acknowledged: 2 });
  });

  test("gather while many are on their way, in as many messages as it takes", async () => {
    between = new Between({ maxAcknowledging: 1, gapMs: 1 });
    between.answers = false;
    between.push(1);
    await between.time.pass(0);
    for (let n = 2; n <= 1_200; n += 2) between.push(n);
    await between.time.pass(10);
    expect(between.acknowledged).toEqual([[1]]);
    for (let i = 0; i < 4; i++) {
      between.answer();
      await between.time.pass(0);
    }
    // 600 numbers with gaps, of which 256 fit into one.
    expect(between.acknowledged.map(({ length }) => length)).toEqual([1, 256, 256, 88]);
    expect(new Set(between.acknowledged.flat()).size).toBe(601);
  });

  test("are sent before it stops, and nothing is handed over after", async () => {
    between.verdict = undefined;
    between.push(1, 2, 4);
    between.settle(1);
    await Promise.resolve();
    const stopped = between.intake.stop();
    await between.time.of(stopped);
    expect(between.acknowledged).toEqual([[1]]);
    between.push(5);
    await between.time.pass(10_000);
    expect(between.handed).toEqual([1, 2]);
    expect(between.time.timers).toBe(0);
  });
});

describe("mail is collected", () => {
  test("when some waits and none is pushed, all of it", async () => {
    between.waiting = [1, 2, 3, 4, 5, 6, 7];
    between.intake.expect(tag, 7, false);
    await between.time.pass(999);
    expect(between.collects).toEqual([]);
    await between.time.pass(1);
    expect(between.handed).toEqual([1, 2, 3, 4, 5, 6, 7]);
    await between.time.pass(60_000);
    expect(between.collects).toEqual([0, 3, 6, 7]);
    expect(between.waiting).toEqual([]);
  });

  test("not while it is pushed, nor when all that waited was", async () => {
    between.waiting = [1, 2, 3];
    between.intake.expect(tag, 3, false);
    for (const number of [1, 2]) {
      await between.time.pass(700);
      between.push(number);
    }
    await between.time.pass(900);
    between.push(3);
    await between.time.pass(600_000);
    expect(between.collects).toEqual([]);
    expect(between.time.timers).toBe(0);
  });

  test("again, ever more rarely, when the node did not take it in", async () => {
    between.waiting = [1, 2, 3];
    between.verdict = false;
    between.push(1, 2, 3);
    const times: number[] = [];
    let seen = 0;
    const begun = between.time.now();
    await between.time.run(() => {
      for (; seen < between.handed.length; seen += 3) times.push(Math.round((between.time.now() - begun) / 1_000));
      return seen >= 3 * 10;
    });
    expect(times).toEqual([0, 1, 3, 7, 15, 31, 63, 123, 183, 243]);
    between.verdict = true;
    await between.time.pass(60_000);
    expect(between.waiting).toEqual([]);
    expect(between.acknowledged).toEqual([[1, 2, 3]]);
    await between.time.pass(600_000);
    expect(between.time.timers).toBe(0);
    expect(between.counts).toMatchObject({ taken: 3, notTaken: 30 });
  });

  test("when what came is being taken in for long: the rest of it may wait for an acknowledgement", async () => {
    between.verdict = undefined;
    between.push(1, 2);
    between.waiting = [1, 2, 3];
    await between.time.pass(1_000);
    expect(between.handed).toEqual([1, 2, 3]);
    for (const number of [1, 2, 3]) between.settle(number);
    await between.time.pass(600_000);
    expect(between.collects).toEqual([2, 3]);
    expect(between.time.timers).toBe(0);
  });

  test("not because of those that are being taken in, when a registration is renewed", async () => {
    between.verdict = undefined;
    between.push(1, 2);
    between.waiting = [1, 2];
    await between.time.pass(600_000);
    const before = between.collects.length;
    for (let i = 0; i < 10; i++) {
      between.intake.expect(tag, 2, false);
      await between.time.pass(60_000);
    }
    // Only whether there is more.
    expect(new Set(between.collects)).toEqual(new Set([2]));
    expect(between.collects.length - before).toBeLessThanOrEqual(10);
    for (const number of [1, 2]) between.settle(number);
    await between.time.pass(120_000);
    expect(between.time.timers).toBe(0);
  });

  test("no further than there is room, and the rest when there is", async () => {
    between = new Between({ maxMails: 4 });
    between.verdict = undefined;
    between.waiting = [1, 2, 3, 4, 5, 6, 7, 8];
    between.push(1, 2, 3, 4, 5, 6);
    expect(between.handed).toEqual([1, 2, 3, 4]);
    await between.time.pass(10_000);
    expect(between.handed).toEqual([1, 2, 3, 4]);
    for (const number of [1, 2, 3, 4]) between.settle(number);
    between.verdict = true;
    await between.time.pass(120_000);
    expect(between.handed).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    expect(between.waiting).toEqual([]);
  });

  test("from its beginning when the mailbox turns out to be another", async () => {
    between.push(50, 51);
    await between.time.pass(0);
    between.tag = new Uint8Array(8).fill(2);
    between.waiting = [1, 2, 3, 4, 5];
    between.intake.expect(tag, 1, false);
    await between.time.pass(2_000);
    expect(between.handed.toSorted((a, b) => a - b)).toEqual([1, 2, 3, 4, 5, 50, 51]);
    expect(between.waiting).toEqual([]);
  });

  test("in vain while the relay is out of reach, and anew when it is back", async () => {
    between.waiting = [1];
    between.isReached = false;
    between.intake.expect(tag, 1, false);
    await between.time.pass(5_000);
    expect(between.collects.length).toBeGreaterThan(0);
    between.intake.rest();
    const before = between.collects.length;
    await between.time.pass(600_000);
    expect(between.collects).toHaveLength(before);
    between.isReached = true;
    between.intake.expect(tag, 1, false);
    await between.time.pass(60_000);
    expect(between.handed).toEqual([1]);
  });
});
