/** Envelopes: the layout byte for byte, and that any bytes give a value or a WireError. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  concatBytes,
  decodeEnvelope,
  type EnvelopeType,
  encodeEnvelopeHeader,
  envelopeHeaderBytes,
  fromHex,
  maxEnvelopeBytes,
  maxPlaintextBytes,
  minEnvelopeBytes,
  toHex,
} from "../src/index.ts";
import { bitFlips, codeOf, cuts, sampleBytes, valueOrWireError } from "./support.ts";

const types: readonly EnvelopeType[] = ["data", "offer", "acceptance"];

function makeEnvelope(type: EnvelopeType, sealed: boolean, counter = 7, ciphertextBytes = 20): Uint8Array {
  const envelope = new Uint8Array(envelopeHeaderBytes(type, sealed) + ciphertextBytes).fill(0xcc);
  const sender = new Uint8Array(sealed ? 80 : 32).fill(0xaa);
  const handshake = type === "data" ? undefined : new Uint8Array(80).fill(0xdd);
  const length = encodeEnvelopeHeader(
    { type, sender, id: new Uint8Array(16).fill(0xbb), counter, handshake },
    envelope,
  );
  expect(length).toBe(envelope.length - ciphertextBytes);
  return envelope;
}

describe("layout", () => {
  it.each([
    ["data", false, 58, "1100", 32, ""],
    ["offer", false, 138, "1200", 32, "dd".repeat(80)],
    ["acceptance", false, 138, "1300", 32, "dd".repeat(80)],
    ["data", true, 106, "1101", 80, ""],
    ["offer", true, 186, "1201", 80, "dd".repeat(80)],
    ["acceptance", true, 186, "1301", 80, "dd".repeat(80)],
  ] as const)("%s, sealed: %s", (type, sealed, headerBytes, start, senderBytes, handshake) => {
    expect(envelopeHeaderBytes(type, sealed)).toBe(headerBytes);
    const bytes = makeEnvelope(type, sealed, 0xfedc_ba98);
    expect(toHex(bytes)).toBe(
      `${start}${"aa".repeat(senderBytes)}${"bb".repeat(16)}00000000fedcba98${handshake}${"cc".repeat(20)}`,
    );
    const envelope = decodeEnvelope(bytes);
    expect(envelope).toMatchObject({ version: 1, type, sealedSender: sealed, counter: 0xfedc_ba98 });
    expect(envelope.sender).toEqual(new Uint8Array(senderBytes).fill(0xaa));
    expect(envelope.id).toEqual(new Uint8Array(16).fill(0xbb));
    expect(envelope.handshake).toEqual(type === "data" ? undefined : new Uint8Array(80).fill(0xdd));
    expect(envelope.header).toEqual(bytes.slice(0, headerBytes));
    expect(envelope.ciphertext).toEqual(new Uint8Array(20).fill(0xcc));
  });

  it("has the sizes that limits.ts says", () => {
    expect(minEnvelopeBytes).toBe(74);
    expect(maxEnvelopeBytes).toBe(65_738);
  });

  it("is decoded to views", () => {
    const bytes = makeEnvelope("offer", false);
    const envelope = decodeEnvelope(Buffer.from(bytes.buffer));
    for (const part of [envelope.sender, envelope.id, envelope.handshake!, envelope.header, envelope.ciphertext]) {
      expect(part.buffer).toBe(bytes.buffer);
      expect(part.constructor).toBe(Uint8Array);
    }
  });
});

describe("sizes", () => {
  it.each(types)("%s: nothing inside, and the most", (type) => {
    for (const sealed of [false, true]) {
      const header = envelopeHeaderBytes(type, sealed);
      expect(decodeEnvelope(makeEnvelope(type, sealed, 0, 16)).ciphertext).toHaveLength(16);
      expect(codeOf(() => decodeEnvelope(makeEnvelope(type, sealed, 0, 15)))).toBe("EGTP_WIRE_TRUNCATED");
      const most = makeEnvelope(type, sealed, 0, maxPlaintextBytes + 16);
      expect(decodeEnvelope(most).ciphertext).toHaveLength(maxPlaintextBytes + 16);
      expect(most.length).toBeLessThanOrEqual(maxEnvelopeBytes);
      expect(codeOf(() => decodeEnvelope(concatBytes(most, Uint8Array.of(0))))).toBe("EGTP_WIRE_TOO_LARGE");
      expect(header + 16).toBeGreaterThanOrEqual(minEnvelopeBytes);
    }
  });

  it("are too small when cut anywhere before the tag", () => {
    for (const type of types) {
      for (const cut of cuts(makeEnvelope(type, true, 7, 16))) {
        expect(codeOf(() => decodeEnvelope(cut))).toBe("EGTP_WIRE_TRUNCATED");
      }
    }
  });
});

describe("what is refused", () => {
  const changed = (at: number, value: number) => {
    const bytes = makeEnvelope("data", false);
    bytes[at] = value;
    return bytes;
  };

  it("other versions, before anything else", () => {
    for (let version = 0; version < 16; version++) {
      if (version === 1) continue;
      expect(codeOf(() => decodeEnvelope(changed(0, (version << 4) | 1)))).toBe("EGTP_WIRE_UNKNOWN_VERSION");
      expect(codeOf(() => decodeEnvelope(Uint8Array.of(version << 4)))).toBe("EGTP_WIRE_UNKNOWN_VERSION");
    }
  });

  it("other types", () => {
    for (let type = 0; type < 16; type++) {
      if (type >= 1 && type <= 3) continue;
      expect(codeOf(() => decodeEnvelope(changed(0, 0x10 | type)))).toBe("EGTP_WIRE_UNKNOWN_TYPE");
    }
  });

  it("other flags", () => {
    for (let flags = 2; flags < 256; flags++) {
      expect(codeOf(() => decodeEnvelope(changed(1, flags)))).toBe("EGTP_WIRE_BAD_FLAGS");
    }
  });

  it("counters from 2^32", () => {
    expect(decodeEnvelope(makeEnvelope("data", false, 2 ** 32 - 1)).counter).toBe(2 ** 32 - 1);
    for (const at of [50, 51, 52, 53]) {
      expect(codeOf(() => decodeEnvelope(changed(at, 1)))).toBe("EGTP_WIRE_BAD_COUNTER");
    }
  });

  it("wrong fields when encoding", () => {
    const good = {
      type: "data",
      sender: new Uint8Array(32),
      id: new Uint8Array(16),
      counter: 0,
      handshake: undefined,
    } as const;
    const into = new Uint8Array(200);
    expect(encodeEnvelopeHeader(good, into)).toBe(58);
    const bad = [
      { ...good, sender: new Uint8Array(31) },
      { ...good, id: new Uint8Array(15) },
      { ...good, handshake: new Uint8Array(80) },
      { ...good, type: "offer" as const },
      { ...good, type: "acceptance" as const, handshake: new Uint8Array(79) },
      { ...good, counter: 2 ** 32 },
      { ...good, counter: -1 },
      { ...good, counter: 0.5 },
    ];
    for (const fields of bad) expect(() => encodeEnvelopeHeader(fields, into)).toThrow(RangeError);
    expect(() => encodeEnvelopeHeader(good, new Uint8Array(57))).toThrow(RangeError);
  });
});

describe("any bytes", () => {
  /** What is decoded must come out the same when encoded. */
  const check = (bytes: Uint8Array) => {
    const envelope = valueOrWireError(() => decodeEnvelope(bytes));
    if (envelope === undefined) return;
    const again = new Uint8Array(bytes.length);
    again.set(envelope.ciphertext, encodeEnvelopeHeader(envelope, again));
    expect(toHex(again)).toBe(toHex(bytes));
  };

  it("give a value or a WireError", () => {
    const starts = fc.constantFrom("11", "1100", "1101", "1200", "1201", "1300", "1301", "");
    fc.assert(
      fc.property(starts, fc.uint8Array({ maxLength: 300 }), (start, rest) => check(concatBytes(fromHex(start), rest))),
    );
  });

  it("give one after each single bit was turned", () => {
    for (const type of types) for (const flipped of bitFlips(makeEnvelope(type, false))) check(flipped);
  });

  it("undo themselves", () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...types),
        fc.boolean(),
        fc.nat({ max: 2 ** 32 - 1 }),
        fc.integer({ min: 16, max: 500 }),
        (type, sealed, counter, length) => {
          const bytes = makeEnvelope(type, sealed, counter, length);
          expect(decodeEnvelope(bytes)).toMatchObject({ type, sealedSender: sealed, counter });
          check(bytes);
        },
      ),
    );
    check(sampleBytes(300));
  });
});
