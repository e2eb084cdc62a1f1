/**
 * A client and a relay that say whatever they like in their sessions: real bodies of the relay protocol, damaged, in any order, asked
 * or unasked. They may spoil what is theirs; nobody else's.
 */
import assert from "node:assert/strict";
import { createIdentity, EgtpError } from "@egtp/node";
import { damaged } from "@egtp/test-kit/damage";
import { type FuzzRun, fuzz, someDamage } from "@egtp/test-kit/fuzz-run";
import { defineMessage, encodeBody, peerIdToBytes, signContactRecord } from "@egtp/wire";
import fc from "fast-check";
import {
  encodeAcknowledgement,
  encodeCollected,
  encodePassAlong,
  encodePassAlongStatus,
  type PublishedLimits,
  type Registration,
  registerRequest,
  writeMailId,
} from "../src/protocol.ts";
import { MemoryMailboxStore, relayServer } from "../src/server.ts";
import { envelope, Owner, passAlong } from "./relay-parties.ts";
import { SlowStore } from "./slow-store.ts";
import { World } from "./world.ts";

const kinds = ["limits", "register", "unregister", "pass-along", "message", "collect", "acknowledge"] as const;
/** Without schemas: what is said is the bytes that are said. */
const raw = Object.fromEntries(kinds.map((kind) => [kind, defineMessage(`relay/${kind}`)]));
const note = defineMessage("test/note");

const limits: PublishedLimits = {
  maxMessages: 1_000,
  maxBytes: 10_000_000,
  ttlMs: 1_000_000,
  maxEnvelopeBytes: 100_000,
  maxSenderMessages: 100,
  maxSenderBytes: 1_000_000,
  access: "open",
};
const tag = Uint8Array.from([1, 2, 3, 4, 5, 6, 7, 8]);
const runId = Uint8Array.from([8, 7, 6, 5, 4, 3, 2, 1]);

function mail(number: number, content: number, ofTag = tag): Uint8Array {
  const body = new Uint8Array(16 + envelope(content).length);
  writeMailId(ofTag, number, body, 0);
  body.set(envelope(content), 16);
  return body;
}

/** @param ofTag - Of the mailbox of whoever says it. */
function requests(others: readonly Uint8Array[], ofTag: Uint8Array): Record<string, readonly Uint8Array[]> {
  return {
    limits: [new Uint8Array(0), encodeBody({})],
    register: [
      encodeBody({ run: runId, first: true, standby: false }),
      encodeBody({ run: runId, first: false, standby: true }),
      encodeBody({ run: runId, first: false, standby: false }),
      encodeBody({ run: tag, first: true, standby: false }),
    ],
    unregister: [encodeBody({})],
    "pass-along": others.flatMap((other) => [
      encodePassAlong(other, envelope(1)),
      encodePassAlong(other, envelope(2, 3_000)),
    ]),
    collect: [0, 1, 2 ** 53 - 1].flatMap((after) =>
      [0, 100, 2 ** 53 - 1].map((maxBytes) => encodeBody({ after, maxBytes })),
    ),
    acknowledge: [[1, 2], [1, 2 ** 53 - 1], [1, 2, 3, 4, 7, 2 ** 40], []].map((ranges) =>
      encodeAcknowledgement({ tag: ofTag, ranges }),
    ),
    message: [mail(1, 1)],
  };
}

function replies(now: number): Record<string, readonly Uint8Array[]> {
  const most = 2 ** 53 - 1;
  const active = {
    state: "active",
    tag,
    limits,
    waiting: { messages: 3, bytes: 1_000 },
    replaced: false,
    gaps: false,
  } as const;
  const registrations: Registration[] = [
    active,
    { ...active, gaps: true },
    { ...active, tag: runId, waiting: { messages: most, bytes: most }, replaced: true },
    { state: "superseded" },
    { state: "refused", reason: "not-allowed" },
    { state: "refused", reason: "full" },
  ];
  return {
    limits: [encodeBody(limits), encodeBody({ ...limits, maxEnvelopeBytes: 2 ** 53 - 1 })],
    register: registrations.map(encodeBody),
    unregister: [encodeBody({})],
    "pass-along": [
      encodePassAlongStatus({ state: "passed" }, now),
      encodePassAlongStatus({ state: "stored", until: now + 1_000_000 }, now),
      encodePassAlongStatus({ state: "stored", until: 2 ** 53 - 1 }, 0),
      encodePassAlongStatus({ state: "refused", refusal: "too-fast" }, now),
      encodePassAlongStatus({ state: "refused", refusal: "mailbox-full" }, now),
    ],
    collect: [
      encodeCollected({ tag, mails: [] }),
      encodeCollected({
        tag,
        mails: [1, 2, 5, 2 ** 53 - 1].map((number) => ({ number, envelope: envelope(number % 2 ** 32) })),
      }),
      encodeCollected({ tag: runId, mails: [{ number: 3, envelope: envelope(3) }] }),
    ],
    acknowledge: [new Uint8Array(0)],
    message: [mail(1, 1), mail(2, 2), mail(7, 7), mail(2 ** 53 - 1, 8), mail(4, 9, runId), mail(5, 10, runId)],
  };
}

/** One thing said: of which kind, which of its bodies, what is done to it, and whether it is asked. */
const saying = fc.record({
  kind: fc.constantFrom(...kinds),
  body: fc.nat(),
  other: fc.nat(),
  steps: someDamage,
  asks: fc.boolean(),
  laterMs: fc.oneof(fc.constant(0), fc.nat(50), fc.nat(10_000)),
});
type Saying = typeof saying extends fc.Arbitrary<infer One> ? One : never;

