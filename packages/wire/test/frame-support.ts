/** Frames as plain values, so that whole runs can be compared, and the run of samples that the tests share. */
import { expect } from "vitest";
import {
  type Epoch,
  type FrameKind,
  FrameReader,
  FrameWriter,
  fromHex,
  type RejectedEntry,
  type SessionId,
  type StoreTag,
} from "../src/index.ts";
import { sampleBytes, valueOrWireError } from "./support.ts";

export interface PlainFrame {
  readonly kind: FrameKind;
  readonly [field: string]: unknown;
}

/** The fields that belong to the reader's current frame. */
export function plainFrame(reader: FrameReader): PlainFrame {
  const { kind, number, base, epoch, firstNumber, partIndex, totalBytes, from, to } = reader;
  switch (kind) {
    case "message": {
      const { typeNumber, name, remainingMs, isRequest, body } = reader;
      const rest = { firstNumber, partIndex, totalBytes, body };
      return { kind, base, number, typeNumber, name, remainingMs, isRequest, ...rest };
    }
    case "reply": {
      const { requestNumber, body } = reader;
      return { kind, base, number, epoch, requestNumber, firstNumber, partIndex, totalBytes, body };
    }
    case "receipt": {
      const { received, handled, isComplete } = reader;
      return { kind, epoch, received, handled, complete: isComplete ? { from, to } : undefined };
    }
    case "rejection":
      return { kind, epoch, number, code: reader.code };
    case "rejectedList":
      return { kind, entries: reader.entries };
    case "contactRecord":
    case "linkChallenge":
    case "linkResponse":
      return { kind, body: reader.body };
    case "close":
      return { kind, reason: reader.reason };
    case "probe":
      return { kind, from, to };
    case "prompt":
      return { kind };
    case "earlierEpoch":
      return { kind, epoch };
  }
}

/** All frames of a plaintext. */
export function readFrames(bytes: Uint8Array): PlainFrame[] {
  const reader = new FrameReader(bytes);
  const frames: PlainFrame[] = [];
  while (reader.next()) frames.push(plainFrame(reader));
  return frames;
}

/** What `write` puts into a buffer that is large enough. */
export function written(write: (writer: FrameWriter) => void, base = 0, earlierEpoch?: Epoch): Uint8Array {
  const writer = new FrameWriter(new Uint8Array(70_000));
  writer.reset(base, earlierEpoch);
  write(writer);
  return writer.bytes().slice();
}

export const epoch = "0102030405060708" as Epoch;
export const otherEpoch = "f1f2f3f4f5f6f7f8" as Epoch;
export const entries: readonly RejectedEntry[] = [
  { id: "aa".repeat(16) as SessionId, vouch: undefined },
  { id: "bb".repeat(16) as SessionId, vouch: { tag: "cc".repeat(8) as StoreTag, floor: 1_700_000_000_123 } },
];

