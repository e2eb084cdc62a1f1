/** The commands end to end: real processes, real sockets on loopback, real kills. */
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Commands } from "./command.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "egtp-demo-peer-test-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

// Five processes each, and all at once: a busy machine needs its time.
describe.concurrent("demo", { timeout: 120_000 }, () => {
  const small = ["--messages", "400", "--megabytes", "4", "--seconds", "2", "--timeout", "110"];

  test("a peer that is killed and loses its sessions loses no message, and every effect happens once", async (context) => {
    const commands = new Commands(context);
    const { code, stdout, stderr } = await commands.run("demo", "--json", "--seed", "7", ...small);
    expect(stderr).toBe("");
    const figures = JSON.parse(stdout) as Record<string, unknown>;
    // 400 notes, 26 questions, 16 pieces of the file and the question how they add up.
    const all = { sent: 443, delivered: 443, expected: 443, handled: 443, lost: 0, twice: 0, unasked: 0 };
    expect(figures).toMatchObject({
      ok: true,
      faults: [],
      seed: 7,
      lost: 0,
      aliceToBob: all,
      bobToAlice: { lost: 0, twice: 0, unasked: 0, handled: 46 },
      file: { bytes: 4_000_000, parts: 16, isEqual: true },
    });
    expect((figures.kill as { atEffects: number }).atEffects).toBeLessThan(400);
    expect(code).toBe(0);
  });

  test("without healing nothing gets through any more", async (context) => {
    const commands = new Commands(context);
    const { code, stdout } = await commands.run("demo", "--no-heal", "--json", "--keep", ...small);
    const figures = JSON.parse(stdout) as Record<string, unknown>;
    expect(figures).toMatchObject({ ok: true, heals: false, handledAfterReturn: 0 });
    for (const name of ["stuck", "unreadableEnvelopes", "heldBack"]) expect(figures[name]).toBeGreaterThan(0);
    expect(code).toBe(0);
    expect(existsSync(join(figures.folder as string, "alice", "identity.key"))).toBe(true);
    await rm(figures.folder as string, { recursive: true });
  });

  test("tells a story, and Ctrl-C ends it without leaving anything behind", async (context) => {
    const commands = new Commands(context);
    const demo = commands.start("demo", ...small);
    const place = /Data: (\S+)/.exec(await demo.line((line) => line.includes("Data: ")))![1]!;
    await demo.line((line) =>
      line.includes("streams to bob: 400 notes, 25 questions and a file of 4.0 MB in 16 parts"),
    );
    expect(existsSync(place)).toBe(true);
    demo.signal("SIGINT");
    expect((await demo.ended).code).toBe(130);
    expect(existsSync(place)).toBe(false);
  });

  test("says what failed when it could not be shown in time, and keeps the data", async (context) => {
    const commands = new Commands(context);
    const { code, stdout } = await commands.run("demo", "--json", "--timeout", "1", "--seconds", "9");
    const { ok, code: errorCode, folder: place } = JSON.parse(stdout) as Record<string, unknown>;
    expect({ code, ok, errorCode }).toEqual({ code: 1, ok: false, errorCode: "EGTP_DEMO_TIMEOUT" });
    expect(existsSync(place as string)).toBe(true);
    await rm(place as string, { recursive: true });
  });
});

