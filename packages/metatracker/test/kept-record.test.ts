import { createIdentity } from "@egtp/node";
import { expect, test } from "vitest";
import { decodeKeptRecord, encodeKeptRecord } from "../src/kept-record.ts";

test("a kept record comes back as it was, and none of another version does", () => {
  const { peer } = createIdentity();
  const record = { peer, seq: 3, bytes: new Uint8Array(80).fill(5), services: ["relay"], validUntil: 7, keepUntil: 9 };
  const value = encodeKeptRecord(record);
  expect(decodeKeptRecord(peer, value)).toEqual(record);
  expect(
    decodeKeptRecord(
      peer,
      value.map((byte, i) => (i === 0 ? byte + 1 : byte)),
    ),
  ).toBeUndefined();
  for (let length = 0; length < 28; length++) expect(decodeKeptRecord(peer, value.slice(0, length))).toBeUndefined();
});
