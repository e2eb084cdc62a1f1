/** Nodes whose outbox outlives them: restarts, kills, relays, and what goes wrong with the store. */
import { createIdentity } from "@egtp/mesgen";
import { MemorySessionStore, type SessionStore, type StoreEntry } from "@egtp/session-store";
import { defineMessage, EgtpError, type PeerId } from "@egtp/wire";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  createNode,
  type Link,
  type LinkHandlers,
  type NodeEvent,
  type NodePart,
  type SendOutcome,
  type TakeMail,
  type Transport,
} from "../src/index.ts";
import { errorOf, type JoinOptions, World, type WorldNode } from "./world.ts";

const note = defineMessage("test/note");
const echo = defineMessage("test/echo");
const relay = createIdentity().peer;
const dayMs = 24 * 3_600_000;

let world: World;
let places = 0;
beforeEach(() => {
  world = new World();
});
afterEach(() => world.end());

/** Records what comes in, with its message ID. */
function listen({ node }: WorldNode): { readonly n: number; readonly messageId: string }[] {
  const received: { n: number; messageId: string }[] = [];
  node.handle(note, ({ body, messageId }) => {
    received.push({ n: body[0]!, messageId });
  });
  return received;
}

/** `kill -9`: nothing comes from there any more. Whoever comes back has what was on disk then. */
async function kill(name: string, old: WorldNode, after: JoinOptions = {}): Promise<WorldNode> {
  const store = old.store.snapshot();
  world.network.vanish(name);
  return world.join(name, { identity: old.identity, store, ...after });
}

const keeper: JoinOptions = { keepOutbox: true };
const patient = { failFast: false, timeoutMs: dayMs } as const;

function ends({ events }: WorldNode): Extract<NodeEvent, { direction: "out" }>[] {
  return events.flatMap((event) => (event.kind === "message" && event.direction === "out" ? [event] : []));
}