describe.concurrent("peers by hand", { timeout: 120_000 }, () => {
  const placeOf = (name: string): string[] => ["--data", join(folder, name), "--book", join(folder, `${name[0]}-book`)];

  test("id, send and listen find each other by ID", async (context) => {
    const commands = new Commands(context);
    const id = await commands.run("id", "--data", join(folder, "a-listener"));
    expect(id).toMatchObject({ code: 0, stderr: "" });
    const listener = commands.start("listen", ...placeOf("a-listener"), "--json");
    const listening = await listener.event("listening");
    expect(listening.peer).toBe(id.stdout);

    const sent = await commands.run(
      "send",
      ...placeOf("a-sender"),
      "--name",
      "sue",
      "--peer",
      id.stdout,
      "hello there",
    );
    expect(sent.stdout).toMatch(/^delivered in \d+ ms$/);
    expect(sent.code).toBe(0);
    const sender = await commands.run("id", "--data", join(folder, "a-sender"), "--json");
    const { peer: from } = JSON.parse(sender.stdout) as Record<string, unknown>;
    expect(await listener.event("message")).toMatchObject({ from, name: "sue", text: "hello there" });

    // The folder is taken while it listens.
    const second = await commands.run("listen", ...placeOf("a-listener"));
    expect(second.code).toBe(1);
    expect(second.stderr).toContain("open");

    listener.signal("SIGINT");
    expect(await listener.ended).toMatchObject({ code: 0, stderr: "" });
    const late = await commands.run("send", ...placeOf("a-sender"), "--json", "--peer", id.stdout, "too late");
    expect(JSON.parse(late.stdout)).toMatchObject({ state: "unreachable", peer: id.stdout });
    expect(late.code).toBe(6);
  });

  test("a peer is dialled at the address that was said, and ends after the count that was said", async (context) => {
    const commands = new Commands(context);
    const listener = commands.start("listen", ...placeOf("b-listener"), "--json", "--count", "1");
    const { peer, addresses } = await listener.event("listening");
    const [address] = addresses as string[];
    const nobodyKnows = ["--data", join(folder, "b-sender"), "--book", join(folder, "another-book")];
    const outcome = await commands.run(
      "send",
      ...nobodyKnows,
      "--peer",
      `${String(peer)}@${address}`,
      "--",
      "--dashes",
    );
    expect(outcome.code).toBe(0);
    expect(await listener.event("message")).toMatchObject({ text: "--dashes" });
    expect((await listener.ended).code).toBe(0);
  });

  test("NODE_DEBUG brings what happens to standard error, and nothing of what is said", async (context) => {
    const place = ["--data", join(folder, "debugged"), "--book", join(folder, "empty")];
    const nobody = "ybndrfg8ejkmcpqxot1uwisza345h769ybndrfg8ejkmcpqxot1y";
    const env = { NODE_DEBUG: "egtp:message,egtp:publ*" };
    const { stderr } = await new Commands(context).runWith(env, "send", ...place, "--peer", nobody, "between us");
    expect(stderr).toMatch(/^EGTP:MESSAGE .* direction=out .* type=demo\/chat .*outcome=unreachable/m);
    expect(stderr).not.toMatch(/EGTP:(?!MESSAGE|PUBLISHED)|between us/);
  });

  test("a peer in a terminal talks, forgets its sessions, and goes on talking", async (context) => {
    const commands = new Commands(context);
    const bob = commands.start("peer", ...placeOf("c-bob"), "--name", "bob", "--json");
    const { peer, addresses } = await bob.event("listening");
    // Where he is need not be known to others yet.
    const contact = `${String(peer)}@${(addresses as string[])[0]}`;
    const alice = commands.start("peer", ...placeOf("c-alice"), "--name", "alice", "--json", "--peer", contact);
    await alice.event("listening");
    alice.type("hello bob");
    expect(await bob.event("message")).toMatchObject({ name: "alice", text: "hello bob" });
    expect(await alice.event("outcome")).toMatchObject({ state: "delivered" });
    alice.type("/ping");
    expect(await alice.event("pong")).toMatchObject({ peer });
    alice.type("/peers");
    expect(await alice.event("peers")).toMatchObject({ to: peer, peers: [{ peer, links: [{ transport: "tcp" }] }] });

    bob.type("/forget");
    await bob.event("forgot");
    bob.type("/sessions");
    expect(await bob.event("sessions")).toMatchObject({ sessions: [] });
    alice.type("do you still understand me?");
    await bob.line((line) => line.includes("do you still understand me?"));
    bob.type("/ping");
    await bob.event("pong");
    alice.type("/sessions");
    const { sessions } = await alice.event("sessions");
    expect((sessions as unknown[]).length).toBeGreaterThan(0);
    alice.type("/nonsense");
    expect(await alice.event("error")).toMatchObject({ message: "There is no /nonsense: see /help." });
    alice.type("/to nobody");
    await alice.line((line) => line.includes("EGTP_DEMO_USAGE"));

    alice.type("/quit");
    bob.endInput();
    expect(await Promise.all([alice.ended, bob.ended])).toMatchObject([{ code: 0 }, { code: 0 }]);
  });
});
