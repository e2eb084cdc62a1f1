/**
 * Our own vectors, docs/vectors/directory.json: contact records and boot pages, good ones and others, so that another
 * implementation can be held against ours. `EGTP_WRITE_VECTORS=1` writes the file anew.
 */
import { readFileSync, writeFileSync } from "node:fs";
import nacl from "tweetnacl";
import { describe, expect, it } from "vitest";
import {
  type BootPage,
  type ContactRecord,
  concatBytes,
  decodeUtf8,
  encodeBody,
  encodeUtf8,
  fromHex,
  peerIdFromBytes,
  signBootPage,
  signContactRecord,
  toHex,
  verifyBootPage,
  verifyContactRecord,
} from "../src/index.ts";
import { codeOf } from "./support.ts";

const file = new URL("../../../docs/vectors/directory.json", import.meta.url);
const now = 1_800_000_000_000;
const hourMs = 3_600_000;

function peerOf(fill: number) {
  const seed = new Uint8Array(32).fill(fill);
  const keys = nacl.sign.keyPair.fromSeed(seed);
  return {
    seed: toHex(seed),
    id: peerIdFromBytes(keys.publicKey),
    publicKey: toHex(keys.publicKey),
    sign: (message: Uint8Array) => nacl.sign.detached(message, keys.secretKey),
  };
}

const peer = peerOf(1);
const relay = peerOf(2);

const records: readonly (readonly [name: string, fields: ContactRecord])[] = [
  [
    "every kind of strategy",
    {
      id: peer.id,
      seq: 12,
      issued: now,
      ttl: 24 * hourMs,
      strategies: [
        { kind: "tcp", host: "192.0.2.7", port: 4000 },
        { kind: "tcp", host: "2001:db8::7", port: 4000 },
        { kind: "websocket", url: "wss://peer.example.org/egtp" },
        { kind: "relay", relay: relay.id },
      ],
      services: ["metatracker"],
      gone: false,
    },
  ],
  ["a goodbye", { id: peer.id, seq: 13, issued: now, ttl: hourMs, strategies: [], services: [], gone: true }],
];

function make() {
  const signed = records.map(([name, fields]) => ({
    name,
    fields,
    record: toHex(signContactRecord(fields, peer.sign)),
  }));
  const good = fromHex(signed[0]!.record);
  const resign = (payload: Uint8Array, domain: string) =>
    toHex(concatBytes(peer.sign(concatBytes(encodeUtf8(domain), payload)), payload));
  const payload = good.subarray(64);
  const fields: BootPage = { id: peer.id, seq: 3, issued: now, expires: now + hourMs, records: [good] };
  const text = (page: Uint8Array) => decodeUtf8(page)!;
  const page = text(signBootPage(fields, peer.sign));
  return {
    about:
      "Contact records (hexadecimal) and boot pages (text) of EGTP version 1, docs/spec.md, all signed by `peer`, and read at `now`. `refused` says with which error ours refuses each.",
    now,
    peer: { seed: peer.seed, id: peer.id, publicKey: peer.publicKey },
    records: signed,
    refusedRecords: [
      { name: "cut", record: signed[0]!.record.slice(0, -2), error: "EGTP_WIRE_BAD_RECORD" },
      { name: "a byte too many", record: `${signed[0]!.record}00`, error: "EGTP_WIRE_TRAILING_BYTES" },
      {
        name: "signed for another purpose",
        record: resign(payload, "egtp boot page 1\0"),
        error: "EGTP_WIRE_BAD_SIGNATURE",
      },
      {
        name: "signed by another",
        record: toHex(signContactRecord(records[0]![1], relay.sign)),
        error: "EGTP_WIRE_BAD_SIGNATURE",
      },
      {
        name: "expired",
        record: toHex(signContactRecord({ ...records[0]![1], issued: now - 24 * hourMs }, peer.sign)),
        error: "EGTP_WIRE_EXPIRED",
      },
      {
        name: "more than 24 hours ahead",
        record: toHex(signContactRecord({ ...records[0]![1], issued: now + 24 * hourMs + 1 }, peer.sign)),
        error: "EGTP_WIRE_NOT_YET_VALID",
      },
      {
        name: "port 0",
        record: resign(
          encodeBody({
            id: fromHex(peer.publicKey),
            seq: 1,
            issued: now,
            ttl: 1,
            services: [],
            strategies: [{ kind: "tcp", host: "h", port: 0 }],
          }),
          "egtp contact record 1\0",
        ),
        error: "EGTP_WIRE_BAD_RECORD",
      },
    ],
    bootPages: [{ name: "one record", fields: { ...fields, records: [toHex(good)] }, page }],
    refusedBootPages: [
      { name: "cut", page: page.slice(0, -2), error: "EGTP_WIRE_BAD_BOOT_PAGE" },
      { name: "with padding", page: page.replace(/"}\n$/, '="}\n'), error: "EGTP_WIRE_BAD_BOOT_PAGE" },
      { name: "another version", page: page.replace('"v":1', '"v":2'), error: "EGTP_WIRE_UNKNOWN_VERSION" },
      { name: "signed by another", page: text(signBootPage(fields, relay.sign)), error: "EGTP_WIRE_BAD_SIGNATURE" },
      {
        name: "expired",
        page: text(signBootPage({ ...fields, issued: now - hourMs, expires: now }, peer.sign)),
        error: "EGTP_WIRE_EXPIRED",
      },
      {
        name: "more than 24 hours ahead",
        page: text(signBootPage({ ...fields, issued: now + 24 * hourMs + 1, expires: now + 25 * hourMs }, peer.sign)),
        error: "EGTP_WIRE_NOT_YET_VALID",
      },
    ],
  };
}

if (process.env.EGTP_WRITE_VECTORS === "1") writeFileSync(file, `${JSON.stringify(make(), undefined, 2)}\n`);
const vectors = JSON.parse(readFileSync(file, "utf8")) as ReturnType<typeof make>;

describe("the published vectors of records and boot pages", () => {
  it("are what this code makes", () => {
    expect(vectors).toEqual(make());
  });

  it.each(vectors.records)("record: $name", ({ fields, record }) => {
    expect(verifyContactRecord(fromHex(record), vectors.now)).toEqual(fields);
  });

  it.each(vectors.refusedRecords)("refused record: $name", ({ record, error }) => {
    expect(codeOf(() => verifyContactRecord(fromHex(record), vectors.now))).toBe(error);
  });

  it.each(vectors.bootPages)("boot page: $name", ({ fields, page }) => {
    const read = verifyBootPage(encodeUtf8(page), vectors.now);
    expect({ ...read, records: read.records.map(toHex) }).toEqual(fields);
  });

  it.each(vectors.refusedBootPages)("refused boot page: $name", ({ page, error }) => {
    expect(codeOf(() => verifyBootPage(encodeUtf8(page), vectors.now))).toBe(error);
  });
});
