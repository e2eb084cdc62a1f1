/** The layouts of the relay protocol: what is encoded is decoded, and any bytes give a value or a RelayError. */
import { decodeBody, encodeBody, minEnvelopeBytes } from "@egtp/wire";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { RelayError } from "../src/errors.ts";
import { maxAcknowledgeRanges, maxCollectBytes } from "../src/limits.ts";
import {
  acknowledgeMessage,
  collectedBytes,
  collectRequest,
  decodeAcknowledgement,
  decodeCollected,
  decodeMail,
  decodePassAlong,
  decodePassAlongStatus,
  encodeAcknowledgement,
  encodeCollected,
  encodePassAlong,
  encodePassAlongInPlace,
  encodePassAlongStatus,
  limitsRequest,
  mailMessage,
  type PassAlongStatus,
  passAlongRequest,
  type Registration,
  refusals,
  registerRequest,
  unregisterRequest,
  writeMailId,
} from "../src/protocol.ts";

const bytesOf = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
const envelope = fc.uint8Array({ minLength: minEnvelopeBytes, maxLength: minEnvelopeBytes + 40 });
const number = fc.oneof(fc.integer({ min: 1, max: 300 }), fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }));
const status: fc.Arbitrary<PassAlongStatus> = fc.oneof(
  fc.constant({ state: "passed" as const }),
  fc.nat(2 ** 31 - 1).map((until) => ({ state: "stored" as const, until })),
  fc.constantFrom(...refusals.slice(1)).map((refusal) => ({ state: "refused" as const, refusal: refusal! })),
);
const mails = fc
  .uniqueArray(fc.tuple(number, envelope), { selector: ([each]) => each, maxLength: 8 })
  .map((list) => list.sort(([a], [b]) => a - b).map(([each, bytes]) => ({ number: each, envelope: bytes })));
/** Ascending pairs with gaps. */
const ranges = fc
  .array(fc.tuple(fc.integer({ min: 1, max: 300 }), fc.integer({ min: 1, max: 2 ** 40 })), { maxLength: 20 })
  .map((steps) => {
    let end = -1;
    return steps.flatMap(([gap, length]) => {
      const from = end + gap;
      end = from + length;
      return [from, end];
    });
  });

describe("what is encoded is decoded", () => {
  it("pass along", () => {
    fc.assert(
      fc.property(bytesOf(32), envelope, (recipient, bytes) => {
        expect(decodePassAlong(encodePassAlong(recipient, bytes))).toEqual({ recipient, envelope: bytes });
        const memory = new Uint8Array([...new Uint8Array(32), ...bytes]);
        const body = encodePassAlongInPlace(recipient, memory.subarray(32));
        expect(body).toEqual(encodePassAlong(recipient, bytes));
        expect(body.buffer).toBe(memory.buffer);
        // Without room before it there must be a copy.
        expect(encodePassAlongInPlace(recipient, bytes)).toEqual(body);
      }),
    );
  });

  it("pass along leaves what lies beside the envelope in a larger piece of memory as it is", () => {
    fc.assert(
      fc.property(bytesOf(32), envelope, fc.nat(100), fc.nat(100), (recipient, bytes, before, after) => {
        fc.pre(before !== 32 || after > 0);
        const piece = new Uint8Array([...new Uint8Array(before).fill(0xee), ...bytes, ...new Uint8Array(after)]);
        const copy = piece.slice();
        const body = encodePassAlongInPlace(recipient, piece.subarray(before, before + bytes.length));
        expect(body).toEqual(encodePassAlong(recipient, bytes));
        expect(piece).toEqual(copy);
      }),
    );
  });

  it("its status", () => {
    fc.assert(
      fc.property(status, (each) => {
        // By clocks that differ.
        const there = each.state === "stored" ? { ...each, until: each.until + 1_000 } : each;
        expect(decodePassAlongStatus(encodePassAlongStatus(there, 1_000), 0)).toEqual(each);
      }),
    );
  });

  it("a mail", () => {
    fc.assert(
      fc.property(bytesOf(8), number, envelope, (tag, each, bytes) => {
        const body = new Uint8Array(16 + bytes.length);
        writeMailId(tag, each, body, 0);
        body.set(bytes, 16);
        expect(decodeMail(body)).toEqual({ tag, number: each, envelope: bytes });
      }),
    );
  });

  it("what was collected", () => {
    fc.assert(
      fc.property(bytesOf(8), mails, (tag, list) => {
        const encoded = encodeCollected({ tag, mails: list });
        expect(encoded).toHaveLength(collectedBytes(list.map((mail) => mail.envelope.length)));
        expect(decodeCollected(encoded)).toEqual({ tag, mails: list });
      }),
    );
  });

  it("an acknowledgement", () => {
    fc.assert(
      fc.property(bytesOf(8), ranges, (tag, list) => {
        expect(decodeAcknowledgement(encodeAcknowledgement({ tag, ranges: list }))).toEqual({ tag, ranges: list });
      }),
    );
  });
});