function bodyOf({ kind, body, other, steps }: Saying, bodies: Record<string, readonly Uint8Array[]>): Uint8Array {
  const own = bodies[kind]!;
  const all = Object.values(bodies).flat();
  return damaged(own[body % own.length]!, all[other % all.length]!, steps);
}

/** What was said came to something, or to an error with a code. */
async function heard(promise: Promise<unknown>): Promise<void> {
  try {
    await promise;
  } catch (error) {
    assert.ok(error instanceof EgtpError, String(error));
  }
}

/** A client that says anything to a relay. */
export async function clientsSayAnything(run: FuzzRun): Promise<void> {
  await fuzz(
    fc.asyncProperty(
      fc.array(saying, { minLength: 1, maxLength: 60, size: "max" }),
      fc.boolean(),
      async (sayings, isSlow) => {
        const world = new World();
        const pause = () => new Promise<void>((resolve) => world.time.setTimer(resolve, 3));
        const server = relayServer({ store: isSlow ? new SlowStore(pause) : new MemoryMailboxStore() });
        const relay = (await world.join("relay", { parts: [server], services: ["relay"] })).node;
        const owner = new Owner((await world.join("owner")).node, relay.peerId);
        const sender = (await world.join("sender")).node;
        const liar = (await world.join("liar")).node;
        await world.time.of(owner.register());
        // It has a mailbox like any other.
        const mine = await world.time.of(
          liar.request(relay.peerId, registerRequest, { run: runId, first: true, standby: false }),
        );
        const others = [owner.node, liar].map(({ peerId }) => peerIdToBytes(peerId));
        const bodies = requests(others, mine.state === "active" ? mine.tag.slice() : tag);
        const answers: Promise<void>[] = [];
        let sent = 0;
        const honest = async () => {
          sent += 1;
          const status = await world.time.of(
            passAlong(sender, relay.peerId, owner.node.peerId, envelope(1_000_000 + sent), world.time.now()),
          );
          assert.equal(status.state, "passed");
        };
        await honest();
        for (const said of sayings) {
          const type = raw[said.kind]!;
          const body = bodyOf(said, bodies);
          answers.push(heard(said.asks ? liar.request(relay.peerId, type, body) : liar.send(relay.peerId, type, body)));
          if (said.laterMs > 0) await world.time.pass(said.laterMs);
        }
        await honest();
        await world.time.of(Promise.all(answers));
        await honest();
        // Beside what the liar had it keep.
        const own = owner.contents.filter((content) => content > 1_000_000 && content <= 1_000_000 + sent);
        assert.deepEqual(own, [1_000_001, 1_000_002, 1_000_003]);
        // And every envelope is counted, once; what was held for a mailbox that was given up, when its time is over.
        await world.time.pass(1_000);
        const { in: taken, refused, storeFailures, mailboxes } = server.stats();
        const refusals = Object.values(refused).reduce((sum, count) => sum + count, 0);
        assert.equal(taken, mailboxes.passed + mailboxes.stored + mailboxes.held + refusals);
        assert.equal(mailboxes.stored, mailboxes.delivered + mailboxes.expired + mailboxes.dropped + mailboxes.waiting);
        assert.equal(storeFailures, 0);
        await world.end();
      },
    ),
    run,
  );
}

/** A relay that answers and pushes anything to its client. */
export async function relaysSayAnything(run: FuzzRun): Promise<void> {
  await fuzz(
    fc.asyncProperty(
      fc.array(saying, { minLength: 1, maxLength: 60, size: "max" }),
      fc.boolean(),
      async (sayings, sealedSender) => {
        const world = new World();
        const { node: good } = await world.relay("good");
        const liar = (await world.join("liar", { services: ["relay"] })).node;
        const bodies = replies(world.time.now());
        let next = 0;
        const answerTo = (kind: Saying["kind"]): Uint8Array =>
          bodyOf({ ...sayings[next++ % sayings.length]!, kind }, bodies);
        for (const kind of kinds) liar.handle(raw[kind]!, () => answerTo(kind));
        const relays = [liar.peerId, good.peerId];
        const victim = await world.peer("victim", { relayed: { relays }, sealedSender });
        const friend = await world.peer("friend", { relayed: { relays: [good.peerId] } });
        // Whoever is to be reached by the liar alone.
        const third = createIdentity();
        const strategies = [{ kind: "relay" as const, relay: liar.peerId }];
        const fields = { id: third.peer, seq: 1, issued: world.time.now(), ttl: 86_400_000, services: [], gone: false };
        await world.lookup.publish(signContactRecord({ ...fields, strategies }, (message) => third.keys.sign(message)));
        const got: number[] = [];
        friend.node.handle(note, ({ body }) => void got.push(body[0]!));
        const told: Promise<unknown>[] = [];
        const sent: number[] = [];
        for (const [at, said] of sayings.entries()) {
          const body = bodyOf({ ...said, kind: "message" }, bodies);
          told.push(heard(liar.send(victim.node.peerId, raw[said.asks ? "message" : said.kind]!, body)));
          if (said.laterMs > 0) await world.time.pass(said.laterMs);
          told.push(victim.node.send(third.peer, note, Uint8Array.of(at), { timeoutMs: 60_000 }));
          if (at % 7 > 0) continue;
          sent.push(at);
          told.push(victim.node.send(friend.node.peerId, note, Uint8Array.of(at), { timeoutMs: 60_000 }));
        }
        // Receipts may go by the liar, who may say of anything that it was passed on.
        await world.time.of(Promise.all(told));
        assert.deepEqual(got, sent);
        const ofGood = victim.client.stats().registrations.find(({ relay }) => relay === good.peerId);
        assert.equal(ofGood?.state, "live");
        await world.end();
      },
    ),
    run,
  );
}
