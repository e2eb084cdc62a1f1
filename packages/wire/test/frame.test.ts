/** Frames: each kind byte for byte, and every rule that makes a frame a bad one. */
import { describe, expect, it } from "vitest";
import {
  concatBytes,
  type Epoch,
  FrameReader,
  FrameWriter,
  fromHex,
  maxReceiptRanges,
  partBytes,
  type SessionId,
  type StoreTag,
  toHex,
} from "../src/index.ts";
import { entries, epoch, otherEpoch, plainFrame, readFrames, samples, written } from "./frame-support.ts";
import { bitFlips, codeOf, cuts, ifDecoded, sampleBytes, valueOrWireError } from "./support.ts";

const epochHex = "0102030405060708";
const refuse = (hex: string) => codeOf(() => readFrames(fromHex(hex)));

describe.each(samples)("%s", (_, write, hex, frame) => {
  const bytes = fromHex(hex);

  it("is written and read as specified", () => {
    expect(toHex(written((writer) => expect(write(writer)).toBe(true), 300))).toBe(hex);
    expect(readFrames(bytes)).toEqual([frame]);
    expect(readFrames(Buffer.from(bytes))).toEqual([frame]);
  });

  it("is not written where it does not fit, and leaves no trace", () => {
    for (let room = 0; room < bytes.length; room++) {
      const buffer = new Uint8Array(bytes.length + 5).fill(0xee);
      const writer = new FrameWriter(buffer.subarray(0, room));
      writer.reset(300);
      expect(write(writer)).toBe(false);
      expect(writer.length).toBe(0);
      expect(buffer).toEqual(new Uint8Array(bytes.length + 5).fill(0xee));
    }
    const exact = new FrameWriter(new Uint8Array(bytes.length));
    exact.reset(300);
    expect(write(exact)).toBe(true);
    expect(exact.room).toBe(0);
  });

  it("is refused when cut, or ends earlier where its body reaches to the end", () => {
    for (const cut of cuts(bytes)) {
      if (cut.length === 0) continue;
      ifDecoded(
        () => readFrames(cut),
        () => expect([0x44, 0x84]).toContain(bytes[0]! & 0xc4),
      );
    }
  });

  it("gives frames or a WireError after each bit was turned", () => {
    for (const flipped of bitFlips(bytes)) valueOrWireError(() => readFrames(flipped));
  });
});

describe("a run of frames", () => {
  const run = written((writer) => {
    writer.padding(2);
    writer.rejectedList(entries);
    writer.close(1);
    writer.message({ number: 1_000, typeNumber: 1, body: sampleBytes(60) });
    writer.padding(3);
    writer.reply({ number: 1_001, requestNumber: 4, body: sampleBytes(2) });
    writer.message({ number: 998, typeNumber: 2, body: sampleBytes(0) });
    writer.prompt();
    writer.padding(1);
  }, 990);

  it("names the base once and counts from it", () => {
    const frames = readFrames(run);
    expect(frames.map((frame) => frame.kind)).toEqual([
      "rejectedList",
      "close",
      "message",
      "reply",
      "message",
      "prompt",
    ]);
    expect(frames.slice(2, 5).map((frame) => [frame.base, frame.number])).toEqual([
      [990, 1_000],
      [990, 1_001],
      [990, 998],
    ]);
  });

  it("takes at most 8 bytes beside a small body, and 5 as a rule", () => {
    const beside = (above: number, typeNumber: number) => {
      const writer = new FrameWriter(new Uint8Array(1_000));
      writer.reset(1e12);
      writer.message({ number: 1e12, typeNumber: 0, body: sampleBytes(0) });
      const before = writer.length;
      writer.message({ number: 1e12 + above, typeNumber, body: sampleBytes(100) });
      return writer.length - before - 100;
    };
    expect(beside(65_535, 16_383)).toBe(7);
    expect(beside(1_000, 9)).toBe(5);
    expect(beside(100, 9)).toBe(4);
  });

  it("can be looked ahead in, and taken apart where the kinds change", () => {
    const reader = new FrameReader(run);
    let kind = reader.peek();
    while (kind === "rejectedList" || kind === "close") {
      expect(reader.next()).toBe(true);
      expect(reader.kind).toBe(kind);
      kind = reader.peek();
    }
    expect(kind).toBe("message");
    const rest = reader.bytes.subarray(reader.offset);
    expect(readFrames(rest)).toEqual(readFrames(run).slice(2));
    expect(reader.next()).toBe(true);
    expect(reader.frameOffset).toBe(run.length - rest.length);
    expect(toHex(reader.bytes.subarray(reader.bodyStart, reader.bodyEnd))).toBe(toHex(reader.body));
    expect(reader.body.buffer).toBe(run.buffer);
  });

  it("can be read by the same reader after others", () => {
    const reader = new FrameReader(fromHex("ff"));
    expect(codeOf(() => reader.next())).toBe("EGTP_WIRE_UNKNOWN_FRAME");
    expect(reader.next()).toBe(false);
    reader.reset(run);
    const frames = [];
    while (reader.next()) frames.push(plainFrame(reader));
    expect(frames).toEqual(readFrames(run));
    expect(reader.peek()).toBeUndefined();
    reader.reset(new Uint8Array(0));
    expect(reader.next()).toBe(false);
    reader.reset(new Uint8Array(9));
    expect(reader.next()).toBe(false);
  });

  it("is at its end after an error", () => {
    const reader = new FrameReader(fromHex("0907"));
    expect(reader.next()).toBe(true);
    expect(codeOf(() => reader.next())).toBe("EGTP_WIRE_TRUNCATED");
    expect(reader.next()).toBe(false);
    const other = new FrameReader(fromHex("0bff"));
    expect(codeOf(() => other.peek())).toBe("EGTP_WIRE_UNKNOWN_FRAME");
    expect(other.next()).toBe(false);
  });
});

