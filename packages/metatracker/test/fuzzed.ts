/** Everything of this package that reads bytes or text from outside, for `fuzz.property.test.ts` and the long run. */
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { identityFromSeed } from "@egtp/node";
import type { BytesTarget, FuzzedPackage, TextTarget } from "@egtp/test-kit/fuzz";
import {
  decodeMessageBody,
  decodeMessageReply,
  encodeBody,
  maxBootPageBytes,
  signContactRecord,
  toHex,
} from "@egtp/wire";
import { afterAll } from "vitest";
import * as z from "zod/mini";
import { requestBootPage } from "../src/boot-page-request.ts";
import { parseBootPageUrl } from "../src/boot-page-url.ts";
import { Directory } from "../src/directory.ts";
import { decodeKeptRecord, encodeKeptRecord } from "../src/kept-record.ts";
import { MemoryDirectoryStore } from "../src/memory-store.ts";
import { bootPageFiles } from "../src/nodejs/boot-page-files.ts";
import { duration, readHost, readOptions, readPeerId, wholeNumber } from "../src/nodejs/command-line.ts";
import { checkServerOptions, serverSchemaWith, serverSpecs } from "../src/nodejs/server-options.ts";
import { helloRequest, listRequest } from "../src/protocol.ts";

const now = 1_800_000_000_000;
const { peer, keys } = identityFromSeed(new Uint8Array(32).fill(1));
const record = signContactRecord(
  {
    id: peer,
    seq: 1,
    issued: now,
    ttl: 86_400_000,
    services: ["relay", "x"],
    gone: false,
    strategies: [{ kind: "tcp", host: "relay.example", port: 4000 }],
  },
  (message) => keys.sign(message),
);

const folder = mkdtempSync(join(tmpdir(), "egtp-fuzz-"));
afterAll(() => rmSync(folder, { recursive: true }));

const urls: TextTarget = {
  name: "boot-page-url",
  kind: "text",
  covers: ["boot-page-url.ts#parseBootPageUrl"],
  seeds: () => ({
    named: `https://example.org/boot.json?x=1#${peer}`,
    loopback: "http://[::1]:8080/boot.json",
    unnamed: "https://192.0.2.1/",
  }),
  codes: ["EGTP_BOOT_PAGE_URL"],
  read: (text) => {
    const read = parseBootPageUrl(text);
    const again = read.publisher === undefined ? read.url : `${read.url}#${read.publisher}`;
    assert.deepEqual(parseBootPageUrl(again), read);
    const { username, password, hash } = new URL(read.url);
    assert.equal(username + password + hash, "");
    return read;
  },
};

const bodyCodes = ["EGTP_WIRE_BAD_BODY", "EGTP_WIRE_TRAILING_BYTES", "EGTP_SCHEMA_MISMATCH"];

const structured: BytesTarget = {
  name: "structured-bodies",
  kind: "bytes",
  covers: ["protocol.ts"],
  seeds: () => ({
    list: encodeBody({ service: "relay", max: 3 }),
    listed: encodeBody({ records: [record, new Uint8Array(0)] }),
    kept: encodeBody({ state: "kept" }),
    older: encodeBody({ state: "older", record }),
    refused: encodeBody({ state: "refused", reason: "later" }),
  }),
  codes: bodyCodes,
  read: (bytes) => {
    const readers = [
      () => decodeMessageBody(listRequest, bytes),
      () => decodeMessageReply(listRequest, bytes),
      () => decodeMessageReply(helloRequest, bytes),
    ];
    let failure: unknown;
    for (const read of readers) {
      try {
        return read();
      } catch (error) {
        assert.ok(bodyCodes.includes((error as { code: string }).code));
        failure = error;
      }
    }
    throw failure;
  },
};

/** Whatever is published as the record of somebody: a directory keeps a record, or says why not. */
const publications: BytesTarget = {
  name: "published-record",
  kind: "bytes",
  covers: ["directory.ts"],
  seeds: () => ({ record }),
  codes: [],
  read: async (bytes) => {
    const directory = new Directory({ store: new MemoryDirectoryStore(), verify: () => true });
    const { state } = await directory.publish("hello", bytes, peer, now);
    const found = await directory.lookUp(peer, now);
    assert.equal(found === undefined ? "refused" : "kept", state);
    if (found === undefined) return undefined;
    assert.equal(toHex(found), toHex(bytes));
    await directory.list("relay", 10, now);
    assert.equal((await directory.publish("hello", bytes, peer, now)).state, "kept");
    await directory.sweep(now + 1e12);
    return found;
  },
};

const line = `${JSON.stringify({ url: "https://example.org/boot.json", publisher: peer, etag: '"a"' })}\n{"page":1}`;

const pageFiles: TextTarget = {
  name: "boot-page-file",
  kind: "text",
  covers: ["boot-page-files.ts#load"],
  seeds: () => ({ kept: line }),
  codes: [],
  runs: 10,
  read: async (text) => {
    const place = join(folder, "pages");
    const files = bootPageFiles(place);
    await files.save("https://example.org/boot.json", { publisher: peer, bytes: new Uint8Array(1), etag: undefined });
    writeFileSync(join(place, readdirSync(place)[0]!), text);
    const read = await files.load("https://example.org/boot.json");
    if (read !== undefined) assert.ok(text.includes(read.publisher));
    return read;
  },
};

