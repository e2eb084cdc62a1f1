/** Secrets appear in no log, error, event or statistics. */
import { inspect } from "node:util";
import { createIdentity, identityFromSeed } from "@egtp/mesgen";
import { MemorySessionStore, SessionMaps } from "@egtp/session-store";
import { afterEach, beforeEach, expect, test } from "vitest";
import { defineMessage } from "../src/index.ts";
import { errorOf, World } from "./world.ts";

const note = defineMessage("test/note");

let world: World;
beforeEach(() => {
  world = new World();
});
afterEach(() => world.end());

/** How bytes may look in what is told: as themselves, or written down. */
function tracesOf(secret: Uint8Array): string[] {
  const bytes = Buffer.from(secret);
  return [
    bytes.toString("hex"),
    bytes.toString("base64").replace(/=+$/, ""),
    bytes.toString("base64url"),
    bytes.join(", "),
  ];
}

/** All that is told, as somebody would log it. */
function written(...told: readonly unknown[]): string {
  const plain = (_key: string, value: unknown): unknown =>
    value instanceof Error ? [value.message, value.stack, value.cause, Object.entries(value)] : value;
  return told
    .map(
      (one) =>
        `${inspect(one, { depth: null, maxArrayLength: null, showHidden: true })}\n${JSON.stringify(one, plain)}`,
    )
    .join("\n")
    .replaceAll(/\s+/g, " ");
}

const isIn = (text: string, secret: Uint8Array): boolean => tracesOf(secret).some((trace) => text.includes(trace));

test("the search finds a secret that is told", () => {
  const secret = crypto.getRandomValues(new Uint8Array(32));
  const hex = Buffer.from(secret).toString("hex");
  for (const told of [{ deep: { secret } }, new Error(`with ${hex}`), new Error("why", { cause: { hex } })]) {
    expect(isIn(written(told), secret)).toBe(true);
  }
});

test("nothing that a node tells has a secret in it", async () => {
  const seed = crypto.getRandomValues(new Uint8Array(32));
  const identity = identityFromSeed(seed);
  const store = new MemorySessionStore();
  const { node: alice, events } = await world.join("alice", { identity, store });
  const bob = await world.join("bob", {});
  bob.node.handle(note, ({ body }) => {
    if (body[0] === 1) throw new Error("no");
  });
  const outcomes = [];
  for (const first of [0, 1])
    outcomes.push(await world.time.of(alice.send(bob.node.peerId, note, Uint8Array.of(first))));
  outcomes.push(await world.time.of(alice.send(createIdentity().peer, note, Uint8Array.of(2))));
  const errors = [
    await world.time.of(errorOf(alice.request(createIdentity().peer, note, Uint8Array.of(3)))),
    await world.time.of(errorOf(alice.request(bob.node.peerId, note, Uint8Array.of(1)))),
  ];

  const text = written(
    events,
    bob.events,
    outcomes,
    errors,
    alice,
    alice.stats(),
    alice.links(),
    alice.contactRecord,
    identity,
    [...alice.sessions(bob.node.peerId)],
  );
  expect(text).toContain(identity.peer);
  expect(text.length).toBeGreaterThan(2_000);
  const maps = SessionMaps.open(store, {
    now: world.time.now(),
    random: (length) => new Uint8Array(length),
    bornWithIdentity: false,
  });
  const receiveKeys = maps.get(bob.node.peerId)!.sessions.map(({ receiveKey }) => receiveKey);
  expect(receiveKeys.length).toBeGreaterThan(0);
  for (const secret of [seed, ...receiveKeys]) expect(isIn(text, secret)).toBe(false);
});
