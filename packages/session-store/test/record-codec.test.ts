import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { recordChecksum } from "../src/checksum.ts";
import type { KeptMessage } from "../src/index.ts";
import { maxStoreKeyLength } from "../src/limits.ts";
import {
  type CounterpartyRecord,
  counterpartyKey,
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
import { accepted, bytes, epoch, marks, message, peer, pending, session, start, tag } from "./builders.ts";

const counterparty: CounterpartyRecord = {
  usedOrder: 3,
  proven: true,
  floor: start,
  minStamp: start + 5,
  theirTag: tag(9),
  pending: pending(1),
  sessions: [session(1), session(2)],
  accepted: [accepted(3), accepted(4)],
  forgottenEpochs: [{ epoch: epoch(7), usedAt: start }],
};
const meta = { tag: tag(1), bornAt: start, bornWithIdentity: true, lastStamp: start + 1, commonFloor: 7 };

const samples: readonly (readonly [key: string, value: Uint8Array, decoded: object])[] = [
  [metaKey, encodeMeta(meta), { kind: "meta", ...meta }],
  [
    counterpartyKey(peer(1)),
    encodeCounterparty(counterpartyKey(peer(1)), counterparty),
    { kind: "counterparty", peer: peer(1), ...counterparty },
  ],
  [
    marksKey(peer(2), epoch(5)),
    encodeMarks(marksKey(peer(2), epoch(5)), marks(5)),
    { kind: "marks", peer: peer(2), marks: marks(5) },
  ],
  [floorKey(peer(3)), encodeFloor(floorKey(peer(3)), start), { kind: "floor", peer: peer(3), floor: start }],
  messageSample(message(5)),
  messageSample(message(6, { number: Number.MAX_SAFE_INTEGER, body: bytes(0, 0), type: "é".repeat(64) })),
];

function messageSample(kept: KeptMessage): readonly [string, Uint8Array, object] {
  const key = messageKey(kept);
  return [key, encodeMessage(key, kept), { kind: "message", message: kept }];
}

/** A record with a right checksum around any fields. */
function sealed(key: string, version: number, fields: Uint8Array): Uint8Array {
  const record = new Uint8Array(fields.length + 5);
  record[0] = version;
  record.set(fields, 1);
  const crc = recordChecksum(key, record.subarray(0, fields.length + 1));
  new DataView(record.buffer).setUint32(fields.length + 1, crc);
  return record;
}

describe("records", () => {
  it("uses CRC-32C", () => {
    expect(recordChecksum("123456789", new Uint8Array())).toBe(0xe3069283); // the check value of every catalogue
    expect(recordChecksum("1234", new TextEncoder().encode("56789"))).toBe(0xe3069283);
  });

  it.each(samples)("reads back %s", (key, value, decoded) => {
    expect(decodeRecord(key, value)).toEqual(decoded);
    expect(decodeRecord(key, Buffer.from(value))).toEqual(decoded);
  });

  it.each(samples)("reports %s cut at every length", (key, value) => {
    for (let length = 0; length < value.length; length++) {
      expect(decodeRecord(key, value.subarray(0, length))).toBe("checksum");
    }
  });

  it.each(samples)("reports every flipped bit of %s", (key, value) => {
    for (let bit = 0; bit < value.length * 8; bit++) {
      const flipped = value.slice();
      flipped[bit >> 3]! ^= 1 << (bit & 7);
      expect(decodeRecord(key, flipped)).toBe("checksum");
    }
  });

  it.each(samples)("reports %s under another key", (key, value) => {
    expect(decodeRecord(`${key}x`, value)).toBe("checksum");
    expect(decodeRecord(counterpartyKey(peer(99)), value)).toBe("checksum");
  });

  it.each(samples)("reports %s with a right checksum and too few fields or too many", (key, value) => {
    const fields = value.subarray(1, value.length - 4);
    expect(decodeRecord(key, sealed(key, 1, fields))).toEqual(decodeRecord(key, value));
    for (let length = 0; length < fields.length; length++) {
      expect(decodeRecord(key, sealed(key, 1, fields.subarray(0, length)))).toBe("format");
    }
    expect(decodeRecord(key, sealed(key, 1, Uint8Array.of(...fields, 0)))).toBe("format");
    expect(decodeRecord(key, sealed(key, 2, fields))).toBe("version");
  });

  it("reads any bytes as a record or a reason, nothing else", () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 400 }),
        fc.constantFrom(...samples.map(([key]) => key), "", "zzz"),
        (any, key) => {
          expect(decodeRecord(key, any)).toBe("checksum");
          const decoded = decodeRecord(key, sealed(key, 1, any));
          expect(typeof decoded === "object" || decoded === "format").toBe(true);
        },
      ),
    );
  });

  it("reads back any marks", () => {
    const gap = fc.integer({ min: 1, max: 1e9 });
    fc.assert(
      fc.property(fc.nat(), fc.array(fc.tuple(gap, gap), { maxLength: 300 }), (base, gaps) => {
        const ranges: number[] = [];
        let end = base;
        for (const [hole, length] of gaps) {
          ranges.push(end + hole, end + hole + length);
          end += hole + length;
        }
        const key = marksKey(peer(1), epoch(1));
        const wanted = { epoch: epoch(1), base, ranges, usedAt: start };
        expect(decodeRecord(key, encodeMarks(key, wanted))).toEqual({ kind: "marks", peer: peer(1), marks: wanted });
      }),
    );
  });

  it("copies what it keeps, whatever the store does with its memory", () => {
    const [key, value] = samples[1]!;
    const borrowed = Buffer.from(value);
    const decoded = decodeRecord(key, borrowed);
    borrowed.fill(0);
    expect(decoded).toEqual(samples[1]![2]);
    const { sessions } = decoded as CounterpartyRecord;
    expect(sessions[0]!.receiveKey.buffer.byteLength).toBe(32);
    expect(sessions[0]!.receiveKey.constructor).toBe(Uint8Array);
  });

  it("names messages so that their keys sort as their numbers do, and are no longer than a store is told", () => {
    const numbers = [0, 1, 9, 10, 255, 65_536, 2 ** 40, Number.MAX_SAFE_INTEGER];
    const keys = numbers.map((number) => messageKey(message(1, { number })));
    expect(keys.toSorted()).toEqual(keys);
    for (const key of keys) expect(key).toHaveLength(maxStoreKeyLength);
    const value = encodeMessage(keys[0]!, message(1, { number: 0 }));
    const fields = value.subarray(1, value.length - 4);
    for (const key of [keys[0]!.slice(0, -1), marksKey(peer(1), epoch(1)), `${keys[0]!.slice(0, -14)}ffffffffffffff`]) {
      expect(decodeRecord(key, sealed(key, 1, fields))).toBe("format");
    }
    const asMarks = `${marksKey(peer(1), epoch(1))}:${"0".repeat(14)}`;
    expect(decodeRecord(asMarks, sealed(asMarks, 1, encodeMarks(asMarks, marks(1)).subarray(1, -4)))).toBe("format");
  });

  it("reads back any message, its times in whole milliseconds on the safe side", () => {
    const kept = fc.record({
      number: fc.maxSafeNat(),
      type: fc.stringMatching(/^[a-zé👋/.-]{1,20}$/u),
      typeNumber: fc.nat(1_023),
      established: fc.boolean(),
      deadlineAt: fc.double({ min: start, max: 2 * start, noNaN: true }),
      stored: fc.option(fc.constant({ relay: peer(9), until: start }), { nil: undefined }),
      body: fc.uint8Array({ maxLength: 300 }),
    });
    fc.assert(
      fc.property(kept, (fields) => {
        const [key, value] = messageSample(message(1, fields));
        const wanted = message(1, { ...fields, deadlineAt: Math.ceil(fields.deadlineAt) });
        expect(decodeRecord(key, value)).toEqual({ kind: "message", message: wanted });
      }),
    );
  });

  it("takes a message as long as any can be", () => {
    const body = bytes(4 * 1024 * 1024, 3);
    const [key, value] = messageSample(message(1, { body }));
    const decoded = decodeRecord(key, value) as { message: KeptMessage };
    expect(Buffer.compare(decoded.message.body, body)).toBe(0);
  });

  it("refuses what could not be read back", () => {
    for (const type of ["", "a\nb", "a".repeat(129)]) {
      expect(() => messageSample(message(1, { type }))).toThrow(TypeError);
    }
    expect(() => messageSample(message(1, { deadlineAt: Infinity }))).toThrow(TypeError);
    const key = counterpartyKey(peer(1));
    for (const broken of [
      { ...counterparty, floor: -1 },
      { ...counterparty, floor: 0.5 },
      { ...counterparty, sessions: [session(1, { receiveKey: bytes(31, 1) })] },
      { ...counterparty, accepted: [accepted(1, { earlyKey: bytes(33, 1) })] },
    ]) {
      expect(() => encodeCounterparty(key, broken)).toThrow(TypeError);
    }
  });

  it("takes a receive key of a session and nothing that could seal", () => {
    const sendKey = bytes(32, 200);
    const withSendKey = { ...session(1), sendKey, sendingKey: sendKey, keys: { send: sendKey } };
    const key = counterpartyKey(peer(1));
    const value = encodeCounterparty(key, {
      ...counterparty,
      pending: undefined,
      sessions: [withSendKey],
      accepted: [],
    });
    expect(Buffer.from(value).includes(Buffer.from(sendKey))).toBe(false);
    expect(Buffer.from(value).includes(Buffer.from(withSendKey.receiveKey))).toBe(true);
    const decoded = decodeRecord(key, value) as CounterpartyRecord;
    expect(Object.keys(decoded.sessions[0]!).sort()).toEqual(
      ["counterLimit", "createdAt", "id", "offerId", "receiveKey", "role", "stamp", "theirEpoch"].sort(),
    );
  });
});
