/** Everything of this package that reads bytes or text from outside, for `fuzz.property.test.ts` and the long run. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { identityFromSeed } from "@egtp/node";
import { VirtualTime } from "@egtp/node/memory";
import type { BytesTarget, FuzzedPackage, TextTarget } from "@egtp/test-kit/fuzz";
import {
  concatBytes,
  decodeMessageBody,
  decodeMessageReply,
  decodeUtf8,
  encodeBody,
  encodeUtf8,
  equalBytes,
  minEnvelopeBytes,
  peerIdToBytes,
  toHex,
} from "@egtp/wire";
import { afterAll } from "vitest";
import { type InHand, Intake } from "../src/client-intake.ts";
import { defaultRelayClientLimits } from "../src/client-limits.ts";
import { decodeMailboxRecord, encodeMailboxRecord } from "../src/mailbox-record.ts";
import { MemoryMailboxStore } from "../src/memory-store.ts";
import { readAllowFile } from "../src/nodejs/allow-file.ts";
import { LmdbMailboxStore, type MailboxFile } from "../src/nodejs/lmdb.ts";
import {
  collectRequest,
  decodeAcknowledgement,
  decodeCollected,
  decodeMail,
  decodePassAlong,
  decodePassAlongStatus,
  encodeAcknowledgement,
  encodeCollected,
  encodePassAlong,
  encodePassAlongStatus,
  limitsRequest,
  registerRequest,
  writeMailId,
} from "../src/protocol.ts";
import { anyPeer, mailOf } from "./mails.ts";

const now = 1_800_000_000_000;
const tag = new Uint8Array(8).fill(3);
const owner = anyPeer(1);
const badMessage = ["EGTP_RELAY_BAD_MESSAGE"];
const badBody = ["EGTP_WIRE_BAD_BODY", "EGTP_WIRE_TRAILING_BYTES", "EGTP_SCHEMA_MISMATCH"];

const folder = mkdtempSync(join(tmpdir(), "egtp-fuzz-"));
afterAll(() => rmSync(folder, { recursive: true }));

function envelopeOf(length = minEnvelopeBytes): Uint8Array {
  return new Uint8Array(length).fill(length);
}

function mailBytes(number: number, envelope = envelopeOf()): Uint8Array {
  const bytes = new Uint8Array(16 + envelope.length);
  writeMailId(tag, number, bytes, 0);
  bytes.set(envelope, 16);
  return bytes;
}

const passAlongs: BytesTarget = {
  name: "pass-along",
  kind: "bytes",
  covers: ["protocol.ts#decodePassAlong"],
  seeds: () => ({ envelope: encodePassAlong(peerIdToBytes(owner), envelopeOf()) }),
  codes: badMessage,
  read: (bytes) => {
    const read = decodePassAlong(bytes);
    assert.ok(equalBytes(encodePassAlong(read.recipient, read.envelope), bytes));
    return read;
  },
};

const statuses: BytesTarget = {
  name: "pass-along-status",
  kind: "bytes",
  covers: ["protocol.ts#decodePassAlongStatus"],
  seeds: () => ({
    passed: encodePassAlongStatus({ state: "passed" }, now),
    stored: encodePassAlongStatus({ state: "stored", until: now + 1_000 }, now),
    refused: encodePassAlongStatus({ state: "refused", refusal: "too-fast" }, now),
  }),
  codes: badMessage,
  read: (bytes) => {
    const read = decodePassAlongStatus(bytes, now);
    assert.ok(equalBytes(encodePassAlongStatus(read, now), bytes));
    // As the sender's store keeps it.
    if (read.state === "stored") assert.ok(Number.isSafeInteger(read.until));
    return read;
  },
};

const mails: BytesTarget = {
  name: "mail",
  kind: "bytes",
  covers: ["protocol.ts#decodeMail"],
  seeds: () => ({ first: mailBytes(1), last: mailBytes(Number.MAX_SAFE_INTEGER, envelopeOf(200)) }),
  codes: badMessage,
  read: (bytes) => {
    const { tag: read, number, envelope } = decodeMail(bytes);
    const again = new Uint8Array(bytes.length);
    writeMailId(read, number, again, 0);
    again.set(envelope, 16);
    assert.ok(equalBytes(again, bytes));
    return true;
  },
};

const list = [1, 2, 7, 300].map((number) => ({ number, envelope: envelopeOf(minEnvelopeBytes + number) }));

const collections: BytesTarget = {
  name: "collected",
  kind: "bytes",
  covers: ["protocol.ts#decodeCollected"],
  seeds: () => ({ none: encodeCollected({ tag, mails: [] }), some: encodeCollected({ tag, mails: list }) }),
  codes: badMessage,
  read: (bytes) => {
    const read = decodeCollected(bytes);
    assert.ok(equalBytes(encodeCollected(read), bytes));
    return read;
  },
};

/** Whatever an owner says that the relay may forget: it forgets no more than it has. */
const acknowledgements: BytesTarget = {
  name: "acknowledgement",
  kind: "bytes",
  covers: ["protocol.ts#decodeAcknowledgement"],
  seeds: () => ({
    none: encodeAcknowledgement({ tag, ranges: [] }),
    some: encodeAcknowledgement({ tag, ranges: [1, 2, 4, 9] }),
    all: encodeAcknowledgement({ tag, ranges: [0, Number.MAX_SAFE_INTEGER] }),
  }),
  codes: badMessage,
  allocates: 200,
  read: (bytes) => {
    const read = decodeAcknowledgement(bytes);
    assert.ok(equalBytes(encodeAcknowledgement(read), bytes));
    const store = new MemoryMailboxStore();
    const registered = store.register(owner, { id: "1", isFirst: true }, now);
    assert.ok(registered.state === "active");
    for (let content = 0; content < 5; content++) store.deposit(owner, mailOf(content), false, now);
    const { acknowledged, unknown } = store.acknowledge(owner, registered.mailbox.tag, read.ranges);
    assert.ok(acknowledged <= 5 && acknowledged + store.counts().waiting === 5 && unknown >= 0);
    return read;
  },
};