/** What a web server answers: status, headers, an empty line, body. */
const answers: TextTarget = {
  name: "boot-page-answer",
  kind: "text",
  covers: ["boot-page-request.ts"],
  seeds: () => ({
    page: `200\netag: "a"\ncontent-length: 7\n\n{"v":1}`,
    moved: "302\nlocation: /other\n\n",
    "moved-away": "307\nlocation: https://example.net/boot.json#x\n\n",
    same: "304\n\n",
    "moved-on-and-on": "301\nlocation: ?\nx-times: 3\n\n",
    "refused-missing": "404\ncontent-type: text/html\n\nnothing here",
  }),
  codes: ["EGTP_BOOT_PAGE_UNREACHABLE", "EGTP_BOOT_PAGE_STATUS", "EGTP_BOOT_PAGE_REDIRECT", "EGTP_BOOT_PAGE_TOO_LARGE"],
  read: async (text) => {
    let visits = 0;
    const fetch = async (url: string): Promise<Response> => {
      visits += 1;
      assert.match(url, /^https:/);
      if (visits > (Number.parseInt(/x-times: (\d+)/.exec(text)?.[1] ?? "", 10) || 1)) return new Response("{}");
      const end = text.indexOf("\n\n");
      const [status = "", ...lines] = text.slice(0, end < 0 ? text.length : end).split("\n");
      // A platform gives out no other status, and no header that is none.
      const code = 200 + ((Math.abs(Number.parseInt(status, 10) || 0) - 200) % 400);
      const headers = new Headers();
      for (const each of lines) {
        const colon = each.indexOf(":");
        try {
          headers.append(each.slice(0, colon), each.slice(colon + 1));
        } catch {}
      }
      const body = [204, 205, 304].includes(code) || end < 0 ? null : text.slice(end + 2);
      return new Response(body, { status: Math.max(200, code), headers });
    };
    const { signal } = new AbortController();
    const request = { url: "https://example.org/boot.json", allowInsecure: false, etag: '"a"', fetch, signal };
    try {
      const read = await requestBootPage(request);
      if (read !== undefined) assert.ok(read.bytes.length <= maxBootPageBytes);
      return read ?? true;
    } finally {
      assert.ok(visits > 0 && visits <= 6, "it is sent on without end");
    }
  },
};

const schema = z.extend(serverSchemaWith({ data: "./data", port: 4000 }), {
  ttl: z._default(duration(1_000, 86_400_000), 1_000),
  most: z._default(wholeNumber(1, 1_000), 1),
});
const specs = { ...serverSpecs, ttl: { type: "string" }, most: { type: "string" } } as const;

/** Words, one on each line. */
const commandLines: TextTarget = {
  name: "command-line",
  kind: "text",
  covers: ["command-line.ts#readOptions", "server-options.ts#checkServerOptions"],
  seeds: () => ({
    none: "",
    some: "--port\n4000\n--json\n--public-host\nrelay.example:4000\n--ttl\n90s\n--most=7",
    web: "--ws-port=0\n--public-url\nwss://relay.example/egtp\n--trust-proxy\n--boot-page\nhttps://example.org/",
  }),
  codes: ["EGTP_COMMAND_USAGE"],
  read: (text) => {
    const { options } = readOptions(
      text.split("\n").filter((word) => word !== ""),
      specs,
      schema,
    );
    assert.ok(options.port <= 65_535 && options.ttl <= 86_400_000 && options.most >= 1);
    checkServerOptions(options);
    return options;
  },
};

const words: TextTarget = {
  name: "command-word",
  kind: "text",
  covers: ["command-line.ts#readPeerId", "command-line.ts#readHost"],
  seeds: () => ({
    name: "relay.example:4000",
    address: "192.0.2.1",
    "long-address": "[2001:db8::1]:4000",
    "long-address-alone": "2001:db8::1",
    peer,
  }),
  codes: ["EGTP_COMMAND_USAGE"],
  read: (text) => {
    try {
      assert.equal(readPeerId(text, "--peer"), text);
    } catch (error) {
      assert.equal((error as { code: string }).code, "EGTP_COMMAND_USAGE");
    }
    const read = readHost(text, "--host");
    assert.ok(text.includes(read.host) && (read.port === undefined || (read.port > 0 && read.port <= 65_535)));
    return read;
  },
};

const keptRecords: BytesTarget = {
  name: "kept-record",
  kind: "bytes",
  covers: ["kept-record.ts#decodeKeptRecord"],
  seeds: () => {
    const kept = { peer, seq: 3, bytes: record, validUntil: now, keepUntil: now + 1 };
    return {
      some: encodeKeptRecord({ ...kept, services: ["relay", "x"] }),
      none: encodeKeptRecord({ ...kept, services: [] }),
    };
  },
  codes: [],
  read: (bytes) => {
    const read = decodeKeptRecord(peer, bytes);
    if (read !== undefined) assert.equal(toHex(encodeKeptRecord(read)), toHex(bytes));
    return read;
  },
};

export const fuzzed: FuzzedPackage = {
  here: import.meta.url,
  targets: [urls, structured, publications, pageFiles, answers, commandLines, words, keptRecords],
  elsewhere: {
    "lmdb.ts#open":
      "packages/metatracker/test/lmdb.test.ts: loses damaged records alone, and keeps them out of the file from then on",
    "certificate.ts#loadCertificate":
      "packages/metatracker/test/command-kit.test.ts: that do not fit are refused before anything is opened",
    "data-folder.ts#open": "it reads nothing",
    "serve.ts": "the URLs of the command line were checked with it",
  },
};
