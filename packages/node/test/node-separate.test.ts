/** Several nodes in one process share nothing, and nothing on the wire ties them to each other (rule R8). */
import { defineMessage, toHex } from "@egtp/wire";
import { afterEach, beforeEach, expect, test } from "vitest";
import { World } from "./world.ts";

const note = defineMessage("test/note");

let world: World;
beforeEach(() => {
  world = new World();
});
afterEach(() => world.end());

test("R8: two identities of one process talk to one peer over links, sessions and epochs of their own", async () => {
  const bob = await world.join("bob");
  const one = await world.join("one");
  const two = await world.join("two");
  const heard = new Map<string, number[]>();
  bob.node.handle(note, ({ from, body }) => {
    heard.set(from, [...(heard.get(from) ?? []), body[0]!]);
  });
  for (const [index, { node }] of [one, two].entries()) {
    for (let i = 0; i < 3; i++) {
      await world.time.of(node.send(bob.node.peerId, note, Uint8Array.of(10 * index + i)));
    }
  }
  expect(heard.get(one.node.peerId)).toEqual([0, 1, 2]);
  expect(heard.get(two.node.peerId)).toEqual([10, 11, 12]);
  expect(one.node.epoch).not.toBe(two.node.epoch);
  expect(bob.node.links()).toHaveLength(2);

  // No run of eight bytes of what one said stands in what the other said, but where both name Bob's epoch or type names.
  const said = (name: string): Set<string> => {
    const runs = new Set<string>();
    for (const { from, envelope } of world.traffic) {
      if (from !== name) continue;
      const hex = toHex(envelope);
      for (let at = 0; at + 16 <= hex.length; at += 2) runs.add(hex.slice(at, at + 16));
    }
    return runs;
  };
  const ofOne = said("one");
  const zeros = "0".repeat(16);
  const common = [...said("two")].filter((run) => ofOne.has(run) && !run.includes("000000000"));
  expect(common.filter((run) => run !== zeros)).toEqual([]);
});

test("with sealed senders not even the peers' IDs stand on the wire", async () => {
  const bob = await world.join("bob", { sealedSender: true });
  const one = await world.join("one", { sealedSender: true });
  bob.node.handle(note, () => {});
  expect(await world.time.of(one.node.send(bob.node.peerId, note, Uint8Array.of(1)))).toEqual({ state: "delivered" });
  expect(await world.time.of(one.node.send(bob.node.peerId, note, Uint8Array.of(2)))).toEqual({ state: "delivered" });
  const ids = [one, bob].map(({ identity }) => toHex(identity.keys.publicKey));
  for (const { envelope } of world.traffic) {
    for (const id of ids) expect(toHex(envelope)).not.toContain(id);
  }
});

test("stopping one leaves the other", async () => {
  const bob = await world.join("bob");
  bob.node.handle(note, () => {});
  const one = await world.join("one");
  const two = await world.join("two");
  await world.time.of(one.node.send(bob.node.peerId, note, Uint8Array.of(1)));
  await world.time.of(two.node.send(bob.node.peerId, note, Uint8Array.of(1)));
  await world.time.of(one.node.stop());
  expect(await world.time.of(two.node.send(bob.node.peerId, note, Uint8Array.of(2)))).toEqual({ state: "delivered" });
});
