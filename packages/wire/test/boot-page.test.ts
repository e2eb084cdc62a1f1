/** Boot pages: signed, bounded, valid for a time; and that any bytes give a page or a WireError. */
import { createPublicKey, verify as nodeVerify } from "node:crypto";
import fc from "fast-check";
import nacl from "tweetnacl";
import { describe, expect, it } from "vitest";
import {
  type BootPage,
  concatBytes,
  encodeBody,
  encodeUtf8,
  maxBootPageBytes,
  maxBootPageLifeMs,
  maxBootPageRecords,
  maxClockSkewMs,
  maxContactRecordBytes,
  peerIdFromBytes,
  signBootPage,
  signContactRecord,
  toHex,
  type VerifySignature,
  verifyBootPage,
} from "../src/index.ts";
import { bitFlips, codeOf, cuts, ifDecoded, valueOrWireError } from "./support.ts";

const keys = nacl.sign.keyPair.fromSeed(new Uint8Array(32).fill(1));
const otherKeys = nacl.sign.keyPair.fromSeed(new Uint8Array(32).fill(2));
const sign = (message: Uint8Array) => nacl.sign.detached(message, keys.secretKey);
const now = 1_700_000_000_000;
const id = peerIdFromBytes(keys.publicKey);

const record = signContactRecord(
  { id, seq: 3, issued: now, ttl: 60_000, strategies: [], services: ["metatracker"], gone: false },
  sign,
);
const full: BootPage = { id, seq: 7, issued: now, expires: now + 3_600_000, records: [record, record] };

/** Faster than the portable verifier, for tests that verify often. */
const fastVerify: VerifySignature = (publicKey, message, signature) => {
  if (signature.length !== 64) return false;
  const x = Buffer.from(publicKey).toString("base64url");
  const key = createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x }, format: "jwk" });
  return nodeVerify(null, message, key, signature);
};

const base64url = (bytes: Uint8Array) => Buffer.from(bytes).toString("base64url");
const pageOf = (json: unknown) => encodeUtf8(JSON.stringify(json));

/** A signed page with a payload of our making. */
function signed(payload: unknown): Uint8Array {
  const bytes = encodeBody(payload);
  const signature = sign(concatBytes(encodeUtf8("egtp boot page 1\0"), bytes));
  return pageOf({ v: 1, payload: base64url(bytes), signature: base64url(signature) });
}

const plain = { id: keys.publicKey, seq: 1, issued: now, expires: now + 1_000, records: [] };
const refuse = (page: Uint8Array) => codeOf(() => verifyBootPage(page, now, fastVerify));