describe("an earlier epoch", () => {
  const named = `0a${epochHex}`;

  it("is named once, before the first message, reply or probe, and before nothing else", () => {
    const message = (w: FrameWriter) => w.message({ number: 305, typeNumber: 3, body: fromHex("c0ffee") });
    const reply = (w: FrameWriter) => w.reply({ number: 301, requestNumber: 9, body: fromHex("ff") });
    const probe = (w: FrameWriter) => w.probe(300, 128);
    const others = (w: FrameWriter) => w.prompt() && w.rejection(otherEpoch, 1, 2) && w.padding(2);
    const bytesOf = (...writes: ((w: FrameWriter) => boolean)[]) =>
      toHex(written((w) => expect(writes.every((write) => write(w))).toBe(true), 300, epoch));
    expect(bytesOf(message, reply)).toBe(`${named}41ac02050303c0ffee80010901ff`);
    expect(bytesOf(reply, message)).toBe(`${named}81ac02010901ff40050303c0ffee`);
    expect(bytesOf(probe, message)).toBe(`${named}08ac02800141ac02050303c0ffee`);
    expect(bytesOf(others, message)).toBe(`0902${otherEpoch}01020000${named}41ac02050303c0ffee`);
    expect(bytesOf(others)).not.toContain(named);
    expect(readFrames(fromHex(bytesOf(message)))).toMatchObject([
      { kind: "earlierEpoch", epoch },
      { kind: "message", number: 305 },
    ]);
  });

  it("leaves no trace where what follows does not fit", () => {
    const body = sampleBytes(3);
    const writes: ((w: FrameWriter) => boolean)[] = [
      (w) => w.message({ number: 300, typeNumber: 1, body }),
      (w) => w.reply({ number: 300, requestNumber: 1, body }),
      (w) => w.probe(300, 1),
    ];
    for (const write of writes) {
      const whole = written(write, 300, epoch);
      for (let room = 0; room < whole.length; room++) {
        const writer = new FrameWriter(new Uint8Array(room));
        writer.reset(300, epoch);
        expect(write(writer)).toBe(false);
        expect(writer.length).toBe(0);
      }
      const exact = new FrameWriter(new Uint8Array(whole.length));
      exact.reset(300, epoch);
      expect(write(exact)).toBe(true);
      // The next envelope is of the epoch that the session names.
      exact.reset(300);
      expect(write(exact)).toBe(true);
      expect(toHex(exact.bytes())).not.toContain(named);
    }
  });

  it("is refused behind another, behind a number, and when cut", () => {
    expect(readFrames(fromHex(`${named}09410000000100`))).toHaveLength(3);
    expect(refuse(named + named)).toBe("EGTP_WIRE_BAD_FRAME");
    expect(refuse(`4100000000${named}`)).toBe("EGTP_WIRE_BAD_FRAME");
    expect(refuse(`8100000000${named}`)).toBe("EGTP_WIRE_BAD_FRAME");
    expect(refuse(`080001${named}`)).toBe("EGTP_WIRE_BAD_FRAME");
    for (let length = 1; length < 9; length++) {
      expect(refuse(named.slice(0, 2 * length))).toBe("EGTP_WIRE_TRUNCATED");
    }
    const reader = new FrameReader(fromHex(named));
    expect(reader.next()).toBe(true);
    reader.reset(fromHex(named));
    expect(reader.next()).toBe(true);
  });
});

