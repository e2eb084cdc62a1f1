/** `egtp-metatracker` as a process, with real nodes over TCP and WebSocket; and how it ends when it cannot do its work. */
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createIdentity, createNode, defineMessage, type EgtpNode, type NodeOptions } from "@egtp/node";
import { tcp } from "@egtp/node/tcp";
import { websocket } from "@egtp/node/websocket";
import { makeCertificate } from "@egtp/test-kit/certificate";
import { ServerProcess } from "@egtp/test-kit/server-process";
import { verifyBootPage, verifyContactRecord } from "@egtp/wire";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { metatrackers } from "../src/index.ts";
import { bootPageCommand, bootPageUsage } from "../src/nodejs/boot-page-command.ts";
import { metatrackerCommand, metatrackerUsage } from "../src/nodejs/metatracker-command.ts";
import { runProgram } from "../src/nodejs/program.ts";

const main = new URL("../src/nodejs/main.ts", import.meta.url);
const echo = defineMessage("test/echo");
const body = Uint8Array.of(7);
const signal = new AbortController().signal;

let folder: string;
const cleanups: (() => unknown)[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "egtp-command-"));
});
afterEach(async () => {
  vi.restoreAllMocks();
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  rmSync(folder, { recursive: true, force: true });
});

function start(...args: readonly string[]): ServerProcess {
  const server = new ServerProcess(main, "--data", join(folder, "data"), "--host", "127.0.0.1", "--port", "0", ...args);
  cleanups.push(() => server.kill());
  return server;
}

async function peer(options: Partial<NodeOptions> & Pick<NodeOptions, "lookup">): Promise<EgtpNode> {
  const node = await createNode({
    identity: createIdentity(),
    transports: [tcp({ host: "127.0.0.1" })],
    allowPrivateAddresses: true,
    ...options,
  });
  cleanups.push(() => node.stop());
  node.handle(echo, ({ body: asked }) => asked);
  await node.start();
  return node;
}