describe("any bytes give a value that encodes to them, or a RelayError", () => {
  const codecs: Record<string, [decode: (bytes: Uint8Array) => unknown, encode: (value: never) => Uint8Array]> = {
    "pass along": [
      decodePassAlong,
      (value: ReturnType<typeof decodePassAlong>) => encodePassAlong(value.recipient, value.envelope),
    ],
    status: [(bytes) => decodePassAlongStatus(bytes, 0), (value: PassAlongStatus) => encodePassAlongStatus(value, 0)],
    mail: [decodeMail, mailBytes],
    collected: [decodeCollected, encodeCollected],
    acknowledgement: [decodeAcknowledgement, encodeAcknowledgement],
  };
  /** Bytes that come close: short, with small numbers, or a good one cut or changed. */
  const near = fc.oneof(
    fc.uint8Array({ maxLength: 40 }),
    fc.uint8Array({ maxLength: 200 }),
    fc.array(fc.integer({ min: 0, max: 3 }), { maxLength: 130 }).map((list) => Uint8Array.from(list)),
    fc
      .tuple(
        fc.oneof(
          fc.tuple(bytesOf(8), mails).map(([tag, list]) => encodeCollected({ tag, mails: list })),
          fc.tuple(bytesOf(8), ranges).map(([tag, list]) => encodeAcknowledgement({ tag, ranges: list })),
          status.map((each) => encodePassAlongStatus(each, 0)),
        ),
        fc.nat(),
        fc.nat(255),
        fc.boolean(),
      )
      .map(([good, at, byte, cut]) => {
        if (cut) return good.slice(0, at % (good.length + 1));
        const changed = good.slice();
        changed[at % good.length] = byte;
        return changed;
      }),
  );

  it.each(Object.keys(codecs))("%s", (name) => {
    const [decode, encode] = codecs[name]!;
    fc.assert(
      fc.property(near, (bytes) => {
        const value = valueOrRelayError(() => decode(bytes));
        if (value instanceof RelayError) return value.code === "EGTP_RELAY_BAD_MESSAGE";
        expect(encode(value as never)).toEqual(bytes);
        return true;
      }),
      { numRuns: 500 },
    );
  });

  function valueOrRelayError(decode: () => unknown): unknown {
    try {
      return decode();
    } catch (error) {
      if (error instanceof RelayError) return error;
      throw error;
    }
  }

  function mailBytes({ tag, number: each, envelope: bytes }: ReturnType<typeof decodeMail>): Uint8Array {
    const body = new Uint8Array(16 + bytes.length);
    writeMailId(tag, each, body, 0);
    body.set(bytes, 16);
    return body;
  }
});

it("the types have the names of the specification", () => {
  const types = [
    limitsRequest,
    registerRequest,
    unregisterRequest,
    passAlongRequest,
    mailMessage,
    collectRequest,
    acknowledgeMessage,
  ];
  const names = ["limits", "register", "unregister", "pass-along", "message", "collect", "acknowledge"];
  expect(types.map(({ name }) => name)).toEqual(names.map((name) => `relay/${name}`));
});

describe("bounds", () => {
  const tag = new Uint8Array(8);

  it("an acknowledgement has at most 256 ranges", () => {
    const most = Array.from({ length: 2 * maxAcknowledgeRanges }, (_, i) => 2 * i);
    const encoded = encodeAcknowledgement({ tag, ranges: most });
    expect(decodeAcknowledgement(encoded).ranges).toEqual(most);
    expect(() => encodeAcknowledgement({ tag, ranges: [...most, 10_000, 10_001] })).toThrow(RangeError);
    const oneMore = Uint8Array.from([...tag, 0x81, 0x02, ...new Uint8Array(2 * 257).fill(1)]);
    expect(() => decodeAcknowledgement(oneMore)).toThrow(/257 ranges/);
  });

  it("an acknowledgement of numbers that a mailbox cannot reach is refused", () => {
    const beyond = Uint8Array.from([...tag, 1, 255, 255, 255, 255, 255, 255, 255, 15, 1]);
    expect(() => decodeAcknowledgement(beyond)).toThrow(RelayError);
  });

  it("what was collected is at most 1 MiB", () => {
    expect(() => decodeCollected(new Uint8Array(maxCollectBytes + 1))).toThrow(RelayError);
  });

  it("a registration states a run of exactly 8 bytes", async () => {
    const validate = (run: unknown) =>
      registerRequest.body!["~standard"].validate({ run: run as never, first: true, standby: false });
    expect((await validate(new Uint8Array(8))).issues).toBeUndefined();
    expect((await validate(new Uint8Array(7))).issues).toBeDefined();
    expect((await validate("12345678")).issues).toBeDefined();
  });

  it("a registration's answer survives the way through CBOR", async () => {
    const answers: Registration[] = [
      { state: "superseded" },
      { state: "refused", reason: "full" },
      {
        state: "active",
        tag,
        limits: {
          maxMessages: 1,
          maxBytes: 2,
          ttlMs: 3,
          maxEnvelopeBytes: 4,
          maxSenderMessages: 5,
          maxSenderBytes: 6,
          access: "open",
        },
        waiting: { messages: 0, bytes: 0 },
        replaced: false,
        gaps: false,
      },
    ];
    for (const answer of answers) {
      const result = await registerRequest.reply!["~standard"].validate(decodeBody(encodeBody(answer)));
      expect(result).toEqual({ value: answer });
    }
  });
});
