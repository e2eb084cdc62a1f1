/**
 * What a relay learns of a sealed sender, though it keeps every byte that comes to it, and all that it decrypts: the recipient,
 * the size and the time, and not the author.
 */
import { type CryptoProvider, portableCryptoProvider } from "@egtp/mesgen";
import { createIdentity, type Identity, type PeerId } from "@egtp/node";
import { MemoryNetwork } from "@egtp/node/memory";
import { decodeEnvelope, defineMessage, fromHex, type PeerId as Id, peerIdToBytes } from "@egtp/wire";
import { afterEach, beforeEach, expect, test } from "vitest";
import { decodePassAlong } from "../src/protocol.ts";
import { type PeerOptions, type RelayedPeer, type RelayNode, World } from "./world.ts";

const note = defineMessage("test/note");

let world: World;
beforeEach(() => {
  world = new World();
});
afterEach(() => world.end());

/** Everything that came to the relay from a place, as it was on the wire, and as it read it. */
function seenBy({ relay, place }: RelayNode, from: string): Uint8Array[] {
  const wire = world.traffic.filter((hop) => hop.to === place && hop.from === from).map(({ envelope }) => envelope);
  return [...wire, ...relay.asked.flatMap(({ body }) => (body instanceof Uint8Array ? [body] : []))];
}

function contains(bytes: Uint8Array, part: Uint8Array): boolean {
  for (let at = 0; at + part.length <= bytes.length; at++) {
    if (part.every((byte, i) => bytes[at + i] === byte)) return true;
  }
  return false;
}

/** Whatever names an author. */
function namesOf(author: RelayedPeer, identity: Identity): Uint8Array[] {
  const epoch = fromHex(author.node.epoch);
  const text = new TextEncoder().encode(identity.peer);
  const place = new TextEncoder().encode(author.place);
  return [peerIdToBytes(identity.peer), identity.keys.publicKey, text, epoch, identity.exportSeed(), place];
}

interface Parties {
  readonly relay: RelayNode;
  readonly author: RelayedPeer;
  readonly identity: Identity;
  readonly bob: RelayedPeer;
  readonly heard: PeerId[];
}

/** The author has a relay of her own, and Bob another one, which is curious. */
async function parties(options: PeerOptions): Promise<Parties> {
  const home = await world.relay("home", { services: [] });
  const relay = await world.relay("relay", { services: [] });
  const identity = createIdentity();
  const author = await world.peer("author", { identity, relayed: { relays: [home.node.peerId] }, ...options });
  const bob = await world.peer("bob", { relayed: { relays: [relay.node.peerId] } });
  const heard: PeerId[] = [];
  bob.node.handle(note, ({ from }) => {
    heard.push(from);
  });
  return { relay, author, identity, bob, heard };
}

async function converse({ author, bob }: Parties): Promise<void> {
  author.node.handle(note, () => {});
  const body = new TextEncoder().encode("what nobody should read");
  for (let n = 0; n < 3; n++) {
    expect(await world.time.of(author.node.send(bob.node.peerId, note, body))).toEqual({ state: "delivered" });
    expect(await world.time.of(bob.node.send(author.node.peerId, note, body))).toEqual({ state: "delivered" });
  }
}