describe("a metatracker that was started by hand", () => {
  test("serves a boot page by which peers find each other, tells how it is, and keeps its records", async () => {
    const server = start("--bootpage-port", "0", "--metrics-port", "0");
    const { peer: id, addresses, bootPage, metrics } = await server.listening();
    expect(bootPage).toMatch(new RegExp(`^http://127\\.0\\.0\\.1:\\d+/boot\\.json#${id}$`));
    expect(addresses).toEqual([expect.stringMatching(/^tcp 127\.0\.0\.1:\d+$/)]);
    const data = join(folder, "data");
    expect(statSync(data).mode & 0o777).toBe(0o700);
    expect(statSync(join(data, "identity.key")).mode & 0o777).toBe(0o600);
    expect(verifyContactRecord(readFileSync(join(data, "contact.record")), Date.now())).toMatchObject({
      id,
      services: ["metatracker"],
    });

    const page = await fetch(bootPage);
    expect(page.headers.get("access-control-allow-origin")).toBe("*");
    expect(verifyBootPage(new Uint8Array(await page.arrayBuffer()), Date.now()).id).toBe(id);
    const again = await fetch(bootPage, { headers: { "if-none-match": page.headers.get("etag")! } });
    expect(again.status).toBe(304);

    const alice = await peer({ lookup: metatrackers({ bootPages: [bootPage] }) });
    const bob = await peer({ lookup: metatrackers({ bootPages: [bootPage] }), services: ["relay"] });
    expect(await alice.request(bob.peerId, echo, body)).toEqual(body);
    expect(await alice.discover("relay")).toEqual([bob.peerId]);
    const wrong = bootPage.replace(id, alice.peerId);
    expect(await run("bootpage", "show", wrong)).toMatchObject({
      code: 1,
      err: expect.stringContaining("A boot page of another publisher"),
    });
    expect(await (await fetch(`${metrics}/health`)).json()).toEqual({ status: "ok" });
    const counts = await (await fetch(`${metrics}/metrics`)).text();
    expect(counts).toMatch(/^egtp_metatracker_published_total\{state="kept"\} [2-9]$/m);
    expect(counts).toMatch(/^egtp_metatracker_records [23]$/m);
    expect(counts).toMatch(/^egtp_links [1-9]/m);

    await bob.stop();
    server.signal("SIGTERM");
    expect(await server.ended).toEqual({ code: 0, stderr: "" });
    await server.event("stopped");

    const next = start("--bootpage-port", "0");
    const place = await next.listening();
    expect(place.peer).toBe(id);
    const carol = await peer({ lookup: metatrackers({ bootPages: [place.bootPage] }), services: ["relay"] });
    expect(await carol.lookUp(bob.peerId)).toEqual(bob.contactRecord);
    const shown = await run("bootpage", "show", place.bootPage, "--json");
    const { records } = JSON.parse(shown.out) as { records: readonly { readonly peer: string }[] };
    expect(records.map(({ peer: named }) => named)).toEqual([id, bob.peerId]);
    await carol.stop();
    await next.kill();

    const last = start("--bootpage-port", "0");
    const dave = await peer({ lookup: metatrackers({ bootPages: [(await last.listening()).bootPage] }) });
    for (const { peerId, contactRecord } of [bob, carol]) expect(await dave.lookUp(peerId)).toEqual(contactRecord);
  });

  test("takes WebSockets over TLS at the port where it serves its boot page, and forgets without a disk", async () => {
    const { cert, key } = makeCertificate({ names: ["localhost"], addresses: ["127.0.0.1"] });
    const [certFile, keyFile] = [join(folder, "cert.pem"), join(folder, "key.pem")];
    writeFileSync(certFile, cert);
    writeFileSync(keyFile, key);
    const tls = ["--tls-cert", certFile, "--tls-key", keyFile];
    const server = start("--store", "memory", "--ws-port", "0", "--serve-bootpage", ...tls);
    const { peer: id, addresses, bootPage } = await server.listening();
    const url = addresses.find((address) => address.startsWith("wss://"))!;
    expect(new URL(bootPage).host).toBe(new URL(url).host);
    expect(bootPage).toMatch(/^https:/);
    const lookup = () => metatrackers({ metatrackers: [{ peer: id, strategies: [{ kind: "websocket", url }] }] });
    const alice = await peer({ lookup: lookup(), transports: [websocket({ ca: cert }), tcp({ listen: false })] });
    const bob = await peer({ lookup: lookup(), transports: [websocket({ ca: cert }), tcp({ host: "127.0.0.1" })] });
    expect(await alice.request(bob.peerId, echo, body)).toEqual(body);

    const renewed = makeCertificate({ names: ["localhost"], addresses: ["127.0.0.1"] });
    writeFileSync(certFile, renewed.cert);
    server.signal("SIGHUP");
    expect(await server.event("certificate")).toMatchObject({ level: "error", code: "EGTP_COMMAND_CERTIFICATE" });
    const carol = await peer({ lookup: lookup(), transports: [websocket({ ca: cert }), tcp({ listen: false })] });
    expect(await carol.request(bob.peerId, echo, body)).toEqual(body);
    writeFileSync(keyFile, renewed.key);
    server.signal("SIGHUP");
    expect(await server.event("certificate-renewed")).toMatchObject({ level: "info" });
    const dave = await peer({
      lookup: lookup(),
      transports: [websocket({ ca: renewed.cert }), tcp({ listen: false })],
    });
    expect(await dave.request(bob.peerId, echo, body)).toEqual(body);

    server.signal("SIGINT");
    expect(await server.ended).toEqual({ code: 0, stderr: "" });
    expect(statSync(join(folder, "data")).isDirectory()).toBe(true);
    expect(() => statSync(join(folder, "data", "directory"))).toThrow(/ENOENT/);
  });
});

