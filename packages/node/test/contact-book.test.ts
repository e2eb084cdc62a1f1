import { createIdentity, defaultCryptoProvider, type Identity } from "@egtp/mesgen";
import { type ContactRecord, signContactRecord } from "@egtp/wire";
import { describe, expect, test } from "vitest";
import { ContactBook } from "../src/contact-book.ts";

const now = 1_800_000_000_000;
const [alice, bob, carol] = [createIdentity(), createIdentity(), createIdentity()];

function record(identity: Identity, fields: Partial<ContactRecord> = {}): Uint8Array {
  const plain = { id: identity.peer, seq: 1, issued: now, ttl: 60_000, strategies: [], services: [], gone: false };
  return signContactRecord({ ...plain, ...fields }, (message) => identity.keys.sign(message));
}

const book = (max = 10): ContactBook =>
  new ContactBook(max, (key, message, signature) => defaultCryptoProvider.verify(key, message, signature));

describe("the contact records that a node knows", () => {
  test("are the newest of each peer, and the first of equals", () => {
    const contacts = book();
    const news: number[] = [];
    contacts.onNews = ({ seq }) => news.push(seq);
    for (const seq of [2, 1, 3]) contacts.learn(record(alice, { seq }), alice.peer, now);
    expect(contacts.learn(record(alice, { seq: 3, services: ["relay"] }), alice.peer, now).services).toEqual([]);
    expect(news).toEqual([2, 3]);
    expect(contacts.get(alice.peer, now)?.seq).toBe(3);
  });

  test("do not take the record of another peer for that of the one that was asked for", () => {
    const contacts = book();
    expect(() => contacts.learn(record(bob), alice.peer, now)).toThrow(
      expect.objectContaining({ code: "EGTP_WIRE_BAD_RECORD" }),
    );
    expect([contacts.get(alice.peer, now), contacts.get(bob.peer, now)]).toEqual([undefined, undefined]);
  });

  test("are forgotten when they are out of date", () => {
    const contacts = book();
    contacts.learn(record(alice), alice.peer, now);
    expect(contacts.bytes(alice.peer, now + 59_999)).toEqual(record(alice));
    expect(contacts.get(alice.peer, now + 60_000)).toBeUndefined();
  });

  test("P5: are so many at most, those that were used last", () => {
    const contacts = book(2);
    for (const identity of [alice, bob]) contacts.learn(record(identity), undefined, now);
    contacts.get(alice.peer, now);
    contacts.learn(record(carol), undefined, now);
    const known = [alice, bob, carol].map(({ peer }) => contacts.get(peer, now) !== undefined);
    expect(known).toEqual([true, false, true]);
  });

  test("are kept in memory of their own", () => {
    const contacts = book();
    const bytes = record(alice);
    contacts.learn(bytes, alice.peer, now);
    bytes.fill(0);
    expect(contacts.bytes(alice.peer, now)).toEqual(record(alice));
  });
});
