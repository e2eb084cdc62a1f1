/** Each thing that a user or a stranger can hand in wrong ends in a typed error with a code and a hint, and nothing else is lost by it. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createIdentity } from "@egtp/mesgen";
import { defineMessage, EgtpError, type PeerId } from "@egtp/wire";
import { afterEach, beforeEach, expect, test } from "vitest";
import { z } from "zod";
import { createNode, type SendOutcome } from "../src/index.ts";
import { MemoryNetwork } from "../src/memory.ts";
import { loadIdentity } from "../src/nodejs/files.ts";
import { errorOf, World, type WorldNode } from "./world.ts";

const note = defineMessage("test/note");
const count = defineMessage("test/count", { body: z.number(), reply: z.number() });
const body = Uint8Array.of(1);

let world: World;
let alice: WorldNode;
let bob: WorldNode;
const heard: number[] = [];
beforeEach(async () => {
  world = new World();
  alice = await world.join("alice");
  bob = await world.join("bob");
  heard.length = 0;
  bob.node.handle(count, ({ body: n }) => {
    heard.push(n);
    return n;
  });
  void alice.node.request(bob.node.peerId, count, 1).catch(() => {});
});
afterEach(() => world.end());

function judge(error: unknown, code: string): void {
  expect(error).toBeInstanceOf(EgtpError);
  expect(error).toMatchObject({ code, hint: expect.stringMatching(/^[A-Z].{15,}[.)]$/) });
}

/** What was sent before and after all arrives, once. */
async function nothingIsLost(): Promise<void> {
  expect(await world.time.of(alice.node.request(bob.node.peerId, count, 2))).toBe(2);
  expect(heard).toEqual([1, 2]);
}

function reasonOf(outcome: SendOutcome): unknown {
  if (outcome.state !== "unreachable") throw new Error(`It is ${outcome.state}`);
  return outcome.reasons[0]!.error;
}

test("a wrong key file", async () => {
  const folder = await mkdtemp(join(tmpdir(), "egtp-bad-input-"));
  const path = join(folder, "alice.key");
  await writeFile(path, "-----BEGIN PRIVATE KEY-----\n", { mode: 0o600 });
  judge(await errorOf(loadIdentity(path)), "EGTP_IDENTITY_FILE_BAD");
  await rm(folder, { recursive: true });
});

test("text that is no peer ID", async () => {
  const texts = [
    "",
    "bob",
    bob.node.peerId.slice(1),
    `${bob.node.peerId}y`,
    bob.node.peerId.toUpperCase(),
    "y".repeat(52),
  ];
  for (const text of texts) {
    judge(await errorOf(alice.node.send(text as PeerId, note, body)), "EGTP_WIRE_BAD_PEER_ID");
    judge(await errorOf(alice.node.request(text as PeerId, note, body)), "EGTP_WIRE_BAD_PEER_ID");
  }
  await nothingIsLost();
});

test("a refused connection", async () => {
  const nobody = createIdentity().peer;
  await world.join("deaf", { listen: false });
  alice.node.introduce(nobody, [MemoryNetwork.strategy("deaf")]);
  judge(reasonOf(await world.time.of(alice.node.send(nobody, note, body))), "EGTP_DIAL_REFUSED");
  judge(await errorOf(world.time.of(alice.node.request(nobody, note, body))), "EGTP_UNREACHABLE");
  await nothingIsLost();
});

test("a wrong peer at an address", async () => {
  const nobody = createIdentity().peer;
  alice.node.introduce(nobody, [MemoryNetwork.strategy("bob")]);
  const error = await errorOf(world.time.of(alice.node.request(nobody, note, body, { timeoutMs: 2_000 })));
  judge(error, "EGTP_TIMEOUT");
  judge((error as { reasons: { error: unknown }[] }).reasons[0]!.error, "EGTP_WRONG_PEER");
  await nothingIsLost();
});

