/** The outbox in an LMDB file, and a process that is killed. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { createIdentity, identityFromSeed } from "@egtp/mesgen";
import { MemorySessionStore } from "@egtp/session-store";
import { LmdbSessionStore } from "@egtp/session-store/lmdb";
import { defineMessage, toHex, verifyContactRecord } from "@egtp/wire";
import { expect, test } from "vitest";
import { createNode, type EgtpNode, type NodeOptions } from "../src/index.ts";
import { tcp } from "../src/nodejs/tcp.ts";

const note = defineMessage("test/note");
const count = 500;

async function start(options: NodeOptions): Promise<EgtpNode> {
  const node = await createNode({ transports: [tcp({ host: "127.0.0.1", port: 0 })], ...options });
  await node.start();
  return node;
}

test("kill -9 of a sender: what its store had goes on with the next run, each message once", async () => {
  const folder = mkdtempSync(join(tmpdir(), "egtp-kept-"));
  const seed = createIdentity().exportSeed();
  const store = new MemorySessionStore();
  const bobIdentity = createIdentity();
  // Bob takes everything in and handles nothing of it before he is gone, too.
  const bob = await start({ identity: bobIdentity, sessions: store });
  bob.handle(note, ({ signal }) => once(signal, "abort").then(() => Promise.reject(new Error("stopped"))));
  const [strategy] = verifyContactRecord(bob.contactRecord!, Date.now()).strategies;
  const { port } = strategy as Extract<typeof strategy, { kind: "tcp" }>;
  const main = fileURLToPath(new URL("kept-sender.ts", import.meta.url));
  const root = fileURLToPath(new URL("../../..", import.meta.url));
  const args = ["--conditions=@egtp/source", "--import", "tsx", main, join(folder, "store"), toHex(seed)];
  const child = spawn(process.execPath, [...args, bob.peerId, String(port), String(count)], {
    cwd: root,
    stdio: ["ignore", "pipe", "inherit"],
  });
  const exited = once(child, "exit");
  try {
    for await (const line of createInterface({ input: child.stdout })) if (line === "kept") break;
    child.kill("SIGKILL");
    await exited;
    const snapshot = store.snapshot();
    await bob.stop();

    const bob2 = await start({ identity: bobIdentity, sessions: snapshot });
    const received = new Map<string, number>();
    bob2.handle(note, ({ body, messageId }) => {
      expect(received.has(messageId)).toBe(false);
      received.set(messageId, body[0]! * 256 + body[1]!);
    });
    const sessions = await LmdbSessionStore.open(join(folder, "store"));
    expect(sessions.report.uncleanStop).toBe(true);
    const alice2 = await start({ identity: identityFromSeed(seed), sessions, keepOutbox: true });
    const events = alice2.events({ kinds: ["message"], maxQueued: count });
    expect(alice2.stats()).toMatchObject({ resumed: count, kept: count });
    expect(alice2.learn(bob2.contactRecord!)).toBe(bob2.peerId);
    const [way] = verifyContactRecord(bob2.contactRecord!, Date.now()).strategies;
    alice2.introduce(bob2.peerId, [way!]);
    const ended: string[] = [];
    for await (const event of events) {
      expect(event).toMatchObject({ direction: "out", outcome: "delivered" });
      ended.push((event as { messageId: string }).messageId);
      if (ended.length === count) break;
    }
    expect(new Set(ended)).toEqual(new Set(received.keys()));
    expect([...received.values()].sort((a, b) => a - b)).toEqual(Array.from({ length: count }, (_, i) => i));
    await Promise.all([alice2.stop(), bob2.stop()]);
  } finally {
    child.kill("SIGKILL");
    await exited;
    rmSync(folder, { recursive: true, force: true });
  }
});
