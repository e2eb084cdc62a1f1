/** Which metatrackers keep whose record: evenly spread, and moved as little as can be. */
import { readFileSync, writeFileSync } from "node:fs";
import { defaultCryptoProvider } from "@egtp/mesgen";
import { type PeerId, peerIdFromTrustedBytes } from "@egtp/wire";
import { expect, test } from "vitest";
import { orderByNearness } from "../src/rendezvous.ts";

/** Hashes in place of keys: nothing here needs a key. */
function idOf(kind: string, number: number): PeerId {
  return peerIdFromTrustedBytes(defaultCryptoProvider.sha512(Buffer.from(`${kind} ${number}`)).subarray(0, 32));
}

const metatrackers = Array.from({ length: 10 }, (_, i) => idOf("metatracker", i));
const peers = Array.from({ length: 3_000 }, (_, i) => idOf("peer", i));
const copies = 3;
const nearest = (peer: PeerId, ring: readonly PeerId[]) => orderByNearness(peer, ring).slice(0, copies);

test("everybody finds the same ones, in whatever order they are known", () => {
  const peer = peers[0]!;
  expect(orderByNearness(peer, metatrackers.toReversed())).toEqual(orderByNearness(peer, metatrackers));
  expect(new Set(orderByNearness(peer, metatrackers))).toEqual(new Set(metatrackers));
  expect(orderByNearness(peer, [])).toEqual([]);
});

test("records are spread evenly", () => {
  const counts = new Map(metatrackers.map((id) => [id, 0]));
  for (const peer of peers) for (const id of nearest(peer, metatrackers)) counts.set(id, counts.get(id)! + 1);
  const expected = (peers.length * copies) / metatrackers.length; // 900, with a deviation of 25
  for (const count of counts.values()) expect(Math.abs(count - expected)).toBeLessThan(5 * 25);
});

test("one that leaves moves only the records that it had, one that joins only those that it gets", () => {
  const [gone, ...left] = metatrackers as [PeerId, ...PeerId[]];
  let moved = 0;
  for (const peer of peers) {
    const before = nearest(peer, metatrackers);
    const after = nearest(peer, left);
    const stayed = before.filter((id) => id !== gone);
    expect(after.slice(0, stayed.length)).toEqual(stayed);
    moved += before.length - stayed.length;
  }
  expect(moved / peers.length).toBeCloseTo(copies / metatrackers.length, 1);
});

/** Vectors for other implementations. `EGTP_WRITE_VECTORS=1` writes the file anew. */
test("the published vectors are what this code makes", () => {
  const file = new URL("../../../docs/vectors/rendezvous.json", import.meta.url);
  const few = metatrackers.slice(0, 4);
  const made = {
    about:
      "Metatrackers in the order of their nearness to peers, docs/spec.md, Metatracker. The IDs are hashes, not keys.",
    metatrackers: few,
    peers: peers.slice(0, 4).map((peer) => ({ peer, nearest: orderByNearness(peer, few) })),
  };
  if (process.env.EGTP_WRITE_VECTORS === "1") writeFileSync(file, `${JSON.stringify(made, undefined, 2)}\n`);
  expect(JSON.parse(readFileSync(file, "utf8"))).toEqual(made);
});