describe("a boot page", () => {
  it.each([
    ["with records", full],
    ["without any", { ...full, seq: 0, records: [] }],
  ])("%s comes back as it was signed", (_, page) => {
    expect(verifyBootPage(signBootPage(page, sign), now)).toEqual(page);
  });

  it("has the layout that the specification says", () => {
    const page = signBootPage({ ...full, records: [] }, sign);
    const id = `5820${toHex(keys.publicKey)}`;
    const fields = `626964${id}6373657107666973737565641b0000018bcfe56800676578706972`;
    const payload = `a5${fields}65731b0000018bd01c5680677265636f72647380`;
    const signature = sign(concatBytes(encodeUtf8("egtp boot page 1\0"), Buffer.from(payload, "hex")));
    const expected = { v: 1, payload: base64url(Buffer.from(payload, "hex")), signature: base64url(signature) };
    expect(JSON.parse(Buffer.from(page).toString())).toEqual(expected);
  });

  it("is valid from a day before it was issued until its time is over", () => {
    const bytes = signBootPage(full, sign);
    const at = (instant: number) => verifyBootPage(bytes, instant, fastVerify);
    expect(at(full.expires - 1)).toEqual(full);
    expect(at(now - maxClockSkewMs)).toEqual(full);
    expect(codeOf(() => at(full.expires))).toBe("EGTP_WIRE_EXPIRED");
    expect(codeOf(() => at(now - maxClockSkewMs - 1))).toBe("EGTP_WIRE_NOT_YET_VALID");
    expect(verifyBootPage(bytes, undefined, fastVerify)).toEqual(full);
  });

  it("is signed by the publisher that it names, for this purpose", () => {
    const byAnother = (message: Uint8Array) => nacl.sign.detached(message, otherKeys.secretKey);
    expect(codeOf(() => verifyBootPage(signBootPage(full, byAnother), now))).toBe("EGTP_WIRE_BAD_SIGNATURE");
    const payload = encodeBody(plain);
    const asRecord = sign(concatBytes(encodeUtf8("egtp contact record 1\0"), payload));
    for (const signature of [sign(payload), asRecord, new Uint8Array(0), new Uint8Array(65)]) {
      const page = pageOf({ v: 1, payload: base64url(payload), signature: base64url(signature) });
      expect(codeOf(() => verifyBootPage(page, now))).toBe("EGTP_WIRE_BAD_SIGNATURE");
    }
  });

  it("is refused by the verifier that it is given", () => {
    expect(codeOf(() => verifyBootPage(signBootPage(full, sign), now, () => false))).toBe("EGTP_WIRE_BAD_SIGNATURE");
  });

  it("is at most 64 KiB", () => {
    const withRecords = (count: number) => signBootPage({ ...full, records: Array(count).fill(largest) }, sign);
    const largest = new Uint8Array(maxContactRecordBytes);
    expect(withRecords(47).length).toBeLessThanOrEqual(maxBootPageBytes);
    expect(codeOf(() => withRecords(48))).toBe("EGTP_WIRE_TOO_LARGE");
    const page = signBootPage(full, sign);
    const padded = (length: number) => concatBytes(page, new Uint8Array(length - page.length).fill(0x20));
    expect(verifyBootPage(padded(maxBootPageBytes), now)).toEqual(full);
    expect(refuse(padded(maxBootPageBytes + 1))).toBe("EGTP_WIRE_TOO_LARGE");
  });

  it("may hold fields of a later version", () => {
    const { payload, signature } = JSON.parse(Buffer.from(signed({ ...plain, mood: "fine" })).toString()) as {
      payload: string;
      signature: string;
    };
    const page = pageOf({ comment: "hi", signature, payload, v: 1 });
    expect(verifyBootPage(page, now, fastVerify)).toEqual({ ...full, seq: 1, expires: now + 1_000, records: [] });
  });
});