describe("first bytes", () => {
  it("that no frame begins with", () => {
    const unknown = Array.from({ length: 256 }, (_, byte) => byte).filter(
      (byte) => valueOrWireError(() => new FrameReader(Uint8Array.of(byte)).peek()) === undefined && byte !== 0,
    );
    const expected = [];
    for (let byte = 0x0b; byte < 0x40; byte++) expected.push(byte);
    for (let byte = 0x80; byte < 0xc0; byte++) if ((byte & 0x30) !== 0) expected.push(byte);
    for (let byte = 0xc0; byte < 0x100; byte++) expected.push(byte);
    expect(unknown).toEqual(expected);
    for (const byte of unknown) {
      expect(codeOf(() => readFrames(Uint8Array.of(byte, 0, 0, 0, 0)))).toBe("EGTP_WIRE_UNKNOWN_FRAME");
    }
  });
});

describe("rules of messages and replies", () => {
  it("a first number without a base, a second base", () => {
    expect(refuse("4000010100")).toBe("EGTP_WIRE_BAD_FRAME");
    expect(refuse("8000010100")).toBe("EGTP_WIRE_BAD_FRAME");
    expect(refuse("4100000000" + "4100000000")).toBe("EGTP_WIRE_BAD_FRAME");
    expect(refuse("4100000000" + "8100000000")).toBe("EGTP_WIRE_BAD_FRAME");
    expect(readFrames(fromHex("4100000000" + "80000000"))).toHaveLength(2);
  });

  it("numbers above 2^53 - 1", () => {
    const most = "ffffffffffffff0f";
    expect(readFrames(fromHex(`41${most}000000`))[0]).toMatchObject({ number: Number.MAX_SAFE_INTEGER });
    expect(refuse(`41${most}010000`)).toBe("EGTP_WIRE_BAD_FRAME");
    expect(refuse(`41${most}${most}0000`)).toBe("EGTP_WIRE_BAD_FRAME");
    expect(refuse("4180808080808080800100000000")).toBe("EGTP_WIRE_BAD_NUMBER");
    expect(refuse("410080000000")).toBe("EGTP_WIRE_BAD_NUMBER");
  });

  it.each([
    ["of no bytes", "00"],
    ["of 129 bytes", `8101${"61".repeat(129)}`],
    ["that is not UTF-8", "02c328"],
    ["with a line break", "03610a62"],
    ["with a C1 control character", "02c285"],
  ])("a name %s", (_, name) => {
    expect(refuse(`43000001${name}00`)).toBe("EGTP_WIRE_BAD_FRAME");
  });

  it("names of 1 and 128 bytes are names", () => {
    for (const name of ["a", "é".repeat(64)]) {
      const bytes = written((w) => w.message({ number: 0, typeNumber: 1, name, body: sampleBytes(1) }));
      expect(readFrames(bytes)[0]).toMatchObject({ name });
    }
    for (const name of ["", "é".repeat(65), "a".repeat(129), "a\nb", "\ud800"]) {
      expect(() => written((w) => w.message({ number: 0, typeNumber: 1, name, body: sampleBytes(1) }))).toThrow(
        RangeError,
      );
    }
  });

  it("a body longer than the bytes", () => {
    expect(refuse("410000010201")).toBe("EGTP_WIRE_TRUNCATED");
    expect(refuse("4100000180808001")).toBe("EGTP_WIRE_TRUNCATED");
    expect(refuse("41000001ffffffffffffff0f")).toBe("EGTP_WIRE_TRUNCATED");
  });

  it("parts that are not of the size that their place demands", () => {
    const part = (number: number, index: number, totalBytes: number, length: number) =>
      concatBytes(fromHex("4900"), ...[number, 1, index, totalBytes, length].map(varint), new Uint8Array(length));
    const total = 2 * partBytes + 5;
    expect(readFrames(part(7, 0, total, partBytes))[0]).toMatchObject({ firstNumber: 7, totalBytes: total });
    expect(readFrames(part(7, 1, total, partBytes))[0]).toMatchObject({ firstNumber: 6, partIndex: 1 });
    expect(readFrames(part(7, 2, total, 5))[0]).toMatchObject({ firstNumber: 5 });
    expect(readFrames(part(1, 1, 2 * partBytes, partBytes))[0]).toMatchObject({ firstNumber: 0, partIndex: 1 });
    for (const bad of [
      part(7, 0, total, partBytes - 1),
      part(7, 0, total, partBytes + 1),
      part(7, 2, total, 4),
      part(7, 2, total, 6),
      part(7, 3, total, 0),
      part(7, 3, total, 5),
      part(7, 2, 2 * partBytes, 0),
      part(1, 2, total, 5),
      part(7, 0, 5, 5),
      part(7, 0, partBytes, partBytes),
      part(7, 0, 0, 0),
      part(Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER, 5),
    ]) {
      expect(codeOf(() => readFrames(bad))).toBe("EGTP_WIRE_BAD_FRAME");
    }
  });

  it("are not written when they could not be read", () => {
    const writer = new FrameWriter(new Uint8Array(40_000));
    writer.reset(10);
    const body = sampleBytes(5);
    const bad = [
      { number: 9, typeNumber: 1, body },
      { number: Number.NaN, typeNumber: 1, body },
      { number: 11, typeNumber: 1, body, partIndex: 1 },
      { number: 11, typeNumber: 1, body, partIndex: 1, totalBytes: partBytes + 4 },
      { number: 11, typeNumber: 1, body, partIndex: 12, totalBytes: 12 * partBytes + 5 },
      { number: 11, typeNumber: 1, body, partIndex: 0, totalBytes: 5 },
    ];
    for (const fields of bad) {
      expect(() => writer.message(fields)).toThrow(RangeError);
      expect(() => writer.reply({ ...fields, requestNumber: 1 })).toThrow(RangeError);
    }
    expect(writer.length).toBe(0);
  });
});

