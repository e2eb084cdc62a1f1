/** A relay that says to pass on, or to keep, and throws away: what another relay carries is not withheld by it. */
import { defineMessage, type Millis, type PeerId, peerIdBytes, peerIdFromBytes } from "@egtp/wire";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Asked } from "./watched-relay.ts";
import { type RelayedPeer, type RelayNode, World } from "./world.ts";

const note = defineMessage("test/note");
const echo = defineMessage("test/echo");
const secondMs = 1_000;

let world: World;
beforeEach(() => {
  world = new World();
});
afterEach(() => world.end());

const lies = {
  passed: Uint8Array.of(0),
  /** For a day. */
  stored: Uint8Array.of(1, 0, 0, 0, 0, 5, 38, 92, 0),
} as const;

/** From now on it says so of everything that it is given for a peer, or for anybody. */
function lie({ relay }: RelayNode, says: keyof typeof lies, about?: RelayedPeer): void {
  relay.answer = ({ type, body }: Asked) => {
    if (type !== "relay/pass-along") return undefined;
    const to = peerIdFromBytes((body as Uint8Array).subarray(0, peerIdBytes));
    return about === undefined || to === about.node.peerId ? lies[says] : undefined;
  };
}

interface Town {
  readonly relays: readonly [RelayNode, RelayNode];
  readonly alice: RelayedPeer;
  readonly bob: RelayedPeer;
  /** What bob was handed. */
  readonly heard: number[];
}

/** Two peers behind two relays, who prefer the first. */
async function town(count = 2): Promise<Town> {
  const relays = [await world.relay("one"), await world.relay("two")] as const;
  const relayed = { relays: relays.slice(0, count).map(({ node }): PeerId => node.peerId) };
  const [alice, bob] = [await world.peer("alice", { relayed }), await world.peer("bob", { relayed })];
  const heard: number[] = [];
  for (const { node } of [alice, bob]) {
    node.handle(note, ({ body }) => {
      heard.push(body[0]!);
    });
    node.handle(echo, ({ body }) => body);
  }
  await world.time.pass(5 * secondMs);
  return { relays, alice, bob, heard };
}

const patient = { failFast: false, timeoutMs: 24 * 3_600_000, softTimeoutMs: 24 * 3_600_000 } as const;

/** How long a note takes until its sender knows that it was handled. */
async function timeOf(from: RelayedPeer, to: RelayedPeer, number: number): Promise<Millis> {
  const begun = world.time.now();
  const outcome = await world.time.of(from.node.send(to.node.peerId, note, Uint8Array.of(number), patient));
  expect(outcome.state).toBe("delivered");
  return world.time.now() - begun;
}

const givenTo = ({ relay }: RelayNode): number => relay.count("pass-along");

describe.each([
  ["passed", 8 * secondMs],
  ["stored", 12 * secondMs],
] as const)("P1: a relay that says %s and throws away", (says, withinMs) => {
  test("what goes by it leaves by another before a request gives up, and what follows goes there at once", async () => {
    const { relays, alice, bob, heard } = await town();
    lie(relays[0], says);
    expect(await timeOf(alice, bob, 1)).toBeLessThan(withinMs);
    const before = givenTo(relays[0]);
    expect(await timeOf(alice, bob, 2)).toBeLessThan(secondMs);
    expect(await timeOf(bob, alice, 3)).toBeLessThan(withinMs);
    expect(await world.time.of(alice.node.request(bob.node.peerId, echo, Uint8Array.of(4)))).toEqual(Uint8Array.of(4));
    expect(heard).toEqual([1, 2, 3]);
    // Bob's first answers may have gone there, nothing of alice's.
    expect(givenTo(relays[0]) - before).toBeLessThan(8);
  });

  test("receipts too: a peer that only receives tells them by another relay", async () => {
    const { relays, alice, bob, heard } = await town();
    lie(relays[0], says, alice);
    expect(await timeOf(alice, bob, 1)).toBeLessThan(withinMs);
    expect(await timeOf(alice, bob, 2)).toBeLessThan(secondMs);
    expect(heard).toEqual([1, 2]);
  });

  test("though they talked by it for long before", async () => {
    const { relays, alice, bob, heard } = await town();
    for (let i = 0; i < 10; i++) expect(await timeOf(alice, bob, i)).toBeLessThan(secondMs);
    lie(relays[0], says);
    expect(await timeOf(alice, bob, 10)).toBeLessThan(withinMs);
    expect(heard).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  });

  test("whichever of the two it is, and whoever it lies about: each message arrives once", async () => {
    const { relays, alice, bob, heard } = await town();
    for (const [at, about] of [
      [0, alice],
      [1, bob],
      [1, alice],
      [0, bob],
    ] as const) {
      lie(relays[at]!, says, about);
      relays[1 - at]!.relay.answer = undefined;
      heard.length = 0;
      for (let i = 0; i < 3; i++) {
        await timeOf(alice, bob, i);
        await timeOf(bob, alice, i + 10);
      }
      expect(heard).toEqual([0, 10, 1, 11, 2, 12]);
    }
  });

  test("and another that does so too, each about one of the two peers: what is left of both carries all", async () => {
    const { relays, alice, bob, heard } = await town();
    lie(relays[0], says, alice);
    lie(relays[1], says, bob);
    for (let i = 0; i < 3; i++) {
      await timeOf(alice, bob, i);
      await timeOf(bob, alice, i + 10);
    }
    expect(heard).toEqual([0, 10, 1, 11, 2, 12]);
  });

  test("is not given up when it is the only one: what it carries from then on arrives", async () => {
    const { relays, alice, bob, heard } = await town(1);
    lie(relays[0], says);
    const outcome = alice.node.send(bob.node.peerId, note, Uint8Array.of(1), patient);
    await world.time.pass(60 * secondMs);
    expect(heard).toEqual([]);
    relays[0].relay.answer = undefined;
    expect((await world.time.of(outcome)).state).toBe("delivered");
    expect(heard).toEqual([1]);
  });
});

test("a peer that is away is asked after its mail a few times, and nothing of it is left twice", async () => {
  const { relays, alice, bob } = await town();
  await timeOf(alice, bob, 1);
  await world.kill(bob);
  const before = relays.map(givenTo);
  for (let i = 0; i < 10; i++) await world.time.of(alice.node.send(bob.node.peerId, note, new Uint8Array(1_000)));
  await world.time.pass(20 * 60 * secondMs);
  const letters = relays.flatMap(({ relay }, at) =>
    relay.asked.filter(({ type }) => type === "relay/pass-along").slice(before[at]),
  );
  expect(letters.filter(({ body }) => (body as Uint8Array).length > 1_000)).toHaveLength(10);
  expect(letters.length).toBeLessThanOrEqual(10 + 8);
});
