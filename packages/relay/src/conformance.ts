/**
 * What every {@link MailboxStore} must do, as tests. Hand it the `describe` and `it` of your test runner and a way to make a
 * place for a store:
 *
 *     import { describe, it } from "vitest";
 *     describeMailboxStore("memory", () => ({ open: (limits) => new MemoryMailboxStore({ limits }) }), { describe, it });
 *
 * It imports no test runner and throws plain errors, so any runner with these two functions will do.
 */
import { type Millis, type PeerId, peerIdFromTrustedBytes, toHex } from "@egtp/wire";
import { type MailboxLimits, mailIdBytes } from "./limits.ts";
import type { Deposited, MailboxStore, StoredMail } from "./mailbox-store.ts";
import { decodeMail } from "./protocol.ts";

/** A place where one store after the other is opened. */
export interface MailboxFixture {
  /** Opens the store there; the suite closes each before it opens the next. The first finds nothing. */
  open(limits: Partial<MailboxLimits>): MailboxStore | Promise<MailboxStore>;
  /** Whether the next to open it finds what was stored. */
  readonly survives: boolean;
  /** Of the steps at random. Without it one is drawn; a failure tells it. */
  readonly seed?: number;
  /** Takes the place away, after each test. */
  dispose?(): void | Promise<void>;
}

/** The two functions of a test runner that the suite calls. */
export interface ConformanceTestApi {
  describe(name: string, body: () => void): unknown;
  it(name: string, body: () => Promise<void>): unknown;
}

/**
 * Registers the suite.
 *
 * @param name - Of the store, for the report.
 * @param createFixture - Called once per test; each gets an empty place of its own.
 */