const limitsReply = {
  maxMessages: 9,
  maxBytes: 10_000,
  ttlMs: 1_000,
  maxEnvelopeBytes: 70_000,
  maxSenderMessages: 3,
  maxSenderBytes: 9,
  access: "open",
};

const structured: BytesTarget = {
  name: "structured-bodies",
  kind: "bytes",
  covers: ["protocol.ts"],
  seeds: () => ({
    register: encodeBody({ run: tag, first: true, standby: false }),
    collect: encodeBody({ after: 3, maxBytes: 100 }),
    limits: encodeBody(limitsReply),
    active: encodeBody({
      state: "active",
      tag,
      limits: limitsReply,
      waiting: { messages: 1, bytes: 2 },
      replaced: false,
      gaps: false,
    }),
    superseded: encodeBody({ state: "superseded" }),
    refused: encodeBody({ state: "refused", reason: "full", of: "a later version" }),
  }),
  codes: badBody,
  read: (bytes) => {
    const readers = [
      () => decodeMessageBody(registerRequest, bytes),
      () => decodeMessageReply(registerRequest, bytes),
      () => decodeMessageReply(limitsRequest, bytes),
      () => decodeMessageBody(collectRequest, bytes),
    ];
    let failure: unknown;
    for (const read of readers) {
      try {
        return read();
      } catch (error) {
        assert.ok(badBody.includes((error as { code: string }).code));
        failure = error;
      }
    }
    throw failure;
  },
};

const sharedRecords: TextTarget = {
  name: "mailbox-record",
  kind: "text",
  covers: ["mailbox-record.ts#decodeMailboxRecord"],
  seeds: () => ({
    open: decodeUtf8(
      encodeMailboxRecord({ tag, isOpen: true, contactAt: now, writer: "a", run: "0102", superseded: ["03"] }),
    )!,
  }),
  codes: [],
  read: (text) => {
    const read = decodeMailboxRecord(encodeUtf8(text));
    if (read !== undefined) assert.deepEqual(decodeMailboxRecord(encodeMailboxRecord(read)), read);
    return read;
  },
};

const validId = identityFromSeed(new Uint8Array(32).fill(1)).peer;

const allowFiles: TextTarget = {
  name: "allow-file",
  kind: "text",
  covers: ["allow-file.ts#readAllowFile"],
  seeds: () => ({
    some: `# who may\n\n${validId} # a friend\r\n  ${validId}\n`,
    empty: "",
  }),
  codes: ["EGTP_COMMAND_USAGE"],
  runs: 10,
  read: async (text) => {
    const path = join(folder, "allow");
    writeFileSync(path, text);
    const ids = await readAllowFile(path);
    assert.ok(ids.every((id) => text.includes(id)));
    return ids;
  },
};

/** The length of what follows, and that. */
function chunk(value: Uint8Array): Uint8Array {
  return concatBytes(Uint8Array.of(value.length >> 8, value.length), value);
}

function chunksOf(input: Uint8Array): Uint8Array[] {
  const chunks: Uint8Array[] = [];
  for (let at = 0; at < input.length; ) {
    const end = at + 2 + (input[at]! << 8) + (input[at + 1] ?? 0);
    chunks.push(input.slice(at + 2, end));
    at = end;
  }
  return chunks;
}

/** What the store writes into its file when it has a mailbox with mail. */
async function written(): Promise<Map<string, Uint8Array>> {
  const records = new Map<string, Uint8Array>();
  const store = await storeOver(records);
  await store.register(owner, { id: "1", isFirst: true }, now);
  await store.register(anyPeer(2), { id: "1", isFirst: true }, now);
  for (let content = 0; content < 3; content++) await store.deposit(owner, mailOf(content), false, now);
  await store.close();
  return records;
}

