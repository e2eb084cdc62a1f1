/** Everything of this package that reads bytes or text from outside, for `fuzz.property.test.ts` and the long run. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { isIP } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { identityFromSeed, MesgenError } from "@egtp/mesgen";
import type { BytesTarget, FuzzedPackage, TextTarget } from "@egtp/test-kit/fuzz";
import { concatBytes, fromHex, isWebSocketUrl, signContactRecord, toHex, writeLengthPrefix } from "@egtp/wire";
import { afterAll } from "vitest";
import { hostOfUrl, isIpAddress, isRoutableAddress, sourceOf } from "../src/address.ts";
import { createDialTag, matchDialTag } from "../src/dial-tag.ts";
import { LinkWatch } from "../src/link-watch.ts";
import { folderLookup } from "../src/nodejs/folder-lookup.ts";
import { loadIdentity } from "../src/nodejs/identity-file.ts";
import { ByteStreamMedium, StreamReader } from "../src/stream-medium.ts";
import type { LinkEnd } from "../src/transport.ts";
import { transportLimits } from "../src/transport-limits.ts";
import { Reception } from "../src/transport-reception.ts";
import { VirtualTime } from "../src/virtual-time.ts";
import { corpus, Party } from "./hostile-frames.ts";

const now = 1_800_000_000_000;
const seed = new Uint8Array(32).fill(1);
const { peer, keys } = identityFromSeed(seed);
const sha512 = (...parts: readonly Uint8Array[]) => {
  const hash = createHash("sha512");
  for (const part of parts) hash.update(part);
  return new Uint8Array(hash.digest());
};

const folder = mkdtempSync(join(tmpdir(), "egtp-fuzz-"));
afterAll(() => rmSync(folder, { recursive: true }));

const loopback = /^(?:127(?:\.\d+)*|0x7f[0-9a-f]*(?:\.\d+)*|2130706433|localhost|::1|::ffff:127\..*)\.?$/i;

const addresses: TextTarget = {
  name: "address",
  kind: "text",
  covers: ["address.ts#isRoutableAddress", "address.ts#isIpAddress", "address.ts"],
  seeds: () => ({
    name: "peer.example.",
    v4: "203.0.114.1",
    private: "192.168.1.20",
    v6: "2001:db8::1",
    mapped: "::ffff:127.0.0.1",
    nat64: "64:ff9b::10.0.0.1",
    zone: "fe80::1%eth0",
    url: "wss://[2002:7f00:1::]:4000/egtp",
  }),
  codes: [],
  read: (text) => {
    const isRoutable = isRoutableAddress(text);
    assert.equal(isIpAddress(text), !text.includes("%") && isIP(text) !== 0);
    assert.equal(typeof sourceOf(text), "string");
    if (isWebSocketUrl(text)) assert.ok(!hostOfUrl(text).startsWith("["));
    // What a resolver takes for loopback, and not for a name, is none that strangers may have us dial.
    if (isRoutable) assert.doesNotMatch(text, loopback);
    return true;
  },
};

const salt = new Uint8Array(16).fill(5);
const tag = createDialTag(sha512, salt, keys.publicKey);

const dialTags: BytesTarget = {
  name: "dial-tag",
  kind: "bytes",
  covers: ["dial-tag.ts#matchDialTag"],
  seeds: () => ({ ours: tag }),
  codes: [],
  read: (bytes) => {
    const found = matchDialTag(sha512, bytes, [new Uint8Array(32), keys.publicKey]);
    const isOurs = toHex(bytes.subarray(0, 32)) === toHex(createDialTag(sha512, padded(bytes), keys.publicKey));
    assert.equal(found, isOurs ? 1 : -1);
    return found < 0 ? undefined : true;
  },
};

/** The salt in these bytes, as long as it should be. */
function padded(bytes: Uint8Array): Uint8Array {
  const whole = new Uint8Array(16);
  whole.set(bytes.subarray(0, 16));
  return whole;
}

function framed(...lengths: readonly number[]): Uint8Array {
  return concatBytes(
    ...lengths.map((length) => {
      const bytes = new Uint8Array(4 + length).fill(length);
      writeLengthPrefix(length, bytes);
      return bytes;
    }),
  );
}

