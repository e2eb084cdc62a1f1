/** The directory: only what its peer signed, the higher number wins, nothing beyond its time. */
import { defaultCryptoProvider } from "@egtp/mesgen";
import { createIdentity, type Identity } from "@egtp/node";
import {
  type ContactRecord,
  maxClockSkewMs,
  maxContactRecordBytes,
  signContactRecord,
  type VerifySignature,
  verifyContactRecord,
} from "@egtp/wire";
import fc from "fast-check";
import { beforeEach, describe, expect, test } from "vitest";
import type { DirectoryStore } from "../src/directory-store.ts";
import { Directory, MemoryDirectoryStore } from "../src/server.ts";

const now = 1_800_000_000_000;
const alice = createIdentity();
const bob = createIdentity();

function sign(identity: Identity, fields: Partial<ContactRecord> = {}): Uint8Array {
  return signContactRecord(
    {
      id: identity.peer,
      seq: 1,
      issued: now,
      ttl: 60_000,
      strategies: fields.gone === true ? [] : [{ kind: "tcp", host: "192.0.2.1", port: 4_000 }],
      services: [],
      gone: false,
      ...fields,
    },
    (message) => identity.keys.sign(message),
  );
}

/** A store whose every answer is a promise, as that of one that is shared. */
function later(store: DirectoryStore): DirectoryStore {
  return {
    kind: "later",
    get size() {
      return store.size;
    },
    get: async (peer) => store.get(peer),
    put: async (record) => store.put(record),
    offering: async (service, max, at) => store.offering(service, max, at),
    expire: async (at) => store.expire(at),
    close: () => store.close(),
  };
}