/** The store over a file that holds these, with right checksums. */
function storeOver(records: Map<string, Uint8Array>): Promise<LmdbMailboxStore> {
  const file: MailboxFile = {
    report: { uncleanStop: false, setAside: undefined },
    get: (key) => records.get(key),
    write: async (batch) => {
      for (const [key, value] of batch) {
        if (value === undefined) records.delete(key);
        else records.set(key, value);
      }
    },
    close: async () => {},
  };
  return LmdbMailboxStore.open("", {
    seams: {
      random: (length) => new Uint8Array(length).fill(3),
      now: () => now,
      openFile: async (_folder, { load }) => {
        load!.begin();
        for (const key of [...records.keys()].sort()) {
          if (key >= load!.from && key < load!.to) load!.record(key, records.get(key)!);
        }
        return file;
      },
    },
  });
}

let seedRecords = new Map<string, Uint8Array>();
await written().then((records) => {
  seedRecords = records;
});

const files: BytesTarget = {
  name: "mailbox-file",
  kind: "bytes",
  covers: ["lmdb.ts#open", "mailboxes.ts#restore"],
  seeds: () => ({
    all: concatBytes(
      ...[...seedRecords]
        .filter(([key]) => !key.startsWith("m:"))
        .flatMap(([key, value]) => [chunk(encodeUtf8(key)), chunk(value)]),
    ),
    "mail-alone": concatBytes(
      ...[...seedRecords]
        .filter(([key]) => key.startsWith("i:"))
        .flatMap(([key, value]) => [chunk(encodeUtf8(key)), chunk(value)]),
    ),
  }),
  codes: [],
  runs: 20,
  read: async (input) => {
    const records = new Map<string, Uint8Array>();
    const chunks = chunksOf(input);
    for (let i = 0; i + 1 < chunks.length; i += 2) records.set(decodeUtf8(chunks[i]!) ?? "", chunks[i + 1]!);
    const store = await storeOver(records);
    const registered = await store.register(owner, { id: "2", isFirst: true }, now);
    assert.equal(registered.state, "active");
    const found = store.find(owner)!;
    assert.equal((await store.deposit(owner, mailOf(9), false, now)).state, "stored");
    const collected = store.collect(owner, 0, { maxMessages: 100, maxBytes: 1_000_000 }, now);
    assert.ok(collected.some(({ body }) => equalBytes(body.subarray(16), mailOf(9).body.subarray(16))));
    store.acknowledge(owner, found.tag, [0, Number.MAX_SAFE_INTEGER]);
    store.expire(now + 1e12);
    assert.equal(store.counts().waiting, 0);
    await store.close();
    return true;
  },
};

/** A relay that lies about what waits, what it is called and how it is numbered. */
const pushes: BytesTarget = {
  name: "mail-of-a-liar",
  kind: "bytes",
  covers: ["client-intake.ts"],
  seeds: () => ({
    "in-order": concatBytes(...[1, 2, 3].map((number) => chunk(mailBytes(number)))),
    "with-a-gap": concatBytes(...[1, 9, 3, 3].map((number) => chunk(mailBytes(number)))),
    collected: chunk(encodeCollected({ tag, mails: list })),
    last: chunk(mailBytes(Number.MAX_SAFE_INTEGER)),
  }),
  codes: [],
  runs: 20,
  read: async (input) => {
    const time = new VirtualTime();
    const chunks = chunksOf(input);
    const handed: string[] = [];
    let answers = 0;
    const inHand: InHand = new Map();
    const intake = new Intake({
      limits: { ...defaultRelayClientLimits, maxMails: 3 },
      counts: { taken: 0, notTaken: 0, repeated: 0, acknowledged: 0 },
      now: () => time.now(),
      setTimer: (task, delayMs) => time.setTimer(task, delayMs),
      takeMail: async (envelope) => {
        handed.push(toHex(envelope));
        return handed.length % 3 !== 0;
      },
      inHandOf: () => inHand,
      collect: async () => {
        answers += 1;
        // It would be asked for ever, as it should be; here it is not there any more.
        const answer = chunks[answers % (chunks.length + 1)];
        if (answer === undefined || answers > 10) throw new Error("out of reach");
        return answer;
      },
      acknowledge: async (body) => {
        assert.ok(decodeAcknowledgement(body).ranges.length > 0);
        return true;
      },
    });
    for (const each of chunks) {
      try {
        intake.take(decodeMail(each));
      } catch (error) {
        assert.ok(badMessage.includes((error as { code: string }).code));
      }
      intake.expect(tag, chunks.length, input.length % 2 === 0);
      await time.pass(1_000);
    }
    await time.pass(60_000);
    assert.ok(answers <= 30, "it is not asked without end");
    await time.of(intake.stop());
    assert.ok(intake.isQuiet && inHand.size === 0);
    return true;
  },
};

export const fuzzed: FuzzedPackage = {
  here: import.meta.url,
  targets: [
    passAlongs,
    statuses,
    mails,
    collections,
    acknowledgements,
    structured,
    sharedRecords,
    allowFiles,
    files,
    pushes,
  ],
  elsewhere: { "relay-command.ts": "its number is what one expression lets through" },
};
