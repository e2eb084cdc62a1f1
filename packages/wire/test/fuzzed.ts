/** Everything of this package that reads bytes or text from outside, for `fuzz.property.test.ts` and the long run. */
import assert from "node:assert/strict";
import type { BytesTarget, FuzzedPackage, TextTarget } from "@egtp/test-kit/fuzz";
import nacl from "tweetnacl";
import * as z from "zod/mini";
import { fromBase64Url, toBase64Url } from "../src/base64url.ts";
import { isCanonicalPoint, isCanonicalScalar } from "../src/ed25519-encoding.ts";
import {
  type ContactRecord,
  concatBytes,
  decodeBody,
  decodeEnvelope,
  decodeMessageBody,
  decodeMessageReply,
  decodeTypeName,
  decodeUtf8,
  defineMessage,
  EnvelopeSplitter,
  type EnvelopeType,
  encodeBody,
  encodeEnvelopeHeader,
  encodeTypeName,
  encodeUtf8,
  envelopeHeaderBytes,
  FrameReader,
  FrameWriter,
  fromHex,
  isEd25519PublicKey,
  isOwnStrategyKind,
  isPeerId,
  isWebSocketUrl,
  isWellFormedSignature,
  maxEnvelopeBytes,
  type PeerId,
  parsePeerId,
  peerIdFromBytes,
  peerIdToBytes,
  signBootPage,
  signContactRecord,
  toHex,
  verifyBootPage,
  verifyContactRecord,
  verifyEd25519,
  writeLengthPrefix,
  x25519PublicKeyOf,
} from "../src/index.ts";
import { plainFrame, readFrames, samples } from "./frame-support.ts";
import { sampleBytes } from "./support.ts";

const now = 1_800_000_000_000;
const keys = nacl.sign.keyPair.fromSeed(sampleBytes(32));
const id = peerIdFromBytes(keys.publicKey);
const relay = peerIdFromBytes(nacl.sign.keyPair.fromSeed(sampleBytes(32, 2)).publicKey);
const sign = (message: Uint8Array) => nacl.sign.detached(message, keys.secretKey);
/** So that what is behind the signature is reached. */
const believe = () => true;

function envelope(type: EnvelopeType, sealed: boolean, counter: number): Uint8Array {
  const header = envelopeHeaderBytes(type, sealed);
  const bytes = sampleBytes(header + 20, counter);
  const handshake = type === "data" ? undefined : sampleBytes(80, 5);
  encodeEnvelopeHeader(
    { type, sender: sealed ? sampleBytes(80, 3) : keys.publicKey, id: sampleBytes(16, 4), counter, handshake },
    bytes,
  );
  return bytes;
}

const envelopes: BytesTarget = {
  name: "envelope",
  kind: "bytes",
  covers: ["envelope.ts#decodeEnvelope"],
  seeds: () => ({
    data: envelope("data", false, 0),
    "data-sealed": envelope("data", true, 2 ** 32 - 1),
    offer: envelope("offer", false, 1),
    acceptance: envelope("acceptance", true, 70_000),
  }),
  codes: [
    "EGTP_WIRE_TRUNCATED",
    "EGTP_WIRE_TOO_LARGE",
    "EGTP_WIRE_UNKNOWN_VERSION",
    "EGTP_WIRE_UNKNOWN_TYPE",
    "EGTP_WIRE_BAD_FLAGS",
    "EGTP_WIRE_BAD_COUNTER",
  ],
  read: (bytes) => {
    const read = decodeEnvelope(bytes);
    const header = new Uint8Array(read.header.length);
    assert.equal(encodeEnvelopeHeader(read, header), header.length);
    assert.equal(toHex(concatBytes(header, read.ciphertext)), toHex(bytes));
    return read;
  },
};

const frameCodes = [
  "EGTP_WIRE_UNKNOWN_FRAME",
  "EGTP_WIRE_BAD_FRAME",
  "EGTP_WIRE_TRUNCATED",
  "EGTP_WIRE_TOO_LARGE",
  "EGTP_WIRE_BAD_NUMBER",
];