describe("rules of the other frames", () => {
  it("receipts", () => {
    expect(refuse(`01${epochHex}020000`)).toBe("EGTP_WIRE_BAD_FRAME"); // flags
    expect(refuse(`01${epochHex}00010000`)).toBe("EGTP_WIRE_BAD_FRAME"); // a range of nothing
    expect(refuse(`01${epochHex}000200010001`)).toBe("EGTP_WIRE_BAD_FRAME"); // ranges that touch
    expect(refuse(`01${epochHex}00810200`)).toBe("EGTP_WIRE_BAD_FRAME"); // 257 ranges
    expect(refuse(`01${epochHex}00ffffffffffffff0f`)).toBe("EGTP_WIRE_BAD_FRAME");
    expect(refuse(`01${epochHex}0001ffffffffffffff0f0100`)).toBe("EGTP_WIRE_BAD_FRAME"); // beyond 2^53 - 1
    expect(refuse(`01${epochHex}01ffffffffffffff0f010000`)).toBe("EGTP_WIRE_BAD_FRAME");
    expect(refuse(`01${epochHex}0080020001`)).toBe("EGTP_WIRE_TRUNCATED"); // 256 announced, one there
  });

  it("receipts hold 256 ranges and are not written with more, or out of order", () => {
    const ranges = (count: number) => Array.from({ length: 2 * count }, (_, i) => 3 * i + 1);
    const full = { epoch, received: ranges(maxReceiptRanges), handled: ranges(maxReceiptRanges) };
    expect(readFrames(written((w) => w.receipt(full)))).toEqual([{ kind: "receipt", ...full, complete: undefined }]);
    for (const received of [ranges(maxReceiptRanges + 1), [1], [5, 5], [5, 4], [5, 6, 6, 7], [5, 6, 2, 3]]) {
      expect(() => written((w) => w.receipt({ epoch, received, handled: [] }))).toThrow(RangeError);
      expect(() => written((w) => w.receipt({ epoch, received: [], handled: received }))).toThrow(RangeError);
    }
    expect(() => written((w) => w.receipt({ epoch: "0102" as Epoch, received: [], handled: [] }))).toThrow(RangeError);
  });

  it("rejected lists", () => {
    const entry = { id: "ab".repeat(16) as SessionId, vouch: undefined };
    expect(refuse("0300")).toBe("EGTP_WIRE_BAD_FRAME");
    expect(refuse(`0311${`${"ab".repeat(16)}00`.repeat(17)}`)).toBe("EGTP_WIRE_BAD_FRAME");
    expect(refuse(`0301${"ab".repeat(16)}02`)).toBe("EGTP_WIRE_BAD_FRAME");
    expect(refuse(`0301${"ab".repeat(16)}01${"cc".repeat(8)}0020000000000000`)).toBe("EGTP_WIRE_BAD_NUMBER");
    expect(readFrames(written((w) => w.rejectedList(Array(16).fill(entry))))[0]).toMatchObject({
      kind: "rejectedList",
    });
    expect(() => written((w) => w.rejectedList([]))).toThrow(RangeError);
    expect(() => written((w) => w.rejectedList(Array(17).fill(entry)))).toThrow(RangeError);
    const latest = { tag: "cc".repeat(8) as StoreTag, floor: Number.MAX_SAFE_INTEGER };
    expect(readFrames(written((w) => w.rejectedList([{ ...entry, vouch: latest }])))).toEqual([
      { kind: "rejectedList", entries: [{ ...entry, vouch: latest }] },
    ]);
  });

  it("contact records", () => {
    expect(readFrames(written((w) => w.contactRecord(sampleBytes(1_024))))).toEqual([
      { kind: "contactRecord", body: sampleBytes(1_024) },
    ]);
    expect(refuse(`048108${"00".repeat(1_025)}`)).toBe("EGTP_WIRE_TOO_LARGE");
    expect(refuse("04800800")).toBe("EGTP_WIRE_TRUNCATED");
    expect(() => written((w) => w.contactRecord(sampleBytes(1_025)))).toThrow(RangeError);
  });

  it("challenges and probes", () => {
    expect(() => written((w) => w.linkChallenge(sampleBytes(7)))).toThrow(RangeError);
    expect(() => written((w) => w.linkResponse(sampleBytes(9)))).toThrow(RangeError);
    expect(refuse("080000")).toBe("EGTP_WIRE_BAD_FRAME");
    expect(refuse("08ffffffffffffff0f01")).toBe("EGTP_WIRE_BAD_FRAME");
    expect(() => written((w) => w.probe(1, 0))).toThrow(RangeError);
  });
});