/** One short frame of each kind and shape, with its bytes: what the specification says, by hand. */
export const samples: readonly (readonly [
  name: string,
  write: (writer: FrameWriter) => boolean,
  hex: string,
  frame: PlainFrame,
])[] = [
  [
    "message",
    (w) => w.message({ number: 305, typeNumber: 3, body: fromHex("c0ffee") }),
    "41ac02050303c0ffee",
    message({ base: 300, number: 305, typeNumber: 3, body: "c0ffee" }),
  ],
  [
    "message with everything",
    (w) =>
      w.message({ number: 300, typeNumber: 200, name: "a/é", remainingMs: 1_000, isRequest: true, body: fromHex("") }),
    "73ac0200c80104612fc3a9e80700",
    message({ base: 300, number: 300, typeNumber: 200, name: "a/é", remainingMs: 1_000, isRequest: true, body: "" }),
  ],
  [
    "message to the end",
    (w) => w.message({ number: 300, typeNumber: 0, body: fromHex("0000"), toEnd: true }),
    "45ac0200000000",
    message({ base: 300, number: 300, typeNumber: 0, body: "0000" }),
  ],
  [
    "last part of a message",
    (w) => w.message({ number: 302, typeNumber: 1, body: fromHex("0a0b"), partIndex: 1, totalBytes: 16_322 }),
    "49ac02020101c27f020a0b",
    {
      ...message({ base: 300, number: 302, typeNumber: 1, body: "0a0b" }),
      firstNumber: 301,
      partIndex: 1,
      totalBytes: 16_322,
    },
  ],
  [
    "reply",
    (w) => w.reply({ number: 301, requestNumber: 9, body: fromHex("ff") }),
    "81ac02010901ff",
    reply({ base: 300, number: 301, requestNumber: 9, body: "ff" }),
  ],
  [
    "reply to a request of another epoch",
    (w) => w.reply({ number: 301, requestNumber: 9, epoch: otherEpoch, body: fromHex("ff") }),
    "83ac0201f1f2f3f4f5f6f7f80901ff",
    { ...reply({ base: 300, number: 301, requestNumber: 9, body: "ff" }), epoch: otherEpoch },
  ],
  [
    "last part of a reply, to the end",
    (w) =>
      w.reply({ number: 301, requestNumber: 9, partIndex: 2, totalBytes: 32_641, body: fromHex("07"), toEnd: true }),
    "8dac0201090281ff0107",
    {
      ...reply({ base: 300, number: 301, requestNumber: 9, body: "07" }),
      firstNumber: 299,
      partIndex: 2,
      totalBytes: 32_641,
    },
  ],
  [
    "receipt",
    (w) => w.receipt({ epoch, received: [5, 10, 12, 13], handled: [5, 7] }),
    "010102030405060708000205050201010502",
    { kind: "receipt", epoch, received: [5, 10, 12, 13], handled: [5, 7], complete: undefined },
  ],
  [
    "complete receipt",
    (w) => w.receipt({ epoch, received: [], handled: [0, 1], complete: { from: 200, to: 230 } }),
    "01010203040506070801c8011e00010001",
    { kind: "receipt", epoch, received: [], handled: [0, 1], complete: { from: 200, to: 230 } },
  ],
  [
    "rejection",
    (w) => w.rejection(epoch, 130, 4),
    "020102030405060708820104",
    { kind: "rejection", epoch, number: 130, code: 4 },
  ],
  [
    "rejected list",
    (w) => w.rejectedList(entries),
    `0302${"aa".repeat(16)}00${"bb".repeat(16)}01${"cc".repeat(8)}0000018bcfe5687b`,
    { kind: "rejectedList", entries },
  ],
  [
    "contact record",
    (w) => w.contactRecord(fromHex("010203")),
    "0403010203",
    { kind: "contactRecord", body: fromHex("010203") },
  ],
  [
    "link challenge",
    (w) => w.linkChallenge(sampleBytes(8)),
    "0561809fbeddfc1b3a",
    { kind: "linkChallenge", body: sampleBytes(8) },
  ],
  [
    "link response",
    (w) => w.linkResponse(sampleBytes(8)),
    "0661809fbeddfc1b3a",
    { kind: "linkResponse", body: sampleBytes(8) },
  ],
  ["close", (w) => w.close(2), "0702", { kind: "close", reason: 2 }],
  ["probe", (w) => w.probe(300, 128), "08ac028001", { kind: "probe", from: 300, to: 428 }],
  ["prompt", (w) => w.prompt(), "09", { kind: "prompt" }],
];

function message(fields: { number: number; body: string; [field: string]: unknown }): PlainFrame {
  const body = fromHex(fields.body);
  const absent = { name: undefined, remainingMs: undefined, isRequest: false, partIndex: undefined };
  return { kind: "message", ...absent, firstNumber: fields.number, totalBytes: body.length, ...fields, body };
}

function reply(fields: { base: number; number: number; requestNumber: number; body: string }): PlainFrame {
  const body = fromHex(fields.body);
  const absent = { epoch: undefined, partIndex: undefined };
  return { kind: "reply", ...absent, firstNumber: fields.number, totalBytes: body.length, ...fields, body };
}

/** Reads to the end or to the error, and checks that the reader never goes back and stays inside the bytes. */
export function readNoFurther(bytes: Uint8Array): void {
  const copy = bytes.slice();
  const reader = new FrameReader(bytes);
  let last = -1;
  valueOrWireError(() => {
    while (reader.next()) {
      expect(reader.frameOffset).toBeGreaterThan(last);
      expect(reader.offset).toBeGreaterThan(reader.frameOffset);
      expect(reader.offset).toBeLessThanOrEqual(bytes.length);
      last = reader.frameOffset;
      const { body } = plainFrame(reader);
      if (body !== undefined) expect((body as Uint8Array).length).toBeLessThanOrEqual(bytes.length);
    }
  });
  expect(reader.next()).toBe(false);
  expect(bytes).toEqual(copy);
}