const frames: BytesTarget = {
  name: "frames",
  kind: "bytes",
  covers: ["frame-reader.ts"],
  seeds: () => ({
    ...Object.fromEntries(samples.map(([name, , hex]) => [name.replaceAll(/[^a-zA-Z0-9]+/g, "-"), fromHex(hex)])),
    "several-and-padding": fromHex("0501020304050607080009070000000000"),
    "earlier-epoch": fromHex("0a0102030405060708080005"),
  }),
  codes: frameCodes,
  read: (bytes) => {
    const reader = new FrameReader(bytes);
    const read = [];
    // Whatever ends it, it is at its end from then on.
    try {
      while (reader.next()) {
        assert.ok(reader.offset > reader.frameOffset && reader.offset <= bytes.length, "each frame takes bytes");
        read.push(plainFrame(reader));
      }
    } finally {
      assert.equal(reader.next(), false);
    }
    assert.ok(read.length <= bytes.length);
    const again = rewritten(bytes);
    // Where between the frames an earlier epoch is named is the writer's to choose.
    const rest = read.filter(({ kind }) => kind !== "earlierEpoch");
    if (again !== undefined) {
      assert.deepEqual(
        readFrames(again).filter(({ kind }) => kind !== "earlierEpoch"),
        rest,
      );
    }
    return read;
  },
};

/** The same frames, written by us; `undefined` where the writer, which is not asked for such, would not. */
function rewritten(bytes: Uint8Array): Uint8Array | undefined {
  const reader = new FrameReader(bytes);
  const writer = new FrameWriter(new Uint8Array(bytes.length + 64 + 16 * bytes.length));
  let base: number | undefined;
  let earlier: FrameReader["epoch"];
  let isNumbered = false;
  let isProbed = false;
  while (reader.next()) {
    if (reader.kind === "earlierEpoch") earlier = reader.epoch;
    if (reader.kind === "message" || reader.kind === "reply") isNumbered = true;
    if (reader.kind === "probe") isProbed = true;
    if (["message", "reply", "probe"].includes(reader.kind)) base ??= reader.base;
  }
  // It names an earlier epoch only before what is of it, and a probe says where it begins, as the base does.
  if ((earlier !== undefined && base === undefined) || (isNumbered && isProbed)) return undefined;
  writer.reset(base ?? 0, earlier);
  reader.reset(bytes);
  while (reader.next()) {
    const { number, partIndex, totalBytes, body } = reader;
    switch (reader.kind) {
      case "message": {
        const { typeNumber, name, remainingMs, isRequest } = reader;
        const rest = { partIndex, totalBytes: partIndex === undefined ? undefined : totalBytes, body };
        if (!writer.message({ number, typeNumber, name, remainingMs, isRequest, ...rest })) return undefined;
        break;
      }
      case "reply": {
        const { epoch, requestNumber } = reader;
        const rest = { partIndex, totalBytes: partIndex === undefined ? undefined : totalBytes, body };
        if (!writer.reply({ number, epoch, requestNumber, ...rest })) return undefined;
        break;
      }
      case "receipt": {
        const { received, handled, isComplete, from, to } = reader;
        writer.receipt({ epoch: reader.epoch!, received, handled, complete: isComplete ? { from, to } : undefined });
        break;
      }
      case "rejection":
        writer.rejection(reader.epoch!, number, reader.code);
        break;
      case "rejectedList":
        writer.rejectedList(reader.entries);
        break;
      case "contactRecord":
        writer.contactRecord(body);
        break;
      case "linkChallenge":
        writer.linkChallenge(body);
        break;
      case "linkResponse":
        writer.linkResponse(body);
        break;
      case "close":
        writer.close(reader.reason);
        break;
      case "probe":
        if (reader.from !== base) return undefined;
        writer.probe(reader.from, reader.to - reader.from);
        break;
      case "prompt":
        writer.prompt();
        break;
      case "earlierEpoch":
        break;
    }
  }
  return writer.bytes();
}

const bodyValues = {
  nothing: null,
  numbers: [
    0,
    -1,
    23,
    24,
    255,
    256,
    65_536,
    2 ** 32,
    Number.MAX_SAFE_INTEGER,
    -Number.MAX_SAFE_INTEGER,
    0.5,
    -0,
    1e300,
  ],
  texts: ["", "a", "é👋", "\ufeffmark", "x".repeat(300)],
  bytes: [new Uint8Array(0), sampleBytes(30)],
  bignums: [0n, 1n, -1n, 2n ** 64n, -(2n ** 70n)],
  dates: [new Date(0), new Date(now), new Date(-1), new Date(8.64e15)],
  object: { a: 1, b: { c: [true, false, null] }, "": 0, aa: {}, toString: "x" },
  deep: JSON.parse(`${"[".repeat(60)}${"]".repeat(60)}`) as unknown,
};
const bodyCodes = ["EGTP_WIRE_BAD_BODY", "EGTP_WIRE_TRAILING_BYTES"];