describe("the writer", () => {
  it("writes nothing after a body that reaches to the end", () => {
    const writer = new FrameWriter(new Uint8Array(100));
    writer.reset(0);
    expect(writer.message({ number: 0, typeNumber: 1, body: sampleBytes(3), toEnd: true })).toBe(true);
    expect(writer.room).toBe(0);
    expect(writer.prompt() || writer.padding(1) || writer.close(0) || writer.raw(sampleBytes(1))).toBe(false);
    writer.reset(5);
    expect(writer.room).toBe(100);
    expect(writer.message({ number: 5, typeNumber: 1, body: sampleBytes(3) })).toBe(true);
    expect(readFrames(writer.bytes())[0]).toMatchObject({ base: 5, number: 5 });
  });

  it("appends what was written elsewhere", () => {
    const inner = written((w) => w.message({ number: 7, typeNumber: 1, body: sampleBytes(3) }), 7);
    const outer = written((w) => {
      w.close(3);
      expect(w.raw(inner)).toBe(true);
    });
    expect(readFrames(outer).map((frame) => frame.kind)).toEqual(["close", "message"]);
    expect(new FrameWriter(new Uint8Array(inner.length - 1)).raw(inner)).toBe(false);
  });

  it("writes into the caller's buffer and overwrites old bytes with padding", () => {
    const buffer = new Uint8Array(20).fill(0xee);
    const writer = new FrameWriter(buffer);
    writer.padding(4);
    expect(writer.bytes()).toEqual(new Uint8Array(4));
    expect(writer.bytes().buffer).toBe(buffer.buffer);
    expect(writer.padding(17)).toBe(false);
    expect(writer.padding(16)).toBe(true);
  });

  it("copies bodies of every length", () => {
    for (let length = 0; length < 200; length++) {
      const bytes = written((w) => w.message({ number: 1, typeNumber: 1, body: sampleBytes(length) }));
      expect(readFrames(bytes)[0]).toMatchObject({ body: sampleBytes(length) });
    }
  });
});

function varint(value: number): Uint8Array {
  return written((w) => w.probe(value, 1)).subarray(1, -1);
}