describe("a send that is kept", () => {
  test("settles as kept when the node stops, and the next one with its store brings it to its end", async () => {
    const bob = createIdentity();
    const alice = await world.join("alice", keeper);
    const outcomes = [
      alice.node.send(bob.peer, note, Uint8Array.of(2), { ...patient, keep: false }),
      alice.node.send(bob.peer, note, Uint8Array.of(1), patient),
    ];
    // A request is not kept: nobody would be there for its reply.
    const asked = alice.node.request(bob.peer, echo, Uint8Array.of(3), { failFast: false });
    await world.time.pass(3_000);
    expect(alice.node.stats()).toMatchObject({ kept: 1, resumed: 0 });
    const stopped = errorOf(asked);
    await world.time.of(alice.node.stop());
    const [other, kept] = await world.time.of(Promise.all(outcomes));
    expect(kept).toEqual({ state: "kept", messageId: expect.stringContaining(alice.node.epoch) });
    expect(other).toMatchObject({ state: "unreachable" });
    expect(await stopped).toMatchObject({ code: "EGTP_NODE_STOPPED" });

    const again = await world.join("again", { ...keeper, identity: alice.identity, store: alice.store });
    expect(again.node.stats()).toMatchObject({ kept: 1, resumed: 1 });
    const bobNode = await world.join("bob", { identity: bob });
    const received = listen(bobNode);
    await world.time.run(() => ends(again).length > 0, 300_000);
    const { messageId } = kept as Extract<SendOutcome, { state: "kept" }>;
    expect(received).toEqual([{ n: 1, messageId }]);
    expect(ends(again)).toMatchObject([{ peer: bob.peer, type: "test/note", messageId, outcome: "delivered" }]);
    expect(again.node.stats()).toMatchObject({ kept: 0, resumed: 1, delivered: 1 });
    await world.time.of(again.node.stop());
    expect([...again.store.load()].filter(([key]) => key.startsWith("o:"))).toEqual([]);
  });

  test("goes on after its sender was killed, at a first contact", async () => {
    const bob = createIdentity();
    const alice = await world.join("alice", keeper);
    for (const n of [1, 2]) void alice.node.send(bob.peer, note, Uint8Array.of(n), patient);
    await world.time.pass(3_000);
    const again = await kill("alice", alice, keeper);
    const received = listen(await world.join("bob", { identity: bob }));
    await world.time.run(() => ends(again).length === 2, 300_000);
    expect(received.map(({ n }) => n)).toEqual([1, 2]);
    expect(received.map(({ messageId }) => messageId)).toEqual(ends(again).map(({ messageId }) => messageId));
    expect(received[0]!.messageId).toContain(alice.node.epoch);
  });

  test("goes on after both were killed, and is handed over once", async () => {
    const alice = await world.join("alice", keeper);
    const bob = await world.join("bob");
    listen(bob);
    await world.time.of(alice.node.send(bob.node.peerId, note, Uint8Array.of(0)));
    // Bob has it and his receipts are lost, then everybody dies.
    world.network.drop = ({ from }) => from === "bob";
    void alice.node.send(bob.node.peerId, note, Uint8Array.of(1), patient);
    await world.time.pass(3_000);
    world.network.drop = undefined;
    const alice2 = await kill("alice", alice, keeper);
    const bob2 = await kill("bob", bob);
    const received = listen(bob2);
    void alice2.node.send(bob.node.peerId, note, Uint8Array.of(2), patient);
    await world.time.run(() => ends(alice2).length === 2, 300_000);
    expect(received.map(({ n }) => n)).toEqual([2]);
    expect(ends(alice2).map(({ outcome }) => outcome)).toEqual(["delivered", "delivered"]);
  });

  test("arrives once more when its recipient lost everything before it could say that it was handled", async () => {
    const alice = await world.join("alice", keeper);
    const bob = await world.join("bob");
    listen(bob);
    await world.time.of(alice.node.send(bob.node.peerId, note, Uint8Array.of(0)));
    world.network.drop = ({ from }) => from === "bob";
    void alice.node.send(bob.node.peerId, note, Uint8Array.of(1), patient);
    await world.time.pass(3_000);
    world.network.drop = undefined;
    const alice2 = await kill("alice", alice, keeper);
    const received = listen(await kill("bob", bob, { store: new MemorySessionStore() }));
    await world.time.run(() => ends(alice2).length === 1, 300_000);
    expect(received).toEqual([{ n: 1, messageId: ends(alice2)[0]!.messageId }]);
  });

  test("expires in the next run when its time was over before", async () => {
    const alice = await world.join("alice", keeper);
    const { peer } = createIdentity();
    void alice.node.send(peer, note, Uint8Array.of(1), { failFast: false, timeoutMs: 5_000 });
    await world.time.pass(3_000);
    const store = alice.store.snapshot();
    world.network.vanish("alice");
    await world.time.pass(60_000);
    const again = await world.join("alice", { ...keeper, identity: alice.identity, store });
    await world.time.run(() => ends(again).length === 1);
    expect(ends(again)).toMatchObject([{ outcome: "expired", type: "test/note", bytes: 1 }]);
  });

  test("needs a store that keeps something", async () => {
    await expect(createNode({ identity: createIdentity(), keepOutbox: true })).rejects.toThrow(TypeError);
    const node = await createNode({ identity: createIdentity() });
    await node.start();
    const sent = node.send(createIdentity().peer, note, Uint8Array.of(1), { keep: true });
    expect(await errorOf(sent)).toBeInstanceOf(TypeError);
    await node.stop();
  });

  test("that is damaged on disk is told and left out; the others go on", async () => {
    const bob = createIdentity();
    const alice = await world.join("alice", keeper);
    for (const n of [1, 2, 3]) void alice.node.send(bob.peer, note, Uint8Array.of(n), patient);
    await world.time.pass(3_000);
    const records = [...alice.store.snapshot().load()];
    const key = records.map(([each]) => each).filter((each) => each.startsWith("o:"))[1]!;
    const store = new MemorySessionStore(
      records.map(([each, value]) => [each, each === key ? value.with(5, value[5]! ^ 1) : value]),
    );
    world.network.vanish("alice");
    const again = await world.join("alice", { ...keeper, identity: alice.identity, store });
    const received = listen(await world.join("bob", { identity: bob }));
    await world.time.run(() => ends(again).length === 2, 300_000);
    expect(received.map(({ n }) => n)).toEqual([1, 3]);
    expect(again.events).toContainEqual(expect.objectContaining({ kind: "store", state: "damaged", key }));
  });
});

/** A relay without a network: mailboxes by recipient, kept until their owners took what is in them. */
class Relay {
  readonly mailboxes = new Map<PeerId, Uint8Array[]>();
  readonly #owners = new Map<PeerId, TakeMail>();