const bodies: BytesTarget = {
  name: "body",
  kind: "bytes",
  covers: ["body.ts#decodeBody"],
  seeds: () => Object.fromEntries(Object.entries(bodyValues).map(([name, value]) => [name, encodeBody(value)])),
  codes: bodyCodes,
  runs: 100,
  read: (bytes) => {
    const value = decodeBody(bytes);
    assert.equal(toHex(encodeBody(value)), toHex(bytes));
    return { value };
  },
};

const order = defineMessage("shop/order", {
  body: z.object({ count: z.int(), name: z.string(), at: z.date() }),
  reply: z.array(z.custom<Uint8Array>((value) => value instanceof Uint8Array)),
});

const structuredBodies: BytesTarget = {
  name: "message-body",
  kind: "bytes",
  covers: ["message-type.ts#decodeMessageBody", "message-type.ts#decodeMessageReply"],
  seeds: () => ({ body: encodeBody({ count: 3, name: "apples", at: new Date(now) }) }),
  codes: [...bodyCodes, "EGTP_SCHEMA_MISMATCH"],
  read: async (bytes) => {
    try {
      await decodeMessageReply(order, bytes);
    } catch (error) {
      assert.ok([...bodyCodes, "EGTP_SCHEMA_MISMATCH"].includes((error as { code: string }).code));
    }
    return decodeMessageBody(order, bytes);
  },
};

const fields: ContactRecord = {
  id,
  seq: 7,
  issued: now,
  ttl: 86_400_000,
  strategies: [
    { kind: "tcp", host: "peer.example", port: 4000 },
    { kind: "websocket", url: "wss://peer.example/egtp?x=1" },
    { kind: "relay", relay },
    { kind: "x-radio", address: "channel 7" },
  ],
  services: ["relay", "metatracker"],
  gone: false,
};
const record = signContactRecord(fields, sign);
const recordCodes = [
  "EGTP_WIRE_TRUNCATED",
  "EGTP_WIRE_TRAILING_BYTES",
  "EGTP_WIRE_TOO_LARGE",
  "EGTP_WIRE_BAD_RECORD",
  "EGTP_WIRE_BAD_SIGNATURE",
  "EGTP_WIRE_EXPIRED",
  "EGTP_WIRE_NOT_YET_VALID",
];

const records: BytesTarget = {
  name: "contact-record",
  kind: "bytes",
  covers: ["contact-record.ts#verifyContactRecord"],
  seeds: () => ({
    full: record,
    gone: signContactRecord({ ...fields, strategies: [], services: [], gone: true }, sign),
    "from-later": concatBytes(
      record.subarray(0, 64),
      encodeBody({
        id: keys.publicKey,
        seq: 0,
        issued: now,
        ttl: 1,
        services: [],
        more: [1],
        strategies: [{ kind: "later", way: 1 }],
      }),
    ),
  }),
  codes: recordCodes,
  runs: 40,
  read: (bytes) => {
    const read = verifyContactRecord(bytes, now, believe);
    // What is not known here is passed over, so the bytes need not be the same; what they say is.
    const again = signContactRecord(read, () => bytes.slice(0, 64));
    assert.deepEqual(verifyContactRecord(again, now, believe), read);
    return read;
  },
};

const forgedRecords: BytesTarget = {
  ...records,
  name: "contact-record-signature",
  covers: ["ed25519.ts#verifyEd25519"],
  seeds: () => ({ full: record }),
  runs: 3,
  read: (bytes) => {
    const read = verifyContactRecord(bytes, undefined, verifyEd25519);
    assert.equal(toHex(bytes), toHex(record), "nobody else can sign");
    return read;
  },
  // The library computes in memory of its own.
  allocates: 10_000,
};