export function describeMailboxStore(
  name: string,
  createFixture: () => MailboxFixture | Promise<MailboxFixture>,
  testApi: ConformanceTestApi,
): void {
  const test = (
    title: string,
    limits: Partial<MailboxLimits>,
    body: (store: MailboxStore, fixture: MailboxFixture) => Promise<void>,
  ): void => {
    testApi.it(title, async () => {
      const fixture = await createFixture();
      try {
        const store = await fixture.open(limits);
        try {
          await body(store, fixture);
        } finally {
          await store.close();
        }
      } finally {
        await fixture.dispose?.();
      }
    });
  };

  testApi.describe(`mailbox store: ${name}`, () => {
    test("makes a mailbox once, with a tag of its own", {}, async (store) => {
      same(await store.find(alice), undefined, "before");
      const first = await register(store, alice, "01");
      same(first.mailbox.tag.length, 8, "bytes of the tag");
      same([first.replaced, first.mailbox.messages, first.mailbox.isOpen], [false, 0, true], "the new mailbox");
      const tag = toHex(first.mailbox.tag);
      same(toHex((await register(store, alice, "01")).mailbox.tag), tag, "the tag later");
      differs(toHex((await register(store, bob, "01")).mailbox.tag), tag, "the tag of another");
      same((await store.find(alice))?.isOpen, true, "found");
    });

    test("takes mail for those who are registered only", {}, async (store) => {
      same(refusalOf(await put(store, alice, 1)), "unregistered", "before");
      await register(store, alice, "01");
      stored(await put(store, alice, 1));
      await store.unregister(alice, start);
      same(refusalOf(await put(store, alice, 2)), "unregistered", "after");
      same((await store.find(alice))?.isOpen, false, "closed, with mail in it");
      await take(store, alice, await all(store, alice));
      same(await store.find(alice), undefined, "closed and empty");
      await register(store, bob, "01");
      await store.unregister(bob, start);
      same(await store.find(bob), undefined, "an empty one");
    });

    test("hands over oldest first, as often as asked, until it is acknowledged", {}, async (store) => {
      await register(store, alice, "01");
      await register(store, bob, "01");
      for (let n = 1; n <= 10; n++) stored(await put(store, alice, n));
      stored(await put(store, bob, 99));
      const mails = await all(store, alice);
      same(mails.map(contentOf), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10], "contents");
      ascend(mails.map(({ number }) => number));
      same((await all(store, alice)).map(contentOf), mails.map(contentOf), "again");
      const { tag } = (await store.find(alice))!;
      for (const { number, body } of mails) {
        same(
          [toHex(decodeMail(body).tag), decodeMail(body).number],
          [toHex(tag), number],
          "the ID before the envelope",
        );
      }
      const after = await store.collect(alice, mails[6]!.number, { maxMessages: 2, maxBytes: 1e6 }, start);
      same(after.map(contentOf), [8, 9], "after the seventh, two");
      const few = await store.collect(alice, 0, { maxMessages: 10, maxBytes: 3 * envelopeBytes }, start);
      same(few.map(contentOf), [1, 2, 3], "as many as have room");
      same((await store.collect(alice, 0, { maxMessages: 10, maxBytes: 1 }, start)).length, 1, "one at least");
      same((await store.find(alice))!.messages, 10, "waiting");
    });

    test("forgets what is acknowledged, by ranges, and says what it does not know", {}, async (store) => {
      await register(store, alice, "01");
      const numbers: number[] = [];
      for (let n = 1; n <= 10; n++) numbers.push(stored(await put(store, alice, n)));
      const { tag } = (await store.find(alice))!;
      const [first = 0] = numbers;
      same(
        await store.acknowledge(alice, tag, [first + 1, first + 3, first + 8, first + 9]),
        { acknowledged: 3, unknown: 0 },
        "two ranges",
      );
      same((await all(store, alice)).map(contentOf), [1, 4, 5, 6, 7, 8, 10], "what is left");
      same(
        await store.acknowledge(alice, tag, [first, first + 3]),
        { acknowledged: 1, unknown: 0 },
        "what is gone already",
      );
      same(
        await store.acknowledge(alice, new Uint8Array(8), [first, first + 5]),
        { acknowledged: 0, unknown: 5 },
        "another tag",
      );
      same((await store.acknowledge(bob, tag, [first, first + 5])).unknown, 5, "no mailbox");
      same((await store.acknowledge(alice, tag, [0, 1])).unknown, 1, "zero");
      const far = await store.acknowledge(alice, tag, [2 ** 52, 2 ** 52 + 7]);
      same(far, { acknowledged: 0, unknown: 7 }, "never given out");
      same((await all(store, alice)).map(contentOf), [4, 5, 6, 7, 8, 10], "nothing else went");
      const { delivered, waiting } = store.counts();
      same([delivered, waiting], [4, 6], "counts");
    });

    test("refuses at once what would be too much, and drops nothing for it", quotas, async (store) => {
      await register(store, alice, "01");
      await register(store, bob, "01");
      const large = mail(sender(9), 1, false, quotas.maxEnvelopeBytes + 1);
      same(refusalOf(await store.deposit(alice, large, false, start)), "too-large", "a long envelope");
      for (let n = 1; n <= 4; n++) stored(await put(store, alice, n, { from: sender(1) }));
      same(refusalOf(await put(store, alice, 5, { from: sender(1) })), "sender-quota", "the fifth of one sender");
      for (let n = 5; n <= 7; n++) stored(await put(store, alice, n, { from: sender(n), isStranger: true }));
      same(refusalOf(await put(store, alice, 8, { from: sender(8), isStranger: true })), "sender-quota", "strangers");
      stored(await put(store, alice, 8, { from: sender(2) }));
      same(refusalOf(await put(store, alice, 9, { from: sender(3) })), "mailbox-full", "the ninth");
      stored(await put(store, bob, 1, { from: sender(1) }));
      await take(store, alice, (await all(store, alice)).slice(0, 1));
      stored(await put(store, alice, 9, { from: sender(1) }));
      same((await all(store, alice)).map(contentOf), [2, 3, 4, 5, 6, 7, 8, 9], "what is in it");
    });

    test("counts bytes as it counts messages", { maxBytes: 1_000, maxSenderBytes: 600 }, async (store) => {
      await register(store, alice, "01");
      const from = (n: number, bytes: number) => store.deposit(alice, mail(sender(n), n, false, bytes), false, start);
      stored(await from(1, 500));
      same(refusalOf(await from(1, 101)), "sender-quota", "one sender");
      stored(await from(1, 100));
      same(refusalOf(await from(2, 401)), "mailbox-full", "the mailbox");
      stored(await from(2, 400));
      same((await store.find(alice))!.bytes, 1_000, "bytes");
    });

    test("has room for so many mailboxes and so much mail in all", bounds, async (store) => {
      for (const owner of [alice, bob]) await register(store, owner, "01");
      same((await store.register(sender(1), { id: "01", isFirst: true }, start)).state, "full", "a third");
      for (let n = 1; n <= 3; n++) stored(await put(store, n === 1 ? alice : bob, n));
      same(refusalOf(await put(store, alice, 4)), "mailbox-full", "a fourth mail");
    });

    test("has room for so many bytes in one mailbox", { maxBytes: 2.5 * envelopeBytes }, async (store) => {
      for (const owner of [alice, bob]) await register(store, owner, "01");
      for (let n = 1; n <= 2; n++) stored(await put(store, alice, n));
      same(refusalOf(await put(store, alice, 3)), "mailbox-full", "a third of alice");
      stored(await put(store, bob, 4));
    });

    test("gives up mail whose time is over, and mailboxes whose owners stay away", spans, async (store) => {
      await register(store, alice, "01");
      await register(store, bob, "01");
      stored(await put(store, alice, 1, { now: start }));
      stored(await put(store, alice, 2, { now: start + 5_000 }));
      same((await all(store, alice, start + 9_999)).length, 2, "in time");
      same((await all(store, alice, start + 11_000)).map(contentOf), [2], "the first is over");
      await store.expire(start + 16_000);
      same([store.counts().expired, store.counts().waiting], [2, 0], "both are over");
      stored(await put(store, bob, 3, { now: start + 55_000 }));
      await store.register(alice, { id: "01", isFirst: false }, start + 50_000);
      await store.expire(start + 61_000);
      same(await store.find(bob), undefined, "bob was away for a minute");
      same(store.counts().expired, 3, "with his mail");
      same((await store.find(alice))?.isOpen, true, "alice was not");
    });

    test("gives no mail up before an older one, and makes room of what is over", {
      ttlMs: 10_000,
      maxMessages: 2,
    }, async (store) => {
      await register(store, alice, "01");
      const until = async (content: number, now: Millis) => {
        const deposited = await put(store, alice, content, { now });
        return deposited.state === "stored" ? deposited.until : 0;
      };
      const first = await until(1, start + 5_000);
      if ((await until(2, start)) < first) throw new Error("The second goes before the first, when a clock goes back");
      same(refusalOf(await put(store, alice, 3, { now: start + 9_000 })), "mailbox-full", "while both are there");
      stored(await put(store, alice, 3, { now: start + 17_000 }));
      same((await all(store, alice, start + 17_000)).map(contentOf), [3], "what is there");
    });

    test("lets one run at a time have a mailbox: the newest, and no fight", { freshMs: 150_000 }, async (store) => {
      const first = (id: string, at = 0) => store.register(alice, { id, isFirst: true }, start + at);
      const refresh = (id: string, at: number) => store.register(alice, { id, isFirst: false }, start + at);
      const state = async (answer: ReturnType<typeof first>) => {
        const registered = await answer;
        return registered.state === "active" ? registered.replaced : registered.state;
      };
      same(await state(first("aa")), false, "the first run");
      same(await state(refresh("aa", 60_000)), false, "its refresh");
      same(await state(first("bb", 61_000)), true, "a second run takes over");
      same(await state(refresh("aa", 120_000)), "superseded", "the first is told");
      same(await state(first("aa", 120_001)), "superseded", "even when it says again that it is new");
      same(await state(refresh("dd", 120_002)), "superseded", "nor does one come in that does not say that it is new");
      same(await state(refresh("bb", 121_000)), false, "the second stays");
      same(await state(refresh("aa", 121_000 + 150_000)), false, "until it was not heard of for a while");
      same(await state(first("cc", 121_000 + 300_001)), false, "nobody live was replaced");
    });

    test("holds mail until it is asked to keep it", {}, async (store) => {
      await register(store, alice, "01");
      const one = await put(store, alice, 1, { mayHold: true });
      if (one.state === "stored") return; // This one cannot hold.
      const two = await put(store, alice, 2, { mayHold: true });
      if (one.state !== "held" || two.state !== "held") throw new Error("It holds some and not others");
      same((await all(store, alice)).map(contentOf), [1, 2], "held mail is handed over too");
      const until = await store.keep(alice, two.number);
      same(typeof until, "number", "kept until");
      same(await store.keep(alice, two.number), until, "kept again");
      const { tag } = (await store.find(alice))!;
      await store.acknowledge(alice, tag, [one.number, one.number + 1]);
      same(await store.keep(alice, one.number), undefined, "what was acknowledged");
      same(await store.keep(bob, 1), undefined, "what is nobody's");
      const { passed, stored: kept, held, waiting } = store.counts();
      same([passed, kept, held, waiting], [1, 1, 0, 1], "counts");
    });

    test("tells of mail that was stored", {}, async (store) => {
      const told: PeerId[] = [];
      store.watch((owner) => told.push(owner));
      for (const owner of [alice, bob]) await register(store, owner, "01");
      stored(await put(store, bob, 1));
      same(told, [bob], "told");
    });

    test(
      "balances its counts through thick and thin",
      { maxMessages: 12, ttlMs: randomTtlMs, registrationMs: randomRegistrationMs },
      randomSteps,
    );

    test("gives what was stored to the next who opens it", {}, async (store, fixture) => {
      if (!fixture.survives) return;
      const { tag } = (await register(store, alice, "01")).mailbox;
      await register(store, bob, "01");
      const before = toHex(tag);
      for (let n = 1; n <= 20; n++) stored(await put(store, alice, n));
      const numbers = (await all(store, alice)).map(({ number }) => number);
      await take(store, alice, (await all(store, alice)).slice(3, 5));
      await store.unregister(bob, start);
      await store.close();
      const again = await fixture.open({});
      try {
        same((await again.find(alice))?.messages, 18, "waiting");
        same(toHex((await again.find(alice))!.tag), before, "the tag");
        const mails = await all(again, alice);
        same(mails.map(contentOf), [1, 2, 3, ...Array.from({ length: 15 }, (_, i) => i + 6)], "contents");
        same(await again.find(bob), undefined, "bob unregistered");
        const next = stored(await put(again, alice, 21));
        if (next <= numbers.at(-1)!) throw new Error(`Number ${next} was given out before`);
        same([again.counts().found, again.counts().stored], [18, 1], "counts");
        same(refusalOf(await put(again, bob, 1)), "unregistered", "bob");
      } finally {
        await again.close();
      }
    });
  });
}