  /** Of one node. Once it is dead nothing goes through it. */
  client(owner: PeerId): NodePart & { dead: boolean } {
    const client = {
      dead: false,
      transport: {
        kind: "relay",
        refusals: { full: 0, "source-full": 0, "wrong-target": 0, replayed: 0, "no-tag": 0 },
        serve: async (_identity, _onLink, onMail) => {
          this.#owners.set(owner, async (envelope, source) => !client.dead && onMail!(envelope, source));
          return { strategies: [{ kind: "relay", relay }], stop: async () => {} };
        },
        canDial: ({ kind }) => kind === "relay",
        dial: async (_strategy, target) => {
          if (client.dead) throw new EgtpError("EGTP_TEST_DEAD", "This client is dead");
          return new MailLink(this, target);
        },
      } satisfies Transport,
      start: async () => {
        for (const envelope of this.mailboxes.get(owner) ?? []) this.#push(owner, envelope);
      },
      stop: async () => {
        client.dead = true;
      },
    };
    return client;
  }

  take(recipient: PeerId, envelope: Uint8Array): void {
    const mailbox = this.mailboxes.get(recipient) ?? [];
    this.mailboxes.set(recipient, [...mailbox, envelope]);
    this.#push(recipient, envelope);
  }

  #push(owner: PeerId, envelope: Uint8Array): void {
    void this.#owners
      .get(owner)?.(envelope.slice(), "relay")
      .then((isTaken) => {
        const mailbox = this.mailboxes.get(owner) ?? [];
        if (isTaken)
          this.mailboxes.set(
            owner,
            mailbox.filter((each) => each !== envelope),
          );
      });
  }
}

/** Everything that goes into it is stored. */
class MailLink implements Link {
  readonly direction = "outgoing";
  readonly remote = "relay";
  readonly source = "relay";
  readonly bytesReceived = 0;
  readonly bytesSent = 0;
  readonly queuedBytes = 0;
  writable = true;
  readonly #relay: Relay;
  readonly #recipient: PeerId;
  #handlers!: LinkHandlers;

  constructor(relayIn: Relay, recipient: PeerId) {
    this.#relay = relayIn;
    this.#recipient = recipient;
  }

  start(handlers: LinkHandlers): void {
    this.#handlers = handlers;
  }
  send(envelope: Uint8Array): boolean {
    this.#relay.take(this.#recipient, envelope);
    world.time.setTimer(() => {
      if (!this.writable) return;
      this.#handlers.fate!(envelope, { state: "stored", relay, until: world.time.now() + 7 * dayMs });
    }, 50);
    return true;
  }
  authenticated(): void {}
  pause(): void {}
  resume(): void {}
  close(): void {
    if (!this.writable) return;
    this.writable = false;
    queueMicrotask(() => this.#handlers.closed({ reason: "closed", detail: undefined, error: undefined, unsent: [] }));
  }
}

describe("kept mail", () => {
  const behind = (mail: Relay, identity: ReturnType<typeof createIdentity>) => {
    const client = mail.client(identity.peer);
    return { client, options: { identity, parts: [client], listen: false } };
  };

  test("heals although its sender was killed and its recipient forgot everything", async () => {
    const mail = new Relay();
    const ofAlice = behind(mail, createIdentity());
    const ofBob = behind(mail, createIdentity());
    const alice = await world.join("alice", { ...keeper, ...ofAlice.options });
    const bob = await world.join("bob", ofBob.options);
    const { peerId } = bob.node;
    const first = listen(bob);
    await world.time.of(alice.node.send(peerId, note, Uint8Array.of(0)));
    await world.time.run(() => first.length === 1 && mail.mailboxes.get(peerId)!.length === 0);
    await world.time.pass(60_000);

    // Bob is away; two messages are left for him under sessions that he will have forgotten.
    ofBob.client.dead = true;
    world.network.vanish("bob");
    const sent = [1, 2].map((n) => alice.node.send(peerId, note, Uint8Array.of(n)));
    const outcomes = await world.time.of(Promise.all(sent));
    expect(outcomes).toMatchObject([{ state: "stored" }, { state: "stored" }]);
    await world.time.pass(10_000);
    ofAlice.client.dead = true;
    const store = alice.store.snapshot();
    world.network.vanish("alice");
    const alice2 = behind(mail, alice.identity);
    const next = await world.join("alice", { ...keeper, ...alice2.options, store });
    expect(next.node.stats()).toMatchObject({ resumed: 2, kept: 2 });

    // As long as nobody hears of Bob nothing of it is sent again; each run asks after it a few times.
    const waiting = mail.mailboxes.get(peerId)!.length;
    await world.time.pass(dayMs);
    expect(mail.mailboxes.get(peerId)!.length).toBeLessThanOrEqual(waiting + 2 * 8);

    const bob2 = behind(mail, bob.identity);
    const reborn = await world.join("bob", { ...bob2.options, store: new MemorySessionStore() });
    const received = listen(reborn);
    await world.time.run(() => ends(next).length === 2, 600_000);
    const ids = outcomes.map((outcome) => (outcome as Extract<SendOutcome, { state: "stored" }>).messageId);
    expect(received).toEqual([
      { n: 1, messageId: ids[0] },
      { n: 2, messageId: ids[1] },
    ]);
    expect(ends(next)).toMatchObject(ids.map((messageId) => ({ messageId, outcome: "delivered" })));
    expect(mail.mailboxes.get(peerId)).toEqual([]);
  });

  test("may have its bytes changed by its sender once it settled as stored", async () => {
    const mail = new Relay();
    const ofAlice = behind(mail, createIdentity());
    const ofBob = behind(mail, createIdentity());
    const alice = await world.join("alice", { ...keeper, ...ofAlice.options });
    alice.node.introduce(ofBob.options.identity.peer, [{ kind: "relay", relay }]);
    for (const keep of [true, false]) {
      const body = Uint8Array.of(7);
      const { peer } = ofBob.options.identity;
      expect(await world.time.of(alice.node.send(peer, note, body, { keep }))).toMatchObject({ state: "stored" });
      body.fill(99);
    }
    // The relay loses its mail; Bob makes himself heard.
    mail.mailboxes.clear();
    const bob = await world.join("bob", ofBob.options);
    const received = listen(bob);
    void bob.node.send(alice.node.peerId, note, Uint8Array.of(1));
    await world.time.run(() => received.length === 2, 600_000);
    expect(received.map(({ n }) => n)).toEqual([7, 7]);
  });
});

/** Keeps batches after a while, if it may. */
class FailingStore implements SessionStore {
  readonly kept = new MemorySessionStore();
  fails = false;