/** A connection that came in, from its first byte: pieces of so many bytes as the first one says. */
const connections: BytesTarget = {
  name: "connection",
  kind: "bytes",
  covers: [
    "transport-reception.ts#receive",
    "envelope-stream.ts#receive",
    "transport-link.ts#receive",
    "stream-medium.ts#receive",
  ],
  seeds: () => ({
    "in-one": concatBytes(Uint8Array.of(255), tag, framed(74, 300)),
    "in-many": concatBytes(Uint8Array.of(7), tag, framed(90, 1, 74)),
    "tag-alone": concatBytes(Uint8Array.of(33), tag),
    "no-such-length": concatBytes(Uint8Array.of(20), tag, Uint8Array.of(255, 255, 255, 255, 1)),
    "another-tag": concatBytes(Uint8Array.of(40), new Uint8Array(32), framed(74)),
  }),
  codes: [],
  runs: 20,
  read: async (bytes) => {
    const time = new VirtualTime();
    const watch = new LinkWatch(transportLimits({}), time);
    const reception = new Reception({ sha512, watch, listen: undefined });
    let got = 0;
    const ends: LinkEnd[] = [];
    const served = await reception.serve(peer, (link) => {
      link.start({
        envelope: (envelope) => {
          got += 4 + envelope.length;
        },
        drain: () => {},
        closed: (end) => void ends.push(end),
      });
    });
    let hungUp = 0;
    let isLinked = false;
    const visitor = reception.admit("192.0.2.1", () => {
      hungUp += 1;
    })!;
    let say: ReadableStreamDefaultController<Uint8Array>;
    const readable = new ReadableStream<Uint8Array>({
      start: (controller) => {
        say = controller;
      },
    });
    const caller = {
      remote: "192.0.2.1:5",
      open: () => {
        isLinked = true;
        return new ByteStreamMedium(new StreamReader(readable), new WritableStream<Uint8Array>(), undefined);
      },
    };
    const size = 1 + (bytes[0] ?? 0);
    for (let at = 1; at < bytes.length; at += size) {
      const piece = bytes.slice(at, at + size);
      if (!isLinked) visitor.receive(piece, caller);
      else if (ends.length === 0) say!.enqueue(piece);
      await time.pass(1);
    }
    // Nobody proved who they are: it ends in time, whatever came.
    await time.pass(60_000);
    assert.ok(got <= bytes.length);
    assert.equal(hungUp + ends.length, 1, "it ends once");
    await served.stop();
    assert.equal(time.timers, 0);
    return true;
  },
};

const ourMark = "e0e1e2e3e4e5e6e7";
const theirMark = "a0a1a2a3a4a5a6a7";

/** Frames that a peer says in its session, where these marks stand for the epochs of both. */
const frames: BytesTarget = {
  name: "session-frames",
  kind: "bytes",
  covers: ["endpoint.ts#receive", "delivery.ts"],
  seeds: () =>
    Object.fromEntries(
      corpus.map((frame, at) => [`frame-${at}`, fromHex(frame.replaceAll("E", ourMark).replaceAll("M", theirMark))]),
    ),
  codes: [],
  runs: 5,
  read: (bytes) => {
    const [victim, liar] = [new Party(), new Party()];
    victim.say(liar.id, "to the liar", now);
    for (const envelope of victim.turn(liar.id, now)) liar.endpoint.mesgen.open(envelope, now);
    const text = toHex(bytes).replaceAll(ourMark, victim.epoch).replaceAll(theirMark, liar.epoch);
    for (const application of [true, false]) {
      try {
        const carrier = liar.endpoint.mesgen.carrier(victim.id, now, { application });
        victim.endpoint.receive(liar.endpoint.mesgen.seal(carrier, fromHex(text), now), now);
      } catch (error) {
        if (!(error instanceof MesgenError)) throw error;
      }
      victim.turn(liar.id, now + 1_000);
    }
    // That others are served all the same is told in hostile-frames.ts; here it is written down, and read again.
    void victim.commit();
    assert.equal(victim.damagedAfterRestart(now), 0);
    return true;
  },
  allocates: 64,
  beside: 1_000_000,
};

const identityFiles: TextTarget = {
  name: "identity-file",
  kind: "text",
  covers: ["identity-file.ts#loadIdentity"],
  seeds: () => ({
    kept: `EGTP identity, secret: whoever has this file can be you\n${toHex(seed)}\n${peer}\n`,
  }),
  codes: ["EGTP_IDENTITY_FILE_BAD"],
  runs: 5,
  read: async (text) => {
    const path = join(folder, "identity");
    writeFileSync(path, text);
    chmodSync(path, 0o600);
    const identity = await loadIdentity(path);
    assert.ok(text.includes(toHex(identity.exportSeed())) && text.includes(identity.peer));
    return identity;
  },
};

const record = signContactRecord(
  { id: peer, seq: 1, issued: now, ttl: 86_400_000, strategies: [], services: ["relay"], gone: false },
  (message) => keys.sign(message),
);

const recordFiles: BytesTarget = {
  name: "record-file",
  kind: "bytes",
  covers: ["folder-lookup.ts"],
  seeds: () => ({ record }),
  codes: ["EGTP_LOOKUP_BAD_RECORD"],
  runs: 5,
  read: async (bytes) => {
    writeFileSync(join(folder, `${peer}.record`), bytes);
    const lookup = folderLookup(folder, { now: () => now });
    const { signal } = new AbortController();
    const found = await lookup.discover!("relay", { max: 3, signal });
    const read = await lookup.lookUp(peer, { signal });
    // One that is out of date counts as none.
    assert.equal(found.length, read === undefined ? 0 : 1);
    if (read !== undefined) assert.equal(toHex(read), toHex(record), "nobody else can sign");
    return read;
  },
};

export const fuzzed: FuzzedPackage = {
  here: import.meta.url,
  targets: [addresses, dialTags, connections, frames, identityFiles, recordFiles],
  elsewhere: {
    "browser-identity.ts#loadIdentity":
      "tools/browser-tests/test/storage.slow.test.ts: refuses what is kept under the name of an identity and is none",
    "certificate.ts": "it hands on what the program gives",
    "memory.ts#isHeld": "a network within one process, for tests",
    "transport-limits.ts#checkEnvelopeLength": "it looks at what is to be sent",
    "websocket-medium.ts#receive":
      "packages/node/test/websocket-browser.test.ts: ends a link that sends more than can be held while it is judged",
    "ws-listener.ts": "packages/node/test/websocket.test.ts: ends a connection that does not speak HTTP",
    "ws-medium.ts#receive": "packages/node/test/websocket.test.ts: takes the stream in messages cut anyhow",
  },
};