const start: Millis = 1_800_000_000_000;
const envelopeBytes = 100;
const quotas = {
  maxMessages: 8,
  maxSenderMessages: 4,
  maxStrangerMessages: 3,
  maxEnvelopeBytes: 200,
} satisfies Partial<MailboxLimits>;
const bounds = { maxMailboxes: 2, maxTotalMessages: 3 } satisfies Partial<MailboxLimits>;
const spans = { ttlMs: 10_000, registrationMs: 60_000 } satisfies Partial<MailboxLimits>;

/** Stores do not look at whether an ID is a point on the curve. */
function sender(n: number): PeerId {
  return peerIdFromTrustedBytes(new Uint8Array(32).fill(n));
}

const alice = sender(101);
const bob = sender(102);

function mail(from: PeerId, content: number, isStranger: boolean, bytes = envelopeBytes) {
  const body = new Uint8Array(mailIdBytes + bytes);
  new DataView(body.buffer).setUint32(mailIdBytes, content);
  return { sender: from, isStranger, body };
}

function contentOf({ body }: StoredMail): number {
  return new DataView(body.buffer, body.byteOffset).getUint32(mailIdBytes);
}

interface PutOptions {
  readonly from?: PeerId;
  readonly isStranger?: boolean;
  readonly mayHold?: boolean;
  readonly now?: Millis;
}

