/**
 * Floods of mail over real sockets, from a process of its own, and what becomes of everybody else's mail. The fast suite runs short
 * ones, the slow suite long ones. Asserted by counts that follow from the limits, never by time.
 */
import { createIdentity, createNode, type EgtpNode, type Identity, identityFromSeed } from "@egtp/node";
import { tcp } from "@egtp/node/tcp";
import { Latencies } from "@egtp/test-kit/latencies";
import { OrderedChild } from "@egtp/test-kit/ordered-child";
import { usedBytes } from "@egtp/test-kit/used-memory";
import { type PeerId, type Strategy, verifyContactRecord } from "@egtp/wire";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { PassAlongStatus } from "../src/protocol.ts";
import {
  type MailboxLimits,
  MemoryMailboxStore,
  type Rate,
  type RelayServer,
  type RelayServerLimits,
  type RelayStats,
  relayServer,
  type SenderRate,
} from "../src/server.ts";
import type { MailFlood, MailFloodReport } from "./flood-child.ts";
import { envelope, Owner, passAlong } from "./relay-parties.ts";

export interface MailFloodSizes {
  readonly mailbox: Pick<MailboxLimits, "maxMessages" | "maxSenderMessages" | "maxStrangerMessages">;
  readonly newMailboxes: number;
  /** What all strangers together may pass along at once. */
  readonly burst: number;
}

const bytes = 600;
/** Mails while nothing is wrong, to compare with. */
const calmMails = 200;
/** Mails of a friend for whom is away. */
const friendly = 50;
const firstFriendly = 1_000_000;
const senders = 4;
const mebibyte = 1024 * 1024;

export function describeMailFloods(sizes: MailFloodSizes): void {
  const { mailbox, newMailboxes, burst } = sizes;
  const flooder = new OrderedChild<MailFlood, MailFloodReport>(new URL("flood-child.ts", import.meta.url));
  afterAll(() => flooder.kill());

  describe("a flood of mail", () => {
    let world: RelayWorld;
    beforeAll(async () => {
      world = new RelayWorld(flooder);
      await world.start({ mailbox, relay: {} });
    });
    afterAll(() => world.stop());

    test("of strangers fills their part of a mailbox, of everybody's all strangers together", async () => {
      const envelopes = mailbox.maxStrangerMessages / 2;
      const { heard, memory } = await world.flood("strangers", { senders, envelopes, register: false });
      expect(heard).toEqual({ stored: mailbox.maxStrangerMessages, "sender-quota": mailbox.maxStrangerMessages });
      expect(memory).toBeLessThanOrEqual(mailbox.maxStrangerMessages * bytes * 2 + 8 * mebibyte);
    });

    test("of one that is registered fills its own part", async () => {
      const envelopes = 2 * mailbox.maxSenderMessages;
      const { heard, memory } = await world.flood("one registered", { senders: 1, envelopes, register: true });
      const half = mailbox.maxSenderMessages;
      expect(heard).toEqual({ registered: 1, stored: half, "sender-quota": half });
      expect(memory).toBeLessThanOrEqual(mailbox.maxSenderMessages * bytes * 2 + 8 * mebibyte);
    });

    test("of many that are registered ends where the mailbox does; what was there stays, and others' are open", async () => {
      const envelopes = mailbox.maxMessages;
      const { heard } = await world.flood("registered", { senders, envelopes, register: true }, "before");
      const { stored = 0, registered, "sender-quota": quota = 0, "mailbox-full": full = 0 } = heard;
      expect(registered).toBe(senders);
      expect(stored).toBe(mailbox.maxMessages - friendly);
      expect(stored + quota + full).toBe(senders * envelopes);
    });
  });

  describe("a flood faster than the rates", () => {
    let world: RelayWorld;
    const all: SenderRate = { messages: { burst, perSecond: 10 }, bytes: { burst: Infinity, perSecond: 1 } };
    const each: SenderRate = { ...all, messages: { burst: burst / 2, perSecond: 10 } };
    const newOnes: Rate = { burst: newMailboxes, perSecond: 1 / (60 * 60) };
    beforeAll(async () => {
      world = new RelayWorld(flooder);
      await world.start({ mailbox: {}, relay: { strangers: all, stranger: each, newMailboxes: newOnes } });
    });
    afterAll(() => world.stop());

    test("of one stranger is taken as far as one may go", async () => {
      const envelopes = 4 * burst;
      const { heard, seconds } = await world.flood("one stranger, rate", { senders: 1, envelopes, register: false });
      const { stored = 0, "too-fast": refused = 0 } = heard;
      expect(stored + refused).toBe(envelopes);
      expect(stored).toBeGreaterThanOrEqual(burst / 2);
      expect(stored).toBeLessThanOrEqual(burst / 2 + 10 * seconds);
    });

    test("of strangers is taken as far as all of them together may go", async () => {
      const { heard, seconds } = await world.flood("strangers, rate", { senders, envelopes: burst, register: false });
      const { stored = 0, "too-fast": refused = 0 } = heard;
      expect(stored + refused).toBe(senders * burst);
      expect(stored).toBeGreaterThanOrEqual(burst / 2);
      expect(stored).toBeLessThanOrEqual(burst + 10 * seconds);
    });

    test("of new mailboxes leaves those that are there", async () => {
      const many = 2 * newMailboxes;
      const { heard } = await world.flood("new mailboxes", { senders: many, envelopes: 0, register: true });
      const made = newMailboxes - ownMailboxes;
      expect(heard).toEqual({ registered: made, "not-registered": many - made });
    });
  });
}

/** Mailboxes of those who use the relay in peace, and one that is flooded for each of the three tests. */
const ownMailboxes = 2 + 3;