const page = signBootPage(
  { id, seq: 3, issued: now, expires: now + 1_000, records: [record, new Uint8Array(0)] },
  sign,
);
const pageCodes = [
  "EGTP_WIRE_TOO_LARGE",
  "EGTP_WIRE_BAD_BOOT_PAGE",
  "EGTP_WIRE_UNKNOWN_VERSION",
  "EGTP_WIRE_BAD_SIGNATURE",
  "EGTP_WIRE_EXPIRED",
  "EGTP_WIRE_NOT_YET_VALID",
];

function readPage(bytes: Uint8Array): unknown {
  const read = verifyBootPage(bytes, now, believe);
  const again = signBootPage(read, () => new Uint8Array(64));
  assert.deepEqual(verifyBootPage(again, now, believe), read);
  return read;
}

const pages: TextTarget = {
  name: "boot-page",
  kind: "text",
  covers: ["boot-page.ts#verifyBootPage"],
  seeds: () => ({
    page: decodeUtf8(page)!,
    spaced: JSON.stringify({ more: [], ...(JSON.parse(decodeUtf8(page)!) as object) }, undefined, 2),
  }),
  codes: pageCodes,
  read: (text) => readPage(encodeUtf8(text)),
};

const pagePayloads: BytesTarget = {
  name: "boot-page-payload",
  kind: "bytes",
  covers: ["boot-page.ts#verifyBootPage"],
  seeds: () => {
    const { payload } = JSON.parse(decodeUtf8(page)!) as { payload: string };
    return { payload: fromBase64Url(payload)! };
  },
  codes: pageCodes,
  // Text of base64 around it, and of JSON around that.
  allocates: 64,
  read: (payload) =>
    readPage(encodeUtf8(JSON.stringify({ v: 1, payload: toBase64Url(payload), signature: toBase64Url(payload) }))),
};

const peerIds: TextTarget = {
  name: "peer-id",
  kind: "text",
  covers: ["peer-id.ts#parsePeerId", "peer-id.ts#isPeerId"],
  seeds: () => ({ ours: id, theirs: relay }),
  codes: ["EGTP_WIRE_BAD_PEER_ID"],
  read: (text) => {
    const is = isPeerId(text);
    const read: PeerId = parsePeerId(text);
    assert.equal(is, true);
    assert.equal(peerIdFromBytes(peerIdToBytes(read)), text);
    return read;
  },
};

const publicKeys: BytesTarget = {
  name: "public-key",
  kind: "bytes",
  covers: [
    "peer-id.ts#peerIdFromBytes",
    "ed25519.ts#isEd25519PublicKey",
    "ed25519-encoding.ts#isCanonicalPoint",
    "birational-map.ts",
  ],
  seeds: () => ({ ours: keys.publicKey, theirs: peerIdToBytes(relay) }),
  codes: ["EGTP_WIRE_BAD_PEER_ID"],
  read: (bytes) => {
    const image = x25519PublicKeyOf(bytes);
    if (image !== null) assert.ok(isEd25519PublicKey(bytes) && isCanonicalPoint(bytes, 0) && image.length === 32);
    const read = peerIdFromBytes(bytes);
    assert.ok(image !== null);
    assert.equal(toHex(peerIdToBytes(parsePeerId(read))), toHex(bytes));
    return read;
  },
};

const signatures: BytesTarget = {
  name: "signature",
  kind: "bytes",
  covers: ["ed25519-encoding.ts#isWellFormedSignature", "ed25519-encoding.ts#isCanonicalScalar"],
  seeds: () => ({ ours: record.slice(0, 64) }),
  codes: [],
  read: (bytes) => {
    const is = isWellFormedSignature(keys.publicKey, bytes);
    if (is) assert.ok(isCanonicalScalar(bytes, 32));
    return is;
  },
};

const typeNames: BytesTarget = {
  name: "type-name",
  kind: "bytes",
  covers: ["type-name.ts#decodeTypeName", "bytes.ts#decodeUtf8"],
  seeds: () => ({ plain: encodeUtf8("shop/order"), accented: encodeUtf8("é".repeat(64)), waving: encodeUtf8("👋") }),
  codes: [],
  read: (bytes) => {
    const text = decodeUtf8(bytes);
    if (text !== undefined) assert.equal(toHex(encodeUtf8(text)), toHex(bytes));
    const name = decodeTypeName(bytes);
    if (name !== undefined) assert.equal(toHex(encodeTypeName(name)!), toHex(bytes));
    return name;
  },
};

