/** Contact records: signed, bounded, valid for a time; and that any bytes give a record or a WireError. */
import { createPublicKey, verify as nodeVerify } from "node:crypto";
import fc from "fast-check";
import nacl from "tweetnacl";
import { describe, expect, it } from "vitest";
import {
  type ContactRecord,
  concatBytes,
  encodeBody,
  encodeUtf8,
  maxClockSkewMs,
  maxContactRecordBytes,
  maxContactRecordTtlMs,
  peerIdFromBytes,
  peerIdToBytes,
  type Strategy,
  signContactRecord,
  toHex,
  type VerifySignature,
  verifyContactRecord,
} from "../src/index.ts";
import { bitFlips, codeOf, cuts, valueOrWireError } from "./support.ts";

const keys = nacl.sign.keyPair.fromSeed(new Uint8Array(32).fill(1));
const otherKeys = nacl.sign.keyPair.fromSeed(new Uint8Array(32).fill(2));
const sign = (message: Uint8Array) => nacl.sign.detached(message, keys.secretKey);
const relay = peerIdFromBytes(otherKeys.publicKey);
const now = 1_700_000_000_000;

const full: ContactRecord = {
  id: peerIdFromBytes(keys.publicKey),
  seq: 12,
  issued: now,
  ttl: 3_600_000,
  strategies: [
    { kind: "tcp", host: "192.0.2.7", port: 4000 },
    { kind: "tcp", host: "2001:db8::7", port: 1 },
    { kind: "tcp", host: "peer.example.org", port: 65_535 },
    { kind: "websocket", url: "wss://peer.example.org:8443/egtp?x=1" },
    { kind: "relay", relay },
    { kind: "x-unix", address: "/run/egtp peer.sock" },
  ],
  services: ["relay", "metatracker/2"],
  gone: false,
};
const goodbye: ContactRecord = { ...full, seq: 13, strategies: [], services: [], gone: true };

/** Faster than the portable verifier, for tests that verify often. */
const fastVerify: VerifySignature = (publicKey, message, signature) => {
  const x = Buffer.from(publicKey).toString("base64url");
  return nodeVerify(
    null,
    message,
    createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x }, format: "jwk" }),
    signature,
  );
};

/** A signed record with a payload of our making. */
function signed(payload: unknown): Uint8Array {
  const bytes = encodeBody(payload);
  return concatBytes(sign(concatBytes(encodeUtf8("egtp contact record 1\0"), bytes)), bytes);
}

const plain = { id: keys.publicKey, seq: 1, issued: now, ttl: 1_000, strategies: [], services: [] };
const refuse = (payload: unknown) => codeOf(() => verifyContactRecord(signed(payload), now, fastVerify));

describe("a contact record", () => {
  it.each([
    ["with everything", full],
    ["of a peer that says goodbye", goodbye],
    ["with nothing", { ...full, seq: 0, strategies: [], services: [] }],
  ])("%s comes back as it was signed", (_, record) => {
    expect(verifyContactRecord(signContactRecord(record, sign), now)).toEqual(record);
  });

  it("has the layout that the specification says", () => {
    const bytes = signContactRecord(goodbye, sign);
    const id = `58${"20"}${toHex(keys.publicKey)}`;
    const fields = `626964${id}637365710d6374746c1a0036ee8064676f6e65f5666973737565641b0000018bcfe56800`;
    const payload = `a7${fields}687365727669636573806a7374726174656769657380`;
    expect(toHex(bytes.subarray(64))).toBe(payload);
    const message = concatBytes(encodeUtf8("egtp contact record 1\0"), bytes.subarray(64));
    expect(toHex(bytes.subarray(0, 64))).toBe(toHex(sign(message)));
  });

  it("is valid from a day before it was issued until its time is over", () => {
    const bytes = signContactRecord(full, sign);
    const at = (instant: number) => verifyContactRecord(bytes, instant, fastVerify);
    expect(at(now + full.ttl - 1)).toEqual(full);
    expect(at(now - maxClockSkewMs)).toEqual(full);
    expect(codeOf(() => at(now + full.ttl))).toBe("EGTP_WIRE_EXPIRED");
    expect(codeOf(() => at(now - maxClockSkewMs - 1))).toBe("EGTP_WIRE_NOT_YET_VALID");
    expect(verifyContactRecord(bytes, undefined, fastVerify)).toEqual(full);
  });

  it("is signed by the peer that it names, for this purpose", () => {
    const byAnother = (message: Uint8Array) => nacl.sign.detached(message, otherKeys.secretKey);
    expect(codeOf(() => verifyContactRecord(signContactRecord(full, byAnother), now))).toBe("EGTP_WIRE_BAD_SIGNATURE");
    const payload = encodeBody(plain);
    const withoutDomain = concatBytes(sign(payload), payload);
    expect(codeOf(() => verifyContactRecord(withoutDomain, now, fastVerify))).toBe("EGTP_WIRE_BAD_SIGNATURE");
  });

  it("is refused by the verifier that it is given", () => {
    expect(codeOf(() => verifyContactRecord(signContactRecord(full, sign), now, () => false))).toBe(
      "EGTP_WIRE_BAD_SIGNATURE",
    );
  });

  it("is at most 1,024 bytes", () => {
    const url = (length: number): Strategy => ({ kind: "websocket", url: `ws://a/${"b".repeat(length)}` });
    const sizeOf = (length: number) => signContactRecord({ ...full, strategies: [url(length)] }, sign).length;
    const longest = 300 + (maxContactRecordBytes - sizeOf(300));
    expect(sizeOf(longest)).toBe(maxContactRecordBytes);
    expect(codeOf(() => sizeOf(longest + 1))).toBe("EGTP_WIRE_TOO_LARGE");
    const large = new Uint8Array(maxContactRecordBytes + 1);
    expect(codeOf(() => verifyContactRecord(large, now))).toBe("EGTP_WIRE_TOO_LARGE");
  });

  it("may hold fields and strategies of a later version", () => {
    const strategies = [
      { kind: "pigeon", coop: 4 },
      { kind: "tcp", host: "h", port: 7, weight: 3 },
    ];
    expect(verifyContactRecord(signed({ ...plain, strategies, mood: "fine" }), now, fastVerify)).toEqual({
      ...full,
      seq: 1,
      ttl: 1_000,
      strategies: [{ kind: "tcp", host: "h", port: 7 }],
      services: [],
    });
  });
});