describe("what is refused", () => {
  it.each([
    ["no map", [1]],
    ["null", null],
    ["no ID", { ...plain, id: undefined }],
    ["an ID that is text", { ...plain, id }],
    ["an ID that is not on the curve", { ...plain, id: new Uint8Array(32).fill(2) }],
    ["a negative seq", { ...plain, seq: -1 }],
    ["a seq with a fraction", { ...plain, seq: 1.5 }],
    ["no issued", { ...plain, issued: undefined }],
    ["an issued at the end of numbers", { ...plain, issued: Number.MAX_SAFE_INTEGER }],
    ["an expiry at its issue", { ...plain, expires: now }],
    ["an expiry that is too far", { ...plain, expires: now + maxBootPageLifeMs + 1 }],
    ["no expiry", { ...plain, expires: undefined }],
    ["no records", { ...plain, records: undefined }],
    ["records that are no array", { ...plain, records: {} }],
    ["a record that is text", { ...plain, records: ["a"] }],
    ["a record that is too long", { ...plain, records: [new Uint8Array(maxContactRecordBytes + 1)] }],
    ["257 records", { ...plain, records: Array(maxBootPageRecords + 1).fill(new Uint8Array(0)) }],
  ])("a payload with %s", (_, payload) => {
    expect(refuse(signed(payload))).toBe("EGTP_WIRE_BAD_BOOT_PAGE");
  });

  it.each([
    ["nothing", new Uint8Array(0)],
    ["HTML", encodeUtf8("<!doctype html><title>404 Not Found</title>")],
    ["an array", pageOf([])],
    ["null", pageOf(null)],
    ["no version", pageOf({ payload: "", signature: "" })],
    ["a version that is text", pageOf({ v: "1", payload: "", signature: "" })],
    ["no payload", pageOf({ v: 1, signature: "" })],
    ["a payload that is no text", pageOf({ v: 1, payload: [1], signature: "" })],
    ["a payload with padding", pageOf({ v: 1, payload: "oA==", signature: "" })],
    ["an empty payload", pageOf({ v: 1, payload: "", signature: "" })],
    ["no signature", pageOf({ v: 1, payload: base64url(encodeBody(plain)) })],
    ["a byte order mark", concatBytes(Uint8Array.of(0xef, 0xbb, 0xbf), signed(plain))],
    ["bytes that are not UTF-8", concatBytes(signed(plain), Uint8Array.of(0xff))],
    ["something after the end", concatBytes(signed(plain), encodeUtf8("x"))],
    ["brackets without end", encodeUtf8("[".repeat(60_000))],
    ["objects without end", encodeUtf8('{"v":'.repeat(12_000))],
  ])("%s", (_, page) => {
    expect(refuse(page)).toBe("EGTP_WIRE_BAD_BOOT_PAGE");
  });

  it("another version", () => {
    expect(refuse(pageOf({ v: 2 }))).toBe("EGTP_WIRE_UNKNOWN_VERSION");
  });

  it("fields that no verifier would accept, before they are signed", () => {
    const never = () => expect.unreachable();
    const bad: BootPage[] = [
      { ...full, expires: now },
      { ...full, seq: -1 },
      { ...full, records: [new Uint8Array(maxContactRecordBytes + 1)] },
    ];
    for (const fields of bad) expect(codeOf(() => signBootPage(fields, never))).toBe("EGTP_WIRE_BAD_BOOT_PAGE");
    expect(() => signBootPage(full, () => new Uint8Array(63))).toThrow(RangeError);
  });

  it("pages that were cut, but for the line end", () => {
    const page = signBootPage({ ...full, records: [] }, sign);
    const cutPages = [...cuts(page)];
    expect(verifyBootPage(cutPages.pop()!, now, fastVerify).seq).toBe(full.seq);
    for (const cut of cutPages) expect(refuse(cut)).toBe("EGTP_WIRE_BAD_BOOT_PAGE");
  });

  it("pages of which any one bit was turned, where it counts", () => {
    const page = signBootPage({ ...full, records: [] }, sign);
    const stillGood = [...bitFlips(page)].filter(
      (flipped) => valueOrWireError(() => verifyBootPage(flipped, now, fastVerify)) !== undefined,
    );
    // The line end may turn into other white space.
    for (const flipped of stillGood) expect(flipped.subarray(0, -1)).toEqual(page.subarray(0, -1));
  });

  it("any other bytes and any other text", () => {
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array(), fc.json().map(encodeUtf8), fc.string().map(encodeUtf8)), (bytes) => {
        expect(valueOrWireError(() => verifyBootPage(bytes, now))).toBeUndefined();
      }),
    );
  });

  it("any other payload, and gives a page that can be signed again otherwise", () => {
    const anyPayload = fc
      .record(
        {
          seq: fc.integer(),
          issued: fc.integer({ min: now - 1_000, max: now + 1_000 }),
          expires: fc.integer({ min: now - 1_000, max: now + 10_000 }),
          records: fc.array(fc.oneof(fc.uint8Array(), fc.string()), { maxLength: 2 }),
        },
        { requiredKeys: [] },
      )
      .map((some) => ({ ...plain, ...some }));
    fc.assert(
      fc.property(anyPayload, (payload) => {
        ifDecoded(
          () => verifyBootPage(signed(payload), now, fastVerify),
          (page) => expect(verifyBootPage(signBootPage(page, sign), now, fastVerify)).toEqual(page),
        );
      }),
    );
  });
});
