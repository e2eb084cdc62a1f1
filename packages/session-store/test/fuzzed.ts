/** Everything of this package that reads what a disk or a browser kept, for `fuzz.property.test.ts` and the long run. */
import assert from "node:assert/strict";
import type { BytesTarget, FuzzedPackage } from "@egtp/test-kit/fuzz";
import { concatBytes, decodeUtf8, encodeUtf8 } from "@egtp/wire";
import { recordChecksum } from "../src/checksum.ts";
import { MemorySessionStore } from "../src/index.ts";
import {
  counterpartyKey,
  type DecodedRecord,
  decodeRecord,
  encodeCounterparty,
  encodeFloor,
  encodeMarks,
  encodeMessage,
  encodeMeta,
  floorKey,
  marksKey,
  messageKey,
  metaKey,
} from "../src/record-codec.ts";
import {
  accepted,
  contentOf,
  epoch,
  marks,
  message,
  openMaps,
  peer,
  pending,
  session,
  start,
  tag,
} from "./builders.ts";

const kept = message(6, { number: Number.MAX_SAFE_INTEGER, stored: { relay: peer(2), until: start } });

/** Of each kind, whole: version, fields and checksum. */
const records = {
  meta: [
    metaKey,
    encodeMeta({ tag: tag(1), bornAt: start, bornWithIdentity: true, lastStamp: start + 1, commonFloor: 7 }),
  ],
  counterparty: [
    counterpartyKey(peer(1)),
    encodeCounterparty(counterpartyKey(peer(1)), {
      usedOrder: 3,
      proven: true,
      floor: start,
      minStamp: start + 5,
      theirTag: tag(9),
      pending: pending(1),
      sessions: [session(1), session(2)],
      accepted: [accepted(3), accepted(4)],
      forgottenEpochs: [{ epoch: epoch(7), usedAt: start }],
    }),
  ],
  marks: [marksKey(peer(1), epoch(5)), encodeMarks(marksKey(peer(1), epoch(5)), marks(5))],
  floor: [floorKey(peer(3)), encodeFloor(floorKey(peer(3)), start)],
  message: [messageKey(message(5)), encodeMessage(messageKey(message(5)), message(5))],
  "stored-message": [messageKey(kept), encodeMessage(messageKey(kept), kept)],
} as const;

/** The length of what follows, and that. */
function chunk(value: Uint8Array): Uint8Array {
  return concatBytes(Uint8Array.of(value.length >> 8, value.length), value);
}

/** Chunks as long as there are any; what is cut short is taken as it is. */
function chunksOf(input: Uint8Array): Uint8Array[] {
  const chunks: Uint8Array[] = [];
  for (let at = 0; at < input.length; ) {
    const end = at + 2 + (input[at]! << 8) + (input[at + 1] ?? 0);
    chunks.push(input.slice(at + 2, end));
    at = end;
  }
  return chunks;
}

/** A right checksum around version and fields, so that what is behind it is reached. */
function sealed(key: string, fields: Uint8Array): Uint8Array {
  const crc = recordChecksum(key, fields);
  return concatBytes(fields, Uint8Array.of(crc >>> 24, crc >>> 16, crc >>> 8, crc));
}

function keyOf(chunk: Uint8Array | undefined): string {
  return decodeUtf8(chunk ?? new Uint8Array(0)) ?? "";
}

function encoded(key: string, record: DecodedRecord): Uint8Array {
  switch (record.kind) {
    case "meta":
      return encodeMeta(record);
    case "counterparty":
      return encodeCounterparty(key, record);
    case "marks":
      return encodeMarks(key, record.marks);
    case "floor":
      return encodeFloor(key, record.floor);
    case "message":
      return encodeMessage(key, record.message);
  }
}

const checkedRecords: BytesTarget = {
  name: "record",
  kind: "bytes",
  covers: ["record-codec.ts#decodeRecord", "record-codec.ts"],
  seeds: () =>
    Object.fromEntries(
      Object.entries(records).map(([name, [key, value]]) => [
        name,
        concatBytes(chunk(encodeUtf8(key)), value.subarray(0, -4)),
      ]),
    ),
  codes: [],
  runs: 100,
  read: (input) => {
    const keyBytes = chunksOf(input)[0] ?? new Uint8Array(0);
    const key = keyOf(keyBytes);
    const fields = input.subarray(2 + keyBytes.length);
    assert.equal(decodeRecord(key, concatBytes(fields, new Uint8Array(4))) === "checksum" || fields.length < 9, true);
    const record = decodeRecord(key, sealed(key, fields));
    if (typeof record === "string") {
      assert.ok(["checksum", "format", "version"].includes(record));
      return undefined;
    }
    assert.deepEqual(decodeRecord(key, encoded(key, record)), record);
    return record;
  },
};

const stores: BytesTarget = {
  name: "session-maps",
  kind: "bytes",
  covers: ["session-maps.ts"],
  seeds: () => ({
    all: concatBytes(
      ...Object.values(records).flatMap(([key, value]) => [chunk(encodeUtf8(key)), chunk(value.subarray(0, -4))]),
    ),
    empty: new Uint8Array(0),
  }),
  codes: [],
  read: (input) => {
    const store = new MemorySessionStore();
    const chunks = chunksOf(input);
    for (let i = 0; i + 1 < chunks.length; i += 2) {
      const key = keyOf(chunks[i]);
      store.write([[key, sealed(key, chunks[i + 1]!)]]);
    }
    const maps = openMaps(store);
    // It is used, written, and found again as it was left.
    const us = maps.ensure(peer(50), start);
    maps.insertSession(us, session(77));
    maps.rememberAccepted(us, accepted(78));
    void maps.commit();
    assert.deepEqual(contentOf(openMaps(store)), contentOf(maps));
    return maps;
  },
};

export const fuzzed: FuzzedPackage = {
  here: import.meta.url,
  targets: [checkedRecords, stores],
  elsewhere: {
    "indexeddb.ts#open": "what it loads goes to the session maps as it is",
    "lmdb.ts#open": "what it loads goes to the session maps as it is",
    "lmdb-file.ts#open":
      "packages/session-store/test/lmdb.test.ts: heals from flipped bits: every record is right or left out, or the file is set aside",
    "record-file.ts#open":
      "packages/session-store/test/lmdb.test.ts: notices a bit that flipped in it while nobody had it open, though its size and time are the same",
    "nats.ts#openStream": "it makes a stream, and hands over what the library says of it",
    "nats.ts#readJetStreamReport":
      "the operator's own server, of whom numbers are shown; all that is thrown is a StoreError",
    "private-folder.ts#readIfThere": "it hands over text, which lmdb-file.ts reads",
    "folder-lock.ts#isLockName": "one expression, for names in a folder that only its owner can enter",
    "rescue.ts": "what it reads is its own command line",
    "write-thread.ts#checkedValue": "it writes",
  },
};