const base64Texts: TextTarget = {
  name: "base64url",
  kind: "text",
  covers: ["base64url.ts#fromBase64Url"],
  seeds: () =>
    Object.fromEntries([0, 1, 2, 3, 40].map((length) => [`bytes-${length}`, toBase64Url(sampleBytes(length))])),
  codes: [],
  read: (text) => {
    const bytes = fromBase64Url(text);
    if (bytes !== undefined) assert.equal(toBase64Url(bytes), text);
    return bytes;
  },
};

const hexTexts: TextTarget = {
  name: "hex",
  kind: "text",
  covers: ["bytes.ts#fromHex"],
  seeds: () => ({ none: "", some: toHex(sampleBytes(20)) }),
  codes: ["EGTP_WIRE_BAD_HEX"],
  read: (text) => {
    const bytes = fromHex(text);
    assert.equal(toHex(bytes), text);
    return bytes;
  },
};

const urls: TextTarget = {
  name: "websocket-url",
  kind: "text",
  covers: ["contact-record.ts#isWebSocketUrl", "contact-record.ts#isOwnStrategyKind"],
  seeds: () => ({
    name: "wss://peer.example/egtp?x=1",
    address: "ws://[2001:db8::1]:4000",
    port: "ws://127.0.0.1:65535/",
  }),
  codes: [],
  read: (text) => {
    isOwnStrategyKind(text);
    const is = isWebSocketUrl(text);
    if (is) assert.match(new URL(text).protocol, /^wss?:$/);
    return is;
  },
};

function framed(...lengths: readonly number[]): Uint8Array {
  return concatBytes(
    ...lengths.map((length) => {
      const bytes = sampleBytes(length + 4, length);
      writeLengthPrefix(length, bytes);
      return bytes;
    }),
  );
}

const streams: BytesTarget = {
  name: "stream",
  kind: "bytes",
  covers: ["framing.ts#push"],
  seeds: () => ({
    one: framed(1),
    several: framed(90, 1, 74, 300),
    long: framed(2_000),
    "cut-short": framed(100).slice(0, 50),
  }),
  codes: ["EGTP_WIRE_BAD_LENGTH", "EGTP_WIRE_TOO_LARGE"],
  read: (bytes) => {
    const pieces = (size: number): string => {
      const splitter = new EnvelopeSplitter();
      const said: string[] = [];
      try {
        for (let at = 0; at < bytes.length; at += size) {
          const chunk = bytes.slice(at, at + size);
          for (const each of splitter.push(chunk)) said.push(toHex(each));
          if (splitter.failure !== undefined) throw splitter.failure;
          assert.ok(splitter.bufferedBytes <= Math.min(bytes.length, maxEnvelopeBytes + 4));
        }
      } catch (error) {
        assert.equal(error, splitter.failure);
        assert.throws(() => splitter.push(Uint8Array.of(0)), splitter.failure as object);
        said.push(splitter.failure!.code);
      }
      return said.join(" ");
    };
    const whole = pieces(bytes.length + 1);
    for (const size of [1, 3, 64]) assert.equal(pieces(size), whole, "however it is cut");
    const splitter = new EnvelopeSplitter();
    const envelopesRead = splitter.push(bytes);
    if (splitter.failure !== undefined) throw splitter.failure;
    return envelopesRead;
  },
};

export const fuzzed: FuzzedPackage = {
  here: import.meta.url,
  targets: [
    envelopes,
    frames,
    bodies,
    structuredBodies,
    records,
    forgedRecords,
    pages,
    pagePayloads,
    peerIds,
    publicKeys,
    signatures,
    typeNames,
    base64Texts,
    hexTexts,
    urls,
    streams,
  ],
  elsewhere: Object.fromEntries(
    [
      "ids.ts#sessionIdFromBytes",
      "ids.ts#offerIdFromBytes",
      "ids.ts#epochFromBytes",
      "ids.ts#storeTagFromBytes",
      "peer-id.ts#peerIdFromTrustedBytes",
    ].map((name) => [name, "who calls it took exactly so many bytes; another number is the caller's mistake"]),
  ),
};