  load(): Iterable<readonly [string, Uint8Array]> {
    return this.kept.load();
  }

  write(batch: readonly StoreEntry[]): Promise<void> {
    return new Promise((resolve, reject) => {
      world.time.setTimer(() => {
        if (this.fails) reject(new Error("the disk is full"));
        else {
          this.kept.write(batch);
          resolve();
        }
      }, 20);
    });
  }

  async close(): Promise<void> {}
}

describe("a store that fails", () => {
  async function aliceWith(store: FailingStore, mail: Relay) {
    const identity = createIdentity();
    const node = await createNode({
      identity,
      sessions: store,
      keepOutbox: true,
      transports: [world.network.transport(`failing-${++places}`)],
      parts: [mail.client(identity.peer)],
      schedule: world.time,
    });
    await world.time.of(node.start());
    return node;
  }

  test("lets nothing be told as stored that the next run would not know", async () => {
    const store = new FailingStore();
    const mail = new Relay();
    const node = await aliceWith(store, mail);
    const { peer } = createIdentity();
    node.introduce(peer, [{ kind: "relay", relay }]);
    store.fails = true;
    let outcome: SendOutcome | undefined;
    void node.send(peer, note, Uint8Array.of(1), { timeoutMs: dayMs }).then((settled) => {
      outcome = settled;
    });
    await world.time.pass(4_000);
    expect(mail.mailboxes.get(peer)).toHaveLength(1);
    expect(outcome).toBeUndefined();
    store.fails = false;
    await world.time.run(() => outcome !== undefined, 10_000);
    expect(outcome).toMatchObject({ state: "stored", relay });
    expect([...store.kept.load()].some(([key]) => key.startsWith("o:"))).toBe(true);
    await world.time.of(node.stop());
  });

  test("lets nothing be told as kept when the node stops", async () => {
    const store = new FailingStore();
    const node = await aliceWith(store, new Relay());
    store.fails = true;
    const outcome = node.send(createIdentity().peer, note, Uint8Array.of(1), patient);
    await world.time.pass(100);
    const stopped = errorOf(node.stop());
    expect(await world.time.of(outcome)).toMatchObject({ state: "unreachable" });
    expect(await world.time.of(stopped)).toMatchObject({ message: "the disk is full" });
  });
});