function put(store: MailboxStore, owner: PeerId, content: number, options: PutOptions = {}) {
  const { from = sender(1), isStranger = false, mayHold = false, now = start } = options;
  return store.deposit(owner, mail(from, content, isStranger), mayHold, now);
}

async function register(store: MailboxStore, owner: PeerId, id: string) {
  const registered = await store.register(owner, { id, isFirst: true }, start);
  if (registered.state !== "active") throw new Error(`Registering ended in ${registered.state}`);
  return registered;
}

async function all(store: MailboxStore, owner: PeerId, now = start): Promise<readonly StoredMail[]> {
  return store.collect(owner, 0, { maxMessages: 1_000, maxBytes: 1e9 }, now);
}

async function take(store: MailboxStore, owner: PeerId, mails: readonly StoredMail[]): Promise<void> {
  const { tag } = (await store.find(owner))!;
  for (const { number } of mails) await store.acknowledge(owner, tag, [number, number + 1]);
}

function stored(deposited: Deposited): number {
  if (deposited.state !== "stored") throw new Error(`Expected stored, got ${JSON.stringify(deposited)}`);
  return deposited.number;
}

function refusalOf(deposited: Deposited): string {
  return deposited.state === "refused" ? deposited.refusal : deposited.state;
}

const randomTtlMs = 40_000;
const randomRegistrationMs = 90_000;