describe("what is refused", () => {
  it.each([
    ["no map", [1]],
    ["bytes", new Uint8Array(3)],
    ["null", null],
    ["no ID", { ...plain, id: undefined }],
    ["an ID that is text", { ...plain, id: full.id }],
    ["an ID that is not on the curve", { ...plain, id: new Uint8Array(32).fill(2) }],
    ["an ID of 31 bytes", { ...plain, id: keys.publicKey.slice(1) }],
    ["a negative seq", { ...plain, seq: -1 }],
    ["a seq with a fraction", { ...plain, seq: 1.5 }],
    ["a seq that is a bigint", { ...plain, seq: 1n }],
    ["no issued", { ...plain, issued: undefined }],
    ["an issued that is a date", { ...plain, issued: new Date(now) }],
    ["an issued at the end of numbers", { ...plain, issued: Number.MAX_SAFE_INTEGER }],
    ["a ttl of zero", { ...plain, ttl: 0 }],
    ["a ttl that is too long", { ...plain, ttl: maxContactRecordTtlMs + 1 }],
    ["strategies that are no array", { ...plain, strategies: {} }],
    ["no strategies", { ...plain, strategies: undefined }],
    ["17 strategies", { ...plain, strategies: Array(17).fill({ kind: "x" }) }],
    ["a strategy that is text", { ...plain, strategies: ["tcp"] }],
    ["a strategy without kind", { ...plain, strategies: [{ host: "h", port: 1 }] }],
    ["a host with a space", { ...plain, strategies: [{ kind: "tcp", host: "a b", port: 1 }] }],
    ["an empty host", { ...plain, strategies: [{ kind: "tcp", host: "", port: 1 }] }],
    ["a host of 254 bytes", { ...plain, strategies: [{ kind: "tcp", host: "h".repeat(254), port: 1 }] }],
    ["a host with a line break", { ...plain, strategies: [{ kind: "tcp", host: "h\n", port: 1 }] }],
    ["port 0", { ...plain, strategies: [{ kind: "tcp", host: "h", port: 0 }] }],
    ["port 65,536", { ...plain, strategies: [{ kind: "tcp", host: "h", port: 65_536 }] }],
    ["a port that is text", { ...plain, strategies: [{ kind: "tcp", host: "h", port: "1" }] }],
    ["an http URL", { ...plain, strategies: [{ kind: "websocket", url: "http://h/" }] }],
    ["a URL with a user", { ...plain, strategies: [{ kind: "websocket", url: "ws://u@h/" }] }],
    ["a URL with a password", { ...plain, strategies: [{ kind: "websocket", url: "ws://:p@h/" }] }],
    ["a URL with a fragment", { ...plain, strategies: [{ kind: "websocket", url: "ws://h/#x" }] }],
    ["a URL with a tab", { ...plain, strategies: [{ kind: "websocket", url: "ws://h/\tx" }] }],
    ["a URL with a bad port", { ...plain, strategies: [{ kind: "websocket", url: "ws://h:99999/" }] }],
    ["a URL that is missing", { ...plain, strategies: [{ kind: "websocket" }] }],
    ["an address of one's own that is missing", { ...plain, strategies: [{ kind: "x-unix" }] }],
    ["an address of one's own that is empty", { ...plain, strategies: [{ kind: "x-unix", address: "" }] }],
    ["an address of one's own with a line break", { ...plain, strategies: [{ kind: "x-unix", address: "/a\nb" }] }],
    [
      "an address of one's own that is too long",
      { ...plain, strategies: [{ kind: "x-unix", address: "a".repeat(254) }] },
    ],
    ["a relay that is text", { ...plain, strategies: [{ kind: "relay", relay: full.id }] }],
    ["a relay that is no peer", { ...plain, strategies: [{ kind: "relay", relay: new Uint8Array(32).fill(2) }] }],
    ["17 services", { ...plain, services: Array(17).fill("a") }],
    ["a service that is a number", { ...plain, services: [1] }],
    ["an empty service", { ...plain, services: [""] }],
    ["a service of 33 bytes", { ...plain, services: ["a".repeat(33)] }],
    ["a service with capitals", { ...plain, services: ["Relay"] }],
    ["gone: false", { ...plain, gone: false }],
    ["a goodbye with services", { ...plain, gone: true, services: ["relay"] }],
    ["a goodbye with strategies", { ...plain, gone: true, strategies: [{ kind: "relay", relay: keys.publicKey }] }],
  ])("%s", (_, payload) => {
    expect(refuse(payload)).toBe("EGTP_WIRE_BAD_RECORD");
  });

  it("fields that no verifier would accept, before they are signed", () => {
    const never = () => expect.unreachable();
    const bad: ContactRecord[] = [
      { ...full, ttl: 0 },
      { ...full, seq: -1 },
      { ...full, gone: true },
      { ...full, services: ["No"] },
      { ...full, strategies: [{ kind: "tcp", host: "", port: 1 }] },
      { ...full, strategies: Array(17).fill(full.strategies[0]) },
    ];
    for (const fields of bad) expect(codeOf(() => signContactRecord(fields, never))).toBe("EGTP_WIRE_BAD_RECORD");
    expect(() => signContactRecord(full, () => new Uint8Array(63))).toThrow(RangeError);
  });

  it("payloads that are not bodies, and bytes after them", () => {
    const bytes = signContactRecord(full, sign);
    expect(codeOf(() => verifyContactRecord(concatBytes(bytes, Uint8Array.of(0)), now))).toBe(
      "EGTP_WIRE_TRAILING_BYTES",
    );
    expect(codeOf(() => verifyContactRecord(concatBytes(bytes.subarray(0, 64), Uint8Array.of(255)), now))).toBe(
      "EGTP_WIRE_BAD_RECORD",
    );
  });

  it("records that were cut", () => {
    const bytes = signContactRecord(full, sign);
    for (const cut of cuts(bytes)) {
      const expected = cut.length <= 64 ? "EGTP_WIRE_TRUNCATED" : "EGTP_WIRE_BAD_RECORD";
      expect(codeOf(() => verifyContactRecord(cut, now, fastVerify))).toBe(expected);
    }
  });

  it("records of which any one bit was turned", () => {
    for (const flipped of bitFlips(signContactRecord(full, sign))) {
      codeOf(() => verifyContactRecord(flipped, now, fastVerify));
    }
  });

  it("any other bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        expect(valueOrWireError(() => verifyContactRecord(bytes, now))).toBeUndefined();
      }),
    );
  });

  it("any other payload, and gives a record that can be signed again otherwise", () => {
    const anyStrategy = fc.record({
      kind: fc.constantFrom("tcp", "websocket", "relay", "x-own", "x-Own", "x"),
      host: fc.string(),
      port: fc.nat(70_000),
      url: fc.webUrl(),
      relay: fc.constant(keys.publicKey),
    });
    const anyPayload = fc
      .record(
        {
          seq: fc.integer(),
          strategies: fc.array(anyStrategy, { maxLength: 2 }),
          services: fc.array(fc.oneof(fc.string(), fc.constant("relay")), { maxLength: 2 }),
          gone: fc.constantFrom(true, undefined),
        },
        { requiredKeys: [] },
      )
      .map((some) => ({ ...plain, ...some }));
    fc.assert(
      fc.property(anyPayload, (payload) => {
        const bytes = valueOrWireError(() => signed(payload));
        const record = bytes && valueOrWireError(() => verifyContactRecord(bytes, now, () => true));
        if (record === undefined) return;
        expect(
          verifyContactRecord(
            signContactRecord(record, () => new Uint8Array(64)),
            now,
            () => true,
          ),
        ).toEqual(record);
      }),
    );
  });
});

it("peer IDs are kept as their 32 bytes", () => {
  expect(toHex(peerIdToBytes(full.id))).toBe(toHex(keys.publicKey));
});