interface Ended {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Runs the command in this process, to its end. */
async function run(...args: readonly string[]): Promise<Ended> {
  const said = { out: "", err: "" };
  const to = (stream: "out" | "err") => (text: unknown) => {
    said[stream] += String(text);
    return true;
  };
  vi.spyOn(process.stdout, "write").mockImplementation(to("out"));
  vi.spyOn(process.stderr, "write").mockImplementation(to("err"));
  vi.spyOn(console, "log").mockImplementation((text) => void to("out")(`${String(text)}\n`));
  vi.spyOn(console, "error").mockImplementation((text) => void to("err")(`${String(text)}\n`));
  const program = {
    main: { usage: metatrackerUsage, run: metatrackerCommand },
    subcommands: { bootpage: { usage: bootPageUsage, run: bootPageCommand } },
  };
  const code = await runProgram(program, args);
  return { code, ...said };
}

describe("exit code 2: the command line is wrong", () => {
  test.for([
    ["--loud", "Unknown option '--loud'"],
    ["dance", '"dance" is not expected'],
    ["--port 65536", "--port: must be a whole number from 0 to 65535"],
    ["--store paper", "--store: must be memory, lmdb or nats"],
    ["--store nats", "--store nats needs --nats"],
    ["--store nats --nats localhost", "--nats: must be nats://HOST:PORT"],
    ["--store nats --nats nats://me:secret@localhost", "--nats: must be nats://HOST:PORT"],
    ["--replicas 3", "--replicas needs --store nats"],
    ["--store nats --nats nats://localhost --replicas 6", "--replicas: must be"],
    ["--public-url https://example.org", "--public-url: must be a URL that begins with wss:// or ws://"],
    ["--public-url wss://example.org", "--public-url needs --ws-port"],
    ["--tls-cert a.pem --ws-port 0", "--tls-cert needs --tls-key"],
    ["--tls-cert a.pem --tls-key b.pem", "--tls-cert needs --ws-port or --bootpage-port"],
    ["--ws-port 0 --public-url ws://h --tls-cert a --tls-key b", "--public-url must begin with wss:"],
    ["--serve-bootpage", "--serve-bootpage needs --ws-port"],
    ["--trust-proxy", "--trust-proxy needs --ws-port"],
    ["--introduce bob", "--introduce: Not a peer ID"],
    ["--max-records 0", "--max-records: must be"],
    ["bootpage", "--key: "],
    ["bootpage --key k", "--record is missing"],
    ["bootpage --key k --record r --expires soon", "--expires: must be"],
    ["bootpage --key k --record r --expires 31d", "--expires: must be"],
    ["bootpage show", "URL or FILE is missing"],
  ])("%s", async ([line, text]) => {
    const { code, out, err } = await run(...line!.split(" "));
    expect(err).toContain(text);
    expect(code).toBe(2);
    expect(out).toBe("");
  });

  test.for(["--help", "bootpage --help"])("%s fits a terminal", async (line) => {
    const { code, out } = await run(...line.split(" "));
    expect(code).toBe(0);
    expect(out).toMatch(/^Usage: egtp-metatracker /);
    for (const printed of out.split("\n")) expect(printed.length).toBeLessThanOrEqual(110);
  });
});

describe("exit code 1: it cannot do its work, and nothing of it is left open", () => {
  const place = () => ["--data", join(folder, "data"), "--host", "127.0.0.1", "--port", "0", "--store", "memory"];
  let taken: Server;
  let port: string;
  beforeEach(async () => {
    taken = createServer();
    await new Promise<void>((resolve) => {
      taken.listen(0, "127.0.0.1", resolve);
    });
    port = String((taken.address() as { port: number }).port);
    cleanups.push(() => new Promise((resolve) => taken.close(resolve)));
  });

  test.for(["--port", "--ws-port", "--bootpage-port", "--metrics-port"])("%s is in use", async (option) => {
    const { code, err } = await run(...place(), option, port);
    expect(err).toContain("Another program listens already at");
    expect(err).toContain(port);
    expect(code).toBe(1);
  });

  test("the data folder cannot be made", async () => {
    writeFileSync(join(folder, "file"), "");
    const { code, err } = await run(...place(), "--data", join(folder, "file", "below"));
    expect(err).toContain("cannot be used\n  because: ENOTDIR");
    expect(code).toBe(1);
  });

  test("a store cannot be opened where it should be", async () => {
    await run(...place(), "--metrics-port", port); // makes the folder
    writeFileSync(join(folder, "data", "directory"), "in the way");
    const { code, err } = await run(...place(), "--store", "lmdb");
    expect(err).toContain("cannot be kept in");
    expect(code).toBe(1);
  });

  test("no server of the cluster can be reached", async () => {
    const { code, err } = await run(...place(), "--store", "nats", "--nats", "nats://127.0.0.1:1");
    expect(err).toContain("No server of the NATS cluster lets us in");
    expect(code).toBe(1);
  });

  test("the identity was damaged", async () => {
    await run(...place(), "--metrics-port", port);
    writeFileSync(join(folder, "data", "identity.key"), "something else", { mode: 0o600 });
    const { code, err } = await run(...place());
    expect(err).toContain("does not hold an identity");
    expect(code).toBe(1);
  });

  test("the host is not one of this machine's", async () => {
    const { code, err } = await run(...place(), "--host", "192.0.2.1");
    expect(err).toContain("Could not listen at");
    expect(code).toBe(1);
  });

  test("the certificate does not fit, said before anything is opened", async () => {
    const made = makeCertificate({ names: ["meta.example.org"] });
    const other = makeCertificate();
    writeFileSync(join(folder, "cert.pem"), made.cert);
    writeFileSync(join(folder, "key.pem"), made.key);
    writeFileSync(join(folder, "other.pem"), other.key);
    const tls = (key: string, ...more: string[]) =>
      run(
        ...place(),
        "--ws-port",
        "0",
        "--tls-cert",
        join(folder, "cert.pem"),
        "--tls-key",
        join(folder, key),
        ...more,
      );
    expect(await tls("other.pem")).toMatchObject({
      code: 1,
      err: expect.stringContaining("does not belong to the key"),
    });
    expect(await tls("cert.pem")).toMatchObject({
      code: 1,
      err: expect.stringContaining("does not hold what it should"),
    });
    expect(await tls("none.pem")).toMatchObject({ code: 1, err: expect.stringContaining("cannot be read") });
    expect(await tls("key.pem", "--public-url", "wss://other.example.org")).toMatchObject({
      code: 1,
      err: expect.stringContaining("is not for other.example.org"),
    });
  });

  test("as JSON, for whoever reads that", async () => {
    const { code, err } = await run(...place(), "--port", port, "--json");
    expect(JSON.parse(err)).toMatchObject({ level: "error", event: "failed", code: "EGTP_ADDRESS_IN_USE" });
    expect(code).toBe(1);
  });

  test("an address of a boot page that is none", async () => {
    const { code, err } = await run(...place(), "--boot-page", "http://example.org/boot.json");
    expect(err).toContain("http: is for this machine only");
    expect(code).toBe(1);
  });
});

describe("boot pages made by hand", () => {
  const file = (name: string) => join(folder, name);

  async function recordOf(name: string, options: { ttlMs?: number } = {}): Promise<EgtpNode> {
    const node = await createNode({
      identity: createIdentity(),
      transports: [tcp({ host: "127.0.0.1" })],
      services: ["metatracker"],
      ...(options.ttlMs !== undefined && { limits: { node: { contactTtlMs: options.ttlMs } } }),
    });
    cleanups.push(() => node.stop());
    await node.start();
    writeFileSync(file(name), node.contactRecord!);
    return node;
  }

  test("are signed, replaced by higher numbers, shown, and lead to where they say", async () => {
    const [first, second] = [await recordOf("a.record"), await recordOf("b.record", { ttlMs: 3_600_000 })];
    const make = (...more: string[]) =>
      run("bootpage", "--key", file("key"), "--out", file("boot.json"), "--record", file("a.record"), ...more);
    const made = await make("--record", file("b.record"), "--expires", "7d");
    expect(made.code).toBe(0);
    const page = verifyBootPage(readFileSync(file("boot.json")), Date.now());
    expect(page.records).toEqual([first.contactRecord, second.contactRecord]);
    expect(page.expires - page.issued).toBe(7 * 86_400_000);
    expect(made.out).toContain(`boot.json#${page.id}`);
    expect(made.err).toContain(`The record of ${second.peerId} is valid until`);
    expect(statSync(file("key")).mode & 0o777).toBe(0o600);

    const shown = await run("bootpage", "show", file("boot.json"));
    expect(shown.code).toBe(0);
    for (const text of [page.id, first.peerId, second.peerId, "metatracker", "tcp 127.0.0.1:"]) {
      expect(shown.out).toContain(text);
    }
    const asJson = await run("bootpage", "show", file("boot.json"), "--json");
    expect(JSON.parse(asJson.out)).toMatchObject({ publisher: page.id, records: [{ peer: first.peerId }, {}] });

    await make();
    const next = verifyBootPage(readFileSync(file("boot.json")), Date.now());
    expect(next.id).toBe(page.id);
    expect(next.seq).toBeGreaterThan(page.seq);
  });

  test("records that are none are not put on a page", async () => {
    await recordOf("a.record");
    const record = readFileSync(file("a.record"));
    record[70]! ^= 1;
    writeFileSync(file("forged.record"), record);
    writeFileSync(file("large.record"), Buffer.alloc(2_000));
    for (const name of ["forged.record", "large.record", "none.record"]) {
      const { code, err } = await run(
        "bootpage",
        "--key",
        file("key"),
        "--out",
        file("boot.json"),
        "--record",
        file(name),
      );
      expect(err).toContain(name);
      expect(code).toBe(1);
    }
    expect(() => readFileSync(file("boot.json"))).toThrow(/ENOENT/);
    const blocked = join(file("a.record"), "boot.json");
    const { code, err } = await run("bootpage", "--key", file("key"), "--out", blocked, "--record", file("a.record"));
    expect(err).toContain("cannot be written");
    expect(code).toBe(1);
  });

  test("that are bad are told: from a file, from the web", async () => {
    writeFileSync(file("bad.json"), "{}");
    expect(await run("bootpage", "show", file("bad.json"))).toMatchObject({
      code: 1,
      err: expect.stringContaining("Not a boot page"),
    });
    expect(await run("bootpage", "show", file("none.json"))).toMatchObject({
      code: 1,
      err: expect.stringContaining("cannot be read"),
    });
    expect(await run("bootpage", "show", "http://127.0.0.1:1/boot.json")).toMatchObject({
      code: 1,
      err: expect.stringContaining("No boot page can be had at"),
    });
  });
});

test("who uses it in a program stops without a trace", async () => {
  const lookup = metatrackers({ bootPages: [`http://127.0.0.1:1/boot.json#${createIdentity().peer}`] });
  const node = await createNode({ identity: createIdentity(), lookup });
  await node.start();
  await expect(lookup.lookUp(createIdentity().peer, { signal })).rejects.toMatchObject({
    code: "EGTP_METATRACKER_NONE_KNOWN",
  });
  await node.stop();
});