/** Many steps at random, with what must be there beside it. */
async function randomSteps(
  store: MailboxStore,
  { seed = (Date.now() % 1_000_000) + 1 }: MailboxFixture,
): Promise<void> {
  let state = seed;
  const below = (n: number) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return Math.floor((state / 2 ** 32) * n);
  };
  const waiting = new Map<PeerId, Map<number, { content: number; until: Millis }>>();
  const contacts = new Map<PeerId, Millis>();
  let now = start;
  try {
    for (let step = 0; step < 400; step++) {
      const owner = [alice, bob][below(2)]!;
      const mine = waiting.get(owner);
      switch (below(8)) {
        case 0:
          await store.register(owner, { id: "01", isFirst: false }, now);
          waiting.set(owner, mine ?? new Map());
          contacts.set(owner, now);
          break;
        case 1:
          now += below(15_000);
          await store.expire(now);
          for (const [each, contactAt] of contacts)
            if (now - contactAt >= randomRegistrationMs) waiting.get(each)?.clear();
          break;
        case 2:
          if (below(4) === 0) await store.unregister(owner, now);
          break;
        case 3: {
          const numbers = [...(mine?.keys() ?? [])];
          const from = numbers[below(numbers.length + 1)] ?? 1;
          const tag = (await store.find(owner))?.tag;
          if (tag === undefined) break;
          const count = 1 + below(3);
          await store.acknowledge(owner, tag, [from, from + count]);
          for (let number = from; number < from + count; number++) mine?.delete(number);
          break;
        }
        default: {
          const options = { from: sender(1 + below(3)), isStranger: below(2) === 0, mayHold: below(2) === 0, now };
          const deposited = await put(store, owner, step, options);
          if (deposited.state === "held" && below(2) === 0) await store.keep(owner, deposited.number);
          if (deposited.state !== "refused") {
            mine!.set(deposited.number, { content: step, until: now + randomTtlMs });
          }
        }
      }
      const found = new Map((await all(store, owner, now)).map((each) => [each.number, contentOf(each)]));
      for (const [number, { content, until }] of mine ?? []) {
        if (found.has(number)) same(found.get(number), content, `mail ${number}`);
        // A store may keep mail until the next full second.
        else if (until - 1_000 > now) throw new Error(`Mail ${number} is lost`);
        else mine!.delete(number);
      }
      same(found.size, mine?.size ?? 0, "mails");
      const counts = store.counts();
      const { taken, passed, stored: kept, withdrawn, held } = counts;
      same(taken, passed + kept + withdrawn + held, "taken");
      const { found: before, delivered, expired, dropped, elsewhere, waiting: left } = counts;
      same(before + kept, delivered + expired + dropped + elsewhere + left, "stored");
    }
    const left = [...(await all(store, alice, now)), ...(await all(store, bob, now))];
    same(store.counts().waiting + store.counts().held, left.length, "what is there");
    const bytes = left.reduce((sum, { body }) => sum + body.length - mailIdBytes, 0);
    same(store.counts().bytes, bytes, "its bytes");
  } catch (error) {
    throw new Error(`With seed ${seed}: ${String(error)}`, { cause: error });
  }
}

function ascend(numbers: readonly number[]): void {
  for (const [i, number] of numbers.entries()) {
    if (number <= (numbers[i - 1] ?? 0)) throw new Error(`${numbers.join()} do not ascend from 1`);
  }
}

function same(actual: unknown, expected: unknown, what: string): void {
  const [a, b] = [JSON.stringify(actual), JSON.stringify(expected)];
  if (a !== b) throw new Error(`${what}: expected ${b}, got ${a}`);
}

function differs(actual: unknown, other: unknown, what: string): void {
  if (actual === other) throw new Error(`${what}: did not expect ${JSON.stringify(other)}`);
}