describe.each([
  ["that answers at once", (store: DirectoryStore) => store],
  ["that answers later", later],
])("over a store %s", (_, wrap) => {
  let verified = 0;
  let directory: Directory;
  beforeEach(() => {
    verified = 0;
    const verify: VerifySignature = (key, message, signature) => {
      verified += 1;
      return defaultCryptoProvider.verify(key, message, signature);
    };
    directory = new Directory({ store: wrap(new MemoryDirectoryStore()), verify });
  });
  const hello = async (identity: Identity, record: Uint8Array, at = now) =>
    directory.publish("hello", record, identity.peer, at);
  const goodbye = async (identity: Identity, record: Uint8Array, at = now) =>
    directory.publish("goodbye", record, identity.peer, at);

  test("what a peer publishes is found, byte for byte", async () => {
    expect(await directory.lookUp(alice.peer, now)).toBeUndefined();
    const record = sign(alice);
    expect(await hello(alice, record)).toEqual({ state: "kept" });
    record.fill(0); // was only borrowed
    expect(await directory.lookUp(alice.peer, now)).toEqual(sign(alice));
    expect(await directory.lookUp(bob.peer, now)).toBeUndefined();
  });

  test("the higher number wins, and whoever brings a lower one gets the higher", async () => {
    const second = sign(alice, { seq: 2 });
    await hello(alice, second);
    expect(await hello(alice, sign(alice, { seq: 1 }))).toEqual({ state: "older", record: second });
    expect(await hello(alice, sign(alice, { seq: 2, ttl: 50_000 }))).toEqual({ state: "older", record: second });
    const third = sign(alice, { seq: 3 });
    expect(await hello(alice, third)).toEqual({ state: "kept" });
    expect(await directory.lookUp(alice.peer, now)).toEqual(third);
  });

  test("what is kept already is brought again without a signature to check", async () => {
    await hello(alice, sign(alice));
    expect(verified).toBe(1);
    for (let i = 0; i < 10; i++) expect(await hello(alice, sign(alice))).toEqual({ state: "kept" });
    expect(verified).toBe(1);
    expect(await hello(alice, sign(alice), now + 60_000)).toEqual({ state: "refused", reason: "expired" });
  });

  test("a goodbye takes the place of the record, and is what is found", async () => {
    await hello(alice, sign(alice, { services: ["relay"] }));
    const farewell = sign(alice, { seq: 2, gone: true });
    expect(await goodbye(alice, farewell)).toEqual({ state: "kept" });
    expect(await directory.lookUp(alice.peer, now)).toEqual(farewell);
    expect(await directory.list("relay", 16, now)).toEqual([]);
    expect(await hello(alice, sign(alice))).toEqual({ state: "older", record: farewell });
  });

  test("a goodbye outlives what it replaced, so that this cannot come back", async () => {
    await hello(alice, sign(alice, { ttl: 50_000 }));
    const farewell = sign(alice, { seq: 2, gone: true, ttl: 1_000 });
    await goodbye(alice, farewell);
    const late = now + 20_000;
    await directory.sweep(late);
    expect(await directory.lookUp(alice.peer, late)).toBeUndefined();
    expect(await hello(alice, sign(alice, { ttl: 50_000 }), late)).toEqual({ state: "older", record: farewell });
    expect(await directory.sweep(now + 49_999)).toBe(0);
    expect(await directory.sweep(now + 50_000)).toBe(1);
    expect(await directory.knows(alice.peer)).toBe(false);
  });

  test("what is out of date is not given out, whether it was swept or not", async () => {
    await hello(alice, sign(alice, { services: ["relay"] }));
    expect(await directory.lookUp(alice.peer, now + 59_999)).toBeDefined();
    expect(await directory.lookUp(alice.peer, now + 60_000)).toBeUndefined();
    expect(await directory.list("relay", 16, now + 59_999)).toHaveLength(1);
    expect(await directory.list("relay", 16, now + 60_000)).toEqual([]);
  });

  test("names those that offer a service", async () => {
    const relays = Array.from({ length: 20 }, () => createIdentity());
    for (const relay of relays) await hello(relay, sign(relay, { services: ["relay", "relay"] }));
    await hello(alice, sign(alice, { services: ["metatracker"] }));
    const found = await directory.list("relay", 16, now);
    const peers = new Set(found.map((bytes) => verifyContactRecord(bytes, now).id));
    expect(peers.size).toBe(16);
    expect(peers.has(alice.peer)).toBe(false);
  });

  test("refuses what is not to be kept, with the reason, and keeps what it had", async () => {
    const before = sign(alice);
    await hello(alice, before);
    const forged = sign(alice, { seq: 2 });
    forged[70]! ^= 1;
    const byAnother = signContactRecord(verifyContactRecord(sign(alice, { seq: 2 }), now), (m) => bob.keys.sign(m));
    const cases: [record: Uint8Array, reason: string][] = [
      [new Uint8Array(0), "invalid"],
      [new Uint8Array(64), "invalid"],
      [new Uint8Array(maxContactRecordBytes + 1), "invalid"],
      [forged, "invalid"],
      [byAnother, "invalid"],
      [Uint8Array.of(...sign(alice, { seq: 2 }), 0), "invalid"],
      [sign(alice, { seq: 2, gone: true }), "invalid"], // a goodbye in a hello
      [sign(alice, { seq: 2, issued: now - 60_000 }), "expired"],
      [sign(alice, { seq: 2, issued: now + maxClockSkewMs + 1 }), "not-yet-valid"],
      [sign(bob), "not-yours"],
    ];
    for (const [record, reason] of cases) expect(await hello(alice, record)).toEqual({ state: "refused", reason });
    expect(await goodbye(alice, sign(alice, { seq: 2 }))).toEqual({ state: "refused", reason: "invalid" });
    expect(await directory.lookUp(alice.peer, now)).toEqual(before);
    expect(await directory.lookUp(bob.peer, now)).toBeUndefined();
  });

  test("any bytes are refused or kept, never anything else", async () => {
    const genuine = sign(alice, { seq: 7 });
    const mixed = fc.oneof(
      fc.uint8Array({ maxLength: 1_200 }),
      fc.tuple(fc.nat(genuine.length - 1), fc.integer({ min: 1, max: 255 })).map(([at, change]) => {
        const bytes = genuine.slice();
        bytes[at]! ^= change;
        return bytes;
      }),
    );
    await fc.assert(
      fc.asyncProperty(mixed, async (bytes) => {
        expect(await hello(alice, bytes)).toMatchObject({ state: "refused" });
      }),
      { numRuns: 200 },
    );
    expect(await directory.knows(alice.peer)).toBe(false);
  });
});

test("what a store cannot keep is not said to be kept", async () => {
  const store = new MemoryDirectoryStore();
  const directory = new Directory({ store });
  await store.close();
  expect(() => directory.publish("hello", sign(alice), alice.peer, now)).toThrow(
    expect.objectContaining({ code: "EGTP_DIRECTORY_CLOSED" }),
  );
});