interface RelayWorldOptions {
  readonly mailbox: Partial<MailboxLimits>;
  readonly relay: Partial<RelayServerLimits>;
}

interface MailDamage {
  readonly heard: MailFloodReport;
  readonly seconds: number;
  /** Bytes of memory more than before. */
  readonly memory: number;
}

class RelayWorld {
  readonly #flooder: OrderedChild<MailFlood, MailFloodReport>;
  readonly #nodes: EgtpNode[] = [];
  #server!: RelayServer;
  #strategy!: Strategy;
  #relay!: PeerId;
  #friend!: EgtpNode;
  /** Is there all the time. */
  #reader!: Owner;

  constructor(flooder: OrderedChild<MailFlood, MailFloodReport>) {
    this.#flooder = flooder;
  }

  async start({ mailbox, relay }: RelayWorldOptions): Promise<void> {
    this.#server = relayServer({ store: new MemoryMailboxStore({ limits: mailbox }), limits: relay });
    const options = { transports: [tcp({ host: "127.0.0.1" })], parts: [this.#server], services: ["relay"] };
    const node = await createNode({ identity: createIdentity(), allowPrivateAddresses: true, ...options });
    await node.start();
    this.#nodes.push(node);
    this.#relay = node.peerId;
    [this.#strategy] = verifyContactRecord(node.contactRecord!, Date.now()).strategies as [Strategy];
    this.#friend = await this.#join(createIdentity());
    await new Owner(this.#friend, this.#relay).register();
    this.#reader = new Owner(await this.#join(createIdentity()), this.#relay);
    await this.#reader.register();
    const calm = new Latencies();
    await this.#read(calm, () => calm.count >= calmMails);
    console.log(`without a flood: ${calm.text}`);
  }

  async stop(): Promise<void> {
    await Promise.all(this.#nodes.map((node) => node.stop()));
  }

  /**
   * Lets a flood come over the mailbox of somebody who is away, while a friend leaves mail there, or did before, and writes to
   * somebody who is there. Rejects when any of that is not taken; then the one who was away comes back, and finds what the friend left.
   */
  async flood(
    name: string,
    flood: Pick<MailFlood, "senders" | "envelopes" | "register">,
    friendLeavesMail: "before" | "meanwhile" = "meanwhile",
  ): Promise<MailDamage> {
    const identity = createIdentity();
    const away = await this.#join(identity);
    await new Owner(away, this.#relay).register();
    await away.stop();
    const usedBefore = usedBytes();
    const begun = performance.now();
    let isOver = false;
    const latencies = new Latencies();
    const order = { ...flood, recipients: [identity.peer], bytes, relay: this.#relay, strategy: this.#strategy };
    const leaving = this.#leaveMail(identity.peer);
    if (friendLeavesMail === "before") await leaving;
    const flooding = this.#flooder.order(order).finally(() => {
      isOver = true;
    });
    const [heard] = await Promise.all([flooding, leaving, this.#read(latencies, () => isOver)]);
    const damage = { heard, seconds: (performance.now() - begun) / 1_000, memory: usedBytes() - usedBefore };
    console.log(`${name}: ${latencies.text}; ${JSON.stringify(damage)}`);
    await this.#comeBack(identity, friendly + (heard.stored ?? 0));
    expectBalance(this.#server.stats());
    return damage;
  }

  async #join(identity: Identity): Promise<EgtpNode> {
    const node = await createNode({
      identity: identityFromSeed(identity.exportSeed()),
      transports: [tcp({ listen: false })],
      allowPrivateAddresses: true,
    });
    await node.start();
    node.introduce(this.#relay, [this.#strategy]);
    this.#nodes.push(node);
    return node;
  }

  /** One mail after another, each of which must be taken. */
  async #leaveMail(recipient: PeerId): Promise<void> {
    for (let mail = 0; mail < friendly; mail++) {
      const body = envelope(firstFriendly + mail, bytes);
      const status = await passAlong(this.#friend, this.#relay, recipient, body, Date.now());
      expectState(status, "stored");
    }
  }

  /** At least one. */
  async #read(latencies: Latencies, isOver: () => boolean): Promise<void> {
    const before = this.#reader.got.length;
    let mail = 0;
    do {
      const body = envelope(mail, bytes);
      const to = this.#reader.node.peerId;
      await latencies.of(async () => {
        const status = await passAlong(this.#friend, this.#relay, to, body, Date.now());
        expectState(status, "passed", "stored");
      });
      mail += 1;
    } while (!isOver());
    expectContents(this.#reader.contents.slice(before), 0, mail);
  }

  /** Finds as many mails as were stored, and among them all of the friend's, in order. */
  async #comeBack(identity: Identity, mails: number): Promise<void> {
    const owner = new Owner(await this.#join(identity), this.#relay, { run: 2 });
    await owner.register();
    await expectMails(owner, mails);
    const found = owner.contents.filter((content) => content >= firstFriendly);
    expectContents(found, firstFriendly, friendly);
    await owner.node.stop();
  }
}

function expectState({ state }: PassAlongStatus, ...expected: readonly string[]): void {
  expect(expected).toContain(state);
}

/** They came in order, each of them once. */
function expectContents(contents: readonly number[], from: number, count: number): void {
  expect(contents).toEqual(Array.from({ length: count }, (_, index) => from + index));
}

async function expectMails(owner: Owner, count: number): Promise<void> {
  await expect.poll(() => owner.got.length).toBe(count);
}

/** Each envelope is counted once, wherever it is. */
function expectBalance({ in: taken, refused, mailboxes }: RelayStats): void {
  const refusals = Object.values(refused).reduce((sum, count) => sum + count, 0);
  expect(taken).toBe(mailboxes.passed + mailboxes.stored + mailboxes.held + refusals);
}