test("nothing that comes to the relay names the author, who is proven to the recipient all the same", async () => {
  const all = await parties({ sealedSender: true });
  const { relay, author, identity, bob, heard } = all;
  await converse(all);
  expect(new Set(heard)).toEqual(new Set([author.node.peerId]));
  const seen = seenBy(relay, "author");
  expect(seen.length).toBeGreaterThan(10);
  const names = namesOf(author, identity);
  for (const bytes of seen) for (const name of names) expect(contains(bytes, name)).toBe(false);
  // It was asked by somebody who is not the author, always the same, to pass along sealed envelopes to Bob.
  const passed = relay.relay.asked.filter(({ type }) => type === "relay/pass-along");
  const askers = new Set<Id>(passed.map(({ from }) => from));
  expect(askers.size).toBe(1);
  expect(askers.has(author.node.peerId)).toBe(false);
  for (const { body } of passed) {
    const { recipient, envelope } = decodePassAlong(body as Uint8Array);
    expect(recipient).toEqual(peerIdToBytes(bob.node.peerId));
    expect(decodeEnvelope(envelope).sealedSender).toBe(true);
  }
  // That one is nobody else's: it registers nowhere, publishes nothing, and cannot be found.
  const [asker] = askers;
  expect(relay.relay.asked.filter(({ type, from }) => type === "relay/register" && from === asker)).toEqual([]);
  expect(await world.lookup.lookUp(asker!)).toBeUndefined();
  expect(author.node.links().map(({ peer }) => peer)).not.toContain(relay.node.peerId);
});

test("with the portable provider as well, which the node that passes along is given, too", async () => {
  const portable = Object.assign(Object.create(portableCryptoProvider) as CryptoProvider, {
    identityFromSeed: (seed: Uint8Array) => {
      identities += 1;
      return portableCryptoProvider.identityFromSeed(seed);
    },
  });
  let identities = 0;
  const all = await parties({ sealedSender: true, crypto: portable });
  await converse(all);
  expect(new Set(all.heard)).toEqual(new Set([all.author.node.peerId]));
  expect(identities).toBe(1);
});

test("the same search finds an author who is not sealed", async () => {
  const all = await parties({});
  await converse(all);
  const [id] = namesOf(all.author, all.identity);
  expect(seenBy(all.relay, "author").some((bytes) => contains(bytes, id!))).toBe(true);
});

test("another run has another name for the relay", async () => {
  const { relay, author, identity, bob } = await parties({ sealedSender: true });
  await world.time.of(author.node.send(bob.node.peerId, note, Uint8Array.of(1)));
  await world.time.of(author.node.stop());
  const next = await world.peer("author", { identity, sealedSender: true, listen: true, relayed: { count: 0 } });
  await world.time.of(next.node.send(bob.node.peerId, note, Uint8Array.of(1)));
  const askers = new Set(relay.relay.asked.flatMap(({ type, from }) => (type === "relay/pass-along" ? [from] : [])));
  expect(askers.size).toBe(2);
});

test("a relay whose address changed is found, though the author's node only knew the old one", async () => {
  const { relay, author, bob, heard } = await parties({ sealedSender: true });
  await world.time.of(author.node.send(bob.node.peerId, note, Uint8Array.of(1)));
  const reborn = await world.killRelay(relay);
  await world.time.pass(5_000);
  await reborn();
  const options = { failFast: false, softTimeoutMs: 60_000 };
  expect(await world.time.of(author.node.send(bob.node.peerId, note, Uint8Array.of(2), options))).toEqual({
    state: "delivered",
  });
  expect(heard).toHaveLength(2);
});

test("what its own node is told by a program stays there: a relay that was only introduced is not reached", async () => {
  const relay = await world.relay("relay", { isListed: false });
  const author = await world.peer("author", { isListed: false, sealedSender: true });
  const { peer } = createIdentity();
  author.node.introduce(relay.node.peerId, [MemoryNetwork.strategy("relay")]);
  author.node.introduce(peer, [{ kind: "relay", relay: relay.node.peerId }]);
  expect(await world.time.of(author.node.send(peer, note, Uint8Array.of(1)))).toMatchObject({
    state: "unreachable",
    reasons: [{ error: { code: "EGTP_RELAY_UNREACHABLE" } }],
  });
  // Its record is enough.
  author.node.learn(relay.node.contactRecord!);
  await world.time.pass(1_000);
  expect(await world.time.of(author.node.send(peer, note, Uint8Array.of(1)))).toMatchObject({
    reasons: [{ error: { code: "EGTP_RELAY_UNREGISTERED" } }],
  });
});