test("an unknown version, and bytes that are no envelope", async () => {
  const stranger = world.network.transport("stranger");
  const link = await world.time.of(
    stranger.dial(MemoryNetwork.strategy("bob"), bob.node.peerId, { signal: new AbortController().signal }),
  );
  const answers: Uint8Array[] = [];
  link.start({ envelope: (bytes) => answers.push(bytes), drain: () => {}, closed: () => {} });
  link.send(new Uint8Array(100).fill(0x21));
  link.send(new Uint8Array(100).fill(0x1f));
  link.send(Uint8Array.of(0x11));
  await world.time.pass(1_000);
  const drops = bob.events.flatMap((event) => (event.kind === "drop" ? [event.error] : []));
  const codes = ["EGTP_WIRE_UNKNOWN_VERSION", "EGTP_WIRE_UNKNOWN_TYPE", "EGTP_WIRE_TRUNCATED"];
  for (const [i, code] of codes.entries()) judge(drops[i], code);
  expect(drops).toHaveLength(codes.length);
  expect(answers).toEqual([]);
  link.close();
  await nothingIsLost();
});

test("an oversized message, by the sender's bound and by the recipient's", async () => {
  judge(await errorOf(alice.node.send(bob.node.peerId, note, new Uint8Array(2 ** 22 + 1))), "EGTP_MESSAGE_TOO_LARGE");
  const small = await world.join("small", { limits: { delivery: { maxMessageBytes: 100 } } });
  small.node.handle(note, () => {});
  const error = await errorOf(world.time.of(alice.node.request(small.node.peerId, note, new Uint8Array(101))));
  judge(error, "EGTP_REJECTED");
  expect(error).toMatchObject({ reason: "too-large" });
  await nothingIsLost();
});

test("a schema mismatch on either side, of body or reply", async () => {
  judge(await errorOf(alice.node.request(bob.node.peerId, count, "one" as never)), "EGTP_SCHEMA_MISMATCH");
  judge(await errorOf(alice.node.send(bob.node.peerId, count, "one" as never)), "EGTP_SCHEMA_MISMATCH");
  const loose = defineMessage("test/count", { body: z.any(), reply: z.any() });
  const refused = await errorOf(world.time.of(alice.node.request(bob.node.peerId, loose, "one")));
  judge(refused, "EGTP_REJECTED");
  const failure = bob.events.find(({ kind }) => kind === "handler-failed") as { error: unknown } | undefined;
  judge(failure?.error, "EGTP_SCHEMA_MISMATCH");
  const strict = defineMessage("test/count", { body: z.number(), reply: z.string() });
  judge(await errorOf(world.time.of(alice.node.request(bob.node.peerId, strict, 2))), "EGTP_SCHEMA_MISMATCH");
  expect(heard).toEqual([1, 2]);
});

test("a handler that throws, and one too many", async () => {
  bob.node.handle(note, () => {
    throw new Error("a secret of bob");
  });
  const error = await errorOf(world.time.of(alice.node.request(bob.node.peerId, note, body)));
  judge(error, "EGTP_REJECTED");
  expect(error).toMatchObject({ reason: "handler-failed" });
  expect((error as Error).message).not.toContain("secret");
  let second: unknown;
  try {
    bob.node.handle(note, () => {});
  } catch (caught) {
    second = caught;
  }
  judge(second, "EGTP_DUPLICATE_HANDLER");
  await nothingIsLost();
});

test("a stop during sends and requests: each ends, and what was handled was handled once", async () => {
  bob.node.handle(note, () => new Promise<never>(() => {}));
  const sent = Array.from({ length: 20 }, () => alice.node.send(bob.node.peerId, note, body));
  const asked = errorOf(alice.node.request(bob.node.peerId, note, body));
  await world.time.pass(500);
  await world.time.of(alice.node.stop());
  expect(new Set((await Promise.all(sent)).map(({ state }) => state))).toEqual(new Set(["expired"]));
  judge(await asked, "EGTP_NODE_STOPPED");
  judge(await errorOf(alice.node.send(bob.node.peerId, note, body)), "EGTP_NODE_STOPPED");
  const unready = await createNode({ identity: createIdentity() });
  judge(await errorOf(unready.send(bob.node.peerId, note, body)), "EGTP_NODE_NOT_STARTED");
  await unready.stop();
  await world.time.pass(1_000);
  expect(heard).toEqual([1]);
});
